//! `POST /tasks/{name}`.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::call::{self, OPTIONS};
use super::problem::{Problem, Sort};
use super::{Prefix, segment};
use crate::app::App;
use crate::failure::shortened;
use crate::task::QUOTED;

/// Sends the named task with the body's arguments and options.
pub(super) async fn send(
    State(app): State<App>,
    prefix: Option<Extension<Prefix>>,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let Path(name) = name.map_err(unreadable_path)?;
    call::find(&app, &name)?;
    plain(&headers)?;
    let body = whole(body)?;
    let (_, signature) = call::read(&app, fields(name, &body)?)?;
    let sent = app.send(signature).await?;
    // Of a unique task it may be another's.
    let id = sent.id();

    let mut response = super::json(
        StatusCode::ACCEPTED,
        &json!({"id": id, "status": "PENDING"}),
    )?;
    let Extension(prefix) = prefix.unwrap_or_default();
    if let Ok(location) = HeaderValue::try_from(format!("{prefix}/tasks/{}", segment(id))) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Nothing is decompressed here: what a small body becomes would have no limit.
fn plain(headers: &HeaderMap) -> Result<(), Problem> {
    let codings = headers.get_all(header::CONTENT_ENCODING).iter();
    let coded = codings.into_iter().find(|coding| *coding != "identity");
    match coded {
        None => Ok(()),
        Some(coding) => {
            let coding = String::from_utf8_lossy(coding.as_bytes());
            let coding = shortened(&coding, QUOTED);
            let what = format!("the body's Content-Encoding is `{coding}`: send it as plain JSON");
            Err(Problem::new(Sort::Encoded, what))
        }
    }
}

/// The body as the fields of an envelope. Nothing at all is a call without arguments.
fn fields(name: String, body: &[u8]) -> Result<Map<String, Value>, Problem> {
    let wanted = r#"the body must be an object such as {"args": [2, 3]}"#;
    let mut body = call::object(body, &["args", "kwargs", "options"], wanted)?;
    let mut fields = match body.remove("options") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(options)) => options,
        Some(_) => {
            let what = r#"`options` must be an object such as {"countdown": 10}"#;
            return Err(Problem::invalid("options", what));
        }
    };
    call::only_known(fields.keys(), &OPTIONS, "option")?;
    fields.extend(body);
    fields.insert("task".to_owned(), name.into());
    Ok(fields)
}

/// The body, if all of it is here.
pub(super) fn whole(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Problem> {
    body.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Problem::body_too_large()
        } else {
            Problem::new(Sort::BadRequest, "the body didn't arrive as a whole")
        }
    })
}

/// Percent-encoding that isn't UTF-8.
pub(super) fn unreadable_path(rejection: PathRejection) -> Problem {
    tracing::debug!(%rejection, "unreadable path");
    Problem::new(Sort::BadRequest, "the path isn't UTF-8 in percent-encoding")
}
