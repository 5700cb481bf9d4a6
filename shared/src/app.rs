//! The application: where tasks are sent from and asked after.

use std::sync::Arc;
use std::time::Duration;

use crate::batches;
use crate::config::Config;
use crate::engine::Rule;
use crate::error::{Error, ErrorKind, Result};
use crate::failure::Failure;
use crate::id;
pub(crate) use crate::limits::whole_seconds;
use crate::limits::{self, MESSAGE_BYTES};
use crate::message::Message;
use crate::options::{self, Options};
use crate::ports::{
    Change, Depth, Field, Key, MAX_DELAY, Op, Outcome, Outgoing, Ports, QueueName, When, Write,
};
use crate::record::{self, Record, State, field};
use crate::result::AsyncResult;
use crate::signature::{Call, Expires, Signature};
use crate::task::{Task, Tasks, nearest};
use crate::time::Timestamp;

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
struct Inner {
    ports: Ports,
    config: Config,
    tasks: Tasks,
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

/// How long a record that only guards against a late message is kept: SQS keeps a message for at
/// most 14 days.
pub(crate) const GUARD_FOR: Duration = Duration::from_secs(14 * 86_400);
/// What follows what follows …: the guard against endless chains.
pub(crate) const MAX_HOPS: u32 = 1000;

impl App {
    /// An application over these ports.
    pub fn new(ports: Ports, config: Config) -> Self {
        Self {
            inner: Arc::new(Inner {
                ports,
                config,
                tasks: Tasks::default(),
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
    /// a final state.
    ///
    /// # Errors
    /// `Encode` or `TooLarge` for arguments that can't travel, `Invalid` for options that contradict
    /// each other, `Config` for a queue that isn't configured; else as the broker says.
    pub async fn send<Out>(
        &self,
        signature: impl Into<Signature<(), Out>>,
    ) -> Result<AsyncResult<Out>> {
        let call = signature.into().into_call();
        let (id, queue, outgoing) = self.outgoing(call)?;
        match self
            .inner
            .ports
            .queue
            .send(&queue, vec![outgoing])
            .await?
            .pop()
        {
            Some(Ok(_)) => Ok(AsyncResult::new(self.clone(), id)),
            Some(Err(error)) => Err(error),
            None => Err(batches::unanswered()),
        }
    }

    /// Sends many tasks, in as few calls as SQS allows: ten messages and 1 MiB each. One result for
    /// each task, in order: a task that couldn't be sent doesn't hold up the others.
    pub async fn send_many<Out>(
        &self,
        signatures: impl IntoIterator<Item = Signature<(), Out>>,
    ) -> Vec<Result<AsyncResult<Out>>> {
        let mut ready = Vec::new();
        let mut results: Vec<Option<Result<AsyncResult<Out>>>> = Vec::new();
        for (place, signature) in signatures.into_iter().enumerate() {
            match self.outgoing(signature.into_call()) {
                Ok((id, queue, outgoing)) => {
                    ready.push((queue, outgoing, (place, id)));
                    results.push(None);
                }
                Err(error) => results.push(Some(Err(error))),
            }
        }
        for ((place, id), sent) in batches::send(&*self.inner.ports.queue, ready).await {
            if let Some(result) = results.get_mut(place) {
                *result = Some(sent.map(|_| AsyncResult::new(self.clone(), id)));
            }
        }
        let answer = |result: Option<_>| result.unwrap_or_else(|| Err(batches::unanswered()));
        results.into_iter().map(answer).collect()
    }

    /// A call as the message, the queue and the delay it is sent with.
    fn outgoing(&self, mut call: Call) -> Result<(String, QueueName, Outgoing)> {
        let Inner {
            ports,
            config,
            tasks,
            ..
        } = &*self.inner;
        let now = ports.clock.now();
        let options = call
            .options
            .or_else(|| tasks.find(&call.task).map(|def| def.options))
            .unwrap_or_default();
        let (args, kwargs) = call.take_arguments()?;
        check_limits(&call, &options)?;
        call.hops = call.hops.max(self.in_task.unwrap_or(0));
        if call.hops > MAX_HOPS && self.keeps(Rule::CapHops) {
            let what = format!(
                "`{}` is {} sends away from its first task; {MAX_HOPS} are allowed: \
                                is it sending itself?",
                call.task, call.hops
            );
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        let queue = call.queue.unwrap_or_else(|| QueueName::new(options.queue));
        known_queue(config, &queue)?;
        let id = match call.id {
            Some(id) if !id::is_valid(&id) => {
                let what = format!("a task id is {}", id::RULE);
                return Err(Error::new(ErrorKind::Invalid, what));
            }
            Some(id) => id,
            None => id::fresh(&*ports.clock, &*ports.entropy),
        };
        let mut message = Message::new(id.clone(), call.task);
        message.args = args;
        message.kwargs = kwargs;
        message.eta = call.countdown.map(|delay| now + delay).or(call.eta);
        message.expires = match call.expires {
            Some(Expires::At(at)) => Some(at),
            Some(Expires::After(after)) => Some(now + after),
            None => options.expires.map(|after| now + after),
        };
        message.priority = call.priority.or(options.priority);
        message.time_limit = call.time_limit;
        message.soft_time_limit = call.soft_time_limit;
        message.ignore_result = call.ignore_result;
        message.headers = call.headers;
        message.root_id = call.root_id;
        message.parent_id = call.parent_id;
        message.hops = call.hops;
        message.trace = call.trace;
        let mut outgoing = outgoing(&message, &queue, now)?;
        if outgoing.size() > MESSAGE_BYTES {
            return Err(limits::too_large(&message.task, outgoing.size()));
        }
        if call.message_group.is_some() {
            outgoing.group = call.message_group;
        }
        Ok((id, queue, outgoing))
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

    /// Revokes a task that isn't running: its message will be dropped when it arrives, this week or
    /// next. Revoking it again changes nothing.
    ///
    /// # Errors
    /// `Conflict`, if it is running or final.
    pub async fn revoke(&self, id: &str) -> Result<()> {
        let now = self.now();
        let failure = Failure {
            kind: "Revoked".to_owned(),
            message: "revoked before it started".to_owned(),
            causes: Vec::new(),
            retries: 0,
            at: now,
        };
        let write = Write {
            key: Key::Result(id.to_owned()),
            op: Op::Update(vec![
                Change::Set(field::STATUS.into(), State::Revoked.into()),
                Change::Set(field::ERROR.into(), (&failure).into()),
                Change::Set(field::FINISHED_AT.into(), now.into()),
                Change::Set(field::TTL.into(), (now + GUARD_FOR).as_secs().into()),
                Change::Remove(field::DUE_AT.into()),
            ]),
            when: When::Any(vec![
                When::Absent,
                When::Eq(field::STATUS.into(), State::Retry.into()),
            ]),
        };
        match record::write(&*self.inner.ports.store, write, now).await? {
            Outcome::Applied(_) => Ok(()),
            Outcome::Refused(old) => match old.as_ref().and_then(record::status) {
                Some(State::Revoked) => Ok(()),
                state => Err(conflict(id, state, "can't be revoked any more")),
            },
        }
    }

    /// Deletes a final record.
    pub(crate) async fn forget(&self, id: &str) -> Result<()> {
        let finals = State::ALL.iter().copied().filter(|state| state.is_final());
        let is = |state: State| When::Eq(Field::from(field::STATUS), state.into());
        let mut when: Vec<When> = finals.map(is).collect();
        when.push(When::Absent);
        let write = Write {
            key: Key::Result(id.to_owned()),
            op: Op::Delete,
            when: When::Any(when),
        };
        match self.inner.ports.store.write(write).await? {
            Outcome::Applied(_) => Ok(()),
            Outcome::Refused(old) => Err(conflict(
                id,
                old.as_ref().and_then(record::status),
                "can't be forgotten yet",
            )),
        }
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

/// A message as it is sent to a queue now: with its delay, or on a FIFO queue with what that needs.
pub(crate) fn outgoing(message: &Message, queue: &QueueName, now: Timestamp) -> Result<Outgoing> {
    let mut outgoing = Outgoing::new(message.encode()?);
    if queue.is_fifo() {
        // One group for all that names none, as kombu does.
        outgoing.group = Some("default".to_owned());
        outgoing.dedup = Some(id::derived(&[&message.id, &message.attempt.to_string()]));
    } else if let Some(eta) = message.eta {
        outgoing.delay = whole_seconds(eta.since(now)).min(MAX_DELAY);
    }
    Ok(outgoing)
}

fn check_limits(call: &Call, options: &Options) -> Result<()> {
    let hard = call.time_limit.or(options.time_limit);
    let soft = call.soft_time_limit.or(options.soft_time_limit);
    if let Some(what) = options::soft_beyond_hard(soft, hard) {
        let what = format!("`{}` {what}", call.task);
        return Err(Error::new(ErrorKind::Invalid, what));
    }
    if call.priority.is_some_and(|priority| priority > 9) {
        return Err(Error::new(
            ErrorKind::Invalid,
            "a priority is a number from 0 to 9",
        ));
    }
    Ok(())
}

/// Why tasks can't go to a queue.
pub(crate) enum NotForTasks<'a> {
    /// It is one of those that failed messages go to; what to say of it.
    WorkersOnly(String),
    /// It isn't configured; the one that may be meant.
    Unknown(Option<&'a str>),
}

/// Tasks go to queues that are configured, and not to those that failed messages go to.
pub(crate) fn check_queue<'a>(
    config: &'a Config,
    queue: &QueueName,
) -> std::result::Result<(), NotForTasks<'a>> {
    if !queue.is_for_tasks() {
        let what = format!("`{queue}` takes messages from workers only; choose another queue");
        return Err(NotForTasks::WorkersOnly(what));
    }
    if config.queues.contains_key(queue) {
        return Ok(());
    }
    let open = config.queues.keys().filter(|queue| queue.is_for_tasks());
    let near = nearest(queue.as_str(), open.map(QueueName::as_str));
    Err(NotForTasks::Unknown(near))
}

/// The same for a program, whose settings are to be mended.
pub(crate) fn known_queue(config: &Config, queue: &QueueName) -> Result<()> {
    check_queue(config, queue).map_err(|why| match why {
        NotForTasks::WorkersOnly(what) => Error::new(ErrorKind::Invalid, what),
        NotForTasks::Unknown(near) => {
            let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            let what = format!("SEDANO_QUEUES has no queue named `{queue}`{hint}");
            Error::new(ErrorKind::Config, what)
        }
    })
}

fn conflict(id: &str, state: Option<State>, what: &str) -> Error {
    let state = state.unwrap_or(State::Pending);
    Error::new(
        ErrorKind::Conflict,
        format!("task {id} is {state}: it {what}"),
    )
}
