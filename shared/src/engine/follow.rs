//! What follows from a final state: the next step of a chain, callbacks and errbacks, a group's count.
//!
//! The message is the outbox: it is acknowledged when all of this is done, and if it comes again it is done
//! again. Everything sent has a derived id, everything counted is a set, so twice is as good as once.

use serde_json::{Value, json};

use crate::canvas::{self, Canvas, Input};
use crate::error::{Error, ErrorKind, Result};
use crate::failure::Failure;
use crate::group::added_id;
use crate::id;
use crate::launch::{Launch, Origin};
use crate::message::{Member, Message};
use crate::ports::{Item, Key, Op, When, Write};
use crate::record::{State, failure, field, status};

use super::Batch;
use super::coalesce::all;
use super::standing::kept_for;

/// How a task or a group ended.
#[derive(Debug, Clone)]
pub(super) enum Ending {
    /// With a result.
    Success(Output),
    /// With a result, and with a group that it adds to the one it is a member of.
    Grown(Output, Value),
    /// For good, with its reason.
    Failure(Failure),
    /// With what came before it, which has failed: its own message wasn't sent, but by a redrive since.
    Unsent(Failure),
    /// Before it began, expired or revoked; or by its own hand, for it was revoked while it ran.
    Revoked(Failure),
    /// With no outcome to be kept.
    Ignored,
}

/// A member that is to be counted, and whether it failed.
pub(super) type Up = Option<(Member, bool)>;

/// A result, as it is at hand.
#[derive(Debug, Clone)]
pub(super) enum Output {
    /// JSON text, as the record has it.
    Text(String),
    Value(Value),
    /// The list of the results of the group with this id, too long to be carried.
    ResultsOf(String),
}

impl Ending {
    /// What a record says.
    pub(super) fn of(id: &str, item: &Item) -> Option<Self> {
        let error = || item.get(field::ERROR).and_then(failure);
        match status(item)? {
            State::Success => {
                let text = item.get(field::RESULT).and_then(|text| text.as_text());
                let output = match text {
                    Some(text) => Output::Text(text.to_owned()),
                    None if item.contains_key(field::SIZE) => Output::ResultsOf(id.to_owned()),
                    None => Output::Value(Value::Null),
                };
                let added = item.get(field::ADDED).and_then(|text| text.as_text());
                // What can't be read any more is no group, and fails as such where it is sent.
                let added = added.map(|text| serde_json::from_str(text).unwrap_or_default());
                Some(match added {
                    Some(added) => Ending::Grown(output, added),
                    None => Ending::Success(output),
                })
            }
            // Whoever receives a message says where it came from.
            State::Failure
                if item.contains_key(field::PARENT_ID) && !item.contains_key(field::QUEUE) =>
            {
                error().map(Ending::Unsent)
            }
            State::Failure => error().map(Ending::Failure),
            State::Revoked => error().map(Ending::Revoked),
            State::Ignored => Some(Ending::Ignored),
            _ => None,
        }
    }
}

impl Output {
    fn into_input(self) -> Result<Input> {
        Ok(match self {
            Output::Text(text) => Input::Value(serde_json::from_str(&text).map_err(|error| {
                Error::new(ErrorKind::Decode, "a recorded result is no JSON").caused_by(error)
            })?),
            Output::Value(value) => Input::Value(value),
            Output::ResultsOf(group) => Input::ResultsOf(group),
        })
    }
}

impl Message {
    /// Whether its end is of no consequence.
    pub(crate) fn is_plain(&self) -> bool {
        let frees = self.key_until_done().is_some();
        !(self.goes_on() || frees) && self.link_error.is_empty() && self.fan_out.is_none()
    }

    /// The ids of the messages that follow from its success.
    pub(super) fn follows(&self) -> Vec<String> {
        let first = |step: &Value, default: String| {
            let mut canvas = canvas::read(step.clone(), "a step").ok()?;
            let id = canvas.id().cloned().unwrap_or(default);
            canvas.identify(&id);
            canvas.first_id().cloned()
        };
        let links = self.link.iter().enumerate().filter_map(|(place, link)| {
            first(link, id::derived(&[&self.id, "link", &place.to_string()]))
        });
        let next = self.next();
        let next = next.and_then(|(next, _)| first(next, id::derived(&[&self.id, "next"])));
        links.chain(next).collect()
    }

    /// What comes next, and what follows that.
    pub(super) fn next(&self) -> Option<(&Value, &[Value])> {
        let body = self
            .fan_out
            .as_ref()
            .and_then(|fan_out| fan_out.body.as_ref());
        match body {
            Some(body) => Some((body, &self.chain)),
            None => self.chain.split_first(),
        }
    }
}

