//! A task's record in the results table: its attributes, their names, and the states they pass.
//!
//! The DynamoDB console is one of the user interfaces: names are words, instants are ISO 8601 text,
//! a result is JSON text. An absent record is a task in state PENDING. A record past its `ttl` is an
//! absent one, whether or not DynamoDB has removed it yet.

mod anew;
mod report;
mod state;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::failure::Failure;
use crate::ports::{Attribute, Field, Item};
use crate::time::Timestamp;

pub(crate) use anew::{anew, insist, write};
pub use report::{CustomState, Progress};
pub(crate) use report::{is_no_custom_state, unreported};
pub use state::State;

/// Attribute names of the results table.
pub(crate) mod field {
    pub(crate) const ADDED: &str = "added";
    pub(crate) const ATTEMPT: &str = "attempt";
    pub(crate) const ATTEMPTS: &str = "attempts";
    pub(crate) const CHECKPOINTS: &str = "checkpoints";
    pub(crate) const CHILDREN: &str = "children";
    pub(crate) const CRASHES: &str = "crashes";
    pub(crate) const CUSTOM: &str = "custom";
    pub(crate) const DUE_AT: &str = "due_at";
    pub(crate) const ERROR: &str = "error";
    pub(crate) const FINISHED_AT: &str = "finished_at";
    pub(crate) const GENERATION: &str = "generation";
    pub(crate) const GROUP: &str = "group";
    pub(crate) const LEASE_UNTIL: &str = "lease_until";
    pub(crate) const MESSAGE: &str = "message";
    pub(crate) const MESSAGE_ID: &str = "message_id";
    pub(crate) const OWNER: &str = "owner";
    pub(crate) const PARKED: &str = "parked";
    pub(crate) const PARENT_ID: &str = "parent_id";
    pub(crate) const PROGRESS: &str = "progress";
    pub(crate) const QUEUE: &str = "queue";
    pub(crate) const RESULT: &str = "result";
    pub(crate) const RETRIES: &str = "retries";
    pub(crate) const REVOKE_REQUESTED: &str = "revoke_requested";
    pub(crate) const ROOT_ID: &str = "root_id";
    pub(crate) const SIZE: &str = "size";
    pub(crate) const STARTED_AT: &str = "started_at";
    pub(crate) const STATUS: &str = "status";
    pub(crate) const TASK: &str = "task";
    pub(crate) const TTL: &str = "ttl";
}

/// What is known of a task: its record, read.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Record {
    /// The task's id.
    pub id: String,
    /// The task's name; unknown while PENDING.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Where it stands.
    pub status: State,
    /// How far it has come, by its own account; while STARTED.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// The state that it has given itself; while STARTED.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom: Option<CustomState>,
    /// What it returned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<serde_json::Value>,
    /// Why it failed, or why it is retried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// How many retries there were.
    pub retries: u32,
    /// How many runs came before the current or last one.
    pub attempt: u32,
    /// How often it was begun anew by hand, after it had failed for good.
    pub generation: u32,
    /// The queue it was taken from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// When the current or last run started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it became final.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Since when it is asked to stop: revoked while it ran. It may have succeeded all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoke_requested: Option<Timestamp>,
    /// When the next run is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// The task that sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<String>,
    /// The first task of its tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_id: Option<String>,
    /// What it has sent, and what follows from it; of what a task sends itself, the first hundred.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<String>,
    /// Of a group: how many members it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// The last ten runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// Whether it has added members to its group.
    #[serde(skip)]
    pub(crate) added: bool,
}

/// One run of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Attempt {
    /// When it started.
    pub start: Timestamp,
    /// When it ended; never, if its process died.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<Timestamp>,
    /// What it failed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The invocation it ran in: Lambda's request id, to be found in the logs.
    pub request: String,
}

/// How many runs a record remembers.
pub(crate) const ATTEMPTS_KEPT: usize = 10;

