//! What the local stack promises, in virtual time: deaths of simulated workers, and stopping.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use sedano::dead_letters::Edit;
use sedano::ports::{Outgoing, QueueName};
use sedano::{Signature, State, Timestamp};
use sedano_dev::ended::Ended;
use sedano_dev::{Settings, Stack, report};
use sedano_tasks::arithmetic::add;
use sedano_tasks::failing::crash;
use sedano_tasks::refunds::open_refund;
use sedano_tasks::time::sleep;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

async fn started_at(now: &str, speed: u32, workers: usize) -> Stack {
    let settings = Settings {
        port: 0,
        workers,
        at: Some(now.parse().unwrap()),
        speed,
        ..Settings::default()
    };
    Stack::start(&settings).await.unwrap()
}

/// A stack whose clock shows a minute past the full hour: the sample schedule, which fires every five,
/// sends nothing for the next two.
async fn started() -> Stack {
    started_at("2026-01-07T12:01:00Z", 1, 1).await
}

/// Who runs beside a crash is unharmed; who crashes is found out in quarantine.
#[tokio::test(start_paused = true)]
async fn a_crash_costs_its_neighbours_nothing_but_time() {
    let stack = started().await;
    let app = stack.app();
    let mut batch: Vec<Signature<(), ()>> = (0..9).map(|_| sleep::s(1.0)).collect();
    batch.insert(4, crash::s());
    let mut tasks = Vec::new();
    for sent in app.send_many(batch).await {
        tasks.push(sent.unwrap());
    }
    let killer = tasks.remove(4);
    for task in tasks {
        let record = app.wait(task.id(), Duration::from_secs(120)).await.unwrap();
        assert_eq!(record.status, State::Success, "{record:?}");
    }
    let record = app
        .wait(killer.id(), Duration::from_secs(120))
        .await
        .unwrap();
    assert_eq!(record.status, State::Failure);
    assert_eq!(record.error.unwrap().kind, "WorkerLost");
    let left = stack.stop().await.unwrap();
    let in_queue = |wanted: &str| {
        let (_, depth) = left
            .iter()
            .find(|(name, _)| name.as_str() == wanted)
            .unwrap();
        depth.visible + depth.in_flight + depth.delayed
    };
    assert_eq!(
        ["default", "quarantine", "dead-letters"].map(in_queue),
        [0, 0, 1]
    );
}

