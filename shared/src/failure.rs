//! How a task says no.
//!
//! A task may return any usual error type. What should happen next is a *class*: a marker inside the
//! error's chain, not a wrapper the task must return, so it survives `?`, `Box<dyn Error>` and
//! `anyhow`'s `.context(…)`. Without a marker the task's own policy decides
//! ([`Options::retry`](crate::Options::retry), [`retry_if`](crate::Options::retry_if)); as in Celery,
//! nothing is retried unless asked for.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::canvas::Canvas;
use crate::time::Timestamp;

/// Any error, boxed.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// A task's error: any error, with or without a [`Class`].
///
/// It is not itself a [`std::error::Error`], so that `?` turns every error into one.
///
/// ```
/// use sedano::{Class, ResultExt, TaskError};
/// use std::time::Duration;
///
/// fn count(text: &str) -> Result<u32, TaskError> {
///     Ok(text.parse::<u32>().retry_after(Duration::from_secs(30))?)
/// }
/// let error = count("many").unwrap_err();
/// assert_eq!(error.class(), Class::Retry(Some(Duration::from_secs(30))));
/// assert!(error.is::<std::num::ParseIntError>());
/// ```
pub struct TaskError(BoxError);

/// What should become of a task that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Class {
    /// The task's policy decides.
    Unknown,
    /// Run again: after this long, or else after the task's backoff. Counts against `max_retries`.
    Retry(Option<Duration>),
    /// Never again: FAILURE at once.
    Permanent,
    /// Not ready yet: run again after this long; no retry is counted.
    Snooze(Duration),
    /// Keep no outcome: the state becomes IGNORED, as with Celery's `Ignore`.
    Ignore,
    /// Poison: FAILURE `Rejected`, and the message goes to the dead-letter queue.
    Reject,
}

/// An error with a class. Being a [`std::error::Error`], it travels through `?` into anything.
#[derive(Debug)]
pub struct Classified {
    class: Class,
    source: BoxError,
}

/// Not an error, but a task that answers with another.
#[derive(Debug)]
pub(crate) struct Replaced(pub(crate) Canvas);

impl fmt::Display for Replaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "replaced by `{}`", self.0.name())
    }
}

impl StdError for Replaced {}

impl fmt::Display for Classified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl StdError for Classified {
    // The marker shows its source's text as its own: the chain goes on behind it.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.source()
    }
}

impl TaskError {
    /// What to do in place of the task: see [`Context::replace`](crate::Context::replace).
    pub(crate) fn replaced(by: Canvas) -> Self {
        Self(Box::new(Replaced(by)))
    }

    /// Any error, text included, left to the task's policy.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self(error.into())
    }

    /// Run again after the task's backoff.
    pub fn retry(error: impl Into<BoxError>) -> Self {
        Self::classified(Class::Retry(None), error)
    }

    /// Never run again.
    pub fn permanent(error: impl Into<BoxError>) -> Self {
        Self::classified(Class::Permanent, error)
    }

    /// Not ready yet: run again after `delay`, counting no retry.
    pub fn snooze(delay: Duration) -> Self {
        Self::classified(
            Class::Snooze(delay),
            format!("not ready, again in {delay:?}"),
        )
    }

    /// Stopped by the end of an invocation most of which others had used: it begins anew at once.
    pub(crate) fn cut_short() -> Self {
        Self::classified(
            Class::Snooze(Duration::ZERO),
            "stopped by the end of an invocation that it began late; it begins anew",
        )
    }

    /// Keep no outcome.
    pub fn ignore() -> Self {
        Self::classified(Class::Ignore, "ignored")
    }

    /// To the dead-letter queue, with this reason.
    pub fn reject(reason: impl Into<BoxError>) -> Self {
        Self::classified(Class::Reject, reason)
    }

    /// The same error, to be retried after `delay` instead of the task's backoff.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self::classified(Class::Retry(Some(delay)), self.0)
    }

    /// The same error, never to be retried.
    pub(crate) fn for_good(self) -> Self {
        Self::classified(Class::Permanent, self.0)
    }

    fn classified(class: Class, error: impl Into<BoxError>) -> Self {
        Self(Box::new(Classified {
            class,
            source: error.into(),
        }))
    }

    /// The outermost class in the chain, or [`Class::Unknown`].
    pub fn class(&self) -> Class {
        let mut error: Option<&(dyn StdError + 'static)> = Some(&*self.0);
        while let Some(current) = error {
            if let Some(classified) = current.downcast_ref::<Classified>() {
                return classified.class;
            }
            error = current.source();
        }
        Class::Unknown
    }

    /// The first error of type `E` in the chain.
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
            if let Some(found) = error.downcast_ref::<E>() {
                return Some(found);
            }
            if let Some(classified) = error.downcast_ref::<Classified>() {
                return find(&*classified.source);
            }
            error.source().and_then(find)
        }
        find(&*self.0)
    }

    /// Whether an error of type `E` is in the chain.
    pub fn is<E: StdError + 'static>(&self) -> bool {
        self.downcast_ref::<E>().is_some()
    }

    /// The error as plain data, as it is stored.
    pub(crate) fn to_failure(&self, retries: u32, at: Timestamp) -> Failure {
        let kind = if let Some(named) = self.downcast_ref::<Named>() {
            named.kind
        } else if self.class() == Class::Reject {
            "Rejected"
        } else if self.is::<TimeLimit>() {
            "TimeLimit"
        } else if self.is::<SoftTimeLimit>() {
            "SoftTimeLimit"
        } else if self.is::<Revoked>() {
            REVOKED
        } else if self.is::<Panicked>() {
            "Panicked"
        } else {
            "TaskError"
        };
        let mut causes = Vec::new();
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = shortened(&error.to_string(), TEXT);
            // A marker in the middle of a chain repeats the text of what it marks.
            if causes.last() != Some(&text) && causes.len() < CAUSES {
                causes.push(text);
            }
            cause = error.source();
        }
        Failure {
            kind: kind.to_owned(),
            message: shortened(&self.to_string(), TEXT),
            causes,
            retries,
            at,
        }
    }
}

