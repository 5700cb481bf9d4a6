//! Groups whose members were lost: a queue was purged, a process died, a table was restored.

use super::canvas::{call, replaced, world, xsum};
use super::mortal::Mortal;
use super::*;
use crate::beat::Beat;
use crate::group::member_id;
use crate::message::FanOut;
use crate::ports::{Change, Key, Op, When, Write};
use crate::record::field;
use crate::watch;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

fn numbers(members: i64) -> Vec<Value> {
    (0..members).map(|n| call("add", json!([n, 0]))).collect()
}

fn chord(members: impl Into<Value>) -> Value {
    json!({ "chord": members.into(), "body": call("xsum", json!([])) })
}

impl World {
    /// Sends a composition by hand and has its first message worked on.
    async fn open(&self, canvas: &Value) -> String {
        Beat::new().tick(self.app()).await.unwrap();
        let id = self.send_body("default", canvas.to_string()).await;
        self.step("default").await;
        id
    }

    /// Takes so many messages out of the queue for good.
    fn lose(&self, mut messages: usize) {
        self.lose_those(|_| {
            let is_lost = messages > 0;
            messages = messages.saturating_sub(1);
            is_lost
        });
        assert_eq!(messages, 0, "there is nothing to lose");
    }

    fn lose_all(&self) {
        self.lose_those(|_| true);
    }

    fn lose_those(&self, is_lost: impl FnMut(&str) -> bool) -> usize {
        let queue = QueueName::new(QueueName::DEFAULT);
        self.memory.queue().purge(&queue, is_lost)
    }

    /// Ticks and works for so long; how many messages were sent to the queue.
    async fn live(&self, seconds: u64) -> u64 {
        let until = self.app().now() + Duration::from_secs(seconds);
        let before = self.memory.counts();
        while self.app().now() < until {
            self.pass(60).await;
            Beat::new().tick(self.app()).await.unwrap();
            while !self.step("default").await.is_empty() {}
        }
        let sent = self.memory.counts().since(&before);
        sent.of("SendMessageBatch") + sent.of("SendMessage")
    }

    /// The same, while everything but the looks is lost at once; until the task has ended.
    async fn live_among_purges(&self, id: &str, seconds: u64) {
        let until = self.app().now() + Duration::from_secs(seconds);
        while self.app().now() < until && !self.status(id).await.is_final() {
            self.pass(600).await;
            Beat::new().tick(self.app()).await.unwrap();
            loop {
                self.lose_those(|body| !body.contains("\"check\""));
                let looks = self.receive("default").await;
                if looks.is_empty() {
                    break;
                }
                let done = self.worker.handle(&looks, &self.invocation()).await;
                self.acknowledge(&looks, &done).await;
                if self.status(id).await.is_final() {
                    return;
                }
            }
        }
    }

    async fn set(&self, key: Key, changes: Vec<Change>) {
        let write = Write {
            key,
            op: Op::Update(changes),
            when: When::Present,
        };
        let outcome = self.app().ports().store.write(write).await.unwrap();
        assert!(
            matches!(outcome, crate::ports::Outcome::Applied(_)),
            "{outcome:?}"
        );
    }

    /// The group that is under way.
    fn group(&self) -> String {
        let items = self.memory.store().items(Table::Results);
        let group = items.iter().find(|item| item.contains_key(field::SIZE));
        group.unwrap()["id"].as_text().unwrap().to_owned()
    }

    fn watches(&self) -> usize {
        let items = self.memory.store().items(Table::State);
        let pks = items.iter().filter_map(|item| item.get("pk")?.as_text());
        pks.filter(|pk| pk.starts_with("groups#")).count()
    }

