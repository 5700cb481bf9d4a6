//! What can go wrong in Sedano itself.
//!
//! One opaque [`Error`] with a [`kind`](Error::kind) to decide by and a sentence to read; no error
//! type of a dependency appears in it. What goes wrong inside a *task* is a
//! [`TaskError`](crate::TaskError), which is another thing.

use std::error::Error as StdError;
use std::fmt;

/// A result whose error is Sedano's own.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the library: what happened, where, and what to do, in one sentence.
///
/// ```
/// use sedano::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::Config, "SEDANO_QUEUES is not set");
/// assert_eq!(error.kind(), ErrorKind::Config);
/// assert_eq!(error.to_string(), "SEDANO_QUEUES is not set");
/// assert!(!error.is_retryable());
/// ```
pub struct Error {
    kind: ErrorKind,
    message: String,
    parameter: Option<Box<str>>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What sort of thing went wrong. New kinds may be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting is missing or wrong; nothing starts until it is mended.
    Config,
    /// A value can't be written as JSON.
    Encode,
    /// Bytes that should be a message, a record or a value are not.
    Decode,
    /// Arguments don't fit the task's parameters.
    Bind,
    /// Over a limit of SQS (1 MiB a message or batch) or DynamoDB (400 KB an item).
    TooLarge,
    /// Another limit or rule of the service forbids the call as written.
    Invalid,
    /// No task of that name is registered.
    NotRegistered,
    /// The thing asked for isn't there (a queue, a table, a receipt).
    NotFound,
    /// The state of the thing forbids the operation.
    Conflict,
    /// Credentials are missing, or their policy doesn't allow the call.
    Denied,
    /// The service asks to slow down.
    Throttled,
    /// The service didn't answer, or answered with its own failure.
    Unavailable,
    /// The time allowed ran out.
    Timeout,
    /// Waiting for a task's result inside a task: it would hold a worker for nothing.
    WouldDeadlock,
}

impl Error {
    /// An error of this kind, described in one sentence a user can act on.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            parameter: None,
            source: None,
        }
    }

    /// The same error with what caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error with the parameter, field or option that is to blame.
    #[must_use]
    pub(crate) fn about(mut self, parameter: &str) -> Self {
        self.parameter = Some(parameter.into());
        self
    }

    /// The parameter, field or option that is to blame, where it is one: the first of several.
    pub fn parameter(&self) -> Option<&str> {
        self.parameter.as_deref()
    }

    /// What sort of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the same call may succeed a moment later.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Throttled | ErrorKind::Unavailable | ErrorKind::Timeout
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, "; caused by: {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}
