//! The application: where tasks are sent from and asked after.

use std::sync::Arc;
use std::time::Duration;

use crate::batches;
use crate::canvas::Canvas;
use crate::config::Config;
use crate::engine::Rule;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, EventKind, Hook};
use crate::launch::{Launch, Origin, Ready};
pub(crate) use crate::limits::whole_seconds;
use crate::message::Message;
use crate::middleware::Middleware;
use crate::ports::{
    Change, Depth, Field, Key, Op, Outcome, Outgoing, Ports, QueueName, When, Write,
};
use crate::record::{self, Record, State, field};
use crate::result::AsyncResult;
use crate::routes::Routes;
use crate::signature::Signature;
use crate::task::{Task, TaskDef, Tasks, nearest};
use crate::time::Timestamp;
use crate::unique::{self, Taken, Taking};

/// Queues, tables and settings, cheap to clone: the way in for everything that isn't a worker.
///
/// ```
/// use sedano::{task, tasks, App, TaskError, memory::Memory};
///
/// #[task]
/// async fn add(x: i64, y: i64) -> Result<i64, TaskError> { Ok(x + y) }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let app = Memory::default().app().tasks(tasks![add]);       // on AWS: App::from_env()?
/// let sum = app.send(add::s(2, 3)).await?;
/// assert_eq!(sum.state().await?.as_str(), "PENDING");
/// # Ok::<(), sedano::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct App {
    inner: Arc<Inner>,
    /// Handed to a running task, with the hops of what it sends: waiting for a result would hold its
    /// worker, and a task that sends itself must come to an end.
    in_task: Option<u32>,
}

#[derive(Clone)]
pub(crate) struct Inner {
    ports: Ports,
    config: Config,
    tasks: Tasks,
    /// Those of the settings, and then those of the program.
    routes: Routes,
    pub(crate) middlewares: Vec<Arc<dyn Middleware>>,
    pub(crate) hooks: Vec<Arc<Hook>>,
    /// A rule of the protocol that the simulation has switched off.
    #[cfg(feature = "sim")]
    without: Option<Rule>,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App")
            .field("tasks", &self.inner.tasks)
            .finish_non_exhaustive()
    }
}

/// Whose a message is, of many that are sent: its place, its id, the ids of the steps before, and what is told of it.
type Whose = (usize, String, Vec<String>, Option<Box<Message>>);

/// How long a record that only guards against a late message is kept: SQS keeps a message for at
/// most 14 days.
pub(crate) const GUARD_FOR: Duration = Duration::from_secs(14 * 86_400);

impl App {
    /// An application over these ports.
    pub fn new(ports: Ports, config: Config) -> Self {
        Self {
            inner: Arc::new(Inner {
                ports,
                routes: config.routes.clone(),
                config,
                tasks: Tasks::default(),
                middlewares: Vec::new(),
                hooks: Vec::new(),
                #[cfg(feature = "sim")]
                without: None,
            }),
            in_task: None,
        }
    }

    /// An application on AWS, as the environment says; see [`Config`] and
    /// [`AwsSettings`](crate::AwsSettings).
    ///
    /// # Errors
    /// `Config`, with the variable that is missing or wrong.
    #[cfg(feature = "aws")]
    pub fn from_env() -> Result<Self> {
        let config = Config::from_env()?;
        let settings = crate::config::AwsSettings::from_env()?;
        let ports = crate::aws::Aws::new(&config, &settings)?.ports();
        Ok(Self::new(ports, config))
    }

    /// Tells the application which tasks there are, so that calls by name find the task's options.
    #[must_use]
    pub fn tasks(mut self, tasks: Tasks) -> Self {
        let inner = Arc::make_mut(&mut self.inner);
        inner.tasks = std::mem::take(&mut inner.tasks).and(tasks);
        self
    }

    /// Tells the application where calls go that don't say it themselves, in place of their tasks' own queues. Routes
    /// of the settings (`SEDANO_ROUTES`) are asked before these, and these before routes that are added later.
    ///
    /// Each sender needs them: the functions of a deployment best share one function that makes them. See [`Routes`]
    /// and the [guide](crate::guide::routing).
    ///
    /// # Errors
    /// `Config`, with the route, if its queue isn't configured or its pattern can't be read.
    pub fn routes(mut self, routes: Routes) -> Result<Self> {
        let inner = Arc::make_mut(&mut self.inner);
        routes.check(&inner.config)?;
        inner.routes = std::mem::take(&mut inner.routes).and(routes);
        Ok(self)
    }