impl Record {
    /// The record of a task of which nothing is known.
    pub fn pending(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            task: None,
            status: State::Pending,
            progress: None,
            custom: None,
            result: None,
            error: None,
            retries: 0,
            attempt: 0,
            generation: 0,
            queue: None,
            started_at: None,
            finished_at: None,
            revoke_requested: None,
            due_at: None,
            parent_id: None,
            root_id: None,
            children: Vec::new(),
            size: None,
            attempts: Vec::new(),
            added: false,
        }
    }

    /// Reads a record; one past its `ttl` is as good as absent.
    ///
    /// # Errors
    /// `Decode`, if the item is no record: naming the attribute.
    pub(crate) fn read(id: &str, item: Option<&Item>, now: Timestamp) -> Result<Self> {
        let Some(item) = item.filter(|item| !is_expired(item, now)) else {
            return Ok(Self::pending(id));
        };
        let reader = Reader { id, item };
        let status = status(item).ok_or_else(|| reader.wrong(field::STATUS))?;
        // A worker of an earlier version, which doesn't know of it, may have left it to a final record.
        let reported = |name: &str| item.get(name).filter(|_| status == State::Started);
        Ok(Self {
            id: id.to_owned(),
            task: reader.text(field::TASK),
            status,
            progress: match reported(field::PROGRESS) {
                None => None,
                Some(said) => {
                    Some(Progress::read(said).ok_or_else(|| reader.wrong(field::PROGRESS))?)
                }
            },
            custom: match reported(field::CUSTOM) {
                None => None,
                Some(said) => {
                    Some(CustomState::read(said).ok_or_else(|| reader.wrong(field::CUSTOM))?)
                }
            },
            result: match reader.text(field::RESULT) {
                None => None,
                Some(text) => Some(
                    serde_json::from_str(&text)
                        .map_err(|error| reader.wrong(field::RESULT).caused_by(error))?,
                ),
            },
            error: match item.get(field::ERROR) {
                None => None,
                Some(error) => Some(failure(error).ok_or_else(|| reader.wrong(field::ERROR))?),
            },
            retries: count(item, field::RETRIES),
            attempt: count(item, field::ATTEMPT),
            generation: count(item, field::GENERATION),
            queue: reader.text(field::QUEUE),
            started_at: reader.instant(field::STARTED_AT)?,
            finished_at: reader.instant(field::FINISHED_AT)?,
            revoke_requested: reader.instant(field::REVOKE_REQUESTED)?,
            due_at: reader.instant(field::DUE_AT)?,
            parent_id: reader.text(field::PARENT_ID),
            root_id: reader.text(field::ROOT_ID),
            children: match item.get(field::CHILDREN) {
                Some(Attribute::List(ids)) => {
                    let ids = ids.iter().filter_map(Attribute::as_text);
                    ids.map(str::to_owned).collect()
                }
                _ => Vec::new(),
            },
            size: item
                .contains_key(field::SIZE)
                .then(|| count(item, field::SIZE)),
            attempts: attempts(item),
            added: item.contains_key(field::ADDED),
        })
    }
}

struct Reader<'a> {
    id: &'a str,
    item: &'a Item,
}

impl Reader<'_> {
    fn wrong(&self, name: &str) -> Error {
        let what = format!(
            "the record of task {} has an unreadable attribute `{name}`",
            self.id
        );
        Error::new(ErrorKind::Decode, what)
    }

    fn text(&self, name: &str) -> Option<String> {
        self.item
            .get(name)
            .and_then(Attribute::as_text)
            .map(str::to_owned)
    }

    fn instant(&self, name: &str) -> Result<Option<Timestamp>> {
        match self.item.get(name).and_then(Attribute::as_text) {
            None => Ok(None),
            Some(text) => text
                .parse()
                .map(Some)
                .map_err(|error| self.wrong(name).caused_by(error)),
        }
    }
}

/// Whether DynamoDB may remove the item, or should have.
pub(crate) fn is_expired(item: &Item, now: Timestamp) -> bool {
    item.get(field::TTL)
        .and_then(Attribute::as_number)
        .is_some_and(|ttl| ttl <= now.as_secs())
}

/// The state an item records.
pub(crate) fn status(item: &Item) -> Option<State> {
    item.get(field::STATUS)
        .and_then(Attribute::as_text)
        .and_then(State::parse)
}

/// A count, 0 where there is none.
pub(crate) fn count(item: &Item, name: &str) -> u32 {
    let number = item.get(name).and_then(Attribute::as_number);
    number
        .and_then(|number| u32::try_from(number).ok())
        .unwrap_or(0)
}

/// An instant, where there is a readable one.
pub(crate) fn instant(item: &Item, name: &str) -> Option<Timestamp> {
    item.get(name)
        .and_then(Attribute::as_text)
        .and_then(|text| text.parse().ok())
}

fn text<'a>(map: &'a Item, name: &str) -> Option<&'a str> {
    map.get(name).and_then(Attribute::as_text)
}

impl From<&Failure> for Attribute {
    fn from(failure: &Failure) -> Self {
        let causes = failure
            .causes
            .iter()
            .map(|cause| cause.as_str().into())
            .collect();
        Attribute::Map(Item::from([
            (Field::from("type"), failure.kind.as_str().into()),
            (Field::from("message"), failure.message.as_str().into()),
            (Field::from("causes"), Attribute::List(causes)),
            (Field::from("retries"), failure.retries.into()),
            (Field::from("at"), failure.at.into()),
        ]))
    }
}

