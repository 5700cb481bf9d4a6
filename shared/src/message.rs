//! The envelope: what a message says, and the only place where it is read and written.
//!
//! Flat JSON that any AWS service can write by hand; `{"task": "add", "args": [2, 3]}` is enough.
//! `docs/message.schema.json` is its published schema. Unknown fields are kept when the message is
//! forwarded, so that older and newer versions can share a queue.

use std::io::Write as _;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::bind::{Args, Kwargs};
use crate::error::{Error, ErrorKind, Result};
use crate::failure::shortened;
use crate::limits;
use crate::ports::BATCH_BYTES;
use crate::task::QUOTED;
use crate::time::Timestamp;
use crate::{id, json};

/// The version this library writes.
pub const VERSION: u64 = 1;

/// A task to be run, as it travels.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Message {
    /// The task's id: the key of its record.
    pub id: String,
    /// The task's name.
    pub task: String,
    /// Arguments by position.
    pub args: Args,
    /// Arguments by name.
    pub kwargs: Kwargs,
    /// Not to be run before.
    pub eta: Option<Timestamp>,
    /// Not to be started after.
    pub expires: Option<Timestamp>,
    /// How many retries there were: 0 in a first message.
    pub retries: u32,
    /// How many runs there were: retries and snoozes. Tells a message from its successors.
    pub attempt: u32,
    /// From 0 to 9; carried, not acted on.
    pub priority: Option<u8>,
    /// Overrides the task's own.
    pub time_limit: Option<Duration>,
    /// Overrides the task's own.
    pub soft_time_limit: Option<Duration>,
    /// Overrides the task's own.
    pub ignore_result: Option<bool>,
    /// The first task of the tree this one belongs to; its own id if it is the first.
    pub root_id: Option<String>,
    /// The task that sent this one.
    pub parent_id: Option<String>,
    /// How many sends by workers lead here: the guard against endless chains.
    pub hops: u32,
    /// How often the task was redriven by hand. A message of an earlier generation counts for nothing once
    /// the record is of a later one.
    pub generation: u32,
    /// The queue it belongs to, where that isn't the one it is in (quarantine).
    pub queue: Option<String>,
    /// The sender's own words, handed to the task.
    pub headers: Map<String, Value>,
    /// W3C `traceparent`.
    pub trace: Option<String>,
    /// What this version doesn't know, kept.
    pub extra: Map<String, Value>,
}

/// Fields of later versions that change what must happen: a worker that doesn't know them must
/// refuse the message rather than run it without them.
///
/// `payload` will name where the arguments lie: a reference that isn't understood is not followed.
const NOT_YET: [&str; 6] = ["chain", "chord", "group", "link", "link_error", "payload"];

