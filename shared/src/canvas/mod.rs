//! Compositions as plain data: chains, groups and chords of calls, nested to any depth.
//!
//! Senders build a [`Canvas`], typed or from JSON. It travels as JSON inside messages ([`wire`]), and
//! whoever launches a step reads it again. Two laws keep it small:
//!
//! - what follows a group is the group's *body*: a group followed by a step is a chord, as in Celery. So
//!   of a chain only the last step can be a group, and a step's message carries nothing but what follows it;
//! - ids are derived from the id of the whole: launching the same step twice sends the same messages.

mod group;
mod map;
mod typed;
mod wire;

use std::collections::{BTreeSet, VecDeque};

use serde_json::Value;

use crate::error::Result;
use crate::id;
use crate::message::{FanOut, Message};
use crate::ports::QueueName;
use crate::signature::{Call, Expires};
use crate::task::Tasks;
use crate::time::Timestamp;

pub use group::{
    CollectFailures, FailFast, Members, Settled, chain, chord, collect_failures, fail_fast, group,
};
pub(crate) use map::{MAP, STARMAP};
pub use map::{chunks, map, starmap};
pub use typed::{Immutable, Step};
pub(crate) use wire::{read, read_map, word, write, write_all};

/// The name that a group's record and message bear in place of a task's.
pub(crate) const GROUP: &str = "sedano.group";

/// A composition of calls.
#[derive(Debug, Clone)]
pub(crate) enum Canvas {
    /// One call.
    Task(Box<Call>),
    /// One after the other, each with the result of the one before. Only the last can be a group.
    Chain(VecDeque<Canvas>),
    /// Side by side; with a body, a chord.
    Group(Box<Group>),
}

/// Members that run side by side, and what follows when all are done.
#[derive(Debug, Clone, Default)]
pub(crate) struct Group {
    /// The group's own id; a chord's result is its body's.
    pub(crate) id: Option<String>,
    pub(crate) members: Vec<Canvas>,
    /// What runs with the list of the members' results.
    pub(crate) body: Option<Canvas>,
    pub(crate) link: Vec<Canvas>,
    pub(crate) link_error: Vec<Canvas>,
    pub(crate) fails: Fails,
}

/// What the failure of a member does to its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Fails {
    /// The group fails when all its members are done: Celery's way.
    #[default]
    Wait,
    /// The group fails at once; the other members still run, and nobody waits for them.
    Fast,
    /// The group doesn't fail: in the list of results stands `{"ok": …}` or `{"error": …}` for each member.
    Collect,
    /// The group stands for a task that another has replaced: its one member's outcome is its own.
    Stands,
}

impl Fails {
    pub(crate) const ALL: [(Fails, &'static str); 4] = [
        (Fails::Wait, "wait"),
        (Fails::Fast, "fast"),
        (Fails::Collect, "collect"),
        (Fails::Stands, "stands"),
    ];
}

impl From<Call> for Canvas {
    fn from(call: Call) -> Self {
        Canvas::Task(Box::new(call))
    }
}

impl Canvas {
    /// This, and then `next` with its result.
    pub(crate) fn then(self, next: Canvas) -> Self {
        match self {
            Canvas::Group(mut group) => {
                group.body = Some(match group.body.take() {
                    Some(body) => body.then(next),
                    None => next,
                });
                Canvas::Group(group)
            }
            Canvas::Task(_) => Canvas::Chain(VecDeque::from([self])).then(next),
            Canvas::Chain(mut steps) => {
                match (steps.pop_back(), next) {
                    (Some(last @ Canvas::Group(_)), next) => steps.push_back(last.then(next)),
                    (last, Canvas::Chain(more)) => steps.extend(last.into_iter().chain(more)),
                    (last, next) => steps.extend(last.into_iter().chain([next])),
                }
                Canvas::Chain(steps)
            }
        }
    }

