//! A composition as JSON: what stands in messages, and what senders in other languages write.
//!
//! ```json
//! {"chain": [{"task": "add", "args": [2, 2]}, {"task": "mul", "args": [8]}]}
//! {"group": [{"task": "add", "args": [1, 1]}, {"task": "add", "args": [2, 2]}]}
//! {"chord": [{"task": "add", "args": [1, 1]}], "body": {"task": "xsum"}}
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Result};
use crate::id;
use crate::message::Fields;
use crate::ports::QueueName;
use crate::signature::{Call, Expires};
use crate::time::Timestamp;
use crate::unique::Unique;

use super::{Canvas, Fails, Group};

/// The fields of which a step has one, by which it is told what it is.
const KINDS: [&str; 4] = ["task", "chain", "group", "chord"];

/// What was linked to a group before it was given a body: `link` beside a chord is the whole's, and so the body's.
const HEADER_LINK: &str = "header_link";
const HEADER_LINK_ERROR: &str = "header_link_error";

/// Fields that say of a message what it is in the midst of.
const WRITTEN: [&str; 14] = [
    "attempt",
    "check",
    "generation",
    "group_id",
    "guarded",
    "recorded",
    "hops",
    "member",
    "part",
    "payload",
    "results_of",
    "retries",
    "sent_at",
    "unique_held",
];

/// Reads a composition. `of` says in errors whose it is: "step 2 of the chain".
///
/// # Errors
/// `Decode`, with the step and the field that is to blame.
pub(crate) fn read(value: Value, of: &str) -> Result<Canvas> {
    match value {
        Value::Object(map) => read_map(map, of),
        _ => Err(Error::new(
            ErrorKind::Decode,
            format!("{of} must be an object such as {{\"task\": \"name\", \"args\": []}}"),
        )),
    }
}

pub(crate) fn read_map(map: Map<String, Value>, of: &str) -> Result<Canvas> {
    let mut fields = Fields::new(map, of);
    let mut kinds = KINDS.into_iter().filter(|kind| fields.has(kind));
    let kind = kinds.next();
    if let (Some(one), Some(other)) = (kind, kinds.next()) {
        return Err(Error::new(
            ErrorKind::Decode,
            format!("{of} has both `{one}` and `{other}`: it can be one of them only"),
        ));
    }
    match kind {
        Some("task") => read_call(fields, of),
        Some("chain") => {
            let steps = read_all(fields.list("chain")?, |place| {
                format!("step {place} of {of}'s chain")
            })?;
            let mut steps = steps.into_iter();
            let first = steps.next().ok_or_else(|| empty("chain"))?;
            // Put together as by a builder: a group that something follows becomes a chord.
            let chain = match first {
                first @ Canvas::Task(_) => Canvas::Chain(VecDeque::from([first])),
                first => first,
            };
            finish(steps.fold(chain, Canvas::then), fields, "chain", of)
        }
        Some(kind) => {
            let members = read_all(fields.list(kind)?, |place| {
                format!("member {place} of {of}'s {kind}")
            })?;
            let body = match fields.take("body") {
                Some(body) => Some(read(body, &format!("the body of {of}'s chord"))?),
                None if kind == "chord" => {
                    return Err(Error::new(
                        ErrorKind::Decode,
                        format!("{of}'s chord has no `body`: without one it is a `group`"),
                    ));
                }
                None => None,
            };
            let fails = fields.fails()?;
            let group_id = fields.text("group_id")?;
            if group_id.as_ref().is_some_and(|id| !id::is_valid(id)) {
                return Err(fields.wrong("group_id", id::RULE));
            }
            let mut group = Group {
                id: group_id,
                members,
                body,
                fails,
                ..Group::default()
            };
            if group.body.is_some() {
                group.link = callbacks(&mut fields, HEADER_LINK, of)?;
                group.link_error = callbacks(&mut fields, HEADER_LINK_ERROR, of)?;
            }
            finish(Canvas::Group(Box::new(group)), fields, kind, of)
        }
        None => Err(Error::new(
            ErrorKind::Decode,
            format!("{of} has none of the fields `task`, `chain`, `group` and `chord`"),
        )),
    }
}