/// A message that nobody finishes is given up, and its sender hears of it.
#[tokio::test(start_paused = true)]
async fn what_is_given_up_ends_as_failure_and_may_be_redriven() {
    let stack = started().await;
    let app = stack.app();
    let queue = QueueName::new(QueueName::UNDELIVERED);
    let given_up = Outgoing::new(r#"{"task": "add", "args": [2, 3], "id": "given-up"}"#);
    app.ports()
        .queue
        .send(&queue, vec![given_up])
        .await
        .unwrap();
    let record = app.wait("given-up", Duration::from_secs(60)).await.unwrap();
    assert_eq!(record.status, State::Failure);
    assert_eq!(record.error.unwrap().kind, "Undelivered");
    let redriven = loop {
        let letters = app.dead_letters();
        match letters.redrive("given-up", &Edit::default()).await.unwrap() {
            Some(redriven) => break redriven,
            // The record comes before the letter.
            None => app.ports().clock.sleep(Duration::from_millis(10)).await,
        }
    };
    assert_eq!(redriven.generation, 1);
    let record = app.wait("given-up", Duration::from_secs(60)).await.unwrap();
    assert_eq!((record.status, record.generation), (State::Success, 1));
    stack.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn stopping_finishes_what_runs_and_tells_what_is_left() {
    let stack = started().await;
    let app = stack.app().clone();
    let running = app.send(sleep::s(3.0)).await.unwrap();
    let later = add::s(1, 2).countdown(Duration::from_secs(600));
    let later = app.send(later).await.unwrap();
    while running.state().await.unwrap() != State::Started {
        app.ports().clock.sleep(Duration::from_millis(10)).await;
    }
    let left = stack.stop().await.unwrap();
    assert_eq!(running.state().await.unwrap(), State::Success);
    assert_eq!(later.state().await.unwrap(), State::Pending);
    let (_, depth) = left
        .iter()
        .find(|(name, _)| name.as_str() == "default")
        .unwrap();
    assert_eq!((depth.visible, depth.in_flight, depth.delayed), (0, 0, 1));
}

/// Kyiv's clock was put forward that night: six in the evening is 15:00Z.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_moved_before_a_due_time_shows_the_entry_fire() {
    let stack = started_at("2026-03-29T14:59:30Z", 1, 1).await;
    let opened = stack.app().send(open_refund::s("a".into(), 100)).await;
    let opened = opened.unwrap().id().to_owned();
    let mut ended = Ended::default();
    let mut lines = Vec::new();
    while stack.app().ports().clock.now() < "2026-03-29T15:00:30Z".parse().unwrap() {
        stack
            .app()
            .ports()
            .clock
            .sleep(Duration::from_millis(100))
            .await;
        let records = ended.next(&stack).await.unwrap();
        lines.extend(records.iter().map(report::ended));
    }
    let record = stack.app().record(&opened).await.unwrap();
    let at = record.finished_at.unwrap();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(lines[0], format!("{at}  open_refund  SUCCESS  null"));
    // Of the two that are due at the same time, either may come first.
    for what in ["add  SUCCESS  4", "cancel_open_refunds  SUCCESS  1"] {
        let line = lines.iter().find(|line| line.ends_with(what));
        let (at, _) = line
            .unwrap_or_else(|| panic!("{lines:?}"))
            .split_once("  ")
            .unwrap();
        let late = at
            .parse::<Timestamp>()
            .unwrap()
            .since("2026-03-29T15:00:00Z".parse().unwrap());
        assert!(
            at.starts_with("2026-03-29T15:00:00.") && late < Duration::from_secs(1),
            "{at}"
        );
    }
    stack.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn at_speed_schedules_come_sooner_and_tasks_have_as_long_as_ever() {
    const SPEED: u32 = 3600;
    let stack = started_at("2026-10-24T12:00:00Z", SPEED, 2).await;
    let begun = tokio::time::Instant::now();
    // Eight hours by that clock; the other worker does what is due meanwhile.
    stack.app().send(sleep::s(8.0)).await.unwrap();
    let clock = stack.app().ports().clock.clone();
    let mut ended = Ended::default();
    let (mut cancelled, mut slept) = (Vec::new(), 0);
    while clock.now() < "2026-10-26T12:00:00Z".parse().unwrap() {
        clock.sleep(Duration::from_millis(100) * SPEED).await;
        for record in ended.next(&stack).await.unwrap() {
            assert_eq!(record.status, State::Success, "{record:?}");
            match record.task.as_deref() {
                Some("cancel_open_refunds") => {
                    cancelled.push(record.started_at.unwrap().to_string());
                }
                Some("sleep") => slept += 1,
                _ => {}
            }
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(49));
    assert_eq!(slept, 1);
    let hours: Vec<&str> = cancelled.iter().map(|at| &at[..13]).collect();
    assert_eq!(hours, ["2026-10-24T15", "2026-10-25T16"]);
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn a_taken_port_is_named_with_the_way_out() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let settings = Settings {
        port,
        ..Settings::default()
    };
    let error = Stack::start(&settings).await.unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("port {port} is taken: ")),
        "{error}"
    );
    assert!(error.contains("`--port "), "{error}");
}

/// A name of any site may lead to this machine: its pages would read and change what is here.
#[tokio::test]
async fn it_answers_to_its_own_names_only() {
    let stack = started().await;
    let url = stack.url();
    let address = url.strip_prefix("http://").unwrap().to_owned();
    let port = address.rsplit_once(':').unwrap().1;
    let own = format!("localhost:{port}");
    let other = format!("evil.example:{port}");
    for (host, status) in [
        (&*address, "200"),
        (&*own, "200"),
        (&*other, "421"),
        ("", "421"),
    ] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let request = format!("GET /queues HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{host}: {answer}"
        );
    }
    stack.stop().await.unwrap();
}
