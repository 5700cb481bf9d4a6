//! Compositions of every shape, composed from the seed, and what must come of them.

use std::time::Duration;

use sedano::beat::Beat;
use sedano::memory::Memory;
use sedano::ports::{Attribute, Table};
use sedano::sim::{Faults, Random, Simulation, World};
use sedano::{BoxError, Context, Record, Signature, State, TaskError, Worker, chord, task, tasks};
use serde_json::{Value, json};

use crate::worlds::number;

/// Its number and all the numbers it is given.
#[task(max_retries = 3, default_retry_delay = secs(2))]
async fn leaf(#[default] input: Value, #[default] n: i64) -> Result<i64, TaskError> {
    Ok(n + sum(&input))
}

/// The same, with a claim of its own only where it is counted.
#[task(idempotent)]
async fn light(#[default] input: Value, #[default] n: i64) -> Result<i64, TaskError> {
    Ok(n + sum(&input))
}

#[task]
async fn fails(#[default] input: Value) -> Result<(), TaskError> {
    Err(TaskError::permanent(format!("no luck with {input}")))
}

#[task]
async fn noted(what: Value) -> Result<Value, TaskError> {
    Ok(what)
}

/// Answers with a leaf and a shape behind it.
#[task]
async fn replaces(
    #[ctx] ctx: &Context,
    #[default] input: Value,
    #[default] by: Value,
) -> Result<Value, TaskError> {
    let leaf = json!({ "task": "leaf", "kwargs": { "input": input } });
    let chain = json!({ "chain": [leaf, by] });
    Err(ctx.replace(Signature::<(), Value>::try_from(chain)?))
}

fn sum(value: &Value) -> i64 {
    match value {
        Value::Array(list) => list.iter().map(sum).sum(),
        value => value.as_i64().unwrap_or(0),
    }
}

/// A shape, and what it yields: nothing, if something in it fails.
enum Shape {
    Leaf { n: i64, light: bool },
    Fails,
    Replaces(Box<Shape>),
    Chain(Vec<Shape>),
    Group(Vec<Shape>),
    Chord(Vec<Shape>, Box<Shape>),
}

impl Shape {
    fn random(random: &Random, depth: u64) -> Self {
        let many = |most| {
            let shapes = 0..random.below(most);
            shapes.map(|_| Self::random(random, depth - 1)).collect()
        };
        match random.below(if depth == 0 { 5 } else { 10 }) {
            0 if random.chance(0.15) => Shape::Fails,
            0..5 => Shape::Leaf {
                n: i64::try_from(random.below(10)).unwrap_or(0),
                light: random.chance(0.2),
            },
            5 | 6 => {
                let mut steps: Vec<Shape> = many(3);
                steps.push(Self::random(random, depth - 1));
                Shape::Chain(steps)
            }
            7 if random.chance(0.5) => Shape::Replaces(Box::new(Self::random(random, depth - 1))),
            7 => Shape::Group(many(5)),
            _ => Shape::Chord(many(6), Box::new(Self::random(random, depth - 1))),
        }
    }

    fn json(&self) -> Value {
        let all = |shapes: &[Shape]| shapes.iter().map(Shape::json).collect::<Vec<_>>();
        match self {
            Shape::Leaf { n, light } => {
                let task = if *light { "light" } else { "leaf" };
                json!({ "task": task, "kwargs": { "n": n } })
            }
            Shape::Fails => json!({ "task": "fails", "link_error": { "task": "noted" } }),
            Shape::Replaces(by) => json!({ "task": "replaces", "kwargs": { "by": by.json() } }),
            Shape::Chain(steps) => json!({ "chain": all(steps) }),
            Shape::Group(members) => json!({ "group": all(members) }),
            Shape::Chord(members, body) => json!({ "chord": all(members), "body": body.json() }),
        }
    }

    /// What it yields for an input, if nothing in it fails.
    fn yields(&self, input: &Value) -> Option<Value> {
        let all = |shapes: &[Shape]| {
            let yielded = shapes.iter().map(|shape| shape.yields(input));
            yielded.collect::<Option<Vec<_>>>().map(Value::from)
        };
        match self {
            Shape::Leaf { n, .. } => Some(json!(n + sum(input))),
            Shape::Fails => None,
            Shape::Replaces(by) => by.yields(&json!(sum(input))),
            Shape::Chain(steps) => steps
                .iter()
                .try_fold(input.clone(), |input, step| step.yields(&input)),
            Shape::Group(members) => all(members),
            Shape::Chord(members, body) => body.yields(&all(members)?),
        }
    }
}

