//! Sedano is Celery for AWS serverless: the broker is SQS, the workers are Lambda functions, the
//! result backend is DynamoDB, beat is EventBridge.

// What the macros write names the crate; so do the tests inside it.
#[cfg(test)]
extern crate self as sedano;

mod app;
#[cfg(feature = "aws")]
pub mod aws;
mod batches;
pub mod beat;
mod bind;
mod config;
mod context;
mod engine;
mod entropy;
mod error;
mod failure;
mod id;
#[cfg(feature = "lambda")]
pub mod lambda;
mod limits;
pub mod memory;
mod message;
mod number;
mod options;
mod plan;
pub mod ports;
mod record;
mod result;
mod signature;
mod task;
mod time;
mod worker;

pub use app::App;
#[cfg(feature = "aws")]
pub use config::{AwsCredentials, AwsSettings};
pub use config::{Config, StoreWrites};
pub use context::Context;
pub use entropy::{OsEntropy, SeededEntropy};
pub use error::{Error, ErrorKind, Result};
pub use failure::{
    BoxError, Class, Classified, Failure, Panicked, ResultExt, SoftTimeLimit, TaskError, TimeLimit,
};
pub use message::{Message, VERSION};
pub use options::{Backoff, Options};
pub use record::{Attempt, Record, State};
pub use result::{AsyncResult, Get, ResultError};
pub use sedano_macros::task;
pub use signature::Signature;
pub use task::{Param, StateType, Task, TaskDef, TaskReturn, Tasks};
pub use time::Timestamp;
pub use worker::{Disposition, Invocation, Worker};

/// What is in scope inside `#[task(…)]`: ways to say durations and backoffs.
pub mod scope {
    pub use crate::options::{exponential, hours, mins, secs};
}

/// For the code that the macros write.
#[doc(hidden)]
pub mod __private {
    pub use serde::{self, Deserialize, Serialize};
}
