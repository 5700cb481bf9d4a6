//! Lambda and its event source mappings: batches received, functions invoked, messages deleted;
//! processes that die, freeze, and are killed at their deadline.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Blueprint;
use super::faults::KILLED_LATE;
use super::history::{Caller, Invoked};
use super::process::{Process, Shared, at_once};
use super::queue::{SimQueue, said};
use super::random::Random;
use super::store::SimStore;
use crate::app::App;
use crate::context::StateMap;
use crate::engine::Rule;
use crate::ports::{BATCH_ENTRIES, Clock, Delivery, Ports, Queue, QueueName, Receipt};
use crate::time::Timestamp;
use crate::worker::{Disposition, Invocation, Worker};

/// The deployed functions of a world.
pub(super) struct Lambda {
    pub(super) shared: Arc<Shared>,
    pub(super) blueprint: Arc<Blueprint>,
    state: StateMap,
    rollout: Option<Rollout>,
    processes: AtomicU64,
    /// Invocations that go on, from the receive to the acknowledgement.
    pub(super) busy: AtomicUsize,
}

/// For a while, another deployment.
struct Rollout {
    from: Timestamp,
    to: Timestamp,
    deployment: usize,
}

/// An execution environment: a process that serves one invocation after the other.
struct Environment {
    process: Arc<Process>,
    worker: Worker,
    deployment: usize,
}

/// The ports as a process sees them.
pub(super) fn ports(process: &Arc<Process>, entropy: Random) -> Ports {
    Ports::new(
        Arc::new(SimQueue(process.clone())),
        Arc::new(SimStore(process.clone())),
        process.shared.memory.ports().bus,
        Arc::new(process.clock()),
        Arc::new(entropy),
    )
}

impl Lambda {
    pub(super) fn new(shared: Arc<Shared>, blueprint: Arc<Blueprint>, state: StateMap) -> Self {
        let random = Random::stream(shared.seed, "rollout", 0);
        let happens = random.chance(shared.faults.redeployed);
        // From the beginning, or in the midst of it.
        let most = Duration::from_secs(if random.chance(0.5) { 1 } else { 300 });
        let after = random.between(Duration::ZERO, most);
        let lasts = random.between(Duration::ZERO, Duration::from_secs(240));
        let others = blueprint.deployments.len() as u64 - 1;
        let which = usize::try_from(random.below(others)).unwrap_or(0) + 1;
        let from = shared.clock.now() + after;
        let rollout = Rollout {
            from,
            to: from + lasts,
            deployment: which,
        };
        Self {
            shared,
            blueprint,
            state,
            rollout: (happens && others > 0).then_some(rollout),
            processes: AtomicU64::new(0),
            busy: AtomicUsize::new(0),
        }
    }

    fn deployment(&self) -> usize {
        let now = self.shared.clock.now();
        let current = self.rollout.as_ref();
        current
            .filter(|rollout| rollout.from <= now && now < rollout.to)
            .map_or(0, |rollout| rollout.deployment)
    }

    fn environment(&self, deployment: usize) -> Environment {
        let number = self.processes.fetch_add(1, Ordering::Relaxed);
        let process = Arc::new(Process::new(self.shared.clone(), true, number));
        let entropy = Random::stream(self.shared.seed, "entropy", number + 1);
        let app = App::new(ports(&process, entropy), self.blueprint.config.clone());
        Environment {
            worker: self.blueprint.worker(app, deployment, &self.state),
            process,
            deployment,
        }
    }

