//! From a composition to the one message that starts it, with its queue and its delay.
//!
//! Senders and workers go through here: what a worker launches as the next step of a chain or as a member of a
//! group is checked and filled in as what a program sends.

use std::time::Duration;

use serde_json::Value;

use crate::app::App;
use crate::canvas::{Canvas, Input};
use crate::config::Config;
use crate::engine::Rule;
use crate::error::{Error, ErrorKind, Result};
use crate::id;
use crate::limits::{self, MESSAGE_BYTES, whole_seconds};
use crate::message::{Member, Message, TEXT};
use crate::options;
use crate::ports::{MAX_DELAY, Outgoing, QueueName};
use crate::signature::Call;
use crate::task::nearest;
use crate::time::Timestamp;
use crate::unique::{self, Taking, Unique};

/// What follows what follows …: the guard against endless chains.
pub(crate) const MAX_HOPS: u32 = 1000;

/// Something to be sent.
pub(crate) struct Launch {
    pub(crate) canvas: Canvas,
    /// The id of its result, where nobody has chosen one; fresh without.
    pub(crate) id: Option<String>,
    pub(crate) input: Input,
    /// The steps that follow it, as JSON.
    pub(crate) rest: Vec<Value>,
    pub(crate) member: Option<Member>,
    /// Whether it follows a group, whose copies and looks may send it again for two weeks.
    pub(crate) guarded: bool,
    /// Whether its sender takes the key of a unique task; otherwise the worker does that meets its message.
    pub(crate) takes_key: bool,
    pub(crate) origin: Origin,
}

/// The tree that a message belongs to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin {
    pub(crate) root_id: Option<String>,
    pub(crate) parent_id: Option<String>,
    pub(crate) hops: u32,
    pub(crate) trace: Option<String>,
}

impl Origin {
    /// Of what follows from this message.
    pub(crate) fn after(message: &Message) -> Self {
        Self {
            root_id: Some(message.root().to_owned()),
            parent_id: Some(message.id.clone()),
            hops: message.hops.saturating_add(1),
            trace: message.trace.clone(),
        }
    }
}

/// A message on its way: the id of the result, the queue, and what is sent.
pub(crate) struct Ready {
    pub(crate) id: String,
    /// The ids of the steps before.
    pub(crate) path: Vec<String>,
    pub(crate) queue: QueueName,
    pub(crate) outgoing: Outgoing,
    /// The members of a group that one message has no room for, to be sent after it.
    pub(crate) more: Vec<Outgoing>,
    /// What is to be taken before it is sent.
    pub(crate) key: Option<Taking>,
    /// What is told of it, if anybody wants to know.
    pub(crate) told: Option<Box<Message>>,
}

impl Launch {
    /// A whole composition.
    pub(crate) fn of(canvas: Canvas, origin: Origin) -> Self {
        Self {
            canvas,
            id: None,
            input: Input::None,
            rest: Vec::new(),
            member: None,
            guarded: false,
            takes_key: false,
            origin,
        }
    }

    /// The same, by a program that can be told of another task.
    pub(crate) fn taking_its_key(mut self) -> Self {
        self.takes_key = true;
        self
    }
}

impl App {
    /// The message that starts it.
    ///
    /// # Errors
    /// `Encode` or `TooLarge` for arguments that can't travel, `Invalid` for options that contradict each
    /// other and for a chain without end, `Config` for a queue that isn't configured; and a middleware's refusal.
    pub(crate) fn launch(&self, launch: Launch) -> Result<Ready> {
        self.prepare(launch, true)
    }

    /// The same, of what isn't going to be sent: middlewares hear nothing of it.
    ///
    /// # Errors
    /// As [`launch`](App::launch), but for their refusals.
    pub(crate) fn plan(&self, launch: Launch) -> Result<Ready> {
        self.prepare(launch, false)
    }

