//! Dead letters sent back to work.

use super::mortal::{Mortal, survives};
use super::*;
use crate::ErrorKind;
use crate::dead_letters::{DeadLetter, DeadLetters, Edit, Redriven, Selection};

impl World {
    fn letters(&self) -> DeadLetters {
        self.app().dead_letters()
    }

    async fn redrive(&self, id: &str) -> Redriven {
        let redriven = self.letters().redrive(id, &Edit::default()).await;
        redriven.unwrap().unwrap()
    }

    /// A task that was rejected, and its letter.
    async fn rejected(&self) -> String {
        let id = self.send("answer", json!(["reject"])).await;
        self.step("default").await;
        assert_eq!(self.status(&id).await, State::Failure);
        id
    }
}

fn args(value: Value) -> Edit {
    Edit::default().args(vec![value])
}

#[tokio::test(start_paused = true)]
async fn a_failed_task_begins_a_new_generation() {
    let world = World::new();
    let id = world.rejected().await;
    assert_eq!(world.record(&id).await.generation, 0);
    let redriven = world.redrive(&id).await;
    assert_eq!((redriven.status, redriven.generation), (State::Retry, 1));
    assert_eq!(
        (redriven.task_id.as_str(), redriven.sent),
        (id.as_str(), true)
    );
    assert!(world.messages("dead-letters").is_empty());

    let record = world.record(&id).await;
    assert_eq!((record.status, record.generation), (State::Retry, 1));
    assert_eq!((record.attempt, record.retries), (1, 0));
    assert_eq!(record.error.unwrap().kind, "Rejected", "until it runs");
    assert_eq!(record.finished_at, None);
    assert!(!world.item(&id).contains_key("message"));

    // It fails again: another final state, and another letter.
    world.step("default").await;
    let record = world.record(&id).await;
    assert_eq!((record.status, record.generation), (State::Failure, 1));
    assert_eq!(record.attempts.len(), 2);
    let edit = args(json!("ignore"));
    let redriven = world.letters().redrive(&id, &edit).await.unwrap().unwrap();
    assert_eq!(redriven.generation, 2);
    world.step("default").await;
    let record = world.record(&id).await;
    assert_eq!((record.status, record.generation), (State::Ignored, 2));
    assert_eq!(record.error, None);
}