/// What a chain, a group or a chord may have beside its parts.
fn finish(mut canvas: Canvas, mut fields: Fields, kind: &str, of: &str) -> Result<Canvas> {
    if let Some(id) = fields.text("id")? {
        if !id::is_valid(&id) {
            return Err(fields.wrong("id", id::RULE));
        }
        canvas.set_id(id);
    }
    for callback in callbacks(&mut fields, "link", of)? {
        canvas.link(callback);
    }
    for errback in callbacks(&mut fields, "link_error", of)? {
        canvas.link_error(&errback);
    }
    // The version of the format is the message's.
    fields.take("v");
    match fields.rest().keys().next() {
        None => Ok(canvas),
        Some(name) => Err(Error::new(
            ErrorKind::Decode,
            format!(
                "{of} has a field `{name}`, which a {kind} can't have: give it to the tasks in it"
            ),
        )),
    }
}

/// One callback, or a list of them.
fn callbacks(fields: &mut Fields, name: &'static str, of: &str) -> Result<Vec<Canvas>> {
    let list = match fields.take(name) {
        None => Vec::new(),
        Some(Value::Array(list)) => list,
        Some(one) => vec![one],
    };
    read_all(list, |place| format!("`{name}` {place} of {of}"))
}

fn read_all(list: Vec<Value>, of: impl Fn(usize) -> String) -> Result<Vec<Canvas>> {
    let numbered = list.into_iter().enumerate();
    numbered
        .map(|(place, value)| read(value, &of(place + 1)))
        .collect()
}

fn read_call(mut fields: Fields, of: &str) -> Result<Canvas> {
    let task = fields.text("task")?.unwrap_or_default();
    let mut call = Call::named(task);
    call.arguments = Ok((fields.list("args")?, fields.object("kwargs")?));
    call.id = fields.text("id")?;
    if call.id.as_ref().is_some_and(|id| !id::is_valid(id)) {
        return Err(fields.wrong("id", id::RULE));
    }
    call.immutable = fields.flag("immutable")?.unwrap_or(false);
    call.queue = fields.text("queue")?.map(QueueName::new);
    call.countdown = fields.seconds("countdown")?;
    (call.eta, call.expires) = match (fields.moment("eta")?, fields.moment("expires")?) {
        (Some(Expires::After(delay)), expires) => {
            call.countdown = call.countdown.or(Some(delay));
            (None, expires)
        }
        (Some(Expires::At(eta)), expires) => (Some(eta), expires),
        (None, expires) => (None, expires),
    };
    call.priority = match fields.number("priority", 9)? {
        Some(priority) => u8::try_from(priority).ok(),
        None => None,
    };
    call.time_limit = fields.seconds("time_limit")?;
    call.soft_time_limit = fields.seconds("soft_time_limit")?;
    call.ignore_result = fields.flag("ignore_result")?;
    call.unique = fields.unique("unique")?;
    call.unique_for = fields.seconds("unique_for")?;
    call.headers = fields.object("headers")?;
    call.message_group = fields.text("message_group")?;
    call.link = callbacks(&mut fields, "link", of)?;
    call.link_error = callbacks(&mut fields, "link_error", of)?;
    call.extra = fields.rest();
    if let Some(name) = WRITTEN
        .into_iter()
        .find(|name| call.extra.contains_key(*name))
    {
        return Err(Error::new(
            ErrorKind::Decode,
            format!(
                "{of} has a field `{name}`, which a step can't have: workers write it, into messages"
            ),
        ));
    }
    Ok(call.into())
}

