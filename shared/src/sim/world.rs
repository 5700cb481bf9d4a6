//! A world as a scenario sees it: to send, to wait, to look.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;

use super::history::{DeadLetter, History};
use super::lambda::{Lambda, ports};
use super::mapping::Mapping;
use super::process::{Process, Shared};
use super::queue::said;
use super::random::Random;
use super::{Blueprint, beat};
use crate::app::App;
use crate::context::StateMap;
use crate::dead_letters::attribute;
use crate::error::{ErrorKind, Result};
use crate::failure::BoxError;
use crate::memory::{Memory, StoredMessage, TokioClock};
use crate::ports::{Clock, Outgoing, QueueName, Table};
use crate::record::{State, status};
use crate::result::AsyncResult;
use crate::revocations::{InForce, Revocation, RevokeOutcome};
use crate::signature::Signature;
use crate::time::Timestamp;
use crate::unique;

/// How long a world may take to become quiet, in its own time: less than the 4 days for which a queue
/// keeps a message, since what a queue forgets would look like done.
const PATIENCE: Duration = Duration::from_secs(3 * 86_400);
/// When every world begins.
const START: Timestamp = Timestamp::from_millis(1_772_366_400_000);

/// Queues, tables and functions in virtual time, with faults. A [`Simulation`](super::Simulation)
/// makes one for each seed.
pub struct World {
    shared: Arc<Shared>,
    lambda: Arc<Lambda>,
    /// The sender's, behind faults.
    app: App,
    sender: Arc<Process>,
    /// An onlooker's, without.
    observer: App,
    state: StateMap,
    random: Random,
    background: RefCell<JoinSet<()>>,
}

