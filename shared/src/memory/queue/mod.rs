//! Queues in memory, with the semantics of SQS.
//!
//! At least once, hidden while someone works on it, receipts that lapse, receive counts, dead
//! letters, delays, FIFO groups and deduplication, limits. A receive that waits sleeps until a send,
//! a visibility change or the next message's time, without polling. Among visible messages of a
//! standard queue the one that has been visible longest comes first.

#[cfg(feature = "sim")]
mod disturb;
mod state;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use self::state::{Refusal, State};
use super::counts::Counter;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::ports::{Clock, Delivery, Depth, Entropy, Outgoing, Queue, QueueName, Receipt, Sent};
use crate::time::Timestamp;

/// How a queue behaves. The defaults are those of the project's template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSettings {
    /// How long a received message stays hidden: 90 s.
    pub visibility_timeout: Duration,
    /// After this many receives the next one moves the message to the dead-letter queue: 10, and 1000,
    /// SQS's most, on a FIFO queue, where every wait of a group's head is a receive for all behind it.
    pub max_receive_count: u32,
    /// Where it is moved to; none, or one that isn't defined: it is delivered for ever. None.
    pub dead_letter_queue: Option<QueueName>,
    /// How long a message is kept since it was sent, dead letters included: 4 days.
    pub retention: Duration,
    /// Whether a FIFO queue takes the body as deduplication id where a message has none: no.
    pub content_deduplication: bool,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            visibility_timeout: Duration::from_secs(90),
            max_receive_count: 10,
            dead_letter_queue: None,
            retention: DAY * 4,
            content_deduplication: false,
        }
    }
}

const DAY: Duration = Duration::from_secs(86_400);

/// A message as it lies in a queue, for tests and tools.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredMessage {
    /// Its id.
    pub message_id: String,
    /// The text.
    pub body: String,
    /// String attributes of the sender.
    pub attributes: BTreeMap<String, String>,
    /// The message group, if it has one.
    pub group: Option<String>,
    /// How often it was received.
    pub receive_count: u32,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// From when it is visible; later than now: delayed, or in flight.
    pub visible_at: Timestamp,
    /// Whether someone received it and it isn't visible again yet.
    pub in_flight: bool,
}

/// A [`Queue`] in memory: any number of queues by name.
pub struct MemoryQueue {
    inner: Mutex<Inner>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    counter: Arc<Counter>,
}

#[derive(Default)]
struct Inner {
    queues: BTreeMap<QueueName, Entry>,
    /// How many messages were added so far: the order of sending over all queues.
    sequence: u64,
}

struct Entry {
    state: State,
    /// Told of everything that may make a message visible sooner.
    changed: Arc<Notify>,
}

impl MemoryQueue {
    pub(super) fn new(
        config: &Config,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        counter: Arc<Counter>,
    ) -> Self {
        let queue = Self {
            inner: Mutex::default(),
            clock,
            entropy,
            counter,
        };
        for name in config.queues.keys() {
            let defaults = QueueSettings::default();
            let target = gives_up_to(name, config);
            queue.define(
                name.as_str(),
                QueueSettings {
                    visibility_timeout: config
                        .visibility_timeout
                        .unwrap_or(defaults.visibility_timeout),
                    max_receive_count: match (name.is_undelivered(), name.is_fifo()) {
                        // It keeps the count that it was given up with.
                        (true, _) => 50,
                        (false, true) => 1000,
                        (false, false) => defaults.max_receive_count,
                    },
                    retention: match name.is_undelivered() || name.is_dead_letters() {
                        true => DAY * 14,
                        false => defaults.retention,
                    },
                    dead_letter_queue: target,
                    ..defaults
                },
            );
        }
        queue
    }

    /// Adds a queue, or gives the one of that name new settings; its messages stay.
    pub fn define(&self, name: impl AsRef<str>, settings: QueueSettings) {
        let name = QueueName::new(name);
        let mut inner = self.lock();
        if let Some(entry) = inner.queues.get_mut(&name) {
            entry.state.settings = settings;
            return;
        }
        let state = State::new(name.clone(), settings);
        inner.queues.insert(
            name,
            Entry {
                state,
                changed: Arc::new(Notify::new()),
            },
        );
    }

    /// Every message of a queue, by the order of sending; none where there is no such queue.
    pub fn messages(&self, queue: &QueueName) -> Vec<StoredMessage> {
        let now = self.clock.now();
        let inner = self.lock();
        let Some(entry) = inner.queues.get(queue) else {
            return Vec::new();
        };
        let stored = entry.state.kept(now).map(|message| StoredMessage {
            message_id: message.id.clone(),
            body: message.body.clone(),
            attributes: message.attributes.clone(),
            group: message.group.clone(),
            receive_count: message.receive_count,
            sent_at: message.sent_at,
            visible_at: message.visible_at,
            in_flight: message.is_held(now),
        });
        stored.collect()
    }

