//! What the comparisons share: the event, and the one record they write for each task.

use serde::Deserialize;
use serde_json::Value;

use crate::Result;

/// An SQS event.
#[derive(Debug, Deserialize)]
pub struct Event {
    /// Its messages.
    #[serde(rename = "Records")]
    pub records: Vec<Record>,
}

/// A message, as far as it matters here.
#[derive(Debug, Deserialize)]
pub struct Record {
    /// The text.
    pub body: String,
}

/// What became of an addition.
#[derive(Debug)]
pub struct Sum {
    /// The task's id.
    pub id: String,
    /// The result.
    pub result: i64,
    /// When it was there, as text.
    pub finished_at: String,
    /// When the record may go, in seconds since the epoch.
    pub ttl: i64,
}

/// The table of results.
pub const TABLE: &str = "sedano-ResultsTable-1X2Y3Z";
/// What makes a task run once.
pub const CONDITION: &str = "attribute_not_exists(id)";

/// Decodes the body and does what the sample task `add` does.
///
/// # Errors
/// Where the body is no addition.
pub fn run(body: &str) -> Result<Sum> {
    #[derive(Deserialize)]
    struct Call {
        id: String,
        kwargs: Numbers,
    }
    #[derive(Deserialize)]
    struct Numbers {
        x: i64,
        y: i64,
    }
    let call: Call = serde_json::from_str(body)?;
    let now = jiff::Timestamp::now();
    Ok(Sum {
        id: call.id,
        result: call.kwargs.x + call.kwargs.y,
        finished_at: now.to_string(),
        ttl: now.as_second() + 86_400,
    })
}

/// Nothing is kept.
pub fn all_done() -> Value {
    serde_json::json!({"batchItemFailures": []})
}
