//! Errors as RFC 9457 problem details.
//!
//! A handler answers a [`Problem`]; [`render`] writes it, for it knows the request the problem belongs
//! to. What goes wrong behind the API is logged and told without its particulars.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::Prefix;
use crate::error::{Error, ErrorKind};
use crate::json;
use crate::limits::MESSAGE_BYTES;

/// The sorts of problems: what a client decides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    BadRequest,
    NotJson,
    Foreign,
    UnknownTask,
    UnknownDeadLetter,
    UnknownEntry,
    UnknownQueue,
    UnknownPath,
    WrongMethod,
    Conflict,
    TooLarge,
    Encoded,
    Invalid,
    InvalidArguments,
    Internal,
    Refused,
    Unavailable,
}

impl Sort {
    /// Every one, for the OpenAPI document.
    pub(crate) const ALL: [Sort; 17] = [
        Sort::BadRequest,
        Sort::NotJson,
        Sort::Foreign,
        Sort::UnknownTask,
        Sort::UnknownDeadLetter,
        Sort::UnknownEntry,
        Sort::UnknownQueue,
        Sort::UnknownPath,
        Sort::WrongMethod,
        Sort::Conflict,
        Sort::TooLarge,
        Sort::Encoded,
        Sort::Invalid,
        Sort::InvalidArguments,
        Sort::Internal,
        Sort::Refused,
        Sort::Unavailable,
    ];

    fn facts(self) -> (u16, &'static str, &'static str) {
        match self {
            Sort::BadRequest => (400, "bad-request", "The request can't be read"),
            Sort::NotJson => (400, "not-json", "The body is no JSON"),
            Sort::Foreign => (403, "foreign", "It comes from another site"),
            Sort::UnknownTask => (404, "unknown-task", "No such task"),
            Sort::UnknownDeadLetter => (404, "unknown-dead-letter", "No such dead letter"),
            Sort::UnknownEntry => (404, "unknown-entry", "No such entry"),
            Sort::UnknownQueue => (404, "unknown-queue", "No such queue"),
            Sort::UnknownPath => (404, "unknown-path", "No such path"),
            Sort::WrongMethod => (405, "wrong-method", "The path has no such method"),
            Sort::Conflict => (409, "conflict", "Its state forbids it"),
            Sort::TooLarge => (413, "too-large", "Too large"),
            Sort::Encoded => (415, "encoded", "The body is encoded"),
            Sort::Invalid => (422, "invalid-request", "The request can't be carried out"),
            Sort::InvalidArguments => (
                422,
                "invalid-arguments",
                "The arguments don't fit the task's parameters",
            ),
            Sort::Internal => (500, "internal", "Something is wrong in this service"),
            Sort::Refused => (502, "refused", "A service behind this one refused"),
            Sort::Unavailable => (503, "unavailable", "Not now"),
        }
    }

    /// The HTTP status.
    pub(crate) fn status(self) -> StatusCode {
        // The statuses above are all valid.
        StatusCode::from_u16(self.facts().0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The `type` member: an identifier to compare, not an address to visit.
    pub(crate) fn uri(self) -> String {
        format!("urn:sedano:problem:{}", self.facts().1)
    }

    /// The `title` member.
    pub(crate) fn title(self) -> &'static str {
        self.facts().2
    }
}

/// One thing that went wrong with one request.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    sort: Sort,
    /// What it is to a caller that gets no HTTP response.
    kind: ErrorKind,
    detail: String,
    more: Map<String, Value>,
}

impl Problem {
    pub(crate) fn new(sort: Sort, detail: impl Into<String>) -> Self {
        let kind = match sort {
            Sort::UnknownTask => ErrorKind::NotRegistered,
            Sort::UnknownDeadLetter | Sort::UnknownEntry | Sort::UnknownQueue => {
                ErrorKind::NotFound
            }
            Sort::NotJson => ErrorKind::Decode,
            Sort::InvalidArguments => ErrorKind::Bind,
            Sort::TooLarge => ErrorKind::TooLarge,
            _ => ErrorKind::Invalid,
        };
        Self {
            sort,
            kind,
            detail: detail.into(),
            more: Map::new(),
        }
    }