impl Batch<'_> {
    /// Does what follows from the end of a message's task.
    pub(super) async fn after(&self, message: &Message, ending: Ending) -> Result<()> {
        if message.is_plain() && self.key_to_free(message).is_none() {
            return Ok(());
        }
        let up = self.consequences(message, ending).await?;
        self.count_up(up).await
    }

    /// The same, but for its group's count.
    pub(super) async fn consequences(&self, message: &Message, ending: Ending) -> Result<Up> {
        // Before what follows, which may want the same key.
        self.free_key(message).await?;
        match ending {
            Ending::Success(output) => {
                let input = output.into_input()?;
                self.call_back(message, &input).await?;
                self.go_on(message, input).await
            }
            Ending::Grown(output, added) => {
                self.call_back(message, &output.into_input()?).await?;
                self.grow(message, &added).await
            }
            Ending::Failure(failure) => {
                let whose = (message.id.as_str(), message.task.as_str());
                self.errbacks(message, whose, &message.link_error, &failure)
                    .await?;
                self.tell_body(message, &failure).await?;
                self.end_here(message, State::Failure, &failure).await
            }
            // Whoever was to be told of it was.
            Ending::Unsent(failure) => self.end_here(message, State::Failure, &failure).await,
            Ending::Revoked(failure) => self.end_here(message, State::Revoked, &failure).await,
            Ending::Ignored => self.end_ignored(message).await,
        }
    }

    async fn call_back(&self, message: &Message, result: &Input) -> Result<()> {
        let callbacks = message.link.iter().enumerate().map(|(place, callback)| {
            let id = id::derived(&[&message.id, "link", &place.to_string()]);
            let input = result.clone();
            let launch = move |canvas| Launch {
                id: Some(id),
                input,
                ..Launch::of(canvas, Origin::after(message))
            };
            self.launch(message, callback, launch)
        });
        all(callbacks).await.map(drop)
    }

    /// Sends what the task adds to its group: it counts there as done when all of that is done.
    async fn grow(&self, message: &Message, added: &Value) -> Result<Up> {
        self.launch(message, added, |canvas| Launch {
            id: Some(added_id(&message.id)),
            member: message.member.clone(),
            ..Launch::of(canvas, Origin::after(message))
        })
        .await
    }

    async fn go_on(&self, message: &Message, result: Input) -> Result<Up> {
        let Some((next, rest)) = message.next() else {
            return Ok(message.member.clone().map(|member| (member, false)));
        };
        self.launch(message, next, |canvas| Launch {
            canvas,
            id: Some(id::derived(&[&message.id, "next"])),
            input: result,
            rest: rest.to_vec(),
            member: message.member.clone(),
            guarded: message.fan_out.is_some(),
            takes_key: false,
            origin: Origin::after(message),
        })
        .await
    }

    /// Sends a step. One that can't ever be sent has failed, and what follows it with it: then there may be a
    /// member to be counted.
    pub(super) async fn launch(
        &self,
        message: &Message,
        step: &Value,
        launch: impl FnOnce(Canvas) -> Launch,
    ) -> Result<Up> {
        let mut canvas = canvas::read(step.clone(), "a step of the message")?;
        canvas.keep_queues();
        let launch = launch(canvas);
        let (mut lost, id) = (launch.canvas.clone(), launch.id.clone());
        let (rest, member) = (launch.rest.clone(), launch.member.clone());
        let error = match self.worker.app().launch(launch) {
            Ok(ready) => {
                let messages = std::iter::once(ready.outgoing).chain(ready.more);
                let sent = messages.map(|outgoing| self.outbox.send(&ready.queue, outgoing));
                match all(sent).await {
                    Ok(_) => {
                        self.worker.app().tell_sent(ready.told.as_deref());
                        return Ok(None);
                    }
                    Err(error) if error.is_retryable() => return Err(error),
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        let failure = Failure {
            kind: format!("{:?}", error.kind()),
            message: error.to_string(),
            causes: Vec::new(),
            retries: 0,
            at: self.now(),
        };
        lost.identify(&id.unwrap_or_default());
        tracing::error!(task_id = lost.id(), task = lost.name(), %error, "could not be sent on");
        let mut message = message.clone();
        message.fan_out = None;
        message.chain = rest;
        message.member = member;
        self.fail_unsent(&message, &lost, &failure).await
    }

    /// A step that will never run: it and what follows it end here.
    pub(super) async fn fail_unsent(
        &self,
        message: &Message,
        step: &Canvas,
        failure: &Failure,
    ) -> Result<Up> {
        // Before the record, by which whoever comes again takes them for told.
        let errbacks = canvas::write_all(step.errbacks().into_iter().cloned())?;
        let whose = (step.first_id().map_or("", String::as_str), step.name());
        self.errbacks(message, whose, &errbacks, failure).await?;
        self.record_unsent(message, step, State::Failure, failure)
            .await?;
        self.end_here(message, State::Failure, failure).await
    }

    /// Sends errbacks, with the failure and whose it is: an id and a task's name.
    pub(super) async fn errbacks(
        &self,
        message: &Message,
        (failed, task): (&str, &str),
        errbacks: &[Value],
        failure: &Failure,
    ) -> Result<()> {
        let mut what = json!(failure);
        if let Value::Object(map) = &mut what {
            map.insert("task_id".to_owned(), failed.into());
            map.insert("task".to_owned(), task.into());
        }
        let sent = errbacks.iter().enumerate().map(|(place, errback)| {
            let id = id::derived(&[failed, "link_error", &place.to_string()]);
            let launch = |canvas| Launch {
                id: Some(id),
                input: Input::Value(what.clone()),
                ..Launch::of(canvas, Origin::after(message))
            };
            self.launch(message, errback, launch)
        });
        // An errback that can't be sent fails like any other task, and without errbacks of its own.
        all(sent).await.map(drop)
    }

    /// The errbacks of a chord's body are told of its header's failure.
    async fn tell_body(&self, message: &Message, failure: &Failure) -> Result<()> {
        let fan_out = message.fan_out.as_ref();
        let Some(body) = fan_out.and_then(|fan_out| fan_out.body.as_ref()) else {
            return Ok(());
        };
        let body = canvas::read(body.clone(), "the body of the chord")?;
        let errbacks = canvas::write_all(body.errbacks().into_iter().cloned())?;
        let whose = (body.first_id().map_or("", String::as_str), body.name());
        self.errbacks(message, whose, &errbacks, failure).await
    }

    /// What would have followed never runs: it gets its final state, so that nobody waits for it.
    async fn end_here(&self, message: &Message, state: State, failure: &Failure) -> Result<Up> {
        if let Some(fan_out) = &message.fan_out
            && let Some(body) = &fan_out.body
        {
            let body = canvas::read(body.clone(), "the body of the chord")?;
            self.record_unsent(message, &body, state, failure).await?;
        }
        for step in &message.chain {
            let step = canvas::read(step.clone(), "a step of the chain")?;
            self.record_unsent(message, &step, state, failure).await?;
        }
        Ok(message.member.clone().map(|member| (member, true)))
    }

    /// A task that asks to be ignored ends its chain; in a group it counts as done, with `null`.
    async fn end_ignored(&self, message: &Message) -> Result<Up> {
        let failure = Failure {
            kind: "Ignored".to_owned(),
            message: format!("the step before, task {}, was ignored", message.id),
            causes: Vec::new(),
            retries: 0,
            at: self.now(),
        };
        match (&message.member, message.chain.is_empty()) {
            (Some(member), true) => Ok(Some((member.clone(), false))),
            _ => self.end_here(message, State::Revoked, &failure).await,
        }
    }

    /// Records a final state for everything in a step that was never sent.
    pub(super) async fn record_unsent(
        &self,
        message: &Message,
        step: &Canvas,
        state: State,
        failure: &Failure,
    ) -> Result<()> {
        let now = self.now();
        let expires = self.worker.app().config().result_expires;
        let writes = step.ids().into_iter().map(|(id, task)| {
            // By it a look knows for two weeks that everybody was told.
            let ttl = now + kept_for(&id, true, expires);
            let item = Item::from([
                (field::TASK.into(), task.into()),
                (field::STATUS.into(), state.into()),
                (field::ERROR.into(), failure.into()),
                (field::FINISHED_AT.into(), now.into()),
                (field::PARENT_ID.into(), message.id.as_str().into()),
                (field::ROOT_ID.into(), message.root().into()),
                (field::TTL.into(), ttl.as_secs().into()),
            ]);
            Write {
                key: Key::Result(id),
                op: Op::Put(item),
                when: When::Absent,
            }
        });
        let store = &*self.worker.app().ports().store;
        for outcome in store.write_many(writes.collect()).await {
            outcome?;
        }
        Ok(())
    }
}
