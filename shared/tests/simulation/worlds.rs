//! Scenarios of every kind of task, composed from the seed.

use std::time::Duration;

use sedano::dead_letters::{Edit, Selection};
use sedano::sim::{Faults, Simulation, World, die};
use sedano::{BoxError, Context, ResultExt, Signature, State, TaskError, Timestamp, task, tasks};
use serde_json::json;

#[task]
async fn add(x: i64, y: i64) -> Result<i64, TaskError> {
    Ok(x + y)
}

#[task(idempotent)]
async fn add_again(x: i64, y: i64) -> Result<i64, TaskError> {
    Ok(x + y)
}

#[task(ignore_result)]
async fn quiet(x: i64) -> Result<i64, TaskError> {
    Ok(x)
}

#[task(idempotent, ignore_result)]
async fn silent(x: i64) -> Result<i64, TaskError> {
    Ok(x)
}

#[task(idempotent, max_retries = 4, default_retry_delay = secs(3))]
async fn flaky_again(#[ctx] ctx: &Context, failures: u32) -> Result<u32, TaskError> {
    if ctx.retries() < failures {
        Err(std::io::Error::other("disk")).retry()?;
    }
    Ok(ctx.retries())
}

#[task(max_retries = 3, backoff = exponential(secs(2)))]
async fn flaky(#[ctx] ctx: &Context, failures: u32) -> Result<u32, TaskError> {
    if ctx.retries() < failures {
        Err(std::io::Error::other("disk")).retry()?;
    }
    Ok(ctx.retries())
}

/// Not ready until 40 s after it was sent.
#[task]
async fn snoozes(#[ctx] ctx: &Context, sent: Timestamp) -> Result<u32, TaskError> {
    if ctx.app().ports().clock.now() < sent + Duration::from_secs(40) {
        return Err(TaskError::snooze(Duration::from_secs(15)));
    }
    Ok(ctx.retries())
}

#[task]
async fn sleeps(#[ctx] ctx: &Context, seconds: u64) -> Result<u64, TaskError> {
    let clock = &ctx.app().ports().clock;
    clock.sleep(Duration::from_secs(seconds)).await;
    Ok(seconds)
}

#[task(time_limit = secs(2))]
async fn limited(#[ctx] ctx: &Context) {
    let clock = &ctx.app().ports().clock;
    clock.sleep(Duration::from_secs(10)).await;
}

#[task]
async fn panics() {
    std::panic::resume_unwind(Box::new("at the disco"));
}

#[task]
async fn ends(how: String) -> Result<(), TaskError> {
    Err(match how.as_str() {
        "ignore" => TaskError::ignore(),
        "reject" => TaskError::reject("poison"),
        _ => TaskError::permanent("how?"),
    })
}

#[task]
async fn crash() {
    die().await
}

/// Sends two children that are alike and one that isn't, with a failure in between.
#[task(max_retries = 5, default_retry_delay = secs(5))]
async fn parent(#[ctx] ctx: &Context, failures: u32) -> Result<Vec<String>, TaskError> {
    let first = ctx.send(add::s(1, 1)).await.retry()?;
    if ctx.retries() < failures {
        return Err(TaskError::retry("later"));
    }
    let second = ctx.send(add::s(1, 1)).await.retry()?;
    let third = ctx.send(flaky::s(1)).await.retry()?;
    Ok(vec![
        first.id().to_owned(),
        second.id().to_owned(),
        third.id().to_owned(),
    ])
}

/// Only the deployment of the beginning and the end has it.
#[task]
async fn added(x: i64) -> Result<i64, TaskError> {
    Ok(x)
}

/// One sample, chosen by the seed. The id of the task, if it was revoked in time.
async fn sample(world: &World) -> Result<Option<String>, BoxError> {
    let random = world.random();
    let small = || i64::try_from(random.below(100)).unwrap_or(0);
    let seconds = |most: u64| Duration::from_secs(random.below(most));
    match random.below(26) {
        0..4 => {
            world.send(add::s(small(), small())).await;
        }
        4 => {
            world.send(add_again::s(small(), 1)).await;
        }
        5 => {
            world.send(quiet::s(small())).await;
        }
        6 => {
            world.send(silent::s(small())).await;
        }
        7 => {
            let failures = u32::try_from(random.below(6))?;
            world.send(flaky_again::s(failures)).await;
        }
        8 | 9 => {
            let failures = u32::try_from(random.below(5))?;
            world.send(flaky::s(failures)).await;
        }
        10 => {
            let now = world.observer().ports().clock.now();
            world.send(snoozes::s(now)).await;
        }
        11 => {
            world.send(sleeps::s(random.below(50))).await;
        }
        12 => {
            world.send(limited::s()).await;
        }
        13 => {
            world.send(panics::s()).await;
        }
        14 => {
            let how = *random.pick(&["ignore", "reject", "fail"]).ok_or("none")?;
            world.send(ends::s(how.to_owned())).await;
        }
        15 if random.chance(0.3) => {
            world.send(crash::s()).await;
        }
        15 | 16 => {
            let failures = u32::try_from(random.below(3))?;
            world.send(parent::s(failures)).await;
        }
        17 => {
            let call = add::s(small(), 1).countdown(seconds(2000));
            world.send(call).await;
        }
        18 => {
            let now = world.observer().ports().clock.now();
            world.send(add::s(small(), 1).eta(now + seconds(90))).await;
        }
        19 => {
            let call = add::s(small(), 1)
                .expires(seconds(20))
                .countdown(seconds(20));
            world.send(call).await;
        }
        20 => {
            let call = add::s(small(), 1).countdown(seconds(30));
            let sent = world.send(call).await;
            world.sleep(seconds(30)).await;
            if world.revoke(sent.id()).await {
                return Ok(Some(sent.id().to_owned()));
            }
        }
        21 => {
            let body = *random
                .pick(&[
                    "{oops",
                    "[]",
                    "{\"args\": []}",
                    "{\"task\": \"add\", \"v\": 9}",
                ])
                .ok_or("none")?;
            world.send_body("default", body).await;
        }
        22 => {
            let body = json!({"task": "nobody.knows", "args": [small()]}).to_string();
            world.send_body("default", body).await;
        }
        23 => {
            let body = json!({"task": "add", "args": [small(), 2], "countdown": random.below(30)});
            world.send_body("default", body.to_string()).await;
        }
        24 => {
            let call: Signature<(), i64> = added::s(small());
            world.send(call.countdown(seconds(1500))).await;
        }
        _ => {
            // The same call twice, under one id.
            let id = format!("twice-{}", random.below(1_000_000));
            world.send(add::s(3, 4).id(&id)).await;
            world.sleep(seconds(120)).await;
            world.send(add::s(3, 4).id(&id)).await;
        }
    }
    Ok(None)
}