    /// Takes messages away for good, be they visible, delayed or in flight: by the order of sending, those whose
    /// body `is_lost`. How many there were.
    pub fn lose(&self, queue: &QueueName, mut is_lost: impl FnMut(&str) -> bool) -> usize {
        let mut inner = self.lock();
        let Some(entry) = inner.queues.get_mut(queue) else {
            return 0;
        };
        let messages = entry.state.messages.iter();
        let lost = messages.filter(|(_, message)| is_lost(&message.body));
        let lost: Vec<u64> = lost.map(|(seq, _)| *seq).collect();
        let removed = lost.into_iter().filter_map(|seq| entry.state.remove(seq));
        removed.count()
    }

    /// The messages in `dead-letters`.
    pub fn dead_letters(&self) -> Vec<StoredMessage> {
        self.messages(&QueueName::new(QueueName::DEAD_LETTERS))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing under the lock calls code of others, so a panic there is a bug of this module;
        // the maps themselves stay sound.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn message_id(&self) -> String {
        let mut random = [0; 16];
        self.entropy.fill(&mut random);
        uuid::Builder::from_random_bytes(random)
            .into_uuid()
            .to_string()
    }

    /// One receive without waiting; if it brings nothing, when to look again.
    fn take(&self, queue: &QueueName, max: usize) -> Result<(Vec<Delivery>, Option<Timestamp>)> {
        let now = self.clock.now();
        let mut inner = self.lock();
        let inner = &mut *inner;
        let dead_letters = inner.entry(queue)?.state.settings.dead_letter_queue.clone();
        let dead_letters = dead_letters.filter(|name| inner.queues.contains_key(name));
        let entry = inner.entry(queue)?;
        let taken = entry.state.take(max, now, dead_letters.is_some());
        let next = entry.state.next_change(now);
        if let Some(target) = dead_letters.and_then(|name| inner.queues.get_mut(&name)) {
            for message in taken.dead {
                inner.sequence += 1;
                target.state.adopt(inner.sequence, message, queue, now);
                target.changed.notify_waiters();
            }
        }
        Ok((taken.deliveries, next))
    }

    fn changed(&self, queue: &QueueName) -> Result<Arc<Notify>> {
        Ok(self.lock().entry(queue)?.changed.clone())
    }

    /// One change by receipt for each, under one lock.
    fn by_receipts<T>(
        &self,
        queue: &QueueName,
        entries: Vec<T>,
        change: impl Fn(&mut State, T, Timestamp) -> Result<()>,
    ) -> Result<Vec<Result<()>>> {
        limits::check_entries(queue, entries.len())?;
        let now = self.clock.now();
        let mut inner = self.lock();
        let entry = inner.entry(queue)?;
        let done = entries
            .into_iter()
            .map(|item| change(&mut entry.state, item, now))
            .collect();
        entry.changed.notify_waiters();
        Ok(done)
    }
}

impl Inner {
    fn entry(&mut self, queue: &QueueName) -> Result<&mut Entry> {
        if !self.queues.contains_key(queue) {
            return Err(limits::no_queue(queue, self.queues.keys()));
        }
        self.queues
            .get_mut(queue)
            .ok_or_else(|| limits::no_queue(queue, std::iter::empty()))
    }

