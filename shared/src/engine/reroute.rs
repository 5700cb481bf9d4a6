//! Messages that go elsewhere than on: hidden for a while, or to the dead-letter queue.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::app::whole_seconds;
use crate::dead_letters::attribute;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::failure::Failure;
use crate::ports::{
    Attribute, BATCH_BYTES, Change, Delivery, Item, Key, MAX_HIDE, Op, Outgoing, QueueName, When,
    Write,
};
use crate::record::{State, attempts, count, failure, field, status};
use crate::time::Timestamp;
use crate::worker::Disposition;

use super::follow::Ending;
use super::standing::{Standing, kept_message, tree};
use super::{Batch, Branch, Job, Rule, reached};

/// Failures whose message goes to the dead-letter queue.
pub(crate) const DEAD: [&str; 5] = [
    "NotRegistered",
    "Rejected",
    "TooLarge",
    "Undelivered",
    "WorkerLost",
];

impl Batch<'_> {
    /// Makes the message invisible for a while from now.
    pub(super) async fn hide(&self, delivery: &Delivery, pause: Duration) -> Result<()> {
        // SQS counts its 12 hours from the receive, which was up to an invocation ago.
        let pause = whole_seconds(pause).min(MAX_HIDE - Duration::from_secs(1200));
        self.hides.hide(delivery, pause).await
    }

    /// What can't be read becomes a dead letter as it came.
    pub(super) async fn dead_body(
        &self,
        delivery: &Delivery,
        error: &Error,
    ) -> Result<Disposition> {
        let error = match undelivered_event(delivery) {
            Some(event) => format!("{event}; {error}"),
            None => error.to_string(),
        };
        let queue = match &delivery.source {
            Some(source) if delivery.queue.is_undelivered() => source,
            _ => &delivery.queue,
        };
        let letter = Letter {
            reason: "Undecodable",
            error: &error,
            queue,
            runs: 0,
            task: None,
        };
        self.dead_letter(delivery, delivery.body.clone(), letter)
            .await
    }

    /// A decoded message becomes a dead letter, for the failure that was recorded of it. Its id is in the
    /// body, so that it keeps it when it is sent back to work.
    pub(super) async fn dead_job(
        &self,
        job: &Job<'_>,
        failure: &Failure,
        runs: u32,
    ) -> Result<Disposition> {
        let body = job
            .message
            .encode()
            .unwrap_or_else(|_| job.delivery.body.clone());
        let letter = Letter {
            reason: &failure.kind,
            error: &failure.message,
            queue: match job.delivery.queue.is_undelivered() {
                true => job.delivery.source.as_ref().unwrap_or(&job.home),
                false => &job.delivery.queue,
            },
            runs,
            task: Some((&job.message.task, &job.message.id)),
        };
        self.dead_letter(job.delivery, body, letter).await
    }

    /// A message whose task can't be run: its record says why, and it is kept as a dead letter.
    pub(super) async fn dead_unstarted(
        &self,
        job: &Job<'_>,
        kind: &str,
        error: String,
    ) -> Result<Disposition> {
        let failure = self.failure(job, kind, error);
        match self.record_unstarted(job, State::Failure, &failure).await? {
            Standing::Mine => {
                let event = Event::failed(&job.message, &failure);
                self.worker.app().tell(&event);
                self.after(&job.message, Ending::Failure(failure.clone()))
                    .await?;
                let runs = self.runs_so_far(job).await?;
                self.dead_job(job, &failure, runs).await
            }
            standing => self.refused(job, standing).await,
        }
    }

    /// To the dead-letter queue, with the reason as attributes; then the message is done. Where there
    /// is no such queue it is handed back, and the broker's own redrive has it in the end.
    async fn dead_letter(
        &self,
        delivery: &Delivery,
        body: String,
        letter: Letter<'_>,
    ) -> Result<Disposition> {
        let queue = QueueName::new(QueueName::DEAD_LETTERS);
        let (message_id, reason, error) = (&delivery.message_id, letter.reason, letter.error);
        if !self.worker.app().config().queues.contains_key(&queue) {
            tracing::error!(
                message_id,
                reason,
                error,
                "no queue `dead-letters` is configured"
            );
            return Ok(Disposition::Returned);
        }
        let mut dead = Outgoing::new(body);
        dead.attributes = letter.attributes(message_id, self.now());
        // Whoever sends it back to a FIFO queue finds its group.
        dead.group.clone_from(&delivery.group);
        // The body counts; the log has the rest.
        for name in attribute::LEAST_FIRST {
            if dead.size() <= BATCH_BYTES {
                break;
            }
            dead.attributes.remove(name);
        }
        self.outbox.send(&queue, dead).await?;
        tracing::error!(message_id, reason, error, "to the dead-letter queue");
        Ok(Disposition::Done)
    }

    /// How often the body ran before its task was given up, as its record knows.
    async fn runs_so_far(&self, job: &Job<'_>) -> Result<u32> {
        let key = Key::Result(job.message.id.clone());
        let item = self.worker.app().ports().store.get(&key).await?;
        Ok(item.as_ref().map_or(0, runs))
    }

    /// What follows from a final state, once more: whoever recorded it may have died before.
    pub(super) async fn follow_again(&self, job: &Job<'_>, item: &Item) -> Result<Disposition> {
        reached(Branch::Final);
        if !self.worker.keeps(Rule::FollowAgain) {
            return Ok(Disposition::Done);
        }
        if status(item) == Some(State::Revoked) && !item.contains_key(field::MESSAGE) {
            self.keep_message(job).await?;
        }
        if let Some(ending) = Ending::of(&job.message.id, item) {
            self.after(&job.message, ending).await?;
        }
        let error = item.get(field::ERROR).and_then(failure);
        match error.filter(|error| DEAD.contains(&error.kind.as_str())) {
            Some(error) if ended_with(item, job.delivery) => {
                reached(Branch::LetterMadeGood);
                let lost = error.kind == "WorkerLost";
                self.dead_job(job, &error, runs(item).saturating_sub(lost.into()))
                    .await
            }
            _ => Ok(Disposition::Done),
        }
    }

    /// Whoever revoked the task had its id only: now its message is here, to be kept for a retry.
    async fn keep_message(&self, job: &Job<'_>) -> Result<()> {
        let Some(message) = kept_message(job) else {
            return Ok(());
        };
        reached(Branch::RevokedMessageKept);
        let revoked = When::Eq(field::STATUS.into(), State::Revoked.into());
        let mut changes = vec![
            Change::Set(field::TASK.into(), job.message.task.as_str().into()),
            Change::Set(field::QUEUE.into(), job.home.as_str().into()),
            Change::Set(field::MESSAGE.into(), message),
        ];
        changes.extend(tree(&job.message).map(|(name, id)| Change::Set(name.into(), id)));
        let write = Write {
            key: Key::Result(job.message.id.clone()),
            op: Op::Update(changes),
            when: When::All(vec![
                revoked,
                When::Not(Box::new(When::Has(field::MESSAGE.into()))),
            ]),
        };
        // Refused: another copy of the message has brought it.
        self.worker.app().ports().store.write(write).await.map(drop)
    }
}