/// The most bytes of an error's text that a record keeps, and the most causes: an error may quote a
/// whole page, and a record has to stay small.
const TEXT: usize = 4096;
const CAUSES: usize = 10;

/// The text, or its beginning with an ellipsis.
pub(crate) fn shortened(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let mut end = bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", text.get(..end).unwrap_or_default())
}

/// The text, or its beginning and its end.
pub(crate) fn abridged(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let mut start = text.len() - bytes / 2;
    while !text.is_char_boundary(start) {
        start += 1;
    }
    shortened(text, bytes / 2) + text.get(start..).unwrap_or_default()
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for TaskError {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl From<TaskError> for BoxError {
    fn from(error: TaskError) -> Self {
        error.0
    }
}

/// Marks the error of any `Result` with a class.
pub trait ResultExt<T>: Sized {
    /// Run again after the task's backoff.
    fn retry(self) -> Result<T, Classified>;
    /// Run again after this long: for a service that says when (`Retry-After`).
    fn retry_after(self, delay: Duration) -> Result<T, Classified>;
    /// Never run again.
    fn permanent(self) -> Result<T, Classified>;
}

impl<T, E: Into<BoxError>> ResultExt<T> for Result<T, E> {
    fn retry(self) -> Result<T, Classified> {
        self.map_err(|error| Classified {
            class: Class::Retry(None),
            source: error.into(),
        })
    }

    fn retry_after(self, delay: Duration) -> Result<T, Classified> {
        self.map_err(|error| Classified {
            class: Class::Retry(Some(delay)),
            source: error.into(),
        })
    }

    fn permanent(self) -> Result<T, Classified> {
        self.map_err(|error| Classified {
            class: Class::Permanent,
            source: error.into(),
        })
    }
}

/// Why a task didn't succeed, as plain data: stored in the record, answered by the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Failure {
    /// A short name to tell failures apart: `TaskError` for what the task itself returned, else
    /// `TimeLimit`, `Panicked`, `WorkerLost`, `NotRegistered`, `Rejected`, `Bind`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// The error's own text.
    pub message: String,
    /// The texts of what caused it, outermost first.
    #[serde(default)]
    pub causes: Vec<String>,
    /// How many retries had been made.
    #[serde(default)]
    pub retries: u32,
    /// When.
    pub at: Timestamp,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}

/// The kind of what was revoked by hand; what expired or was left out has a kind of its own.
pub(crate) const REVOKED: &str = "Revoked";

/// An error of the engine with a name of its own in [`Failure::kind`].
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) kind: &'static str,
    pub(crate) message: String,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Named {}

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident: $text:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name(
            /// The limit.
            pub Duration,
        );

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, $text, self.0)
            }
        }

        impl StdError for $name {}
    )*};
}

limits! {
    /// The task ran longer than its time limit, or than its invocation, and was stopped.
    TimeLimit: "stopped by its time limit of {:?}";
    /// The soft time limit passed: what a task returns that gave up when
    /// [`Context::soft_time_limit`](crate::Context::soft_time_limit) completed.
    SoftTimeLimit: "gave up at its soft time limit of {:?}";
}

/// The task was revoked while it ran: what [`Context::ensure_not_revoked`](crate::Context::ensure_not_revoked)
/// fails with. Returned by the task, or in the chain of what it returns, it ends it as REVOKED.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Revoked;

impl fmt::Display for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("revoked while it ran")
    }
}

impl StdError for Revoked {}

/// The task panicked; the text is the panic's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panicked(pub String);

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panicked: {}", self.0)
    }
}

impl StdError for Panicked {}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(BoxError);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("while fetching")
        }
    }

    impl StdError for Outer {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&*self.0)
        }
    }

    #[test]
    fn a_class_is_found_anywhere_in_the_chain() {
        let marked = "x".parse::<u32>().permanent().unwrap_err();
        let error = TaskError::from(Outer(Box::new(marked)));
        assert_eq!(error.class(), Class::Permanent);
        assert!(error.is::<std::num::ParseIntError>());
        assert!(!error.is::<std::io::Error>());
    }

    #[test]
    fn a_failure_tells_the_causes_once_each() {
        let marked = "x".parse::<u32>().retry().unwrap_err();
        let failure = TaskError::from(Outer(Box::new(marked))).to_failure(2, Timestamp::default());
        assert_eq!(failure.kind, "TaskError");
        assert_eq!(failure.message, "while fetching");
        assert_eq!(failure.causes, ["invalid digit found in string"]);
        assert_eq!(failure.retries, 2);
    }

    #[test]
    fn the_last_word_on_the_class_counts() {
        let error = TaskError::retry("busy").after(Duration::from_secs(7));
        assert_eq!(error.class(), Class::Retry(Some(Duration::from_secs(7))));
        assert_eq!(
            TaskError::reject("poison")
                .to_failure(0, Timestamp::default())
                .kind,
            "Rejected"
        );
    }
}
