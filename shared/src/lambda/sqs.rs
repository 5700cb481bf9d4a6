//! SQS events: batches in, `batchItemFailures` out.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>: the ids answered
//! are the messages SQS keeps; an id that isn't in the batch would fail all of it.

use std::collections::{BTreeMap, HashMap};

use lambda_runtime::LambdaEvent;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Delivery, QueueName, Receipt};
use crate::time::Timestamp;
use crate::worker::{Disposition, Worker};

/// A partial batch response.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    batch_item_failures: Vec<Kept>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    item_identifier: String,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "Records")]
    records: Vec<SqsRecord>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SqsRecord {
    message_id: String,
    receipt_handle: String,
    body: String,
    #[serde(default)]
    attributes: HashMap<String, String>,
    #[serde(default)]
    message_attributes: HashMap<String, SqsAttribute>,
    #[serde(rename = "eventSourceARN")]
    source: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SqsAttribute {
    string_value: Option<String>,
}

pub(super) async fn handle(worker: &Worker, event: LambdaEvent<Value>) -> Result<Answer> {
    let invocation = super::invocation(&event.context);
    let event: Event = serde_json::from_value(event.payload).map_err(|error| {
        let what = "this function takes SQS events: map a queue to it as its event source";
        Error::new(ErrorKind::Decode, what).caused_by(error)
    })?;
    let deliveries = event
        .records
        .into_iter()
        .map(|record| delivery(record, worker.app().config()))
        .collect::<Result<Vec<_>>>()?;
    let dispositions = worker.handle(&deliveries, &invocation).await;
    let kept: Vec<Kept> = deliveries
        .iter()
        .zip(dispositions)
        .filter(|(_, disposition)| *disposition == Disposition::Returned)
        .map(|(delivery, _)| Kept {
            item_identifier: delivery.message_id.clone(),
        })
        .collect();
    let (received, returned) = (deliveries.len(), kept.len());
    let queue = deliveries
        .first()
        .map(|delivery| delivery.queue.as_str())
        .unwrap_or_default();
    let request_id = &invocation.id;
    tracing::info!(
        queue,
        received,
        acked = received - returned,
        returned,
        request_id,
        "batch"
    );
    Ok(Answer {
        batch_item_failures: kept,
    })
}

fn delivery(record: SqsRecord, config: &Config) -> Result<Delivery> {
    let attribute = |name: &str| record.attributes.get(name);
    let number = |name: &str| attribute(name).and_then(|text| text.parse::<i64>().ok());
    Ok(Delivery {
        queue: queue_of(&record.source, config)?,
        receive_count: number("ApproximateReceiveCount")
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(1),
        sent_at: Timestamp::from_millis(number("SentTimestamp").unwrap_or(0)),
        group: attribute("MessageGroupId").cloned(),
        source: attribute("DeadLetterQueueSourceArn")
            .and_then(|arn| config.queue_by_arn(arn))
            .cloned(),
        attributes: record
            .message_attributes
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.string_value?)))
            .collect::<BTreeMap<_, _>>(),
        message_id: record.message_id,
        receipt: Receipt(record.receipt_handle),
        body: record.body,
    })
}

fn queue_of(arn: &str, config: &Config) -> Result<QueueName> {
    config.queue_by_arn(arn).cloned().ok_or_else(|| {
        let what = format!("messages came from {arn}, which is none of SEDANO_QUEUES");
        Error::new(ErrorKind::Config, what)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = include_str!("../../../tests/fixtures/events/sqs.json");

    fn config() -> Config {
        let lookup = |name: &str| {
            Some(match name {
                "SEDANO_QUEUES" => {
                    r#"{"default": "https://sqs.eu-west-1.amazonaws.com/1/app-Default-1X"}"#.into()
                }
                "SEDANO_RESULTS_TABLE" | "SEDANO_STATE_TABLE" => "t".to_owned(),
                _ => return None,
            })
        };
        Config::from_lookup(lookup).unwrap()
    }

    #[test]
    fn a_captured_event_is_read() {
        let event: Event = serde_json::from_str(EVENT).unwrap();
        let deliveries: Vec<Delivery> = event
            .records
            .into_iter()
            .map(|record| delivery(record, &config()).unwrap())
            .collect();
        let first = &deliveries[0];
        assert_eq!(first.queue, QueueName::new("default"));
        assert_eq!(first.message_id, "059f36b4-87a3-44ab-83d2-661975830a7d");
        assert_eq!(first.body, r#"{"task": "add", "args": [2, 3]}"#);
        assert_eq!(first.receive_count, 2);
        assert_eq!(first.sent_at.as_millis(), 1_545_082_649_183);
        assert_eq!(first.group.as_deref(), Some("tenant-7"));
        assert_eq!(first.attributes["colour"], "green");
    }

    #[test]
    fn what_was_given_up_names_its_queue() {
        let mut event: Value = serde_json::from_str(EVENT).unwrap();
        let attributes = &mut event["Records"][0]["attributes"];
        attributes["DeadLetterQueueSourceArn"] = "arn:aws:sqs:eu-west-1:1:app-Default-1X".into();
        let mut event: Event = serde_json::from_value(event).unwrap();
        let source = delivery(event.records.remove(0), &config()).unwrap().source;
        assert_eq!(source, Some(QueueName::new("default")));
    }

    #[test]
    fn a_foreign_queue_is_named() {
        let error = queue_of("arn:aws:sqs:eu-west-1:1:other", &config()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "messages came from arn:aws:sqs:eu-west-1:1:other, which is none of SEDANO_QUEUES"
        );
    }
}
