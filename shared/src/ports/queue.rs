//! The broker: queues with the semantics of SQS.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::Result;
use crate::time::Timestamp;

/// The most entries in one batch call of SQS.
pub const BATCH_ENTRIES: usize = 10;
/// The most bytes of one SQS message, and of one batch together: bodies and attributes.
pub const BATCH_BYTES: usize = 1_048_576;
/// The longest delay SQS takes for one message.
pub const MAX_DELAY: Duration = Duration::from_secs(900);
/// The longest visibility timeout SQS takes.
pub const MAX_HIDE: Duration = Duration::from_secs(43_200);

/// A broker with the semantics of SQS: at least once, in any order, hidden while someone works on it.
///
/// A call fails as a whole (`Err`) or entry by entry (an `Err` inside the list, which has one place
/// for each entry, in order). Errors: `Invalid` over a limit of entries, delay or characters,
/// `TooLarge` over [`BATCH_BYTES`], `NotFound` for an unknown queue or a lapsed receipt, `Throttled`
/// and `Unavailable` as the service says.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Sends at most [`BATCH_ENTRIES`] messages of together at most [`BATCH_BYTES`] in one call.
    async fn send(&self, queue: &QueueName, batch: Vec<Outgoing>) -> Result<Vec<Result<Sent>>>;

    /// Receives at most `max` (1 to 10) messages, waiting up to `wait` (at most 20 s) for the first.
    /// Each stays hidden for the queue's visibility timeout.
    async fn receive(&self, queue: &QueueName, max: usize, wait: Duration)
    -> Result<Vec<Delivery>>;

    /// Deletes at most [`BATCH_ENTRIES`] received messages: they are done. A lapsed receipt deletes
    /// nothing, which a standard queue doesn't call an error.
    async fn delete_many(
        &self,
        queue: &QueueName,
        receipts: Vec<Receipt>,
    ) -> Result<Vec<Result<()>>>;

    /// Hides at most [`BATCH_ENTRIES`] received messages for a duration from now (0 s to
    /// [`MAX_HIDE`]; whole seconds, rounded up); zero makes them visible at once.
    async fn hide_many(
        &self,
        queue: &QueueName,
        changes: Vec<(Receipt, Duration)>,
    ) -> Result<Vec<Result<()>>>;

    /// About how many messages are in the queue. SQS answers approximately and late.
    async fn depth(&self, queue: &QueueName) -> Result<Depth>;

    /// Deletes every message, be it visible, delayed or in flight. SQS takes up to 60 seconds for it, in which
    /// what is sent may go, too, and refuses a second purge meanwhile: `Conflict`.
    async fn purge(&self, queue: &QueueName) -> Result<()>;
}

/// The name of a queue in `SEDANO_QUEUES`; the adapter knows its URL. A name that ends in `.fifo`
/// is a FIFO queue, as in SQS.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueName(Arc<str>);

impl QueueName {
    /// The queue of tasks that name no other.
    pub const DEFAULT: &'static str = "default";
    /// The queue of messages whose process died; its consumer takes one at a time.
    pub const QUARANTINE: &'static str = "quarantine";
    /// The queue of messages that no worker will take again.
    pub const DEAD_LETTERS: &'static str = "dead-letters";
    /// The queue of messages that SQS gave up, on their way to the dead letters; the reaper reads it.
    pub const UNDELIVERED: &'static str = "undelivered";

    /// A name. Any text: whether the queue exists shows when it is used.
    pub fn new(name: impl AsRef<str>) -> Self {
        Self(name.as_ref().into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether order within a message group is kept and duplicates within five minutes are dropped.
    pub fn is_fifo(&self) -> bool {
        self.0.ends_with(".fifo")
    }

    /// Whether the messages in it were given up by SQS.
    pub(crate) fn is_undelivered(&self) -> bool {
        self.standard() == Self::UNDELIVERED
    }

    /// Whether the messages in it are dead letters.
    pub(crate) fn is_dead_letters(&self) -> bool {
        self.standard() == Self::DEAD_LETTERS
    }

    /// Whether tasks may be sent to it: not one of the queues that failed messages go to.
    pub(crate) fn is_for_tasks(&self) -> bool {
        self.standard() != Self::QUARANTINE && !self.is_undelivered() && !self.is_dead_letters()
    }

    /// What SQS gives up in a FIFO queue goes to a FIFO queue, whose name differs by its ending.
    fn standard(&self) -> &str {
        self.0.strip_suffix(".fifo").unwrap_or(&self.0)
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl From<&str> for QueueName {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

/// A message on its way to a queue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outgoing {
    /// The text; SQS refuses the control characters, U+FFFE and U+FFFF.
    pub body: String,
    /// When it becomes visible: whole seconds, at most [`MAX_DELAY`]; not on FIFO queues.
    pub delay: Duration,
    /// String attributes, at most 10, for operators; decoding never needs them.
    pub attributes: BTreeMap<String, String>,
    /// The message group: required on FIFO queues (order), optional on others (fairness).
    pub group: Option<String>,
    /// The deduplication id: required on FIFO queues unless they deduplicate by content.
    pub dedup: Option<String>,
}

impl Outgoing {
    /// A message with this body and nothing else.
    pub fn new(body: impl Into<String>) -> Self {
        Self {
            body: body.into(),
            ..Self::default()
        }
    }

    /// The bytes that count against [`BATCH_BYTES`]: body, and each attribute's name, type and value.
    pub fn size(&self) -> usize {
        const TYPE: usize = "String".len();
        let attributes: usize = self
            .attributes
            .iter()
            .map(|(name, value)| name.len() + TYPE + value.len())
            .sum();
        self.body.len() + attributes
    }
}

/// What the broker says of a message it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// SQS's MessageId: the task's id, where the message names none.
    pub message_id: String,
}

/// A message as one receive delivered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The queue it came from.
    pub queue: QueueName,
    /// SQS's MessageId, the same at every delivery.
    pub message_id: String,
    /// What this delivery is deleted or hidden by.
    pub receipt: Receipt,
    /// The text.
    pub body: String,
    /// String attributes of the sender.
    pub attributes: BTreeMap<String, String>,
    /// How often it was received, this time included: 1 at the first delivery.
    pub receive_count: u32,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// The message group, if it has one.
    pub group: Option<String>,
    /// The queue that SQS moved it here from after too many receives, where that is known.
    pub source: Option<QueueName>,
}

/// A handle on one delivery; it lapses when the message is received again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Receipt(pub String);

/// About how many messages a queue holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Depth {
    /// Waiting to be received.
    pub visible: u64,
    /// Received and hidden.
    pub in_flight: u64,
    /// Sent with a delay that hasn't passed.
    pub delayed: u64,
}