#[tokio::test(start_paused = true)]
async fn a_redriven_task_that_never_ran_is_not_said_to_have_run() {
    let world = World::new();
    let id = world.send("nobody.knows", json!([])).await;
    for generation in 0..3 {
        while world.status(&id).await != State::Failure {
            world.pass(30).await;
            world.step("default").await;
        }
        let letter = world.letters().find(&id).await.unwrap().unwrap();
        assert_eq!(letter.reason, "NotRegistered");
        assert_eq!(letter.attempts, Some(0), "generation {generation}");
        world.redrive(&id).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_killed_its_process_may_do_so_again() {
    let world = World::new();
    let id = world.send("crash", json!([])).await;
    world.die("default", Duration::from_secs(50)).await;
    world.pass(42).await;
    world.step("default").await;
    for _ in 0..3 {
        world.die("quarantine", Duration::from_secs(50)).await;
        world.pass(91).await;
    }
    world.step("quarantine").await;
    let letter = world.letters().find(&id).await.unwrap().unwrap();
    assert_eq!(
        (letter.reason.as_str(), letter.attempts),
        ("WorkerLost", Some(4))
    );
    world.redrive(&id).await;
    assert!(!world.item(&id).contains_key("crashes"));
    assert_eq!(world.messages("default").len(), 1, "where it came from");
    let runs = world.runs.count();
    world.die("default", Duration::from_secs(50)).await;
    assert_eq!(world.runs.count(), runs + 1);
}

#[tokio::test(start_paused = true)]
async fn a_record_lives_as_long_as_its_letter_and_its_lack_is_no_hindrance() {
    let world = World::new();
    let id = world.rejected().await;
    world.pass(13 * 86_400).await;
    assert_eq!(world.status(&id).await, State::Failure);
    let gone = crate::ports::Write {
        key: crate::ports::Key::Result(id.clone()),
        op: crate::ports::Op::Delete,
        when: crate::ports::When::Present,
    };
    world.app().ports().store.write(gone).await.unwrap();
    let edit = args(json!("ignore"));
    let redriven = world.letters().redrive(&id, &edit).await.unwrap().unwrap();
    assert_eq!((redriven.status, redriven.generation), (State::Pending, 0));
    world.step("default").await;
    assert_eq!(world.status(&id).await, State::Ignored);
}

#[tokio::test(start_paused = true)]
async fn what_was_due_or_expired_once_is_due_now() {
    let world = World::new();
    let body =
        json!({"task": "answer", "args": ["reject"], "id": "e", "countdown": 5, "expires": 60});
    world.send_body("default", body.to_string()).await;
    world.pass(6).await;
    world.step("default").await;
    world.pass(3600).await;
    world.redrive("e").await;
    let next: Value = serde_json::from_str(&world.messages("default")[0].body).unwrap();
    let wanted = json!({"v": 1, "id": "e", "task": "answer", "args": ["reject"], "attempt": 1,
        "generation": 1});
    assert_eq!(next, wanted);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_needs_another_body_and_keeps_its_id() {
    let world = World::new();
    let id = world.send_body("default", "{oops").await;
    world.step("default").await;
    let letters = world.letters();
    let error = letters.redrive(&id, &Edit::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("can't be redriven as it is: "));
    let edit = Edit::default().body("[]");
    let error = letters.redrive(&id, &edit).await.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the new body is no message: ")
    );
    assert_eq!(letters.list(&Selection::all(), 9).await.unwrap().len(), 1);
    let edit = Edit::default().body(r#"{"task": "add", "args": [2, 3]}"#);
    letters.redrive(&id, &edit).await.unwrap().unwrap();
    world.step("default").await;
    assert_eq!(world.status(&id).await, State::Success);
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_well_or_was_revoked_does_not_run_again() {
    let mut config = Config::memory();
    config.queues.remove(&QueueName::new("undelivered"));
    let world = World::with(config);
    let id = world.send("add", json!([2, 3])).await;
    // SQS gives up a copy of what has succeeded.
    let deliveries = world.receive("default").await;
    world.worker.handle(&deliveries, &world.invocation()).await;
    let revoked = world.send("add", json!([2, 3])).await;
    for _ in 0..11 {
        world.pass(91).await;
        drop(world.receive("default").await);
    }
    world.app().revoke(&revoked).await.unwrap();
    let letters = world.letters();
    let edited = letters.redrive(&id, &args(json!(1))).await.unwrap_err();
    assert_eq!(edited.kind(), ErrorKind::Bind);
    let edited = Edit::default().args(vec![1.into(), 2.into()]);
    let error = letters.redrive(&id, &edited).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let redriven = world.redrive(&id).await;
    assert_eq!((redriven.sent, redriven.status), (false, State::Success));
    let error = letters
        .redrive(&revoked, &Edit::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let discarded = letters.discard(&revoked).await.unwrap().unwrap();
    assert_eq!(discarded.task_id, Some(revoked));
    assert!(letters.list(&Selection::all(), 9).await.unwrap().is_empty());
    assert_eq!(world.runs.count(), 1);
}

/// A task that no worker knew while it waited, and its letter.
async fn unknown(world: &World) -> String {
    let id = world.send("add", json!([2, 3])).await;
    let stranger = Worker::new(world.memory.app());
    while world.messages("dead-letters").is_empty() {
        let deliveries = world.receive("default").await;
        let done = stranger.handle(&deliveries, &world.invocation()).await;
        world.acknowledge(&deliveries, &done).await;
        world.pass(60).await;
    }
    id
}

#[tokio::test(start_paused = true)]
async fn a_redrive_that_dies_anywhere_may_be_repeated() {
    for run_between in [false, true] {
        let mut calls = 0;
        loop {
            let world = World::new();
            let id = unknown(&world).await;
            let edit = Edit::default();
            let mortal = Mortal::app(&world, calls).dead_letters();
            let survived = survives(&world, mortal.redrive(&id, &edit)).await.is_some();
            if !survived {
                // Whoever died may have sent it: it may run before it is redriven again.
                if run_between {
                    world.step("default").await;
                }
                world.pass(91).await;
                let again = world.letters().redrive(&id, &edit).await.unwrap();
                let generation = again.map_or(1, |again| again.generation);
                assert_eq!(generation, 1, "after {calls} calls");
            }
            for _ in 0..3 {
                world.step("default").await;
                world.pass(91).await;
            }
            let record = world.record(&id).await;
            let seen = (record.status, record.generation, world.runs.count());
            assert_eq!(seen, (State::Success, 1, 1), "after {calls} calls");
            for queue in ["default", "quarantine", "dead-letters"] {
                assert!(world.messages(queue).is_empty(), "after {calls} calls");
            }
            if survived {
                break;
            }
            calls += 1;
        }
        assert!(calls >= 5, "receive, read, write, send, delete: {calls}");
    }
}

#[tokio::test(start_paused = true)]
async fn many_are_redriven_at_a_rate_and_none_twice() {
    let world = World::new();
    for _ in 0..25 {
        world.rejected().await;
    }
    world.send_body("default", "{oops").await;
    world.step("default").await;
    let start = world.app().now();
    let (mut sent, mut refused) = (0, 0);
    let met = world
        .letters()
        .redrive_all(
            &Selection::all(),
            Duration::from_millis(100),
            |_, done| match done {
                Ok(_) => sent += 1,
                Err(_) => refused += 1,
            },
        )
        .await
        .unwrap();
    assert_eq!((met, sent, refused), (26, 25, 1));
    assert!(world.app().now().since(start) >= Duration::from_millis(2500));
    assert_eq!(world.messages("default").len(), 25);
    let left = world.letters().list(&Selection::all(), 99).await.unwrap();
    assert_eq!(left.len(), 1, "the unreadable one, visible again");
}

#[tokio::test(start_paused = true)]
async fn it_goes_back_to_its_fifo_queue_and_group_or_where_it_is_told_to() {
    let mut config = Config::memory();
    config
        .queues
        .insert("jobs.fifo".into(), "memory".to_owned());
    let world = World::with(config);
    let body = json!({"task": "answer", "args": ["reject"], "id": "f"}).to_string();
    world.send_body("jobs.fifo", body).await;
    world.step("jobs.fifo").await;
    world.redrive("f").await;
    let again = &world.messages("jobs.fifo")[0];
    assert_eq!(again.group.as_deref(), Some("g"));
    world.step("jobs.fifo").await;
    assert_eq!(world.record("f").await.generation, 1);
    let elsewhere = Edit::default().queue("default");
    world.letters().redrive("f", &elsewhere).await.unwrap();
    assert_eq!(world.messages("default").len(), 1);
    assert_eq!(world.record("f").await.queue.as_deref(), Some("default"));
    world.step("default").await;
    for queue in ["quarantine", "undelivered", "nowhere"] {
        let edit = Edit::default().queue(queue);
        assert!(
            world.letters().redrive("f", &edit).await.is_err(),
            "{queue}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn at_a_slow_rate_what_is_passed_over_stands_in_nobodys_way() {
    let world = World::new();
    for _ in 0..30 {
        world.send_body("default", "{oops").await;
    }
    while !world.step("default").await.is_empty() {}
    let mut rejected = Vec::new();
    for _ in 0..5 {
        rejected.push(world.rejected().await);
    }
    let start = world.app().now();
    let all = Selection::all().reason("Rejected");
    let pause = Duration::from_secs(60);
    let each = |_: &DeadLetter, done: crate::Result<Redriven>| assert!(done.is_ok());
    let met = world.letters().redrive_all(&all, pause, each).await;
    assert_eq!(met.unwrap(), 5);
    assert!(world.app().now().since(start) >= pause * 4);
    assert_eq!(world.messages("default").len(), 5);
    let left = world.letters().list(&Selection::all(), 99).await.unwrap();
    assert_eq!(left.len(), 30, "all of them visible again");
}

#[tokio::test(start_paused = true)]
async fn of_two_letters_of_one_task_the_second_waits() {
    let world = World::new();
    let body = json!({"task": "answer", "args": ["reject"], "id": "r"}).to_string();
    world.send_body("default", body).await;
    // Its process dies after the letter is sent: the message comes again, and makes it good.
    let deliveries = world.receive("default").await;
    world.worker.handle(&deliveries, &world.invocation()).await;
    world.pass(91).await;
    world.step("default").await;
    assert_eq!(world.messages("dead-letters").len(), 2);
    let mut answers = Vec::new();
    let letters = world.letters();
    let all = Selection::all();
    let each = |letter: &DeadLetter, done: crate::Result<Redriven>| {
        answers.push((letter.id.clone(), done.is_ok()));
    };
    letters
        .redrive_all(&all, Duration::ZERO, each)
        .await
        .unwrap();
    assert_eq!(
        answers.iter().map(|(_, sent)| *sent).collect::<Vec<_>>(),
        [true, false]
    );
    assert_eq!(world.messages("default").len(), 1);
    let second = Selection::all().letter(&answers[1].0);
    assert_eq!(letters.list(&second, 9).await.unwrap().len(), 1);
    // Redriven while its twin's message waits, it helps.
    let again = world.redrive("r").await;
    assert_eq!((again.sent, again.generation), (true, 1));
    world.step("default").await;
    assert_eq!(world.record("r").await.attempts.len(), 2, "one run more");
}

#[tokio::test(start_paused = true)]
async fn letters_are_chosen_by_task_reason_id_and_age() {
    let world = World::new();
    let id = world.rejected().await;
    world.pass(600).await;
    world.send_body("default", "{oops").await;
    world.step("default").await;
    let count = async |selection: Selection| {
        let found = world.letters().list(&selection, 99).await.unwrap();
        found.len()
    };
    let all = Selection::all;
    assert_eq!(count(all()).await, 2);
    assert_eq!(count(all().task("answer")).await, 1);
    assert_eq!(count(all().task("add")).await, 0);
    assert_eq!(count(all().reason("Undecodable")).await, 1);
    assert_eq!(count(all().id(&id)).await, 1);
    assert_eq!(count(all().older_than(Duration::from_secs(300))).await, 1);
    assert_eq!(count(all().id(&id).reason("Undecodable")).await, 0);
    let one = world.letters().list(&all(), 1).await.unwrap();
    assert_eq!(one.len(), 1);
    assert_eq!(one[0].attempts, Some(1));
    assert_eq!(
        world.letters().find(&one[0].id).await.unwrap().as_ref(),
        one.first()
    );
    let mut discarded = 0;
    let each = |_: &DeadLetter, done: crate::Result<()>| {
        done.unwrap();
        discarded += 1;
    };
    let met = world.letters().discard_all(&Selection::all(), each).await;
    assert_eq!(met.unwrap(), 2);
    assert_eq!(discarded, 2);
    assert!(world.messages("dead-letters").is_empty());
}

/// A message whose acknowledgement was lost comes again, after its task was redriven with other arguments.
#[tokio::test(start_paused = true)]
async fn a_late_copy_of_an_earlier_generation_changes_nothing() {
    let mut config = Config::memory();
    for name in ["jobs.fifo", "dead-letters.fifo"] {
        config.queues.insert(name.into(), "memory".to_owned());
    }
    let world = World::with(config);
    for queue in ["default", "jobs.fifo"] {
        let id = format!("late on {queue}");
        let body = json!({"id": id, "task": "answer", "args": ["reject"], "expires": 60});
        world.send_body(queue, body.to_string()).await;
        let deliveries = world.receive(queue).await;
        world.worker.handle(&deliveries, &world.invocation()).await;
        assert_eq!(world.status(&id).await, State::Failure);
        let edit = args(json!("ignore"));
        world.letters().redrive(&id, &edit).await.unwrap().unwrap();

        // The copy is there first: it is neither helped nor adopted, nor does its expiry count.
        world.pass(91).await;
        let (old, mut new): (Vec<_>, Vec<_>) = world
            .receive(queue)
            .await
            .into_iter()
            .partition(|delivery| delivery.receive_count > 1);
        assert_eq!(old.len(), 1, "{queue}");
        let done = world.worker.handle(&old, &world.invocation()).await;
        assert_eq!(done, [Disposition::Done]);
        assert_eq!(world.record(&id).await.status, State::Retry);
        world.acknowledge(&old, &done).await;
        if new.is_empty() {
            new = world.receive(queue).await;
        }
        world.worker.handle(&new, &world.invocation()).await;
        let record = world.record(&id).await;
        assert_eq!(
            (record.status, record.generation),
            (State::Ignored, 1),
            "{queue}"
        );
        let again = world.letters().find(&id).await.unwrap();
        assert!(again.is_none(), "no letter is written again");
    }
}

#[tokio::test(start_paused = true)]
async fn steps_of_other_arguments_are_not_taken_for_done() {
    let world = World::new();
    let id = world.rejected().await;
    let write = crate::ports::Write {
        key: crate::ports::Key::Result(id.clone()),
        op: crate::ports::Op::Update(vec![crate::ports::Change::Set(
            "checkpoints".into(),
            crate::ports::Attribute::Map(Item::from([("step".into(), "1".into())])),
        )]),
        when: crate::ports::When::Present,
    };
    let store = &world.app().ports().store;
    store.write(write.clone()).await.unwrap();
    world.redrive(&id).await;
    assert!(world.item(&id).contains_key("checkpoints"), "the same call");
    world.step("default").await;
    let edit = args(json!("ignore"));
    world.letters().redrive(&id, &edit).await.unwrap().unwrap();
    assert!(!world.item(&id).contains_key("checkpoints"));
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_is_all_that_is_left_is_not_discarded() {
    let world = World::new();
    let id = world.rejected().await;
    let letter = world.letters().find(&id).await.unwrap().unwrap();
    world.redrive(&id).await;
    // As if the redrive had died before it sent: its letter is still there.
    let queue = &world.app().ports().queue;
    queue
        .send(&"dead-letters".into(), vec![Outgoing::new(letter.body)])
        .await
        .unwrap();
    let refused = world.letters().discard(&id).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(
        refused.to_string().contains("redrive it again"),
        "{refused}"
    );
    let still = world.letters().find(&id).await.unwrap();
    assert!(
        still.is_some(),
        "it is there at once, not when it shows again"
    );
    world.step("default").await;
    world.letters().discard(&id).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_not_over_is_not_edited() {
    let world = World::new();
    let id = world.send("flaky", json!([1])).await;
    world.step("default").await;
    assert_eq!(world.status(&id).await, State::Retry);
    let body = json!({"id": id, "task": "flaky", "args": [1]}).to_string();
    let queue = &world.app().ports().queue;
    queue
        .send(&"dead-letters".into(), vec![Outgoing::new(body)])
        .await
        .unwrap();
    let refused = world.letters().redrive(&id, &args(json!(0))).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);
}

/// A step that is redriven runs alone: what followed it has ended, and whoever was told of that isn't told again.
#[tokio::test(start_paused = true)]
async fn what_has_ended_with_a_step_that_is_redriven_stays_so() {
    let next = json!({ "task": "echo" });
    let chord = json!({ "chord": [next, next], "body": next });
    for next in [next, chord] {
        let (world, told) = super::canvas::world();
        let chain = json!({
            "chain": [{ "task": "answer", "id": "first", "args": ["reject"] }, next],
            "link_error": { "task": "tell" },
        });
        let id = world.send_body("default", chain.to_string()).await;
        world.work_off().await;
        let whole = world.record(&id).await;
        assert_eq!(whole.status, State::Failure);
        assert_eq!(told.all().len(), 1);

        let mended = args(json!("wait"));
        world.letters().redrive("first", &mended).await.unwrap();
        world.work_off().await;
        assert_eq!(world.status("first").await, State::Success);
        assert_eq!(world.record(&id).await, whole);
        assert_eq!(told.all().len(), 1, "{:?}", told.all());
    }
}

/// A member that failed is counted, whatever is done about it: the group doesn't wait for its new life.
#[tokio::test(start_paused = true)]
async fn a_group_that_collects_takes_the_failure_of_a_member_that_runs_again() {
    let (world, _) = super::canvas::world();
    let chord = json!({
        "chord": [
            { "task": "answer", "args": ["reject"] },
            { "task": "add", "args": [1, 1], "countdown": 10 },
        ],
        "on_failure": "collect",
        "body": { "task": "echo" },
    });
    let id = world.send_body("default", chord.to_string()).await;
    world.step("default").await;
    world.step("default").await;
    let letters = world.letters().list(&Selection::all(), 10).await.unwrap();
    let letter = letters.first().unwrap();
    // Not ready, for longer than the other member takes.
    let edit = args(json!("snooze"));
    world.letters().redrive(&letter.id, &edit).await.unwrap();
    for _ in 0..15 {
        world.step("default").await;
        world.pass(1).await;
    }
    let record = world.record(&id).await;
    assert_eq!(record.status, State::Success, "{:?}", record.error);
    let result = record.result.unwrap();
    assert!(result[0]["error"]["type"].is_string(), "{result}");
    assert_eq!(result[1], json!({ "ok": 2 }));
}
