//! Dead letters: listed, shown, redriven, edited and discarded.

use std::sync::Mutex;

use sedano::ports::{Outgoing, QueueName};

use super::*;

/// Puts a message into a queue of the stack, past what the command line would check.
fn put(queue: &str, body: &str) -> String {
    let (runtime, stack, _) = running();
    let port = &stack.app().ports().queue;
    let queue = QueueName::new(queue);
    let sent = runtime.block_on(port.send(&queue, vec![Outgoing::new(body)]));
    sent.unwrap().remove(0).unwrap().message_id
}

/// Held by a test that acts on dead letters: who looks through them hides them from the others.
static DEAD_LETTERS: Mutex<()> = Mutex::new(());

/// Waits until so many dead letters fit.
fn dead_letters(filter: &[&str], count: usize) -> Value {
    for _ in 0..20 {
        let listed = sedano(&[&["--json", "dead-letters", "list"], filter].concat()).json();
        if listed.as_array().unwrap().len() == count {
            return listed;
        }
    }
    panic!("never {count} dead letters: {filter:?}")
}

#[test]
fn dead_letters_are_listed_shown_redriven_and_discarded() {
    let _held = DEAD_LETTERS.lock();
    for id in ["dead-1", "dead-2", "dead-3"] {
        let body = json!({"task": "mul", "args": [2, 3], "id": id}).to_string();
        put("undelivered", &body);
    }
    let listed = dead_letters(&["--task", "mul"], 3);
    assert!(listed[0].get("body").is_none() && listed[0]["reason"] == "Undelivered");
    assert_eq!(sedano(&["result", "dead-1"]).exit, 1);
    let table = sedano(&["dead-letters", "list", "--id", "dead-1"]).stdout;
    let mut lines = table.lines();
    assert_eq!(lines.next().unwrap().split_whitespace().next(), Some("ID"));
    assert!(
        lines
            .next()
            .unwrap()
            .starts_with("dead-1  mul   Undelivered     0  "),
        "{table}"
    );
    let shown = sedano(&["dead-letters", "show", "dead-1"]).stdout;
    assert!(shown.contains("\ntask id   dead-1\n"), "{shown}");
    assert!(shown.ends_with("  \"v\": 1\n}\n"), "{shown}");

    let redrive = ["dead-letters", "redrive"];
    let asked = sedano(&[&redrive[..], &["--task", "mul"]].concat());
    let refusal = "this would redrive 3 dead letters: say --yes if that is meant";
    assert_eq!(asked, refused(2, refusal));
    let dry = sedano(&[&redrive[..], &["--task", "mul", "--dry-run", "--json"]].concat());
    assert_eq!((dry.exit, dry.json().as_array().unwrap().len()), (0, 3));
    assert_eq!(
        sedano(&[&redrive[..], &["dead-1"]].concat()),
        ran(0, "redriven dead-1, generation 1\n", "")
    );
    let result = sedano(&["result", "dead-1", "--wait"]);
    assert_eq!(result.exit, 0);
    assert!(result.stdout.contains("generation 1\n"), "{result:?}");
    let more = [
        "--reason",
        "Undelivered",
        "--task",
        "mul",
        "--rate",
        "20/s",
        "--yes",
        "--json",
    ];
    let redriven = sedano(&[&redrive[..], &more].concat());
    assert_eq!(
        (redriven.exit, redriven.json().as_array().unwrap().len()),
        (0, 2)
    );
    assert_eq!(redriven.json()[0]["generation"], 1);
    assert_eq!(sedano(&["result", "dead-3", "--wait"]).exit, 0);
    let none = sedano(&[&redrive[..], &["--task", "mul"]].concat());
    assert_eq!(none, ran(0, "no dead letter fits\n", ""));
    let gone = sedano(&[&redrive[..], &["dead-1"]].concat());
    assert_eq!((gone.exit, gone.stdout.as_str()), (3, ""));
    assert!(
        gone.stderr.contains("no dead letter has the id dead-1"),
        "{gone:?}"
    );
    assert_eq!(sedano(&["dead-letters", "show", "dead-1"]).exit, 3);
}

#[test]
fn what_cannot_be_read_is_edited_or_discarded() {
    let _held = DEAD_LETTERS.lock();
    let (id, other) = (put("default", "{oops"), put("default", "[]"));
    dead_letters(&["--reason", "Undecodable"], 2);
    let edit = ["dead-letters", "edit", &id];
    let bodiless = sedano(&[&edit[..], &["--args", "[2, 3]"]].concat());
    assert_eq!((bodiless.exit, bodiless.stdout.as_str()), (2, ""));
    assert!(
        bodiless.stderr.ends_with("; give it another body\n"),
        "{bodiless:?}"
    );
    let body = r#"{"task": "add", "args": [1]}"#;
    let edited = sedano(&[&edit[..], &["--body", body, "--args", "[2, 3]"]].concat());
    assert_eq!(edited, ran(0, &format!("redriven {id}\n"), ""));
    let result = sedano(&["result", &id, "--wait", "--json"]).json();
    assert_eq!(
        (&result["result"], &result["generation"]),
        (&json!(5), &json!(0))
    );

    let discard = ["dead-letters", "discard", &other];
    let asked = sedano(&discard);
    let refusal = "this would discard 1 dead letter: say --yes if that is meant";
    assert_eq!(asked, refused(2, refusal));
    let discarded = sedano(&[&discard[..], &["--yes", "--json"]].concat());
    assert_eq!(discarded.json()[0]["body"], "[]");
    assert_eq!(sedano(&[&discard[..], &["--yes"]].concat()).exit, 3);
}
