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

#[cfg(unix)]
#[test]
fn an_interrupt_finishes_what_runs() {
    let folder = Folder::with("served", &[("a", "word")]);
    let mut child = program()
        .args(["--port", "0", "--folder"])
        .arg(&folder.0)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut url = String::new();
    let mut line = String::new();
    while !line.starts_with("Serving until Ctrl-C") {
        line.clear();
        assert_ne!(stdout.read_line(&mut line).unwrap(), 0, "ended too soon");
        if let Some((_, rest)) = line.split_once("HTTP API: ") {
            url = rest.trim().to_owned();
        }
    }
    let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
    let post = |path: &str, body: &str| {
        let request = agent.post(format!("{url}{path}"));
        request
            .header("content-type", "application/json")
            .send(body)
            .unwrap()
            .status()
            .as_u16()
    };
    let later = r#"{"args": [1, 1], "options": {"countdown": 600}}"#;
    assert_eq!(post("/tasks/add", later), 202);
    let interrupt = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(interrupt.unwrap().success());
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success(), "{rest}");
    let left = "Left in the queues, and gone with this process: default: ";
    assert!(rest.contains(left), "{rest}");
    assert!(rest.contains(" not yet due."), "{rest}");
}
