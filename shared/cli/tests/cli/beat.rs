//! Entries of beat: added, listed, edited, paused, run and removed.

use std::io::Write;
use std::process::Stdio;

use super::*;

#[test]
fn an_entry_is_added_edited_paused_run_and_removed() {
    let add = |schedule: &[&str]| {
        let words = ["beat", "add", "evening sum", "add", "2", "3"];
        sedano(&[&words[..], schedule].concat())
    };
    let next = "2026-01-07T18:00:00+02:00 Europe/Kyiv";
    let added = ran(0, &format!("added evening sum; next: {next}\n"), "");
    assert_eq!(add(&["--cron", "0 18 * * *", "--tz", "Europe/Kyiv"]), added);
    let there = "there is a beat entry `evening sum` already: edit it, or choose another name";
    assert_eq!(add(&["--every", "1d"]), refused(5, there));

    let listed = sedano(&["beat", "list"]).stdout;
    assert!(listed.starts_with("NAME "), "{listed}");
    // How wide a column is depends on what else is listed.
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = format!("evening sum 0 18 * * * (Europe/Kyiv) add run time {next}");
    assert!(listed.lines().any(|row| words(row) == line), "{listed}");
    let upcoming = sedano(&["beat", "next", "evening sum", "-n", "2"]);
    let lines = "LOCAL                      ZONE         UTC\n\
                 2026-01-07T18:00:00+02:00  Europe/Kyiv  2026-01-07T16:00:00.000Z\n\
                 2026-01-08T18:00:00+02:00  Europe/Kyiv  2026-01-08T16:00:00.000Z\n";
    assert_eq!(upcoming, ran(0, lines, ""));

    let edit = ["--json", "beat", "edit", "evening sum"];
    let change = ["--jitter", "1m", "add", "20", "30"];
    let edited = sedano(&[edit.as_slice(), &change].concat());
    assert_eq!(
        edited.json()["entry"],
        json!({
            "name": "evening sum", "schedule": {"crontab": "0 18 * * *", "tz": "Europe/Kyiv"},
            "task": {"task": "add", "args": [20, 30]}, "jitter": 60,
        })
    );
    let paused = sedano(&["beat", "pause", "evening sum"]);
    assert_eq!(paused, ran(0, "paused evening sum; next: paused\n", ""));
    let upcoming = sedano(&["beat", "next", "evening sum"]);
    assert_eq!(upcoming, ran(0, "nothing is due\n", ""));
    let id = sedano(&["beat", "run-now", "evening sum"]).stdout;
    let id = id.trim_end();
    let record = sedano(&["--json", "result", id, "--wait"]).json();
    assert_eq!(record["result"], 50);
    let history = sedano(&["beat", "history", "evening sum"]).stdout;
    assert!(
        history.contains(id) && history.contains("SUCCESS") && history.contains("by hand"),
        "{history}"
    );
    let resumed = sedano(&["beat", "resume", "evening sum"]);
    assert_eq!(
        resumed,
        ran(0, &format!("resumed evening sum; next: {next}\n"), "")
    );
    let removed = sedano(&["beat", "remove", "evening sum"]);
    assert_eq!(removed, ran(0, "removed evening sum\n", ""));
    for words in [
        &["show"][..],
        &["edit", "--every", "5s"],
        &["next"],
        &["pause"],
        &["run-now"],
    ] {
        let words = [&["beat", words[0], "evening sum"], &words[1..]].concat();
        let gone = refused(3, "there is no beat entry `evening sum`");
        assert_eq!(sedano(&words), gone, "{words:?}");
    }
}

#[test]
fn what_is_wrong_with_an_entry_is_told_by_its_flag() {
    let add = |words: &[&str]| sedano(&[&["beat", "add", "wrong"], words].concat());
    for (words, message) in [
        (
            &["add", "2", "3", "--cron", "0 24 * * *"][..],
            "--cron: crontab `0 24 * * *`, hour `24`: 24 is outside 0-23",
        ),
        (
            &["ad", "2", "3", "--every", "30s"],
            "beat entry `wrong` can't be sent: no task is named `ad`; did you mean `add`?",
        ),
        (
            &["add", "2", "--every", "30s"],
            "beat entry `wrong` can't be sent: add() missing 1 required positional argument: 'y'",
        ),
    ] {
        assert_eq!(add(words), refused(2, message));
    }
    let mut command = program();
    command.args(["--url", url(), "beat", "add", "wrong", "--file", "-"]);
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let entry = r#"{"schedule": {"every": 30}, "task": {"task": "add"}, "catchup": "all"}"#;
    child
        .stdin
        .take()
        .unwrap()
        .write_all(entry.as_bytes())
        .unwrap();
    let refused = Ran::of(child.wait_with_output().unwrap());
    assert_eq!(refused.exit, 2);
    assert!(
        refused.stderr.contains("did you mean `catch_up`?"),
        "{refused:?}"
    );
}
