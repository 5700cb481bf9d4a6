//! What ticks and changes of entries cost, counted: `docs/cost.md` has these rows.

use super::*;
use crate::memory::Counts;
use crate::tests::documented::costs;

impl World {
    /// What was used by all of this.
    async fn used<T>(&self, work: impl Future<Output = Result<T>>) -> Counts {
        let before = self.memory.counts();
        work.await.unwrap();
        self.memory.counts().since(&before)
    }

    /// What a tick costs when the first ones, which make the entries, are over.
    async fn third_tick(&self, beat: &Beat) -> Counts {
        self.minutes(beat, 2).await;
        self.used(beat.tick(self.app())).await
    }
}

fn entries(count: u64, schedule: &Schedule) -> Beat {
    let entries = (0..count).map(|number| noting(&format!("e{number}"), schedule.clone()));
    entries.fold(Beat::new(), Beat::with)
}

#[tokio::test(start_paused = true)]
async fn a_tick_that_finds_nothing_due() {
    let daily = seconds(86_400);
    for (what, beat) in [
        ("a tick with nothing due", entries(0, &daily)),
        ("the same of a thousand entries", entries(1000, &daily)),
    ] {
        costs(what, &World::new().third_tick(&beat).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_tick_that_finds_something_due() {
    let minutely = seconds(60);
    let counted = noting("a", minutely.clone()).max_runs(10);
    for (what, beat) in [
        ("a tick with one entry due", entries(1, &minutely)),
        ("a tick with twenty entries due", entries(20, &minutely)),
        ("a tick with one due that has a `max_runs`", one(counted)),
    ] {
        costs(what, &World::new().third_tick(&beat).await);
    }
}

/// The groups of each ten minutes are looked at at nineteen ages, in four partitions.
#[tokio::test(start_paused = true)]
async fn an_idle_month() {
    let world = World::new();
    let beat = Beat::new();
    beat.tick(world.app()).await.unwrap();
    let before = world.memory.counts();
    for _ in 0..60 {
        world.wait(60).await;
        beat.tick(world.app()).await.unwrap();
    }
    let mut month = world.memory.counts().since(&before);
    costs("an hour of ticks with nothing due", &month);
    let hours = 30 * 24;
    for calls in month.calls.values_mut() {
        *calls *= hours;
    }
    month.read_units *= hours;
    month.write_units *= hours;
    costs("a month of them", &month);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_an_entry() {
    let world = World::new();
    let (entries, beat) = (world.entries(), Beat::new());
    let entry = |every| noting("a", seconds(every));
    beat.tick(world.app()).await.unwrap();
    let added = world.used(entries.add(entry(100))).await;
    costs("`add`", &added);
    world.pass(60).await;
    let ticked = world.used(beat.tick(world.app())).await;
    assert_eq!((ticked.of("UpdateItem"), ticked.write_units), (2, 2));
    // Its next run waits in the queue.
    world.pass(30).await;
    let edited = world.used(entries.edit(entry(3600))).await;
    costs(
        "`edit`, `pause` or `resume`, with one task handed out",
        &edited,
    );
    let quiet = "the same with none";
    costs(quiet, &world.used(entries.edit(entry(7200))).await);
    costs(quiet, &world.used(entries.pause("a")).await);
    costs(quiet, &world.used(entries.resume("a")).await);
    costs("`run-now`", &world.used(entries.run_now("a")).await);
    costs("`remove`", &world.used(entries.remove("a")).await);
}
