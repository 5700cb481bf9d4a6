//! The HTTP API: one router for the functions behind API Gateway and for the local stack.
//!
//! | request | answer |
//! |---|---|
//! | `POST /tasks/{name}` | sends a task: 202 with its id |
//! | `GET /tasks/{id}?wait=SECONDS` | the task's record, waited for up to 25 s |
//! | `POST /tasks/{id}/revoke` | revokes a task: 200 with its record; 202, if it runs and is asked to stop; or 409 |
//! | `POST /tasks/{id}/reschedule` | moves a task that isn't due yet: 200 with its record, or 409 |
//! | `GET /dead-letters?task=…&reason=…` | the dead letters, without their bodies |
//! | `GET /dead-letters/{id}` | one with its body, by its own id or its task's |
//! | `POST /dead-letters/{id}/redrive` | sends it back to work, maybe edited: 202 |
//! | `DELETE /dead-letters/{id}` | removes it for good, and tells what it was |
//! | `GET /beat` | beat's entries, each with its next due time |
//! | `GET /beat/{name}` | one of them |
//! | `PUT /beat/{name}` | adds it: 201, or changes it |
//! | `DELETE /beat/{name}` | removes it, and tells what it was |
//! | `POST /beat/{name}/pause`, `…/resume` | switches it off and on |
//! | `POST /beat/{name}/run` | sends it now: 202 with the task's id |
//! | `GET /beat/{name}/next?n=…` | its next due times |
//! | `GET /beat/{name}/history?n=…` | its last ones, and what became of them |
//! | `GET /revocations` | what is revoked by group, root, stamp or task's name |
//! | `POST /revocations` | revokes all that bear it: 201 |
//! | `DELETE /revocations/{kind}/{value}` | lifts it |
//! | `GET /queues` | about how many messages each queue holds |
//! | `POST /queues/{queue}/purge` | deletes a queue's messages, for good |
//! | `GET /openapi.json` | this, as an OpenAPI 3.1 document with the registered tasks |
//! | `GET /?id=ID`, `GET /?entry=NAME` | a page for people; a task's record on it, an entry's own page |
//! | `POST /` | what a form of that page asks for: 303 to the page, or the page saying what is wrong |
//!
//! Errors are RFC 9457 problem details (`application/problem+json`). Who may call is decided in front
//! of the router: by API Gateway's authorizer when deployed, by the loopback address locally.

mod beat;
pub(crate) mod call;
mod control;
mod dead_letters;
mod openapi;
mod origin;
mod page;
pub(crate) mod problem;
mod revocations;
mod send;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Extensions, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use serde::Serialize;

use crate::app::App;
use crate::limits::MESSAGE_BYTES;
use problem::{Problem, Sort};

/// Which parts of the API a router serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Routes {
    send: bool,
    control: bool,
}

impl Routes {
    /// Sending: what needs the right to send to the queues, and none to read or write a table.
    pub const SEND: Routes = Routes {
        send: true,
        control: false,
    };
    /// Reading and controlling, the page and the OpenAPI document.
    pub const CONTROL: Routes = Routes {
        send: false,
        control: true,
    };
    /// All of it.
    pub const ALL: Routes = Routes {
        send: true,
        control: true,
    };

    fn has(self, endpoint: Endpoint) -> bool {
        if endpoint == Endpoint::Send {
            self.send
        } else {
            self.control
        }
    }
}

/// The API's endpoints; the router and the OpenAPI document are both made from this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Send,
    Task,
    Revoke,
    Reschedule,
    Revocations,
    RevokeAll,
    Lift,
    Queues,
    Purge,
    DeadLetters,
    DeadLetter,
    Redrive,
    Discard,
    Entries,
    Entry,
    PutEntry,
    RemoveEntry,
    PauseEntry,
    ResumeEntry,
    RunEntry,
    NextDue,
    History,
    OpenApi,
    Page,
    Form,
    Style,
}

impl Endpoint {
    const ALL: [Endpoint; 26] = [
        Endpoint::Send,
        Endpoint::Task,
        Endpoint::Revoke,
        Endpoint::Reschedule,
        Endpoint::Revocations,
        Endpoint::RevokeAll,
        Endpoint::Lift,
        Endpoint::Queues,
        Endpoint::Purge,
        Endpoint::DeadLetters,
        Endpoint::DeadLetter,
        Endpoint::Redrive,
        Endpoint::Discard,
        Endpoint::Entries,
        Endpoint::Entry,
        Endpoint::PutEntry,
        Endpoint::RemoveEntry,
        Endpoint::PauseEntry,
        Endpoint::ResumeEntry,
        Endpoint::RunEntry,
        Endpoint::NextDue,
        Endpoint::History,
        Endpoint::OpenApi,
        Endpoint::Page,
        Endpoint::Form,
        Endpoint::Style,
    ];

    fn method(self) -> Method {
        match self {
            Endpoint::Send
            | Endpoint::Revoke
            | Endpoint::Reschedule
            | Endpoint::Purge
            | Endpoint::RevokeAll
            | Endpoint::Redrive
            | Endpoint::PauseEntry
            | Endpoint::ResumeEntry
            | Endpoint::RunEntry
            | Endpoint::Form => Method::POST,
            Endpoint::PutEntry => Method::PUT,
            Endpoint::Discard | Endpoint::RemoveEntry | Endpoint::Lift => Method::DELETE,
            _ => Method::GET,
        }
    }

