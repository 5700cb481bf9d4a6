//! Scenarios of unique tasks: many senders at once, some of which die, and foreign ones beside them.

use std::time::Duration;

use sedano::sim::{Faults, World, die};
use sedano::{AsyncResult, BoxError, Context, State, TaskError, group, task};
use serde_json::json;

use crate::samples::add;
use crate::worlds::{number, simulation};

/// Of each kind one is at work: quick, slow, retried, failing, deadly, and one in whose place another runs.
#[task(unique, retry, max_retries = 3, default_retry_delay = secs(2), time_limit = secs(20))]
pub(crate) async fn lonely(#[ctx] ctx: &Context, kind: u64) -> Result<i64, TaskError> {
    let clock = &ctx.app().ports().clock;
    match kind {
        0 => clock.sleep(Duration::from_secs(7)).await,
        1 if ctx.retries() < 2 => return Err(TaskError::retry("later")),
        2 => return Err(TaskError::permanent("never")),
        3 if ctx.started_at().as_millis() % 3 == 0 => die().await,
        4 => return Err(ctx.replace(add::s(1, 2))),
        _ => clock.sleep(Duration::from_millis(300)).await,
    }
    Ok(3)
}

/// Sends until a send is accepted, each time anew: whatever task it is.
async fn sent(world: &World, kind: u64) -> Result<AsyncResult<i64>, BoxError> {
    loop {
        match world.app().send(lonely::s(kind)).await {
            Ok(sent) => return Ok(world.observer().result_of(sent.id())),
            Err(error) if error.is_retryable() => {
                let pause = Duration::from_millis(world.random().below(3000));
                world.sleep(pause).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Each sender is told of a task that ends, and not by being left out.
pub(crate) async fn lonely_worlds(world: &World) -> Result<(), BoxError> {
    let random = world.random();
    let mut told = Vec::new();
    for _ in 0..10 + random.below(20) {
        let kind = random.below(6);
        match random.below(10) {
            0 => {
                let body = json!({"task": "lonely", "kwargs": {"kind": kind}});
                world.send_body("default", body.to_string()).await;
            }
            1 => {
                world.send(group([lonely::s(kind), lonely::s(kind)])).await;
            }
            // A sender that dies in the midst of it.
            2 | 3 => {
                let alive = Duration::from_millis(random.below(400));
                tokio::select! {
                    biased;
                    _ = world.app().send(lonely::s(kind)) => {}
                    () = world.sleep(alive) => {}
                }
            }
            4 => {
                let many = [lonely::s(kind), lonely::s((kind + 1) % 6), lonely::s(kind)];
                let sent = world.app().send_many(many).await;
                let sent = sent.into_iter().flatten();
                told.extend(sent.map(|sent| world.observer().result_of(sent.id())));
            }
            _ => {
                let both = futures(world, kind).await;
                told.extend(both?);
            }
        }
        if let Some(one) = random.pick(&told).filter(|_| random.chance(0.1)) {
            world.revoke(one.id()).await;
        }
        world.sleep(Duration::from_millis(random.below(4000))).await;
    }
    world.settle().await;
    for one in told {
        let state = one.state().await?;
        if !state.is_final() || state == State::Ignored {
            return Err(format!("a sender was told of {}, which is {state}", one.id()).into());
        }
    }
    Ok(())
}

/// One sender, or two at once.
async fn futures(world: &World, kind: u64) -> Result<Vec<AsyncResult<i64>>, BoxError> {
    if world.random().chance(0.5) {
        return Ok(vec![sent(world, kind).await?]);
    }
    let (one, other) = tokio::join!(sent(world, kind), sent(world, kind));
    Ok(vec![one?, other?])
}

fn run(test: &'static str, faults: Faults) {
    let simulation = simulation(test, faults, 10);
    match number("SEDANO_SIM_SEED") {
        Some(seed) => simulation.replay(seed, lonely_worlds).unwrap(),
        None => simulation.run(lonely_worlds).unwrap(),
    }
}

#[test]
fn unique_tasks_are_and_nothing_is_lost() {
    run(
        "unique::unique_tasks_are_and_nothing_is_lost",
        Faults::all(),
    );
}

#[test]
fn senders_that_hear_no_answer_lose_nothing() {
    run(
        "unique::senders_that_hear_no_answer_lose_nothing",
        Faults::all().answer_lost(0.2).slow(0.2).done_late(0.5),
    );
}

#[test]
fn without_faults_every_key_is_given_back() {
    run(
        "unique::without_faults_every_key_is_given_back",
        Faults::none(),
    );
}
