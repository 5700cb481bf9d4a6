//! Groups among what is old, forged or large; on slow ports, and how their ends are told, in files of their own.

mod ends;
mod slow;

use super::canvas::{call, echo, world, xsum};
use super::stuck::DAY;
use super::*;
use crate::group::member_id;

impl World {
    /// Takes out of the queue what says so.
    fn lose_messages(&self, of: &str) {
        let lost = self.lose_those(|body| body.contains(of));
        assert!(lost > 0, "there is nothing to lose");
    }

    async fn completed(&self, group: &str) -> u32 {
        let group = self.app().result_of::<Vec<Value>>(group);
        group.completed().await.unwrap()
    }
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
        world.send_check("g").await;
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