/// Writes a composition; fields at their defaults are left out.
///
/// # Errors
/// `Encode`, for arguments that can't be written as JSON.
pub(crate) fn write(canvas: Canvas) -> Result<Value> {
    match canvas {
        Canvas::Task(call) => write_call(*call),
        Canvas::Chain(steps) => {
            let steps = write_all(steps)?;
            Ok(Value::Object(Map::from_iter([(
                "chain".to_owned(),
                steps.into(),
            )])))
        }
        Canvas::Group(group) => {
            let mut map = Map::new();
            write_group(*group, &mut map)?;
            Ok(map.into())
        }
    }
}

/// Writes many.
///
/// # Errors
/// As [`write`], for the first that can't be written.
pub(crate) fn write_all(steps: impl IntoIterator<Item = Canvas>) -> Result<Vec<Value>> {
    steps.into_iter().map(write).collect()
}

fn write_group(group: Group, map: &mut Map<String, Value>) -> Result<()> {
    let kind = match group.body {
        Some(_) => "chord",
        None => "group",
    };
    map.insert(kind.to_owned(), write_all(group.members)?.into());
    if let Some(body) = group.body {
        map.insert("body".to_owned(), write(body)?);
    }
    if let Some(id) = group.id {
        map.insert("group_id".to_owned(), id.into());
    }
    if group.fails != Fails::default() {
        map.insert("on_failure".to_owned(), word(group.fails).into());
    }
    let (link, link_error) = match kind {
        "chord" => (HEADER_LINK, HEADER_LINK_ERROR),
        _ => ("link", "link_error"),
    };
    put_list(map, link, write_all(group.link)?);
    put_list(map, link_error, write_all(group.link_error)?);
    Ok(())
}

/// The policy's word on the wire.
pub(crate) fn word(fails: Fails) -> &'static str {
    let mut all = Fails::ALL.into_iter();
    all.find_map(|(one, word)| (one == fails).then_some(word))
        .unwrap_or("wait")
}

fn put_list(map: &mut Map<String, Value>, name: &str, list: Vec<Value>) {
    if !list.is_empty() {
        map.insert(name.to_owned(), list.into());
    }
}

fn write_call(mut call: Call) -> Result<Value> {
    let (args, kwargs) = call.take_arguments()?;
    let mut map = call.extra;
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            map.insert(name.to_owned(), value);
        }
    };
    let seconds = |limit: Option<Duration>| limit.map(|limit| limit.as_secs_f64().into());
    let instant = |at: Timestamp| Value::from(at.to_string());
    put("task", Some(call.task.into()));
    put("args", (!args.is_empty()).then(|| args.into()));
    put("kwargs", (!kwargs.is_empty()).then(|| kwargs.into()));
    put("id", call.id.map(Value::from));
    put("immutable", call.immutable.then(|| true.into()));
    put("queue", call.queue.map(|queue| queue.as_str().into()));
    put("countdown", seconds(call.countdown));
    put("eta", call.eta.map(instant));
    put(
        "expires",
        call.expires.and_then(|expires| match expires {
            Expires::After(after) => seconds(Some(after)),
            Expires::At(at) => Some(instant(at)),
        }),
    );
    put("priority", call.priority.map(Value::from));
    put("time_limit", seconds(call.time_limit));
    put("soft_time_limit", seconds(call.soft_time_limit));
    put("ignore_result", call.ignore_result.map(Value::from));
    put("unique", call.unique.as_ref().map(Unique::to_json));
    put("unique_for", seconds(call.unique_for));
    put(
        "headers",
        (!call.headers.is_empty()).then(|| call.headers.into()),
    );
    put("message_group", call.message_group.map(Value::from));
    put_list(&mut map, "link", write_all(call.link)?);
    put_list(&mut map, "link_error", write_all(call.link_error)?);
    Ok(map.into())
}

pub(super) fn empty(what: &str) -> Error {
    Error::new(
        ErrorKind::Decode,
        format!("a {what} without steps does nothing: give it one"),
    )
}
