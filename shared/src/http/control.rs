//! Reading and controlling: tasks and queues.

use std::time::Duration;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::call;
use super::problem::{Problem, Sort};
use super::send::unreadable_path;
use crate::app::App;
use crate::error::Result as SedanoResult;
use crate::id;

/// The longest wait for a result: API Gateway's own is 30 s.
pub(super) const LONGEST_WAIT: u32 = 25;

type TaskId = Result<Path<String>, PathRejection>;

/// `GET /tasks/{id}?wait=SECONDS`: the record, as soon as it is final.
pub(super) async fn task(
    State(app): State<App>,
    id: TaskId,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Response, Problem> {
    let id = checked(id)?;
    let Query(query) =
        query.map_err(|_| Problem::new(Sort::BadRequest, "the query string can't be read"))?;
    call::only_known(query.iter().map(|(name, _)| name), &["wait"], "parameter")?;
    let record = match query.last() {
        None => app.record(&id).await?,
        Some((_, seconds)) => app.wait(&id, wait(seconds)?).await?,
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

/// `POST /tasks/{id}/revoke`: the record, revoked.
pub(super) async fn revoke(State(app): State<App>, id: TaskId) -> Result<Response, Problem> {
    let id = checked(id)?;
    app.revoke(&id).await?;
    super::json(StatusCode::OK, &app.record(&id).await?)
}

/// `GET /queues`.
pub(super) async fn queues(State(app): State<App>) -> Result<Response, Problem> {
    super::json(StatusCode::OK, &depths(&app).await?)
}

/// The queues' depths by name.
pub(super) async fn depths(app: &App) -> SedanoResult<Map<String, Value>> {
    let depths = app.queues().await?.into_iter().map(|(name, depth)| {
        let counts = json!({
            "visible": depth.visible,
            "in_flight": depth.in_flight,
            "delayed": depth.delayed,
        });
        (name.to_string(), counts)
    });
    Ok(depths.collect())
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