    /// `{task}` is a name in one method and an id in the others: one place in a path has one name.
    fn path(self) -> &'static str {
        match self {
            Endpoint::Send | Endpoint::Task => "/tasks/{task}",
            Endpoint::Revoke => "/tasks/{task}/revoke",
            Endpoint::Reschedule => "/tasks/{task}/reschedule",
            Endpoint::Revocations | Endpoint::RevokeAll => "/revocations",
            Endpoint::Lift => "/revocations/{kind}/{value}",
            Endpoint::Queues => "/queues",
            Endpoint::Purge => "/queues/{queue}/purge",
            Endpoint::DeadLetters => "/dead-letters",
            Endpoint::DeadLetter | Endpoint::Discard => "/dead-letters/{letter}",
            Endpoint::Redrive => "/dead-letters/{letter}/redrive",
            Endpoint::Entries => "/beat",
            Endpoint::Entry | Endpoint::PutEntry | Endpoint::RemoveEntry => "/beat/{entry}",
            Endpoint::PauseEntry => "/beat/{entry}/pause",
            Endpoint::ResumeEntry => "/beat/{entry}/resume",
            Endpoint::RunEntry => "/beat/{entry}/run",
            Endpoint::NextDue => "/beat/{entry}/next",
            Endpoint::History => "/beat/{entry}/history",
            Endpoint::OpenApi => "/openapi.json",
            Endpoint::Page | Endpoint::Form => "/",
            Endpoint::Style => "/console.css",
        }
    }

    fn handler(self) -> MethodRouter<App> {
        match self {
            Endpoint::Send => post(send::send),
            Endpoint::Task => get(control::task),
            Endpoint::Revoke => post(control::revoke),
            Endpoint::Reschedule => post(control::reschedule),
            Endpoint::Revocations => get(revocations::list),
            Endpoint::RevokeAll => post(revocations::add),
            Endpoint::Lift => delete(revocations::lift),
            Endpoint::Queues => get(control::queues),
            Endpoint::Purge => post(control::purge),
            Endpoint::DeadLetters => get(dead_letters::list),
            Endpoint::DeadLetter => get(dead_letters::show),
            Endpoint::Redrive => post(dead_letters::redrive),
            Endpoint::Discard => delete(dead_letters::discard),
            Endpoint::Entries => get(beat::list),
            Endpoint::Entry => get(beat::show),
            Endpoint::PutEntry => put(beat::put),
            Endpoint::RemoveEntry => delete(beat::remove),
            Endpoint::PauseEntry => post(beat::pause),
            Endpoint::ResumeEntry => post(beat::resume),
            Endpoint::RunEntry => post(beat::run),
            Endpoint::NextDue => get(beat::next),
            Endpoint::History => get(beat::history),
            Endpoint::OpenApi => get(openapi::serve),
            Endpoint::Page => get(page::page),
            Endpoint::Form => post(page::form::act).layer(DefaultBodyLimit::max(page::form::BYTES)),
            Endpoint::Style => get(page::style),
        }
    }
}

/// The API over an application that knows its tasks: an axum router, to be served or called.
///
/// ```
/// use axum::{body::Body, http::Request};
/// use sedano::{http::{router, Routes}, memory::Memory, task, tasks};
/// use tower::ServiceExt;
///
/// #[task]
/// async fn ping() {}
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let app = Memory::default().app().tasks(tasks![ping]);
/// let request = Request::post("/tasks/ping").body(Body::empty()).unwrap();
/// let response = router(app, Routes::ALL).oneshot(request).await.unwrap();
/// assert_eq!(response.status(), 202);
/// # });
/// ```
pub fn router(app: App, routes: Routes) -> Router {
    let mut router = Router::new();
    for endpoint in Endpoint::ALL {
        if routes.has(endpoint) {
            router = router.route(endpoint.path(), endpoint.handler());
        }
    }
    router
        .fallback(async || Problem::new(Sort::UnknownPath, "see /openapi.json for what there is"))
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MESSAGE_BYTES))
        .layer(axum::middleware::from_fn(origin::guard))
        .layer(axum::middleware::from_fn(problem::render))
        .with_state(app)
}

/// Names what the API takes at the path, whichever half of it this is: clients see one API.
async fn wrong_method(uri: Uri) -> Response {
    let fits = |pattern: &str| {
        let (pattern, path) = (pattern.split('/'), uri.path().split('/'));
        pattern.clone().count() == path.clone().count()
            && pattern
                .zip(path)
                .all(|(wanted, is)| wanted == is || wanted.starts_with('{'))
    };
    let mut allowed = Vec::new();
    for endpoint in Endpoint::ALL {
        if fits(endpoint.path()) {
            allowed.push(endpoint.method());
        }
    }
    if allowed.contains(&Method::GET) {
        allowed.push(Method::HEAD);
    }
    let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
    let names = names.join(", ");
    let problem = Problem::new(Sort::WrongMethod, format!("the path takes {names}"));
    let mut response = problem.into_response();
    if let Ok(names) = HeaderValue::try_from(names) {
        response.headers_mut().insert(header::ALLOW, names);
    }
    response
}

/// What stands before the API's paths in the addresses that clients use (a stage of API Gateway),
/// where something in front of the router has taken it off.
#[derive(Debug, Clone, Default)]
pub(crate) struct Prefix(pub(crate) String);

impl Prefix {
    fn of(extensions: &Extensions) -> Self {
        extensions.get::<Prefix>().cloned().unwrap_or_default()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text as one segment of a path: how a client writes a task's name or id.
///
/// ```
/// assert_eq!(sedano::http::segment("a.b/c ü?"), "a.b%2Fc%20%C3%BC%3F");
/// ```
pub fn segment(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

fn json(status: StatusCode, value: &impl Serialize) -> Result<Response, Problem> {
    let body = serde_json::to_string(value).map_err(|error| {
        tracing::error!(%error, "an answer can't be written");
        Problem::new(Sort::Internal, "the answer can't be written as JSON")
    })?;
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((
        status,
        headers.map(|(name, value)| (name, HeaderValue::from_static(value))),
        body,
    )
        .into_response())
}
