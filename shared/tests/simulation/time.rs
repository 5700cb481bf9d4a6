//! Scenarios of tasks that are due much later: parked, moved, revoked.

use std::time::Duration;

use sedano::sim::{Faults, Simulation, World};
use sedano::{BoxError, State};

use crate::samples::*;
use crate::worlds::{number, simulation};

/// Some tasks with due times of up to four hours, which are moved about, revoked, or run again much later.
pub(crate) async fn parked(world: &World) -> Result<(), BoxError> {
    let random = world.random();
    let seconds = |most: u64| Duration::from_secs(random.below(most));
    let mut sent = Vec::new();
    for _ in 0..2 + random.below(4) {
        let task = add::s(1, 1).countdown(seconds(14_400));
        sent.push((world.send(task).await, false));
        if random.chance(0.2) {
            // It has no claim, which would tell it that it was moved.
            let task = add_again::s(1, 1).countdown(seconds(14_400));
            world.send(task).await;
        }
        world.sleep(seconds(600)).await;
    }
    for _ in 0..random.below(8) {
        world.sleep(seconds(1800)).await;
        let Some((task, revoked)) = sent.get_mut(usize::try_from(random.below(5))?) else {
            continue;
        };
        let now = world.observer().ports().clock.now();
        if random.chance(0.2) {
            *revoked |= world.revoke(task.id()).await;
        } else {
            world.reschedule(task.id(), now + seconds(10_000)).await;
        }
    }
    world.settle().await;
    for (task, revoked) in sent {
        let record = task.record().await?;
        let wanted = match revoked {
            true => State::Revoked,
            false => State::Success,
        };
        // SQS gives up what no function took for long enough.
        let error = record.error.as_ref();
        let given_up = error.is_some_and(|error| error.kind == "Undelivered");
        if record.status != wanted && !given_up {
            let (id, state) = (task.id(), record.status);
            return Err(format!("{id} is {state}, and should be {wanted}: {error:?}").into());
        }
    }
    Ok(())
}

fn run(simulation: Simulation, scenario: impl AsyncFn(&World) -> Result<(), BoxError> + Sync) {
    match number("SEDANO_SIM_SEED") {
        Some(seed) => simulation.replay(seed, scenario).unwrap(),
        None => simulation.run(scenario).unwrap(),
    }
}

#[test]
fn what_is_due_later_runs_once_in_time() {
    run(
        simulation(
            "time::what_is_due_later_runs_once_in_time",
            Faults::all(),
            8,
        ),
        parked,
    );
}

/// Nothing goes wrong but beat's calls, and there are workers enough: a second at most, and what the calls take.
#[test]
fn with_workers_free_it_runs_within_a_second() {
    let faults = Faults::none().ticked_again(0.3);
    let begun = async |world: &World| -> Result<(), BoxError> {
        let random = world.random();
        let most = Duration::from_secs(10_000);
        for _ in 0..3 {
            let countdown = random.between(Duration::ZERO, most);
            let task = world.send(add::s(1, 1).countdown(countdown)).await;
            let due = world.observer().ports().clock.now() + countdown;
            world.settle().await;
            let started = task.record().await?.started_at.ok_or("it never ran")?;
            // Of up to 200 ms each: the send, the receive, the start, the claim.
            let late = Duration::from_millis(1000 + 4 * 200);
            if started.since(due) > late {
                return Err(format!("due at {due}, begun at {started}").into());
            }
        }
        Ok(())
    };
    run(
        simulation(
            "time::with_workers_free_it_runs_within_a_second",
            faults,
            20,
        ),
        begun,
    );
}
