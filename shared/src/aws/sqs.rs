//! SQS behind the [`Queue`] port.
//!
//! Every call is a batch call; the entries' ids are their places in the list. What SQS is known to
//! refuse is refused here already, entry by entry, so that it doesn't cost the neighbours the call.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::Config as ClientConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::error::BuildError;
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry,
    DeleteMessageBatchRequestEntry, Message, MessageAttributeValue, MessageSystemAttributeName,
    QueueAttributeName, SendMessageBatchRequestEntry,
};
use aws_types::SdkConfig;

use super::ATTEMPT_TIMEOUT;
use super::errors::{call_failed, said_no};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::ports::{Delivery, Depth, Outgoing, Queue, QueueName, Receipt, Sent};
use crate::time::Timestamp;

/// A [`Queue`] over SQS.
pub struct SqsQueue {
    client: Client,
    config: Config,
}

impl SqsQueue {
    pub(super) fn new(config: &Config, sdk: &SdkConfig) -> Self {
        Self {
            client: Client::new(sdk),
            config: config.clone(),
        }
    }

    fn url(&self, queue: &QueueName) -> Result<&str> {
        let urls = &self.config.queues;
        let url = urls
            .get(queue)
            .ok_or_else(|| limits::no_queue(queue, urls.keys()))?;
        Ok(url)
    }

    fn delivery(&self, queue: &QueueName, message: Message) -> Delivery {
        let mut system = message.attributes.unwrap_or_default();
        let attributes = message.message_attributes.unwrap_or_default();
        let number = |text: Option<&String>| text.and_then(|text| text.parse::<i64>().ok());
        let sent_at = number(system.get(&MessageSystemAttributeName::SentTimestamp));
        let received = number(system.get(&MessageSystemAttributeName::ApproximateReceiveCount));
        Delivery {
            queue: queue.clone(),
            message_id: message.message_id.unwrap_or_default(),
            receipt: Receipt(message.receipt_handle.unwrap_or_default()),
            body: message.body.unwrap_or_default(),
            attributes: attributes
                .into_iter()
                .filter_map(|(name, value)| value.string_value.map(|text| (name, text)))
                .collect(),
            receive_count: received
                .and_then(|count| u32::try_from(count).ok())
                .unwrap_or(1),
            sent_at: Timestamp::from_millis(sent_at.unwrap_or_default()),
            group: system.remove(&MessageSystemAttributeName::MessageGroupId),
            source: system
                .get(&MessageSystemAttributeName::DeadLetterQueueSourceArn)
                .and_then(|arn| self.config.queue_by_arn(arn))
                .cloned(),
        }
    }
}

#[async_trait]
impl Queue for SqsQueue {
    async fn send(&self, queue: &QueueName, batch: Vec<Outgoing>) -> Result<Vec<Result<Sent>>> {
        let url = self.url(queue)?;
        let checks = limits::check_send(queue, &batch)?;
        let what = about("SendMessageBatch", queue, url);
        let mut answers = Answers::new(&what, batch.len());
        let mut entries = Vec::with_capacity(batch.len());
        for (index, (message, check)) in batch.into_iter().zip(checks).enumerate() {
            match check {
                Ok(()) => entries.push(send_entry(index, message).map_err(|e| unbuilt(&what, e))?),
                Err(refusal) => answers.set(index, Err(refusal)),
            }
        }
        if entries.is_empty() {
            return Ok(answers.into_list());
        }
        let call = self
            .client
            .send_message_batch()
            .queue_url(url)
            .set_entries(Some(entries));
        let answer = call
            .send()
            .await
            .map_err(|error| call_failed(&what, error))?;
        let sent = answer.successful.into_iter().map(|sent| {
            let message_id = sent.message_id;
            (sent.id, Sent { message_id })
        });
        Ok(answers.with(sent, answer.failed))
    }

    async fn receive(
        &self,
        queue: &QueueName,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        let url = self.url(queue)?;
        limits::check_receive(queue, max, wait)?;
        let wait = limits::whole_seconds(wait);
        let timeout = ATTEMPT_TIMEOUT + wait;
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(timeout)
            .build();
        let call = self
            .client
            .receive_message()
            .queue_url(url)
            .max_number_of_messages(small(max as u64))
            .wait_time_seconds(seconds(wait))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_system_attribute_names(MessageSystemAttributeName::MessageGroupId)
            .message_system_attribute_names(MessageSystemAttributeName::DeadLetterQueueSourceArn)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
            .message_attribute_names("All")
            .customize()
            .config_override(ClientConfig::builder().timeout_config(timeouts));
        let what = about("ReceiveMessage", queue, url);
        let answer = call
            .send()
            .await
            .map_err(|error| call_failed(&what, error))?;
        let messages = answer.messages.unwrap_or_default();
        Ok(messages
            .into_iter()
            .map(|message| self.delivery(queue, message))
            .collect())
    }

    async fn delete_many(
        &self,
        queue: &QueueName,
        receipts: Vec<Receipt>,
    ) -> Result<Vec<Result<()>>> {
        let url = self.url(queue)?;
        limits::check_entries(queue, receipts.len())?;
        if receipts.is_empty() {
            return Ok(Vec::new());
        }
        let what = about("DeleteMessageBatch", queue, url);
        let answers = Answers::new(&what, receipts.len());
        let entries = receipts.into_iter().enumerate().map(|(index, receipt)| {
            DeleteMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .receipt_handle(receipt.0)
                .build()
        });
        let entries = entries
            .collect::<Result<_, _>>()
            .map_err(|error| unbuilt(&what, error))?;
        let call = self
            .client
            .delete_message_batch()
            .queue_url(url)
            .set_entries(Some(entries));
        let answer = call
            .send()
            .await
            .map_err(|error| call_failed(&what, error))?;
        let done = answer.successful.into_iter().map(|done| (done.id, ()));
        Ok(answers.with(done, answer.failed))
    }