    fn prepare(&self, launch: Launch, through_middleware: bool) -> Result<Ready> {
        let Launch {
            mut canvas,
            id,
            input,
            rest,
            member,
            guarded,
            takes_key,
            origin,
        } = launch;
        let ports = self.ports();
        let now = ports.clock.now();
        self.settle(&mut canvas)?;
        self.check(&mut canvas)?;
        let id = match canvas.id().cloned().or(id) {
            Some(id) if !id::is_valid(&id) => {
                let what = format!("a task id is {}", id::RULE);
                return Err(Error::new(ErrorKind::Invalid, what));
            }
            Some(id) => id,
            None => id::fresh(&*ports.clock, &*ports.entropy),
        };
        canvas.identify(&id);
        let path = canvas.path();
        let first_queue = canvas
            .first_queue()
            .filter(|queue| !queue.is_fifo())
            .cloned();
        let immutable = canvas.is_immutable();
        let key = match &canvas {
            Canvas::Task(call) if takes_key => unique::of_call(call, self.registered()),
            _ => None,
        };
        let mut start = canvas.start(now)?;
        let message = &mut start.message;
        if !immutable {
            match input {
                Input::None => {}
                Input::Value(value) => message.args.insert(0, value),
                Input::ResultsOf(group) => message.results_of = Some(group),
            }
        }
        message.chain.extend(rest);
        message.member = member;
        // Whoever finds its key taken may send it once more.
        message.guarded = guarded || key.is_some();
        if let Some(key) = &key {
            message.unique_held = Some(key.text.clone());
            message.unique_for = key.period;
        }
        let due = message.eta;
        message.root_id = message.root_id.take().or(origin.root_id);
        message.parent_id = message.parent_id.take().or(origin.parent_id);
        message.trace = message.trace.take().or(origin.trace);
        message.hops = message.hops.max(origin.hops).max(self.hops());
        if message.hops > MAX_HOPS && self.keeps(Rule::CapHops) {
            let what = format!(
                "`{}` is {} sends away from its first task; {MAX_HOPS} are allowed: \
                                is it sending itself?",
                message.task, message.hops
            );
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        let queue = start
            .queue
            .or(first_queue)
            .unwrap_or_else(|| QueueName::new(QueueName::DEFAULT));
        if through_middleware {
            self.through_middleware(&mut start.message, &queue)?;
        }
        let hears = !self.hooks().is_empty();
        let told = hears.then(|| Box::new(start.message.clone()));
        let mut sent = Vec::new();
        for message in start.message.split(MESSAGE_BYTES)? {
            let mut outgoing = outgoing(&message, &queue, now)?;
            if outgoing.size() > MESSAGE_BYTES {
                return Err(limits::too_large(&message.task, outgoing.size()));
            }
            if start.group.is_some() {
                outgoing.group.clone_from(&start.group);
            }
            sent.push(outgoing);
        }
        let mut sent = sent.into_iter();
        let Some(outgoing) = sent.next() else {
            return Err(Error::new(ErrorKind::Encode, "there is nothing to send"));
        };
        let key = key.map(|key| Taking::by_sender(key, &id, &queue, &outgoing, due, now));
        Ok(Ready {
            key: key.transpose()?,
            told,
            id,
            path,
            queue,
            outgoing,
            more: sent.collect(),
        })
    }

    /// Gives each of its calls what it doesn't say itself: from its route, and then from its task.
    ///
    /// # Errors
    /// `Config`, for a route that leads nowhere.
    pub(crate) fn settle(&self, canvas: &mut Canvas) -> Result<()> {
        let mut wrong = None;
        canvas.every_call(&mut |call| {
            if wrong.is_none() {
                let routed = self.routing().route(call, self.registered(), self.config());
                wrong = routed.err();
            }
        });
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        canvas.settle(self.registered());
        Ok(())
    }

    /// Whether each of its calls can be sent.
    pub(crate) fn check(&self, canvas: &mut Canvas) -> Result<()> {
        let mut wrong = None;
        canvas.every_call(&mut |call| {
            if wrong.is_none() {
                wrong = self.check_call(call).err();
            }
        });
        wrong.map_or(Ok(()), Err)
    }

    fn check_call(&self, call: &Call) -> Result<()> {
        let hard = call
            .time_limit
            .or(call.options.and_then(|options| options.time_limit));
        let own = call.options.and_then(|options| options.soft_time_limit);
        let soft = call.soft_time_limit.or(own);
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
        if call
            .unique_for
            .is_some_and(|period| period < Duration::from_secs(1))
        {
            let what = format!("`{}` can't be unique for less than a second", call.task);
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        if let Some(Unique::Key(key)) = &call.unique
            && !(1..=TEXT).contains(&key.len())
        {
            let what = format!("a unique key of `{}` has 1 to {TEXT} bytes", call.task);
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        match &call.queue {
            Some(queue) => known_queue(self.config(), queue),
            None => Ok(()),
        }
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
        // What is due later than SQS can delay it goes to a worker at once, to be parked.
        let delay = whole_seconds(eta.since(now));
        outgoing.delay = if delay <= MAX_DELAY {
            delay
        } else {
            Duration::ZERO
        };
    }
    Ok(outgoing)
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
