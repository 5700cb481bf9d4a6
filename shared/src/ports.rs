//! The whole outside world: five small traits at the level of SQS, DynamoDB and EventBridge.
//!
//! The engine holds all of the protocol and speaks to nothing but these. They are cut at the
//! services' *semantics* (conditional writes, visibility, batches), never at the domain's verbs, so
//! that the protocol which is simulated is the protocol which ships. Adapters: [`crate::memory`]
//! interprets them in process, [`crate::aws`] prints them as API calls; `tests/conformance` runs the
//! same cases against both.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::Result;
use crate::time::Timestamp;

/// Every port the engine needs, cheap to clone.
#[derive(Clone)]
#[non_exhaustive]
pub struct Ports {
    /// The broker.
    pub queue: Arc<dyn Queue>,
    /// The result backend and all bookkeeping.
    pub store: Arc<dyn Store>,
    /// Scheduled rules.
    pub bus: Arc<dyn Bus>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness for ids and jitter.
    pub entropy: Arc<dyn Entropy>,
}

impl Ports {
    /// Puts the five together.
    pub fn new(
        queue: Arc<dyn Queue>,
        store: Arc<dyn Store>,
        bus: Arc<dyn Bus>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            queue,
            store,
            bus,
            clock,
            entropy,
        }
    }

    /// Opens the connection to the results table ahead, by reading a record that doesn't exist: for a
    /// process whose first event should find it open.
    ///
    /// # Errors
    /// As the store says; reading takes the right to.
    pub async fn warm_results(&self) -> Result<()> {
        self.store.get(&Key::Result("-".to_owned())).await.map(drop)
    }

    /// Opens the connection to the default queue ahead, by asking for its depth: for a process that
    /// sends, and may do this too.
    ///
    /// # Errors
    /// As the queue says; asking takes the right to.
    pub async fn warm_queue(&self) -> Result<()> {
        let queue = QueueName::new(QueueName::DEFAULT);
        self.queue.depth(&queue).await.map(drop)
    }
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ports { .. }")
    }
}

// ------------------------------------------------------------------------------------------- queue

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

// ------------------------------------------------------------------------------------------- store

/// The most bytes of one DynamoDB item, names included.
pub const ITEM_BYTES: usize = 400 * 1024;
/// The most statements in one batch of writes.
pub const BATCH_WRITES: usize = 25;

/// A result backend with the semantics of DynamoDB: items, conditional writes, late TTL.
///
/// Errors: `TooLarge` over [`ITEM_BYTES`], `NotFound` for an unknown table, `Throttled`,
/// `Unavailable`. A refused condition is no error but an [`Outcome`].
#[async_trait]
pub trait Store: Send + Sync {
    /// Reads an item, strongly consistent. An item past its `ttl` may still be there: filter.
    async fn get(&self, key: &Key) -> Result<Option<Item>>;

    /// One conditional write. The outcome tells the item as it was before.
    async fn write(&self, write: Write) -> Result<Outcome>;

    /// Independent conditional writes, each with its own outcome, in order. Any number; at most one
    /// for each key. The item as it was may be left untold (`None`) where the service doesn't say;
    /// whoever needs it repeats the write by [`write`](Store::write).
    async fn write_many(&self, writes: Vec<Write>) -> Vec<Result<Outcome>>;
}

/// One of the two tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// One record a task; hash key `id`.
    Results,
    /// All bookkeeping; hash key `pk`, sort key `sk`.
    State,
}

/// Where an item is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// In the results table, under `id`.
    Result(String),
    /// In the state table, under `pk` and `sk`.
    State(String, String),
}

impl Key {
    /// The table the key belongs to.
    pub fn table(&self) -> Table {
        match self {
            Key::Result(_) => Table::Results,
            Key::State(..) => Table::State,
        }
    }

    /// The key's attributes with their values: they are part of every item.
    pub fn attributes(&self) -> Vec<(&'static str, &str)> {
        match self {
            Key::Result(id) => vec![("id", id)],
            Key::State(pk, sk) => vec![("pk", pk), ("sk", sk)],
        }
    }
}

/// An attribute's name.
pub type Field = Cow<'static, str>;

/// An item: attributes by name. The key's own attributes are in it when it is read, and are added
/// by the store when it is written.
pub type Item = BTreeMap<Field, Attribute>;

/// An attribute's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// `S`
    Text(String),
    /// `N`, a whole number.
    Number(i64),
    /// `N` with decimals.
    Decimal(f64),
    /// `BOOL`
    Bool(bool),
    /// `B`
    Bytes(Vec<u8>),
    /// `L`
    List(Vec<Attribute>),
    /// `M`
    Map(Item),
    /// `SS`; never empty.
    TextSet(BTreeSet<String>),
    /// `NS`, whole numbers; never empty.
    NumberSet(BTreeSet<i64>),
    /// `NULL`
    Null,
}

impl Attribute {
    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        if let Attribute::Text(text) = self {
            Some(text)
        } else {
            None
        }
    }

    /// The whole number, if it is one.
    pub fn as_number(&self) -> Option<i64> {
        if let Attribute::Number(number) = self {
            Some(*number)
        } else {
            None
        }
    }
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        Attribute::Text(text.to_owned())
    }
}

impl From<String> for Attribute {
    fn from(text: String) -> Self {
        Attribute::Text(text)
    }
}

impl From<i64> for Attribute {
    fn from(number: i64) -> Self {
        Attribute::Number(number)
    }
}

impl From<u32> for Attribute {
    fn from(number: u32) -> Self {
        Attribute::Number(number.into())
    }
}

impl From<Timestamp> for Attribute {
    fn from(instant: Timestamp) -> Self {
        Attribute::Text(instant.to_string())
    }
}

