//! The deployment that is asked: what it has, how it is chosen, and that it may not answer.

use std::io::{Read, Write};
use std::net::TcpListener;

use super::*;

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
    let message = "SEDANO_QUEUES has no queue named `default`";
    assert_eq!(run(command, &["queues"]), refused(2, message));
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
