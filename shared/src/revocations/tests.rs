//! What a revocation may be about, and what messages bear it.

use serde_json::json;

use super::*;
use crate::error::ErrorKind;
use crate::message::Message;

#[test]
fn what_can_not_be_revoked_is_refused_with_its_reason() {
    let long = "x".repeat(600);
    for (kind, value, why) in [
        ("tasks", "add", "a revocation is about"),
        ("task", "", "a task's name has 1 to 512 bytes"),
        ("task", &long, "a task's name has 1 to 512 bytes"),
        ("task", "sedano.promote", "a task of the library itself"),
        ("group", "", "a task id is"),
        ("root", "a\nb", "a task id is"),
        ("stamp", "tenant", "written as `name=value`"),
        ("stamp", "=acme", "written as `name=value`"),
        ("stamp", &format!("a={long}"), "512 bytes at most"),
    ] {
        let error = Revocation::new(kind, value).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(why), "{kind} {value}: {error}");
        assert!(matches!(error.parameter(), Some("kind" | "value")));
    }
    assert_eq!(
        Revocation::new("stamp", "a=b=c").unwrap(),
        Revocation::stamp("a", "b=c")
    );
}

fn listed(revocation: Revocation) -> Listed {
    let at = Timestamp::from_millis(5000);
    Listed::of(vec![InForce {
        revocation,
        revoked_at: at,
        expires_at: at,
    }])
}

fn message(body: &serde_json::Value) -> Message {
    let mut message = Message::decode(&body.to_string(), "m", Timestamp::default()).unwrap();
    message.sent_at.get_or_insert(Timestamp::from_millis(5000));
    message
}

#[test]
fn a_member_bears_its_group_and_so_does_the_group_s_own_message() {
    let of_g = listed(Revocation::group("g"));
    let member = json!({"task": "add", "member": {"group": "g", "index": 0, "size": 2}});
    assert!(of_g.of_message(&message(&member), None).is_some());
    let group = json!({"id": "g", "group_id": "g", "group": [{"task": "add"}]});
    assert!(of_g.of_message(&message(&group), None).is_some());
    let other = json!({"task": "add", "id": "g", "root_id": "g"});
    assert!(of_g.of_message(&message(&other), None).is_none());
    // What follows the group isn't of it.
    let outer = json!({"task": "add", "member": {"group": "outer", "index": 0, "size": 2}});
    assert!(of_g.of_message(&message(&outer), None).is_none());
}

#[test]
fn the_first_task_of_a_tree_bears_its_root() {
    let of_r = listed(Revocation::root("r"));
    for (body, bears) in [
        (json!({"task": "add", "id": "r"}), true),
        (json!({"task": "add", "id": "a", "root_id": "r"}), true),
        (
            json!({"task": "add", "id": "a", "parent_id": "r", "root_id": "q"}),
            false,
        ),
        (json!({"task": "add"}), false),
    ] {
        assert_eq!(
            of_r.of_message(&message(&body), None).is_some(),
            bears,
            "{body}"
        );
    }
}

#[test]
fn a_task_is_known_by_its_name_and_its_alias_and_by_when_it_was_sent() {
    let of_add = listed(Revocation::task("add"));
    let sent = |millis: i64, task: &str| {
        let mut message = message(&json!({ "task": task }));
        message.sent_at = Some(Timestamp::from_millis(millis));
        message
    };
    assert!(of_add.of_message(&sent(5000, "add"), Some("add")).is_some());
    assert!(of_add.of_message(&sent(5001, "add"), Some("add")).is_none());
    assert!(of_add.of_message(&sent(1, "plus"), Some("add")).is_some());
    assert!(of_add.of_message(&sent(1, "plus"), None).is_none());
}