    /// One of a queue's pollers, for as long as the world lasts.
    pub(super) async fn poll(self: Arc<Self>, mapping: Arc<Mapping>, number: u64) {
        let shared = &self.shared;
        let queue = &mapping.queue;
        let who = Caller::Mapping(queue.clone());
        let random = Random::stream(shared.seed, &format!("mapping {queue}"), number);
        loop {
            shared.memory.queue().ready(queue).await;
            let pause = random.between(Duration::ZERO, Duration::from_millis(200));
            shared.clock.sleep(pause).await;
            let deliveries = receive(shared, &who, &mapping, &random);
            if deliveries.is_empty() {
                // On a FIFO queue something visible may wait for its group.
                let pause = Duration::from_secs(if queue.is_fifo() { 5 } else { 0 });
                shared.clock.sleep(pause).await;
                continue;
            }
            self.busy.fetch_add(1, Ordering::Relaxed);
            let slow = random.chance(shared.faults().slow);
            let most = Duration::from_millis(if slow { 30_000 } else { 200 });
            shared
                .clock
                .sleep(random.between(Duration::ZERO, most))
                .await;
            if self.blueprint.without == Some(Rule::AcknowledgeLast) {
                let all = deliveries.iter().map(|one| one.receipt.clone()).collect();
                acknowledge(shared, &who, queue, all, &random).await;
            }
            if let Some(done) = self.invoke(&mapping, &deliveries, &random).await {
                acknowledge(shared, &who, queue, done, &random).await;
            }
            self.busy.fetch_sub(1, Ordering::Relaxed);
            shared.changed.notify_waiters();
        }
    }

    /// Runs a batch in some process; the receipts of what is done, unless the process is killed.
    async fn invoke(
        &self,
        mapping: &Mapping,
        deliveries: &[Delivery],
        random: &Random,
    ) -> Option<Vec<Receipt>> {
        let shared = &self.shared;
        let environment = mapping
            .idle(self.deployment())
            .unwrap_or_else(|| self.environment(self.deployment()));
        let process = environment.process.clone();
        let number = begin(shared, &mapping.queue, deliveries);
        let timeout = self.blueprint.timeout;
        let invocation = Invocation {
            id: format!("invocation-{number}"),
            deadline: process.clock().now() + timeout,
        };
        let fatal = Fatal::draw(shared, random, timeout);
        let mut handled =
            Box::pin(process.scope(number, environment.worker.handle(deliveries, &invocation)));
        let dispositions = fatal.race(shared, &process, handled.as_mut()).await;
        let who = Caller::Invocation(number);
        let Some(dispositions) = dispositions else {
            process.die();
            shared.log(&who, format_args!("killed"));
            if let Some(invoked) = shared.history().invocations.get_mut(number as usize) {
                invoked.killed = true;
            }
            return None;
        };
        drop(handled);
        shared.log(&who, format_args!("{dispositions:?}"));
        mapping.park(environment);
        let done = deliveries.iter().zip(dispositions);
        let done = done.filter(|(_, disposition)| *disposition == Disposition::Done);
        Some(done.map(|(delivery, _)| delivery.receipt.clone()).collect())
    }
}

/// A queue, and the function that its batches are for.
pub(super) struct Mapping {
    queue: QueueName,
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

    fn idle(&self, deployment: usize) -> Option<Environment> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // Those of another deployment are taken down.
        idle.retain(|environment| environment.deployment == deployment);
        idle.pop()
    }

    fn park(&self, environment: Environment) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(environment);
    }
}

/// A receive, after what the queue does of its own accord.
fn receive(shared: &Shared, who: &Caller, mapping: &Mapping, random: &Random) -> Vec<Delivery> {
    let (faults, queue) = (shared.faults(), &mapping.queue);
    let broker = shared.memory.queue();
    let below = &mut |limit| random.below(limit);
    if random.chance(faults.reordered) {
        broker.reorder(queue, below);
    }
    if random.chance(faults.duplicated) {
        let mut repeats = mapping
            .repeats
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let may = |id: &str| repeats.get(id).is_none_or(|times| *times < REPEATS);
        if let Some(id) = broker.reappear(queue, below, &may) {
            shared.log(who, format_args!("delivers {id} once more"));
            *repeats.entry(id).or_default() += 1;
        }
    }
    let most = usize::try_from(random.below(mapping.batch as u64)).unwrap_or(0) + 1;
    let deliveries = at_once(broker.receive(queue, most, Duration::ZERO)).unwrap_or_default();
    let received = deliveries
        .iter()
        .map(|one| (&one.message_id, &one.receipt.0));
    let received: Vec<_> = received.collect();
    if deliveries.is_empty() {
        return deliveries;
    }
    if random.chance(faults.answer_lost) {
        shared.log(who, format_args!("receive, answer lost: {received:?}"));
        return Vec::new();
    }
    shared.log(who, format_args!("receive: {received:?}"));
    deliveries
}