    /// To be added to.
    pub(crate) fn parts(&mut self) -> &mut Inner {
        Arc::make_mut(&mut self.inner)
    }

    pub(crate) fn middlewares(&self) -> &[Arc<dyn Middleware>] {
        &self.inner.middlewares
    }

    pub(crate) fn hooks(&self) -> &[Arc<Hook>] {
        &self.inner.hooks
    }

    pub(crate) fn routing(&self) -> &Routes {
        &self.inner.routes
    }

    /// The queue that [`send`](App::send) would put this call into. A composition goes where its first call goes.
    ///
    /// # Errors
    /// As sending it would have.
    pub fn queue_of<Out>(&self, call: impl Into<Signature<(), Out>>) -> Result<QueueName> {
        let launch = Launch::of(call.into().into_canvas(), Origin::default());
        self.plan(launch).map(|ready| ready.queue)
    }

    /// The queue of a task's calls, as far as its name and its own priority tell: for lists of tasks.
    pub(crate) fn home_of(&self, task: &TaskDef) -> &str {
        let routed = self.inner.routes.queue_of_task(task);
        routed.unwrap_or(task.options.queue)
    }

    /// The tasks the application knows.
    pub fn registered(&self) -> &Tasks {
        &self.inner.tasks
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// The outside world.
    pub fn ports(&self) -> &Ports {
        &self.inner.ports
    }

    pub(crate) fn inside_task(&self, hops: u32) -> Self {
        Self {
            in_task: Some(hops.saturating_add(1)),
            ..self.clone()
        }
    }

    /// The hops of what is sent through this.
    pub(crate) fn hops(&self) -> u32 {
        self.in_task.unwrap_or(0)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.ports.clock.now()
    }

    /// Whether the protocol's rule holds. Everywhere but in the simulation, always.
    #[cfg(not(feature = "sim"))]
    #[expect(
        clippy::unused_self,
        reason = "it has something to say in the simulation"
    )]
    pub(crate) fn keeps(&self, _: Rule) -> bool {
        true
    }

    /// Whether the protocol's rule holds. Everywhere but in the simulation, always.
    #[cfg(feature = "sim")]
    pub(crate) fn keeps(&self, rule: Rule) -> bool {
        self.inner.without != Some(rule)
    }

    /// The application without one of the protocol's rules.
    #[cfg(feature = "sim")]
    pub(crate) fn without(mut self, rule: Option<Rule>) -> Self {
        Arc::make_mut(&mut self.inner).without = rule;
        self
    }

    /// Sends a task; the answer is a handle on its result. Once this returns `Ok`, the task will reach
    /// a final state. Of a [unique](crate::guide::unique) task that is at work already it is a handle on that one, and
    /// nothing is sent.
    ///
    /// # Errors
    /// `Encode` or `TooLarge` for arguments that can't travel, `Invalid` for options that contradict
    /// each other, `Config` for a queue that isn't configured; else as the broker says.
    pub async fn send<Out>(
        &self,
        signature: impl Into<Signature<(), Out>>,
    ) -> Result<AsyncResult<Out>> {
        self.send_from(signature.into().into_canvas(), Origin::default())
            .await
    }

    /// Sends what belongs to a tree that has begun.
    pub(crate) async fn send_from<Out>(
        &self,
        canvas: Canvas,
        origin: Origin,
    ) -> Result<AsyncResult<Out>> {
        let Ready {
            id,
            path,
            queue,
            mut outgoing,
            more,
            key,
            told,
        } = self.launch(Launch::of(canvas, origin).taking_its_key())?;
        if let Some(key) = key {
            match self.take(&key).await? {
                Taken::Mine => {}
                Taken::Left => outgoing.body = unique::left(&outgoing.body, self.now())?,
                Taken::By(first) => return Ok(AsyncResult::new(self.clone(), first)),
            }
        }
        // One after the other: the first begins the group, and a sender that dies in between leaves one that
        // is known to be incomplete.
        for outgoing in std::iter::once(outgoing).chain(more) {
            let sent = self.inner.ports.queue.send(&queue, vec![outgoing]).await?;
            sent.into_iter()
                .next()
                .unwrap_or_else(|| Err(batches::unanswered()))?;
        }
        self.tell_sent(told.as_deref());
        Ok(AsyncResult::after(self.clone(), id, path.into()))
    }

    /// Sends many tasks, in as few calls as SQS allows: ten messages and 1 MiB each. One result for
    /// each task, in order: a task that couldn't be sent doesn't hold up the others.
    pub async fn send_many<Out>(
        &self,
        signatures: impl IntoIterator<Item = Signature<(), Out>>,
    ) -> Vec<Result<AsyncResult<Out>>> {
        let (mut ready, mut keys) = (Vec::new(), Vec::new());
        let mut results: Vec<Option<Result<AsyncResult<Out>>>> = Vec::new();
        for (place, signature) in signatures.into_iter().enumerate() {
            let launch = Launch::of(signature.into_canvas(), Origin::default());
            match self.launch(launch.taking_its_key()) {
                Ok(Ready {
                    id,
                    path,
                    queue,
                    outgoing,
                    more,
                    key,
                    told,
                }) if more.is_empty() => {
                    keys.push(key);
                    ready.push((queue, outgoing, (place, id, path, told)));
                    results.push(None);
                }
                Ok(_) => {
                    let what = "a group with more members than one message holds is sent on its own: by `send`";
                    results.push(Some(Err(Error::new(ErrorKind::TooLarge, what))));
                }
                Err(error) => results.push(Some(Err(error))),
            }
        }
        let ready = self.taken_of_many(ready, keys, &mut results).await;
        for ((place, id, path, told), sent) in batches::send(&*self.inner.ports.queue, ready).await
        {
            if sent.is_ok() {
                self.tell_sent(told.as_deref());
            }
            if let Some(result) = results.get_mut(place) {
                *result = Some(sent.map(|_| AsyncResult::after(self.clone(), id, path.into())));
            }
        }
        let answer = |result: Option<_>| result.unwrap_or_else(|| Err(batches::unanswered()));
        results.into_iter().map(answer).collect()
    }

    pub(crate) fn tell_sent(&self, message: Option<&Message>) {
        if let Some(message) = message {
            self.tell(&Event::of(EventKind::Sent, message));
        }
    }

    /// Those that are to be sent, once their keys are taken; the others have their results.
    async fn taken_of_many<Out>(
        &self,
        ready: Vec<(QueueName, Outgoing, Whose)>,
        keys: Vec<Option<Taking>>,
        results: &mut [Option<Result<AsyncResult<Out>>>],
    ) -> Vec<(QueueName, Outgoing, Whose)> {
        let mut to_send = Vec::with_capacity(ready.len());
        let taken = self.take_many(keys).await;
        for ((queue, mut outgoing, whose), taken) in ready.into_iter().zip(taken) {
            let answer = match taken {
                Ok(Taken::Mine) => {
                    to_send.push((queue, outgoing, whose));
                    continue;
                }
                Ok(Taken::Left) => match unique::left(&outgoing.body, self.now()) {
                    Ok(body) => {
                        outgoing.body = body;
                        to_send.push((queue, outgoing, whose));
                        continue;
                    }
                    Err(error) => Err(error),
                },
                Ok(Taken::By(first)) => Ok(AsyncResult::new(self.clone(), first)),
                Err(error) => Err(error),
            };
            if let Some(result) = results.get_mut(whose.0) {
                *result = Some(answer);
            }
        }
        to_send
    }

    /// A handle on a task that was sent before, typed by the task.
    pub fn result<T: Task>(&self, id: impl Into<String>) -> AsyncResult<T::Output> {
        self.result_of(id)
    }

    /// A handle on a task that was sent before, of any type that its JSON fits.
    pub fn result_of<Out>(&self, id: impl Into<String>) -> AsyncResult<Out> {
        AsyncResult::new(self.clone(), id.into())
    }

    /// Everything that is recorded of a task; without a record it is PENDING.
    ///
    /// # Errors
    /// When the record can't be read.
    pub async fn record(&self, id: &str) -> Result<Record> {
        let item = self
            .inner
            .ports
            .store
            .get(&Key::Result(id.to_owned()))
            .await?;
        Record::read(id, item.as_ref(), self.now())
    }

    /// The task's record as soon as it is final, or as it is when the time is up. Reads with growing
    /// intervals, 50 ms to 2 s.
    ///
    /// # Errors
    /// `WouldDeadlock` inside a task; else when the record can't be read.
    pub async fn wait(&self, id: &str, timeout: Duration) -> Result<Record> {
        if self.in_task.is_some() {
            return Err(Error::new(
                ErrorKind::WouldDeadlock,
                "a task that waits for another task's result holds its worker for nothing",
            ));
        }
        let until = self.now() + timeout;
        let mut pause = Duration::from_millis(50);
        loop {
            let record = self.record(id).await?;
            let left = until.since(self.now());
            if record.status.is_final() || left.is_zero() {
                return Ok(record);
            }
            self.inner.ports.clock.sleep(pause.min(left)).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// Deletes a final record; of what another task or a group has sent only what it says, for that may be
    /// sent again.
    pub(crate) async fn forget(&self, id: &str) -> Result<()> {
        const SAYS: [&str; 6] = [
            field::RESULT,
            field::ERROR,
            field::MESSAGE,
            field::ATTEMPTS,
            field::CHILDREN,
            field::CHECKPOINTS,
        ];
        let finals = State::ALL.iter().copied().filter(|state| state.is_final());
        let is = |state: State| When::Eq(Field::from(field::STATUS), state.into());
        let mut over: Vec<When> = finals.map(is).collect();
        over.push(When::Absent);
        let over = When::Any(over);
        let sent = When::Has(field::PARENT_ID.into());
        let forget = |op, sent| Write {
            key: Key::Result(id.to_owned()),
            op,
            when: When::All(vec![over.clone(), sent]),
        };
        let store = &self.inner.ports.store;
        let delete = forget(Op::Delete, When::Not(Box::new(sent.clone())));
        if let Outcome::Applied(_) = store.write(delete).await? {
            return Ok(());
        }
        let strip = SAYS.map(|name| Change::Remove(name.into())).to_vec();
        match store.write(forget(Op::Update(strip), sent)).await? {
            Outcome::Applied(_) => Ok(()),
            Outcome::Refused(old) => Err(conflict(
                id,
                old.as_ref().and_then(record::status),
                "can't be forgotten yet",
            )),
        }
    }

    /// Deletes all messages of a queue of tasks or of `quarantine`, for good: what isn't running is never run, and
    /// nothing of it is recorded, so that handles on it wait in vain (Celery's `purge`). Groups miss their members
    /// after an hour and fail. What is parked, due later than a queue delays, isn't in the queue and stays. The
    /// answer is about what the queue held.
    ///
    /// # Errors
    /// `NotFound` for a queue that isn't configured, `Invalid` for one of no tasks, `Conflict` if SQS is at a purge of this queue that isn't a minute old; else
    /// as the broker says.
    pub async fn purge(&self, queue: &str) -> Result<Depth> {
        let queue = QueueName::new(queue);
        if !self.inner.config.queues.contains_key(&queue) {
            return Err(self.no_such_queue(queue.as_str()));
        }
        if queue.is_undelivered() || queue.is_dead_letters() {
            let what = format!(
                "what lies in `{queue}` is the only trace of tasks that came to no end:                  discard dead letters instead, which says of each what it was"
            );
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        let held = self.inner.ports.queue.depth(&queue).await?;
        self.inner.ports.queue.purge(&queue).await?;
        tracing::warn!(queue = queue.as_str(), held = ?held, "purged");
        Ok(held)
    }

    /// What to say of a queue that isn't configured.
    pub(crate) fn no_such_queue(&self, queue: &str) -> Error {
        let names = self.inner.config.queues.keys().map(QueueName::as_str);
        let hint = match nearest(queue, names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "SEDANO_QUEUES says which there are".to_owned(),
        };
        let what = format!("there is no queue `{queue}`; {hint}");
        Error::new(ErrorKind::NotFound, what)
    }

    /// About how many messages each queue holds, by the queues' names.
    ///
    /// # Errors
    /// As the broker says.
    pub async fn queues(&self) -> Result<Vec<(QueueName, Depth)>> {
        let mut depths = Vec::new();
        for name in self.inner.config.queues.keys() {
            depths.push((name.clone(), self.inner.ports.queue.depth(name).await?));
        }
        Ok(depths)
    }
}

pub(crate) fn conflict(id: &str, state: Option<State>, what: &str) -> Error {
    let state = state.unwrap_or(State::Pending);
    Error::new(
        ErrorKind::Conflict,
        format!("task {id} is {state}: it {what}"),
    )
}
