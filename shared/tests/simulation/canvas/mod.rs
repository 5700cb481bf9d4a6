//! Compositions of every shape, composed from the seed, and what must come of them.

mod checks;
mod expected;
mod shapes;
mod steps;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proptest::prelude::any;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use sedano::beat::Beat;
use sedano::dead_letters::Selection;
use sedano::memory::Memory;
use sedano::sim::{Faults, Simulation, World};
use sedano::{BoxError, Signature, TaskError, Worker, chord, task, tasks};

use serde_json::Value;

use crate::samples::Mended;
use crate::worlds::{number, redrive};
use checks::Sent;
use shapes::Shape;
use steps::Log;

async fn composed(world: &World) -> Result<(), BoxError> {
    let mut sent = send(world, draw(world)).await?;
    world.settle().await;
    sent.came_to_what_it_should(world).await
}

/// The same, where messages of members get lost, as to somebody who purges the queue; and beat has the groups looked
/// at that hang. Not those that have failed at once: whom nobody waits for, nobody looks for. And nothing is made
/// up for that only concerns the purged message itself: its callbacks, its dead letter.
async fn purged(world: &World) -> Result<(), BoxError> {
    Beat::new().tick(world.observer()).await?;
    let mut shapes = draw(world);
    shapes.iter_mut().for_each(Shape::tame);
    let mut sent = send(world, shapes).await?.purged();
    let clock = &world.observer().ports().clock;
    let queue = world.memory().queue();
    for _ in 0..world.random().below(12) {
        let pause = Duration::from_secs(3);
        let pause = world.random().between(Duration::ZERO, pause);
        clock.sleep(pause).await;
        // A member's: nothing else is looked after.
        queue.lose(&"default".into(), |body| {
            body.contains("\"member\":") && world.random().chance(0.7)
        });
    }
    world.settle().await;
    // Six looks: each may find what was sent again and lost once more.
    for _ in 0..26 * 6 {
        clock.sleep(Duration::from_secs(600)).await;
        Beat::new().tick(world.observer()).await?;
        world.settle().await;
    }
    // What was purged begins when a look has missed it.
    world.disturbed();
    sent.came_to_what_it_should(world).await
}

/// The same, where tasks are redriven: some while the rest is at work, in vain; then all, when it is mended what
/// was wrong. And some of the results are forgotten before.
async fn redriven(world: &World) -> Result<(), BoxError> {
    let mut sent = send(world, draw(world)).await?;
    let letters = world.observer().dead_letters();
    for _ in 0..world.random().below(5) {
        let pause = Duration::from_secs(12);
        let pause = world.random().between(Duration::ZERO, pause);
        world.sleep(pause).await;
        let rejected = Selection::all().reason("Rejected");
        let mut tasks = BTreeSet::new();
        for letter in letters.list(&rejected, 1000).await? {
            // A letter of each: its runs are counted up to ten.
            if tasks.insert(letter.task_id) {
                redrive(world, &letter.id).await;
            }
        }
    }
    world.settle().await;
    sent.came_to_what_it_should(world).await?;
    sent.forget_some(world).await?;
    let mended = world.state::<Mended>().ok_or("no state")?;
    mended.0.store(true, Ordering::Relaxed);
    for letter in letters.list(&Selection::all(), 1000).await? {
        redrive(world, &letter.id).await;
    }
    world.settle().await;
    sent.came_to_what_it_should(world).await
}

fn draw(world: &World) -> Vec<Shape> {
    let shapes = 0..1 + world.random().below(3);
    shapes.map(|_| Shape::random(world.random(), 3)).collect()
}

/// Sends them as a program does, or by hand. Under an id, for a send whose answer is lost is done again.
async fn send(world: &World, shapes: Vec<Shape>) -> Result<Sent, BoxError> {
    let mut sent = Sent::default();
    let mut next = 0;
    for mut shape in shapes {
        shape.number(&mut next);
        let mut json = shape.json();
        let id = match world.random().chance(0.5) {
            true => {
                let whole = Signature::<(), Value>::try_from(json)?;
                world.send(whole).await.id().to_owned()
            }
            false => {
                let id = format!("whole-{next}");
                json["id"] = id.as_str().into();
                world.send_body("default", json.to_string()).await;
                id
            }
        };
        sent.add(id, shape);
    }
    Ok(sent)
}