async fn acknowledge(
    shared: &Shared,
    who: &Caller,
    queue: &QueueName,
    done: Vec<Receipt>,
    random: &Random,
) {
    let pause = random.between(Duration::ZERO, Duration::from_millis(200));
    shared.clock.sleep(pause).await;
    if done.is_empty() || random.chance(shared.faults().acknowledgement_lost) {
        shared.log(who, format_args!("deletes nothing"));
        return;
    }
    let deleted = at_once(shared.memory.queue().delete_many(queue, done.clone()));
    shared.log(who, format_args!("deletes {done:?} -> {deleted:?}"));
}

/// The number of the invocation that begins.
fn begin(shared: &Shared, queue: &QueueName, deliveries: &[Delivery]) -> u32 {
    let now = shared.clock.now();
    let tasks: Vec<_> = deliveries
        .iter()
        .filter_map(|one| said(&one.body, &one.message_id, one.sent_at))
        .collect();
    let mut history = shared.history();
    for task in &tasks {
        let key = (task.id.clone(), task.attempt);
        history.received.entry(key).or_insert(now);
    }
    let ids: Vec<String> = tasks.into_iter().map(|task| task.id).collect();
    let number = u32::try_from(history.invocations.len()).unwrap_or(u32::MAX);
    let who = Caller::Invocation(number);
    history
        .log
        .add(now, &who, format_args!("begins with {ids:?}"));
    let killed = false;
    let queue = queue.clone();
    history.invocations.push(Invoked { ids, queue, killed });
    number
}

/// What threatens an invocation: when it stops for how long, and when it dies at the latest.
struct Fatal {
    freeze: Option<(Timestamp, Timestamp)>,
    death: Timestamp,
}

impl Fatal {
    fn draw(shared: &Shared, random: &Random, timeout: Duration) -> Self {
        let (now, faults) = (shared.clock.now(), shared.faults());
        // Most calls of an invocation are made in its first second.
        let moment = |most: Duration| {
            let soon = random.chance(0.7);
            let span = if soon { Duration::from_secs(1) } else { most };
            now + random.between(Duration::ZERO, span)
        };
        let (frozen, from) = (random.chance(faults.frozen), moment(timeout));
        let to = from + random.between(Duration::ZERO, timeout);
        let late = random.between(Duration::ZERO, KILLED_LATE);
        let killed = now + timeout + late;
        let (dies, death) = (random.chance(faults.died), moment(timeout));
        Self {
            freeze: frozen.then_some((from, to)),
            death: if dies { death.min(killed) } else { killed },
        }
    }

    /// What the invocation ends with, unless something ends it.
    async fn race<T>(
        &self,
        shared: &Shared,
        process: &Process,
        mut handled: std::pin::Pin<&mut impl Future<Output = T>>,
    ) -> Option<T> {
        let until = async |at: Timestamp| shared.clock.sleep(at.since(shared.clock.now())).await;
        if let Some((from, to)) = self.freeze.filter(|(from, _)| *from < self.death) {
            tokio::select! {
                biased;
                handled = &mut handled => return Some(handled),
                () = process.dying() => return None,
                () = until(from) => {}
            }
            shared.log(&process.caller(), format_args!("freezes until {to}"));
            until(to.min(self.death)).await;
        }
        tokio::select! {
            biased;
            // Death comes before whatever else would happen at that moment.
            () = until(self.death) => None,
            handled = &mut handled => Some(handled),
            () = process.dying() => None,
        }
    }
}
