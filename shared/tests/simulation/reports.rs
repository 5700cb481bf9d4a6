//! Scenarios of tasks that report how far they are: in a record that others may hold by the time it is written.

use std::time::Duration;

use sedano::sim::{Faults, World};
use sedano::{BoxError, Context, TaskError, task};

use crate::samples::add;
use crate::worlds::{number, simulation};

/// Reports more often than is written, keeps steps in between, and then ends, fails, or leaves it to another.
#[task(retry, max_retries = 6, default_retry_delay = secs(2), time_limit = secs(20))]
pub(crate) async fn reporting(
    #[ctx] ctx: &Context,
    failures: u32,
    rounds: u64,
    replaced: bool,
) -> Result<i64, TaskError> {
    for done in 0..rounds {
        ctx.progress(done, rounds, format!("run {}", ctx.retries()));
        ctx.update_state("COUNTING", done)?;
        if done % 5 == 4 {
            let step = async { Ok::<_, TaskError>(done) };
            ctx.checkpoint(&format!("step {done}"), step).await?;
        }
        let clock = &ctx.app().ports().clock;
        clock.sleep(Duration::from_millis(700)).await;
    }
    if ctx.retries() < failures {
        return Err(TaskError::retry("later"));
    }
    match replaced {
        true => Err(ctx.replace(add::s(1, 2))),
        false => Ok(3),
    }
}

/// Some of them side by side, and what their records say at any time.
pub(crate) async fn reporting_worlds(world: &World) -> Result<(), BoxError> {
    let random = world.random();
    let mut sent = Vec::new();
    for _ in 0..5 + random.below(10) {
        let failures = u32::try_from(random.below(3))?;
        let call = reporting::s(failures, random.below(30), random.chance(0.2));
        sent.push(world.send(call).await);
    }
    for _ in 0..random.below(20) {
        world.sleep(Duration::from_millis(random.below(5000))).await;
        for task in &sent {
            let record = task.record().await?;
            if let Some(progress) = record.progress {
                let note = progress.note.unwrap_or_default();
                // A retry begins anew: nothing of the run before is left.
                if note != format!("run {}", record.retries) {
                    let id = task.id();
                    return Err(format!("{id} has had {} retries: {note}", record.retries).into());
                }
            }
        }
    }
    world.settle().await;
    for task in sent {
        let record = task.record().await?;
        if record.progress.is_some() || record.custom.is_some() {
            return Err(format!("it is over, and says {record:?}").into());
        }
    }
    Ok(())
}

fn run(test: &'static str, faults: Faults) {
    let simulation = simulation(test, faults, 10);
    match number("SEDANO_SIM_SEED") {
        Some(seed) => simulation.replay(seed, reporting_worlds).unwrap(),
        None => simulation.run(reporting_worlds).unwrap(),
    }
}

#[test]
fn what_runs_report_is_theirs_and_goes_with_them() {
    run(
        "reports::what_runs_report_is_theirs_and_goes_with_them",
        Faults::all().slow(0.1).done_late(0.5),
    );
}

#[test]
fn without_faults_reports_disturb_nobody() {
    run(
        "reports::without_faults_reports_disturb_nobody",
        Faults::none(),
    );
}
