//! Scenarios of every kind of task, composed from the seed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sedano::dead_letters::{Edit, Selection};
use sedano::sim::{Faults, Simulation, World};
use sedano::{BoxError, Signature, State};
use serde_json::json;

use crate::beat::Ran;
use crate::samples::*;

/// One sample, chosen by the seed. The id of the task, if it was revoked in time.
async fn sample(world: &World) -> Result<Option<String>, BoxError> {
    let random = world.random();
    let small = || i64::try_from(random.below(100)).unwrap_or(0);
    let seconds = |most: u64| Duration::from_secs(random.below(most));
    match random.below(32) {
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
        31 if random.chance(0.5) => {
            let call = add::s(small(), 1).countdown(seconds(6000));
            let sent = world.send(call).await;
            world.sleep(seconds(4000)).await;
            let now = world.observer().ports().clock.now();
            world.reschedule(sent.id(), now + seconds(6000)).await;
        }
        24 | 31 => {
            let call: Signature<(), i64> = added::s(small());
            world.send(call.countdown(seconds(1500))).await;
        }
        25..28 => {
            let failures = u32::try_from(random.below(4))?;
            let call = stepwise::s(failures, random.below(15));
            world.send(call).await;
        }
        28 => {
            world.send(patient::s(random.below(38))).await;
        }
        29 => {
            let body = json!({"task": "chain", "args": [6], "hops": 997});
            world.send_body("default", body.to_string()).await;
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
            7 | 8 => named("sleeps").arg(small * 10),
            9 => named("ends").arg("reject"),
            10 => named("add").arg(2).arg(2).expires(seconds(60)),
            11 => named("add").arg(2).arg(2).countdown(seconds(30)),
            12 if random.chance(0.3) => named("crash"),
            12 => named("patient").arg(30 + small * 2),
            13 if random.chance(0.3) => named("stepwise").arg(small).arg(small * 5),
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
        match world.random().chance(0.2) {
            true => drop(world.send(broken::s()).await),
            false => drop(sample(world).await?),
        }
    }
    for round in 0..2 {
        // Some while the rest is still at work.
        if world.random().chance(0.5) || round == 1 {
            world.settle().await;
        } else {
            let while_it_works = Duration::from_secs(world.random().below(600));
            world.sleep(while_it_works).await;
        }
        let mended = world.state::<Mended>().ok_or("no state")?;
        mended.0.store(true, Ordering::Relaxed);
        let letters = world.observer().dead_letters();
        let all = letters.list(&Selection::all(), 1000).await?;
        for letter in all.into_iter().filter(|letter| letter.task_id.is_some()) {
            redrive(world, &letter.id).await;
        }
    }
    world.settle().await;
    Ok(())
}

/// One dead letter sent back to work.
pub(crate) async fn redrive(world: &World, id: &str) {
    let operator = world.app().dead_letters();
    let as_it_is = Edit::default();
    for _ in 0..30 {
        // Now and then the operator gives up in the midst of it, and tries again.
        let most = match world.random().chance(0.2) {
            true => Duration::from_millis(world.random().below(800)),
            false => Duration::from_secs(600),
        };
        let redriven = tokio::select! {
            biased;
            redriven = operator.redrive(id, &as_it_is) => redriven,
            () = world.sleep(most) => continue,
        };
        match redriven {
            // Or it is hidden still, after a try that was broken off: gone, it stays gone.
            Ok(None) => world.sleep(Duration::from_secs(70)).await,
            Err(error) if error.is_retryable() => {}
            // Done, or not to be done: the error says why.
            _ => break,
        }
    }
}

/// Tasks of steps, and nothing else.
pub(crate) async fn steps(world: &World) -> Result<(), BoxError> {
    let random = world.random();
    for _ in 0..5 + random.below(10) {
        let failures = u32::try_from(random.below(4))?;
        let call = stepwise::s(failures, random.below(15));
        world.send(call).await;
    }
    world.settle().await;
    Ok(())
}

/// Tasks that are sent again under the same id when their records have expired, some of which are still there.
pub(crate) async fn forgotten(world: &World) -> Result<(), BoxError> {
    let random = world.random();
    let mut calls = Vec::new();
    for _ in 0..3 + random.below(6) {
        let named = |name: &str| Signature::<(), serde_json::Value>::named(name);
        let call = match random.below(6) {
            0 | 1 => named("add").arg(1).arg(1),
            2 => named("add_again").arg(1).arg(1),
            3 => named("flaky_again").arg(random.below(3)),
            4 => named("flaky").arg(random.below(5)),
            _ => named("panics"),
        };
        let id = world.send(call.clone()).await.id().to_owned();
        calls.push(call.id(id));
    }
    world.settle().await;
    let hours = 25 + random.below(20);
    world.sleep(Duration::from_secs(hours * 3600)).await;
    for call in calls {
        world.send(call).await;
    }
    world.settle().await;
    Ok(())
}

/// Worlds for a test: of the number asked for, one in `share`.
pub(crate) fn simulation(test: &'static str, faults: Faults, share: u64) -> Simulation {
    let (base, worlds) = (number("SEDANO_SIM_BASE"), number("SEDANO_SIM_WORLDS"));
    let base = base.unwrap_or(0);
    Simulation::new(all)
        .redeploy(always)
        .state(|| AtomicU64::new(0))
        .state(Mended::default)
        .state(Ran::default)
        .faults(faults)
        .seeds(base..base + (worlds.unwrap_or(200) / share).max(2))
        .replay_with(move |seed| {
            format!(
                "SEDANO_SIM_SEED={seed} cargo test --no-default-features --features sim -p sedano \
             --test simulation {test}"
            )
        })
}

/// With records that live no longer than they must.
pub(crate) fn brief(worlds: Simulation) -> Simulation {
    worlds.config(|config| config.result_expires = Duration::from_secs(60))
}
