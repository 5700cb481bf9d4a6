//! What a sender outside Rust asks for, checked: a task that exists, arguments that fit it, options
//! that are known.
//!
//! Both ways in use it: the HTTP API, and the direct invocation of the producer. Nothing is sent that
//! the worker would only refuse.

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use serde_json::{Map, Value};

use super::problem::{Problem, Sort};
use crate::app::App;
use crate::failure::shortened;
use crate::launch::{NotForTasks, check_queue};
use crate::message::Message;
use crate::ports::QueueName;
use crate::signature::{Call, Expires, Signature};
use crate::task::{QUOTED, TaskDef, nearest};

/// The sending options, by the names of the envelope's fields.
pub(crate) const OPTIONS: [&str; 13] = [
    "countdown",
    "eta",
    "expires",
    "headers",
    "id",
    "ignore_result",
    "message_group",
    "priority",
    "queue",
    "soft_time_limit",
    "time_limit",
    "unique",
    "unique_for",
];

/// The task that answers to this name.
pub(crate) fn find<'a>(app: &'a App, name: &str) -> Result<&'a TaskDef, Problem> {
    app.registered().get(name).map_err(|error| {
        let problem = Problem::from(error);
        match nearest(name, app.registered().iter().map(|task| task.name)) {
            Some(near) => problem.with("did_you_mean", near),
            None => problem,
        }
    })
}

/// The members of a body that is an object of none but the `known`; none, where there is no body. `wanted` is a sentence
/// that shows what to send.
pub(crate) fn object(
    body: &[u8],
    known: &[&str],
    wanted: &str,
) -> Result<Map<String, Value>, Problem> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    let body = serde_json::from_slice(body)
        .map_err(|error| Problem::not_json("the body", body, &error))?;
    let Value::Object(body) = body else {
        return Err(Problem::new(Sort::Invalid, wanted));
    };
    only_known(body.keys(), known, "member")?;
    Ok(body)
}

/// A query string, which may be none.
pub(crate) type Parameters = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// The parameters, in their order.
pub(crate) fn parameters(query: Parameters) -> Result<Vec<(String, String)>, Problem> {
    match query {
        Ok(Query(query)) => Ok(query),
        Err(_) => Err(Problem::new(
            Sort::BadRequest,
            "the query string can't be read",
        )),
    }
}

/// The value of the only parameter there is, if it is given; of several the last.
pub(crate) fn parameter(query: Parameters, name: &str) -> Result<Option<String>, Problem> {
    let mut query = parameters(query)?;
    only_known(query.iter().map(|(given, _)| given), &[name], "parameter")?;
    Ok(query.pop().map(|(_, value)| value))
}

/// The value of a parameter that says how many, from 1 to `most`.
pub(crate) fn up_to(most: usize, name: &str, text: &str) -> Result<usize, Problem> {
    let count = text.parse().ok();
    count
        .filter(|count| (1..=most).contains(count))
        .ok_or_else(|| {
            let what = format!("`{name}` must be a whole number from 1 to {most}");
            Problem::invalid(name, what).with("limit", most)
        })
}

/// Refuses what isn't one of `known`, naming the one that may be meant.
pub(crate) fn only_known<'a>(
    given: impl IntoIterator<Item = &'a String>,
    known: &[&str],
    what: &str,
) -> Result<(), Problem> {
    let Some(name) = given
        .into_iter()
        .find(|name| !known.contains(&name.as_str()))
    else {
        return Ok(());
    };
    let near = nearest(name, known.iter().copied());
    let name = &shortened(name, QUOTED);
    let hint = near.map_or_else(
        || format!("; there are {}", known.join(", ")),
        |near| format!("; did you mean `{near}`?"),
    );
    let problem = Problem::invalid(name, format!("there is no {what} `{name}`{hint}"));
    Err(match near {
        Some(near) => problem.with("did_you_mean", near),
        None => problem,
    })
}

/// A call as it may be sent, from the fields of an envelope; an id is made where none is given.
pub(crate) fn read(
    app: &App,
    mut fields: Map<String, Value>,
) -> Result<(String, Signature<(), Value>), Problem> {
    let group = match fields.remove("message_group") {
        None | Some(Value::Null) => None,
        Some(Value::String(group)) if (1..=128).contains(&group.len()) => Some(group),
        Some(_) => {
            let what = "`message_group` must be a text of 1 to 128 characters";
            return Err(Problem::invalid("message_group", what));
        }
    };
    let ports = app.ports();
    let now = ports.clock.now();
    let id = crate::id::fresh(&*ports.clock, &*ports.entropy);
    let message = Message::from_map(fields, &id, now).map_err(|error| {
        let text = error.to_string();
        // The words are a worker's, about a message; here they are about a request.
        let detail = text.strip_prefix("the message's field ").unwrap_or(&text);
        match error.parameter() {
            Some(parameter) => Problem::invalid(parameter, detail),
            None => Problem::new(Sort::Invalid, detail),
        }
    })?;
    let task = find(app, &message.task)?;
    task.check(message.args.clone(), message.kwargs.clone())?;
    let queue = message.queue.map(|name| queue(app, &name)).transpose()?;

    let mut call = Call::named(message.task);
    call.id = Some(message.id.clone());
    call.arguments = Ok((message.args, message.kwargs));
    call.queue = queue;
    call.eta = message.eta;
    call.expires = message.expires.map(Expires::At);
    call.priority = message.priority;
    call.time_limit = message.time_limit;
    call.soft_time_limit = message.soft_time_limit;
    call.ignore_result = message.ignore_result;
    call.unique = message.unique;
    call.unique_for = message.unique_for;
    call.headers = message.headers;
    call.message_group = group;
    call.root_id = message.root_id;
    call.parent_id = message.parent_id;
    call.trace = message.trace;
    Ok((message.id, Signature::of(call.into())))
}

/// The queue of that name, where tasks may go to it.
pub(crate) fn queue(app: &App, name: &str) -> Result<QueueName, Problem> {
    let queue = QueueName::new(name);
    match check_queue(app.config(), &queue) {
        Ok(()) => Ok(queue),
        Err(NotForTasks::WorkersOnly(what)) => Err(Problem::invalid("queue", what)),
        Err(NotForTasks::Unknown(None)) => {
            let what = format!("no queue is named `{name}`");
            Err(Problem::invalid("queue", what))
        }
        Err(NotForTasks::Unknown(Some(near))) => {
            let what = format!("no queue is named `{name}`; did you mean `{near}`?");
            Err(Problem::invalid("queue", what).with("did_you_mean", near))
        }
    }
}