    /// Each call in it: options that are said of the whole are said of each.
    pub(crate) fn each_call(&mut self, change: &mut dyn FnMut(&mut Call)) {
        match self {
            Canvas::Task(call) => change(call),
            Canvas::Chain(steps) => steps.iter_mut().for_each(|step| step.each_call(change)),
            Canvas::Group(group) => {
                let members = group.members.iter_mut().chain(&mut group.body);
                members.for_each(|member| member.each_call(change));
            }
        }
    }

    /// Each call, callbacks and errbacks included.
    pub(crate) fn every_call(&mut self, change: &mut dyn FnMut(&mut Call)) {
        match self {
            Canvas::Task(call) => {
                change(call);
                let more = call.link.iter_mut().chain(&mut call.link_error);
                more.for_each(|canvas| canvas.every_call(change));
            }
            Canvas::Chain(steps) => steps.iter_mut().for_each(|step| step.every_call(change)),
            Canvas::Group(group) => {
                let parts = group.members.iter_mut().chain(&mut group.body);
                let parts = parts.chain(&mut group.link).chain(&mut group.link_error);
                parts.for_each(|part| part.every_call(change));
            }
        }
    }

    /// The calls that start when it is sent.
    pub(crate) fn first_calls(&mut self, change: &mut dyn FnMut(&mut Call)) {
        match self {
            Canvas::Task(call) => change(call),
            Canvas::Chain(steps) => {
                if let Some(first) = steps.front_mut() {
                    first.first_calls(change);
                }
            }
            Canvas::Group(group) => {
                let members = group.members.iter_mut();
                members.for_each(|member| member.first_calls(change));
            }
        }
    }

    /// Sent with the result when it has succeeded.
    pub(crate) fn link(&mut self, callback: Canvas) {
        match self {
            Canvas::Task(call) => call.link.push(callback),
            Canvas::Chain(steps) => {
                if let Some(last) = steps.back_mut() {
                    last.link(callback);
                }
            }
            Canvas::Group(group) => match &mut group.body {
                Some(body) => body.link(callback),
                None => group.link.push(callback),
            },
        }
    }

    /// Sent with the failure when a step of it has failed: of a chain any one, of a chord the header or the
    /// body, of a group once.
    pub(crate) fn link_error(&mut self, errback: &Canvas) {
        match self {
            Canvas::Task(call) => call.link_error.push(errback.clone()),
            Canvas::Chain(steps) => steps.iter_mut().for_each(|step| step.link_error(errback)),
            Canvas::Group(group) => match &mut group.body {
                // The body's errbacks are the header's too.
                Some(body) => body.link_error(errback),
                None => group.link_error.push(errback.clone()),
            },
        }
    }

    /// What is to be sent if it fails before it has started.
    pub(crate) fn errbacks(&self) -> Vec<&Canvas> {
        match self {
            Canvas::Task(call) => call.link_error.iter().collect(),
            Canvas::Chain(steps) => steps.front().map(Canvas::errbacks).unwrap_or_default(),
            Canvas::Group(group) => {
                let body = group.body.as_ref().map(Canvas::errbacks);
                let own = group.link_error.iter();
                own.chain(body.unwrap_or_default()).collect()
            }
        }
    }

    /// Chooses the id that the result of the whole is found under.
    pub(crate) fn set_id(&mut self, id: String) {
        match self {
            Canvas::Task(call) => call.id = Some(id),
            Canvas::Chain(steps) => {
                if let Some(last) = steps.back_mut() {
                    last.set_id(id);
                }
            }
            Canvas::Group(group) => match &mut group.body {
                Some(body) => body.set_id(id),
                None => group.id = Some(id),
            },
        }
    }

    /// The name of its first task, or [`GROUP`].
    pub(crate) fn name(&self) -> &str {
        match self {
            Canvas::Task(call) => &call.task,
            Canvas::Chain(steps) => steps.front().map_or(GROUP, Canvas::name),
            Canvas::Group(_) => GROUP,
        }
    }

