//! Handles on what was sent: a task, a chain, a group, a chord.

mod graph;
mod group;

use std::future::IntoFuture;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::app::App;
use crate::error::{Error, ErrorKind, Result};
use crate::failure::Failure;
use crate::ports::BoxFuture;
use crate::record::{Record, State};
use crate::revocations::RevokeOutcome;
use crate::time::Timestamp;

pub use graph::{Graph, Node};
pub use group::Completed;

/// A task that was sent: its id, and ways to ask after it. Celery's `AsyncResult`.
///
/// It holds nothing of the task but the id: a handle can be made anywhere, any time, with
/// [`App::result`].
#[derive(Debug)]
pub struct AsyncResult<T> {
    app: App,
    id: String,
    /// The steps before it, where it was sent from here.
    path: Arc<[String]>,
    output: PhantomData<fn() -> T>,
}

impl<T> Clone for AsyncResult<T> {
    fn clone(&self) -> Self {
        Self {
            app: self.app.clone(),
            id: self.id.clone(),
            path: self.path.clone(),
            output: PhantomData,
        }
    }
}

/// Why [`AsyncResult::get`] gives no value.
#[derive(Debug)]
#[non_exhaustive]
pub enum ResultError {
    /// The task failed for good.
    Failed(Failure),
    /// The task was revoked or expired before it started.
    Revoked(Failure),
    /// The task asked for its outcome to be ignored, or was left out for another that is the same.
    Ignored,
    /// The task isn't done; this is where it stands.
    Timeout(State),
    /// The result couldn't be read, or isn't of the type asked for.
    Unreadable(Error),
}

impl std::fmt::Display for ResultError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ResultError::Failed(failure) => write!(f, "the task failed: {failure}"),
            ResultError::Revoked(failure) => write!(f, "the task was revoked: {}", failure.message),
            ResultError::Ignored => f.write_str("the task was ignored: it asked for that, or another is the same, as its record says"),
            ResultError::Timeout(state) => write!(f, "no result in time: the task is {state}"),
            ResultError::Unreadable(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ResultError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let ResultError::Unreadable(error) = self {
            Some(error)
        } else {
            None
        }
    }
}

impl From<Error> for ResultError {
    fn from(error: Error) -> Self {
        ResultError::Unreadable(error)
    }
}

impl<T> AsyncResult<T> {
    pub(crate) fn new(app: App, id: String) -> Self {
        Self::after(app, id, Arc::default())
    }

    /// The result of the last of some steps.
    pub(crate) fn after(app: App, id: String, path: Arc<[String]>) -> Self {
        Self {
            app,
            id,
            path,
            output: PhantomData,
        }
    }

    /// The id of the first step.
    pub(crate) fn first(&self) -> &str {
        self.path.first().unwrap_or(&self.id)
    }

    /// The task's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where the task stands.
    ///
    /// # Errors
    /// When the record can't be read.
    pub async fn state(&self) -> Result<State> {
        Ok(self.record().await?.status)
    }

    /// Everything that is recorded of the task.
    ///
    /// # Errors
    /// When the record can't be read.
    pub async fn record(&self) -> Result<Record> {
        self.app.record(&self.id).await
    }

    /// Whether the task is final, whatever its outcome.
    ///
    /// # Errors
    /// When the record can't be read.
    pub async fn ready(&self) -> Result<bool> {
        Ok(self.state().await?.is_final())
    }

    /// Whether the task has succeeded.
    ///
    /// # Errors
    /// When the record can't be read.
    pub async fn successful(&self) -> Result<bool> {
        Ok(self.state().await? == State::Success)
    }

    /// Whether the task has failed for good.
    ///
    /// # Errors
    /// When the record can't be read.
    pub async fn failed(&self) -> Result<bool> {
        Ok(self.state().await? == State::Failure)
    }

    /// Deletes the record, once the result has been used. A task that isn't final keeps its record,
    /// which guards it against running twice; one that another task or a group has sent keeps what says that
    /// it has ended, and nothing else.
    ///
    /// # Errors
    /// `Conflict`, if the task isn't final.
    pub async fn forget(&self) -> Result<()> {
        self.app.forget(&self.id).await
    }

    /// Revokes the task: it won't start, or is asked to stop if it runs.
    ///
    /// # Errors
    /// As [`App::revoke`].
    pub async fn revoke(&self) -> Result<RevokeOutcome> {
        self.app.revoke(&self.id).await
    }

    /// Moves the task, if it isn't due yet: it becomes due at `eta` instead.
    ///
    /// # Errors
    /// As [`App::reschedule`].
    pub async fn reschedule(&self, eta: Timestamp) -> Result<()> {
        self.app.reschedule(&self.id, eta).await
    }
}

impl<T: DeserializeOwned> AsyncResult<T> {
    /// The outcome, if there is one already.
    ///
    /// # Errors
    /// As [`get`](AsyncResult::get), but for `Timeout`.
    pub async fn try_get(&self) -> Result<Option<T>, ResultError> {
        outcome(self.app.whole(self.record().await?).await?)
    }

    /// Waits for the outcome: `result.get().await`, or `result.get().timeout(…).await`. Polls with
    /// growing intervals (50 ms to 2 s), one consistent read each, for 30 s unless told otherwise.
    ///
    /// # Errors
    /// See [`ResultError`].
    pub fn get(&self) -> Get<'_, T> {
        Get {
            of: self,
            timeout: Duration::from_secs(30),
        }
    }
}

fn outcome<T: DeserializeOwned>(record: Record) -> Result<Option<T>, ResultError> {
    let Record {
        id,
        status,
        result,
        error,
        ..
    } = record;
    let failure = || {
        let what = format!("the record of task {id} is {status} without an error");
        error.ok_or_else(|| ResultError::from(Error::new(ErrorKind::Decode, what)))
    };
    match status {
        State::Pending | State::Started | State::Retry => Ok(None),
        State::Success => {
            // A task that ignores its result succeeds with none: that is `null`, or `()`.
            serde_json::from_value(result.unwrap_or_default())
                .map(Some)
                .map_err(|error| {
                    let what =
                        format!("the result of task {id} isn't of the type asked for: {error}");
                    Error::new(ErrorKind::Decode, what).into()
                })
        }
        State::Failure => Err(ResultError::Failed(failure()?)),
        State::Revoked => Err(ResultError::Revoked(failure()?)),
        State::Ignored => Err(ResultError::Ignored),
    }
}

/// A wait for a result; `.await` it.
#[must_use = "nothing waits until this is awaited"]
#[derive(Debug)]
pub struct Get<'a, T> {
    of: &'a AsyncResult<T>,
    timeout: Duration,
}

impl<T> Get<'_, T> {
    /// How long to wait at most.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl<'a, T: DeserializeOwned> IntoFuture for Get<'a, T> {
    type Output = Result<T, ResultError>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let record = self.of.app.wait(&self.of.id, self.timeout).await?;
            let record = self.of.app.whole(record).await?;
            let state = record.status;
            outcome(record)?.ok_or(ResultError::Timeout(state))
        })
    }
}
