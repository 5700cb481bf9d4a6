//! Dead letters: what no worker will take again, why, and what is done about it.
//!
//! ```
//! use sedano::dead_letters::{Edit, Selection};
//! use sedano::{State, TaskError, Worker, memory::Memory, task, tasks};
//!
//! #[task]
//! async fn pay(cents: i64) -> Result<i64, TaskError> {
//!     match cents {
//!         0.. => Ok(cents),
//!         _ => Err(TaskError::reject("nobody pays less than nothing")),
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(async {
//! let worker = Worker::new(Memory::default().app()).tasks(tasks![pay]);
//! let paid = worker.app().send(pay::s(-5)).await?;
//! worker.run_once().await?;
//!
//! let letters = worker.app().dead_letters();
//! let found = letters.list(&Selection::all().reason("Rejected"), 100).await?;
//! assert_eq!(found[0].error.as_deref(), Some("nobody pays less than nothing"));
//!
//! let edit = Edit::default().kwargs([("cents".to_owned(), 5.into())].into_iter().collect());
//! let redriven = letters.redrive(paid.id(), &edit).await?.unwrap();
//! assert_eq!((redriven.status, redriven.generation), (State::Retry, 1));
//! worker.run_once().await?;
//! assert_eq!(paid.get().await.unwrap(), 5);
//! # Ok::<(), sedano::Error>(()) }).unwrap();
//! ```
//!
//! A dead letter is looked at by being received, and made visible again: SQS has no other way. So two who
//! look at the same time see a part each, and whoever dies meanwhile hides what they saw for as long as the
//! queue's visibility timeout.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::app::{App, GUARD_FOR, known_queue, outgoing};
use crate::batches;
use crate::error::{Error, ErrorKind, Result};
use crate::message::Message;
use crate::ports::{
    BATCH_ENTRIES, Change, Delivery, Item, Key, Op, Outcome, Outgoing, QueueName, Receipt, When,
    Write,
};
use crate::record::{State, count, field, instant, is_expired, status};
use crate::time::Timestamp;

/// The attributes that say what happened to a dead letter.
pub(crate) mod attribute {
    pub(crate) const ATTEMPTS: &str = "sedano-attempts";
    pub(crate) const DEAD_AT: &str = "sedano-dead-at";
    pub(crate) const ERROR: &str = "sedano-error";
    pub(crate) const MESSAGE_ID: &str = "sedano-message-id";
    pub(crate) const QUEUE: &str = "sedano-queue";
    pub(crate) const REASON: &str = "sedano-reason";
    pub(crate) const TASK: &str = "sedano-task";
    pub(crate) const TASK_ID: &str = "sedano-task-id";

    /// What is left out first, where a body leaves no room for all.
    pub(crate) const LEAST_FIRST: [&str; 8] = [
        ERROR, TASK, DEAD_AT, QUEUE, ATTEMPTS, TASK_ID, MESSAGE_ID, REASON,
    ];
}

/// A message that no worker will take again.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DeadLetter {
    /// Its own id: the MessageId in the dead-letter queue.
    pub id: String,
    /// Why it is here, in one word.
    pub reason: String,
    /// The error, in a sentence; none where SQS itself moved the message here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its task's name, where it can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Its task's id, where it can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// How often its task ran, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// The queue it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// The MessageId that it had there.
    pub message_id: String,
    /// Since when it is here; where SQS moved it, when it was sent.
    pub dead_at: Timestamp,
    /// The message: with its task's id in it, or as it came where it can't be read.
    pub body: String,
    #[serde(skip)]
    group: Option<String>,
    #[serde(skip)]
    sent_at: Timestamp,
}

impl DeadLetter {
    fn of(delivery: Delivery) -> Self {
        let mut said = delivery.attributes;
        let message_id = said
            .remove(attribute::MESSAGE_ID)
            .unwrap_or_else(|| delivery.message_id.clone());
        let message = Message::decode(&delivery.body, &message_id, delivery.sent_at).ok();
        let (task, task_id) = match message {
            Some(message) => (Some(message.task), Some(message.id)),
            None => (
                said.remove(attribute::TASK),
                said.remove(attribute::TASK_ID),
            ),
        };
        let source = delivery.source.map(|queue| queue.to_string());
        Self {
            id: delivery.message_id,
            // SQS gives no reasons.
            reason: said
                .remove(attribute::REASON)
                .unwrap_or_else(|| "Undelivered".to_owned()),
            error: said.remove(attribute::ERROR),
            task,
            task_id,
            attempts: said
                .remove(attribute::ATTEMPTS)
                .and_then(|text| text.parse().ok()),
            queue: said.remove(attribute::QUEUE).or(source),
            message_id,
            dead_at: said
                .remove(attribute::DEAD_AT)
                .and_then(|text| text.parse().ok())
                .unwrap_or(delivery.sent_at),
            body: delivery.body,
            group: delivery.group,
            sent_at: delivery.sent_at,
        }
    }
}

/// Which dead letters are meant: those that fit everything that is said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selection {
    letters: BTreeSet<String>,
    ids: BTreeSet<String>,
    task: Option<String>,
    reason: Option<String>,
    older_than: Option<Duration>,
}