    /// The message of a look at a group that was opened lately.
    async fn send_check(&self, group: &str) {
        let check = FanOut::check(group, watch::span(self.app().now()));
        self.send_body("default", check.encode().unwrap()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn members_that_are_lost_are_sent_again() {
    let (world, _) = world();
    let id = world.open(&chord(numbers(50))).await;
    for _ in 0..2 {
        world.step("default").await;
    }
    world.lose_all();
    world.live(HOUR - 60).await;
    assert_eq!(world.runs.count(), 20, "they may still wait somewhere");
    world.live(HOUR).await;
    let record = world.record(&id).await;
    assert_eq!(record.result, Some(json!(49 * 50 / 2)));
    assert_eq!(world.runs.count(), 50 + 1);
    assert_eq!(world.live(3 * HOUR).await, 1, "the look that finds the end");
    assert_eq!(world.watches(), 0);
    assert_eq!(world.live(2 * DAY).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_few_that_are_lost_here_and_there_are_sent_again_alone() {
    let (world, _) = world();
    let id = world.open(&chord(numbers(52))).await;
    for _ in 0..4 {
        world.lose(3);
        world.step("default").await;
    }
    world.work_off().await;
    assert_eq!(world.runs.count(), 40);
    world.live(2 * HOUR).await;
    assert_eq!(world.record(&id).await.result, Some(json!(51 * 52 / 2)));
    assert_eq!(world.runs.count(), 52 + 1);
}

#[tokio::test(start_paused = true)]
async fn a_member_goes_on_where_it_was_lost() {
    let (world, told) = world();
    let chain = json!({ "chain": [
        json!({ "task": "add", "args": [1, 1], "link": call("tell", json!([])) }),
        call("mul", json!([10])),
        call("add", json!([3])),
    ] });
    let inner = chord(vec![call("add", json!([2, 2])), call("add", json!([3, 3]))]);
    let id = world.open(&json!({ "group": [chain, inner] })).await;
    world.step("default").await;
    assert_eq!((world.runs.count(), told.all().len()), (1, 0));
    // The callback, the second step, and the members of the inner group, which is watched itself.
    world.lose(4);
    world.live(2 * HOUR).await;
    let record = world.app().whole(world.record(&id).await).await.unwrap();
    assert_eq!(record.result, Some(json!([23, 10])));
    assert_eq!(told.all(), [json!(2)]);
    assert_eq!(world.runs.count(), 2 + 2 + 1);
}

#[tokio::test(start_paused = true)]
async fn parts_that_never_came_are_sent_again() {
    let (world, _) = world();
    let id = world.open(&chord(numbers(1300))).await;
    assert_eq!(world.messages("default").len(), 500 + 2);
    assert_eq!(world.lose_those(|body| body.contains("\"first\":1000")), 1);
    world.work_off().await;
    assert_eq!(world.runs.count(), 1000);
    world.live(2 * HOUR).await;
    assert_eq!(world.record(&id).await.result, Some(json!(1299 * 1300 / 2)));
    assert_eq!(world.runs.count(), 1300 + 1);
}

/// A group too large for one message, of which one is lost before any worker sees it.
#[tokio::test(start_paused = true)]
async fn parts_that_no_worker_saw_are_given_up() {
    let (world, _) = world();
    Beat::new().tick(world.app()).await.unwrap();
    let part = |first: u32| {
        let group = json!({
            "v": 1, "id": "g", "group_id": "g", "group": numbers(30),
            "part": { "first": first, "size": 90 },
        });
        group.to_string()
    };
    world.send_body("default", part(0)).await;
    world.send_body("default", part(60)).await;
    world.step("default").await;
    world.live(2 * HOUR).await;
    assert_eq!(world.status("g").await, State::Started);
    assert_eq!(world.runs.count(), 60);
    world.live(6 * DAY).await;
    let lost = world.record(&member_id("g", 45)).await;
    assert_eq!(lost.error.unwrap().kind, "Lost");
    let error = world.record("g").await.error.unwrap();
    assert!(error.message.contains("raised Lost("), "{error}");
    // And the one that begins the group.
    for first in [30, 60] {
        let late = part(first).replace("\"g\"", "\"h\"");
        world.send_body("default", late).await;
    }
    world.live(4 * DAY).await;
    assert_eq!(world.status("h").await, State::Pending);
    world.live(2 * DAY).await;
    let error = world.record("h").await.error.unwrap();
    assert!(
        error
            .message
            .contains("of its first members, which begins it, is lost"),
        "{error}"
    );
    assert_eq!(world.watches(), 0);
    assert_eq!(world.runs.count(), 120);
}

#[tokio::test(start_paused = true)]
async fn what_stands_for_a_task_is_looked_after() {
    let (mut world, _) = world();
    world.worker = world.worker.tasks(tasks![replaced]);
    let chain =
        json!({ "chain": [call("replaced", json!([2, "chain"])), call("mul", json!([3]))] });
    let id = world.open(&chain).await;
    assert_eq!(world.watches(), 1);
    world.lose_all();
    world.live(4 * HOUR).await;
    assert_eq!(world.record(&id).await.result, Some(json!(600)));
    assert_eq!(world.watches(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_empty_group_whose_worker_died_is_completed() {
    for calls in 0..8 {
        let (mut world, told) = world();
        Beat::new().tick(world.app()).await.unwrap();
        let id = world
            .send_body("default", json!({ "group": [] }).to_string())
            .await;
        let deliveries = world.receive("default").await;
        let mortal = Worker::new(Mortal::app(&world, calls)).state(told);
        let alive = std::mem::replace(&mut world.worker, mortal);
        let invocation = world.invocation();
        let clock = world.memory.ports().clock;
        tokio::select! {
            biased;
            _ = world.worker.handle(&deliveries, &invocation) => {}
            () = clock.sleep(Duration::from_secs(1)) => {}
        }
        world.worker = alive;
        let has_begun = world.status(&id).await != State::Pending;
        world.lose_those(|_| true);
        world.live(2 * HOUR).await;
        let wanted = if has_begun {
            State::Success
        } else {
            State::Pending
        };
        assert_eq!(world.status(&id).await, wanted, "{calls} calls");
        assert_eq!(has_begun, calls >= 2);
    }
}

/// Wherever the process dies that sends the members, and though its message is lost as well.
#[tokio::test(start_paused = true)]
async fn a_sender_that_dies_midway_is_made_up_for() {
    for calls in 0..6 {
        let (mut world, told) = world();
        let chord = chord(numbers(25));
        Beat::new().tick(world.app()).await.unwrap();
        let id = world.send_body("default", chord.to_string()).await;
        let deliveries = world.receive("default").await;
        let mortal = Worker::new(Mortal::app(&world, calls));
        let mortal = mortal.tasks(tasks![add, xsum]).state(told);
        let alive = std::mem::replace(&mut world.worker, mortal);
        let invocation = world.invocation();
        let clock = world.memory.ports().clock;
        tokio::select! {
            biased;
            _ = world.worker.handle(&deliveries, &invocation) => {}
            () = clock.sleep(Duration::from_secs(1)) => {}
        }
        world.worker = alive;
        let has_begun = world.memory.store().items(Table::Results).len() == 1;
        world.acknowledge(&deliveries, &[Disposition::Done]).await;
        world.live(3 * HOUR).await;
        let record = world.record(&id).await;
        match has_begun {
            true => assert_eq!(record.result, Some(json!(300)), "{calls} calls"),
            // It is as if it had never been sent.
            false => assert_eq!((record.status, calls < 2), (State::Pending, true)),
        }
        world.live(6 * DAY).await;
        assert_eq!(world.watches(), 0, "{calls} calls");
        let failed = world.memory.store().items(Table::Results);
        let failed = failed
            .iter()
            .filter(|item| item["status"] == "FAILURE".into());
        // But for the group's own record, where its watch was all that was written.
        assert_eq!(failed.count(), usize::from(calls == 1));
    }
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_sent_again_fails_with_its_reason() {
    let (world, told) = world();
    // Too large to be kept, whatever is done to it.
    let mut text = String::new();
    let entropy = SeededEntropy::new(7);
    while text.len() < 900_000 {
        let mut bytes = [0; 32];
        crate::ports::Entropy::fill(&entropy, &mut bytes);
        text.extend(bytes.iter().map(|byte| format!("{byte:02x}")));
    }
    let members = json!([call("echo", json!([text])), call("add", json!([1, 1]))]);
    let body = json!({ "task": "xsum", "link_error": call("tell", json!([])) });
    let id = world.open(&json!({ "chord": members, "body": body })).await;
    let group = world.group();
    world.lose(2);
    world.live(4 * DAY + 22 * HOUR).await;
    assert_eq!(world.runs.count(), 1, "the other one was kept");
    assert_eq!(world.status(&id).await, State::Pending);
    world.live(DAY).await;
    let lost = world.record(&member_id(&group, 0)).await;
    let error = lost.error.unwrap();
    assert_eq!((lost.status, error.kind.as_str()), (State::Failure, "Lost"));
    assert!(
        error
            .message
            .starts_with("nothing was heard of it since 2026-03-01T12:00:00"),
        "{error}"
    );
    let record = world.record(&id).await;
    let error = record.error.unwrap();
    assert_eq!(
        (record.status, error.kind.as_str()),
        (State::Failure, "ChordError")
    );
    assert!(error.message.contains("raised Lost("), "{error}");
    assert_eq!(told.all().len(), 1);
    world.live(DAY).await;
    assert_eq!(world.watches(), 0);
}

/// A purge each hour: nobody gets through.
#[tokio::test(start_paused = true)]
async fn what_is_lost_again_and_again_is_given_up() {
    let (world, told) = world();
    let first = json!({ "task": "add", "args": [1, 1], "link_error": call("tell", json!([])) });
    let chain = json!({ "chain": [first, call("mul", json!([2]))] });
    let id = world
        .open(&json!({ "group": [chain, call("add", json!([2, 2]))] }))
        .await;
    world.live_among_purges(&id, 6 * DAY).await;
    world.work_off().await;
    let error = world.record(&id).await.error.unwrap();
    assert!(error.message.contains("raised Lost("), "{error}");
    assert_eq!(told.all().len(), 1);
    assert_eq!(world.runs.count(), 0);
    // Each step of the member has its end.
    let items = world.memory.store().items(Table::Results);
    let failed = items
        .iter()
        .filter(|item| item["status"].as_text() == Some("FAILURE"));
    assert_eq!(failed.count(), 1 + 2 + 1);
}

#[tokio::test(start_paused = true)]
async fn who_is_alive_is_left_alone() {
    let (world, _) = world();
    let members = json!([
        json!({ "task": "add", "args": [1, 1], "countdown": 2 * DAY }),
        json!({ "chain": [
            call("add", json!([1, 1])),
            json!({ "task": "add", "args": [1], "countdown": 2 * DAY }),
        ] }),
        call("add", json!([5, 5])),
    ]);
    let id = world.open(&json!({ "group": members })).await;
    let sent = world.live(2 * DAY + HOUR).await;
    let record = world.app().whole(world.record(&id).await).await.unwrap();
    assert_eq!(record.result, Some(json!([2, 3, 10])));
    assert_eq!(world.runs.count(), 4);
    // A message each 900 s for the two that wait, seven looks, and one that begins the second step.
    assert!(sent <= 2 * (2 * 96 + 1) + 7 + 1, "{sent}");
}

/// While messages wait for hours, the look waits too, and so knows.
#[tokio::test(start_paused = true)]
async fn a_backlog_is_no_loss() {
    let (world, _) = world();
    let id = world.open(&chord(numbers(30))).await;
    for _ in 0..300 {
        world.pass(60).await;
        Beat::new().tick(world.app()).await.unwrap();
    }
    let waiting = world.messages("default");
    let looks = waiting
        .iter()
        .filter(|one| one.body.contains("\"check\""))
        .count();
    assert_eq!((waiting.len(), looks), (33, 3));
    // Everything at once, and the looks before the members.
    let deliveries = {
        let mut all = Vec::new();
        while all.len() < 33 {
            all.extend(world.receive("default").await);
        }
        all.sort_by_key(|one| !one.body.contains("\"check\""));
        all
    };
    for batch in deliveries.chunks(10) {
        let done = world.worker.handle(batch, &world.invocation()).await;
        world.acknowledge(batch, &done).await;
    }
    let sent: Vec<_> = world.messages("default");
    assert_eq!(sent.len(), 1, "the body alone: {sent:?}");
    world.work_off().await;
    assert_eq!(world.record(&id).await.result, Some(json!(29 * 30 / 2)));
}

/// A later attempt died with its process, and its message is lost.
#[tokio::test(start_paused = true)]
async fn a_dead_attempt_is_taken_up() {
    let (world, _) = world();
    let id = world
        .open(&json!({ "group": [call("flaky", json!([2])), call("add", json!([1, 1]))] }))
        .await;
    let member = member_id(&id, 0);
    world.step("default").await;
    world.pass(5).await;
    assert_eq!(world.status(&member).await, State::Retry);
    // As a process leaves it that dies.
    let lease = world.app().now() + Duration::from_secs(62);
    let dead = vec![
        Change::Set(field::STATUS.into(), State::Started.into()),
        Change::Set(field::OWNER.into(), "dead/0".into()),
        Change::Set(field::LEASE_UNTIL.into(), lease.into()),
        Change::Remove(field::DUE_AT.into()),
    ];
    world.set(Key::Result(member), dead).await;
    world.lose_all();
    world.live(4 * HOUR).await;
    let record = world.app().whole(world.record(&id).await).await.unwrap();
    assert_eq!(record.result, Some(json!([2, 2])));
}

#[tokio::test(start_paused = true)]
async fn who_has_ended_uncounted_is_counted() {
    let (world, _) = world();
    let id = world.open(&json!({ "group": numbers(260) })).await;
    world.work_off().await;
    let ended = world.record(&id).await;
    assert_eq!(ended.status, State::Success);
    // As from a backup of the state table; and as if a process had died before it counted a full block.
    for lost in [&["0#0", "0#1", "1#0"][..], &["0#1"], &["1#0"]] {
        world
            .set(
                Key::Result(id.clone()),
                vec![
                    Change::Set(field::STATUS.into(), State::Started.into()),
                    Change::Remove(field::FINISHED_AT.into()),
                ],
            )
            .await;
        for block in lost {
            let delete = Write {
                key: Key::State(format!("group#{id}#{block}"), "block".to_owned()),
                op: Op::Delete,
                when: When::Present,
            };
            world.app().ports().store.write(delete).await.unwrap();
        }
        world.send_check(&id).await;
        world.work_off().await;
        assert_eq!(world.status(&id).await, State::Success, "{lost:?}");
    }
    assert_eq!(world.runs.count(), 260);
}

#[tokio::test(start_paused = true)]
async fn a_look_may_come_twice_and_late() {
    let (world, told) = world();
    let body = json!({ "task": "xsum", "link": call("tell", json!([])) });
    let id = world
        .open(&json!({ "chord": numbers(30), "body": body }))
        .await;
    let group = world.group();
    world.lose_all();
    world.pass(2 * HOUR).await;
    for _ in 0..3 {
        world.send_check(&group).await;
    }
    let deliveries = world.receive("default").await;
    let done = world.worker.handle(&deliveries, &world.invocation()).await;
    assert_eq!(
        world.messages("default").len(),
        3 + 3,
        "a part for each, side by side"
    );
    world.acknowledge(&deliveries, &done).await;
    world.work_off().await;
    assert_eq!(world.record(&id).await.result, Some(json!(29 * 30 / 2)));
    let late = world.worker.handle(&deliveries, &world.invocation()).await;
    assert_eq!(late, done);
    world.work_off().await;
    assert_eq!(told.all(), [json!(29 * 30 / 2)]);
    assert_eq!(world.runs.count(), 30 + 1);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_ends_between_tick_and_look_is_let_go() {
    let (world, _) = world();
    let id = world.open(&json!({ "group": numbers(3) })).await;
    assert_eq!(world.watches(), 1);
    for _ in 0..27 {
        world.pass(60).await;
        Beat::new().tick(world.app()).await.unwrap();
    }
    let mut deliveries = world.receive("default").await;
    deliveries.sort_by_key(|one| one.body.contains("\"check\""));
    assert_eq!(deliveries.len(), 3 + 1);
    for batch in deliveries.chunks(3) {
        let done = world.worker.handle(batch, &world.invocation()).await;
        world.acknowledge(batch, &done).await;
    }
    assert_eq!(world.status(&id).await, State::Success);
    assert_eq!(world.watches(), 0);
    // A look at what nobody knows.
    world.send_check("unknown").await;
    assert_eq!(world.step("default").await, [Disposition::Done]);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_lost_is_sent_again_and_at_last_given_up() {
    for again in [true, false] {
        let (world, told) = world();
        let link_error = call("tell", json!([]));
        let body = json!({ "task": "xsum", "link_error": link_error });
        let chain = [
            json!({ "group": numbers(3) }),
            body,
            call("mul", json!([2])),
        ];
        let id = world.open(&json!({ "chain": chain })).await;
        let is_body = |one: &StoredMessage| one.body.contains("\"task\":\"xsum\"");
        while !world.messages("default").iter().any(is_body) {
            world.step("default").await;
        }
        world.lose_all();
        if again {
            world.live(4 * HOUR).await;
            assert_eq!(world.record(&id).await.result, Some(json!(6)));
            assert_eq!(world.runs.count(), 3 + 1);
            assert!(told.all().is_empty());
        } else {
            world.live_among_purges(&id, 6 * DAY).await;
            world.work_off().await;
            let error = world.record(&id).await.error.unwrap();
            assert_eq!(error.kind, "Lost");
            assert_eq!(told.all()[0]["message"], error.message);
            assert_eq!(world.runs.count(), 3);
        }
        world.live(DAY).await;
        assert_eq!(world.watches(), 0);
        assert_eq!(told.all().len(), usize::from(!again));
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_that_was_given_up_fails_nobody() {
    let (world, _) = world();
    let id = world.open(&json!({ "group": numbers(3) })).await;
    let check = FanOut::check(&id, watch::span(world.app().now()));
    world
        .send_body("undelivered", check.encode().unwrap())
        .await;
    assert_eq!(world.step("undelivered").await, [Disposition::Done]);
    assert_eq!(world.status(&id).await, State::Started);
    assert_eq!(world.messages("dead-letters").len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_group_ends_before_its_records_do() {
    let (world, _) = world();
    let far = json!({ "task": "add", "args": [1, 1], "countdown": 20 * DAY });
    let id = world
        .open(&json!({ "group": [far, call("add", json!([1, 1]))] }))
        .await;
    world.lose(1);
    world.live(12 * DAY).await;
    assert_eq!(world.status(&id).await, State::Started);
    world.live(DAY + HOUR).await;
    let error = world.record(&id).await.error.unwrap();
    assert!(
        error.message.contains("it hadn't ended 13 days after"),
        "{error}"
    );
}

/// A group that ends costs a write for its watch and one for its members, and a delete by a look.
#[tokio::test(start_paused = true)]
async fn a_watch_costs_little() {
    let (world, _) = world();
    let before = world.memory.counts();
    let id = world.open(&json!({ "group": numbers(250) })).await;
    let opened = world.memory.counts().since(&before);
    let record = world.item(&id).len();
    assert!(record > 0);
    // The tick's watermark, the record, the watch; three for what is kept of the members.
    assert!(opened.write_units <= 3 + 3, "{opened:?}");
    world.work_off().await;
    let before = world.memory.counts();
    world.live(2 * HOUR).await;
    let looked = world.memory.counts().since(&before);
    assert_eq!(looked.of("DeleteItem"), 1);
    assert_eq!(looked.of("SendMessageBatch"), 1, "{looked:?}");
    // The ticks' watermark, and the delete.
    assert_eq!(looked.write_units, 120 + 1, "{looked:?}");
    // Each ten minutes the four partitions of each span that comes to an age.
    assert!(looked.of("Query") <= 13 * 18 * 4, "{looked:?}");
}
