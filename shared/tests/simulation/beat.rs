//! Scenarios of schedules: ticks that come late, twice, three at once, or not for twenty minutes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sedano::beat::{Beat, CatchUp, Entries, Entry, Past, Schedule, every};
use sedano::sim::{Faults, Simulation, World};
use sedano::{BoxError, Context, State, TaskError, Timestamp, task};

use crate::worlds::{number, simulation};

/// When a world begins.
const START: Timestamp = Timestamp::from_millis(1_772_366_400_000);
/// Up to when something is due.
const LASTS: Duration = Duration::from_secs(1500);
/// By how much it is put off, at most.
const JITTER: Duration = Duration::from_secs(30);
/// Two clocks differ by less.
const SKEW: Duration = Duration::from_secs(2);

/// Which tasks ran, by entry and due time.
#[derive(Default)]
pub(crate) struct Ran(Mutex<BTreeMap<(String, Timestamp), BTreeSet<String>>>);

impl Ran {
    fn note(&self, entry: String, due: Timestamp, id: &str) {
        let mut ran = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ran.entry((entry, due)).or_default().insert(id.to_owned());
    }
}

#[task(max_retries = 50)]
pub(crate) async fn note(
    #[state] ran: &Ran,
    #[ctx] ctx: &Context,
    entry: String,
    lasts: u64,
) -> Result<(), TaskError> {
    let due = ctx
        .due()
        .ok_or_else(|| TaskError::permanent("not of a schedule"))?;
    ran.note(entry, due, ctx.id());
    let clock = &ctx.app().ports().clock;
    clock.sleep(Duration::from_millis(lasts)).await;
    Ok(())
}

fn seconds(count: u64) -> Schedule {
    every(Duration::from_secs(count))
}

fn entry(name: &str, period: u64, lasts: u64) -> Entry {
    let call = note::s(name.to_owned(), lasts * 1000);
    Entry::new(name, seconds(period), call).ending(START + LASTS)
}

/// The worlds of this schedule: each entry by another policy.
pub(crate) fn kept(worlds: Simulation) -> Simulation {
    let schedule = || {
        Beat::new()
            .with(entry("all", 75, 0).catch_up(CatchUp::All))
            .with(entry("once", 100, 0))
            .with(entry("skip", 120, 0).catch_up(CatchUp::Skip))
            .with(
                entry("jitter", 130, 0)
                    .catch_up(CatchUp::All)
                    .jitter(JITTER),
            )
            .with(entry("five", 30, 0).max_runs(5))
            .with(entry("apart", 40, 50).no_overlap())
    };
    worlds.beat(schedule)
}

/// Beat keeps its schedule, and somebody adds an entry to it and pauses that.
pub(crate) async fn scheduled(world: &World) -> Result<(), BoxError> {
    let random = world.random();
    let some = |most: u64| Duration::from_secs(random.below(most));
    world.sleep(some(600)).await;
    let entries = Entries::of(world.app());
    let added = entry("added", 40, 0).catch_up(CatchUp::All);
    let observed = Entries::of(world.observer());
    // At the earliest: the first call may have done it.
    let from = now(world);
    let add = async || entries.add(added.clone()).await.map(drop);
    insist(world, add, async || observed.get("added").await.is_ok()).await;
    world.sleep(some(600)).await;
    let pause = async || entries.pause("added").await.map(drop);
    insist(world, pause, async || false).await;
    let until = now(world);
    world.beaten(START + LASTS + JITTER).await?;
    world.settle().await;

    let entries = observed;
    let history = async |name: &str, period: u64| -> Result<Vec<Past>, BoxError> {
        let count = usize::try_from(LASTS.as_secs() / period)?;
        Ok(entries.history(name, count + 5).await?)
    };
    for name in ["all", "jitter"] {
        let period = if name == "all" { 75 } else { 130 };
        let first = entries.get(name).await?.since;
        for past in history(name, period).await? {
            if past.due > first && !is_done(world, &past).await? {
                return Err(format!("{name}, due at {}, is {}", past.due, past.status).into());
            }
        }
    }
    // Whatever was left out, the last of it was made up for.
    let last = history("once", 100).await?;
    // Beat may have been silent until the last was over.
    if let Some(last) = last.first()
        && !is_done(world, last).await?
    {
        return Err(format!("the last, due at {}, is {}", last.due, last.status).into());
    }
    let apart = history("apart", 40).await?;
    let mut runs: Vec<_> = apart
        .iter()
        .filter(|past| past.status == State::Success)
        .filter_map(|past| Some((past.started_at?, past.finished_at?)))
        .collect();
    runs.sort();
    for pair in runs.windows(2) {
        let [(_, finished), (started, _)] = pair else {
            continue;
        };
        if *started + SKEW < *finished {
            return Err(format!("one began at {started}, and another ended at {finished}").into());
        }
    }
    let ran = world.state::<Ran>().ok_or("no state")?;
    let ran = ran.0.lock().map_err(|_| "a body panicked")?;
    for ((name, due), ids) in ran.iter() {
        if ids.len() > 1 {
            return Err(format!("{name}, due at {due}, ran as {ids:?}").into());
        }
        let paused = name == "added" && (*due > until + SKEW || *due + SKEW < from);
        if paused {
            return Err(format!("it ran for {due}, and was there from {from} to {until}").into());
        }
    }
    let of = |wanted: &str| ran.keys().filter(|(name, _)| name == wanted).count();
    if of("five") > 5 {
        return Err(format!("{} runs of 5", of("five")).into());
    }
    Ok(())
}

fn now(world: &World) -> Timestamp {
    world.observer().ports().clock.now()
}

/// Again and again, until it is done: by this call, or by an earlier one whose answer was lost.
async fn insist(
    world: &World,
    act: impl AsyncFn() -> sedano::Result<()>,
    is_done: impl AsyncFn() -> bool,
) {
    loop {
        let done = act().await;
        if done.is_ok() || is_done().await {
            return;
        }
        world.sleep(Duration::from_secs(1)).await;
    }
}

/// Whether it ran; or SQS gave its message up.
async fn is_done(world: &World, past: &Past) -> Result<bool, BoxError> {
    if past.status == State::Success {
        return Ok(true);
    }
    let error = world.observer().record(&past.id).await?.error;
    Ok(error.is_some_and(|error| error.kind == "Undelivered"))
}

#[test]
fn each_due_time_is_kept_once() {
    let faults = Faults::all();
    let worlds = kept(simulation("beat::each_due_time_is_kept_once", faults, 20));
    match number("SEDANO_SIM_SEED") {
        Some(seed) => worlds.replay(seed, scheduled).unwrap(),
        None => worlds.run(scheduled).unwrap(),
    }
}