/// What is said of a dead letter.
struct Letter<'a> {
    reason: &'a str,
    error: &'a str,
    queue: &'a QueueName,
    runs: u32,
    /// Its task and that one's id, where the body could be read.
    task: Option<(&'a str, &'a str)>,
}

impl Letter<'_> {
    fn attributes(&self, message_id: &str, now: Timestamp) -> BTreeMap<String, String> {
        let mut attributes = BTreeMap::from([
            (attribute::REASON, legal(self.reason)),
            (attribute::ERROR, legal(self.error)),
            (attribute::QUEUE, legal(self.queue.as_str())),
            (attribute::MESSAGE_ID, legal(message_id)),
            (attribute::ATTEMPTS, self.runs.to_string()),
            (attribute::DEAD_AT, now.to_string()),
        ]);
        if let Some((task, id)) = self.task {
            attributes.insert(attribute::TASK, legal(task));
            attributes.insert(attribute::TASK_ID, legal(id));
        }
        let owned = |(name, value): (&str, String)| (name.to_owned(), value);
        attributes.into_iter().map(owned).collect()
    }
}

/// What EventBridge says of an event that it couldn't deliver.
pub(super) fn undelivered_event(delivery: &Delivery) -> Option<String> {
    let said = |name: &str| delivery.attributes.get(name).map(String::as_str);
    let code = said("ERROR_CODE")?;
    let (rule, target) = (
        said("RULE_ARN")?,
        said("TARGET_ARN").unwrap_or("its target"),
    );
    let why = said("ERROR_MESSAGE").unwrap_or("no message");
    Some(format!(
        "EventBridge could not deliver it from {rule} to {target}: {code}: {why}"
    ))
}

/// Whether it was this message that the task ended with, so that its dead letter may still be missing. Another
/// message of the same task has nothing to make good. Counts of receives tell them apart badly: SQS's are
/// approximate.
fn ended_with(item: &Item, delivery: &Delivery) -> bool {
    message_id(item) == Some(&*delivery.message_id)
}

/// Whether it is known to have been another one.
pub(super) fn ended_with_another(item: &Item, delivery: &Delivery) -> bool {
    message_id(item).is_some_and(|id| id != delivery.message_id)
}

fn message_id(item: &Item) -> Option<&str> {
    item.get(field::MESSAGE_ID).and_then(Attribute::as_text)
}

/// How often the body ran, as its record knows.
pub(super) fn runs(item: &Item) -> u32 {
    let kept = u32::try_from(attempts(item).len()).unwrap_or(u32::MAX);
    // Only the last ten are kept. A generation may have ended before its attempt ran.
    let attempt = count(item, field::ATTEMPT);
    kept.max(attempt.saturating_sub(count(item, field::GENERATION)))
}

/// Text that SQS takes as an attribute: not empty, no control characters, of reasonable length.
fn legal(text: &str) -> String {
    const LONGEST: usize = 1024;
    let illegal = |c: char| {
        (c.is_control() && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{fffe}' | '\u{ffff}')
    };
    let legal: String = text
        .chars()
        .filter(|c| !illegal(*c))
        .take(LONGEST)
        .collect();
    if legal.is_empty() {
        "-".to_owned()
    } else {
        legal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_what_sqs_takes() {
        assert_eq!(legal("a\u{0}b\u{ffff}\n"), "ab\n");
        assert_eq!(legal(""), "-");
        assert_eq!(legal(&"é".repeat(2000)).chars().count(), 1024);
    }
}
