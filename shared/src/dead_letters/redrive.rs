//! A dead letter sent back to work, as it is or edited: the task begins a new generation.
//!
//! The record first, then the message, the letter last: whatever breaks off, the letter is still there, and
//! a second try finds what was done.

use serde::Serialize;
use serde_json::{Map, Value};

use super::scan::Held;
use super::{DeadLetter, DeadLetters};
use crate::app::GUARD_FOR;
use crate::batches;
use crate::engine::{Branch, Rule, reached};
use crate::error::{Error, ErrorKind, Result};
use crate::launch::{known_queue, outgoing};
use crate::message::Message;
use crate::ports::{Change, Item, Key, Op, Outcome, Outgoing, QueueName, When, Write};
use crate::record::{State, count, field, instant, is_expired, status};
use crate::time::Timestamp;

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

impl DeadLetters {
    /// Sends one back to work, and removes it.
    pub(super) async fn redrive_held(&self, held: &Held, edit: &Edit) -> Result<Redriven> {
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
        // Sent anew, after whatever was revoked by its name until now.
        message.sent_at = None;
        message.retries = 0;
        message.queue = None;
        // Given back with its end: the worker takes it anew.
        message.unique_held = None;
        // Too large shows before the record says that it will run.
        message.encode()?;
        let plan = self.begin_anew(&mut message, &queue, edit).await?;
        let last = self.app.keeps(Rule::RemoveLetterLast);
        if !last {
            self.remove(held).await?;
        }
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
        if let Some(write) = plan.unrecorded {
            self.app.ports().store.write(write).await?;
        }
        if last {
            self.remove(held).await?;
        }
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
                    reached(Branch::Redriven);
                    let plan = Plan::send(State::Retry, generation + 1);
                    let unrecorded = match self.app.keeps(Rule::RecordGenerationFirst) {
                        true => match store.write(write).await? {
                            Outcome::Applied(_) => None,
                            Outcome::Refused(_) => continue,
                        },
                        false => Some(write),
                    };
                    message.attempt = next;
                    message.generation = generation + 1;
                    return Ok(Plan { unrecorded, ..plan });
                }
                // By its own backoff, or in another's hands: what it runs with isn't this letter's to say.
                Some(State::Retry | State::Started)
                    if !edit.is_none() && generation <= message.generation =>
                {
                    return conflict("isn't over yet, so it can't be edited: look again later");
                }
                // Recorded, by an earlier redrive say, and maybe never sent.
                Some(State::Retry) => {
                    reached(Branch::RedrivenAgain);
                    message.generation = generation;
                    if attempt > message.attempt {
                        message.attempt = attempt;
                        message.retries = count(&item, field::RETRIES);
                        // Over or not: the worker's clock says so, which may be behind this one.
                        message.eta = instant(&item, field::DUE_AT);
                    }
                    return Ok(Plan::send(State::Retry, generation));
                }
                Some(State::Started) => {
                    let until = instant(&item, field::LEASE_UNTIL);
                    if until.is_some_and(|until| until >= now) {
                        return conflict("is running: look again when it is done");
                    }
                    reached(Branch::RedrivenAbandoned);
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
                    reached(Branch::LetterOutOfDate);
                    return Ok(Plan {
                        send: false,
                        status: state,
                        generation,
                        unrecorded: None,
                    });
                }
                Some(State::Pending) | None => {
                    return conflict("has a record that can't be read: delete it by hand");
                }
            }
        }
        conflict("changes while it is redriven: try again")
    }
}

/// What is to be done with the message.
struct Plan {
    send: bool,
    status: State,
    generation: u32,
    /// A record that is written after the message: never, but in the simulation.
    unrecorded: Option<Write>,
}

impl Plan {
    fn send(status: State, generation: u32) -> Self {
        Self {
            send: true,
            status,
            generation,
            unrecorded: None,
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
        Change::Remove(field::MESSAGE_ID.into()),
        Change::Remove(field::PARKED.into()),
        // Its deaths were those of another life.
        Change::Remove(field::CRASHES.into()),
        Change::Remove(field::REVOKE_REQUESTED.into()),
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