impl Message {
    /// A first message of this task.
    pub fn new(id: impl Into<String>, task: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            task: task.into(),
            args: Args::new(),
            kwargs: Kwargs::new(),
            eta: None,
            expires: None,
            retries: 0,
            attempt: 0,
            priority: None,
            time_limit: None,
            soft_time_limit: None,
            ignore_result: None,
            root_id: None,
            parent_id: None,
            hops: 0,
            generation: 0,
            queue: None,
            headers: Map::new(),
            trace: None,
            extra: Map::new(),
        }
    }

    /// Reads a message body. A missing id is `message_id`; what is relative (`countdown`, `expires`
    /// in seconds) counts from `sent_at`.
    ///
    /// # Errors
    /// `Decode`, with the line and column or the field that is to blame.
    pub fn decode(body: &str, message_id: &str, sent_at: Timestamp) -> Result<Self> {
        let value: Value = serde_json::from_str(body).map_err(|error| {
            let what = json::unreadable("the message", body.as_bytes(), &error);
            Error::new(ErrorKind::Decode, what).caused_by(error)
        })?;
        let Value::Object(map) = value else {
            return Err(Error::new(
                ErrorKind::Decode,
                "the message is JSON but no object: write {\"task\": \"name\", \"args\": []}",
            ));
        };
        Self::from_map(map, message_id, sent_at)
    }

    /// Reads a message that is JSON already; see [`decode`](Message::decode).
    pub(crate) fn from_map(
        map: Map<String, Value>,
        message_id: &str,
        sent_at: Timestamp,
    ) -> Result<Self> {
        let mut fields = Fields(map);
        if let Some(version) = fields.number("v", u64::MAX)?
            && version != VERSION
        {
            return Err(Error::new(
                ErrorKind::Decode,
                format!("the message is of version {version}; this worker reads version {VERSION}"),
            ));
        }
        for name in NOT_YET {
            if fields.take(name).is_some() {
                let what = format!(
                    "this worker can't act on the field `{name}` yet: send the message without it"
                );
                return Err(Error::new(ErrorKind::Decode, what));
            }
        }
        let Some(task) = fields.text("task")? else {
            return Err(Error::new(
                ErrorKind::Decode,
                "the message has no field `task`",
            ));
        };
        let id = fields.text("id")?.unwrap_or_else(|| message_id.to_owned());
        if !id::is_valid(&id) {
            return Err(wrong("id", id::RULE));
        }
        let countdown = fields.seconds("countdown")?;
        let eta = fields.instant("eta", sent_at)?;
        let retries = fields.count("retries")?.unwrap_or(0);
        Ok(Self {
            task,
            args: fields.list("args")?,
            kwargs: fields.object("kwargs")?,
            // With both, countdown wins, as in Celery.
            eta: countdown.map(|delay| sent_at + delay).or(eta),
            expires: fields.instant("expires", sent_at)?,
            retries,
            attempt: fields.count("attempt")?.unwrap_or(retries),
            priority: match fields.number("priority", 9)? {
                Some(priority) => u8::try_from(priority).ok(),
                None => None,
            },
            time_limit: fields.seconds("time_limit")?,
            soft_time_limit: fields.seconds("soft_time_limit")?,
            ignore_result: fields.flag("ignore_result")?,
            root_id: fields.text("root_id")?,
            parent_id: fields.text("parent_id")?,
            hops: fields.count("hops")?.unwrap_or(0),
            generation: fields.count("generation")?.unwrap_or(0),
            queue: fields.text("queue")?,
            headers: fields.object("headers")?,
            trace: fields.text("trace")?,
            extra: fields.0,
            id,
        })
    }

    /// Writes the message body: fields at their defaults are left out.
    ///
    /// # Errors
    /// `TooLarge` over SQS's [`BATCH_BYTES`]; `Encode` for what could not be decoded again: nested too deep,
    /// names too long, a million runs.
    pub fn encode(&self) -> Result<String> {
        if let Some(why) = self.undecodable() {
            let task = shortened(&self.task, QUOTED);
            let what = format!("the message of task `{task}` can't be sent: {why}");
            return Err(Error::new(ErrorKind::Encode, what));
        }
        let text = escape(Value::Object(self.to_map()).to_string());
        if text.len() > BATCH_BYTES {
            return Err(limits::too_large(&self.task, text.len()));
        }
        Ok(text)
    }

    /// Why no worker could read it back: it would be a dead letter, without a record.
    fn undecodable(&self) -> Option<String> {
        // The message is one level, the list or object of each of these another.
        const INSIDE: usize = json::DEPTH - 2;
        let deeper = |value: &Value| json::is_deeper(value, INSIDE);
        let is_deep = self.args.iter().any(deeper)
            || self.kwargs.values().any(deeper)
            || self.headers.values().any(deeper)
            || self
                .extra
                .values()
                .any(|value| json::is_deeper(value, INSIDE + 1));
        if is_deep {
            return Some(format!(
                "it is nested deeper than {} levels; flatten its arguments, or send the inner part as text",
                json::DEPTH
            ));
        }
        let texts = [
            ("task", Some(&self.task)),
            ("root_id", self.root_id.as_ref()),
            ("parent_id", self.parent_id.as_ref()),
            ("queue", self.queue.as_ref()),
            ("trace", self.trace.as_ref()),
        ];
        let long = |text: Option<&String>| text.is_some_and(|text| text.len() > TEXT);
        if let Some((name, _)) = texts.into_iter().find(|(_, text)| long(*text)) {
            return Some(format!("`{name}` has more than {TEXT} bytes"));
        }
        let counts = [
            ("retries", self.retries),
            ("attempt", self.attempt),
            ("hops", self.hops),
            ("generation", self.generation),
        ];
        let (name, _) = counts.into_iter().find(|(_, count)| *count > MOST)?;
        Some(format!("`{name}` is over {MOST}"))
    }

    fn to_map(&self) -> Map<String, Value> {
        // Naming every field makes the compiler count them.
        let Self {
            id,
            task,
            args,
            kwargs,
            eta,
            expires,
            retries,
            attempt,
            priority,
            time_limit,
            soft_time_limit,
            ignore_result,
            root_id,
            parent_id,
            hops,
            generation,
            queue,
            headers,
            trace,
            extra,
        } = self;
        let mut map = extra.clone();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                map.insert(name.to_owned(), value);
            }
        };
        let instant = |at: &Option<Timestamp>| at.map(|at| at.to_string().into());
        let seconds = |limit: &Option<Duration>| limit.map(|limit| limit.as_secs_f64().into());
        let count = |count: u32| (count > 0).then(|| count.into());
        put("v", Some(VERSION.into()));
        put("id", Some(id.as_str().into()));
        put("task", Some(task.as_str().into()));
        put("args", (!args.is_empty()).then(|| args.clone().into()));
        put(
            "kwargs",
            (!kwargs.is_empty()).then(|| kwargs.clone().into()),
        );
        put("eta", instant(eta));
        put("expires", instant(expires));
        put("retries", count(*retries));
        put("attempt", (attempt != retries).then(|| (*attempt).into()));
        put("priority", priority.map(Value::from));
        put("time_limit", seconds(time_limit));
        put("soft_time_limit", seconds(soft_time_limit));
        put("ignore_result", ignore_result.map(Value::from));
        put("root_id", root_id.as_deref().map(Value::from));
        put("parent_id", parent_id.as_deref().map(Value::from));
        put("hops", count(*hops));
        put("generation", count(*generation));
        put("queue", queue.as_deref().map(Value::from));
        put(
            "headers",
            (!headers.is_empty()).then(|| headers.clone().into()),
        );
        put("trace", trace.as_deref().map(Value::from));
        map
    }

    /// The id of the tree's first task.
    pub fn root(&self) -> &str {
        self.root_id.as_deref().unwrap_or(&self.id)
    }
}

