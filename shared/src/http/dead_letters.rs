//! Dead letters: looked at, sent back to work, discarded.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::call::{self, Parameters};
use super::problem::{Problem, Sort};
use super::send::{unreadable_path, whole};
use crate::app::App;
use crate::dead_letters::{DeadLetter, Edit, Selection};

/// The most that one answer lists, and how many where nothing is said.
pub(super) const MOST: usize = 1000;
pub(super) const DEFAULT: usize = 100;

type LetterId = Result<Path<String>, PathRejection>;

/// `GET /dead-letters`: without the bodies, which may have a mebibyte each.
pub(super) async fn list(State(app): State<App>, query: Parameters) -> Result<Response, Problem> {
    let (mut selection, mut limit) = (Selection::all(), DEFAULT);
    for (name, value) in call::parameters(query)? {
        match name.as_str() {
            "id" => selection = selection.id(value),
            "limit" => limit = call::up_to(MOST, &name, &value)?,
            "older_than" => selection = selection.older_than(seconds(&value)?),
            "reason" => selection = selection.reason(value),
            "task" => selection = selection.task(value),
            _ => {
                let known = ["id", "limit", "older_than", "reason", "task"];
                call::only_known([&name], &known, "parameter")?;
            }
        }
    }
    let letters = app.dead_letters().list(&selection, limit).await?;
    let letters: Vec<Value> = letters.iter().map(summary).collect::<Result<_, _>>()?;
    super::json(StatusCode::OK, &json!({"dead_letters": letters}))
}

/// `GET /dead-letters/{id}`: with its body.
pub(super) async fn show(State(app): State<App>, id: LetterId) -> Result<Response, Problem> {
    let Path(id) = id.map_err(unreadable_path)?;
    let found = app.dead_letters().find(&id).await?;
    super::json(StatusCode::OK, &found.ok_or_else(|| unknown(&id))?)
}

/// `POST /dead-letters/{id}/redrive`: 202 when its message was sent; 200 when its task has ended well and
/// the letter was only removed.
pub(super) async fn redrive(
    State(app): State<App>,
    id: LetterId,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let Path(id) = id.map_err(unreadable_path)?;
    let edit = edit(&app, &whole(body)?)?;
    let redriven = app.dead_letters().redrive(&id, &edit).await?;
    let redriven = redriven.ok_or_else(|| unknown(&id))?;
    let status = match redriven.sent {
        true => StatusCode::ACCEPTED,
        false => StatusCode::OK,
    };
    super::json(status, &redriven)
}

/// `DELETE /dead-letters/{id}`: the letter that was, so that a slip of the hand loses nothing.
pub(super) async fn discard(State(app): State<App>, id: LetterId) -> Result<Response, Problem> {
    let Path(id) = id.map_err(unreadable_path)?;
    let discarded = app.dead_letters().discard(&id).await?;
    super::json(StatusCode::OK, &discarded.ok_or_else(|| unknown(&id))?)
}

fn unknown(id: &str) -> Problem {
    let what = format!(
        "no dead letter has the id {id}; one that somebody looks at is hidden from others for a moment"
    );
    Problem::new(Sort::UnknownDeadLetter, what)
}

fn summary(letter: &DeadLetter) -> Result<Value, Problem> {
    let mut letter = serde_json::to_value(letter).map_err(|error| {
        tracing::error!(%error, "a dead letter can't be written");
        Problem::new(Sort::Internal, "a dead letter can't be written as JSON")
    })?;
    if let Some(members) = letter.as_object_mut() {
        members.remove("body");
    }
    Ok(letter)
}

/// What is to be changed; nothing at all, where there is no body.
fn edit(app: &App, body: &[u8]) -> Result<Edit, Problem> {
    let wanted = r#"the body must be an object such as {"args": [2, 3]}"#;
    let mut body = call::object(body, &["args", "body", "kwargs", "queue"], wanted)?;
    let mut edit = Edit::default();
    let wrong = |name: &str, wanted: &str| {
        Err(Problem::invalid(name, format!("`{name}` must be {wanted}")))
    };
    edit = match take(&mut body, "args") {
        None => edit,
        Some(Value::Array(args)) => edit.args(args),
        Some(_) => return wrong("args", "a list"),
    };
    edit = match take(&mut body, "kwargs") {
        None => edit,
        Some(Value::Object(kwargs)) => edit.kwargs(kwargs),
        Some(_) => return wrong("kwargs", "an object"),
    };
    edit = match take(&mut body, "queue") {
        None => edit,
        Some(Value::String(name)) => edit.queue(call::queue(app, &name)?),
        Some(_) => return wrong("queue", "a text"),
    };
    match take(&mut body, "body") {
        None => Ok(edit),
        Some(Value::String(text)) => Ok(edit.body(text)),
        Some(message @ Value::Object(_)) => Ok(edit.body(message.to_string())),
        Some(_) => wrong("body", "a message: an object, or its text"),
    }
}

fn take(body: &mut Map<String, Value>, name: &str) -> Option<Value> {
    body.remove(name).filter(|value| !value.is_null())
}

fn seconds(text: &str) -> Result<Duration, Problem> {
    let parsed = text.parse().ok();
    parsed
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| {
            let what = "`older_than` must be a number of seconds, 0 or more";
            Problem::invalid("older_than", what)
        })
}
