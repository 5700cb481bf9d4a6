//! The producer and the console: the functions behind the HTTP API.
//!
//! The producer is also invoked directly: by another function, by a state machine, by a person with
//! the AWS CLI. Then the event is one call, `{"task": "add", "args": [2, 3], "countdown": 10}`, or many
//! of them, `[…]` or `{"messages": […]}`. The fields are the envelope's and checked as the HTTP API
//! checks them.

use axum::Router;
use serde_json::{Map, Value, json};

use super::http;
use crate::app::App;
use crate::error::{Error, ErrorKind, Result};
use crate::http::call::{self, OPTIONS};
use crate::http::problem::{Problem, Sort};
use crate::http::{Routes, router};

/// Runs a producer as a Lambda function: the sending half of the HTTP API, and direct invocations.
/// The application has to know its tasks.
///
/// One call by direct invocation answers `{"id", "status"}`, or the invocation fails with the error's
/// kind as its type. Many answer a list, in order, with an `{"error": …}` (problem details) for each
/// that couldn't be sent: the others are.
///
/// # Errors
/// `Config`, when two tasks have one name.
pub async fn run_producer(app: App) -> Result<()> {
    super::log();
    app.registered().check()?;
    super::connected(app.ports().warm_queue().await);
    let router = &router(app.clone(), Routes::SEND);
    let app = &app;
    super::serve(move |event| async move { produce(app, router, event.payload).await }).await
}

/// Runs a console as a Lambda function: the reading and controlling half of the HTTP API, and the
/// page.
///
/// # Errors
/// `Config`, when two tasks have one name.
pub async fn run_console(app: App) -> Result<()> {
    app.registered().check()?;
    super::log();
    super::connected(app.ports().warm_results().await);
    let router = &router(app, Routes::CONTROL);
    super::serve(move |event| async move {
        if http::is_request(&event.payload) {
            return http::serve(router, event.payload).await;
        }
        Err(foreign(&event.payload, "answers HTTP requests only"))
    })
    .await
}

/// Sends what an event asks for.
async fn produce(app: &App, router: &Router, event: Value) -> Result<Value> {
    if http::is_request(&event) {
        return http::serve(router, event).await;
    }
    match event {
        Value::Array(calls) => Ok(Value::Array(send_many(app, calls).await)),
        Value::Object(mut event) if event.contains_key("task") => send_one(app, &mut event).await,
        Value::Object(mut event) if event.contains_key("messages") => {
            call::only_known(event.keys(), &["messages"], "field")?;
            match event.remove("messages") {
                Some(Value::Array(calls)) => Ok(Value::Array(send_many(app, calls).await)),
                _ => Err(Problem::invalid("messages", "`messages` must be a list").into()),
            }
        }
        other => Err(foreign(
            &other,
            "takes {\"task\": \"name\", \"args\": []}, a list of such, {\"messages\": […]}, or \
             HTTP requests",
        )),
    }
}

/// An event that this function can't act on.
fn foreign(event: &Value, takes: &str) -> Error {
    let what = if http::is_old_request(event) {
        "the HTTP request has payload format 1.0: set PayloadFormatVersion 2.0 in the integration"
            .to_owned()
    } else {
        format!("the event can't be acted on: this function {takes}")
    };
    Error::new(ErrorKind::Decode, what)
}

async fn send_one(app: &App, fields: &mut Map<String, Value>) -> Result<Value> {
    let (_, signature) = read(app, std::mem::take(fields))?;
    Ok(sent(app.send(signature).await?.id()))
}

async fn send_many(app: &App, calls: Vec<Value>) -> Vec<Value> {
    let mut answers: Vec<Value> = Vec::with_capacity(calls.len());
    let mut places = Vec::new();
    let mut signatures = Vec::new();
    for call in calls {
        let call = match call {
            Value::Object(fields) => read(app, fields),
            _ => Err(Problem::new(
                Sort::Invalid,
                "a message must be an object such as {\"task\": \"name\", \"args\": []}",
            )),
        };
        match call {
            Ok((_, signature)) => {
                places.push(answers.len());
                signatures.push(signature);
                answers.push(Value::Null);
            }
            Err(problem) => answers.push(failed(&problem)),
        }
    }
    for (place, result) in places.into_iter().zip(app.send_many(signatures).await) {
        if let Some(answer) = answers.get_mut(place) {
            *answer = match result {
                // Of a unique task it may be another's id.
                Ok(result) => sent(result.id()),
                Err(error) => failed(&error.into()),
            };
        }
    }
    answers
}

/// A call, whose fields stand beside its options.
fn read(
    app: &App,
    fields: Map<String, Value>,
) -> Result<(String, crate::Signature<(), Value>), Problem> {
    const ENVELOPE: [&str; 7] = [
        "args",
        "kwargs",
        "parent_id",
        "root_id",
        "task",
        "trace",
        "v",
    ];
    let known = [&ENVELOPE[..], &OPTIONS[..]].concat();
    call::only_known(fields.keys(), &known, "field")?;
    call::read(app, fields)
}

fn sent(id: &str) -> Value {
    json!({"id": id, "status": "PENDING"})
}

fn failed(problem: &Problem) -> Value {
    json!({"error": problem.to_json()})
}

#[cfg(test)]
#[path = "producer_tests.rs"]
mod tests;