    fn send_one(
        &mut self,
        queue: &QueueName,
        message: Outgoing,
        id: String,
        now: Timestamp,
    ) -> Result<Sent> {
        self.sequence += 1;
        let sequence = self.sequence;
        let state = &mut self.entry(queue)?.state;
        if queue.is_fifo() {
            let key = match &message.dedup {
                Some(dedup) => format!("id:{dedup}"),
                None if state.settings.content_deduplication => format!("body:{}", message.body),
                None => {
                    return Err(Error::new(
                        ErrorKind::Invalid,
                        format!(
                            "a message for the FIFO queue `{queue}` has no deduplication id, and \
                             the queue doesn't deduplicate by content"
                        ),
                    ));
                }
            };
            if let Some(first) = state.repeats(key, &id, now) {
                return Ok(Sent { message_id: first });
            }
        }
        let delay = limits::whole_seconds(message.delay);
        state.add(sequence, id.clone(), message, delay, now);
        Ok(Sent { message_id: id })
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn send(&self, queue: &QueueName, batch: Vec<Outgoing>) -> Result<Vec<Result<Sent>>> {
        let checks = limits::check_send(queue, &batch)?;
        let now = self.clock.now();
        let ids: Vec<String> = batch.iter().map(|_| self.message_id()).collect();
        let mut inner = self.lock();
        inner.entry(queue)?;
        if checks.iter().any(Result::is_ok) {
            self.counter.call("SendMessageBatch");
        }
        let sent = batch
            .into_iter()
            .zip(ids)
            .zip(checks)
            .map(|((message, id), check)| {
                check.and_then(|()| inner.send_one(queue, message, id, now))
            })
            .collect();
        inner.entry(queue)?.changed.notify_waiters();
        Ok(sent)
    }

    async fn receive(
        &self,
        queue: &QueueName,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        limits::check_receive(queue, max, wait)?;
        let changed = self.changed(queue)?;
        self.counter.call("ReceiveMessage");
        let deadline = self.clock.now() + wait;
        loop {
            // Listening begins before looking, so that no change falls between the two.
            let mut told = std::pin::pin!(changed.notified());
            told.as_mut().enable();
            let (deliveries, next) = self.take(queue, max)?;
            let now = self.clock.now();
            if !deliveries.is_empty() || now >= deadline {
                return Ok(deliveries);
            }
            let until = next.map_or(deadline, |next| next.min(deadline));
            // Biased: the other order would be drawn from randomness that has no seed.
            tokio::select! {
                biased;
                () = &mut told => {}
                () = self.clock.sleep(until.since(now)) => {}
            }
        }
    }

    async fn delete_many(
        &self,
        queue: &QueueName,
        receipts: Vec<Receipt>,
    ) -> Result<Vec<Result<()>>> {
        if receipts.is_empty() {
            return Ok(Vec::new());
        }
        let done = self.by_receipts(queue, receipts, |state, receipt, now| {
            state
                .delete(&receipt, now)
                .map_err(|refusal| refused(queue, refusal))
        })?;
        self.counter.call("DeleteMessageBatch");
        Ok(done)
    }

    async fn hide_many(
        &self,
        queue: &QueueName,
        changes: Vec<(Receipt, Duration)>,
    ) -> Result<Vec<Result<()>>> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let done = self.by_receipts(queue, changes, |state, (receipt, duration), now| {
            limits::check_hide(queue, duration)?;
            let duration = limits::whole_seconds(duration);
            state
                .hide(&receipt, duration, now)
                .map_err(|refusal| refused(queue, refusal))
        })?;
        self.counter.call("ChangeMessageVisibilityBatch");
        Ok(done)
    }

    async fn depth(&self, queue: &QueueName) -> Result<Depth> {
        let now = self.clock.now();
        let depth = self.lock().entry(queue)?.state.depth(now);
        self.counter.call("GetQueueAttributes");
        Ok(depth)
    }

    async fn purge(&self, queue: &QueueName) -> Result<()> {
        self.lock().entry(queue)?;
        self.counter.call("PurgeQueue");
        self.lose(queue, |_| true);
        Ok(())
    }
}

/// Where a queue's messages go that were received too often: to the reaper's queue, or where there is
/// none to the dead letters. Both queues are of one kind, as in SQS.
fn gives_up_to(name: &QueueName, config: &Config) -> Option<QueueName> {
    let configured = |target: &str| {
        let ending = if name.is_fifo() { ".fifo" } else { "" };
        let target = QueueName::new(format!("{target}{ending}"));
        config.queues.contains_key(&target).then_some(target)
    };
    if name.is_dead_letters() {
        return None;
    }
    let undelivered = match name.is_undelivered() {
        true => None,
        false => configured(QueueName::UNDELIVERED),
    };
    undelivered.or_else(|| configured(QueueName::DEAD_LETTERS))
}

fn refused(queue: &QueueName, refusal: Refusal) -> Error {
    match refusal {
        Refusal::NoReceipt => Error::new(
            ErrorKind::NotFound,
            format!("the receipt is none of queue `{queue}`: give the one that the receive gave"),
        ),
        Refusal::Lapsed => Error::new(
            ErrorKind::NotFound,
            format!(
                "the receipt of a message of queue `{queue}` has lapsed: it was deleted, is visible \
                 again, or was received again"
            ),
        ),
        Refusal::TooLong => Error::new(
            ErrorKind::Invalid,
            format!(
                "a message of queue `{queue}` can't stay hidden for more than 12 hours since it was \
                 received: delete it and send it again"
            ),
        ),
    }
}

impl std::fmt::Debug for MemoryQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.lock().queues.keys()).finish()
    }
}

#[cfg(test)]
mod tests;