impl Selection {
    /// All of them.
    pub fn all() -> Self {
        Self::default()
    }

    /// Those of this id, or of one said before: the letter's own, its task's, or that of the message
    /// that it was.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.ids.insert(id.into());
        self
    }

    /// The one with this id of its own, or with one said before. When all of these are met, the walk
    /// through the others ends.
    #[must_use]
    pub fn letter(mut self, id: impl Into<String>) -> Self {
        self.letters.insert(id.into());
        self
    }

    /// Those of the task of this name.
    #[must_use]
    pub fn task(mut self, name: impl Into<String>) -> Self {
        self.task = Some(name.into());
        self
    }

    /// Those with this reason, such as `Rejected`.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Those that have been dead for longer.
    #[must_use]
    pub fn older_than(mut self, age: Duration) -> Self {
        self.older_than = Some(age);
        self
    }

    fn fits(&self, letter: &DeadLetter, now: Timestamp) -> bool {
        let is = |wanted: &Option<String>, text: Option<&str>| {
            wanted.is_none() || wanted.as_deref() == text
        };
        let named = || {
            [
                Some(&letter.id),
                letter.task_id.as_ref(),
                Some(&letter.message_id),
            ]
            .into_iter()
            .flatten()
            .any(|id| self.ids.contains(id))
        };
        (self.letters.is_empty() || self.letters.contains(&letter.id))
            && (self.ids.is_empty() || named())
            && is(&self.task, letter.task.as_deref())
            && is(&self.reason, Some(&letter.reason))
            && self
                .older_than
                .is_none_or(|age| now.since(letter.dead_at) > age)
    }
}

/// What is changed of a message before it is sent back.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Edit {
    body: Option<String>,
    args: Option<Vec<Value>>,
    kwargs: Option<Map<String, Value>>,
    queue: Option<QueueName>,
}

impl Edit {
    /// Another body altogether: the way back for what can't be read.
    #[must_use]
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Other arguments by position.
    #[must_use]
    pub fn args(mut self, args: Vec<Value>) -> Self {
        self.args = Some(args);
        self
    }

    /// Other arguments by name.
    #[must_use]
    pub fn kwargs(mut self, kwargs: Map<String, Value>) -> Self {
        self.kwargs = Some(kwargs);
        self
    }

