//! What SQS may do of its own accord, for the simulation: another order, and another delivery of a
//! message that is in flight.

use std::time::Duration;

use super::MemoryQueue;
use super::state::State;
use crate::ports::QueueName;
use crate::time::Timestamp;

impl State {
    /// Puts the visible messages in another order. `below` draws a number below its argument.
    fn reorder(&mut self, now: Timestamp, below: &mut dyn FnMut(u64) -> u64) {
        let visible = self.by_time.range(..=(now, u64::MAX));
        let mut order: Vec<u64> = visible.map(|(_, seq)| *seq).collect();
        for last in (1..order.len()).rev() {
            let other = usize::try_from(below(last as u64 + 1)).unwrap_or(0);
            order.swap(last, other);
        }
        // Visible since a moment each, the last since now.
        for (moment, seq) in (0..).zip(order.into_iter().rev()) {
            self.show_at(seq, now - Duration::from_millis(moment));
        }
    }

    /// Makes one of the messages in flight visible now; its receipts of before stay as they are.
    fn reappear(
        &mut self,
        now: Timestamp,
        below: &mut dyn FnMut(u64) -> u64,
        may: &dyn Fn(&str) -> bool,
    ) -> Option<String> {
        let held = self
            .messages
            .iter()
            .filter(|(_, message)| message.is_held(now) && may(&message.id));
        let held: Vec<u64> = held.map(|(seq, _)| *seq).collect();
        let place = usize::try_from(below(held.len().max(1) as u64)).unwrap_or(0);
        let seq = *held.get(place)?;
        self.show_at(seq, now);
        self.messages.get(&seq).map(|message| message.id.clone())
    }

    fn has_visible(&self, now: Timestamp) -> bool {
        self.by_time.range(..=(now, u64::MAX)).next().is_some()
    }
}

impl MemoryQueue {
    /// Puts the visible messages of a standard queue in another order.
    pub(crate) fn reorder(&self, queue: &QueueName, below: &mut dyn FnMut(u64) -> u64) {
        let now = self.clock.now();
        if let Some(entry) = self
            .lock()
            .queues
            .get_mut(queue)
            .filter(|_| !queue.is_fifo())
        {
            entry.state.reorder(now, below);
        }
    }

    /// Delivers a message of a standard queue once more while it is in flight, one that `may`: its
    /// MessageId.
    pub(crate) fn reappear(
        &self,
        queue: &QueueName,
        below: &mut dyn FnMut(u64) -> u64,
        may: &dyn Fn(&str) -> bool,
    ) -> Option<String> {
        let now = self.clock.now();
        let mut inner = self.lock();
        let entry = inner.queues.get_mut(queue).filter(|_| !queue.is_fifo())?;
        let reappeared = entry.state.reappear(now, below, may)?;
        entry.changed.notify_waiters();
        Some(reappeared)
    }

    /// Completes when the queue has a visible message, however long that takes.
    pub(crate) async fn ready(&self, queue: &QueueName) {
        loop {
            let Ok(changed) = self.changed(queue) else {
                return std::future::pending().await;
            };
            let mut told = std::pin::pin!(changed.notified());
            told.as_mut().enable();
            let now = self.clock.now();
            let next = match self.lock().entry(queue) {
                Ok(entry) if entry.state.has_visible(now) => return,
                Ok(entry) => entry.state.next_change(now),
                Err(_) => None,
            };
            // Nothing of its own to wait for: a change will tell.
            const LONG: Duration = Duration::from_secs(86_400 * 365);
            let pause = next.map_or(LONG, |next| next.since(now));
            tokio::select! {
                biased;
                () = &mut told => {}
                () = self.clock.sleep(pause) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::memory::Memory;
    use crate::ports::{Delivery, Outgoing, QueueName};
    use std::time::Duration;

    async fn filled() -> (Memory, QueueName) {
        let (memory, queue) = (Memory::default(), QueueName::new(QueueName::DEFAULT));
        let batch = ["a", "b", "c", "d"].map(Outgoing::new).into();
        memory.ports().queue.send(&queue, batch).await.unwrap();
        (memory, queue)
    }

    async fn receive(memory: &Memory, queue: &QueueName) -> Vec<Delivery> {
        let broker = memory.ports().queue;
        broker.receive(queue, 10, Duration::ZERO).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn another_order_has_each_message_once() {
        let (memory, queue) = filled().await;
        memory.queue().reorder(&queue, &mut |_| 0);
        let bodies: Vec<_> = receive(&memory, &queue)
            .await
            .into_iter()
            .map(|one| one.body)
            .collect();
        assert_eq!(bodies, ["b", "c", "d", "a"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_in_flight_is_delivered_again_and_only_the_new_receipt_deletes() {
        let (memory, queue) = filled().await;
        let first = receive(&memory, &queue).await;
        assert_eq!(
            memory.queue().reappear(&queue, &mut |_| 2, &|_| false),
            None
        );
        let again = memory
            .queue()
            .reappear(&queue, &mut |_| 2, &|_| true)
            .unwrap();
        assert_eq!(again, first[2].message_id);
        let second = receive(&memory, &queue).await;
        assert_eq!((second.len(), second[0].receive_count), (1, 2));
        for (delivery, left) in [(&first[2], 4), (&second[0], 3)] {
            let receipts = vec![delivery.receipt.clone()];
            let broker = memory.ports().queue;
            broker
                .delete_many(&queue, receipts)
                .await
                .unwrap()
                .remove(0)
                .unwrap();
            assert_eq!(memory.queue().messages(&queue).len(), left);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_ready_when_something_is_visible() {
        let (memory, queue) = filled().await;
        memory.queue().ready(&queue).await;
        receive(&memory, &queue).await;
        let start = tokio::time::Instant::now();
        memory.queue().ready(&queue).await;
        assert_eq!(start.elapsed(), Duration::from_secs(90));
    }
}
