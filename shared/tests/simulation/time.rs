//! Scenarios of tasks that are due much later: parked, moved, revoked.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sedano::sim::{Faults, Simulation, World};
use sedano::{BoxError, Context, State, TaskError, Timestamp, task, tasks};

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

/// When the tasks of a bucket began.
#[derive(Default)]
struct Begun(Mutex<Vec<(Timestamp, Timestamp)>>);

#[task]
async fn begun(
    #[state] begun: &Begun,
    #[ctx] ctx: &Context,
    due: Timestamp,
) -> Result<(), TaskError> {
    let mut begun = begun.0.lock().unwrap_or_else(PoisonError::into_inner);
    begun.push((due, ctx.started_at()));
    Ok(())
}

/// Up to 100,000 in one minute, half of them in its first second, with a batch at work for fifty of them.
#[test]
fn a_bucket_of_many_tasks_is_sent_in_time() {
    const LATE: Duration = Duration::from_secs(5);
    let worlds = number("SEDANO_SIM_WORLDS").unwrap_or(200);
    let count = 5 * worlds.clamp(200, 20_000);
    let scenario = async |world: &World| -> Result<(), BoxError> {
        let random = world.random();
        let now = || world.observer().ports().clock.now();
        // A full minute.
        let minute = Timestamp::from_millis((now().as_millis() / 60_000 + 30) * 60_000);
        for _ in 0..count / 500 {
            let calls = (0..500).map(|_| {
                let due = minute + Duration::from_secs(random.below(120).saturating_sub(60));
                begun::s(due).eta(due)
            });
            for sent in world.app().send_many(calls.collect::<Vec<_>>()).await {
                sent?;
            }
        }
        world
            .sleep((minute + Duration::from_secs(180)).since(now()))
            .await;
        let state = world.state::<Begun>().ok_or("no state")?;
        let begun = state.0.lock().map_err(|_| "a body panicked")?.clone();
        if begun.len() as u64 != count {
            return Err(format!("{} of {count} have begun", begun.len()).into());
        }
        let early = begun.iter().find(|(due, begun)| begun < due);
        if let Some((due, begun)) = early {
            return Err(format!("early: due at {due}, begun at {begun}").into());
        }
        match begun.iter().max_by_key(|(due, begun)| begun.since(*due)) {
            Some((due, begun)) if begun.since(*due) > LATE => {
                Err(format!("due at {due}, begun at {begun}").into())
            }
            _ => Ok(()),
        }
    };
    let worlds = Simulation::new(|| tasks![begun]).state(Begun::default);
    let worlds = worlds.pollers(count / 50).seeds(0..1);
    worlds.run(scenario).unwrap();
}
