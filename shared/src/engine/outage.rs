//! Messages that outlast an outage.
//!
//! A store or queue that doesn't answer is no fault of the message, but each delivery counts, and SQS gives
//! a message up after some ten of them: in about nine minutes. So from the sixth on the message is sent anew,
//! which starts SQS's count again, with pauses of up to a quarter of an hour. How often it came before,
//! and under which MessageId, travels in an attribute: it is the same message still, for what a first delivery may
//! skip and for what another message of its task has no part in.

use std::borrow::Cow;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::id;
use crate::launch::outgoing;
use crate::ports::{Delivery, MAX_DELAY, Outgoing};
use crate::worker::Disposition;

use super::{Batch, Branch, Job, reached};

/// How often a message was received before it was sent anew, and its first MessageId.
const RECEIVES: &str = "sedano-receives";
/// From this delivery on a message is sent anew.
const OFTEN: u32 = 6;
/// What SQS takes.
const MOST_ATTRIBUTES: usize = 10;

/// The deliveries, each with the count of all its receives, and the id it had at first.
pub(super) fn with_earlier_receives(deliveries: &[Delivery]) -> Cow<'_, [Delivery]> {
    if !deliveries
        .iter()
        .any(|delivery| delivery.attributes.contains_key(RECEIVES))
    {
        return Cow::Borrowed(deliveries);
    }
    let mut deliveries = deliveries.to_vec();
    for delivery in &mut deliveries {
        // Taken off: the message of the next attempt has no earlier receives.
        let Some(earlier) = delivery.attributes.remove(RECEIVES) else {
            continue;
        };
        let (receives, message_id) = earlier.split_once(' ').unwrap_or((&earlier, ""));
        let receives = receives.parse().unwrap_or(0);
        delivery.receive_count = delivery.receive_count.saturating_add(receives);
        if id::is_valid(message_id) {
            delivery.message_id = message_id.to_owned();
        }
    }
    Cow::Owned(deliveries)
}

/// How long a message that is handed back for want of a service stays hidden.
pub(super) fn pause(delivery: &Delivery) -> Duration {
    let doublings = delivery.receive_count.saturating_sub(1);
    match delivery.queue.is_undelivered() {
        // The last stop before the dead letters, and nobody else waits behind it.
        true => (Duration::from_secs(5) * 2_u32.pow(doublings.min(8))).min(MAX_DELAY),
        false => Duration::from_secs(5) * 2_u32.pow(doublings.min(4)),
    }
}

/// Whether the message would be given up if it were handed back much more often. One of a FIFO queue would
/// lose its place.
pub(super) fn outlasts_receives(delivery: &Delivery) -> bool {
    delivery.receive_count >= OFTEN && !delivery.queue.is_fifo()
}

impl Batch<'_> {
    /// Sends the same message once more, for later, in place of the one at hand. If that fails too, the
    /// error is what it was.
    pub(super) async fn send_anew(&self, job: &Job<'_>, error: Error) -> Result<Disposition> {
        let sent = match self.anew(job) {
            Ok(copy) => self.outbox.send(&job.delivery.queue, copy).await,
            Err(unwritten) => Err(unwritten),
        };
        let (message_id, task_id) = (&job.delivery.message_id, &job.message.id);
        match sent {
            Ok(_) => {
                reached(Branch::SentAnew);
                tracing::warn!(message_id, task_id, %error, "sent anew, to outlast an outage");
                Ok(Disposition::Done)
            }
            Err(unsent) => {
                tracing::warn!(message_id, task_id, error = %unsent, "can't be sent anew either");
                Err(error)
            }
        }
    }

    fn anew(&self, job: &Job<'_>) -> Result<Outgoing> {
        let delivery = job.delivery;
        let doublings = delivery.receive_count.saturating_sub(OFTEN).min(4);
        let pause = Duration::from_secs(60) * 2_u32.pow(doublings);
        let mut copy = outgoing(&job.message, &delivery.queue, self.now())?;
        copy.delay = copy.delay.max(pause).min(MAX_DELAY);
        copy.group.clone_from(&delivery.group);
        copy.attributes.clone_from(&delivery.attributes);
        if copy.attributes.len() < MOST_ATTRIBUTES {
            let receives = format!("{} {}", delivery.receive_count, delivery.message_id);
            copy.attributes.insert(RECEIVES.to_owned(), receives);
        }
        Ok(copy)
    }
}
