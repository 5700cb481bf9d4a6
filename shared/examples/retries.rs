//! A task that fails at first, in virtual time: hours of waiting take no time at all.

use std::sync::Arc;
use std::time::Duration;

use sedano::beat::Beat;
use sedano::memory::{Memory, TokioClock};
use sedano::ports::QueueName;
use sedano::{BoxError, Config, Context, SeededEntropy, TaskError, Timestamp, Worker, task, tasks};

/// Comes to its senses at the fourth run.
#[task(max_retries = 3, backoff = exponential(mins(30)).cap(hours(2)).jitter(false))]
async fn stubborn(#[ctx] ctx: &Context) -> Result<String, TaskError> {
    if ctx.retries() < 3 {
        return Err(TaskError::retry(format!(
            "no, and that is {} times",
            ctx.retries() + 1
        )));
    }
    Ok(format!("well then, on {}", ctx.started_at()))
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), BoxError> {
    let clock = TokioClock::starting_at("2026-03-01T12:00:00Z".parse::<Timestamp>()?);
    let entropy = SeededEntropy::new(1);
    let memory = Memory::with(&Config::memory(), Arc::new(clock), Arc::new(entropy));
    let worker = Worker::new(memory.app()).tasks(tasks![stubborn]);
    let result = worker.app().send(stubborn::s()).await?;

    let (queue, beat) = (QueueName::new(QueueName::DEFAULT), Beat::new());
    let (day, minute) = (Duration::from_secs(86_400), Duration::from_secs(60));
    let said = tokio::select! {
        said = async { result.get().timeout(day).await } => said?,
        stopped = worker.poll(&queue, 10, minute) => return Err(format!("{stopped:?}").into()),
        // What waits for longer than a quarter of an hour is sent by beat when it is due.
        stopped = beat.run(worker.app()) => return Err(format!("{stopped:?}").into()),
    };

    let record = result.record().await?;
    for run in &record.attempts {
        println!("{} {}", run.start, run.error.as_deref().unwrap_or(&said));
    }
    // After half an hour, one, and two.
    assert_eq!(said, "well then, on 2026-03-01T15:30:00.000Z");
    assert_eq!((record.retries, record.attempts.len()), (3, 4));
    Ok(())
}

#[test]
fn it_runs() {
    main().unwrap();
}