    /// A request that says something wrong in this parameter, option or field.
    pub(crate) fn invalid(parameter: &str, detail: impl Into<String>) -> Self {
        Self::new(Sort::Invalid, detail).with("parameter", parameter)
    }

    /// Text that isn't JSON: where, and why, in a sentence about `what` ("the body").
    pub(crate) fn not_json(what: &str, text: &[u8], error: &serde_json::Error) -> Self {
        Self::new(Sort::NotJson, json::unreadable(what, text, error))
            .with("line", error.line())
            .with("column", error.column())
    }

    /// A body that is larger than any message may be.
    pub(crate) fn body_too_large() -> Self {
        let what = format!(
            "the body is over {MESSAGE_BYTES} bytes, the most that a message may have: send a \
             reference to the data instead"
        );
        Self::new(Sort::TooLarge, what).with("limit", MESSAGE_BYTES)
    }

    /// The same with one more member.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// Its sort.
    pub(crate) fn sort(&self) -> Sort {
        self.sort
    }

    /// What is wrong, in a sentence.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// The parameter, option or field to blame, where one is.
    pub(crate) fn parameter(&self) -> Option<&str> {
        self.more.get("parameter").and_then(Value::as_str)
    }

    /// The problem as JSON.
    pub(crate) fn to_json(&self) -> Value {
        let mut json = json!({
            "type": self.sort.uri(),
            "title": self.sort.title(),
            "status": self.sort.status().as_u16(),
            "detail": self.detail,
        });
        if let Value::Object(members) = &mut json {
            members.extend(self.more.clone());
        }
        json
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let kind = error.kind();
        let sort = match kind {
            ErrorKind::Bind => Sort::InvalidArguments,
            ErrorKind::Encode | ErrorKind::Invalid => Sort::Invalid,
            ErrorKind::TooLarge => Sort::TooLarge,
            ErrorKind::NotRegistered => Sort::UnknownTask,
            ErrorKind::Conflict => Sort::Conflict,
            ErrorKind::Throttled | ErrorKind::Unavailable | ErrorKind::Timeout => Sort::Unavailable,
            ErrorKind::Denied | ErrorKind::NotFound => Sort::Refused,
            _ => Sort::Internal,
        };
        let detail = match sort {
            Sort::Unavailable => {
                tracing::warn!(?error, "a service didn't answer");
                "a service behind this one is busy or doesn't answer: try again".to_owned()
            }
            Sort::Refused | Sort::Internal => {
                tracing::error!(?error, "a request failed");
                format!("the cause ({kind:?}) is in the log of this service")
            }
            _ => error.to_string(),
        };
        let mut problem = Self {
            kind,
            ..Self::new(sort, detail)
        };
        if let Some(parameter) = error.parameter() {
            problem = problem.with("parameter", parameter);
        }
        if sort == Sort::TooLarge {
            problem = problem.with("limit", MESSAGE_BYTES);
        }
        problem
    }
}

impl From<Problem> for Error {
    /// For a caller that gets no HTTP response.
    fn from(problem: Problem) -> Self {
        Error::new(problem.kind, problem.detail)
    }
}

impl IntoResponse for Problem {
    /// The status only; [`render`] writes the rest.
    fn into_response(self) -> Response {
        let mut response = self.sort.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the problem that a handler answered with, naming the request's path as its instance.
pub(crate) async fn render(request: Request, next: Next) -> Response {
    let prefix = Prefix::of(request.extensions());
    let instance = format!("{prefix}{}", request.uri().path());
    let mut response = next.run(request).await;
    let Some(problem) = response.extensions_mut().remove::<Problem>() else {
        return response;
    };
    let body = problem.with("instance", instance).to_json().to_string();
    *response.body_mut() = Body::from(body);
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
