//! Revocations of all that bear something: listed, made, lifted.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::call;
use super::problem::Problem;
use super::send::{unreadable_path, whole};
use crate::app::App;
use crate::message::Fields;
use crate::revocations::Revocation;

/// For how long a revocation is in force where nothing is said, and at the most.
pub(super) const DAYS: u64 = 30;
pub(super) const MOST_DAYS: u64 = 3650;

type KindAndValue = Result<Path<(String, String)>, PathRejection>;

/// `GET /revocations`: those in force.
pub(super) async fn list(State(app): State<App>) -> Result<Response, Problem> {
    super::json(
        StatusCode::OK,
        &json!({"revocations": app.revocations().await?}),
    )
}

/// `POST /revocations`: what the body says is revoked from now on, 201.
pub(super) async fn add(
    State(app): State<App>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let (revocation, time) = read(&whole(body)?)?;
    let in_force = app.revoke_all_for(&revocation, time).await?;
    super::json(StatusCode::CREATED, &in_force)
}

/// `DELETE /revocations/{kind}/{value}`: what is lifted, whether or not it was in force.
pub(super) async fn lift(State(app): State<App>, path: KindAndValue) -> Result<Response, Problem> {
    let Path((kind, value)) = path.map_err(unreadable_path)?;
    let revocation = Revocation::new(&kind, value)?;
    app.unrevoke(&revocation).await?;
    super::json(StatusCode::OK, &revocation)
}

fn read(body: &[u8]) -> Result<(Revocation, Duration), Problem> {
    const WANTED: &str = r#"say what is revoked: {"kind": "stamp", "value": "tenant=acme"}"#;
    let body = call::object(body, &["days", "kind", "value"], WANTED)?;
    let mut fields = Fields::new(body, "the body");
    let Ok(days) = fields.number("days", MOST_DAYS) else {
        let what = format!("`days` must be a whole number from 1 to {MOST_DAYS}");
        return Err(Problem::invalid("days", what));
    };
    let mut text = |name: &str| match fields.take(name) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(Problem::invalid(name, WANTED)),
    };
    let revocation = Revocation::new(&text("kind")?, text("value")?)?;
    let days = days.unwrap_or(DAYS);
    Ok((revocation, Duration::from_secs(days * 86_400)))
}