fn simulation(test: &'static str, faults: Faults) -> Simulation {
    Simulation::new(steps::all)
        .state(Log::default)
        .state(Mended::default)
        .faults(faults)
        // Worlds whose lost members are looked for go on for more than a day.
        .config(|config| config.result_expires = Duration::from_secs(14 * 86_400))
        .replay_with(move |seed| {
            format!(
                "SEDANO_SIM_SEED={seed} cargo test --profile sim --no-default-features --features sim \
                 -p sedano --test simulation {test}"
            )
        })
}

fn run(
    test: &'static str,
    faults: Faults,
    share: u64,
    scenario: impl AsyncFn(&World) -> Result<(), BoxError> + Sync,
) {
    let base = number("SEDANO_SIM_BASE").unwrap_or(0);
    let worlds = (number("SEDANO_SIM_WORLDS").unwrap_or(200) / share).max(2);
    let simulation = simulation(test, faults);
    match number("SEDANO_SIM_SEED") {
        Some(seed) => simulation.replay(seed, scenario).unwrap(),
        None => simulation.seeds(base..base + worlds).run(scenario).unwrap(),
    }
}

#[test]
fn compositions_keep_every_promise() {
    let test = "canvas::compositions_keep_every_promise";
    run(test, Faults::all(), 4, composed);
}

#[test]
fn compositions_without_faults_yield_what_they_should() {
    let test = "canvas::compositions_without_faults_yield_what_they_should";
    run(test, Faults::none(), 10, async |world: &World| {
        let sent = send(world, draw(world)).await?;
        world.settle().await;
        sent.without_faults().came_to_what_it_should(world).await
    });
}

#[test]
fn members_that_are_lost_are_made_up_for() {
    let test = "canvas::members_that_are_lost_are_made_up_for";
    // A group that SQS gives up has failed: nobody looks for those of its members that are lost as well.
    run(test, Faults::all().unstarted(0.0), 20, purged);
}

#[test]
fn redriven_and_forgotten_parts_change_nothing_else() {
    let test = "canvas::redriven_and_forgotten_parts_change_nothing_else";
    run(test, Faults::all(), 10, redriven);
}

/// One composition in a world, both drawn by proptest, which makes of one that breaks something the smallest.
#[test]
fn any_composition_keeps_every_promise() {
    let test = "canvas::any_composition_keeps_every_promise";
    let base = number("SEDANO_SIM_BASE").unwrap_or(0);
    let worlds = (number("SEDANO_SIM_WORLDS").unwrap_or(200) / 20).max(2);
    let config = Config {
        cases: u32::try_from(worlds).unwrap_or(u32::MAX),
        failure_persistence: None,
        ..Config::default()
    };
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&base.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(config, rng);
    // What holds of a seed isn't smaller of a smaller one.
    let seeds = proptest::strategy::Strategy::no_shrink(any::<u32>());
    let found = runner.run(&(Shape::any(), seeds), |(shape, seed)| {
        let seed = u64::from(seed);
        let report =
            simulation(test, Faults::all())
                .seeds(seed..seed + 1)
                .run(async |world: &World| {
                    let mut sent = send(world, vec![shape.clone()]).await?;
                    world.settle().await;
                    sent.came_to_what_it_should(world).await
                });
        match report.is_ok() {
            true => Ok(()),
            false => Err(TestCaseError::fail(report.to_string())),
        }
    });
    found.unwrap_or_else(|broken| panic!("{broken}"));
}

#[task]
async fn itself(n: i64) -> Result<i64, TaskError> {
    Ok(n)
}

#[task]
async fn total(numbers: Vec<i64>) -> Result<i64, TaskError> {
    Ok(numbers.iter().sum())
}

/// Sent in several messages, fanned out in parts, counted in a tree of three levels, its results read in pages.
#[test]
fn a_chord_of_a_hundred_thousand_members() {
    const MEMBERS: i64 = 100_000;
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let memory = Memory::default();
        let worker = Worker::new(memory.app()).tasks(tasks![itself, total]);
        let members = (0..MEMBERS).map(itself::s);
        let sent = worker
            .app()
            .send(chord(members.collect::<Vec<_>>(), total::partial()))
            .await
            .unwrap();
        let messages = memory.queue().messages(&"default".into()).len();
        assert!(messages > 1, "all of it fits into one message");
        while worker.run_once().await.unwrap() > 0 {}
        let result = sent.try_get().await.unwrap();
        assert_eq!(result, Some(MEMBERS * (MEMBERS - 1) / 2));
        let units = memory.counts().write_units as f64 / MEMBERS as f64;
        assert!(units <= 2.2, "{units} write units for each member");
    });
}
