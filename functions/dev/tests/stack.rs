//! What the local stack promises, in virtual time: deaths of simulated workers, and stopping.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use sedano::dead_letters::Edit;
use sedano::memory::TokioClock;
use sedano::ports::{Outgoing, QueueName};
use sedano::{Signature, State};
use sedano_dev::{Settings, Stack};
use sedano_tasks::arithmetic::add;
use sedano_tasks::failing::crash;
use sedano_tasks::time::sleep;

const FREE_PORT: Settings = Settings {
    port: 0,
    workers: 1,
};

/// A stack whose clock shows a minute past the full hour: the sample schedule, which fires every five,
/// sends nothing for the next two.
async fn started() -> Stack {
    let clock = TokioClock::starting_at("2026-01-07T12:01:00Z".parse().unwrap());
    Stack::start_in(&FREE_PORT, clock).await.unwrap()
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

#[tokio::test]
async fn a_taken_port_is_named_with_the_way_out() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = Stack::start(&Settings { port, workers: 1 })
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with(&format!("port {port} is taken: ")),
        "{error}"
    );
    assert!(error.contains("`--port "), "{error}");
}
