//! Beat's entries over HTTP: listed, written, paused, run, removed, and what was and will be due.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

use super::call::{self, Parameters};
use super::problem::{Problem, Sort};
use super::send::{unreadable_path, whole};
use crate::app::App;
use crate::beat::{Entries, Entry};
use crate::error::{Error, ErrorKind};
use crate::failure::shortened;
use crate::task::QUOTED;

/// The most due times that one answer tells, and how many where nothing is said.
pub(super) const MOST: usize = 100;
pub(super) const DEFAULT: usize = 10;

type Name = Result<Path<String>, PathRejection>;

/// `GET /beat`.
pub(super) async fn list(State(app): State<App>) -> Result<Response, Problem> {
    let entries = Entries::of(&app).list().await?;
    super::json(StatusCode::OK, &json!({"entries": entries}))
}

/// `GET /beat/{entry}`.
pub(super) async fn show(State(app): State<App>, name: Name) -> Result<Response, Problem> {
    let Path(name) = name.map_err(unreadable_path)?;
    let entry = Entries::of(&app).get(&name).await.map_err(problem)?;
    super::json(StatusCode::OK, &entry)
}

/// `PUT /beat/{entry}`: 201 for one that wasn't there. With `If-None-Match: *` only such a one, with
/// `If-Match: *` only one that is there.
pub(super) async fn put(
    State(app): State<App>,
    name: Name,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let Path(name) = name.map_err(unreadable_path)?;
    let entry = entry(name, &whole(body)?, "the body")?;
    let entries = Entries::of(&app);
    let only = |header: HeaderName| headers.get(header).is_some_and(|value| value == "*");
    if only(header::IF_NONE_MATCH) {
        let added = entries.add(entry).await.map_err(problem)?;
        return super::json(StatusCode::CREATED, &added);
    }
    match entries.edit(entry.clone()).await {
        Err(error) if is_missing(&error) && !only(header::IF_MATCH) => {
            let added = entries.add(entry).await.map_err(problem)?;
            super::json(StatusCode::CREATED, &added)
        }
        edited => super::json(StatusCode::OK, &edited.map_err(problem)?),
    }
}

/// `DELETE /beat/{entry}`: the entry that was, so that a slip of the hand loses nothing.
pub(super) async fn remove(State(app): State<App>, name: Name) -> Result<Response, Problem> {
    let Path(name) = name.map_err(unreadable_path)?;
    let entries = Entries::of(&app);
    let was = entries.get(&name).await.map_err(problem)?;
    entries.remove(&name).await.map_err(problem)?;
    super::json(StatusCode::OK, &was)
}

/// `POST /beat/{entry}/pause`.
pub(super) async fn pause(State(app): State<App>, name: Name) -> Result<Response, Problem> {
    let Path(name) = name.map_err(unreadable_path)?;
    let paused = Entries::of(&app).pause(&name).await.map_err(problem)?;
    super::json(StatusCode::OK, &paused)
}

/// `POST /beat/{entry}/resume`.
pub(super) async fn resume(State(app): State<App>, name: Name) -> Result<Response, Problem> {
    let Path(name) = name.map_err(unreadable_path)?;
    let resumed = Entries::of(&app).resume(&name).await.map_err(problem)?;
    super::json(StatusCode::OK, &resumed)
}

/// `POST /beat/{entry}/run`.
pub(super) async fn run(State(app): State<App>, name: Name) -> Result<Response, Problem> {
    let Path(name) = name.map_err(unreadable_path)?;
    let id = Entries::of(&app).run_now(&name).await.map_err(problem)?;
    super::json(
        StatusCode::ACCEPTED,
        &json!({"id": id, "status": "PENDING"}),
    )
}

/// `GET /beat/{entry}/next?n=COUNT`.
pub(super) async fn next(
    State(app): State<App>,
    name: Name,
    query: Parameters,
) -> Result<Response, Problem> {
    let (name, count) = counted(name, query)?;
    let next = Entries::of(&app).next(&name, count).await;
    super::json(StatusCode::OK, &json!({"next": next.map_err(problem)?}))
}

/// `GET /beat/{entry}/history?n=COUNT`.
pub(super) async fn history(
    State(app): State<App>,
    name: Name,
    query: Parameters,
) -> Result<Response, Problem> {
    let (name, count) = counted(name, query)?;
    let past = Entries::of(&app).history(&name, count).await;
    super::json(StatusCode::OK, &json!({"history": past.map_err(problem)?}))
}

/// A text as an entry of this name, which may stand in the text too; `what` ("the body") is what sentences call it.
pub(super) fn entry(name: String, text: &[u8], what: &str) -> Result<Entry, Problem> {
    let json: Value =
        serde_json::from_slice(text).map_err(|error| Problem::not_json(what, text, &error))?;
    let Value::Object(mut map) = json else {
        let what = format!(
            r#"{what} must be an entry such as {{"schedule": {{"every": 30}}, "task": {{"task": "ping"}}}}"#
        );
        return Err(Problem::new(Sort::Invalid, what));
    };
    match map.get("name") {
        None | Some(Value::Null) => {}
        Some(Value::String(same)) if *same == name => {}
        Some(_) => {
            let asked = shortened(&name, QUOTED);
            let what = format!(
                "`name` must be `{asked}` as in the request, or be left out: an entry can't be renamed"
            );
            return Err(Problem::invalid("name", what));
        }
    }
    map.insert("name".to_owned(), name.into());
    Ok(Entry::try_from(Value::Object(map))?)
}

/// An entry, and how many of its due times are asked for.
fn counted(name: Name, query: Parameters) -> Result<(String, usize), Problem> {
    let Path(name) = name.map_err(unreadable_path)?;
    let count = call::parameter(query, "n")?;
    let count = count.map_or(Ok(DEFAULT), |text| call::up_to(MOST, "n", &text))?;
    Ok((name, count))
}

/// There is no such entry; a table that isn't there is another matter.
fn is_missing(error: &Error) -> bool {
    error.kind() == ErrorKind::NotFound && error.parameter() == Some(Entries::MISSING)
}

/// An error of an entry as what the API says of it.
pub(super) fn problem(error: Error) -> Problem {
    if is_missing(&error) {
        return Problem::new(Sort::UnknownEntry, error.to_string());
    }
    error.into()
}
