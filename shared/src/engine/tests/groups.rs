//! Groups among what is old, forged, large or slow.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use async_trait::async_trait;

use super::canvas::{call, echo, world, xsum};
use super::mortal::{Mortal, survives};
use super::stuck::HOUR;
use super::*;
use crate::beat::Beat;
use crate::error::{Error, ErrorKind, Result};
use crate::group::member_id;
use crate::message::FanOut;
use crate::ports::{Depth, Key, Outcome, Page, Ports, Queue, Receipt, Sent, Store, Write};
use crate::record;
use crate::watch;

const DAY: u64 = 86_400;

impl World {
    /// Takes out of the queue what says so.
    fn lose_messages(&self, of: &str) {
        let queue = QueueName::new(QueueName::DEFAULT);
        let lost = self.memory.queue().purge(&queue, |body| body.contains(of));
        assert!(lost > 0, "there is nothing to lose");
    }

    async fn completed(&self, group: &str) -> u32 {
        let group = self.app().result_of::<Vec<Value>>(group);
        group.completed().await.unwrap()
    }
}

/// Ports whose sends take a while, and whose reads of many records take so many seconds.
struct Slow {
    ports: Ports,
    /// What can't be read once.
    refused: Mutex<Option<Key>>,
    reads: AtomicU64,
    /// The bytes on their way to the queue, and the most there ever were.
    sending: AtomicUsize,
    most: AtomicUsize,
}