/// A failure as the table keeps it.
pub(crate) fn failure(value: &Attribute) -> Option<Failure> {
    let Attribute::Map(map) = value else {
        return None;
    };
    let causes = match map.get("causes") {
        Some(Attribute::List(list)) => list
            .iter()
            .filter_map(Attribute::as_text)
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    };
    Some(Failure {
        kind: text(map, "type")?.to_owned(),
        message: text(map, "message")?.to_owned(),
        causes,
        retries: count(map, "retries"),
        at: text(map, "at")?.parse().ok()?,
    })
}

/// The runs an item remembers, oldest first.
pub(crate) fn attempts(item: &Item) -> Vec<Attempt> {
    let Some(Attribute::List(list)) = item.get(field::ATTEMPTS) else {
        return Vec::new();
    };
    let read = |value: &Attribute| {
        let Attribute::Map(map) = value else {
            return None;
        };
        Some(Attempt {
            start: text(map, "start")?.parse().ok()?,
            end: text(map, "end").and_then(|end| end.parse().ok()),
            error: text(map, "error").map(str::to_owned),
            request: text(map, "request").unwrap_or_default().to_owned(),
        })
    };
    list.iter().filter_map(read).collect()
}

impl Attempt {
    /// A run that starts now.
    pub(crate) fn started(start: Timestamp, request: &str) -> Self {
        Self {
            start,
            end: None,
            error: None,
            request: request.to_owned(),
        }
    }

    /// The run as the table keeps it.
    pub(crate) fn to_attribute(&self) -> Attribute {
        let mut map = Item::from([
            (Field::from("start"), self.start.into()),
            (Field::from("request"), self.request.as_str().into()),
        ]);
        if let Some(end) = self.end {
            map.insert("end".into(), end.into());
        }
        if let Some(error) = &self.error {
            map.insert("error".into(), error.as_str().into());
        }
        Attribute::Map(map)
    }
}

/// The last ten runs, as the table keeps them.
pub(crate) fn kept(attempts: &[Attempt]) -> Attribute {
    let first = attempts.len().saturating_sub(ATTEMPTS_KEPT);
    Attribute::List(
        attempts
            .iter()
            .skip(first)
            .map(Attempt::to_attribute)
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item() -> Item {
        let failure = Failure {
            kind: "TaskError".into(),
            message: "no".into(),
            causes: vec!["disk".into()],
            retries: 1,
            at: Timestamp::from_millis(5),
        };
        Item::from([
            (field::STATUS.into(), State::Failure.into()),
            (field::TASK.into(), "add".into()),
            (field::RESULT.into(), "[1]".into()),
            (field::ERROR.into(), (&failure).into()),
            (field::RETRIES.into(), 2_u32.into()),
            (field::TTL.into(), 100_i64.into()),
            (
                field::ATTEMPTS.into(),
                kept(&[Attempt::started(Timestamp::from_millis(1), "request-1")]),
            ),
        ])
    }

    #[test]
    fn an_item_reads_as_a_record() {
        let record = Record::read("a", Some(&item()), Timestamp::default()).unwrap();
        assert_eq!(record.status, State::Failure);
        assert_eq!(record.result, Some(serde_json::json!([1])));
        assert_eq!(record.retries, 2);
        assert_eq!(record.error.unwrap().causes, ["disk"]);
        assert_eq!(record.attempts[0].request, "request-1");
    }

    #[test]
    fn past_its_ttl_it_is_pending() {
        let record = Record::read("a", Some(&item()), Timestamp::from_millis(100_000)).unwrap();
        assert_eq!(record, Record::pending("a"));
    }

    #[test]
    fn an_unreadable_attribute_is_named() {
        let mut item = item();
        item.insert(field::RESULT.into(), "{oops".into());
        let error = Record::read("a", Some(&item), Timestamp::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the record of task a has an unreadable attribute `result`"
        );
    }

    #[test]
    fn the_diagram_draws_every_step() {
        let drawn: Vec<&str> = include_str!("../../docs/lifecycle.md")
            .lines()
            .filter_map(|line| line.trim().split_once(": "))
            .map(|(step, _)| step)
            .filter(|step| step.contains("-->") && !step.starts_with("[*]"))
            .collect();
        let listed = State::STEPS.map(|(from, to)| format!("{from} --> {to}"));
        let sorted = |mut steps: Vec<String>| {
            steps.sort();
            steps
        };
        let drawn = drawn.into_iter().map(str::to_owned).collect();
        assert_eq!(sorted(drawn), sorted(listed.into()));
    }

    #[test]
    fn ten_runs_are_kept() {
        let runs: Vec<Attempt> = (0..12)
            .map(|n| Attempt::started(Timestamp::from_millis(n), "r"))
            .collect();
        let item = Item::from([(field::ATTEMPTS.into(), kept(&runs))]);
        let kept = attempts(&item);
        assert_eq!(kept.len(), 10);
        assert_eq!(kept[0].start, Timestamp::from_millis(2));
    }
}
