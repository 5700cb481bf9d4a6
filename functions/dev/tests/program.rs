//! `cargo dev` as a program: what it prints, how it ends.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_sedano-dev"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A folder of its own, gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn with(name: &str, files: &[(&str, &str)]) -> Self {
        let path = std::env::temp_dir().join(format!("sedano-dev-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        for (name, content) in files {
            fs::write(path.join(name), content).unwrap();
        }
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

#[test]
fn the_sample_counts_real_words_and_succeeds() {
    let folder = Folder::with(
        "words",
        &[
            ("a.txt", "the queue and the worker"),
            ("b.txt", "The queue, again: THE queue; the queue."),
        ],
    );
    let Output {
        status,
        stdout,
        stderr,
    } = program()
        .args(["--once", "--port", "0", "--folder"])
        .arg(&folder.0)
        .output()
        .unwrap();
    let (stdout, stderr) = (text(&stdout), text(&stderr));
    assert!(status.success(), "{stdout}{stderr}");
    for line in [
        "add(2, 3)  5",
        "flaky(2)   succeeded after 2 retries",
        "The most frequent words of 2 files:",
        "   1  the     5  ██████████████████████████████",
        "   2  queue   4  ████████████████████████",
        "   3  again   1  ██████",
        "   4  and     1  ██████",
        "   5  worker  1  ██████",
    ] {
        assert!(stdout.lines().any(|is| is == line), "{line} in {stdout}");
    }
    assert!(stdout.contains("5 tasks in 7 runs, "), "{stdout}");
    assert!(stderr.contains("counting the words of files: "), "{stderr}");
}

#[test]
fn many_files_are_reduced_in_steps() {
    let files: Vec<(String, String)> = (0..100)
        .map(|n| (format!("{n}"), format!("word {}", "x ".repeat(n))))
        .collect();
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(a, b)| (a.as_str(), b.as_str()))
        .collect();
    let folder = Folder::with("many", &files);
    let output = program()
        .args(["--once", "--port", "0", "--folder"])
        .arg(&folder.0)
        .output()
        .unwrap();
    let stdout = text(&output.stdout);
    assert!(output.status.success(), "{stdout}");
    let rows: Vec<&str> = stdout.lines().filter(|line| line.contains('█')).collect();
    assert_eq!(rows.len(), 2, "{stdout}");
    assert!(rows[0].contains("x     4950"), "{stdout}");
    assert!(rows[1].contains("word   100"), "{stdout}");
    // 100 files, 3 reductions and their reduction, add, flaky with two retries.
    assert!(stdout.contains("106 tasks in 108 runs"), "{stdout}");
}