    async fn hide_many(
        &self,
        queue: &QueueName,
        changes: Vec<(Receipt, Duration)>,
    ) -> Result<Vec<Result<()>>> {
        let url = self.url(queue)?;
        limits::check_entries(queue, changes.len())?;
        let what = about("ChangeMessageVisibilityBatch", queue, url);
        let mut answers = Answers::new(&what, changes.len());
        let mut entries = Vec::with_capacity(changes.len());
        for (index, (receipt, duration)) in changes.into_iter().enumerate() {
            if let Err(refusal) = limits::check_hide(queue, duration) {
                answers.set(index, Err(refusal));
                continue;
            }
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(index.to_string())
                .receipt_handle(receipt.0)
                .visibility_timeout(seconds(limits::whole_seconds(duration)))
                .build();
            entries.push(entry.map_err(|error| unbuilt(&what, error))?);
        }
        if entries.is_empty() {
            return Ok(answers.into_list());
        }
        let call = self
            .client
            .change_message_visibility_batch()
            .queue_url(url)
            .set_entries(Some(entries));
        let answer = call
            .send()
            .await
            .map_err(|error| call_failed(&what, error))?;
        let done = answer.successful.into_iter().map(|done| (done.id, ()));
        Ok(answers.with(done, answer.failed))
    }

    async fn depth(&self, queue: &QueueName) -> Result<Depth> {
        let url = self.url(queue)?;
        let answer = self
            .client
            .get_queue_attributes()
            .queue_url(url)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessages)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessagesNotVisible)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessagesDelayed)
            .send()
            .await
            .map_err(|error| call_failed(&about("GetQueueAttributes", queue, url), error))?;
        let attributes = answer.attributes.unwrap_or_default();
        let number = |name| {
            attributes
                .get(&name)
                .and_then(|text: &String| text.parse().ok())
                .unwrap_or_default()
        };
        Ok(Depth {
            visible: number(QueueAttributeName::ApproximateNumberOfMessages),
            in_flight: number(QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
            delayed: number(QueueAttributeName::ApproximateNumberOfMessagesDelayed),
        })
    }

    async fn purge(&self, queue: &QueueName) -> Result<()> {
        let url = self.url(queue)?;
        let answer = self.client.purge_queue().queue_url(url).send().await;
        answer.map_err(|error| call_failed(&about("PurgeQueue", queue, url), error))?;
        Ok(())
    }
}

/// What SQS says of each entry of a batch.
struct Answers<'a, T> {
    what: &'a str,
    list: Vec<Option<Result<T>>>,
}

impl<'a, T> Answers<'a, T> {
    fn new(what: &'a str, entries: usize) -> Self {
        Self {
            what,
            list: (0..entries).map(|_| None).collect(),
        }
    }

    fn set(&mut self, index: usize, answer: Result<T>) {
        if let Some(place) = self.list.get_mut(index) {
            *place = Some(answer);
        }
    }

    fn named(&mut self, id: &str, answer: Result<T>) {
        if let Ok(index) = id.parse() {
            self.set(index, answer);
        }
    }

    /// What the service answered, by the entries' ids, and what was settled before.
    fn with(
        mut self,
        successful: impl Iterator<Item = (String, T)>,
        failed: Vec<BatchResultErrorEntry>,
    ) -> Vec<Result<T>> {
        for (id, done) in successful {
            self.named(&id, Ok(done));
        }
        for entry in failed {
            // Without a code that tells more, SQS at least says whose fault it was.
            let status = if entry.sender_fault { 400 } else { 500 };
            let said = entry.message.as_deref().unwrap_or("no message");
            let error = said_no(self.what, &entry.code, said, Some(status));
            self.named(&entry.id, Err(error));
        }
        self.into_list()
    }

    fn into_list(self) -> Vec<Result<T>> {
        let what = self.what;
        let answers = self.list.into_iter().map(|answer| {
            answer.unwrap_or_else(|| {
                Err(Error::new(
                    ErrorKind::Unavailable,
                    format!("{what} says nothing of one of its entries"),
                ))
            })
        });
        answers.collect()
    }
}

fn about(operation: &str, queue: &QueueName, url: &str) -> String {
    format!("{operation} on queue `{queue}` ({url})")
}

fn unbuilt(what: &str, error: BuildError) -> Error {
    Error::new(ErrorKind::Invalid, format!("{what} can't be built")).caused_by(error)
}

/// Numbers that were checked to be within SQS's limits, all far below this type's.
fn small(number: u64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn seconds(duration: Duration) -> i32 {
    small(duration.as_secs())
}

fn send_entry(index: usize, message: Outgoing) -> Result<SendMessageBatchRequestEntry, BuildError> {
    let mut entry = SendMessageBatchRequestEntry::builder()
        .id(index.to_string())
        .message_body(message.body)
        .set_message_group_id(message.group)
        .set_message_deduplication_id(message.dedup);
    if !message.delay.is_zero() {
        entry = entry.delay_seconds(seconds(limits::whole_seconds(message.delay)));
    }
    for (name, value) in message.attributes {
        let value = MessageAttributeValue::builder()
            .data_type("String")
            .string_value(value)
            .build()?;
        entry = entry.message_attributes(name, value);
    }
    entry.build()
}

impl fmt::Debug for SqsQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsQueue")
            .field("urls", &self.config.queues)
            .finish_non_exhaustive()
    }
}
