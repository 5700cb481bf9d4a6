//! What functions are fed with: SQS events of tasks as the library sends them, and what the engine
//! spends on them by our own accounting.

use std::time::Duration;

use sedano::memory::{Counts, Memory};
use sedano::ports::{Delivery, QueueName};
use sedano::{Config, Disposition, Invocation, Worker};
use sedano_tasks::arithmetic::add;
use sedano_tasks::cheap::{idempotent_add, quiet_add};
use serde_json::{Value, json};

use crate::Result;
use crate::runtime_api::{TIMEOUT, UNDER_WAY};

/// A kind of task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Claimed and finished.
    Plain,
    /// Finished only.
    Idempotent,
    /// Idempotent, and nobody wants its result.
    Quiet,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Plain, Self::Idempotent, Self::Quiet];

    /// As the table calls it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Plain => "plain",
            Kind::Idempotent => "idempotent",
            Kind::Quiet => "idempotent, ignore-result",
        }
    }
}

/// A batch of tasks of one kind.
#[derive(Debug)]
pub struct Load {
    /// The kind.
    pub kind: Kind,
    /// How many tasks.
    pub batch: usize,
    /// The event.
    pub event: Vec<u8>,
    /// Calls and units, from working on the same messages on the ports in memory.
    pub counts: Counts,
}

impl Load {
    /// Sends the tasks into memory, takes the event from there, and works on it there. `visibility`
    /// is the queue's visibility timeout in seconds.
    ///
    /// # Errors
    /// Where the memory ports refuse something, or a task isn't done at once.
    pub async fn new(kind: Kind, batch: usize, visibility: u32) -> Result<Self> {
        let mut config = Config::memory();
        config.visibility_timeout = Some(Duration::from_secs(visibility.into()));
        let memory = Memory::new(&config);
        let worker = Worker::new(memory.app()).tasks(sedano_tasks::all());
        let queue = QueueName::new(QueueName::DEFAULT);
        let ports = memory.ports();
        let mut deliveries = Vec::new();
        for _ in 0..batch {
            match kind {
                Kind::Plain => drop(worker.app().send(add::s(2, 3)).await?),
                Kind::Idempotent => drop(worker.app().send(idempotent_add::s(2, 3)).await?),
                Kind::Quiet => drop(worker.app().send(quiet_add::s(2, 3)).await?),
            }
            deliveries.extend(ports.queue.receive(&queue, 1, Duration::ZERO).await?);
        }
        let invocation = Invocation {
            id: "8476a536-e9f4-11e8-9739-2dfe598c3fcd".to_owned(),
            deadline: ports.clock.now() + TIMEOUT - UNDER_WAY,
        };
        let before = memory.counts();
        let dispositions = worker.handle(&deliveries, &invocation).await;
        if dispositions != vec![Disposition::Done; batch] {
            return Err(format!("not all of the batch was done: {dispositions:?}").into());
        }
        let counts = memory.counts().since(&before);
        let records: Vec<Value> = deliveries.iter().map(record).collect();
        let event = serde_json::to_vec(&json!({"Records": records}))?;
        Ok(Self {
            kind,
            batch,
            event,
            counts,
        })
    }
}

/// <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>
fn record(delivery: &Delivery) -> Value {
    json!({
        "messageId": delivery.message_id,
        // As long as SQS's own.
        "receiptHandle": "AQEB".to_owned() + &delivery.receipt.0.repeat(400)[..400],
        "body": delivery.body,
        "attributes": {
            "ApproximateReceiveCount": delivery.receive_count.to_string(),
            "SentTimestamp": delivery.sent_at.as_millis().to_string(),
            "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": delivery.sent_at.as_millis().to_string(),
        },
        "messageAttributes": {},
        "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:sedano-default",
        "awsRegion": "eu-west-1",
    })
}