/// A conditional write of one item.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// Which item.
    pub key: Key,
    /// What to do.
    pub op: Op,
    /// Only if this holds of the item as it is.
    pub when: When,
}

/// What a write does.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// Replaces the whole item.
    Put(Item),
    /// Changes attributes; creates the item where there is none.
    Update(Vec<Change>),
    /// Removes the item; nothing happens where there is none.
    Delete,
}

/// A change of one attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Gives it this value.
    Set(Field, Attribute),
    /// Adds to a number; an absent one counts as 0.
    Add(Field, i64),
    /// Adds members to a number set; an absent one counts as empty.
    AddToSet(Field, BTreeSet<i64>),
    /// Appends to a list; an absent one counts as empty.
    Append(Field, Vec<Attribute>),
    /// Takes the attribute away, if it is there.
    Remove(Field),
}

/// A condition on the item as it is. A comparison with an absent attribute is false.
#[derive(Debug, Clone, PartialEq)]
pub enum When {
    /// True.
    Always,
    /// There is no item.
    Absent,
    /// There is an item.
    Present,
    /// The attribute is there.
    Has(Field),
    /// The attribute equals the value.
    Eq(Field, Attribute),
    /// The attribute is smaller; text by its bytes.
    Below(Field, Attribute),
    /// The attribute is smaller or equal.
    AtMost(Field, Attribute),
    /// The number set contains the number.
    Contains(Field, i64),
    /// Not so.
    Not(Box<When>),
    /// Each of them; of none, true.
    All(Vec<When>),
    /// One of them at least; of none, false.
    Any(Vec<When>),
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It was done; the item as it was before, where the store tells.
    Applied(Option<Item>),
    /// The condition didn't hold; the item as it is, where the store tells. A write whose answer was
    /// lost and which was tried again may be refused by its own first success: compare.
    Refused(Option<Item>),
}

/// An item's size in bytes by DynamoDB's rules: names and values, a number by its digits.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>
pub fn item_size(item: &Item) -> usize {
    item.iter()
        .map(|(name, value)| name.len() + attribute_size(value))
        .sum()
}

/// The write units of writing an item of this many bytes: one for each KB begun, at least one.
pub fn write_units(bytes: usize) -> usize {
    bytes.div_ceil(1024).max(1)
}

fn attribute_size(value: &Attribute) -> usize {
    const CONTAINER: usize = 3;
    const ELEMENT: usize = 1;
    match value {
        Attribute::Text(text) => text.len(),
        Attribute::Number(number) => number_size(&number.unsigned_abs().to_string(), *number < 0),
        Attribute::Decimal(number) => {
            let digits = number.abs().to_string().replace('.', "");
            number_size(digits.trim_start_matches('0'), *number < 0.0)
        }
        Attribute::Bool(_) | Attribute::Null => 1,
        Attribute::Bytes(bytes) => bytes.len(),
        Attribute::List(list) => {
            CONTAINER
                + list
                    .iter()
                    .map(|value| ELEMENT + attribute_size(value))
                    .sum::<usize>()
        }
        Attribute::Map(map) => {
            CONTAINER
                + map
                    .iter()
                    .map(|(name, value)| ELEMENT + name.len() + attribute_size(value))
                    .sum::<usize>()
        }
        Attribute::TextSet(set) => set.iter().map(String::len).sum(),
        Attribute::NumberSet(set) => set
            .iter()
            .map(|number| number_size(&number.unsigned_abs().to_string(), *number < 0))
            .sum(),
    }
}

/// Two significant digits a byte, and one byte more; one more again for a minus sign.
fn number_size(digits: &str, negative: bool) -> usize {
    let significant = digits.trim_end_matches('0').len();
    significant.div_ceil(2) + 1 + usize::from(negative)
}

// --------------------------------------------------------------------------------------------- bus

/// Scheduled rules with the semantics of EventBridge.
#[async_trait]
pub trait Bus: Send + Sync {
    /// Every rule whose name begins with `prefix`, with its targets, by name.
    async fn rules(&self, prefix: &str) -> Result<Vec<Rule>>;
}

/// A scheduled rule.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Rule {
    /// At most 64 letters, digits, `.`, `-` and `_`.
    pub name: String,
    /// `rate(…)` or `cron(…)`; none on a rule that matches events.
    pub schedule: Option<String>,
    /// Whether it fires.
    pub enabled: bool,
    /// What it is for, in its author's words.
    pub description: Option<String>,
    /// Where it sends to.
    pub targets: Vec<Target>,
}

/// Where a rule sends to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Target {
    /// Its id within the rule.
    pub id: String,
    /// The ARN of the queue or function.
    pub arn: String,
    /// The constant text or the template that is sent, if it isn't the event itself.
    pub input: Option<String>,
}

// --------------------------------------------------------------------------------- clock, entropy

/// A boxed future, for the traits that are called without `async_trait`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Time: the only place it comes from, so that it can be virtual.
pub trait Clock: Send + Sync {
    /// The instant now.
    fn now(&self) -> Timestamp;
    /// Completes after the duration.
    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()>;
}

/// Randomness: ids and jitter come from here, so that they can be repeated.
pub trait Entropy: Send + Sync {
    /// Fills the slice with random bytes.
    fn fill(&self, bytes: &mut [u8]);
}

impl dyn Entropy + '_ {
    /// A number from 0 to `limit`, both included.
    pub fn up_to(&self, limit: u64) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        let random = u64::from_le_bytes(bytes);
        match limit.checked_add(1) {
            // The bias of the remainder is below 2^-32 for any limit below 2^32.
            Some(span) => random % span,
            None => random,
        }
    }
}