/// Escapes the two noncharacters that are legal JSON but that SQS refuses raw.
fn escape(text: String) -> String {
    if text.contains(['\u{fffe}', '\u{ffff}']) {
        text.replace('\u{fffe}', "\\ufffe")
            .replace('\u{ffff}', "\\uffff")
    } else {
        text
    }
}

/// A body as it is kept in the record of a task that failed: gzip.
pub(crate) fn compress(body: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    // Writing to a Vec can't fail.
    match encoder
        .write_all(body.as_bytes())
        .and_then(|()| encoder.finish())
    {
        Ok(bytes) => bytes,
        Err(error) => unreachable!("a Vec takes every byte: {error}"),
    }
}

fn wrong(name: &str, wanted: &str) -> Error {
    Error::new(
        ErrorKind::Decode,
        format!("the message's field `{name}` must be {wanted}"),
    )
    .about(name)
}

/// No count of runs or hops comes near.
pub(crate) const MOST: u32 = 1_000_000;
/// The most bytes of a name or an id.
pub(crate) const TEXT: usize = 512;

/// The fields not yet read. `null` counts as absent.
struct Fields(Map<String, Value>);

impl Fields {
    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    fn text(&mut self, name: &str) -> Result<Option<String>> {
        match self.take(name) {
            None => Ok(None),
            // Names and ids: each has to fit into a record many times over.
            Some(Value::String(text)) if text.len() <= TEXT => Ok(Some(text)),
            Some(_) => Err(wrong(name, "a text of at most 512 bytes")),
        }
    }

