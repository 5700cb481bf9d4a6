//! Handlers for AWS Lambda, each started by the real `lambda_runtime`.
//!
//! What a process needs to start (settings, tasks, state) is checked in init: a wrong deployment
//! fails there, with the variable or the task in its error, and not at some message.

mod http;
mod producer;
mod sqs;

pub use producer::{run_console, run_producer};

use std::future::Future;

use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::Serialize;
use serde_json::Value;

use crate::app::App;
use crate::beat::Beat;
use crate::config::LogSettings;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::QueueName;
use crate::time::Timestamp;
use crate::worker::{Invocation, Worker};

/// Runs a worker as a Lambda function on SQS event source mappings with `ReportBatchItemFailures`:
/// the whole of a consumer's `main`.
///
/// ```no_run
/// use sedano::{tasks, task, App, Worker};
///
/// #[task]
/// async fn ping() {}
///
/// #[tokio::main(flavor = "current_thread")]
/// async fn main() -> Result<(), sedano::Error> {
///     sedano::lambda::run(Worker::new(App::from_env()?).tasks(tasks![ping])).await
/// }
/// ```
///
/// # Errors
/// `Config`, when the worker can't do what it says ([`Worker::check`]) or the program was built with
/// `panic = "abort"`, under which one panicking task would take its whole batch with it.
pub async fn run(worker: Worker) -> Result<()> {
    can_catch_panics()?;
    worker.check()?;
    log();
    connected(worker.app().ports().warm_results().await);
    let worker = &worker;
    serve(move |event| async move { sqs::handle(worker, event).await }).await
}

/// Runs the reaper as a Lambda function on the queue `undelivered`, with `ReportBatchItemFailures`: what SQS
/// gave up ends as FAILURE and as a dead letter. It needs to know no tasks.
///
/// # Errors
/// `Config`, when the settings have no queue `undelivered` or no `dead-letters`.
pub async fn run_reaper(app: App) -> Result<()> {
    for name in [QueueName::UNDELIVERED, QueueName::DEAD_LETTERS] {
        if !app.config().queues.contains_key(&QueueName::new(name)) {
            let what = format!("SEDANO_QUEUES has no queue named `{name}`");
            return Err(Error::new(ErrorKind::Config, what));
        }
    }
    log();
    connected(app.ports().warm_results().await);
    let worker = &Worker::new(app);
    serve(move |event| async move { sqs::handle(worker, event).await }).await
}

/// Runs beat as a Lambda function on a `rate(1 minute)` rule; the event says nothing it needs.
///
/// # Errors
/// `Config`, when an entry of the schedule is wrong.
pub async fn run_beat(beat: Beat, app: App) -> Result<()> {
    log();
    beat.check(&app)?;
    // Opens the connection that the first tick will use.
    beat.register(&app).await?;
    let (beat, app) = (&beat, &app);
    serve(move |_: LambdaEvent<Value>| async move {
        let ticked = beat.tick(app).await?;
        tracing::info!(sent = ticked.sent, left_out = ticked.left_out, until = %ticked.until, "tick");
        Ok(ticked)
    })
    .await
}

/// Panics unwind, or nothing starts: cargo-lambda builds with "abort" unless the profile says
/// otherwise.
fn can_catch_panics() -> Result<()> {
    if cfg!(panic = "abort") {
        return Err(Error::new(
            ErrorKind::Config,
            "built with panic = \"abort\", under which one panicking task takes its whole batch \
             with it: write panic = \"unwind\" into [profile.release] of the workspace's Cargo.toml",
        ));
    }
    Ok(())
}

/// A connection opened before the first event is no condition for starting: the first event will meet
/// the same error, and say it with its message id.
fn connected(warmed: Result<()>) {
    if let Err(error) = warmed {
        tracing::warn!(%error, "no connection could be opened at start");
    }
}

/// Logs as the function's logging configuration asks.
fn log() {
    let settings = LogSettings::from_env();
    let lines = tracing_subscriber::fmt()
        .with_target(false)
        .with_ansi(false)
        .with_max_level(settings.level);
    if settings.json {
        // Lambda filters by the top-level keys `timestamp` and `level`.
        lines.json().flatten_event(true).init();
    } else {
        lines.without_time().init();
    }
}

async fn serve<T, F, Fut>(handler: F) -> Result<()>
where
    T: Serialize,
    F: Fn(LambdaEvent<Value>) -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let answer = |event| {
        let answered = handler(event);
        async move { answered.await.map_err(Failed) }
    };
    lambda_runtime::run(service_fn(answer))
        .await
        .map_err(|error| {
            Error::new(ErrorKind::Unavailable, "the Lambda runtime ended").caused_by(error)
        })
}

/// Why an invocation failed, as the caller reads it: `errorType` is the error's kind.
#[derive(Debug)]
struct Failed(Error);

impl From<Failed> for Diagnostic {
    fn from(Failed(error): Failed) -> Self {
        Self {
            error_type: format!("{:?}", error.kind()),
            error_message: error.to_string(),
        }
    }
}

fn invocation(context: &lambda_runtime::Context) -> Invocation {
    let deadline = i64::try_from(context.deadline).unwrap_or(i64::MAX);
    Invocation {
        id: context.request_id.clone(),
        deadline: Timestamp::from_millis(deadline),
    }
}