impl Slow {
    fn world() -> (World, Arc<Self>) {
        let (mut world, told) = world();
        let ports = world.app().ports().clone();
        let slow = Arc::new(Self {
            ports: ports.clone(),
            refused: Mutex::default(),
            reads: AtomicU64::new(0),
            sending: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        let ports = Ports {
            queue: slow.clone(),
            store: slow.clone(),
            ..ports
        };
        let app = App::new(ports, world.app().config().clone());
        world.worker = Worker::new(app)
            .tasks(tasks![add, echo, xsum])
            .state(world.runs.clone())
            .state(told);
        (world, slow)
    }
}

#[async_trait]
impl Store for Slow {
    async fn get(&self, key: &Key) -> Result<Option<Item>> {
        let refused = self
            .refused
            .lock()
            .unwrap()
            .take_if(|refused| refused == key);
        match refused {
            Some(_) => Err(Error::new(ErrorKind::Unavailable, "no answer")),
            None => self.ports.store.get(key).await,
        }
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Item>>> {
        let seconds = self.reads.load(Ordering::Relaxed);
        self.ports.clock.sleep(Duration::from_secs(seconds)).await;
        self.ports.store.get_many(keys).await
    }

    async fn query(&self, pk: &str, after: Option<&str>, limit: u32) -> Result<Page> {
        self.ports.store.query(pk, after, limit).await
    }

    async fn write(&self, write: Write) -> Result<Outcome> {
        self.ports.store.write(write).await
    }

    async fn write_many(&self, writes: Vec<Write>) -> Vec<Result<Outcome>> {
        self.ports.store.write_many(writes).await
    }
}

#[async_trait]
impl Queue for Slow {
    async fn send(&self, queue: &QueueName, batch: Vec<Outgoing>) -> Result<Vec<Result<Sent>>> {
        let bytes = batch.iter().map(Outgoing::size).sum();
        let sending = self.sending.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.most.fetch_max(sending, Ordering::Relaxed);
        self.ports.clock.sleep(Duration::from_millis(10)).await;
        self.sending.fetch_sub(bytes, Ordering::Relaxed);
        self.ports.queue.send(queue, batch).await
    }

    async fn receive(
        &self,
        queue: &QueueName,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        self.ports.queue.receive(queue, max, wait).await
    }

    async fn delete_many(
        &self,
        queue: &QueueName,
        receipts: Vec<Receipt>,
    ) -> Result<Vec<Result<()>>> {
        self.ports.queue.delete_many(queue, receipts).await
    }

    async fn hide_many(
        &self,
        queue: &QueueName,
        changes: Vec<(Receipt, Duration)>,
    ) -> Result<Vec<Result<()>>> {
        self.ports.queue.hide_many(queue, changes).await
    }

    async fn depth(&self, queue: &QueueName) -> Result<Depth> {
        self.ports.queue.depth(queue).await
    }
}

/// Of one of them another copy was done with meanwhile: its message can't make good what failed.
#[tokio::test(start_paused = true)]
async fn whoever_completes_a_group_together_goes_on_together() {
    let (world, ports) = Slow::world();
    let numbers = [call("add", json!([1, 1])), call("add", json!([2, 2]))];
    let group = json!({ "group": [{ "group": numbers }], "id": "g" }).to_string();
    world.send_body("default", group).await;
    world.step("default").await;
    world.step("default").await;
    *ports.refused.lock().unwrap() = Some(Key::Result("g".to_owned()));
    assert_eq!(world.step("default").await, [Disposition::Returned; 2]);
    let first = member_id(&member_id("g", 0), 0);
    world.lose_messages(&first);
    world.work_off().await;
    assert_eq!(world.status("g").await, State::Success);
    assert_eq!(world.runs.count(), 2);
}

/// The memory store removes nothing by itself, as DynamoDB may for days.
#[tokio::test(start_paused = true)]
async fn a_group_counts_nothing_of_an_earlier_one_of_its_id() {
    let (world, _) = world();
    let group = |x: i64| {
        let members: Vec<Value> = (0..3).map(|n| call("add", json!([n, x]))).collect();
        json!({ "group": members, "id": "g" }).to_string()
    };
    let failing = json!({ "group": [call("fail", json!(["no luck"])), call("add", json!([1, 1]))], "id": "g" });
    world.send_body("default", failing.to_string()).await;
    world.work_off().await;
    assert_eq!(world.status("g").await, State::Failure);
    for x in [10, 20] {
        world.pass(15 * DAY).await;
        world.send_body("default", group(x)).await;
        world.step("default").await;
        assert_eq!(world.completed("g").await, 0);
        // One after the other, so that each finds what the one before has left.
        for done in 1..=3 {
            let deliveries = world.receive("default").await;
            let one = &deliveries[..1];
            let dispositions = world.worker.handle(one, &world.invocation()).await;
            world.acknowledge(one, &dispositions).await;
            for other in &deliveries[1..] {
                let queue = &world.app().ports().queue;
                let shown = vec![(other.receipt.clone(), Duration::ZERO)];
                queue.hide_many(&other.queue, shown).await.unwrap();
            }
            assert_eq!(world.completed("g").await, done);
            let wanted = if done < 3 {
                State::Started
            } else {
                State::Success
            };
            assert_eq!(world.status("g").await, wanted);
        }
        let record = world.app().whole(world.record("g").await).await.unwrap();
        assert_eq!(record.result, Some(json!([x, x + 1, x + 2])));
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_is_looked_after_by_its_own_members() {
    let (world, _) = world();
    for x in [10, 20] {
        let members = [call("add", json!([1, x])), call("add", json!([2, x]))];
        let group = json!({ "group": members, "id": "g" }).to_string();
        world.send_body("default", group).await;
        world.step("default").await;
        world.lose_messages(&member_id("g", 1));
        world.work_off().await;
        world.pass(2 * 3600).await;
        let check = FanOut::check("g", watch::span(world.app().now()));
        world.send_body("default", check.encode().unwrap()).await;
        world.work_off().await;
        let record = world.app().whole(world.record("g").await).await.unwrap();
        assert_eq!(record.result, Some(json!([1 + x, 2 + x])));
        world.pass(15 * DAY).await;
    }
}

/// Only the group's record knows how many members there are.
#[tokio::test(start_paused = true)]
async fn whoever_claims_to_be_a_member_ends_no_group() {
    for (size, forged) in [
        (3, vec![(0, 1)]),
        (3, vec![(5, 10), (6, 10), (7, 10)]),
        // Blocks of 250: the second of them is full for whom it holds one, and so is the one above then.
        (260, vec![(249, 250), (250, 251)]),
        (260, (0..250).map(|index| (index, 250)).collect::<Vec<_>>()),
    ] {
        for fast in [false, true] {
            let (world, _) = world();
            let members: Vec<Value> = (0..size).map(|n| call("add", json!([n, 0]))).collect();
            let group = json!({ "group": members, "id": "g" });
            world.send_body("default", group.to_string()).await;
            world.step("default").await;
            let mut waiting = Vec::new();
            while waiting.len() < size {
                waiting.extend(world.receive("default").await);
            }
            for (index, named) in &forged {
                let (task, args) = if fast {
                    ("fail", "no")
                } else {
                    ("echo", "yes")
                };
                let member = json!({ "group": "g", "index": index, "size": named, "fast": fast });
                let body = json!({ "task": task, "args": [args], "member": member });
                world.send_body("default", body.to_string()).await;
                world.step("default").await;
            }
            for batch in waiting.chunks(10) {
                assert_eq!(world.status("g").await, State::Started, "{size} {fast}");
                let done = world.worker.handle(batch, &world.invocation()).await;
                world.acknowledge(batch, &done).await;
            }
            assert!(world.status("g").await.is_final());
        }
    }
}

/// What each member is handed is in memory for some of them at a time.
#[tokio::test(start_paused = true)]
async fn a_large_result_is_handed_to_a_few_members_at_a_time() {
    const LARGE: usize = 300_000;
    let (world, slow) = Slow::world();
    let large = "x".repeat(LARGE);
    let member = json!({ "task": "echo", "ignore_result": true });
    let group = json!({ "group": vec![member; 60], "id": "g" });
    let chain = json!({ "chain": [call("echo", json!([large])), group] });
    world.send_body("default", chain.to_string()).await;
    world.step("default").await;
    slow.most.store(0, Ordering::Relaxed);
    assert_eq!(world.step("default").await, [Disposition::Done]);
    assert_eq!(world.messages("default").len(), 60);
    let most = slow.most.load(Ordering::Relaxed);
    assert!(most > 3_000_000 && most < 4_500_000, "{most}");
}

/// A body whose argument takes too long to be read is handed back in time, and at last given up.
#[tokio::test(start_paused = true)]
async fn results_are_read_within_the_invocation() {
    for reads in [2, 100] {
        let (world, slow) = Slow::world();
        let members: Vec<Value> = (0..120).map(|n| call("add", json!([n, 0]))).collect();
        let chord = json!({ "chord": members, "body": call("xsum", json!([])) });
        let id = world.send_body("default", chord.to_string()).await;
        for _ in 0..13 {
            world.step("default").await;
        }
        slow.reads.store(100, Ordering::Relaxed);
        let mut handed_back = 0;
        while !world.status(&id).await.is_final() {
            let deadline = world.invocation().deadline;
            for disposition in world.step("default").await {
                if disposition == Disposition::Returned {
                    assert!(world.app().now() < deadline);
                    assert_eq!(world.status(&id).await, State::Retry, "nobody holds it");
                    handed_back += 1;
                }
            }
            if handed_back == reads {
                slow.reads.store(0, Ordering::Relaxed);
            }
            world.pass(5).await;
        }
        let record = world.record(&id).await;
        if reads == 2 {
            assert_eq!(record.result, Some(json!(119 * 60)));
            assert_eq!(handed_back, 2);
        } else {
            let error = record.error.unwrap();
            assert_eq!(handed_back, 5);
            assert!(
                error.message.contains("could not be read in the 58 s"),
                "{error}"
            );
            assert!(world.messages("default").is_empty());
        }
    }
}

/// Who waits for members reads what is new of them, and what is kept for longer than the counts.
#[tokio::test(start_paused = true)]
async fn only_members_that_are_newly_done_are_read() {
    let mut config = Config::memory();
    config.result_expires = Duration::from_secs(30 * DAY);
    let world = World::with(config);
    let members: Vec<Value> = (0..300).map(|n| call("add", json!([n, 0]))).collect();
    let group = json!({ "group": members, "id": "g" });
    world.send_body("default", group.to_string()).await;
    for _ in 0..2 {
        world.step("default").await;
    }
    let group = world.app().result_of::<Vec<i64>>("g");
    let before = world.memory.counts();
    let mut ended = group.as_completed(Duration::from_secs(1));
    let mut told = Vec::new();
    while let Ok(Some((place, value))) = ended.next().await {
        assert_eq!(value.unwrap(), i64::from(place));
        told.push(place);
    }
    assert_eq!(told.len(), 10);
    let units = world.memory.counts().since(&before).read_units;
    // The group's record, two blocks, ten members; then six looks that find nothing new, and the group's state.
    assert!(units <= 13 + 6 * 3 + 1, "{units}");
    let mut ended = group.as_completed(Duration::from_secs(1));
    world.work_off().await;
    told.clear();
    while let Some((place, _)) = ended.next().await.unwrap() {
        told.push(place);
    }
    assert_eq!(told, (0..300).collect::<Vec<_>>());
    world.pass(20 * DAY).await;
    assert_eq!(group.completed().await.unwrap(), 300);
    let mut ended = group.as_completed(Duration::ZERO);
    let mut told = 0;
    while ended.next().await.unwrap().is_some() {
        told += 1;
    }
    assert_eq!(told, 300);
}

/// What is too large may be the data, not what follows.
#[tokio::test(start_paused = true)]
async fn a_group_that_is_handed_too_much_says_so() {
    let (world, _) = world();
    let large = "x".repeat(310_000);
    let group = json!({ "group": [json!({ "task": "echo" })], "id": "g" });
    let chain = json!({ "chain": [call("echo", json!([large])), group] });
    world.send_body("default", chain.to_string()).await;
    world.work_off().await;
    let error = world.record("g").await.error.unwrap();
    assert_eq!(error.kind, "TooLarge");
    assert!(
        error
            .message
            .starts_with("what follows the group and what its members are handed have 310"),
        "{error}"
    );
}

/// One of the members of a group that fails at once, with somebody to be told.
fn fails_at_once(members: usize) -> Value {
    let members = vec![call("fail", json!(["no luck"])); members];
    let body = json!({ "task": "xsum", "id": "b", "link_error": call("tell", json!([])) });
    json!({ "chord": members, "body": body, "on_failure": "fast" })
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_group_that_fails_at_once_is_told_by_the_first() {
    let (world, told) = world();
    let fails = fails_at_once(40).to_string();
    world.send_body("default", fails).await;
    for _ in 0..5 {
        world.step("default").await;
    }
    let waiting = world.messages("default");
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    assert_eq!(world.status("b").await, State::Failure);
    world.work_off().await;
    assert_eq!(told.all().len(), 1);
}

/// Whoever ended it may have died before it told anybody; others that fail meanwhile don't.
#[tokio::test(start_paused = true)]
async fn the_end_of_a_group_is_told_though_its_teller_dies() {
    let mut told_later = 0;
    for calls in 0..12 {
        let (mut world, told) = world();
        let fails = fails_at_once(3).to_string();
        world.send_body("default", fails).await;
        world.step("default").await;
        let deliveries = world.receive("default").await;
        let mortal = Worker::new(Mortal::app(&world, calls)).tasks(tasks![fail]);
        let alive = std::mem::replace(&mut world.worker, mortal);
        let invocation = world.invocation();
        let first = world.worker.handle(&deliveries[..1], &invocation);
        let survived = survives(&world, first).await.is_some();
        world.worker = alive;
        let others = &deliveries[1..];
        let done = world.worker.handle(others, &world.invocation()).await;
        world.acknowledge(others, &done).await;
        let told_at_once = world
            .messages("default")
            .iter()
            .any(|one| one.body.contains("tell"));
        told_later += usize::from(!told_at_once);
        assert!(told_at_once || !survived);
        world.pass(100).await;
        while !world.messages("default").is_empty() || !world.messages("quarantine").is_empty() {
            world.step("default").await;
            world.step("quarantine").await;
            world.pass(10).await;
        }
        assert_eq!(told.all().len(), 1, "{calls} calls");
        assert_eq!(world.status("b").await, State::Failure, "{calls} calls");
    }
    assert!(told_later > 0, "nobody died in between");
}

/// A look that dies after it has ended a group comes again.
#[tokio::test(start_paused = true)]
async fn the_end_of_a_group_is_told_though_the_look_dies_that_ended_it() {
    let mut ended_untold = 0;
    for calls in 0..14 {
        let (mut world, told) = world();
        let members = [call("add", json!([1, 1]))];
        let group = json!({ "group": members, "id": "g", "link_error": call("tell", json!([])) });
        world.send_body("default", group.to_string()).await;
        world.step("default").await;
        let member = member_id("g", 0);
        world.app().revoke(&member).await.unwrap();
        world.lose_messages(&member);
        let check = FanOut::check("g", watch::span(world.app().now()));
        world.send_body("default", check.encode().unwrap()).await;
        let deliveries = world.receive("default").await;
        let mortal = Worker::new(Mortal::app(&world, calls)).tasks(tasks![add]);
        let alive = std::mem::replace(&mut world.worker, mortal);
        let invocation = world.invocation();
        let look = world.worker.handle(&deliveries, &invocation);
        survives(&world, look).await;
        world.worker = alive;
        let has_ended = world.status("g").await == State::Failure;
        let is_told = world
            .messages("default")
            .iter()
            .any(|one| one.body.contains("tell"));
        ended_untold += usize::from(has_ended && !is_told);
        world.pass(100).await;
        world.work_off().await;
        assert_eq!(world.status("g").await, State::Failure, "{calls} calls");
        assert_eq!(told.all().len(), 1, "{calls} calls");
    }
    assert!(ended_untold > 0, "no look died in between");
}

/// Whoever ended an empty group may have died before its body was sent, and nobody take its message any more.
#[tokio::test(start_paused = true)]
async fn the_end_of_a_group_is_followed_up_when_its_message_is_given_up() {
    let mut ended_alone = 0;
    for calls in 0..10 {
        let (mut world, told) = world();
        let chord = json!({ "chord": [], "body": call("xsum", json!([])) });
        let id = world.send_body("default", chord.to_string()).await;
        let deliveries = world.receive("default").await;
        let mortal = Worker::new(Mortal::app(&world, calls)).tasks(tasks![add]);
        let alive = std::mem::replace(&mut world.worker, mortal.state(told));
        let invocation = world.invocation();
        let first = world.worker.handle(&deliveries, &invocation);
        if survives(&world, first).await.is_some() {
            break;
        }
        world.worker = alive;
        let groups = world.memory.store().items(Table::Results);
        let ended = groups
            .iter()
            .any(|item| record::status(item) == Some(State::Success));
        ended_alone += usize::from(ended && world.messages("default").len() == 1);
        for _ in 0..10 {
            world.pass(91).await;
            drop(world.receive("default").await);
        }
        world.pass(91).await;
        world.step("undelivered").await;
        world.work_off().await;
        let expected = if ended {
            State::Success
        } else {
            State::Failure
        };
        assert_eq!(world.status(&id).await, expected, "{calls} calls");
    }
    assert!(ended_alone > 0, "nobody died in between");
}

/// A sender whose answer was lost has sent it again: one dead letter for a group is enough.
#[tokio::test(start_paused = true)]
async fn of_a_group_that_is_given_up_twice_there_is_one_dead_letter() {
    let (world, _) = world();
    let group =
        json!({ "v": 1, "id": "g", "group_id": "g", "group": [call("add", json!([1, 1]))] });
    for _ in 0..2 {
        world.send_body("undelivered", group.to_string()).await;
    }
    assert_eq!(world.step("undelivered").await, [Disposition::Done; 2]);
    assert_eq!(world.status("g").await, State::Failure);
    assert_eq!(world.messages("dead-letters").len(), 1);
    // Its parts are a letter each, whichever comes first.
    for (id, places) in [("h", [0, 1]), ("i", [1, 0])] {
        for first in places {
            let mut part = group.clone();
            part["id"] = json!(id);
            part["group_id"] = json!(id);
            part["part"] = json!({ "first": first, "size": 2 });
            world.send_body("undelivered", part.to_string()).await;
        }
    }
    world.step("undelivered").await;
    assert_eq!(world.messages("dead-letters").len(), 5);
}

/// Whoever tells of a group's failure may die midway, and its message be lost.
#[tokio::test(start_paused = true)]
async fn the_failure_of_a_group_is_told_to_the_last_step() {
    let mut told_in_part = 0;
    for calls in 0..14 {
        let (mut world, told) = world();
        Beat::new().tick(world.app()).await.unwrap();
        let body = json!({ "task": "xsum", "link_error": call("tell", json!([])) });
        let chain = [
            json!({ "group": [call("fail", json!(["no luck"]))] }),
            body,
            call("echo", json!([])),
        ];
        let id = world
            .send_body("default", json!({ "chain": chain }).to_string())
            .await;
        world.step("default").await;
        let deliveries = world.receive("default").await;
        let mortal = Worker::new(Mortal::app(&world, calls)).tasks(tasks![fail]);
        let alive = std::mem::replace(&mut world.worker, mortal);
        let invocation = world.invocation();
        let member = world.worker.handle(&deliveries, &invocation);
        let survived = survives(&world, member).await.is_some();
        world.worker = alive;
        if survived {
            break;
        }
        if world.status(&world.group()).await != State::Failure {
            continue;
        }
        told_in_part += u32::from(!world.status(&id).await.is_final());
        world.lose_those(|body| body == deliveries[0].body);
        world.live(4 * HOUR).await;
        assert_eq!(world.status(&id).await, State::Failure, "{calls} calls");
        assert_eq!(told.all().len(), 1, "{calls} calls");
    }
    assert!(told_in_part > 0, "nobody died in between");
}

/// Parts of a group that was revoked before it began are not sent.
#[tokio::test(start_paused = true)]
async fn the_later_messages_of_a_revoked_group_send_nothing() {
    let (world, _) = world();
    let part = |first: u32| {
        let members = vec![call("add", json!([1, 1])); 30];
        let part = json!({ "first": first, "size": 60 });
        json!({ "v": 1, "id": "g", "group_id": "g", "group": members, "part": part }).to_string()
    };
    let group = world.app().result_of::<Vec<i64>>("g");
    assert_eq!(group.revoke_members().await.unwrap(), 0);
    world.send_body("default", part(30)).await;
    world.send_body("default", part(0)).await;
    world.work_off().await;
    assert_eq!(world.runs.count(), 0);
    assert_eq!(world.status("g").await, State::Revoked);
}