    fn list(&mut self, name: &str) -> Result<Vec<Value>> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => Ok(list),
            Some(_) => Err(wrong(name, "a list")),
        }
    }

    fn object(&mut self, name: &str) -> Result<Map<String, Value>> {
        match self.take(name) {
            None => Ok(Map::new()),
            Some(Value::Object(object)) => Ok(object),
            Some(_) => Err(wrong(name, "an object")),
        }
    }

    fn flag(&mut self, name: &str) -> Result<Option<bool>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(wrong(name, "true or false")),
        }
    }

    fn number(&mut self, name: &str, most: u64) -> Result<Option<u64>> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => match value.as_u64().filter(|number| *number <= most) {
                Some(number) => Ok(Some(number)),
                None => Err(wrong(name, &format!("a whole number from 0 to {most}"))),
            },
        }
    }

    fn count(&mut self, name: &str) -> Result<Option<u32>> {
        let number = self.number(name, MOST.into())?;
        Ok(number.and_then(|number| u32::try_from(number).ok()))
    }

    fn seconds(&mut self, name: &str) -> Result<Option<Duration>> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let wanted = "a number of seconds, 0 or more";
        duration(&value)
            .map(Some)
            .ok_or_else(|| wrong(name, wanted))
    }

    /// An instant: ISO 8601, or a number of seconds from `sent_at`.
    fn instant(&mut self, name: &str, sent_at: Timestamp) -> Result<Option<Timestamp>> {
        let parsed = match self.take(name) {
            None => return Ok(None),
            Some(Value::String(text)) => text.parse().ok(),
            Some(value) => duration(&value).map(|delay| sent_at + delay),
        };
        let wanted = "an ISO 8601 date-time such as 2026-03-01T12:00:00Z, or seconds from now";
        parsed.map(Some).ok_or_else(|| wrong(name, wanted))
    }
}

