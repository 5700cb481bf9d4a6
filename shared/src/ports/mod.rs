//! The whole outside world: five small traits at the level of SQS, DynamoDB and EventBridge.
//!
//! The engine holds all of the protocol and speaks to nothing but these. They are cut at the
//! services' *semantics* (conditional writes, visibility, batches), never at the domain's verbs, so
//! that the protocol which is simulated is the protocol which ships. Adapters: [`crate::memory`]
//! interprets them in process, [`crate::aws`] prints them as API calls; `tests/conformance` runs the
//! same cases against both.

mod bus;
mod queue;
mod store;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::time::Timestamp;

pub use bus::{Bus, Input, Retry, Rule, Target};
pub use queue::{
    BATCH_BYTES, BATCH_ENTRIES, Delivery, Depth, MAX_DELAY, MAX_HIDE, Outgoing, Queue, QueueName,
    Receipt, Sent,
};
pub use store::{
    Attribute, BATCH_READS, BATCH_WRITES, Change, Field, ITEM_BYTES, Item, Key, Op, Outcome,
    PAGE_BYTES, Page, Store, Table, When, Write, item_size, write_units,
};

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
