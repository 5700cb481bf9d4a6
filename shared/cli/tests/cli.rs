//! The command line against a local stack: what it prints, where, and how it ends.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use sedano::ports::{Outgoing, QueueName};
use sedano_dev::{Settings, Stack};
use serde_json::{Value, json};

type Running = (tokio::runtime::Runtime, Stack, String);

/// One stack for all tests of this file; it ends with the process.
fn running() -> &'static Running {
    static STACK: OnceLock<Running> = OnceLock::new();
    STACK.get_or_init(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let settings = Settings {
            port: 0,
            workers: 2,
            // From a full minute on, the sample schedule sends nothing for two.
            at: Some("2026-01-07T12:01:00Z".parse().unwrap()),
            ..Settings::default()
        };
        let stack = runtime.block_on(Stack::start(&settings)).unwrap();
        let url = stack.url();
        (runtime, stack, url)
    })
}

fn url() -> &'static str {
    &running().2
}

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

/// The program, knowing nothing of this machine's own settings.
fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sedano"));
    for name in ["SEDANO_URL", "SEDANO_STACK", "SEDANO_QUEUES"] {
        command.env_remove(name);
    }
    command
}

#[derive(Debug, PartialEq)]
struct Ran {
    exit: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn error(&self) -> Value {
        serde_json::from_str(&self.stderr).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

fn run(mut command: Command, words: &[&str]) -> Ran {
    let output = command.args(words).output().unwrap();
    Ran {
        exit: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn sedano(words: &[&str]) -> Ran {
    let mut command = program();
    command.args(["--url", url()]);
    run(command, words)
}

fn ran(exit: i32, stdout: &str, stderr: &str) -> Ran {
    Ran {
        exit,
        stdout: stdout.to_owned(),
        stderr: stderr.to_owned(),
    }
}

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
    assert_eq!(
        sedano(&words),
        ran(
            3,
            "",
            "sedano: no task is named `ad`; did you mean `add`?\n"
        )
    );
    let error = sedano(&[&words[..], &["--json"]].concat()).error();
    assert_eq!(error["error"]["exit"], 3);
    assert_eq!(
        error["error"]["message"],
        "no task is named `ad`; did you mean `add`?"
    );
    assert_eq!(error["error"]["problem"]["did_you_mean"], "add");
}

#[test]
fn what_is_asked_wrongly_ends_with_2() {
    let missing = sedano(&["send", "add", "2"]);
    assert_eq!(
        missing,
        ran(
            2,
            "",
            "sedano: add() missing 1 required positional argument: 'y'\n"
        )
    );
    let queue = sedano(&["send", "add", "2", "3", "--queue", "defalt"]);
    assert_eq!(
        queue,
        ran(
            2,
            "",
            "sedano: no queue is named `defalt`; did you mean `default`?\n"
        )
    );
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
    let late = "sedano: task late-1 is PENDING after 100ms: ask again with `sedano result late-1 --wait`\n";
    assert_eq!(sedano(&words), ran(4, "", late));
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
    let late = "sedano: task rev-2 is SUCCESS: it can't be revoked any more\n";
    assert_eq!(sedano(&["revoke", "rev-2"]), ran(5, "", late));
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
    let late = "sedano: task mov-1 is SUCCESS: it can't be moved any more\n";
    assert_eq!(sedano(&later), ran(5, "", late));
}

#[test]
fn queues_and_tasks_are_listed() {
    let queues = sedano(&["queues"]);
    let heads: Vec<&str> = queues
        .stdout
        .lines()
        .filter_map(|line| line.split("  ").next())
        .collect();
    let names = ["dead-letters", "default", "quarantine", "undelivered"];
    assert_eq!(heads, [&["QUEUE"][..], &names].concat());
    let queues = sedano(&["queues", "--json"]).json();
    assert!(queues["default"]["visible"].is_u64(), "{queues}");

    let tasks = sedano(&["tasks"]).stdout;
    let line = |call: &str| {
        tasks
            .lines()
            .any(|line| line.starts_with(call) && line.ends_with("  default"))
    };
    assert!(
        line("add(x, y) ") && line("top_words(counts, [limit])"),
        "{tasks}"
    );
    let tasks = sedano(&["tasks", "--json"]).json();
    let add = tasks
        .as_array()
        .unwrap()
        .iter()
        .find(|task| task["name"] == "add")
        .unwrap();
    let parameter = |name| json!({"name": name, "required": true});
    assert_eq!(add["parameters"], json!([parameter("x"), parameter("y")]));
}

#[test]
fn who_does_not_answer_or_is_another_ends_with_5() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let nobody = run(program(), &["--url", &format!("http://{free}"), "queues"]);
    assert_eq!((nobody.exit, nobody.stdout.as_str()), (5, ""));
    assert!(
        nobody
            .stderr
            .contains("start the local stack with `cargo dev`"),
        "{nobody:?}"
    );

    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let answer = std::thread::spawn(move || {
        let (mut stream, _) = other.accept().unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
            .unwrap();
    });
    let foreign = run(
        program(),
        &["--url", &format!("http://{address}"), "queues"],
    );
    answer.join().unwrap();
    assert_eq!(foreign.exit, 5);
    assert!(
        foreign.stderr.contains("isn't Sedano's HTTP API"),
        "{foreign:?}"
    );
}

#[test]
fn the_environment_chooses_and_is_checked() {
    let mut command = program();
    command.env("SEDANO_URL", url());
    assert_eq!(
        run(command, &["send", "add", "1", "1", "--wait"]),
        ran(0, "2\n", "")
    );

    let mut command = program();
    command.env("SEDANO_QUEUES", "{}");
    let refused = ran(
        2,
        "",
        "sedano: SEDANO_QUEUES has no queue named `default`\n",
    );
    assert_eq!(run(command, &["queues"]), refused);
}

#[test]
fn completions_are_scripts() {
    for (shell, word) in [
        ("bash", "_sedano()"),
        ("zsh", "#compdef sedano"),
        ("fish", "complete -c sedano"),
    ] {
        let script = run(program(), &["completions", shell]);
        assert_eq!(script.exit, 0);
        assert!(script.stdout.contains(word), "{shell}");
    }
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
    let refusal = "sedano: this would redrive 3 dead letters: say --yes if that is meant\n";
    assert_eq!(asked, ran(2, "", refusal));
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
    let refused = sedano(&[&edit[..], &["--args", "[2, 3]"]].concat());
    assert_eq!((refused.exit, refused.stdout.as_str()), (2, ""));
    assert!(
        refused.stderr.ends_with("; give it another body\n"),
        "{refused:?}"
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
    let refusal = "sedano: this would discard 1 dead letter: say --yes if that is meant\n";
    assert_eq!(asked, ran(2, "", refusal));
    let discarded = sedano(&[&discard[..], &["--yes", "--json"]].concat());
    assert_eq!(discarded.json()[0]["body"], "[]");
    assert_eq!(sedano(&[&discard[..], &["--yes"]].concat()).exit, 3);
}

#[test]
fn an_entry_is_added_edited_paused_run_and_removed() {
    let added = sedano(&[
        "beat",
        "add",
        "evening sum",
        "add",
        "2",
        "3",
        "--cron",
        "0 18 * * *",
        "--tz",
        "Europe/Kyiv",
    ]);
    let next = "2026-01-07T18:00:00+02:00 Europe/Kyiv";
    assert_eq!(
        added,
        ran(0, &format!("added evening sum; next: {next}\n"), "")
    );
    let again = sedano(&[
        "beat",
        "add",
        "evening sum",
        "add",
        "2",
        "3",
        "--every",
        "1d",
    ]);
    let there =
        "sedano: there is a beat entry `evening sum` already: edit it, or choose another name\n";
    assert_eq!(again, ran(5, "", there));

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

    let edited = sedano(&[
        "--json",
        "beat",
        "edit",
        "evening sum",
        "--jitter",
        "1m",
        "add",
        "20",
        "30",
    ]);
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
        let gone = ran(3, "", "sedano: there is no beat entry `evening sum`\n");
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
        assert_eq!(add(words), ran(2, "", &format!("sedano: {message}\n")));
    }
    let mut command = program();
    command.args(["--url", url(), "beat", "add", "wrong", "--file", "-"]);
    command.stdin(std::process::Stdio::piped());
    command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let entry = r#"{"schedule": {"every": 30}, "task": {"task": "add"}, "catchup": "all"}"#;
    child
        .stdin
        .take()
        .unwrap()
        .write_all(entry.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.contains("did you mean `catch_up`?"), "{stderr}");
}