    /// Another queue than the one it came from.
    #[must_use]
    pub fn queue(mut self, queue: impl Into<QueueName>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    fn is_none(&self) -> bool {
        *self == Self::default()
    }

    fn apply(&self, letter: &DeadLetter) -> Result<Message> {
        let body = self.body.as_deref().unwrap_or(&letter.body);
        // A sender that named no id looks for its task under the MessageId it was told.
        let read = Message::decode(body, &letter.message_id, letter.sent_at);
        let mut message = read.map_err(|error| {
            let what = match self.body {
                Some(_) => format!("the new body is no message: {error}"),
                None => format!(
                    "dead letter {} can't be redriven as it is: {error}; give it another body",
                    letter.id
                ),
            };
            Error::new(ErrorKind::Invalid, what)
        })?;
        if let Some(args) = &self.args {
            message.args.clone_from(args);
        }
        if let Some(kwargs) = &self.kwargs {
            message.kwargs.clone_from(kwargs);
        }
        Ok(message)
    }
}

/// What became of a dead letter that was redriven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Redriven {
    /// The letter's id.
    pub id: String,
    /// The task's id, under which its result will be found.
    pub task_id: String,
    /// Whether its message was sent. It isn't if the task has ended well meanwhile: then the letter is
    /// out of date, and only removed.
    pub sent: bool,
    /// How the task stands: RETRY, PENDING without a record, or what it ended with.
    pub status: State,
    /// How often the task has been begun anew by hand.
    pub generation: u32,
}

/// The dead letters of an application; see the [module](self).
#[derive(Debug, Clone)]
pub struct DeadLetters {
    app: App,
}

impl App {
    /// The dead letters.
    pub fn dead_letters(&self) -> DeadLetters {
        DeadLetters { app: self.clone() }
    }
}

