//! One queue's messages: who is visible, who is held, who is next. No locks, no waiting, no clock
//! but the `now` it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use super::QueueSettings;
use crate::ports::{Delivery, Depth, MAX_HIDE, Outgoing, QueueName, Receipt};
use crate::time::Timestamp;

/// How long a FIFO queue remembers a deduplication id.
const DEDUPLICATION: Duration = Duration::from_secs(300);

pub(super) struct State {
    name: QueueName,
    pub(super) settings: QueueSettings,
    /// By the order of sending.
    pub(super) messages: BTreeMap<u64, Message>,
    /// The same messages by the time from which they are visible.
    pub(super) by_time: BTreeSet<(Timestamp, u64)>,
    /// Until when each deduplication id is remembered, and the message that had it first.
    seen: BTreeMap<String, (Timestamp, String)>,
}

#[derive(Clone)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) body: String,
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) group: Option<String>,
    pub(super) sent_at: Timestamp,
    pub(super) visible_at: Timestamp,
    pub(super) receive_count: u32,
    /// When it was received last; none before the first time and after a move.
    pub(super) received_at: Option<Timestamp>,
    /// The queue that gave it up.
    pub(super) source: Option<QueueName>,
}

/// What one receive brings about.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) deliveries: Vec<Delivery>,
    /// Received too often: for the dead-letter queue.
    pub(super) dead: Vec<Message>,
}

/// Why a receipt does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is no receipt of this adapter.
    NoReceipt,
    /// The message is gone, visible again, or received again.
    Lapsed,
    /// Together more than 12 hours since the message was received.
    TooLong,
}

impl State {
    pub(super) fn new(name: QueueName, settings: QueueSettings) -> Self {
        Self {
            name,
            settings,
            messages: BTreeMap::new(),
            by_time: BTreeSet::new(),
            seen: BTreeMap::new(),
        }
    }

    /// The id of an earlier message that this one repeats, by the deduplication id `key`; where
    /// there is none, `id` is remembered under it.
    pub(super) fn repeats(&mut self, key: String, id: &str, now: Timestamp) -> Option<String> {
        self.seen.retain(|_, (until, _)| *until > now);
        if let Some((_, first)) = self.seen.get(&key) {
            return Some(first.clone());
        }
        self.seen.insert(key, (now + DEDUPLICATION, id.to_owned()));
        None
    }

    /// Adds a message that was just sent.
    pub(super) fn add(
        &mut self,
        seq: u64,
        id: String,
        message: Outgoing,
        delay: Duration,
        now: Timestamp,
    ) {
        let message = Message {
            id,
            body: message.body,
            attributes: message.attributes,
            group: message.group,
            sent_at: now,
            visible_at: now + delay,
            receive_count: 0,
            received_at: None,
            source: None,
        };
        self.insert(seq, message);
    }

    /// Adds a message that another queue gave up. It keeps its id, its count and when it was sent.
    pub(super) fn adopt(&mut self, seq: u64, message: Message, from: &QueueName, now: Timestamp) {
        // The first is the one that it was sent to.
        let source = message.source.clone().or_else(|| Some(from.clone()));
        self.insert(
            seq,
            Message {
                visible_at: now,
                received_at: None,
                source,
                ..message
            },
        );
    }

    fn insert(&mut self, seq: u64, message: Message) {
        self.by_time.insert((message.visible_at, seq));
        self.messages.insert(seq, message);
    }

    pub(super) fn remove(&mut self, seq: u64) -> Option<Message> {
        let message = self.messages.remove(&seq)?;
        self.by_time.remove(&(message.visible_at, seq));
        Some(message)
    }

    pub(super) fn show_at(&mut self, seq: u64, visible_at: Timestamp) {
        if let Some(message) = self.messages.get_mut(&seq) {
            self.by_time.remove(&(message.visible_at, seq));
            message.visible_at = visible_at;
            self.by_time.insert((visible_at, seq));
        }
    }

    /// Receives up to `max` visible messages. `has_dead_letters`: there is a queue for the dead.
    pub(super) fn take(&mut self, max: usize, now: Timestamp, has_dead_letters: bool) -> Taken {
        let mut taken = Taken::default();
        let fifo = self.name.is_fifo();
        let mut blocked = if fifo {
            self.held_groups(now)
        } else {
            BTreeSet::new()
        };
        let mut cursor = None;
        let mut received = BTreeSet::new();
        while taken.deliveries.len() < max {
            let next = if fifo {
                self.next_in_order(&mut cursor, &mut blocked, now)
            } else {
                self.next_visible(&mut cursor, now)
            };
            let Some(seq) = next else { break };
            // With a visibility timeout of zero it shows up again at once: not in the same call.
            if !received.insert(seq) {
                continue;
            }
            self.receive_one(seq, now, has_dead_letters, &mut taken);
        }
        taken
    }

