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

/// One request after the other, each on a connection of its own: its head and body, and what it is answered.
fn answering(listener: &TcpListener, count: usize, answer: impl Fn(&str) -> String) -> Vec<String> {
    let mut requests = Vec::new();
    for _ in 0..count {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let text = loop {
            let mut part = [0; 4096];
            let read = stream.read(&mut part).unwrap();
            request.extend_from_slice(&part[..read]);
            let text = String::from_utf8_lossy(&request).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.parse::<usize>().unwrap())
            });
            if body.len() >= length.unwrap_or(0) {
                break text;
            }
        };
        stream.write_all(answer(&text).as_bytes()).unwrap();
        requests.push(text);
    }
    requests
}

/// What is due in an hour is due in an hour of AWS's time, whatever this machine's clock shows.
#[test]
fn a_clock_that_is_off_is_put_right_by_awss() {
    const DATE: &str = "Sat, 07 Mar 2026 12:00:00 GMT";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let queues = format!(r#"{{"default": "{endpoint}/1/default"}}"#);
    let server = std::thread::spawn(move || {
        answering(&listener, 3, |request| {
            let body = if request.contains("DescribeStacks") {
                let output = |(name, value): (&str, &str)| {
                    format!(
                        "<member><OutputKey>{name}</OutputKey><OutputValue>{value}</OutputValue></member>"
                    )
                };
                let outputs = [
                    ("Queues", queues.as_str()),
                    ("ResultsTableName", "results"),
                    ("StateTableName", "state"),
                ];
                let outputs: String = outputs.map(output).concat();
                format!(
                    "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><Outputs>{outputs}</Outputs>\
                     </member></Stacks></DescribeStacksResult></DescribeStacksResponse>"
                )
            } else if request.contains("SendMessageBatch") {
                json!({"Successful": [{"Id": "0", "MessageId": "m", "MD5OfMessageBody": ""}]})
                    .to_string()
            } else {
                // No worker has said which tasks there are.
                json!({}).to_string()
            };
            let length = body.len();
            format!(
                "HTTP/1.1 200 OK\r\ndate: {DATE}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            )
        })
    });
    let mut command = program();
    let settings = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
        ("NO_PROXY", "127.0.0.1"),
    ];
    command.envs(settings);
    let words = [
        "--stack",
        "s",
        "send",
        "add",
        "[1, 2]",
        "--countdown",
        "3600",
    ];
    let sent = run(command, &words);
    let requests = server.join().unwrap();
    assert_eq!(sent.exit, 0, "{sent:?} {requests:?}");
    assert!(requests[2].contains("2026-03-07T13:00:"), "{requests:?}");
}
