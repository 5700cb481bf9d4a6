//! The envelope: what a message says, and the only place where it is read and written.
//!
//! Flat JSON that any AWS service can write by hand; `{"task": "add", "args": [2, 3]}` is enough.
//! `docs/message.schema.json` is its published schema. Unknown fields are kept when the message is
//! forwarded, so that older and newer versions can share a queue.

mod fan_out;
mod fields;
#[cfg(test)]
mod tests;

use std::io::{Read as _, Write as _};
use std::time::Duration;

use serde_json::{Map, Value};

use crate::bind::{Args, Kwargs};
use crate::canvas::{self, Fails, GROUP};
use crate::error::{Error, ErrorKind, Result};
use crate::failure::shortened;
use crate::limits;
use crate::ports::BATCH_BYTES;
use crate::task::QUOTED;
use crate::time::Timestamp;
use crate::unique::Unique;
use crate::{id, json};

pub(crate) use fan_out::RECORDED;
pub(crate) use fields::Fields;

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
    /// When its task was sent, in a message that a worker has sent on: a retry's, say. In a first message SQS knows
    /// it.
    pub(crate) sent_at: Option<Timestamp>,
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
    /// The steps of its chain that follow, as JSON.
    pub(crate) chain: Vec<Value>,
    /// What is sent with its result.
    pub(crate) link: Vec<Value>,
    /// What is sent with its failure.
    pub(crate) link_error: Vec<Value>,
    /// The group it is a member of.
    pub(crate) member: Option<Member>,
    /// The group whose results are its first argument.
    pub(crate) results_of: Option<String>,
    /// Whether it may come again for as long as its group is looked after, and so must its record be there.
    pub(crate) guarded: bool,
    /// Whether it was parked, so that there is a record of it that isn't a run's.
    pub(crate) recorded: bool,
    /// Of the tasks that say the same here one runs at a time; who comes meanwhile is left out.
    pub(crate) no_overlap: Option<String>,
    /// What it is unique by, instead of the task's own choice.
    pub(crate) unique: Option<Unique>,
    /// For how long from when its key was taken; without it, until it is done.
    pub(crate) unique_for: Option<Duration>,
    /// The key that is held for it.
    pub(crate) unique_held: Option<String>,
    /// In the message of a group: what it is to send.
    pub(crate) fan_out: Option<Box<FanOut>>,
    /// What this version doesn't know, kept.
    pub extra: Map<String, Value>,
}

/// A place in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// The group's id.
    pub(crate) group: String,
    /// From 0.
    pub(crate) index: u32,
    /// How many members the group has.
    pub(crate) size: u32,
    /// Whether the group fails as soon as one of them does.
    pub(crate) fast: bool,
    /// Whether it is the one that stands for a task which was replaced.
    pub(crate) stands: bool,
}

/// A group that is to be sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FanOut {
    /// The members, as JSON.
    pub(crate) members: Vec<Value>,
    /// What follows with the list of their results, as JSON.
    pub(crate) body: Option<Value>,
    pub(crate) fails: Fails,
    /// Where these are only some of the members: which.
    pub(crate) part: Option<Part>,
    /// Where nothing is to be sent, but the group to be looked at: the beginning of the ten minutes in which
    /// it was opened.
    pub(crate) check: Option<Timestamp>,
}

/// Some of a group's members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// The place of the first of them.
    pub(crate) first: u32,
    /// How many members the group has.
    pub(crate) size: u32,
    /// Whether it is kept what they are, should they be lost.
    pub(crate) kept: bool,
}

