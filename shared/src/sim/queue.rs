//! The broker as a process sees it: the one in memory, behind faults.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::history::{Caller, Sent as Arrived, SentTask};
use super::process::{Process, Shared, at_once};
use crate::dead_letters::attribute;
use crate::error::{Error, ErrorKind, Result};
use crate::message::Message;
use crate::ports::{Delivery, Depth, Outgoing, Queue, QueueName, Receipt, Sent};
use crate::time::Timestamp;

/// A [`Queue`] for one process.
pub(super) struct SimQueue(pub(super) Arc<Process>);

/// A call, as the log has it.
#[derive(Debug)]
#[expect(dead_code, reason = "read by its Debug, into the log")]
enum Request {
    Send(QueueName, Vec<Outgoing>),
    Delete(QueueName, Vec<Receipt>),
    Hide(QueueName, Vec<(Receipt, Duration)>),
    Depth(QueueName),
    Purge(QueueName),
}

impl SimQueue {
    /// Which entries of a batch fail on their own.
    fn failing(&self, entries: usize) -> Vec<bool> {
        let rate = self.0.shared.faults().entry_failed;
        let alone = entries == 1;
        // One alone fails as a call does.
        let failing: Vec<bool> = (0..entries)
            .map(|_| self.0.random.chance(rate) && !alone)
            .collect();
        if failing.contains(&true) {
            self.0.shared.fired("entry_failed");
        }
        failing
    }
}

/// Does a batch without the entries that fail, and puts those in their places.
fn partly<T, U>(
    entries: &[T],
    failing: &[bool],
    act: impl FnOnce(Vec<T>) -> Result<Vec<Result<U>>>,
) -> Result<Vec<Result<U>>>
where
    T: Clone,
{
    let sound = entries
        .iter()
        .zip(failing)
        .filter(|(_, failing)| !**failing);
    let sound: Vec<T> = sound.map(|(entry, _)| entry.clone()).collect();
    let mut answers = if sound.is_empty() {
        Vec::new()
    } else {
        act(sound)?
    }
    .into_iter();
    let answer = |failing: &bool| match failing {
        true => Some(Err(Error::new(ErrorKind::Throttled, "this entry failed"))),
        false => answers.next(),
    };
    Ok(failing.iter().filter_map(answer).collect())
}

/// Sends, and remembers what reached the queue.
fn deliver(
    shared: &Shared,
    by: &Caller,
    queue: &QueueName,
    batch: Vec<Outgoing>,
) -> Result<Vec<Result<Sent>>> {
    let group = |message: &Outgoing| message.group.clone().filter(|_| queue.is_fifo());
    let bodies: Vec<(String, Option<String>)> = batch
        .iter()
        .map(|message| (message.body.clone(), group(message)))
        .collect();
    let answers = at_once(shared.memory.queue().send(queue, batch))?;
    let now = shared.clock.now();
    let mut history = shared.history();
    for ((body, group), sent) in bodies.into_iter().zip(&answers) {
        if let Ok(sent) = sent {
            history.sent.push(Arrived {
                at: now,
                by: by.clone(),
                queue: queue.clone(),
                message_id: sent.message_id.clone(),
                task: said(&body, &sent.message_id, now),
                body,
                group,
            });
        }
    }
    Ok(answers)
}

/// What a body says of its task, if it can be decoded.
pub(super) fn said(body: &str, message_id: &str, sent_at: Timestamp) -> Option<SentTask> {
    let message = Message::decode(body, message_id, sent_at).ok()?;
    let arguments = serde_json::to_string(&(&message.args, &message.kwargs)).unwrap_or_default();
    Some(SentTask {
        id: message.id,
        name: message.task,
        attempt: message.attempt,
        eta: message.eta,
        expires: message.expires,
        ignore_result: message.ignore_result,
        parent_id: message.parent_id,
        generation: message.generation,
        hops: message.hops,
        arguments,
    })
}

#[async_trait]
impl Queue for SimQueue {
    async fn send(&self, queue: &QueueName, batch: Vec<Outgoing>) -> Result<Vec<Result<Sent>>> {
        let failing = self.failing(batch.len());
        let (shared, by) = (self.0.shared.clone(), self.0.caller());
        let sent = batch.clone();
        let request = Request::Send(queue.clone(), batch);
        let apply = move |request: &Request| match request {
            Request::Send(queue, batch) => {
                partly(batch, &failing, |batch| deliver(&shared, &by, queue, batch))
            }
            _ => Ok(Vec::new()),
        };
        let answer = self.0.call(request, apply).await;
        let unanswered = answer
            .as_ref()
            .map_or(true, |each| each.iter().any(Result::is_err));
        let doubtful = unanswered && matches!(self.0.caller(), Caller::Invocation(_));
        for message in sent.iter().filter(|_| doubtful) {
            let message_id = message.attributes.get(attribute::MESSAGE_ID);
            let message_id = message_id.map_or("", String::as_str);
            let task = said(&message.body, message_id, Timestamp::default());
            let id = task.map_or_else(|| message_id.to_owned(), |task| task.id);
            self.0.shared.history().repeated.insert(id);
        }
        answer
    }

    async fn receive(
        &self,
        queue: &QueueName,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        // Only the event source mapping receives; a scenario that does so looks without faults.
        let answer = self.0.shared.memory.queue().receive(queue, max, wait).await;
        self.0.shared.log(
            &self.0.caller(),
            format_args!("receive {queue} -> {answer:?}"),
        );
        answer
    }

    async fn delete_many(
        &self,
        queue: &QueueName,
        receipts: Vec<Receipt>,
    ) -> Result<Vec<Result<()>>> {
        let failing = self.failing(receipts.len());
        let shared = self.0.shared.clone();
        let apply = move |request: &Request| match request {
            Request::Delete(queue, receipts) => partly(receipts, &failing, |receipts| {
                at_once(shared.memory.queue().delete_many(queue, receipts))
            }),
            _ => Ok(Vec::new()),
        };
        self.0
            .call(Request::Delete(queue.clone(), receipts), apply)
            .await
    }

    async fn hide_many(
        &self,
        queue: &QueueName,
        changes: Vec<(Receipt, Duration)>,
    ) -> Result<Vec<Result<()>>> {
        let failing = self.failing(changes.len());
        let shared = self.0.shared.clone();
        let apply = move |request: &Request| match request {
            Request::Hide(queue, changes) => partly(changes, &failing, |changes| {
                at_once(shared.memory.queue().hide_many(queue, changes))
            }),
            _ => Ok(Vec::new()),
        };
        self.0
            .call(Request::Hide(queue.clone(), changes), apply)
            .await
    }

    async fn depth(&self, queue: &QueueName) -> Result<Depth> {
        let (shared, of) = (self.0.shared.clone(), queue.clone());
        let apply = move |_: &Request| at_once(shared.memory.queue().depth(&of));
        self.0.call(Request::Depth(queue.clone()), apply).await
    }

    async fn purge(&self, queue: &QueueName) -> Result<()> {
        let (shared, of) = (self.0.shared.clone(), queue.clone());
        let apply = move |_: &Request| at_once(shared.memory.queue().purge(&of));
        self.0.call(Request::Purge(queue.clone()), apply).await
    }
}