    /// The id of the message that starts it.
    pub(crate) fn first_id(&self) -> Option<&String> {
        match self {
            Canvas::Task(call) => call.id.as_ref(),
            Canvas::Chain(steps) => steps.front().and_then(Canvas::first_id),
            Canvas::Group(group) => group.id.as_ref(),
        }
    }

    /// The ids of the steps that lead to its result.
    pub(crate) fn path(&self) -> Vec<String> {
        match self {
            Canvas::Task(_) => Vec::new(),
            Canvas::Chain(steps) => {
                let last = steps.len().saturating_sub(1);
                let before = steps.iter().take(last).filter_map(Canvas::id).cloned();
                let within = steps.back().map(Canvas::path).unwrap_or_default();
                before.chain(within).collect()
            }
            Canvas::Group(group) => match &group.body {
                Some(body) => group.id.iter().cloned().chain(body.path()).collect(),
                None => Vec::new(),
            },
        }
    }

    /// The queue of the first call, if it was chosen.
    pub(crate) fn first_queue(&self) -> Option<&QueueName> {
        match self {
            Canvas::Task(call) => call.queue.as_ref(),
            Canvas::Chain(steps) => steps.front().and_then(Canvas::first_queue),
            Canvas::Group(group) => group.members.first().and_then(Canvas::first_queue),
        }
    }

    /// The id that the result of the whole is found under, if it was chosen.
    pub(crate) fn id(&self) -> Option<&String> {
        match self {
            Canvas::Task(call) => call.id.as_ref(),
            Canvas::Chain(steps) => steps.back().and_then(Canvas::id),
            Canvas::Group(group) => match &group.body {
                Some(body) => body.id(),
                None => group.id.as_ref(),
            },
        }
    }

    /// Gives ids to what has none: the whole is found under `id`, the rest under ids derived from it. Members
    /// of groups get theirs when they are sent, from the group's and their place.
    pub(crate) fn identify(&mut self, id: &str) {
        self.identify_from(id, id);
    }

    /// `base` is different for each part of the whole, so that no two of their steps are the same.
    fn identify_from(&mut self, id: &str, base: &str) {
        let part = |name: &str| id::derived(&[base, name]);
        match self {
            Canvas::Task(call) => {
                call.id.get_or_insert_with(|| id.to_owned());
            }
            Canvas::Chain(steps) => {
                if let Some(last) = steps.back_mut() {
                    last.identify_from(id, &part("last"));
                }
                let before = steps.len().saturating_sub(1);
                for (place, step) in steps.iter_mut().take(before).enumerate() {
                    step.identify(&id::derived(&[base, "step", &place.to_string()]));
                }
            }
            Canvas::Group(group) => match &mut group.body {
                None => {
                    group.id.get_or_insert_with(|| id.to_owned());
                }
                Some(body) => {
                    body.identify_from(id, &part("body"));
                    group.id.get_or_insert_with(|| part("header"));
                }
            },
        }
    }

    /// The ids of everything that ends with a state of its own if this never runs: steps, groups, bodies.
    pub(crate) fn ids(&self) -> Vec<(String, String)> {
        let mut ids = Vec::new();
        self.collect_ids(&mut ids);
        // Whoever chose one id for two steps is told of the second by its being the first.
        let mut seen = BTreeSet::new();
        ids.retain(|(id, _)| seen.insert(id.clone()));
        ids
    }

    fn collect_ids(&self, ids: &mut Vec<(String, String)>) {
        match self {
            Canvas::Task(call) => ids.extend(call.id.clone().map(|id| (id, call.task.clone()))),
            Canvas::Chain(steps) => steps.iter().for_each(|step| step.collect_ids(ids)),
            Canvas::Group(group) => {
                ids.extend(group.id.clone().map(|id| (id, GROUP.to_owned())));
                if let Some(body) = &group.body {
                    body.collect_ids(ids);
                }
            }
        }
    }

