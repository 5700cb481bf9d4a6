//! What SQS gave up: a recorded end, and a dead letter.

use std::collections::BTreeMap;

use super::mortal::{Mortal, survives};
use super::*;

impl World {
    /// Receives and dies at once, until SQS gives up what is there.
    pub(super) async fn give_up(&self, queue: &str, times: u32) {
        for _ in 0..=times {
            drop(self.receive(queue).await);
            self.pass(91).await;
        }
    }

    fn dead_letters(&self) -> Vec<StoredMessage> {
        self.messages("dead-letters")
    }
}

fn attribute<'a>(letter: &'a StoredMessage, name: &str) -> &'a str {
    letter.attributes.get(name).map_or("none", String::as_str)
}

#[tokio::test(start_paused = true)]
async fn what_no_worker_could_begin_ends_as_failure_and_as_a_dead_letter() {
    let world = World::new();
    let id = world.send("add", json!([2, 3])).await;
    world.give_up("default", 10).await;
    assert_eq!(world.status(&id).await, State::Pending);
    assert_eq!(world.step("undelivered").await, [Disposition::Done]);

    let record = world.record(&id).await;
    assert_eq!(record.status, State::Failure);
    assert_eq!(record.queue.as_deref(), Some("default"));
    let error = record.error.unwrap();
    assert_eq!(error.kind, "Undelivered");
    let why = "SQS gave it up after 10 receives from queue `default`; no run of it began: ";
    assert!(error.message.starts_with(why), "{}", error.message);
    assert!(world.item(&id).contains_key("message"), "kept for a retry");
    assert!(world.messages("undelivered").is_empty());

    let letters = world.dead_letters();
    let letter = &letters[0];
    let body: Value = serde_json::from_str(&letter.body).unwrap();
    assert_eq!(
        body,
        json!({"v": 1, "id": id, "task": "add", "args": [2, 3]})
    );
    let said = |name| attribute(letter, name);
    assert_eq!(said("sedano-reason"), "Undelivered");
    assert_eq!(said("sedano-error"), error.message);
    assert_eq!(said("sedano-queue"), "default");
    assert_eq!(said("sedano-message-id"), id);
    assert_eq!(said("sedano-attempts"), "0");
    assert_eq!(said("sedano-task"), "add");
    assert_eq!(said("sedano-task-id"), id);
    assert_eq!(said("sedano-dead-at"), error.at.to_string());
    assert_eq!((letters.len(), letter.attributes.len()), (1, 8));
}

