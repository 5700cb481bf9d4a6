//! The outbox: a task that exists exactly if its rows do, and that beat finds.

use super::*;
use crate::beat::Beat;
use crate::ports::{Attribute, Key, Op, When, Write};
use crate::{ErrorKind, Outbox, Signature, group};

impl World {
    /// What a transaction does that succeeds.
    async fn commit<Out>(&self, outbox: &Outbox<Out>) {
        for row in outbox.rows() {
            let mut item = row.item.clone();
            let mut take = |name: &str| match item.remove(name) {
                Some(Attribute::Text(text)) => Some(text),
                _ => None,
            };
            let key = match row.table.as_str() {
                "results" => Key::Result(take("id").unwrap()),
                _ => Key::State(take("pk").unwrap(), take("sk").unwrap()),
            };
            let write = Write {
                key,
                op: Op::Put(item),
                when: When::Absent,
            };
            self.app().ports().store.write(write).await.unwrap();
        }
    }

    /// Minutes of beat and worker, until nothing is left of a task; how many there were.
    async fn minutes_until(&self, id: &str, most: u32) -> u32 {
        for minute in 1..=most {
            self.pass(60).await;
            Beat::new().tick(self.app()).await.unwrap();
            self.worker.run_once().await.unwrap();
            if self.status(id).await.is_final() {
                return minute;
            }
        }
        panic!("{id} is {} after {most} minutes", self.status(id).await);
    }
}

fn sum(x: i64) -> Signature<(), i64> {
    Signature::named("add").arg(x).kwarg("y", 3)
}

#[tokio::test(start_paused = true)]
async fn beat_sends_what_a_transaction_has_written() {
    let world = World::new();
    Beat::new().tick(world.app()).await.unwrap();
    let outbox = world.app().outbox(sum(2)).unwrap();
    assert_eq!(world.messages("default").len(), 0);
    world.commit(&outbox).await;
    assert!(world.minutes_until(outbox.id(), 10).await <= 3);
    assert_eq!(outbox.handle().try_get().await.unwrap(), Some(5));
    assert_eq!(world.runs.count(), 1);
    // What is left is looked for twice more, in vain.
    world.pass(3600).await;
    Beat::new().tick(world.app()).await.unwrap();
    world.worker.run_once().await.unwrap();
    assert_eq!(world.runs.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_its_rows_there_is_no_task() {
    let world = World::new();
    Beat::new().tick(world.app()).await.unwrap();
    let outbox = world.app().outbox(sum(2)).unwrap();
    world.app().promote(outbox.id()).await.unwrap();
    for _ in 0..5 {
        world.pass(60).await;
        Beat::new().tick(world.app()).await.unwrap();
        world.worker.run_once().await.unwrap();
    }
    assert_eq!(
        (world.runs.count(), world.messages("default").len()),
        (0, 0)
    );
    assert_eq!(world.status(outbox.id()).await, State::Pending);
}

#[tokio::test(start_paused = true)]
async fn promoted_at_once_it_runs_once() {
    let world = World::new();
    Beat::new().tick(world.app()).await.unwrap();
    let outbox = world.app().outbox(sum(2).id("order-17")).unwrap();
    assert_eq!(outbox.id(), "order-17");
    world.commit(&outbox).await;
    for _ in 0..2 {
        world.app().promote("order-17").await.unwrap();
    }
    assert_eq!(world.messages("default").len(), 1, "it is marked as sent");
    assert_eq!(world.step("default").await, [Disposition::Done]);
    assert_eq!(world.status("order-17").await, State::Success);
    for _ in 0..5 {
        world.pass(60).await;
        Beat::new().tick(world.app()).await.unwrap();
        world.worker.run_once().await.unwrap();
    }
    assert_eq!(world.runs.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_commits_late_is_found_later() {
    let world = World::new();
    Beat::new().tick(world.app()).await.unwrap();
    let outbox = world.app().outbox(sum(2)).unwrap();
    for _ in 0..5 {
        world.pass(60).await;
        Beat::new().tick(world.app()).await.unwrap();
    }
    world.commit(&outbox).await;
    assert!(world.minutes_until(outbox.id(), 60).await <= 30);
    assert_eq!(world.runs.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_due_later_waits_and_a_chain_goes_on() {
    let world = World::new();
    Beat::new().tick(world.app()).await.unwrap();
    let hour = Duration::from_secs(3600);
    let chain = sum(2).countdown(hour) | Signature::<i64, i64>::named("add").arg(4);
    let outbox = world.app().outbox(chain).unwrap();
    world.commit(&outbox).await;
    outbox.promote().await.unwrap();
    assert!((60..62).contains(&world.minutes_until(outbox.id(), 70).await));
    assert_eq!(outbox.handle().try_get().await.unwrap(), Some(9));
}

#[tokio::test(start_paused = true)]
async fn what_an_outbox_does_not_hold_is_said() {
    let world = World::new();
    let both = world.app().outbox(group([sum(1), sum(2)]));
    assert_eq!(both.unwrap_err().kind(), ErrorKind::Invalid);
    let mut text = String::new();
    for number in 0..60_000_u32 {
        text.push_str(&crate::id::derived(&[&number.to_string()])[..16]);
    }
    let large = Signature::<(), Value>::named("fail").arg(text);
    assert_eq!(
        world.app().outbox(large).unwrap_err().kind(),
        ErrorKind::TooLarge
    );
}
