//! Sending a task, its result, revoking and moving it.

use super::*;

#[test]
fn a_send_prints_the_id_that_the_result_is_found_under() {
    let sent = sedano(&["send", "add", "2", "3"]);
    assert_eq!((sent.exit, sent.stderr.as_str()), (0, ""));
    let id = sent.stdout.trim_end();
    let result = sedano(&["result", id, "--wait"]);
    assert_eq!((result.exit, result.stderr.as_str()), (0, ""));
    let beginning =
        format!("id        {id}\ntask      add\nstatus    SUCCESS\nresult    5\nretries   0\n");
    assert!(result.stdout.starts_with(&beginning), "{result:?}");
}

#[test]
fn a_send_that_waits_prints_the_value() {
    assert_eq!(
        sedano(&["send", "add", "2", "3", "--wait"]),
        ran(0, "5\n", "")
    );
    assert_eq!(
        sedano(&["send", "--wait", "add", "-2", "3"]),
        ran(0, "1\n", "")
    );
    let named = [
        "send",
        "top_words",
        "--kwargs",
        r#"{"limit": 1, "counts": [[["a", 1], ["b", 2]]]}"#,
    ];
    assert_eq!(
        sedano(&[&named[..], &["--wait"]].concat()),
        ran(0, "[[\"b\",2]]\n", "")
    );
    assert_eq!(
        sedano(&["send", "echo", "two words", "--wait"]),
        ran(0, "\"two words\"\n", "")
    );
}

#[test]
fn json_is_one_value_on_standard_output() {
    let sent = sedano(&["--json", "send", "add", "2", "3", "--id", "json-1"]);
    assert_eq!(sent.json(), json!({"id": "json-1", "status": "PENDING"}));
    let result = sedano(&["result", "json-1", "--wait", "--json"]);
    let record = result.json();
    assert_eq!(result.exit, 0);
    assert_eq!(
        [&record["id"], &record["status"], &record["result"]],
        [&json!("json-1"), &json!("SUCCESS"), &json!(5)]
    );
    let waited = sedano(&["send", "fail", "no luck", "--wait", "--json"]);
    assert_eq!((waited.exit, waited.stderr.as_str()), (1, ""));
    assert_eq!(waited.json()["error"]["message"], "no luck");
}

#[test]
fn a_task_that_fails_ends_with_1() {
    let failed = sedano(&["send", "fail", "no luck", "--id", "fail-1", "--wait"]);
    assert_eq!(
        failed,
        ran(1, "", "fail fail-1 is FAILURE\n  TaskError: no luck\n")
    );
    let result = sedano(&["result", "fail-1"]);
    assert_eq!((result.exit, result.stderr.as_str()), (1, ""));
    assert!(
        result
            .stdout
            .contains("status    FAILURE\nerror     TaskError: no luck\n"),
        "{result:?}"
    );
}

#[test]
fn an_unknown_task_ends_with_3_and_names_the_nearest() {
    let words = ["send", "ad", "2", "3"];
    let message = "no task is named `ad`; did you mean `add`?";
    assert_eq!(sedano(&words), refused(3, message));
    let error = sedano(&[&words[..], &["--json"]].concat()).error();
    assert_eq!(error["error"]["exit"], 3);
    assert_eq!(error["error"]["message"], message);
    assert_eq!(error["error"]["problem"]["did_you_mean"], "add");
}

#[test]
fn what_is_asked_wrongly_ends_with_2() {
    let missing = "add() missing 1 required positional argument: 'y'";
    assert_eq!(sedano(&["send", "add", "2"]), refused(2, missing));
    let queue = sedano(&["send", "add", "2", "3", "--queue", "defalt"]);
    let unknown = "no queue is named `defalt`; did you mean `default`?";
    assert_eq!(queue, refused(2, unknown));
    for words in [
        &["send"][..],
        &["send", "add", "--kwargs", "[1]"],
        &["send", "add", "--countdown", "soon"],
        &["send", "add", "--eta", "tomorrow"],
        &["result", "x", "--stack", "s"],
        &["beat", "sync", "--dry-run"],
        &["nonsense"],
    ] {
        let usage = sedano(words);
        assert_eq!((usage.exit, usage.stdout.as_str()), (2, ""), "{words:?}");
        assert!(!usage.stderr.is_empty());
        let error = sedano(&[words, &["--json"]].concat()).error();
        assert_eq!(error["error"]["exit"], 2, "{words:?}");
    }
}