#[tokio::test(start_paused = true)]
async fn its_failure_tells_of_the_last_run() {
    let world = World::new();
    let id = world.send("flaky", json!([1])).await;
    world.step("default").await;
    world.pass(3).await;
    world.give_up("default", 10).await;
    world.step("undelivered").await;
    let record = world.record(&id).await;
    assert_eq!((record.status, record.retries), (State::Failure, 1));
    let said = record.error.unwrap().message;
    let why = "10 receives from queue `default`; it ran once; its last error: TaskError: disk";
    assert!(said.ends_with(why), "{said}");
    assert_eq!(attribute(&world.dead_letters()[0], "sedano-attempts"), "1");

    let id = world.send("crash", json!([])).await;
    world.die("default", Duration::from_secs(1)).await;
    world.pass(91).await;
    world.give_up("default", 9).await;
    world.step("undelivered").await;
    let said = world.record(&id).await.error.unwrap().message;
    assert!(said.contains("it ran once, at last in request "), "{said}");
    assert!(said.ends_with(", whose process died"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn what_somebody_runs_is_waited_for() {
    for died in [false, true] {
        let world = World::new();
        let id = world.send("slow", json!([200])).await;
        world.give_up("default", 8).await;
        // The tenth receive begins a long run.
        let deliveries = world.receive("default").await;
        let long = Invocation {
            id: "long".into(),
            deadline: world.app().now() + Duration::from_secs(300),
        };
        let run = async {
            let done = world.worker.handle(&deliveries, &long).await;
            world.acknowledge(&deliveries, &done).await;
        };
        let reaped = async {
            world.pass(91).await;
            assert!(world.receive("default").await.is_empty());
            assert_eq!(world.step("undelivered").await, [Disposition::Returned]);
        };
        if died {
            tokio::select! {
                biased;
                () = run => panic!("it takes longer"),
                () = reaped => {}
            }
        } else {
            tokio::join!(run, reaped);
        }
        world.pass(300).await;
        assert_eq!(world.step("undelivered").await, [Disposition::Done]);
        let (status, letters) = match died {
            true => (State::Failure, 1),
            false => (State::Success, 0),
        };
        assert_eq!(world.status(&id).await, status);
        assert_eq!(world.dead_letters().len(), letters);
    }
}

#[tokio::test(start_paused = true)]
async fn a_later_attempt_is_sent_again_instead() {
    let world = World::new();
    let id = world.send("flaky", json!([1])).await;
    // The retry is recorded, its message is lost, and the old one is given up.
    let deliveries = world.receive("default").await;
    world.worker.handle(&deliveries, &world.invocation()).await;
    world.pass(3).await;
    let lost = world.receive("default").await;
    world.acknowledge(&lost, &[Disposition::Done]).await;
    world.pass(91).await;
    world.give_up("default", 9).await;
    assert_eq!(world.step("undelivered").await, [Disposition::Done]);
    world.step("default").await;
    assert_eq!(world.status(&id).await, State::Success);
    assert!(world.dead_letters().is_empty());
}

#[tokio::test(start_paused = true)]
async fn whatever_the_reaper_dies_of_another_completes() {
    let mut calls = 0;
    loop {
        let world = World::new();
        let id = world.send("add", json!([2, 3])).await;
        world.give_up("default", 10).await;
        let reaper = Worker::new(Mortal::app(&world, calls));
        let queue = QueueName::new("undelivered");
        let reap = async {
            let port = &reaper.app().ports().queue;
            let deliveries = port.receive(&queue, 10, Duration::ZERO).await.unwrap();
            let done = reaper.handle(&deliveries, &world.invocation()).await;
            assert_eq!(done, [Disposition::Done]);
            let receipts = vec![deliveries[0].receipt.clone()];
            port.delete_many(&queue, receipts).await.unwrap();
        };
        let survived = survives(&world, reap).await.is_some();
        if !survived {
            world.pass(91).await;
            world.step("undelivered").await;
        }
        assert_eq!(
            world.status(&id).await,
            State::Failure,
            "after {calls} calls"
        );
        assert!(world.messages("undelivered").is_empty());
        let letters = world.dead_letters();
        assert!(!letters.is_empty(), "after {calls} calls");
        for letter in letters {
            assert_eq!(attribute(&letter, "sedano-reason"), "Undelivered");
            assert_eq!(attribute(&letter, "sedano-task-id"), id);
        }
        if survived {
            break;
        }
        calls += 1;
    }
    assert!(calls >= 5, "receive, read, write, send, delete: {calls}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_kept_as_it_came() {
    let world = World::new();
    world.send_body("default", "{oops").await;
    world.give_up("default", 10).await;
    assert_eq!(world.step("undelivered").await, [Disposition::Done]);
    let letters = world.dead_letters();
    assert_eq!(letters[0].body, "{oops");
    assert_eq!(attribute(&letters[0], "sedano-reason"), "Undecodable");
    assert_eq!(attribute(&letters[0], "sedano-queue"), "default");
    assert_eq!(attribute(&letters[0], "sedano-task-id"), "none");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_could_not_be_delivered_says_why() {
    let world = World::new();
    let said = [
        ("RULE_ARN", "arn:rule/daily"),
        ("TARGET_ARN", "arn:queue"),
        ("ERROR_CODE", "NO_PERMISSIONS"),
        ("ERROR_MESSAGE", "not authorized"),
    ];
    let said = said.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let event = Outgoing {
        attributes: BTreeMap::from(said),
        ..Outgoing::new(r#"{"task": "add", "args": [2, 3], "id": "daily-1"}"#)
    };
    let queue = QueueName::new("undelivered");
    let port = &world.app().ports().queue;
    port.send(&queue, vec![event]).await.unwrap();
    world.step("undelivered").await;
    let error = world.record("daily-1").await.error.unwrap();
    assert_eq!(
        error.message,
        "EventBridge could not deliver it from arn:rule/daily to arn:queue: \
         NO_PERMISSIONS: not authorized"
    );
    assert_eq!(world.dead_letters().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fifo_message_is_given_up_at_the_attempt_that_its_record_says() {
    let mut config = Config::memory();
    for name in ["jobs.fifo", "undelivered.fifo", "dead-letters.fifo"] {
        config.queues.insert(name.into(), "memory".to_owned());
    }
    let world = World::with(config);
    world.gives_up("jobs.fifo", 10);
    let body = json!({"task": "flaky", "args": [9], "id": "f"}).to_string();
    world.send_body("jobs.fifo", body).await;
    world.step("jobs.fifo").await;
    assert_eq!(world.record("f").await.attempt, 1);
    world.pass(91).await;
    world.give_up("jobs.fifo", 9).await;
    assert_eq!(world.step("undelivered.fifo").await, [Disposition::Done]);
    let record = world.record("f").await;
    assert_eq!((record.status, record.retries), (State::Failure, 1));
    assert_eq!(record.queue.as_deref(), Some("jobs.fifo"));
    let letter = &world.dead_letters()[0];
    assert_eq!(attribute(letter, "sedano-queue"), "jobs.fifo");
    assert_eq!(letter.group.as_deref(), Some("g"));
}

#[tokio::test(start_paused = true)]
async fn without_the_reapers_queue_sqs_moves_it_to_the_dead_letters() {
    let mut config = Config::memory();
    config.queues.remove(&QueueName::new("undelivered"));
    let world = World::with(config);
    let id = world.send("add", json!([2, 3])).await;
    world.give_up("default", 10).await;
    let listed = world.app().dead_letters();
    let listed = listed.find(&id).await.unwrap().unwrap();
    assert_eq!(
        (listed.reason.as_str(), listed.error),
        ("Undelivered", None)
    );
    assert_eq!(listed.task.as_deref(), Some("add"));
    assert_eq!(listed.queue.as_deref(), Some("default"));
}