#[test]
fn what_is_wrong_is_said_before_anything_starts() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = program()
        .args(["--once", "--port", &port])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    let begins = format!("cargo dev: port {port} is taken: ");
    assert!(stderr.starts_with(&begins), "{stderr}");

    let output = program().args(["--folder", "/no/such"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    assert!(
        stderr.starts_with("cargo dev: can't read the folder /no/such: "),
        "{stderr}"
    );
}

#[test]
fn a_clock_that_cannot_be_is_refused_with_what_it_should_be() {
    for (arguments, why) in [
        (
            ["--at", "18:00"].as_slice(),
            "`18:00` is no date and time: write it as 2026-03-01T12:00:00Z",
        ),
        (&["--at", "1969-12-31T23:59:59Z"], "must not be before 1970"),
        (&["--speed", "0"], "must be a whole number, 1 to 3600"),
        (&["--speed", "3601"], "must be a whole number, 1 to 3600"),
        (&["--speed", "1.5"], "must be a whole number, 1 to 3600"),
        (&["--speed", "60", "--once"], "cannot be used with"),
    ] {
        let output = program()
            .args(["--port", "0"])
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let stderr = text(&output.stderr);
        assert!(
            stderr.contains(why) && stderr.contains(arguments[0]),
            "{stderr}"
        );
    }
}

/// The program while it serves.
struct Serving {
    child: std::process::Child,
    stdout: BufReader<std::process::ChildStdout>,
    stderr: BufReader<std::process::ChildStderr>,
    url: String,
}

impl Serving {
    fn over(folder: &Folder) -> Self {
        let mut child = program()
            .args(["--port", "0", "--folder"])
            .arg(&folder.0)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut serving = Self {
            child,
            stdout,
            stderr,
            url: String::new(),
        };
        let line = read_until(&mut serving.stdout, "HTTP API: ");
        let (_, url) = line.split_once("HTTP API: ").unwrap();
        serving.url = url.trim().to_owned();
        read_until(&mut serving.stdout, "Serving until Ctrl-C");
        serving
    }

    /// The status of the answer.
    fn send(&self, task: &str, body: &str) -> u16 {
        let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
        let request = agent.post(format!("{}/tasks/{task}", self.url));
        let request = request.header("content-type", "application/json");
        request.send(body).unwrap().status().as_u16()
    }

    /// The task's record, asked for until this stands in it.
    fn wait_for(&self, id: &str, words: &str) {
        let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
        let url = format!("{}/tasks/{id}?wait=0.1", self.url);
        while !{
            let mut answer = agent.get(&url).call().unwrap();
            answer.body_mut().read_to_string().unwrap().contains(words)
        } {}
    }

    fn interrupt(&self) {
        let status = Command::new("kill")
            .args(["-INT", &self.child.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    /// What it says last, and how it ends.
    fn end(mut self) -> (String, Option<i32>) {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        (rest, self.child.wait().unwrap().code())
    }
}

/// The first line with this text.
fn read_until(from: &mut impl BufRead, text: &str) -> String {
    let mut line = String::new();
    while !line.contains(text) {
        line.clear();
        assert_ne!(
            from.read_line(&mut line).unwrap(),
            0,
            "ended without {text}"
        );
    }
    line
}

#[cfg(unix)]
#[test]
fn an_interrupt_finishes_what_runs_and_tells_what_is_left() {
    let serving = Serving::over(&Folder::with("served", &[("a", "word")]));
    let later = r#"{"args": [1, 1], "options": {"countdown": 600}}"#;
    assert_eq!(serving.send("add", later), 202);
    serving.interrupt();
    let (rest, exit) = serving.end();
    assert_eq!(exit, Some(0), "{rest}");
    let left = "Left in the queues, and gone with this process: default: ";
    assert!(rest.contains(left), "{rest}");
    assert!(rest.contains(" not yet due."), "{rest}");
}

#[cfg(unix)]
#[test]
fn with_a_moved_clock_one_sees_the_schedule_fire() {
    // Half a second before six in the evening in Kyiv.
    let mut child = program()
        .args(["--port", "0", "--at", "2026-03-29T14:59:59.500Z"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let line = read_until(&mut stdout, "The clock shows ");
    assert!(
        line.starts_with("The clock shows 2026-03-29T14:59:59."),
        "{line}"
    );
    let line = read_until(&mut stdout, "cancel_open_refunds");
    assert!(line.starts_with("2026-03-29T15:00:0"), "{line}");
    assert!(
        line.ends_with("  cancel_open_refunds  SUCCESS  0\n"),
        "{line}"
    );
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[cfg(unix)]
#[test]
fn an_interrupt_lets_a_running_task_finish() {
    let mut serving = Serving::over(&Folder::with("running", &[("a", "word")]));
    // The API answers until the last task is done: the longer one lets us see the end of the shorter.
    for (id, seconds) in [("shorter", 2), ("longer", 5)] {
        let task = format!(r#"{{"args": [{seconds}], "options": {{"id": "{id}"}}}}"#);
        assert_eq!(serving.send("sleep", &task), 202);
    }
    serving.wait_for("shorter", "STARTED");
    serving.wait_for("longer", "STARTED");
    serving.interrupt();
    read_until(&mut serving.stderr, "Finishing what runs.");
    serving.wait_for("longer", "STARTED");
    serving.wait_for("shorter", "SUCCESS");
    let (rest, exit) = serving.end();
    assert_eq!(exit, Some(0), "{rest}");
    // Neither is left in a queue.
    assert!(!rest.contains("not finished"), "{rest}");
}

#[cfg(unix)]
#[test]
fn a_second_interrupt_ends_at_once() {
    let mut serving = Serving::over(&Folder::with("impatient", &[("a", "word")]));
    // Until it has started, there is nothing to wait for.
    let task = r#"{"args": [8], "options": {"id": "long"}}"#;
    assert_eq!(serving.send("sleep", task), 202);
    serving.wait_for("long", "STARTED");
    serving.interrupt();
    read_until(&mut serving.stderr, "Ctrl-C again ends at once");
    serving.interrupt();
    let (rest, exit) = serving.end();
    assert_eq!(exit, Some(1), "{rest}");
    assert!(rest.ends_with("Ended at once.\n"), "{rest}");
}