impl World {
    /// Must be called in a runtime whose time is paused.
    pub(super) fn new(seed: u64, blueprint: &Arc<Blueprint>, told: bool) -> Self {
        let config = &blueprint.config;
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(START));
        let entropy = |concern| Random::stream(seed, concern, 0);
        let memory = Memory::with(config, clock.clone(), Arc::new(entropy("broker")));
        let shared = Shared::new(seed, memory, clock, blueprint.faults, told);
        let shared = Arc::new(shared);
        let state = blueprint.state();
        let lambda = Lambda::new(shared.clone(), blueprint.clone(), state.clone());
        let sender = Arc::new(Process::new(shared.clone(), false, 0));
        let scenario = sender.clone();
        let app = App::new(ports(&sender, entropy("ids")), config.clone());
        let world = Self {
            observer: shared.memory.app().tasks(blueprint.tasks(0)),
            app: app.tasks(blueprint.tasks(0)).without(blueprint.without),
            lambda: Arc::new(lambda),
            state,
            random: entropy("scenario"),
            sender: scenario,
            background: RefCell::default(),
            shared,
        };
        world.start();
        world
    }

    /// Starts what goes on beside the scenario.
    fn start(&self) {
        let mut background = self.background.borrow_mut();
        for queue in self.work_queues() {
            let mapping = Arc::new(Mapping::new(queue));
            for number in 0..self.lambda.blueprint.pollers {
                let (lambda, mapping) = (self.lambda.clone(), mapping.clone());
                background.spawn(lambda.poll(mapping, number));
            }
        }
        background.spawn(beat::rule(
            self.shared.clone(),
            self.lambda.blueprint.clone(),
        ));
        let shared = self.shared.clone();
        let late = Random::stream(shared.seed, "ttl", 0).chance(shared.faults.late_ttl);
        if late {
            shared.fired("late_ttl");
        }
        let every = Duration::from_secs(if late { 172_800 } else { 3_600 });
        background.spawn(async move {
            loop {
                shared.clock.sleep(every).await;
                shared.memory.store().sweep();
            }
        });
    }

    /// The queues that workers receive from.
    fn work_queues(&self) -> Vec<QueueName> {
        let queues = self.lambda.blueprint.config.queues.keys();
        let last = |name: &QueueName| name.as_str().starts_with(QueueName::DEAD_LETTERS);
        queues.filter(|name| !last(name)).cloned().collect()
    }

    /// The world's seed.
    pub fn seed(&self) -> u64 {
        self.shared.seed
    }

    /// Randomness for the scenario's own choices.
    pub fn random(&self) -> &Random {
        &self.random
    }

    /// The application of a sender like any other: its calls may fail, so call them again, or use
    /// [`send`](World::send).
    pub fn app(&self) -> &App {
        &self.app
    }

    /// An application whose calls never fail and take no time: to look without touching.
    pub fn observer(&self) -> &App {
        &self.observer
    }

    /// The ports in memory behind all, to look into.
    pub fn memory(&self) -> &Memory {
        &self.shared.memory
    }

    /// The value that the workers of this world share, as [`state`](super::Simulation::state) made it.
    pub fn state<S: Send + Sync + 'static>(&self) -> Option<&S> {
        self.state.get()
    }

    /// Sends a task as a careful caller does: under one id, again and again until a send is accepted.
    /// The handle reads without faults.
    ///
    /// # Panics
    /// When the send fails for a reason of its own, such as arguments that can't travel.
    pub async fn send<Out>(&self, signature: impl Into<Signature<(), Out>>) -> AsyncResult<Out> {
        let mut signature = signature.into();
        let ports = self.observer.ports();
        let canvas = signature.canvas_mut();
        let id = match canvas.id() {
            Some(id) => id.clone(),
            None => {
                let id = crate::id::fresh(&*ports.clock, &self.random);
                canvas.set_id(id.clone());
                id
            }
        };
        self.until_done(async || self.app.send(signature.clone()).await)
            .await;
        self.observer.result_of(id)
    }

    /// Sends a body as it is, until a send is accepted: its MessageId.
    ///
    /// # Panics
    /// When the send fails for a reason of its own, such as a queue that isn't there.
    pub async fn send_body(&self, queue: &str, body: impl Into<String>) -> String {
        let queue = QueueName::new(queue);
        let mut message = Outgoing::new(body);
        if queue.is_fifo() {
            message.group = Some("default".to_owned());
            message.dedup = Some(crate::id::derived(&[&message.body]));
        }
        let send = async || {
            let broker = &self.app.ports().queue;
            let mut sent = broker.send(&queue, vec![message.clone()]).await?;
            sent.pop()
                .unwrap_or_else(|| Err(crate::batches::unanswered()))
        };
        self.until_done(send).await.message_id
    }

    /// Revokes a task, trying until there is an answer: whether it was revoked in time.
    pub async fn revoke(&self, id: &str) -> bool {
        self.until_done(async || match self.app.revoke(id).await {
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
            other => other.map(|outcome| outcome == RevokeOutcome::Revoked),
        })
        .await
    }

    /// Revokes all that bear it, trying until that is accepted.
    pub async fn revoke_all(&self, revocation: &Revocation) {
        let in_force = self
            .until_done(async || self.app.revoke_all(revocation).await)
            .await;
        let now = self.shared.clock.now();
        let mut history = self.shared.history();
        let known = history
            .revocations
            .iter_mut()
            .find(|(known, _)| known.revocation == *revocation);
        match known {
            // Of a task's name it is of more by now.
            Some((known, accepted)) if known.revoked_at < in_force.revoked_at => {
                *known = in_force;
                if revocation.kind() == "task" {
                    *accepted = now;
                }
            }
            Some(_) => {}
            None => history.revocations.push((in_force, now)),
        }
    }

    /// Lifts a revocation, trying until that is accepted.
    pub async fn unrevoke(&self, revocation: &Revocation) {
        let is_other = |known: &(InForce, Timestamp)| known.0.revocation != *revocation;
        self.shared.history().revocations.retain(is_other);
        self.until_done(async || self.app.unrevoke(revocation).await)
            .await;
    }

    async fn until_done<T>(&self, act: impl AsyncFn() -> Result<T>) -> T {
        loop {
            match act().await {
                Ok(done) => return done,
                Err(error) if error.is_retryable() => {
                    let most = Duration::from_secs(3);
                    self.sleep(self.random.between(Duration::ZERO, most)).await;
                }
                #[expect(clippy::panic, reason = "a scenario's own mistake is told as such")]
                Err(error) => panic!("not for a fault of the world's: {error}"),
            }
        }
    }

    /// Moves a task that isn't due yet, trying until there is an answer: whether it was moved.
    pub async fn reschedule(&self, id: &str, eta: Timestamp) -> bool {
        self.until_done(async || match self.app.reschedule(id, eta).await {
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
            other => other.map(|()| true),
        })
        .await
    }

    /// Lets time pass.
    pub async fn sleep(&self, duration: Duration) {
        self.shared.clock.sleep(duration).await;
    }

    /// Tells that the scenario itself went between until now, by purging a queue say: what was due before isn't
    /// held to have begun soon.
    pub fn disturbed(&self) {
        self.shared.disturbed_until(self.shared.clock.now());
    }

    /// How many bodies of this task have begun.
    pub fn runs(&self, id: &str) -> usize {
        let history = self.shared.history();
        history.runs.iter().filter(|run| run.id == id).count()
    }

    /// The messages in the queue `dead-letters`.
    pub fn dead_letters(&self) -> Vec<StoredMessage> {
        self.shared.memory.queue().dead_letters()
    }

    /// Waits until nothing is left to do: every queue that is worked on is empty, every invocation is
    /// over. A world that is not quiet after three days breaks an invariant.
    pub async fn settle(&self) {
        self.wait(|| self.is_quiet()).await;
    }

    /// Waits until beat has nothing left to send of what is due by then.
    ///
    /// # Errors
    /// After three days.
    pub async fn beaten(&self, until: Timestamp) -> Result<(), BoxError> {
        let is_so = || self.shared.history().beaten >= Some(until);
        self.wait(is_so).await;
        match is_so() {
            true => Ok(()),
            false => Err(format!("beat never had nothing left to send of before {until}").into()),
        }
    }

    async fn wait(&self, is_so: impl Fn() -> bool) {
        let clock = &self.shared.clock;
        let end = clock.now() + PATIENCE;
        while !is_so() && clock.now() < end {
            let changed = self.shared.changed.notified();
            tokio::select! {
                biased;
                () = changed => {}
                () = clock.sleep(end.since(clock.now())) => {}
            }
        }
    }

    /// The calls so far as text, since a replay keeps it.
    #[cfg(test)]
    pub(super) fn told(&self) -> String {
        let history = self.shared.history();
        history
            .log
            .lines
            .as_ref()
            .map_or_else(String::new, |lines| lines.join("\n"))
    }

    fn is_quiet(&self) -> bool {
        let idle = self.lambda.busy.load(Ordering::Relaxed) == 0
            && self.shared.on_their_way.load(Ordering::Relaxed) == 0;
        idle && self.shared.history().parked.is_empty() && self.left().is_empty()
    }

    /// The messages that are still in queues that are worked on.
    fn left(&self) -> Vec<StoredMessage> {
        let broker = self.shared.memory.queue();
        let queues = self.work_queues();
        queues
            .iter()
            .flat_map(|queue| broker.messages(queue))
            .collect()
    }

    /// The keys of tasks that have ended, where no write comes when nobody expects it any more.
    fn keys_left(&self) -> Vec<String> {
        let (store, now) = (self.shared.memory.store(), self.shared.clock.now());
        if self.shared.faults.done_late > 0.0 {
            return Vec::new();
        }
        let ended: BTreeSet<String> = store
            .items(Table::Results)
            .into_iter()
            .filter(|item| status(item).is_some_and(State::is_final))
            .filter_map(|item| Some(item.get("id")?.as_text()?.to_owned()))
            .collect();
        let keys = store.items(Table::State);
        let held = keys.iter().filter_map(|item| unique::holder(item, now));
        let held = held.filter(|holder| ended.contains(*holder));
        held.map(|holder| format!("the key of task {holder}, which has ended"))
            .collect()
    }

    /// Runs the scenario as what it is: the sender's process.
    pub(super) async fn act<T>(&self, scenario: impl Future<Output = T>) -> T {
        self.sender.scope(0, scenario).await
    }

    /// Lets the world settle and closes its history.
    pub(super) async fn end(self) -> History {
        self.settle().await;
        let mut left: Vec<String> = self
            .left()
            .iter()
            .map(|message| format!("message {} {}", message.message_id, message.body))
            .collect();
        let busy = self.lambda.busy.load(Ordering::Relaxed);
        if busy > 0 {
            left.push(format!("{busy} invocations that go on"));
        }
        left.extend(self.keys_left());
        let mut background = self.background.borrow_mut();
        while let Some(over) = background.try_join_next() {
            left.push(format!(
                "a part of the world that ended by itself: {over:?}"
            ));
        }
        let broker = self.shared.memory.queue();
        let last = ["", ".fifo"].map(|kind| format!("{}{kind}", QueueName::DEAD_LETTERS));
        let dead_letters = last
            .iter()
            .flat_map(|name| broker.messages(&QueueName::new(name)));
        let dead_letters = dead_letters.map(dead_letter);
        let mut history = std::mem::take(&mut *self.shared.history());
        history.dead_letters = dead_letters.collect();
        history.left = left;
        history
    }
}

fn dead_letter(message: StoredMessage) -> DeadLetter {
    let said_of = |name: &str| message.attributes.get(name).cloned();
    let message_id = said_of(attribute::MESSAGE_ID).unwrap_or_else(|| message.message_id.clone());
    let task = said(&message.body, &message_id, message.sent_at);
    DeadLetter {
        id: task.as_ref().map(|task| task.id.clone()),
        reason: said_of(attribute::REASON),
        error: said_of(attribute::ERROR),
        attempts: said_of(attribute::ATTEMPTS).and_then(|text| text.parse().ok()),
        dead_at: said_of(attribute::DEAD_AT),
        message_id,
        body: message.body,
        task,
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "World({})", self.shared.seed)
    }
}