/// A number of seconds; more than a duration holds is the longest one, as good as for ever.
fn duration(value: &Value) -> Option<Duration> {
    let seconds = value.as_f64().filter(|seconds| *seconds >= 0.0)?;
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::io::Read as _;

    const SENT: Timestamp = Timestamp::from_millis(1_772_366_400_000);

    fn decode(body: &str) -> Result<Message, String> {
        Message::decode(body, "mid-1", SENT).map_err(|error| error.to_string())
    }

    #[test]
    fn the_least_by_hand_is_enough() {
        let message = decode(r#"{"task": "add", "args": [2, 3]}"#).unwrap();
        let mut wanted = Message::new("mid-1", "add");
        wanted.args = vec![2.into(), 3.into()];
        assert_eq!(message, wanted);
        assert_eq!(message.root(), "mid-1");
    }

    #[test]
    fn what_is_written_is_read_back_with_what_is_unknown() {
        let body = json!({
            "v": 1, "id": "a", "task": "t", "args": [1], "kwargs": {"k": null},
            "eta": "2026-03-01T12:00:00.000Z", "expires": "2026-03-01T13:00:00.000Z",
            "retries": 2, "attempt": 3, "priority": 9, "time_limit": 1.5, "soft_time_limit": 1.0,
            "ignore_result": true, "root_id": "r", "parent_id": "p", "hops": 4, "generation": 1, "queue": "q",
            "headers": {"tenant": "x"}, "trace": "00-…", "colour": "green"
        });
        let message = decode(&body.to_string()).unwrap();
        assert_eq!(message.extra["colour"], "green");
        let again: Value = serde_json::from_str(&message.encode().unwrap()).unwrap();
        assert_eq!(again, body);
    }

    #[test]
    fn the_published_schema_lists_every_field() {
        let schema: Value =
            serde_json::from_str(include_str!("../docs/message.schema.json")).unwrap();
        let body = include_str!("../../tests/fixtures/messages/v1-all.json");
        let mut written = decode(body).unwrap().to_map();
        written.remove("colour");
        let mut listed: Vec<&str> = schema["properties"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        // Read, and written as the instant that it means.
        listed.retain(|name| *name != "countdown");
        assert_eq!(written.keys().collect::<Vec<_>>(), listed);
        for (refused, name) in schema["not"]["anyOf"]
            .as_array()
            .unwrap()
            .iter()
            .zip(NOT_YET)
        {
            assert_eq!(refused["required"][0], name);
        }
    }

    #[test]
    fn old_messages_decode_for_ever() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/messages");
        let mut read = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let message = decode(&std::fs::read_to_string(&path).unwrap()).unwrap();
            assert_eq!(message.task, "add", "{}", path.display());
            assert_eq!(decode(&message.encode().unwrap()).unwrap(), message);
            read += 1;
        }
        assert!(read >= 3);
    }

    #[test]
    fn relative_times_count_from_the_send() {
        let message = decode(r#"{"task": "t", "countdown": 90, "expires": 0.5}"#).unwrap();
        assert_eq!(message.eta, Some(SENT + Duration::from_secs(90)));
        assert_eq!(message.expires, Some(SENT + Duration::from_millis(500)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            (
                "{\n  \"task\": oops",
                "the message is no JSON at line 2, column 11: expected value",
            ),
            (
                "[1]",
                "the message is JSON but no object: write {\"task\": \"name\", \"args\": []}",
            ),
            ("{}", "the message has no field `task`"),
            (
                r#"{"task": 7}"#,
                "the message's field `task` must be a text of at most 512 bytes",
            ),
            (
                r#"{"task": "t", "args": {}}"#,
                "the message's field `args` must be a list",
            ),
            (
                r#"{"task": "t", "priority": 10}"#,
                "the message's field `priority` must be a whole number from 0 to 9",
            ),
            (
                r#"{"task": "t", "countdown": -1}"#,
                "the message's field `countdown` must be a number of seconds, 0 or more",
            ),
            (
                r#"{"task": "t", "chain": []}"#,
                "this worker can't act on the field `chain` yet: send the message without it",
            ),
            (
                r#"{"task": "t", "v": 2}"#,
                "the message is of version 2; this worker reads version 1",
            ),
        ];
        for (body, message) in cases {
            assert_eq!(decode(body), Err(message.to_owned()), "{body}");
        }
    }

    #[test]
    fn noncharacters_are_escaped_for_sqs() {
        let mut message = Message::new("a", "t");
        message.args = vec!["\u{fffe}\u{ffff}é".into()];
        let body = message.encode().unwrap();
        assert!(!body.contains(['\u{fffe}', '\u{ffff}']));
        assert_eq!(Message::decode(&body, "", SENT).unwrap(), message);
    }

    #[test]
    fn too_large_says_the_limit() {
        let mut message = Message::new("a", "t");
        message.args = vec!["x".repeat(BATCH_BYTES).into()];
        let error = message.encode().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert!(error.to_string().contains("1048576"), "{error}");
    }

    #[test]
    fn a_kept_message_is_gzip() {
        let body = r#"{"task":"add"}"#;
        let mut back = String::new();
        let kept = compress(body);
        flate2::read::GzDecoder::new(kept.as_slice())
            .read_to_string(&mut back)
            .unwrap();
        assert_eq!(back, body);
    }
}
