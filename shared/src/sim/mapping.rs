//! Event source mappings: what the broker gives out, and what is deleted of it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::history::Caller;
use super::lambda::Environment;
use super::process::{Shared, at_once};
use super::queue::said;
use super::random::Random;
use crate::ports::{BATCH_ENTRIES, Delivery, Queue, QueueName, Receipt};

/// A queue, and the function that its batches are for.
pub(super) struct Mapping {
    pub(super) queue: QueueName,
    batch: usize,
    idle: Mutex<Vec<Environment>>,
    /// How often the broker delivered each message of its own accord.
    repeats: Mutex<BTreeMap<String, u32>>,
}

/// So often a message may be delivered of the broker's own accord: its receive count is bounded, and
/// SQS duplicates seldom.
const REPEATS: u32 = 2;

impl Mapping {
    pub(super) fn new(queue: QueueName) -> Self {
        let alone = queue.as_str() == QueueName::QUARANTINE;
        Self {
            queue,
            batch: if alone { 1 } else { BATCH_ENTRIES },
            idle: Mutex::default(),
            repeats: Mutex::default(),
        }
    }

    pub(super) fn idle(&self, deployment: usize) -> Option<Environment> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // Those of another deployment are taken down.
        idle.retain(|environment| environment.deployment == deployment);
        idle.pop()
    }

    pub(super) fn park(&self, environment: Environment) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(environment);
    }

    /// A receive, after what the queue does of its own accord.
    pub(super) fn receive(&self, shared: &Shared, who: &Caller, random: &Random) -> Vec<Delivery> {
        let (faults, queue) = (shared.faults(), &self.queue);
        let broker = shared.memory.queue();
        let below = &mut |limit| random.below(limit);
        if random.chance(faults.reordered) {
            broker.reorder(queue, below);
            shared.fired("reordered");
        }
        if random.chance(faults.duplicated) {
            let mut repeats = self.repeats.lock().unwrap_or_else(PoisonError::into_inner);
            let may = |id: &str| repeats.get(id).is_none_or(|times| *times < REPEATS);
            if let Some(id) = broker.reappear(queue, below, &may) {
                shared.fired("duplicated");
                shared.log(who, format_args!("delivers {id} once more"));
                *repeats.entry(id).or_default() += 1;
            }
        }
        let most = usize::try_from(random.below(self.batch as u64)).unwrap_or(0) + 1;
        let deliveries = at_once(broker.receive(queue, most, Duration::ZERO)).unwrap_or_default();
        if deliveries.is_empty() {
            return deliveries;
        }
        self.note(shared, &deliveries);
        let received = deliveries
            .iter()
            .map(|one| (&one.message_id, &one.receipt.0));
        let received: Vec<_> = received.collect();
        if random.chance(faults.answer_lost) {
            shared.fired("answer_lost");
            shared.log(who, format_args!("receive, answer lost: {received:?}"));
            return Vec::new();
        }
        shared.log(who, format_args!("receive: {received:?}"));
        let mut deliveries = deliveries;
        for one in &mut deliveries {
            if one.receive_count > 1 && !queue.is_fifo() && random.chance(faults.miscounted) {
                shared.fired("miscounted");
                let less = random.below(u64::from(one.receive_count) - 1) + 1;
                one.receive_count = u32::try_from(less).unwrap_or(1);
                let (id, count) = (&one.message_id, one.receive_count);
                shared.log(who, format_args!("counts {count} receives of {id}"));
            }
        }
        deliveries
    }

    /// When what was received first. No worker may have seen it: its receives are all that tells how often it
    /// was asked for.
    fn note(&self, shared: &Shared, deliveries: &[Delivery]) {
        let now = shared.clock.now();
        let mut history = shared.history();
        for one in deliveries {
            if let Some(task) = said(&one.body, &one.message_id, one.sent_at) {
                let key = (task.id, task.attempt);
                history.received.entry(key).or_insert(now);
            }
        }
    }

    /// Deletes what is done, unless the broker keeps a copy.
    pub(super) async fn acknowledge(
        &self,
        shared: &Shared,
        who: &Caller,
        done: Vec<Receipt>,
        random: &Random,
    ) {
        let (queue, broker) = (&self.queue, shared.memory.queue());
        let pause = random.between(Duration::ZERO, Duration::from_millis(200));
        shared.clock.sleep(pause).await;
        if done.is_empty() {
            shared.log(who, format_args!("deletes nothing"));
            return;
        }
        let faults = shared.faults();
        if random.chance(faults.acknowledgement_lost) {
            shared.fired("acknowledgement_lost");
            shared.log(who, format_args!("deletes nothing"));
            return;
        }
        let kept = |_: &Receipt| !queue.is_fifo() && random.chance(faults.resurfaced);
        let (kept, deleted): (Vec<_>, Vec<_>) = done.into_iter().partition(kept);
        for receipt in kept {
            let pause = random.between(SOONEST, LATEST);
            shared.fired("resurfaced");
            let kept = vec![(receipt.clone(), pause)];
            let answer = at_once(broker.hide_many(queue, kept));
            shared.log(
                who,
                format_args!("deletes {receipt:?}, which comes again in {pause:?}: {answer:?}"),
            );
        }
        if !deleted.is_empty() {
            let answer = at_once(broker.delete_many(queue, deleted.clone()));
            shared.log(who, format_args!("deletes {deleted:?} -> {answer:?}"));
        }
    }
}

/// When a message that was deleted comes again.
const SOONEST: Duration = Duration::from_secs(60);
const LATEST: Duration = Duration::from_secs(5 * 3600);
