//! Reading and controlling: tasks and queues.

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
use crate::error::Result as SedanoResult;
use crate::id;
use crate::message::Fields;
use crate::ports::{Depth, QueueName};
use crate::revocations::RevokeOutcome;
use crate::time::Timestamp;

/// The longest wait for a result: API Gateway's own is 30 s.
pub(super) const LONGEST_WAIT: u32 = 25;

/// What an `eta` must be.
const AN_INSTANT: &str = "an ISO 8601 date-time such as 2026-03-01T12:00:00Z";

type TaskId = Result<Path<String>, PathRejection>;

/// `GET /tasks/{id}?wait=SECONDS`: the record, as soon as it is final.
pub(super) async fn task(
    State(app): State<App>,
    id: TaskId,
    query: Parameters,
) -> Result<Response, Problem> {
    let id = checked(id)?;
    let record = match call::parameter(query, "wait")? {
        None => app.record(&id).await?,
        Some(seconds) => app.wait(&id, wait(&seconds)?).await?,
    };
    super::json(StatusCode::OK, &app.whole(record).await?)
}

fn wait(seconds: &str) -> Result<Duration, Problem> {
    let longest = Duration::from_secs(LONGEST_WAIT.into());
    let parsed = seconds
        .parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    parsed.filter(|wait| *wait <= longest).ok_or_else(|| {
        let what = format!("`wait` must be a number of seconds from 0 to {LONGEST_WAIT}");
        Problem::invalid("wait", what).with("limit", LONGEST_WAIT)
    })
}

/// `POST /tasks/{id}/revoke`: the record, revoked; 202, if it runs and was asked to stop.
pub(super) async fn revoke(State(app): State<App>, id: TaskId) -> Result<Response, Problem> {
    let id = checked(id)?;
    let status = match app.revoke(&id).await? {
        RevokeOutcome::Revoked => StatusCode::OK,
        RevokeOutcome::Requested => StatusCode::ACCEPTED,
    };
    super::json(status, &app.record(&id).await?)
}

/// `POST /tasks/{id}/reschedule`: the record, due when the body says.
pub(super) async fn reschedule(
    State(app): State<App>,
    id: TaskId,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let id = checked(id)?;
    let eta = due(&whole(body)?, app.now())?;
    app.reschedule(&id, eta).await?;
    super::json(StatusCode::OK, &app.record(&id).await?)
}

/// When the task is to be due: one of `eta` and `countdown`. Of a move nobody should have to know which of two wins.
fn due(body: &[u8], now: Timestamp) -> Result<Timestamp, Problem> {
    const WANTED: &str =
        r#"say when: {"eta": "2026-03-01T12:00:00Z"}, or {"countdown": 3600} in seconds from now"#;
    let body = call::object(body, &["countdown", "eta"], WANTED)?;
    let wrong = |name: &str, wanted: &str| {
        Err(Problem::invalid(name, format!("`{name}` must be {wanted}")))
    };
    let mut fields = Fields::new(body, "the body");
    let Ok(countdown) = fields.seconds("countdown") else {
        return wrong("countdown", "a number of seconds, 0 or more");
    };
    let eta = match fields.take("eta") {
        None => None,
        Some(Value::String(text)) => match text.parse() {
            Ok(eta) => Some(eta),
            Err(_) => return wrong("eta", AN_INSTANT),
        },
        Some(_) => return wrong("eta", AN_INSTANT),
    };
    match (eta, countdown) {
        (Some(eta), None) => Ok(eta),
        (None, Some(delay)) => Ok(now + delay),
        (None, None) => Err(Problem::new(Sort::Invalid, WANTED)),
        (Some(_), Some(_)) => {
            let what = "`eta` and `countdown` exclude each other: say one";
            Err(Problem::invalid("countdown", what))
        }
    }
}

/// `GET /queues`.
pub(super) async fn queues(State(app): State<App>) -> Result<Response, Problem> {
    super::json(StatusCode::OK, &depths(&app).await?)
}

/// `POST /queues/{queue}/purge`: about what it held. Whoever sends it names the queue twice.
pub(super) async fn purge(
    State(app): State<App>,
    queue: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let Path(queue) = queue.map_err(unreadable_path)?;
    if !app.config().queues.contains_key(&QueueName::new(&queue)) {
        let what = app.no_such_queue(&queue).to_string();
        return Err(Problem::new(Sort::UnknownQueue, what));
    }
    let confirm = json!({"confirm": queue});
    let wanted =
        format!("this deletes what `{queue}` holds, for good: if that is meant, send {confirm}");
    if Value::Object(call::object(&whole(body)?, &["confirm"], &wanted)?) != confirm {
        return Err(Problem::invalid("confirm", wanted));
    }
    super::json(StatusCode::OK, &counts(&app.purge(&queue).await?))
}

/// The queues' depths by name.
pub(super) async fn depths(app: &App) -> SedanoResult<Map<String, Value>> {
    let depths = app
        .queues()
        .await?
        .into_iter()
        .map(|(name, depth)| (name.to_string(), counts(&depth)));
    Ok(depths.collect())
}

fn counts(depth: &Depth) -> Value {
    json!({
        "visible": depth.visible,
        "in_flight": depth.in_flight,
        "delayed": depth.delayed,
    })
}

fn checked(id: TaskId) -> Result<String, Problem> {
    let Path(id) = id.map_err(unreadable_path)?;
    check_id(&id)?;
    Ok(id)
}

/// An id that a task can have.
pub(super) fn check_id(id: &str) -> Result<(), Problem> {
    if !id::is_valid(id) {
        return Err(Problem::invalid(
            "task",
            format!("a task id is {}", id::RULE),
        ));
    }
    Ok(())
}