/// The same on a FIFO queue: in two groups, with failures and waits in between.
pub(crate) async fn ordered(world: &World) -> Result<(), BoxError> {
    let random = world.random();
    for _ in 0..5 + random.below(10) {
        let group = *random.pick(&["a", "b"]).ok_or("none")?;
        let small = random.below(4);
        let named = |name: &str| Signature::<(), serde_json::Value>::named(name);
        let seconds = |each: u64| Duration::from_secs(each * small);
        let call = match random.below(14) {
            0..4 => named("add").arg(1).arg(1),
            4 => named("add_again").arg(1).arg(1),
            5 | 6 => named("flaky").arg(small),
            7 | 8 => named("sleeps").arg(small * 5),
            9 => named("ends").arg("reject"),
            10 => named("add").arg(2).arg(2).expires(seconds(60)),
            11 => named("add").arg(2).arg(2).countdown(seconds(30)),
            12 if random.chance(0.3) => named("crash"),
            _ => named("panics"),
        };
        let call = call.queue("orders.fifo").message_group(group);
        world.send(call).await;
    }
    Ok(())
}

pub(crate) async fn mixed(world: &World) -> Result<(), BoxError> {
    let tasks = 10 + world.random().below(20);
    let mut revoked = Vec::new();
    for _ in 0..tasks {
        // Some together, others minutes apart.
        if world.random().chance(0.3) {
            let pause = Duration::from_secs(world.random().below(20));
            world.sleep(pause).await;
        }
        revoked.extend(sample(world).await?);
    }
    world.settle().await;
    for id in revoked {
        let state = world.observer().record(&id).await?.status;
        if state != State::Revoked {
            return Err(format!("{id} was revoked and is {state}").into());
        }
    }
    Ok(())
}

pub(crate) fn number(name: &str) -> Option<u64> {
    #[expect(
        clippy::disallowed_methods,
        reason = "which worlds a test runs is no setting of the library"
    )]
    std::env::var(name).ok()?.parse().ok()
}

/// Tasks of every kind, and then their dead letters sent back to work twice, by an operator whose calls may
/// fail like anybody's.
pub(crate) async fn redriven(world: &World) -> Result<(), BoxError> {
    for _ in 0..10 + world.random().below(10) {
        sample(world).await?;
    }
    for round in 0..2 {
        // Some while the rest is still at work.
        if world.random().chance(0.5) || round == 1 {
            world.settle().await;
        } else {
            world.sleep(Duration::from_secs(600)).await;
        }
        let letters = world.observer().dead_letters();
        let all = letters.list(&Selection::all(), 1000).await?;
        for letter in all.into_iter().filter(|letter| letter.task_id.is_some()) {
            let operator = world.app().dead_letters();
            for _ in 0..30 {
                match operator.redrive(&letter.id, &Edit::default()).await {
                    // Or it is hidden still, after a try that was broken off: gone, it stays gone.
                    Ok(None) => world.sleep(Duration::from_secs(70)).await,
                    Err(error) if error.is_retryable() => {}
                    // Done, or not to be done: the error says why.
                    _ => break,
                }
            }
        }
    }
    world.settle().await;
    Ok(())
}

/// Worlds for a test: of the number asked for, one in `share`.
pub(crate) fn simulation(test: &'static str, faults: Faults, share: u64) -> Simulation {
    let (base, worlds) = (number("SEDANO_SIM_BASE"), number("SEDANO_SIM_WORLDS"));
    let base = base.unwrap_or(0);
    Simulation::new(|| {
        tasks![
            add,
            add_again,
            quiet,
            silent,
            flaky_again,
            flaky,
            snoozes,
            sleeps,
            limited,
            panics,
            ends,
            crash,
            parent,
            added
        ]
    })
    .redeploy(|| {
        tasks![
            add,
            add_again,
            quiet,
            silent,
            flaky_again,
            flaky,
            snoozes,
            sleeps,
            limited,
            panics,
            ends,
            crash,
            parent
        ]
    })
    .faults(faults)
    .seeds(base..base + (worlds.unwrap_or(200) / share).max(2))
    .replay_with(move |seed| {
        format!(
            "SEDANO_SIM_SEED={seed} cargo test --no-default-features --features sim -p sedano \
             --test simulation {test}"
        )
    })
}
