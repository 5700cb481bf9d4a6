//! Tasks of every kind, for worlds to be composed of.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sedano::sim::die;
use sedano::{Context, ErrorKind, ResultExt, TaskError, Tasks, Timestamp, task, tasks};

#[task]
pub(crate) async fn add(x: i64, y: i64) -> Result<i64, TaskError> {
    Ok(x + y)
}

#[task(idempotent)]
pub(crate) async fn add_again(x: i64, y: i64) -> Result<i64, TaskError> {
    Ok(x + y)
}

#[task(ignore_result)]
pub(crate) async fn quiet(x: i64) -> Result<i64, TaskError> {
    Ok(x)
}

#[task(idempotent, ignore_result)]
pub(crate) async fn silent(x: i64) -> Result<i64, TaskError> {
    Ok(x)
}

#[task(idempotent, max_retries = 4, default_retry_delay = secs(3))]
pub(crate) async fn flaky_again(#[ctx] ctx: &Context, failures: u32) -> Result<u32, TaskError> {
    if ctx.retries() < failures {
        Err(std::io::Error::other("disk")).retry()?;
    }
    Ok(ctx.retries())
}

#[task(max_retries = 3, backoff = exponential(secs(2)))]
pub(crate) async fn flaky(#[ctx] ctx: &Context, failures: u32) -> Result<u32, TaskError> {
    if ctx.retries() < failures {
        Err(std::io::Error::other("disk")).retry()?;
    }
    Ok(ctx.retries())
}

/// Not ready until 40 s after it was sent.
#[task]
pub(crate) async fn snoozes(#[ctx] ctx: &Context, sent: Timestamp) -> Result<u32, TaskError> {
    if ctx.app().ports().clock.now() < sent + Duration::from_secs(40) {
        return Err(TaskError::snooze(Duration::from_secs(15)));
    }
    Ok(ctx.retries())
}

#[task]
pub(crate) async fn sleeps(#[ctx] ctx: &Context, seconds: u64) -> Result<u64, TaskError> {
    let clock = &ctx.app().ports().clock;
    clock.sleep(Duration::from_secs(seconds)).await;
    Ok(seconds)
}

#[task(time_limit = secs(2))]
pub(crate) async fn limited(#[ctx] ctx: &Context) {
    let clock = &ctx.app().ports().clock;
    clock.sleep(Duration::from_secs(10)).await;
}

#[task]
pub(crate) async fn panics() {
    std::panic::resume_unwind(Box::new("at the disco"));
}

#[task]
pub(crate) async fn ends(how: String) -> Result<(), TaskError> {
    Err(match how.as_str() {
        "ignore" => TaskError::ignore(),
        "reject" => TaskError::reject("poison"),
        _ => TaskError::permanent("how?"),
    })
}

#[task]
pub(crate) async fn crash() {
    die().await
}

/// Sends two children that are alike and one that isn't, with a failure in between.
#[task(max_retries = 5, default_retry_delay = secs(5))]
pub(crate) async fn parent(#[ctx] ctx: &Context, failures: u32) -> Result<Vec<String>, TaskError> {
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

/// Three steps with a failure, a death, or the time limit, after any of them.
#[task(retry, max_retries = 6, default_retry_delay = secs(2), time_limit = secs(20))]
pub(crate) async fn stepwise(
    #[ctx] ctx: &Context,
    #[state] made: &AtomicU64,
    failures: u32,
    seconds: u64,
) -> Result<Vec<u64>, TaskError> {
    let mut values = Vec::new();
    for step in 0..3 {
        // No value comes twice.
        let make = async { Ok::<_, TaskError>(made.fetch_add(1, Ordering::Relaxed)) };
        values.push(ctx.checkpoint(&format!("step {step}"), make).await?);
        let clock = &ctx.app().ports().clock;
        clock.sleep(Duration::from_secs(seconds)).await;
        if ctx.retries() == step && step < failures {
            return Err(TaskError::retry("later"));
        }
    }
    Ok(values)
}

/// Long, and within its limit.
#[task(time_limit = secs(40))]
pub(crate) async fn patient(#[ctx] ctx: &Context, seconds: u64) -> Result<u64, TaskError> {
    let clock = &ctx.app().ports().clock;
    clock.sleep(Duration::from_secs(seconds)).await;
    Ok(seconds)
}

/// Whether somebody has put right what was wrong.
#[derive(Default)]
pub(crate) struct Mended(pub(crate) AtomicBool);

/// Rejects until it is mended, and has a hard time afterwards.
#[task(max_retries = 3, default_retry_delay = secs(60))]
pub(crate) async fn broken(
    #[ctx] ctx: &Context,
    #[state] mended: &Mended,
) -> Result<u32, TaskError> {
    if !mended.0.load(Ordering::Relaxed) {
        return Err(TaskError::reject("not mended yet"));
    }
    if ctx.retries() < 2 {
        return Err(TaskError::retry("later"));
    }
    Ok(ctx.retries())
}

/// Sends itself, as often as it may.
#[task]
pub(crate) async fn chain(#[ctx] ctx: &Context, left: u32) -> Result<u32, TaskError> {
    if left > 0 {
        match ctx.send(chain::s(left - 1)).await {
            Err(error) if error.kind() != ErrorKind::Invalid => {
                return Err(TaskError::retry(error));
            }
            _ => {}
        }
    }
    Ok(left)
}

/// Only the deployment of the beginning and the end has it.
#[task]
pub(crate) async fn added(x: i64) -> Result<i64, TaskError> {
    Ok(x)
}

/// What every deployment has.
pub(crate) fn always() -> Tasks {
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
        stepwise,
        patient,
        broken,
        chain,
        crate::beat::note,
        crate::reports::reporting,
        crate::revoked::asking,
        crate::unique::lonely
    ]
}

/// What the deployment of the beginning and the end has.
pub(crate) fn all() -> Tasks {
    always().and(tasks![added])
}
