//! Many messages in as few calls as SQS allows: ten messages and 1 MiB each.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;

use crate::error::{Error, ErrorKind, Result};
use crate::ports::{BATCH_BYTES, BATCH_ENTRIES, Outgoing, Queue, QueueName, Receipt, Sent};

/// Sends messages to their queues, all calls at once. Each message carries a tag, which comes back
/// with what became of it. Order within a queue is kept; only FIFO queues keep it any further.
pub(crate) async fn send<T>(
    port: &dyn Queue,
    messages: Vec<(QueueName, Outgoing, T)>,
) -> Vec<(T, Result<Sent>)> {
    let mut queues: BTreeMap<QueueName, Vec<(Outgoing, T)>> = BTreeMap::new();
    for (queue, outgoing, tag) in messages {
        queues.entry(queue).or_default().push((outgoing, tag));
    }
    let per_queue = queues.into_iter().map(|(queue, messages)| async move {
        let calls = split(messages)
            .into_iter()
            .map(|batch| call(port, &queue, batch));
        if queue.is_fifo() {
            // One call after the other, or SQS may order them otherwise.
            let mut answers = Vec::new();
            for call in calls {
                answers.extend(call.await);
            }
            return answers;
        }
        join_all(calls).await.into_iter().flatten().collect()
    });
    join_all(per_queue).await.into_iter().flatten().collect()
}

async fn call<T>(
    port: &dyn Queue,
    queue: &QueueName,
    batch: Vec<(Outgoing, T)>,
) -> Vec<(T, Result<Sent>)> {
    let (messages, tags): (Vec<Outgoing>, Vec<T>) = batch.into_iter().unzip();
    hand_out(tags, port.send(queue, messages).await)
}

/// Changes how long messages stay hidden, all calls at once; each with a tag, as in [`send`].
pub(crate) async fn hide<T>(
    port: &dyn Queue,
    changes: Vec<(QueueName, Receipt, Duration, T)>,
) -> Vec<(T, Result<()>)> {
    let mut queues: BTreeMap<QueueName, Vec<(Receipt, Duration, T)>> = BTreeMap::new();
    for (queue, receipt, pause, tag) in changes {
        queues.entry(queue).or_default().push((receipt, pause, tag));
    }
    let mut calls = Vec::new();
    for (queue, changes) in queues {
        let mut changes = changes.into_iter().peekable();
        while changes.peek().is_some() {
            let (mut batch, mut tags) = (Vec::new(), Vec::new());
            for (receipt, pause, tag) in changes.by_ref().take(BATCH_ENTRIES) {
                batch.push((receipt, pause));
                tags.push(tag);
            }
            let queue = queue.clone();
            calls.push(async move { hand_out(tags, port.hide_many(&queue, batch).await) });
        }
    }
    join_all(calls).await.into_iter().flatten().collect()
}

/// Each its answer; where the call failed as a whole, the same for each.
fn hand_out<T, A>(tags: Vec<T>, answers: Result<Vec<Result<A>>>) -> Vec<(T, Result<A>)> {
    match answers {
        Ok(answers) => tags.into_iter().zip(answers).collect(),
        Err(error) => {
            let (kind, text) = (error.kind(), error.to_string());
            tags.into_iter()
                .map(|tag| (tag, Err(Error::new(kind, text.clone()))))
                .collect()
        }
    }
}

/// In order, each batch as full as the next message allows.
fn split<T>(messages: Vec<(Outgoing, T)>) -> Vec<Vec<(Outgoing, T)>> {
    let mut batches: Vec<Vec<(Outgoing, T)>> = Vec::new();
    let mut bytes = 0;
    for (outgoing, tag) in messages {
        let size = outgoing.size();
        match batches.last_mut() {
            Some(batch) if batch.len() < BATCH_ENTRIES && bytes + size <= BATCH_BYTES => {
                bytes += size;
                batch.push((outgoing, tag));
            }
            _ => {
                bytes = size;
                batches.push(vec![(outgoing, tag)]);
            }
        }
    }
    batches
}

/// One answer for each entry is what the port promises; a missing one is an error of the service.
pub(crate) fn unanswered() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the broker gave no answer for a message",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(bodies: &[usize]) -> Vec<usize> {
        let messages = bodies
            .iter()
            .map(|size| (Outgoing::new("x".repeat(*size)), ()))
            .collect();
        split(messages).iter().map(Vec::len).collect()
    }

    #[test]
    fn ten_messages_or_a_mebibyte() {
        assert_eq!(sizes(&[1; 21]), [10, 10, 1]);
        assert_eq!(sizes(&[BATCH_BYTES, 1, BATCH_BYTES - 1, 1]), [1, 2, 1]);
        assert_eq!(sizes(&[400_000; 5]), [2, 2, 1]);
        assert!(sizes(&[]).is_empty());
    }
}
