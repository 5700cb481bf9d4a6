//! A walk through the dead letters: received, and made visible again when it ends.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::{DeadLetter, Selection};
use crate::app::App;
use crate::batches;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{BATCH_ENTRIES, Delivery, QueueName, Receipt};

/// A dead letter that is hidden from others.
pub(super) struct Held {
    pub(super) letter: DeadLetter,
    pub(super) queue: QueueName,
    pub(super) receipt: Receipt,
}

/// A walk through the dead letters. What it meets stays hidden until its end, or it would meet the same
/// again and again.
pub(super) struct Scan<'a> {
    app: &'a App,
    selection: Selection,
    /// The queues that aren't done yet.
    queues: VecDeque<QueueName>,
    received: VecDeque<Delivery>,
    seen: BTreeSet<String>,
    /// How many of the letters that were asked for were met.
    met: usize,
    passed_over: Vec<(QueueName, Receipt)>,
    /// How many are received in one call.
    pub(super) at_once: usize,
}

impl<'a> Scan<'a> {
    pub(super) fn new(app: &'a App, selection: &Selection) -> Result<Self> {
        let queues = app.config().queues.keys();
        let queues: VecDeque<QueueName> = queues
            .filter(|queue| queue.is_dead_letters())
            .cloned()
            .collect();
        if queues.is_empty() {
            let what = "SEDANO_QUEUES has no queue named `dead-letters`";
            return Err(Error::new(ErrorKind::Config, what));
        }
        Ok(Self {
            app,
            selection: selection.clone(),
            queues,
            received: VecDeque::new(),
            seen: BTreeSet::new(),
            met: 0,
            passed_over: Vec::new(),
            at_once: BATCH_ENTRIES,
        })
    }

    pub(super) fn of_one(app: &'a App, id: &str) -> Result<Self> {
        Self::new(app, &Selection::all().id(id))
    }

    /// The next that fits.
    pub(super) async fn next(&mut self) -> Result<Option<Held>> {
        // A receive that doesn't wait asks a part of SQS's servers only.
        const WAIT: Duration = Duration::from_secs(1);
        loop {
            let wanted = self.selection.letters.len();
            if wanted > 0 && self.met == wanted {
                return Ok(None);
            }
            while let Some(delivery) = self.received.pop_front() {
                let (queue, receipt) = (delivery.queue.clone(), delivery.receipt.clone());
                self.seen.insert(delivery.message_id.clone());
                let letter = DeadLetter::of(delivery);
                if self.selection.fits(&letter, self.app.now()) {
                    self.met += 1;
                    return Ok(Some(Held {
                        letter,
                        queue,
                        receipt,
                    }));
                }
                self.passed_over.push((queue, receipt));
            }
            let Some(queue) = self.queues.front().cloned() else {
                return Ok(None);
            };
            let port = &self.app.ports().queue;
            let batch = port.receive(&queue, self.at_once, WAIT).await?;
            if batch.is_empty() {
                self.queues.pop_front();
            }
            self.sort(batch).await;
        }
    }

    /// What was passed over long ago comes again: hidden for longer, it doesn't stand before the others.
    async fn sort(&mut self, batch: Vec<Delivery>) {
        const AWHILE: Duration = Duration::from_secs(900);
        let mut again = Vec::new();
        for delivery in batch {
            if self.seen.contains(&delivery.message_id) {
                let (queue, receipt) = (delivery.queue, delivery.receipt);
                again.push((queue.clone(), receipt.clone(), AWHILE, ()));
                self.passed_over.push((queue, receipt));
            } else {
                self.received.push_back(delivery);
            }
        }
        for ((), hidden) in batches::hide(&*self.app.ports().queue, again).await {
            if let Err(error) = hidden {
                tracing::debug!(%error, "a dead letter will be met once more");
            }
        }
    }

    pub(super) fn pass_over(&mut self, held: Held) {
        self.passed_over.push((held.queue, held.receipt));
    }

    /// Makes visible again what is still there.
    pub(super) async fn end(self) {
        let rest = self.received.into_iter();
        let rest = rest.map(|delivery| (delivery.queue, delivery.receipt));
        let shown = self.passed_over.into_iter().chain(rest);
        let shown = shown.map(|(queue, receipt)| (queue, receipt, Duration::ZERO, ()));
        let port = &*self.app.ports().queue;
        for ((), result) in batches::hide(port, shown.collect()).await {
            if let Err(error) = result {
                // It shows again when its visibility timeout ends.
                tracing::debug!(%error, "a dead letter stays hidden for a while");
            }
        }
    }
}
