//! Queues emptied and stopped.

use super::*;

#[test]
fn a_purge_is_confirmed() {
    let message = "this would delete what `quarantine` holds, for good: say --yes if that is meant";
    assert_eq!(
        sedano(&["queues", "purge", "quarantine"]),
        refused(2, message)
    );
    let purged = "purged quarantine: it held about 0 messages\n";
    assert_eq!(
        sedano(&["queues", "purge", "quarantine", "--yes"]),
        ran(0, purged, "")
    );
    let purged = sedano(&["--json", "queues", "purge", "quarantine", "--yes"]);
    assert_eq!(
        purged.json(),
        json!({"visible": 0, "in_flight": 0, "delayed": 0})
    );
}

#[test]
fn what_has_no_tasks_waiting_in_it_is_not_purged() {
    let unknown = "there is no queue `quarantin`; did you mean `quarantine`?";
    let purge = |queue| sedano(&["queues", "purge", queue, "--yes"]);
    assert_eq!(purge("quarantin"), refused(3, unknown));
    let trace = purge("dead-letters");
    assert_eq!(trace.exit, 2, "{trace:?}");
    assert!(trace.stderr.contains("only trace"), "{trace:?}");
}

#[test]
fn pausing_needs_a_stack() {
    let message = "a queue is paused by switching off its event source mapping, which the HTTP API has no right to: say \
                   --stack NAME";
    for what in ["pause", "resume"] {
        assert_eq!(sedano(&["queues", what, "default"]), refused(2, message));
    }
}
