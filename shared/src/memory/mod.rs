//! The ports in one process's memory, with the full semantics of SQS, DynamoDB and EventBridge.
//!
//! For tests, doctests and the local stack. Nothing here is random or timed but by the [`Clock`] and
//! [`Entropy`] given, so the same calls on the same seed give the same answers. What a service may
//! do (any order, late answers, duplicates of its own making) is left to the simulation; what it
//! must do is here, limits and refusals included. `tests/conformance` holds it against AWS's
//! emulators.

mod bus;
mod clock;
mod counts;
mod queue;
mod store;

use std::sync::Arc;

pub use bus::MemoryBus;
pub use clock::TokioClock;
use counts::Counter;
pub use counts::Counts;
pub use queue::{MemoryQueue, QueueSettings, StoredMessage};
pub use store::MemoryStore;

use crate::app::App;
use crate::config::Config;
use crate::entropy::OsEntropy;
use crate::ports::{Clock, Entropy, Ports};

/// The five ports in memory, and the adapters behind them to set up and to look into.
///
/// ```
/// # async fn run() -> sedano::Result<()> {
/// use sedano::memory::{Memory, QueueSettings};
/// use sedano::ports::{Outgoing, QueueName};
/// use std::time::Duration;
///
/// let memory = Memory::new(&sedano::Config::memory());
/// memory.queue().define("slow", QueueSettings {
///     visibility_timeout: Duration::from_secs(600),
///     max_receive_count: 3,
///     ..QueueSettings::default()
/// });
/// let slow = QueueName::new("slow");
/// memory.ports().queue.send(&slow, vec![Outgoing::new("hello")]).await?;
/// assert_eq!(memory.queue().messages(&slow)[0].body, "hello");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Memory {
    queue: Arc<MemoryQueue>,
    store: Arc<MemoryStore>,
    bus: Arc<MemoryBus>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    counter: Arc<Counter>,
    config: Config,
}

impl Default for Memory {
    /// The queues and defaults of [`Config::memory`], in real time.
    fn default() -> Self {
        Self::new(&Config::memory())
    }
}

impl Memory {
    /// In real time, with the system's randomness.
    pub fn new(config: &Config) -> Self {
        Self::with(config, Arc::new(TokioClock::system()), Arc::new(OsEntropy))
    }

    /// In the time and with the randomness given.
    ///
    /// The config's queues are there from the start: visible again after its visibility timeout
    /// (90 s where it says none), and after 10 receives moved to its `undelivered`, or else to its
    /// `dead-letters` (for a FIFO queue `undelivered.fifo` and `dead-letters.fifo`: both are of one kind,
    /// as in SQS), where it has one.
    pub fn with(config: &Config, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        let counter = Arc::new(Counter::default());
        let queue = MemoryQueue::new(config, clock.clone(), entropy.clone(), counter.clone());
        let store = MemoryStore::new(config.store_writes, clock.clone(), counter.clone());
        let bus = MemoryBus::new(counter.clone());
        let (queue, store, bus) = (Arc::new(queue), Arc::new(store), Arc::new(bus));
        Self {
            queue,
            store,
            bus,
            clock,
            entropy,
            counter,
            config: config.clone(),
        }
    }

    /// An application over these ports.
    pub fn app(&self) -> App {
        App::new(self.ports(), self.config.clone())
    }

    /// The ports, as the engine takes them.
    pub fn ports(&self) -> Ports {
        Ports::new(
            self.queue.clone(),
            self.store.clone(),
            self.bus.clone(),
            self.clock.clone(),
            self.entropy.clone(),
        )
    }

    /// The queues, to define more and to look into them.
    pub fn queue(&self) -> &MemoryQueue {
        &self.queue
    }

    /// The tables, to look into and to sweep.
    pub fn store(&self) -> &MemoryStore {
        &self.store
    }

    /// The rules, to add some.
    pub fn bus(&self) -> &MemoryBus {
        &self.bus
    }

    /// What everything so far would have cost on AWS.
    pub fn counts(&self) -> Counts {
        self.counter.counts()
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Memory { .. }")
    }
}