impl DeadLetters {
    /// The first that fit, `most` of them, in the order in which SQS gives them: about the oldest first.
    ///
    /// # Errors
    /// `Config` without a queue `dead-letters`; else as the broker says.
    pub async fn list(&self, selection: &Selection, most: usize) -> Result<Vec<DeadLetter>> {
        let mut scan = Scan::new(&self.app, selection)?;
        let mut letters = Vec::new();
        let ended = loop {
            if letters.len() >= most {
                break Ok(());
            }
            match scan.next().await {
                Ok(Some(held)) => {
                    letters.push(held.letter.clone());
                    scan.pass_over(held);
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        scan.end().await;
        ended.map(|()| letters)
    }

    /// One, by its own id, its task's, or that of the message that it was.
    ///
    /// # Errors
    /// As [`list`](DeadLetters::list).
    pub async fn find(&self, id: &str) -> Result<Option<DeadLetter>> {
        Ok(self.list(&Selection::all().id(id), 1).await?.pop())
    }

    /// Sends one back to work, due now and with all its retries before it, and removes it; none where there
    /// is no such letter. A task that has failed begins a new generation; one that has ended well is
    /// left alone. Doing it again is harmless, wherever it broke off.
    ///
    /// # Errors
    /// `Invalid`, if its body can't be read and the edit gives no other; `Bind`, if what is edited doesn't
    /// fit a task that the application knows; `Conflict`, if its task runs, was
    /// revoked, or has ended well and is to run with something edited; else as store and broker say. The
    /// letter then stays.
    pub async fn redrive(&self, id: &str, edit: &Edit) -> Result<Option<Redriven>> {
        let mut scan = Scan::of_one(&self.app, id)?;
        let redriven = match scan.next().await {
            Ok(Some(held)) => {
                let redriven = self.redrive_held(&held, edit).await;
                if redriven.is_err() {
                    scan.pass_over(held);
                }
                redriven.map(Some)
            }
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        scan.end().await;
        redriven
    }

    /// Redrives every one that fits, one after the other with a pause between, and tells of each what
    /// became of it. A task that comes back as a dead letter meanwhile isn't redriven twice. How many were
    /// met.
    ///
    /// # Errors
    /// As [`list`](DeadLetters::list). What one letter can't do doesn't stop the others.
    pub async fn redrive_all(
        &self,
        selection: &Selection,
        pause: Duration,
        mut each: impl FnMut(&DeadLetter, Result<Redriven>) + Send,
    ) -> Result<usize> {
        let mut scan = Scan::new(&self.app, selection)?;
        scan.at_once = within_their_time(pause);
        let (mut tasks, mut met) = (BTreeSet::new(), 0);
        let ended = loop {
            let held = match scan.next().await {
                Ok(Some(held)) => held,
                Ok(None) => break Ok(met),
                Err(error) => break Err(error),
            };
            let twice = match &held.letter.task_id {
                Some(task) => !tasks.insert(task.clone()),
                None => false,
            };
            if met > 0 && !twice {
                self.app.ports().clock.sleep(pause).await;
            }
            met += 1;
            let redriven = match twice {
                true => Err(just_redriven(&held.letter)),
                false => self.redrive_held(&held, &Edit::default()).await,
            };
            let stays = redriven.is_err();
            each(&held.letter, redriven);
            if stays {
                scan.pass_over(held);
            }
        };
        scan.end().await;
        ended
    }

    /// Removes one for good and tells what it was; none where there is no such letter. Its task's record
    /// stays as it is.
    ///
    /// # Errors
    /// As [`list`](DeadLetters::list).
    pub async fn discard(&self, id: &str) -> Result<Option<DeadLetter>> {
        let mut scan = Scan::of_one(&self.app, id)?;
        let discarded = match scan.next().await {
            Ok(Some(held)) => self.let_go(&held).await.map(|()| Some(held.letter)),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        scan.end().await;
        discarded
    }

    /// Removes every one that fits, and tells each. How many there were.
    ///
    /// # Errors
    /// As [`list`](DeadLetters::list).
    pub async fn discard_all(
        &self,
        selection: &Selection,
        mut each: impl FnMut(&DeadLetter, Result<()>) + Send,
    ) -> Result<usize> {
        let mut scan = Scan::new(&self.app, selection)?;
        let mut met = 0;
        let ended = loop {
            match scan.next().await {
                Ok(Some(held)) => {
                    met += 1;
                    each(&held.letter, self.let_go(&held).await);
                }
                Ok(None) => break Ok(met),
                Err(error) => break Err(error),
            }
        };
        scan.end().await;
        ended
    }

    /// The record first, then the message, the letter last: whatever breaks off, the letter is still there,
    /// and finds what was done.
    async fn redrive_held(&self, held: &Held, edit: &Edit) -> Result<Redriven> {
        let letter = &held.letter;
        let mut message = edit.apply(letter)?;
        if !edit.is_none()
            && let Some(task) = self.app.registered().find(&message.task)
        {
            task.check(message.args.clone(), message.kwargs.clone())?;
        }
        let queue = self.destination(letter, edit, &message)?;
        // What was due or too late once is neither in its new life.
        message.eta = None;
        message.expires = None;
        message.retries = 0;
        message.queue = None;
        // Too large shows before the record says that it will run.
        message.encode()?;
        let plan = self.begin_anew(&mut message, &queue, edit).await?;
        if plan.send {
            let now = self.app.now();
            let mut next: Outgoing = outgoing(&message, &queue, now)?;
            if letter.group.is_some() {
                next.group.clone_from(&letter.group);
            }
            let sent = self.app.ports().queue.send(&queue, vec![next]).await?;
            sent.into_iter()
                .next()
                .unwrap_or_else(|| Err(batches::unanswered()))?;
        }
        self.remove(held).await?;
        Ok(Redriven {
            id: letter.id.clone(),
            task_id: message.id,
            sent: plan.send,
            status: plan.status,
            generation: plan.generation,
        })
    }

    fn destination(
        &self,
        letter: &DeadLetter,
        edit: &Edit,
        message: &Message,
    ) -> Result<QueueName> {
        let config = self.app.config();
        if let Some(queue) = &edit.queue {
            known_queue(config, queue)?;
            return Ok(queue.clone());
        }
        let places = [message.queue.as_deref(), letter.queue.as_deref()];
        let mut places = places.into_iter().flatten().map(QueueName::new);
        let known = places.find(|queue| known_queue(config, queue).is_ok());
        Ok(known.unwrap_or_else(|| QueueName::new(QueueName::DEFAULT)))
    }

    /// Makes the record ready for the message, and the message fit the record.
    async fn begin_anew(
        &self,
        message: &mut Message,
        queue: &QueueName,
        edit: &Edit,
    ) -> Result<Plan> {
        // Each round but the last saw the record change under it.
        const ROUNDS: usize = 3;
        let store = &self.app.ports().store;
        let id = message.id.clone();
        let conflict = |what: &str| {
            let what = format!("task {id} {what}");
            Err(Error::new(ErrorKind::Conflict, what))
        };
        for _ in 0..ROUNDS {
            let now = self.app.now();
            let item = store.get(&Key::Result(message.id.clone())).await?;
            let Some(item) = item.filter(|item| !is_expired(item, now)) else {
                return Ok(Plan::send(State::Pending, message.generation));
            };
            let generation = count(&item, field::GENERATION);
            let attempt = count(&item, field::ATTEMPT);
            match status(&item) {
                Some(State::Failure) => {
                    let next = attempt.max(message.attempt).saturating_add(1);
                    let write = new_generation(message, &item, next, queue, edit, now);
                    if let Outcome::Applied(_) = store.write(write).await? {
                        message.attempt = next;
                        message.generation = generation + 1;
                        return Ok(Plan::send(State::Retry, generation + 1));
                    }
                }
                // By its own backoff, or in another's hands: what it runs with isn't this letter's to say.
                Some(State::Retry | State::Started)
                    if !edit.is_none() && generation <= message.generation =>
                {
                    return conflict("isn't over yet, so it can't be edited: look again later");
                }
                // Recorded, by an earlier redrive say, and maybe never sent.
                Some(State::Retry) => {
                    message.generation = generation;
                    if attempt > message.attempt {
                        message.attempt = attempt;
                        message.retries = count(&item, field::RETRIES);
                        message.eta = instant(&item, field::DUE_AT).filter(|due| *due > now);
                    }
                    return Ok(Plan::send(State::Retry, generation));
                }
                Some(State::Started) => {
                    let until = instant(&item, field::LEASE_UNTIL);
                    if until.is_some_and(|until| until >= now) {
                        return conflict("is running: look again when it is done");
                    }
                    message.attempt = message.attempt.max(attempt);
                    message.generation = generation;
                    return Ok(Plan::send(State::Started, generation));
                }
                Some(State::Revoked) => {
                    return conflict("was revoked: discard its dead letter, or send it anew");
                }
                Some(state @ (State::Success | State::Ignored)) if !edit.is_none() => {
                    return conflict(&format!(
                        "is {state}: discard its dead letter, or send the edited task anew"
                    ));
                }
                Some(state @ (State::Success | State::Ignored)) => {
                    return Ok(Plan {
                        send: false,
                        status: state,
                        generation,
                    });
                }
                Some(State::Pending) | None => {
                    return conflict("has a record that can't be read: delete it by hand");
                }
            }
        }
        conflict("changes while it is redriven: try again")
    }

    /// Removes a letter whose task doesn't need it: one whose redrive was broken off between its record and
    /// its message has nothing else to bring it back.
    async fn let_go(&self, held: &Held) -> Result<()> {
        let letter = &held.letter;
        if let Ok(message) = Message::decode(&letter.body, &letter.message_id, letter.sent_at) {
            let key = Key::Result(message.id.clone());
            let item = self.app.ports().store.get(&key).await?;
            let broken_off = item.is_some_and(|item| {
                let later = count(&item, field::GENERATION) > message.generation;
                later && status(&item) == Some(State::Retry) && !is_expired(&item, self.app.now())
            });
            if broken_off {
                let what = format!(
                    "task {} is being redriven, and this letter may be all that brings it back: \
                     redrive it again, or discard it when the task is over",
                    message.id
                );
                return Err(Error::new(ErrorKind::Conflict, what));
            }
        }
        self.remove(held).await
    }

    async fn remove(&self, held: &Held) -> Result<()> {
        let receipts = vec![held.receipt.clone()];
        let queue = &self.app.ports().queue;
        let deleted = queue.delete_many(&held.queue, receipts).await?;
        deleted.into_iter().collect()
    }
}

/// How many may be received together, if the last of them is to be worked on while it is still hidden.
fn within_their_time(pause: Duration) -> usize {
    const HIDDEN: Duration = Duration::from_secs(30);
    let fitting = HIDDEN.as_millis() / pause.as_millis().max(1);
    usize::try_from(fitting).map_or(BATCH_ENTRIES, |fitting| fitting.clamp(1, BATCH_ENTRIES))
}

/// It came back meanwhile, or there was more than one.
fn just_redriven(letter: &DeadLetter) -> Error {
    let task = letter.task_id.as_deref().unwrap_or_default();
    let what =
        format!("another dead letter of task {task} was redriven just now: look again later");
    Error::new(ErrorKind::Conflict, what)
}

/// What is to be done with the message.
struct Plan {
    send: bool,
    status: State,
    generation: u32,
}

impl Plan {
    fn send(status: State, generation: u32) -> Self {
        Self {
            send: true,
            status,
            generation,
        }
    }
}

/// The write that lets a failed task run again: only as long as it is the failure that was seen.
fn new_generation(
    message: &Message,
    item: &Item,
    attempt: u32,
    queue: &QueueName,
    edit: &Edit,
    now: Timestamp,
) -> Write {
    let generation = count(item, field::GENERATION).saturating_add(1);
    let mut changes = vec![
        Change::Set(field::STATUS.into(), State::Retry.into()),
        Change::Set(field::ATTEMPT.into(), attempt.into()),
        Change::Set(field::RETRIES.into(), 0_u32.into()),
        Change::Set(field::GENERATION.into(), generation.into()),
        Change::Set(field::TASK.into(), message.task.as_str().into()),
        Change::Set(field::QUEUE.into(), queue.as_str().into()),
        Change::Set(field::DUE_AT.into(), now.into()),
        Change::Set(field::TTL.into(), (now + GUARD_FOR).as_secs().into()),
        Change::Remove(field::FINISHED_AT.into()),
        Change::Remove(field::MESSAGE.into()),
        // Its deaths were those of another life.
        Change::Remove(field::CRASHES.into()),
    ];
    if !edit.is_none() {
        // What its steps have left, they left for other arguments.
        changes.push(Change::Remove(field::CHECKPOINTS.into()));
    }
    Write {
        key: Key::Result(message.id.clone()),
        op: Op::Update(changes),
        when: When::All(vec![
            When::Eq(field::STATUS.into(), State::Failure.into()),
            When::Eq(field::ATTEMPT.into(), count(item, field::ATTEMPT).into()),
        ]),
    }
}

/// A dead letter that is hidden from others.
struct Held {
    letter: DeadLetter,
    queue: QueueName,
    receipt: Receipt,
}

/// A walk through the dead letters. What it meets stays hidden until its end, or it would meet the same
/// again and again.
struct Scan<'a> {
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
    at_once: usize,
}

impl<'a> Scan<'a> {
    fn new(app: &'a App, selection: &Selection) -> Result<Self> {
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

    fn of_one(app: &'a App, id: &str) -> Result<Self> {
        Self::new(app, &Selection::all().id(id))
    }

    /// The next that fits.
    async fn next(&mut self) -> Result<Option<Held>> {
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

    fn pass_over(&mut self, held: Held) {
        self.passed_over.push((held.queue, held.receipt));
    }

    /// Makes visible again what is still there.
    async fn end(self) {
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
