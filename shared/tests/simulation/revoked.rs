//! Scenarios of tasks that are revoked, one by one and all that bear something, before they begin and while they run.

use std::time::Duration;

use sedano::sim::{Faults, World};
use sedano::{BoxError, Context, Revocation, Signature, State, TaskError, task};
use serde_json::{Value, json};

use crate::worlds::{number, simulation};

/// Goes on for a while and asks whether it is revoked: to stop, or only to know. Then it ends, or is retried.
#[task(retry, max_retries = 6, default_retry_delay = secs(3), time_limit = secs(30))]
pub(crate) async fn asking(
    #[ctx] ctx: &Context,
    rounds: u64,
    failures: u32,
    stops: bool,
) -> Result<u64, TaskError> {
    let clock = &ctx.app().ports().clock;
    for _ in 0..rounds {
        if stops {
            ctx.ensure_not_revoked().await?;
        }
        clock.sleep(Duration::from_millis(700)).await;
    }
    if ctx.retries() < failures {
        // Some know of it when they ask for another run, some don't.
        if rounds.is_multiple_of(2) {
            ctx.is_revoked().await;
        }
        return Err(TaskError::retry("later"));
    }
    Ok(rounds)
}

const TENANTS: [&str; 3] = ["acme", "globex", "initech"];

/// One that something may revoke.
async fn sample(world: &World) -> Result<String, BoxError> {
    let random = world.random();
    let small = || i64::try_from(random.below(100)).unwrap_or(0);
    let seconds = |most: u64| Duration::from_secs(random.below(most));
    let tenant = *random.pick(&TENANTS).ok_or("none")?;
    let named = |name: &str| Signature::<(), Value>::named(name);
    let add = |x: i64| json!({ "task": "add", "args": [x, 1], "headers": { "tenant": tenant } });
    let members = |many: u64| -> Vec<Value> { (0..many).map(|_| add(small())).collect() };
    let call = match random.below(16) {
        0..3 => named("add").arg(small()).arg(1),
        3 => named("add_again").arg(small()).arg(1),
        4 => named("silent").arg(small()),
        5 => named("flaky").arg(random.below(5)),
        6 => named("add").arg(small()).arg(1).countdown(seconds(1500)),
        7 => named("stepwise").arg(random.below(3)).arg(random.below(10)),
        8 => named("parent").arg(random.below(2)),
        9 => Signature::try_from(json!({ "chain": [add(1), { "task": "add", "args": [2] }] }))?,
        10 if random.chance(0.05) => {
            Signature::try_from(json!({ "group": members(510), "id": "large" }))?
        }
        10 | 11 => {
            let group = json!({ "group": members(random.below(20)) });
            Signature::try_from(group)?
        }
        _ => {
            let failures = random.below(3);
            let asking = named("asking").arg(random.below(25)).arg(failures);
            asking.arg(random.chance(0.6))
        }
    };
    Ok(world
        .send(call.header("tenant", tenant))
        .await
        .id()
        .to_owned())
}

fn revocation(world: &World, sent: &[String]) -> Result<Revocation, BoxError> {
    let random = world.random();
    let id = random.pick(sent).cloned().unwrap_or_default();
    Ok(match random.below(4) {
        0 => Revocation::task(*random.pick(&["add", "asking", "flaky"]).ok_or("none")?),
        1 => Revocation::root(id),
        2 => Revocation::group(id),
        _ => Revocation::stamp("tenant", *random.pick(&TENANTS).ok_or("none")?),
    })
}

/// Some of them side by side, revoked at any time, and some of it lifted again.
pub(crate) async fn revoked(world: &World) -> Result<(), BoxError> {
    let random = world.random();
    let (mut sent, mut over) = (Vec::new(), Vec::new());
    for _ in 0..15 + random.below(20) {
        sent.push(sample(world).await?);
        if random.chance(0.6) {
            world.sleep(Duration::from_millis(random.below(6000))).await;
        }
        match random.below(8) {
            0 => {
                let revocation = revocation(world, &sent)?;
                world.revoke_all(&revocation).await;
                if random.chance(0.4) {
                    world.sleep(Duration::from_secs(random.below(60))).await;
                    world.unrevoke(&revocation).await;
                }
            }
            1..4 => {
                let id = random.pick(&sent).cloned().unwrap_or_default();
                if world.revoke(&id).await {
                    over.push(id);
                }
            }
            _ => {}
        }
    }
    world.settle().await;
    for id in over {
        let state = world.observer().record(&id).await?.status;
        if state != State::Revoked {
            return Err(format!("{id} was revoked and is {state}").into());
        }
    }
    Ok(())
}

fn run(test: &'static str, faults: Faults, share: u64) {
    let simulation = simulation(test, faults, share);
    match number("SEDANO_SIM_SEED") {
        Some(seed) => simulation.replay(seed, revoked).unwrap(),
        None => simulation.run(revoked).unwrap(),
    }
}

#[test]
fn what_is_revoked_doesn_t_begin() {
    run("revoked::what_is_revoked_doesn_t_begin", Faults::all(), 4);
}

#[test]
fn without_faults_it_is_known_within_five_seconds() {
    run(
        "revoked::without_faults_it_is_known_within_five_seconds",
        Faults::none(),
        4,
    );
}
