//! Calls that the members of a batch share: one flush for what several of them want at a time.
//!
//! The first who wants something leads: it waits for the others, makes the call and hands out the
//! answers. Nobody is spawned, so nothing outlives the batch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Notify, oneshot};

use crate::batches;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{
    BATCH_WRITES, Clock, Delivery, Outcome, Outgoing, Ports, Queue, QueueName, Receipt, Sent,
    Store, Write,
};
use crate::time::Timestamp;

/// How long the first finish waits for others: less than a call takes.
const WINDOW: Duration = Duration::from_millis(5);

/// What is wanted and who waits for it.
pub(super) struct Pending<I, O>(Mutex<Vec<(I, oneshot::Sender<O>)>>);

impl<I, O> Pending<I, O> {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Adds one; with it, how many there are now.
    pub(super) fn add(&self, item: I) -> (oneshot::Receiver<O>, usize) {
        let (sender, receiver) = oneshot::channel();
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pending.push((item, sender));
        (receiver, pending.len())
    }

    pub(super) fn take(&self) -> (Vec<I>, Vec<oneshot::Sender<O>>) {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *pending).into_iter().unzip()
    }
}

/// All of them, and then the first error: one that is dropped half way may be the one that others wait for.
pub(super) async fn all<T>(
    futures: impl IntoIterator<Item = impl Future<Output = Result<T>>>,
) -> Result<Vec<T>> {
    join_all(futures).await.into_iter().collect()
}

pub(super) fn hand_out<O>(waiting: Vec<oneshot::Sender<O>>, answers: impl IntoIterator<Item = O>) {
    for (sender, answer) in waiting.into_iter().zip(answers) {
        // A member that is gone needs no answer.
        drop(sender.send(answer));
    }
}

pub(super) fn unanswered(_: oneshot::error::RecvError) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "a call shared with other messages gave no answer",
    )
}

/// Conditional writes, many in one call.
pub(super) struct Writes<'a> {
    store: &'a dyn Store,
    clock: &'a dyn Clock,
    pending: Pending<Write, Result<Outcome>>,
    /// Members that may still want a write.
    open: AtomicUsize,
    complete: Notify,
}

impl<'a> Writes<'a> {
    pub(super) fn new(ports: &'a Ports) -> Self {
        Self {
            store: &*ports.store,
            clock: &*ports.clock,
            pending: Pending::new(),
            open: AtomicUsize::new(0),
            complete: Notify::new(),
        }
    }

    /// So many members will each want a write, or close.
    pub(super) fn open(&self, members: usize) {
        self.open.fetch_add(members, Ordering::Relaxed);
    }

    /// A member wants no more writes.
    pub(super) fn close(&self) {
        if self.open.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.complete.notify_one();
        }
    }

    /// Writes with whoever wants to at the same moment.
    pub(super) async fn at_once(&self, write: Write) -> Result<Outcome> {
        let (answer, place) = self.pending.add(write);
        if place == 1 {
            // Every member that is ready gets its turn before this one goes on.
            tokio::task::yield_now().await;
            self.flush().await;
        }
        answer.await.map_err(unanswered)?
    }

    /// Writes with whoever wants to within 5 ms, or as soon as nobody else may want to.
    pub(super) async fn soon(&self, write: Write) -> Result<Outcome> {
        let (answer, place) = self.pending.add(write);
        self.close();
        if place == BATCH_WRITES {
            self.complete.notify_one();
        }
        if place == 1 {
            tokio::select! {
                biased;
                () = self.complete.notified() => {}
                () = self.clock.sleep(WINDOW) => {}
            }
            self.flush().await;
        }
        let answer = answer.await;
        // It may want another: on a FIFO queue, for the next message of its group.
        self.open(1);
        answer.map_err(unanswered)?
    }

    /// Two copies of one message may share a batch: the second writes after the first.
    async fn flush(&self) {
        let (writes, waiting) = self.pending.take();
        let mut rest: Vec<_> = writes.into_iter().zip(waiting).collect();
        while !rest.is_empty() {
            let mut keys = BTreeSet::new();
            let (round, later): (Vec<_>, Vec<_>) = rest
                .into_iter()
                .partition(|(write, _)| keys.insert(write.key.clone()));
            let (writes, waiting): (Vec<_>, Vec<_>) = round.into_iter().unzip();
            hand_out(waiting, self.store.write_many(writes).await);
            rest = later;
        }
    }
}

/// Sends, many in one call.
pub(super) struct Outbox<'a> {
    port: &'a dyn Queue,
    pending: Pending<(QueueName, Outgoing), Result<Sent>>,
}

impl<'a> Outbox<'a> {
    pub(super) fn new(ports: &'a Ports) -> Self {
        Self {
            port: &*ports.queue,
            pending: Pending::new(),
        }
    }

    /// Sends with whoever sends at the same moment.
    pub(super) async fn send(&self, queue: &QueueName, outgoing: Outgoing) -> Result<Sent> {
        let (answer, place) = self.pending.add((queue.clone(), outgoing));
        if place == 1 {
            tokio::task::yield_now().await;
            let (messages, waiting) = self.pending.take();
            let tagged = messages
                .into_iter()
                .zip(waiting)
                .map(|((queue, outgoing), sender)| (queue, outgoing, sender))
                .collect();
            for (sender, sent) in batches::send(self.port, tagged).await {
                drop(sender.send(sent));
            }
        }
        answer.await.map_err(unanswered)?
    }
}

/// Visibility changes, many in one call.
pub(super) struct Hides<'a> {
    port: &'a dyn Queue,
    clock: &'a dyn Clock,
    pending: Pending<(QueueName, Receipt, Duration), Result<()>>,
    /// What was hidden, until when.
    hidden: Mutex<BTreeMap<Receipt, Timestamp>>,
}

impl<'a> Hides<'a> {
    pub(super) fn new(ports: &'a Ports) -> Self {
        Self {
            port: &*ports.queue,
            clock: &*ports.clock,
            pending: Pending::new(),
            hidden: Mutex::new(BTreeMap::new()),
        }
    }

    /// Hides with whoever hides at the same moment.
    pub(super) async fn hide(&self, delivery: &Delivery, pause: Duration) -> Result<()> {
        let receipt = &delivery.receipt;
        let change = (delivery.queue.clone(), receipt.clone(), pause);
        let (answer, place) = self.pending.add(change);
        if place == 1 {
            tokio::task::yield_now().await;
            let (changes, waiting) = self.pending.take();
            let tagged = changes
                .into_iter()
                .zip(waiting)
                .map(|((queue, receipt, pause), sender)| (queue, receipt, pause, sender))
                .collect();
            for (sender, hidden) in batches::hide(self.port, tagged).await {
                drop(sender.send(hidden));
            }
        }
        answer.await.map_err(unanswered)??;
        let until = self.clock.now() + pause;
        let mut hidden = self.hidden.lock().unwrap_or_else(PoisonError::into_inner);
        hidden.insert(receipt.clone(), until);
        Ok(())
    }

    /// Until when that delivery was hidden, if it was.
    pub(super) fn until(&self, receipt: &Receipt) -> Option<Timestamp> {
        let hidden = self.hidden.lock().unwrap_or_else(PoisonError::into_inner);
        hidden.get(receipt).copied()
    }
}
