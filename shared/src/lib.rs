//! Sedano is Celery for AWS serverless: the broker is SQS, the workers are Lambda functions, the
//! result backend is DynamoDB, beat is EventBridge.
//!
//! ```
//! use sedano::{memory::Memory, task, tasks, TaskError, Worker};
//!
//! #[task(max_retries = 5)]
//! async fn add(x: i64, y: i64) -> Result<i64, TaskError> {
//!     Ok(x + y)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), sedano::BoxError> {
//! let app = Memory::default().app().tasks(tasks![add]);   // on AWS: App::from_env()?
//! let sum = app.send(add::s(2, 3)).await?;                // a message in a queue
//! Worker::new(app).run_once().await?;                     // on AWS: lambda::run(worker).await
//! assert_eq!(sum.get().await?, 5);                        // a record in a table
//! # Ok(()) }
//! ```
//!
//! # Where to begin
//!
//! | to … | see |
//! |---|---|
//! | write a task | [`macro@task`], [`Task`], [`Options`]; guide: [tasks](guide::tasks) |
//! | send one | [`App`], [`Signature`]; guide: [calling](guide::calling) |
//! | put several together | [`Signature`], [`group`](fn@group), [`chord`]; guide: [canvas](guide::canvas) |
//! | say how it failed | [`TaskError`], [`ResultExt`]; guide: [retries](guide::retries) |
//! | ask for its result | [`AsyncResult`], [`Record`]; guide: [results](guide::results) |
//! | run it | [`Worker`], `lambda::run`; guide: [deploy](guide::deploy) |
//! | send it by the clock | [`beat`], [`schedule`]; guide: [schedules](guide::schedules) |
//! | look after what failed for good | [`dead_letters`] |
//! | test it | [`memory`], `sim`; guide: [testing](guide::testing) |
//! | write a message by hand | [`Message`]; guide: [message](guide::message) |
//!
//! All guides are in [`guide`]; `ARCHITECTURE.md` in the repository is the map of the inside.
//!
//! # Features
//!
//! | feature | |
//! |---|---|
//! | `aws` (default) | SQS, DynamoDB and EventBridge behind the [`ports`] |
//! | `lambda` (default) | handlers for AWS Lambda: worker, reaper, producer, console, beat |
//! | `http` | the HTTP API as a router |
//! | `sim` | worlds of tasks behind seeded faults, in virtual time |
//!
//! Without any of them the library does not depend on AWS: only these adapters are missing.

// What the macros write names the crate; so do the tests inside it.
#[cfg(test)]
extern crate self as sedano;

mod app;
#[cfg(feature = "aws")]
pub mod aws;
mod batches;
pub mod beat;
mod bind;
mod canvas;
mod checkpoint;
mod config;
mod context;
pub mod dead_letters;
mod engine;
mod entropy;
mod error;
mod event;
mod failure;
mod finite;
mod group;
pub mod guide;
#[cfg(feature = "http")]
pub mod http;
mod id;
mod json;
#[cfg(feature = "lambda")]
pub mod lambda;
mod launch;
mod limits;
pub mod memory;
mod message;
mod middleware;
mod number;
mod options;
mod outbox;
mod parked;
mod plan;
pub mod ports;
mod record;
mod report;
mod result;
mod revocations;
mod routes;
pub mod schedule;
mod signature;
#[cfg(feature = "sim")]
pub mod sim;
mod task;
#[cfg(test)]
mod tests;
mod time;
mod unique;
mod watch;
mod worker;

pub use app::App;
pub use canvas::{
    CollectFailures, FailFast, Immutable, Members, Settled, Step, chain, chord, collect_failures,
    fail_fast, group,
};
#[cfg(feature = "aws")]
pub use config::{AwsCredentials, AwsSettings};
pub use config::{Config, StoreWrites};
pub use context::Context;
pub use entropy::{OsEntropy, SeededEntropy};
pub use error::{Error, ErrorKind, Result};
pub use event::{Event, EventKind};
pub use failure::{
    BoxError, Class, Classified, Failure, Panicked, ResultExt, Revoked, SoftTimeLimit, TaskError,
    TimeLimit,
};
pub use message::{Message, VERSION};
pub use middleware::{Middleware, Next, Sending, Worked};
pub use options::{Backoff, Options};
pub use outbox::{Outbox, OutboxRow};
pub use record::{Attempt, CustomState, Progress, Record, State};
pub use result::{AsyncResult, Completed, Get, Graph, Node, ResultError};
pub use revocations::{InForce, Revocation, RevokeOutcome};
pub use routes::{Route, RouteCall, Routes};
pub use sedano_macros::task;
pub use signature::Signature;
pub use task::{Param, StateType, Task, TaskDef, TaskReturn, Tasks, nearest};
pub use time::Timestamp;
pub use worker::{Disposition, Invocation, Worker};

/// What is in scope inside `#[task(…)]`: ways to say durations and backoffs.
pub mod scope {
    pub use crate::options::{exponential, hours, mins, secs};
}

/// For the code that the macros write.
#[doc(hidden)]
pub mod __private {
    pub use crate::canvas::{chunks, map, starmap};
    pub use serde::{self, Deserialize, Serialize};
}

/// The README's example compiles.
#[cfg(all(doctest, feature = "lambda"))]
#[doc = include_str!("../../README.md")]
struct Readme;
