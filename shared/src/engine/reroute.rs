//! Messages that go elsewhere than on: hidden for a while, or to the dead-letter queue.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::app::whole_seconds;
use crate::error::Result;
use crate::ports::{
    BATCH_BYTES, Change, Delivery, Item, Key, MAX_HIDE, Op, Outgoing, QueueName, When, Write,
};
use crate::record::{State, failure, field, status};
use crate::worker::Disposition;

use super::standing::kept_message;
use super::{Batch, Job};

/// Failures whose message goes to the dead-letter queue.
const DEAD: [&str; 4] = ["NotRegistered", "Rejected", "TooLarge", "WorkerLost"];

impl Batch<'_> {
    /// Makes the message invisible for a while from now.
    pub(super) async fn hide(&self, delivery: &Delivery, pause: Duration) -> Result<()> {
        // SQS counts its 12 hours from the receive, which was up to an invocation ago.
        let pause = whole_seconds(pause).min(MAX_HIDE - Duration::from_secs(1200));
        self.hides.hide(delivery, pause).await
    }

    /// To the dead-letter queue, with the reason as attributes; then the message is done. Where there
    /// is no such queue it is handed back, and the broker's own redrive has it in the end.
    pub(super) async fn dead_letter(
        &self,
        delivery: &Delivery,
        body: String,
        reason: &str,
        error: &str,
    ) -> Result<Disposition> {
        let queue = QueueName::new(QueueName::DEAD_LETTERS);
        let message_id = &delivery.message_id;
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
        dead.attributes = BTreeMap::from([
            ("sedano-reason".to_owned(), legal(reason)),
            ("sedano-error".to_owned(), legal(error)),
            ("sedano-queue".to_owned(), legal(delivery.queue.as_str())),
            ("sedano-message-id".to_owned(), legal(message_id)),
        ]);
        if dead.size() > BATCH_BYTES {
            // The body counts; the log has the reason.
            dead.attributes.clear();
        }
        self.outbox.send(&queue, dead).await?;
        tracing::error!(message_id, reason, error, "to the dead-letter queue");
        Ok(Disposition::Done)
    }

    /// A decoded message to the dead-letter queue. Its id is in the body, by which its record is found:
    /// that is final, and so the letter runs again only under another id.
    pub(super) async fn dead_job(
        &self,
        job: &Job<'_>,
        reason: &str,
        error: &str,
    ) -> Result<Disposition> {
        let body = job
            .message
            .encode()
            .unwrap_or_else(|_| job.delivery.body.clone());
        self.dead_letter(job.delivery, body, reason, error).await
    }

    /// What follows from a final state, once more: whoever recorded it may have died before.
    pub(super) async fn follow_again(&self, job: &Job<'_>, item: &Item) -> Result<Disposition> {
        if status(item) == Some(State::Revoked) && !item.contains_key(field::MESSAGE) {
            self.keep_message(job).await?;
        }
        let error = item.get(field::ERROR).and_then(failure);
        match error.filter(|error| DEAD.contains(&error.kind.as_str())) {
            // Another copy, delivered for the first time, has nothing to make good.
            Some(error) if job.delivery.receive_count > 1 => {
                self.dead_job(job, &error.kind, &error.message).await
            }
            _ => Ok(Disposition::Done),
        }
    }

    /// Whoever revoked the task had its id only: now its message is here, to be kept for a retry.
    async fn keep_message(&self, job: &Job<'_>) -> Result<()> {
        let Some(message) = kept_message(job) else {
            return Ok(());
        };
        let revoked = When::Eq(field::STATUS.into(), State::Revoked.into());
        let write = Write {
            key: Key::Result(job.message.id.clone()),
            op: Op::Update(vec![
                Change::Set(field::TASK.into(), job.message.task.as_str().into()),
                Change::Set(field::QUEUE.into(), job.home.as_str().into()),
                Change::Set(field::MESSAGE.into(), message),
            ]),
            when: When::All(vec![
                revoked,
                When::Not(Box::new(When::Has(field::MESSAGE.into()))),
            ]),
        };
        // Refused: another copy of the message has brought it.
        self.worker.app().ports().store.write(write).await.map(drop)
    }
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
