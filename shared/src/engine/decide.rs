//! What an outcome means: success, another try, or the end. Celery's rules.

use std::time::Duration;

use serde_json::{Value, json};

use crate::canvas::{Fails, word};
use crate::error::ErrorKind;
use crate::failure::{Class, Failure, Named, Panicked, Replaced, Revoked, TaskError};
use crate::message::Message;
use crate::time::Timestamp;

use super::run::{Outcome, panic_text};
use super::{Batch, Branch, Known, reached};

/// What is to be recorded and done.
pub(super) enum Verdict {
    /// SUCCESS, with the result as JSON unless it is ignored, and with the group of what it adds to its own.
    Success {
        result: Option<String>,
        added: Option<Value>,
    },
    /// FAILURE, and a copy to the dead-letter queue if asked.
    Failure { failure: Failure, dead_letter: bool },
    /// Another run, then.
    Retry {
        due_at: Timestamp,
        retries: u32,
        failure: Failure,
    },
    /// REVOKED.
    Revoked(Failure),
    /// IGNORED.
    Ignored,
    /// STARTED still: another, whose message this is, stands for the task.
    Replaced(Box<Message>),
}

/// What is left of DynamoDB's 400 KB when the rest of a record is written.
const RESULT_BYTES: usize = 380 * 1024;

impl Verdict {
    /// The end of a task that kills its process.
    pub(super) fn lost(known: &Known<'_>, error: &str, now: Timestamp) -> Self {
        Self::named(known, "WorkerLost", error.to_owned(), now, true)
    }

    /// The end of a task whose error can't even be looked at.
    pub(super) fn panicked(
        known: &Known<'_>,
        panic: &(dyn std::any::Any + Send),
        now: Timestamp,
    ) -> Self {
        let error = TaskError::new(Panicked(panic_text(panic)));
        let failure = error.to_failure(known.job.message.retries, now);
        Verdict::Failure {
            failure,
            dead_letter: false,
        }
    }

    fn named(
        known: &Known<'_>,
        kind: &'static str,
        message: String,
        now: Timestamp,
        dead_letter: bool,
    ) -> Self {
        let error = TaskError::new(Named { kind, message });
        let failure = error.to_failure(known.job.message.retries, now);
        Verdict::Failure {
            failure,
            dead_letter,
        }
    }
}

impl Batch<'_> {
    /// What is to be recorded of a run that ended so and has added these members to its group.
    pub(super) fn decide(&self, known: &Known<'_>, outcome: Outcome, added: Vec<Value>) -> Verdict {
        let now = self.now();
        let group = added_group(&known.job.message, added);
        let error = match outcome {
            Ok(_) if known.ignores_result() => {
                return Verdict::Success {
                    result: None,
                    added: None,
                };
            }
            Ok(result) if result.len() + bytes_of(&group) > RESULT_BYTES => {
                let (task, bytes) = (&known.job.message.task, result.len());
                if let Some(group) = &group {
                    let message = format!(
                        "{task}() returned {bytes} bytes and added members of {} bytes; a record holds \
                         {RESULT_BYTES}: give them references in place of the data, or have one of \
                         them add the others",
                        group.to_string().len()
                    );
                    return Verdict::named(known, "TooLarge", message, now, false);
                }
                let message = format!(
                    "{task}() returned {bytes} bytes; a record holds {RESULT_BYTES}: \
                     store the data elsewhere and return a reference"
                );
                return Verdict::named(known, "ResultTooLarge", message, now, false);
            }
            Ok(result) => {
                return Verdict::Success {
                    result: Some(result),
                    added: group,
                };
            }
            Err(error) => error,
        };
        let retries = known.job.message.retries;
        if let Some(Replaced(by)) = error.downcast_ref::<Replaced>() {
            if group.is_some() {
                let message = "a run adds members to its chord or is replaced, not both".to_owned();
                return Verdict::named(known, "Invalid", message, now, false);
            }
            return match known.job.message.standing_for(by.clone()) {
                Ok(message) => Verdict::Replaced(Box::new(message)),
                Err(error) if error.kind() == ErrorKind::TooLarge => {
                    Verdict::named(known, "TooLarge", error.to_string(), now, true)
                }
                Err(error) => Verdict::named(known, "Encode", error.to_string(), now, false),
            };
        }
        let failure = error.to_failure(retries, now);
        if error.is::<Revoked>() {
            reached(Branch::StoppedRevoked);
            return Verdict::Revoked(failure);
        }
        let again = |delay: Duration, retries| Verdict::Retry {
            due_at: now + delay,
            retries,
            failure: failure.clone(),
        };
        match (error.class(), self.policy_retries(known, &error)) {
            (Class::Ignore, _) => Verdict::Ignored,
            (Class::Reject, _) => Verdict::Failure {
                failure,
                dead_letter: true,
            },
            (Class::Snooze(delay), _) => again(delay, retries),
            (Class::Retry(delay), _) if self.retries_left(known) => again(
                delay.unwrap_or_else(|| self.delay(known)),
                retries.saturating_add(1),
            ),
            (Class::Unknown, true) if self.retries_left(known) => {
                again(self.delay(known), retries.saturating_add(1))
            }
            (Class::Retry(_) | Class::Unknown | Class::Permanent, _) => Verdict::Failure {
                failure,
                dead_letter: false,
            },
        }
    }

    /// Whether the task's own policy wants another try of an error that carries no class.
    fn policy_retries(&self, known: &Known<'_>, error: &TaskError) -> bool {
        known.options().retry || known.options().retry_if.is_some_and(|pick| pick(error))
    }

    fn retries_left(&self, known: &Known<'_>) -> bool {
        known
            .options()
            .max_retries
            .is_none_or(|most| known.job.message.retries < most)
    }

    fn delay(&self, known: &Known<'_>) -> Duration {
        let entropy = &*self.worker.app().ports().entropy;
        known
            .options()
            .retry_delay(known.job.message.retries, entropy)
    }
}

/// The group of what a run adds to its own.
fn added_group(message: &Message, added: Vec<Value>) -> Option<Value> {
    if added.is_empty() {
        return None;
    }
    let mut group = json!({ "group": added });
    if message.member.as_ref().is_some_and(|member| member.fast)
        && let Value::Object(map) = &mut group
    {
        map.insert("on_failure".to_owned(), word(Fails::Fast).into());
    }
    Some(group)
}

fn bytes_of(group: &Option<Value>) -> usize {
    group.as_ref().map_or(0, |group| group.to_string().len())
}
