//! The envelope, read and written.

use super::*;
use serde_json::json;
use std::io::Read as _;

const SENT: Timestamp = Timestamp::from_millis(1_772_366_400_000);

fn decode(body: &str) -> Result<Message, String> {
    Message::decode(body, "mid-1", SENT).map_err(|error| error.to_string())
}

#[test]
fn the_least_by_hand_is_enough() {
    let message = decode(r#"{"task": "add", "args": [2, 3]}"#).unwrap();
    let mut wanted = Message::new("mid-1", "add");
    wanted.args = vec![2.into(), 3.into()];
    assert_eq!(message, wanted);
    assert_eq!(message.root(), "mid-1");
}

#[test]
fn what_is_written_is_read_back_with_what_is_unknown() {
    let body = json!({
        "v": 1, "id": "a", "task": "t", "args": [1], "kwargs": {"k": null},
        "eta": "2026-03-01T12:00:00.000Z", "expires": "2026-03-01T13:00:00.000Z",
        "retries": 2, "attempt": 3, "priority": 9, "time_limit": 1.5, "soft_time_limit": 1.0,
        "ignore_result": true, "root_id": "r", "parent_id": "p", "hops": 4, "generation": 1, "queue": "q",
        "headers": {"tenant": "x"}, "trace": "00-…", "colour": "green"
    });
    let message = decode(&body.to_string()).unwrap();
    assert_eq!(message.extra["colour"], "green");
    let again: Value = serde_json::from_str(&message.encode().unwrap()).unwrap();
    assert_eq!(again, body);
}

#[test]
fn the_published_schema_lists_every_field() {
    let schema: Value =
        serde_json::from_str(include_str!("../../docs/message.schema.json")).unwrap();
    let body = include_str!("../../../tests/fixtures/messages/v1-all.json");
    let mut written = decode(body).unwrap().to_map();
    written.remove("colour");
    let group = json!({
        "id": "g", "group_id": "g", "chord": [{"task": "t"}], "body": {"task": "b", "id": "b"},
        "on_failure": "fast", "part": {"first": 0, "size": 1}
    });
    written.extend(decode(&group.to_string()).unwrap().to_map());
    let check = "2026-03-01T12:00:00.000Z";
    let group = json!({ "id": "g", "group_id": "g", "group": [], "check": check });
    written.extend(decode(&group.to_string()).unwrap().to_map());
    let mut listed: Vec<&str> = schema["properties"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    // Read, and written as the instant that it means.
    listed.retain(|name| *name != "countdown");
    let mut written: Vec<&String> = written.keys().collect();
    written.sort();
    listed.sort_unstable();
    assert_eq!(written, listed);
    for (refused, name) in schema["not"]["anyOf"]
        .as_array()
        .unwrap()
        .iter()
        .zip(NOT_YET)
    {
        assert_eq!(refused["required"][0], name);
    }
}

#[test]
fn old_messages_decode_for_ever() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/messages");
    let mut read = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let message = decode(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(message.task, "add", "{}", path.display());
        assert_eq!(decode(&message.encode().unwrap()).unwrap(), message);
        read += 1;
    }
    assert!(read >= 3);
}

#[test]
fn relative_times_count_from_the_send() {
    let message = decode(r#"{"task": "t", "countdown": 90, "expires": 0.5}"#).unwrap();
    assert_eq!(message.eta, Some(SENT + Duration::from_secs(90)));
    assert_eq!(message.expires, Some(SENT + Duration::from_millis(500)));
}

#[test]
fn what_is_wrong_is_named() {
    let cases = [
        (
            "{\n  \"task\": oops",
            "the message is no JSON at line 2, column 11: expected value",
        ),
        (
            "[1]",
            "the message is JSON but no object: write {\"task\": \"name\", \"args\": []}",
        ),
        (
            "{}",
            "the message has none of the fields `task`, `chain`, `group` and `chord`",
        ),
        (
            r#"{"task": 7}"#,
            "the message's field `task` must be a text of at most 512 bytes",
        ),
        (
            r#"{"task": "t", "args": {}}"#,
            "the message's field `args` must be a list",
        ),
        (
            r#"{"task": "t", "priority": 10}"#,
            "the message's field `priority` must be a whole number from 0 to 9",
        ),
        (
            r#"{"task": "t", "countdown": -1}"#,
            "the message's field `countdown` must be a number of seconds, 0 or more",
        ),
        (
            r#"{"task": "t", "payload": "s3://…"}"#,
            "this worker can't act on the field `payload` yet: send the message without it",
        ),
        (
            r#"{"task": "t", "chain": [{"tusk": "u"}]}"#,
            "step 1 of the message's `chain` has none of the fields `task`, `chain`, `group` and `chord`",
        ),
        (
            r#"{"chain": [{"task": "t"}, {"task": "u", "args": 3}]}"#,
            "step 2 of the message's chain's field `args` must be a list",
        ),
        (
            r#"{"chain": []}"#,
            "a chain without steps does nothing: give it one",
        ),
        (
            r#"{"group": [{"task": "t"}], "queue": "bulk"}"#,
            "the message has a field `queue`, which a group can't have: give it to the tasks in it",
        ),
        (
            r#"{"chord": [{"task": "t"}]}"#,
            "the message's chord has no `body`: without one it is a `group`",
        ),
        (
            r#"{"task": "t", "group": []}"#,
            "the message has both `task` and a group: it can be one of them only",
        ),
        (
            r#"{"task": "t", "v": 2}"#,
            "the message is of version 2; this worker reads version 1",
        ),
    ];
    for (body, message) in cases {
        assert_eq!(decode(body), Err(message.to_owned()), "{body}");
    }
}

#[test]
fn noncharacters_are_escaped_for_sqs() {
    let mut message = Message::new("a", "t");
    message.args = vec!["\u{fffe}\u{ffff}é".into()];
    let body = message.encode().unwrap();
    assert!(!body.contains(['\u{fffe}', '\u{ffff}']));
    assert_eq!(Message::decode(&body, "", SENT).unwrap(), message);
}

#[test]
fn too_large_says_the_limit() {
    let mut message = Message::new("a", "t");
    message.args = vec!["x".repeat(BATCH_BYTES).into()];
    let error = message.encode().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.to_string().contains("1048576"), "{error}");
}

#[test]
fn a_kept_message_is_gzip() {
    let body = r#"{"task":"add"}"#;
    let mut back = String::new();
    let kept = compress(body);
    flate2::read::GzDecoder::new(kept.as_slice())
        .read_to_string(&mut back)
        .unwrap();
    assert_eq!(back, body);
}

#[test]
fn a_place_that_a_group_does_not_have_is_refused() {
    let member = |index: u32, size: u32| {
        let member = json!({ "group": "g", "index": index, "size": size });
        decode(&json!({ "task": "t", "member": member }).to_string())
    };
    assert!(member(0, 1).is_ok());
    for (index, size) in [(0, 0), (1, 1), (7, 3)] {
        assert_eq!(
            member(index, size).unwrap_err(),
            "the message's member's field `index` must be less than `size`"
        );
    }
    assert!(member(1_000_000, 1_000_001).is_err());
    let nobody = json!({ "task": "t", "member": { "group": "", "index": 0, "size": 1 } });
    let error = decode(&nobody.to_string()).unwrap_err();
    assert!(
        error.starts_with("the message's member's field `group` must be"),
        "{error}"
    );
    let part = |first: u32, size: u32, members: usize| {
        let part = json!({ "first": first, "size": size });
        let members = vec![json!({ "task": "t" }); members];
        decode(&json!({ "group_id": "g", "id": "g", "group": members, "part": part }).to_string())
    };
    assert!(part(0, 0, 0).is_ok() && part(3, 5, 2).is_ok());
    for (first, size, members) in [(0, 0, 1), (4, 5, 2), (1_000_000, 1_000_000, 1)] {
        assert_eq!(
            part(first, size, members).unwrap_err(),
            "the message's part's field `size` must be no less than `first` and the number of its members together"
        );
    }
}

#[test]
fn a_group_that_no_worker_would_take_is_not_sent() {
    let mut message = Message::new("g", "sedano.group");
    let member = json!({ "task": "t" });
    message.fan_out = Some(Box::new(FanOut {
        members: vec![member; 1_000_001],
        body: None,
        fails: Default::default(),
        part: None,
        check: None,
    }));
    let split = message.split(1_048_576).map(|parts| parts.len());
    let error = split.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the message of task `sedano.group` can't be sent: its group has 1000001 members; 1000000 are allowed"
    );
}