#[test]
fn a_task_that_is_not_done_in_time_ends_with_4() {
    let words = [
        "send",
        "add",
        "1",
        "1",
        "--countdown",
        "600",
        "--id",
        "late-1",
        "--wait=0.1",
    ];
    let late = "task late-1 is PENDING after 100ms: ask again with `sedano result late-1 --wait`";
    assert_eq!(sedano(&words), refused(4, late));
    let result = sedano(&["result", "late-1", "--wait=0.1", "--json"]);
    assert_eq!(
        (result.exit, &result.json()["status"]),
        (4, &json!("PENDING"))
    );
    assert_eq!(result.error()["error"]["exit"], 4);
    let unhurried = sedano(&["result", "late-1"]);
    assert_eq!(
        unhurried,
        ran(0, "id        late-1\nstatus    PENDING\n", "")
    );
}

#[test]
fn what_has_not_started_can_be_revoked() {
    let eta = ["--eta", "2999-01-01T00:00:00Z"];
    let sent = sedano(&[&["send", "add", "1", "1", "--id", "rev-1"], &eta[..]].concat());
    assert_eq!(sent.exit, 0, "{sent:?}");
    assert_eq!(sedano(&["revoke", "rev-1"]), ran(0, "revoked rev-1\n", ""));
    let result = sedano(&["result", "rev-1", "--json"]);
    assert_eq!(
        (result.exit, &result.json()["status"]),
        (1, &json!("REVOKED"))
    );

    assert_eq!(
        sedano(&["send", "add", "1", "1", "--id", "rev-2", "--wait"]).exit,
        0
    );
    let late = "task rev-2 is SUCCESS: it can't be revoked any more";
    assert_eq!(sedano(&["revoke", "rev-2"]), refused(5, late));
}

#[test]
fn what_is_not_due_for_long_can_be_moved() {
    let unknown = sedano(&["reschedule", "mov-0", "--countdown", "5"]);
    assert_eq!(unknown.exit, 5, "{unknown:?}");
    assert!(
        unknown
            .stderr
            .starts_with("sedano: task mov-0 has no record"),
        "{unknown:?}"
    );
    let eta = ["--eta", "2999-01-01T00:00:00Z"];
    let sent = sedano(&[&["send", "add", "2", "3", "--id", "mov-1"], &eta[..]].concat());
    assert_eq!(sent.exit, 0, "{sent:?}");
    // A worker has to see its message first.
    let parked = |_: &u32| {
        let result = sedano(&["result", "mov-1", "--wait=0.1", "--json"]);
        result.json()["due_at"] == "2999-01-01T00:00:00.000Z"
    };
    assert!((0..100).any(|turn| parked(&turn)), "it is never parked");

    let later = ["reschedule", "mov-1", "--eta", "2999-01-01T01:00:00+01:00"];
    let moved = ran(0, "mov-1 is due at 2999-01-01T00:00:00.000Z\n", "");
    assert_eq!(sedano(&later), moved);
    let soon = sedano(&["--json", "reschedule", "mov-1", "--countdown", "0.1"]);
    assert_eq!((soon.exit, soon.stderr.as_str()), (0, ""));
    assert_eq!(soon.json()["status"], "PENDING");
    assert!(soon.json()["due_at"].as_str() < Some("2999"), "{soon:?}");
    let result = sedano(&["result", "mov-1", "--wait", "--json"]);
    assert_eq!((result.exit, &result.json()["result"]), (0, &json!(5)));
    let late = "task mov-1 is SUCCESS: it can't be moved any more";
    assert_eq!(sedano(&later), refused(5, late));
}