async fn composed(world: &World) -> Result<(), BoxError> {
    let sent = send(world).await;
    world.settle().await;
    yields_what_it_should(world, sent).await
}

/// The same, where messages of members get lost, as to somebody who purges the queue; and beat has the groups looked
/// at that hang.
async fn purged(world: &World) -> Result<(), BoxError> {
    Beat::new().tick(world.observer()).await?;
    let sent = send(world).await;
    let clock = &world.observer().ports().clock;
    let queue = world.memory().queue();
    for _ in 0..world.random().below(12) {
        let pause = Duration::from_secs(3);
        let pause = world.random().between(Duration::ZERO, pause);
        clock.sleep(pause).await;
        // A member's: nothing else is looked after.
        queue.purge(&"default".into(), |body| {
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
    yields_what_it_should(world, sent).await
}

type Sent = Vec<(String, Shape, String)>;

async fn send(world: &World) -> Sent {
    let mut sent = Vec::new();
    for _ in 0..1 + world.random().below(3) {
        let shape = Shape::random(world.random(), 3);
        let body = shape.json().to_string();
        let id = world.send_body("default", body.clone()).await;
        sent.push((id, shape, body));
    }
    sent
}

async fn yields_what_it_should(world: &World, sent: Sent) -> Result<(), BoxError> {
    for (id, shape, body) in sent {
        let record = world.observer().record(&id).await?;
        let found = match record.status {
            State::Success => Some(result(world, record).await?),
            State::Failure => None,
            other => return Err(format!("{id} is {other}: {body}").into()),
        };
        let expected = shape.yields(&Value::Null);
        if found != expected && !(found.is_none() && was_unlucky(world)) {
            return Err(format!("{id} yields {found:?} instead of {expected:?}: {body}").into());
        }
    }
    Ok(())
}

async fn result(world: &World, record: Record) -> Result<Value, BoxError> {
    let handle = world.observer().result_of::<Value>(record.id);
    Ok(handle.try_get().await?.ok_or("it has no result")?)
}

/// Whether a task's process died too often, or SQS gave its message up: then it failed by no fault of its own.
fn was_unlucky(world: &World) -> bool {
    let kind = |record: &sedano::ports::Item| match record.get("error") {
        Some(Attribute::Map(error)) => error
            .get("type")
            .and_then(Attribute::as_text)
            .map(str::to_owned),
        _ => None,
    };
    let records = world.memory().store().items(Table::Results);
    let mut kinds = records.iter().filter_map(kind);
    kinds.any(|kind| matches!(kind.as_str(), "WorkerLost" | "Undelivered"))
}

fn run(
    test: &'static str,
    faults: Faults,
    share: u64,
    scenario: impl AsyncFn(&World) -> Result<(), BoxError> + Sync,
) {
    let base = number("SEDANO_SIM_BASE").unwrap_or(0);
    let worlds = (number("SEDANO_SIM_WORLDS").unwrap_or(200) / share).max(2);
    let simulation = Simulation::new(|| tasks![leaf, light, fails, noted, replaces])
        .faults(faults)
        // Worlds whose lost members are looked for go on for more than a day.
        .config(|config| config.result_expires = Duration::from_secs(14 * 86_400))
        .seeds(base..base + worlds)
        .replay_with(move |seed| {
            format!(
                "SEDANO_SIM_SEED={seed} cargo test --profile sim --no-default-features --features sim \
                 -p sedano --test simulation {test}"
            )
        });
    match number("SEDANO_SIM_SEED") {
        Some(seed) => simulation.replay(seed, scenario).unwrap(),
        None => simulation.run(scenario).unwrap(),
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
    run(test, Faults::none(), 10, composed);
}

#[test]
fn members_that_are_lost_are_made_up_for() {
    let test = "canvas::members_that_are_lost_are_made_up_for";
    run(test, Faults::all(), 20, purged);
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
        let worker = Worker::new(memory.app()).tasks(tasks![leaf, total]);
        let members = (0..MEMBERS).map(|n| leaf::s(Value::Null, n));
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