    /// What comes with a queue was routed by who wrote it, or put there on purpose: it isn't routed again.
    pub(crate) fn keep_queues(&mut self) {
        self.every_call(&mut |call| call.routed = call.queue.is_some());
    }

    /// Writes into each call what its task says of itself, where the sender knows it: the worker that launches
    /// a later step need not.
    pub(crate) fn settle(&mut self, tasks: &Tasks) {
        self.every_call(&mut |call| {
            let options = call.options.take();
            let known = || tasks.find(&call.task).map(|def| def.options);
            let Some(options) = options.or_else(known) else {
                return;
            };
            call.queue
                .get_or_insert_with(|| QueueName::new(options.queue));
            call.priority = call.priority.or(options.priority);
            call.expires = call.expires.or_else(|| options.expires.map(Expires::After));
            call.options = Some(options);
        });
    }

    /// The one message that starts it now, with the queue and the message group that were chosen. Every step
    /// has an id by now.
    ///
    /// # Errors
    /// `Encode`, for arguments that can't be written as JSON.
    pub(crate) fn start(self, now: Timestamp) -> Result<Start> {
        match self {
            Canvas::Task(call) => call.start(now),
            Canvas::Chain(mut steps) => {
                let first = steps.pop_front();
                let mut start = match first {
                    Some(first) => first.start(now)?,
                    // No builder makes one, and none is read.
                    None => return Err(wire::empty("chain")),
                };
                start.message.chain = write_all(steps)?;
                Ok(start)
            }
            Canvas::Group(group) => {
                let id = group.id.unwrap_or_default();
                let mut message = Message::new(id, GROUP);
                message.link = write_all(group.link)?;
                message.link_error = write_all(group.link_error)?;
                message.fan_out = Some(Box::new(FanOut {
                    members: write_all(group.members)?,
                    body: group.body.map(write).transpose()?,
                    fails: group.fails,
                    part: None,
                    check: None,
                }));
                Ok(Start {
                    message,
                    queue: None,
                    group: None,
                })
            }
        }
    }
}

/// A first message, and where it goes.
pub(crate) struct Start {
    pub(crate) message: Message,
    /// The queue that was asked for.
    pub(crate) queue: Option<QueueName>,
    /// SQS's message group.
    pub(crate) group: Option<String>,
}

impl Call {
    /// The call's message.
    fn start(mut self, now: Timestamp) -> Result<Start> {
        let (args, kwargs) = self.take_arguments()?;
        let mut message = Message::new(self.id.unwrap_or_default(), self.task);
        message.args = args;
        message.kwargs = kwargs;
        // With both, countdown wins, as in Celery.
        message.eta = self.countdown.map(|delay| now + delay).or(self.eta);
        message.expires = self.expires.map(|expires| match expires {
            Expires::At(at) => at,
            Expires::After(after) => now + after,
        });
        message.priority = self.priority;
        message.time_limit = self.time_limit;
        message.soft_time_limit = self.soft_time_limit;
        message.ignore_result = self.ignore_result;
        message.unique = self.unique;
        message.unique_for = self.unique_for;
        message.headers = self.headers;
        message.root_id = self.root_id;
        message.parent_id = self.parent_id;
        message.hops = self.hops;
        message.trace = self.trace;
        message.link = write_all(self.link)?;
        message.link_error = write_all(self.link_error)?;
        message.extra = self.extra;
        Ok(Start {
            message,
            queue: self.queue,
            group: self.message_group,
        })
    }
}

/// What a launched step is given before its own arguments.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    /// Nothing.
    None,
    /// This value.
    Value(Value),
    /// The list of the results of the group with this id, which the worker reads.
    ResultsOf(String),
}

impl Canvas {
    /// Puts a value in front of the arguments, unless the step is immutable. A group hands it to its members.
    pub(crate) fn is_immutable(&self) -> bool {
        match self {
            Canvas::Task(call) => call.immutable,
            Canvas::Chain(steps) => steps.front().is_some_and(Canvas::is_immutable),
            Canvas::Group(_) => false,
        }
    }
}
