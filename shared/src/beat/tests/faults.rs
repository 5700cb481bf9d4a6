//! Calls of the store that fail, and processes that die, in the midst of a change or a tick.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::error::ErrorKind;
use crate::ports::Ports;
use crate::tests::faulty::{Call, Fault, faulty};

fn app(ports: Ports) -> App {
    App::new(ports, Config::memory()).tasks(tasks![note])
}

impl World {
    /// The same application, over a store of which a write goes wrong after so many.
    fn failing(&self, after: u32, fault: Fault) -> App {
        let writes = AtomicU32::new(0);
        let failing = move |call: Call<'_>| match call {
            Call::Write if writes.fetch_add(1, Ordering::Relaxed) == after => fault,
            _ => Fault::None,
        };
        app(faulty(self.app().ports(), failing))
    }

    /// The same, of whoever dies after so many writes.
    fn dying(&self, after: u32) -> App {
        let writes = AtomicU32::new(0);
        let dying = move |call: Call<'_>| match call {
            Call::Write if writes.fetch_add(1, Ordering::Relaxed) >= after => Fault::Throttled,
            _ => Fault::None,
        };
        app(faulty(self.app().ports(), dying))
    }
}

/// Whoever edits dies after so many writes: the change, then four revocations, then that they are done.
#[tokio::test(start_paused = true)]
async fn a_change_that_broke_off_is_gone_on_with_by_the_next_tick() {
    for (writes, pass) in (0..6).flat_map(|writes| [(writes, 2), (writes, 30)]) {
        let world = World::new();
        world.entries().add(noting("a", seconds(20))).await.unwrap();
        Beat::new().tick(world.app()).await.unwrap();
        world.pass(25).await;
        let app = world.dying(writes);
        let other = Entry::new("a", seconds(20), note::s("b".to_owned()));
        Entries::of(&app).edit(other).await.unwrap_err();
        world.pass(pass).await;
        world.minutes(&Beat::new(), 2).await;
        let both = [world.ran("a"), world.ran("b")].concat();
        let mut due = both.clone();
        due.sort_unstable();
        due.dedup_by_key(|at| *at / 20);
        assert_eq!(due.len(), both.len(), "{writes}, {pass}: {both:?}");
        let until = 25 + i64::try_from(pass).unwrap() + 120;
        assert_eq!(
            i64::try_from(due.len()).unwrap(),
            until / 20,
            "{writes}, {pass}: {both:?}"
        );
        if writes == 0 {
            assert!(world.ran("b").is_empty());
        } else {
            assert!(!world.item("a").unwrap().contains_key("revoking"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_broke_off_is_gone_on_with_by_the_next_tick() {
    for writes in 1..7 {
        let world = World::new();
        world.entries().add(noting("a", seconds(20))).await.unwrap();
        Beat::new().tick(world.app()).await.unwrap();
        world.pass(25).await;
        let app = world.dying(writes);
        Entries::of(&app).remove("a").await.unwrap_err();
        let error = world.entries().get("a").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        world.minutes(&Beat::new(), 1).await;
        assert_eq!(
            (world.item("a"), world.ran("a")),
            (None, vec![20]),
            "{writes}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn each_write_of_a_tick_may_fail_or_be_lost() {
    // The first two add the entries: due from when they are there.
    let faults = [Fault::AnswerLost, Fault::Throttled];
    for (writes, fault) in (2..10).flat_map(|writes| faults.map(|fault| (writes, fault))) {
        let world = World::new();
        let beat = Beat::new()
            .with(noting("a", seconds(20)).max_runs(7))
            .with(noting("b", seconds(20)).catch_up(CatchUp::All));
        let app = world.failing(writes, fault);
        let mut failed = 0;
        for _ in 0..4 {
            failed += u32::from(beat.tick(&app).await.is_err());
            world.pass(30).await;
        }
        assert!(failed <= 1, "{writes}, {fault:?}");
        assert_eq!(
            world.ran("a").len(),
            6,
            "{writes}, {fault:?}: {:?}",
            world.ran("a")
        );
        assert_eq!(
            world.ran("b").len(),
            6,
            "{writes}, {fault:?}: {:?}",
            world.ran("b")
        );
        world.minutes(&beat, 2).await;
        assert_eq!(
            world.ran("a").len(),
            7,
            "{writes}, {fault:?}: {:?}",
            world.ran("a")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_cannot_be_sent_holds_its_own_place_only() {
    let world = World::new();
    let nobody = Entry::new(
        "later",
        seconds(20),
        crate::Signature::<(), ()>::named("newer"),
    );
    // Added through a program that knows no tasks.
    Entries::of(&world.memory.app()).add(nobody).await.unwrap();
    let beat = one(noting("a", seconds(30)));
    world.minutes(&beat, 2).await;
    assert_eq!(world.ran("a"), [30, 60, 90, 120]);
    let after = world.item("later").unwrap()["after"].clone();
    assert_eq!(
        after,
        START.into(),
        "it makes up for it when the task is known"
    );
}

#[tokio::test(start_paused = true)]
async fn a_tick_that_read_what_was_before_an_edit_sends_what_is_revoked() {
    let world = World::new();
    world.entries().add(noting("a", seconds(20))).await.unwrap();
    let app = app(faulty(world.app().ports(), |call| match call {
        Call::Query => Fault::Slow(10),
        _ => Fault::None,
    }));
    let beat = Beat::new();
    let edit = async {
        world.wait(5).await;
        let other = Entry::new("a", seconds(30), note::s("b".to_owned()));
        world.entries().edit(other).await
    };
    let (ticked, edited) = tokio::join!(beat.tick(&app), edit);
    edited.unwrap();
    assert_eq!(ticked.unwrap().sent, 3, "of the old definition");
    // It began at the world's beginning, and is over ten seconds later.
    world.minutes(&beat, 2).await;
    assert!(world.ran("a").is_empty());
    assert_eq!(world.ran("b"), [30, 60, 90, 120]);
}

/// Two ticks at a time: the one that can't send an entry reads it while the other, which has, is about to note that nothing
/// of it is left.
#[tokio::test(start_paused = true)]
async fn what_one_tick_could_not_send_stays_due_whatever_another_notes() {
    #[task]
    async fn another() {}
    let world = World::new();
    let slow = AtomicU32::new(0);
    // The watermark moves at once; the answer takes ten seconds.
    let first = faulty(world.app().ports(), move |call| match call {
        Call::Write if slow.fetch_add(1, Ordering::Relaxed) == 0 => Fault::Slow(10),
        _ => Fault::None,
    });
    let first = app(first);
    world.entries().add(noting("a", seconds(72))).await.unwrap();
    let beat = Beat::new();
    let second = async {
        world.wait(5).await;
        // Another deployment, which doesn't know the task. 72 is due in its time, and not in the first's.
        let other = App::new(world.app().ports().clone(), Config::memory());
        let other = other.tasks(tasks![another]);
        assert_eq!(beat.tick(&other).await.unwrap().left_out, 1);
    };
    let (ticked, ()) = tokio::join!(beat.tick(&first), second);
    assert_eq!(ticked.unwrap().sent, 0);
    world.pass(50).await;
    world.minutes(&beat, 2).await;
    assert_eq!(world.ran("a"), [72, 144]);
}