/// Fields of later versions that change what must happen: a worker that doesn't know them must
/// refuse the message rather than run it without them.
///
/// `payload` will name where the arguments lie: a reference that isn't understood is not followed.
const NOT_YET: [&str; 1] = ["payload"];

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
            sent_at: None,
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
            chain: Vec::new(),
            link: Vec::new(),
            link_error: Vec::new(),
            member: None,
            results_of: None,
            guarded: false,
            recorded: false,
            no_overlap: None,
            unique: None,
            unique_for: None,
            unique_held: None,
            fan_out: None,
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
        let mut fields = Fields::new(map, "the message");
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
        let composed = ["chain", "group", "chord"];
        if composed.iter().any(|kind| fields.has(kind))
            && !(fields.has("task") || fields.has("group_id"))
        {
            return Self::first_by_hand(fields.rest(), message_id, sent_at);
        }
        let fan_out = fields.fan_out()?;
        fields.take("group_id");
        let task = match (fields.text("task")?, &fan_out) {
            (Some(_), Some(_)) => {
                return Err(Error::new(
                    ErrorKind::Decode,
                    "the message has both `task` and a group: it can be one of them only",
                ));
            }
            (Some(task), None) => task,
            (None, Some(_)) => GROUP.to_owned(),
            (None, None) => {
                return Err(Error::new(
                    ErrorKind::Decode,
                    "the message has none of the fields `task`, `chain`, `group` and `chord`",
                ));
            }
        };
        let id = fields.text("id")?.unwrap_or_else(|| message_id.to_owned());
        if !id::is_valid(&id) {
            return Err(fields.wrong("id", id::RULE));
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
            sent_at: fields.instant("sent_at", sent_at)?,
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
            chain: fields.steps("chain")?,
            link: fields.steps("link")?,
            link_error: fields.steps("link_error")?,
            member: fields.member()?,
            results_of: fields.text("results_of")?,
            guarded: fields.flag("guarded")?.unwrap_or(false),
            recorded: fields.flag("recorded")?.unwrap_or(false),
            no_overlap: fields.text("no_overlap")?,
            unique: fields.unique("unique")?,
            unique_for: fields.seconds("unique_for")?,
            unique_held: fields.text("unique_held")?,
            fan_out,
            extra: fields.rest(),
            id,
        })
    }

    /// A composition as a sender writes it by hand: it becomes the message that starts it. Its result, as
    /// ever, is found under the id of the message.
    fn first_by_hand(
        map: Map<String, Value>,
        message_id: &str,
        sent_at: Timestamp,
    ) -> Result<Self> {
        let mut canvas = canvas::read_map(map, "the message")?;
        let id = canvas.id().cloned();
        canvas.identify(id.as_deref().unwrap_or(message_id));
        Ok(canvas.start(sent_at)?.message)
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
            || self.steps().any(deeper)
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
            ("no_overlap", self.no_overlap.as_ref()),
            ("unique_held", self.unique_held.as_ref()),
        ];
        let long = |text: Option<&String>| text.is_some_and(|text| text.len() > TEXT);
        if let Some((name, _)) = texts.into_iter().find(|(_, text)| long(*text)) {
            return Some(format!("`{name}` has more than {TEXT} bytes"));
        }
        let members = self.fan_out.as_ref().map_or(0, |fan_out| fan_out.size());
        if usize::try_from(MOST).is_ok_and(|most| members > most) {
            return Some(format!(
                "its group has {members} members; {MOST} are allowed"
            ));
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
            sent_at,
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
            chain,
            link,
            link_error,
            member,
            results_of,
            guarded,
            recorded,
            no_overlap,
            unique,
            unique_for,
            unique_held,
            fan_out,
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
        put("task", fan_out.is_none().then(|| task.as_str().into()));
        put("args", (!args.is_empty()).then(|| args.clone().into()));
        put(
            "kwargs",
            (!kwargs.is_empty()).then(|| kwargs.clone().into()),
        );
        put("eta", instant(eta));
        put("expires", instant(expires));
        put("sent_at", instant(sent_at));
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
        let list = |list: &Vec<Value>| (!list.is_empty()).then(|| list.clone().into());
        put("chain", list(chain));
        put("link", list(link));
        put("link_error", list(link_error));
        put("member", member.as_ref().map(Member::to_json));
        put("results_of", results_of.as_deref().map(Value::from));
        put("guarded", guarded.then(|| true.into()));
        put("recorded", recorded.then(|| true.into()));
        put("no_overlap", no_overlap.as_deref().map(Into::into));
        put("unique", unique.as_ref().map(Unique::to_json));
        put("unique_for", seconds(unique_for));
        put("unique_held", unique_held.as_deref().map(Into::into));
        if let Some(fan_out) = fan_out {
            map.insert("group_id".to_owned(), id.as_str().into());
            fan_out.write(&mut map);
        }
        map
    }

    /// Every step that it carries.
    fn steps(&self) -> impl Iterator<Item = &Value> {
        let fan_out = self.fan_out.iter();
        let parts = fan_out.flat_map(|fan_out| fan_out.members.iter().chain(&fan_out.body));
        let lists = [&self.chain, &self.link, &self.link_error];
        lists.into_iter().flatten().chain(parts)
    }

    /// Whether something follows from its end.
    pub(crate) fn goes_on(&self) -> bool {
        self.member.is_some() || !(self.chain.is_empty() && self.link.is_empty())
    }

    /// The key that is given back when its task is done.
    pub(crate) fn key_until_done(&self) -> Option<&str> {
        let until_done = self.unique_for.is_none();
        self.unique_held.as_deref().filter(|_| until_done)
    }

    /// The id of the tree's first task.
    pub fn root(&self) -> &str {
        self.root_id.as_deref().unwrap_or(&self.id)
    }
}

/// Escapes the two noncharacters that are legal JSON but that SQS refuses raw.
pub(crate) fn escape(text: String) -> String {
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

/// The text that [`compress`] made bytes of. `None` for any other bytes.
pub(crate) fn decompress(bytes: &[u8]) -> Option<String> {
    // It came in one message, which may have been written otherwise.
    const MOST: u64 = 2 * BATCH_BYTES as u64;
    let mut text = String::new();
    let decoder = flate2::read::GzDecoder::new(bytes);
    decoder.take(MOST).read_to_string(&mut text).ok()?;
    Some(text)
}

/// No count of runs or hops comes near, and no group has more members.
pub(crate) const MOST: u32 = 1_000_000;
/// The most bytes of a name or an id.
pub(crate) const TEXT: usize = 512;