    fn receive_one(&mut self, seq: u64, now: Timestamp, has_dead_letters: bool, taken: &mut Taken) {
        let settings = &self.settings;
        let Some(message) = self.messages.get_mut(&seq) else {
            return;
        };
        if message.sent_at + settings.retention <= now {
            self.remove(seq);
            return;
        }
        if has_dead_letters && message.receive_count >= settings.max_receive_count {
            taken.dead.extend(self.remove(seq));
            return;
        }
        message.receive_count = message.receive_count.saturating_add(1);
        message.received_at = Some(now);
        taken.deliveries.push(Delivery {
            queue: self.name.clone(),
            message_id: message.id.clone(),
            receipt: Receipt(format!("{seq}:{}", message.receive_count)),
            body: message.body.clone(),
            attributes: message.attributes.clone(),
            receive_count: message.receive_count,
            sent_at: message.sent_at,
            group: message.group.clone(),
            source: message.source.clone(),
        });
        let visible_at = now + settings.visibility_timeout;
        self.show_at(seq, visible_at);
    }

    /// The next after the cursor by the time from which it is visible.
    fn next_visible(&self, cursor: &mut Option<(Timestamp, u64)>, now: Timestamp) -> Option<u64> {
        let after = cursor.map_or(Bound::Unbounded, Bound::Excluded);
        let next = *self
            .by_time
            .range((after, Bound::Included((now, u64::MAX))))
            .next()?;
        *cursor = Some(next);
        Some(next.1)
    }

    /// The next after the cursor by the order of sending whose group isn't blocked. One that is
    /// still delayed blocks those of its group behind it.
    fn next_in_order(
        &self,
        cursor: &mut Option<(Timestamp, u64)>,
        blocked: &mut BTreeSet<Option<String>>,
        now: Timestamp,
    ) -> Option<u64> {
        let after = cursor.map_or(Bound::Unbounded, |(_, seq)| Bound::Excluded(seq));
        for (&seq, message) in self.messages.range((after, Bound::Unbounded)) {
            *cursor = Some((now, seq));
            if blocked.contains(&message.group) {
                continue;
            }
            if message.visible_at > now {
                blocked.insert(message.group.clone());
                continue;
            }
            return Some(seq);
        }
        None
    }

    /// The groups of which a message is in flight.
    fn held_groups(&self, now: Timestamp) -> BTreeSet<Option<String>> {
        let held = self
            .messages
            .values()
            .filter(|message| message.is_held(now));
        held.map(|message| message.group.clone()).collect()
    }

    /// When the next hidden message shows.
    pub(super) fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let hidden = (Bound::Excluded((now, u64::MAX)), Bound::Unbounded);
        self.by_time
            .range(hidden)
            .next()
            .map(|(visible_at, _)| *visible_at)
    }

    /// Deletes by a receipt. As SQS has it: on a standard queue a lapsed receipt deletes nothing
    /// and is no error, on a FIFO queue it is one.
    pub(super) fn delete(&mut self, receipt: &Receipt, now: Timestamp) -> Result<(), Refusal> {
        let (seq, count) = parse(receipt)?;
        let fifo = self.name.is_fifo();
        match self.messages.get(&seq) {
            None => Ok(()),
            Some(message) if message.receive_count == count && (!fifo || message.is_held(now)) => {
                self.remove(seq);
                Ok(())
            }
            Some(_) if fifo => Err(Refusal::Lapsed),
            Some(_) => Ok(()),
        }
    }

    /// Hides for a duration from now.
    pub(super) fn hide(
        &mut self,
        receipt: &Receipt,
        duration: Duration,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let (seq, count) = parse(receipt)?;
        let message = self.messages.get(&seq).ok_or(Refusal::Lapsed)?;
        if message.receive_count != count || !message.is_held(now) {
            return Err(Refusal::Lapsed);
        }
        if message
            .received_at
            .is_some_and(|received| now + duration > received + MAX_HIDE)
        {
            return Err(Refusal::TooLong);
        }
        self.show_at(seq, now + duration);
        Ok(())
    }

    /// Every message that isn't past the queue's retention, by the order of sending.
    pub(super) fn kept(&self, now: Timestamp) -> impl Iterator<Item = &Message> {
        let retention = self.settings.retention;
        self.messages
            .values()
            .filter(move |message| message.sent_at + retention > now)
    }

    pub(super) fn depth(&self, now: Timestamp) -> Depth {
        let mut depth = Depth::default();
        for message in self.kept(now) {
            let place = if message.visible_at <= now {
                &mut depth.visible
            } else if message.is_held(now) {
                &mut depth.in_flight
            } else {
                &mut depth.delayed
            };
            *place += 1;
        }
        depth
    }
}

impl Message {
    /// In flight: received, and not visible again yet.
    pub(super) fn is_held(&self, now: Timestamp) -> bool {
        self.received_at.is_some() && self.visible_at > now
    }
}

fn parse(receipt: &Receipt) -> Result<(u64, u32), Refusal> {
    let (seq, count) = receipt.0.split_once(':').ok_or(Refusal::NoReceipt)?;
    match (seq.parse(), count.parse()) {
        (Ok(seq), Ok(count)) => Ok((seq, count)),
        _ => Err(Refusal::NoReceipt),
    }
}
