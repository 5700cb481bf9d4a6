//! Lambda: functions invoked with batches; processes that die, freeze, and are killed at their deadline.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;

use super::Blueprint;
use super::faults::KILLED_LATE;
use super::history::{Caller, Invoked};
use super::mapping::Mapping;
use super::process::{Process, Shared};
use super::queue::{SimQueue, said};
use super::random::Random;
use super::store::SimStore;
use crate::app::App;
use crate::context::StateMap;
use crate::engine::Rule;
use crate::ports::{Clock, Delivery, Ports, QueueName, Receipt};
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
pub(super) struct Environment {
    process: Arc<Process>,
    worker: Worker,
    pub(super) deployment: usize,
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
        let rollout = (happens && others > 0).then_some(rollout);
        if let Some(rollout) = &rollout {
            shared.fired("redeployed");
            shared.disturbed_until(rollout.to);
        }
        Self {
            shared,
            blueprint,
            state,
            rollout,
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
            let deliveries = mapping.receive(shared, &who, &random);
            if deliveries.is_empty() {
                // On a FIFO queue something visible may wait for its group.
                let pause = Duration::from_secs(if queue.is_fifo() { 5 } else { 0 });
                shared.clock.sleep(pause).await;
                continue;
            }
            if shared.starts_nothing() {
                shared.fired("unstarted");
                shared.log(&who, format_args!("its function doesn't start"));
                continue;
            }
            self.busy.fetch_add(1, Ordering::Relaxed);
            let slow = random.chance(shared.faults().slow);
            if slow {
                shared.fired("slow");
            }
            let most = Duration::from_millis(if slow { 30_000 } else { 200 });
            shared
                .clock
                .sleep(random.between(Duration::ZERO, most))
                .await;
            if self.blueprint.without == Some(Rule::AcknowledgeLast) {
                let all = deliveries.iter().map(|one| one.receipt.clone()).collect();
                mapping.acknowledge(shared, &who, all, &random).await;
            }
            if let Some(done) = self.invoke(&mapping, &deliveries, &random).await {
                mapping.acknowledge(shared, &who, done, &random).await;
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
        let timeout = self.blueprint.timeout;
        let number = begin(shared, &mapping.queue, deliveries, timeout);
        let invocation = Invocation {
            id: format!("invocation-{number}"),
            deadline: process.clock().now() + timeout,
        };
        let fatal = Fatal::draw(shared, random, timeout);
        let handled = process.scope(number, environment.worker.handle(deliveries, &invocation));
        // A panic that nobody contains ends the process.
        let mut handled = Box::pin(AssertUnwindSafe(handled).catch_unwind());
        let ended = fatal.race(shared, &process, handled.as_mut()).await;
        let who = Caller::Invocation(number);
        let panicked = matches!(ended, Some(Err(_)));
        let Some(Ok(dispositions)) = ended else {
            process.die();
            shared.log(&who, format_args!("killed"));
            if let Some(invoked) = shared.history().invocations.get_mut(number as usize) {
                (invoked.killed, invoked.panicked) = (true, panicked);
            }
            return None;
        };
        drop(handled);
        shared.log(&who, format_args!("{dispositions:?}"));
        mapping.park(environment);
        let all = deliveries.iter().zip(dispositions);
        let (done, returned): (Vec<_>, Vec<_>) =
            all.partition(|(_, disposition)| *disposition == Disposition::Done);
        for (delivery, _) in returned {
            shared.history().out.remove(&delivery.message_id);
        }
        let done = done
            .into_iter()
            .map(|(delivery, _)| delivery.receipt.clone());
        Some(done.collect())
    }
}

/// The number of the invocation that begins.
fn begin(shared: &Shared, queue: &QueueName, deliveries: &[Delivery], timeout: Duration) -> u32 {
    let now = shared.clock.now();
    let mut history = shared.history();
    let mut ids = Vec::with_capacity(deliveries.len());
    for one in deliveries {
        let again = !history.out.insert(one.message_id.clone());
        let task = said(&one.body, &one.message_id, one.sent_at);
        if again {
            let id = task.as_ref().map_or(&one.message_id, |task| &task.id);
            history.repeated.insert(id.clone());
        }
        let Some(task) = task else { continue };
        ids.push(task.id);
    }
    let number = u32::try_from(history.invocations.len()).unwrap_or(u32::MAX);
    let who = Caller::Invocation(number);
    history
        .log
        .add(now, &who, format_args!("begins with {ids:?}"));
    history.invocations.push(Invoked {
        ids,
        queue: queue.clone(),
        begun: now,
        deadline: now + timeout,
        killed: false,
        panicked: false,
        frozen: false,
    });
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
        if dies {
            shared.fired("died");
        }
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
            let who = process.caller();
            shared.log(&who, format_args!("freezes until {to}"));
            shared.fired("frozen");
            if let Caller::Invocation(number) = who
                && let Some(invoked) = shared.history().invocations.get_mut(number as usize)
            {
                invoked.frozen = true;
            }
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
