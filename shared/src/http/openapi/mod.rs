//! The OpenAPI 3.1 document: made from the endpoints there are and the tasks that are registered.

mod entries;
mod page;
mod revocations;

use axum::extract::{Extension, State};

use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::control::LONGEST_WAIT;
use super::dead_letters::{DEFAULT, MOST};
use super::problem::{Problem, Sort};
use super::{Endpoint, Prefix};
use crate::app::App;
use crate::id;
use crate::limits::MESSAGE_BYTES;
use crate::record;
use crate::task::Tasks;

/// `GET /openapi.json`.
pub(super) async fn serve(
    State(app): State<App>,
    prefix: Option<Extension<Prefix>>,
) -> Result<Response, Problem> {
    let Extension(prefix) = prefix.unwrap_or_default();
    let mut document = document(&app);
    if !prefix.0.is_empty() {
        document["servers"] = json!([{"url": prefix.0}]);
    }
    super::json(StatusCode::OK, &document)
}

/// The document for these tasks. It covers all routes: the functions behind one HTTP API share it.
pub(super) fn document(app: &App) -> Value {
    let tasks = app.registered();
    let mut paths = Map::new();
    for endpoint in Endpoint::ALL {
        let item = paths.entry(endpoint.path()).or_insert_with(|| json!({}));
        let mut operation = operation(endpoint, tasks);
        if endpoint.method() != Method::GET {
            operation["responses"] = responses(operation["responses"].take(), &[Sort::Foreign]);
        }
        item[endpoint.method().as_str().to_lowercase()] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Sedano",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Send tasks, ask after them, revoke and move them, and look after schedules and dead letters.",
        },
        "paths": paths,
        "components": {"schemas": schemas(), "responses": problems()},
        "x-sedano-tasks": parameters(app),
    })
}

/// What each task takes: name → parameters in order, and the queue it goes to.
fn parameters(app: &App) -> Value {
    let tasks = app.registered().iter().map(|task| {
        let parameters: Vec<Value> = task
            .params
            .iter()
            .map(|param| json!({"name": param.name, "required": param.required}))
            .collect();
        let about = json!({
            "parameters": parameters,
            "queue": app.home_of(task),
            "aliases": task.aliases,
        });
        (task.name.to_owned(), about)
    });
    Value::Object(tasks.collect())
}

fn operation(endpoint: Endpoint, tasks: &Tasks) -> Value {
    match endpoint {
        Endpoint::Send => json!({
            "operationId": "send",
            "summary": "Send a task",
            "description": "Once this answers 202, the task will reach a final state. Arguments \
                            are checked against the task's parameters (x-sedano-tasks).",
            "parameters": [path("The task's name.", names(tasks))],
            "requestBody": {
                "description": format!("At most {MESSAGE_BYTES} bytes, as has the message made of it. No body is a call without arguments."),
                "required": false,
                "content": {"application/json": {"schema": schema("Call")}},
            },
            "responses": responses(
                json!({"202": {
                    "description": "Sent.",
                    "headers": {"Location": {
                        "description": "Where to ask after the task.",
                        "schema": {"type": "string", "format": "uri-reference"},
                    }},
                    "content": {"application/json": {"schema": schema("Sent")}},
                }}),
                &[
                    Sort::BadRequest, Sort::UnknownTask, Sort::TooLarge, Sort::Encoded, Sort::Invalid,
                ],
            ),
        }),
        Endpoint::Task => json!({
            "operationId": "task",
            "summary": "Ask after a task",
            "description": "A task without a record is PENDING: not started, or never sent.",
            "parameters": [
                path("The task's id.", id()),
                {
                    "name": "wait",
                    "in": "query",
                    "description": "How many seconds to wait for a final state; then the record as it is.",
                    "schema": {"type": "number", "minimum": 0, "maximum": LONGEST_WAIT, "default": 0},
                },
            ],
            "responses": responses(ok("The record.", schema("Record")), &[
                Sort::BadRequest, Sort::Invalid,
            ]),
        }),
        Endpoint::Revoke => json!({
            "operationId": "revoke",
            "summary": "Revoke a task",
            "description": "The message of one that hasn't started is dropped when it arrives. One that runs is asked \
                            to stop. Revoking again changes nothing.",
            "parameters": [path("The task's id.", id())],
            "responses": responses(
                json!({
                    "200": ok("The record, revoked.", schema("Record"))["200"],
                    "202": ok("It runs, and is asked to stop: the record, with `revoke_requested`.",
                        schema("Record"))["200"],
                }),
                &[Sort::BadRequest, Sort::Conflict, Sort::Invalid],
            ),
        }),
        Endpoint::Reschedule => json!({
            "operationId": "reschedule",
            "summary": "Move a task that isn't due yet",
            "description": "One that is parked, for it is due in more than 15 minutes, to any time; one that waits \
                            for a retry only to a later one.",
            "parameters": [path("The task's id.", id())],
            "requestBody": {
                "description": "When it is to be due instead.",
                "required": true,
                "content": {"application/json": {"schema": schema("Due")}},
            },
            "responses": responses(ok("The record, with its new `due_at`.", schema("Record")), &[
                Sort::BadRequest, Sort::Conflict, Sort::TooLarge, Sort::Invalid,
            ]),
        }),
        Endpoint::Queues => json!({
            "operationId": "queues",
            "summary": "About how many messages each queue holds",
            "responses": responses(
                ok("Depths by queue.", json!({"type": "object", "additionalProperties": schema("Depth")})),
                &[],
            ),
        }),
        Endpoint::Purge => json!({
            "operationId": "purge",
            "summary": "Deletes all messages of a queue of tasks, for good",
            "description": "What waits there is never run, and nothing of it is recorded. SQS takes up to a \
                            minute, in which it refuses another purge.",
            "parameters": [{
                "name": "queue", "in": "path", "required": true, "schema": {"type": "string"},
                "description": "The queue's name in SEDANO_QUEUES.",
            }],
            "requestBody": {
                "required": true,
                "content": {"application/json": {"schema": {
                    "type": "object", "required": ["confirm"], "additionalProperties": false,
                    "properties": {"confirm": {"type": "string", "description": "The queue's name once more."}},
                }}},
            },
            "responses": responses(ok("About what it held.", schema("Depth")), &[
                Sort::BadRequest, Sort::NotJson, Sort::UnknownQueue, Sort::Conflict, Sort::Invalid, Sort::TooLarge,
            ]),
        }),
        Endpoint::DeadLetters => json!({
            "operationId": "deadLetters",
            "summary": "What no worker will take again, and why",
            "description": "Without the bodies. About the oldest first; each is hidden from others while it \
                            is looked at.",
            "parameters": [
                query("task", "Of the task of this name.", json!({"type": "string"})),
                query("reason", "With this reason.", json!({"type": "string"})),
                query("id", "Of this id: the letter's, its task's, or the MessageId it had. May be repeated.",
                    json!({"type": "string"})),
                query("older_than", "Dead for more than so many seconds.",
                    json!({"type": "number", "minimum": 0})),
                query("limit", "How many at most.",
                    json!({"type": "integer", "minimum": 1, "maximum": MOST, "default": DEFAULT})),
            ],
            "responses": responses(
                ok("The dead letters.", json!({
                    "type": "object",
                    "required": ["dead_letters"],
                    "properties": {"dead_letters": {"type": "array", "items": schema("DeadLetter")}},
                })),
                &[Sort::BadRequest, Sort::Invalid],
            ),
        }),
        Endpoint::DeadLetter => json!({
            "operationId": "deadLetter",
            "summary": "One dead letter, with its body",
            "parameters": [letter()],
            "responses": responses(ok("The dead letter.", schema("DeadLetter")), &[
                Sort::BadRequest, Sort::UnknownDeadLetter,
            ]),
        }),
        Endpoint::Redrive => json!({
            "operationId": "redrive",
            "summary": "Send a dead letter back to work",
            "description": "A task that has failed begins a new generation, due now and with all its retries \
                            before it. Repeating it is harmless.",
            "parameters": [letter()],
            "requestBody": {
                "description": "What is to be changed. No body changes nothing.",
                "required": false,
                "content": {"application/json": {"schema": schema("Edit")}},
            },
            "responses": responses(
                json!({
                    "200": ok("Its task has ended well: the letter was only removed.",
                        schema("Redriven"))["200"],
                    "202": ok("Sent.", schema("Redriven"))["200"],
                }),
                &[
                    Sort::BadRequest, Sort::UnknownDeadLetter, Sort::Conflict, Sort::TooLarge,
                    Sort::Invalid,
                ],
            ),
        }),
        Endpoint::Discard => json!({
            "operationId": "discard",
            "summary": "Remove a dead letter for good",
            "description": "Its task's record stays as it is.",
            "parameters": [letter()],
            "responses": responses(ok("The dead letter that was.", schema("DeadLetter")), &[
                Sort::BadRequest, Sort::UnknownDeadLetter,
            ]),
        }),
        Endpoint::Revocations | Endpoint::RevokeAll | Endpoint::Lift => {
            revocations::operation(endpoint)
        }
        Endpoint::Entries
        | Endpoint::Entry
        | Endpoint::PutEntry
        | Endpoint::RemoveEntry
        | Endpoint::PauseEntry
        | Endpoint::ResumeEntry
        | Endpoint::RunEntry
        | Endpoint::NextDue
        | Endpoint::History => entries::operation(endpoint),
        Endpoint::OpenApi => json!({
            "operationId": "openapi",
            "summary": "This document",
            "responses": responses(ok("OpenAPI 3.1.", json!({"type": "object"})), &[]),
        }),
        Endpoint::Page | Endpoint::Form | Endpoint::Style => page::operation(endpoint),
    }
}

/// The names that tasks answer to.
fn names(tasks: &Tasks) -> Value {
    let names: Vec<&str> = tasks
        .iter()
        .flat_map(|task| std::iter::once(task.name).chain(task.aliases.iter().copied()))
        .collect();
    if names.is_empty() {
        return json!({"type": "string"});
    }
    json!({"type": "string", "enum": names})
}

fn id() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": id::BYTES, "pattern": id::PATTERN})
}

fn path(description: &str, schema: Value) -> Value {
    json!({
        "name": "task",
        "in": "path",
        "required": true,
        "description": description,
        "schema": schema,
    })
}

fn letter() -> Value {
    json!({
        "name": "letter",
        "in": "path",
        "required": true,
        "description": "The letter's id, its task's, or the MessageId it had.",
        "schema": id(),
    })
}

fn query(name: &str, description: &str, schema: Value) -> Value {
    json!({"name": name, "in": "query", "description": description, "schema": schema})
}

fn schema(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn ok(description: &str, schema: Value) -> Value {
    json!({"200": {
        "description": description,
        "content": {"application/json": {"schema": schema}},
    }})
}

fn content(description: &str, media_type: &str) -> Value {
    json!({"200": {
        "description": description,
        "content": {media_type: {"schema": {"type": "string"}}},
    }})
}

/// The answer hoped for, these problems, and those that any call of AWS can end in.
fn responses(mut hoped: Value, problems: &[Sort]) -> Value {
    for sort in problems
        .iter()
        .chain(&[Sort::Internal, Sort::Refused, Sort::Unavailable])
    {
        let status = sort.status();
        hoped[status.as_str()] =
            json!({"$ref": format!("#/components/responses/{}", status.as_str())});
    }
    hoped
}

/// The problems by status; of some there are two sorts.
fn problems() -> Value {
    let mut responses = Map::new();
    for sort in Sort::ALL {
        let response = responses.entry(sort.status().as_str()).or_insert_with(|| {
            json!({
                "description": "",
                "content": {"application/problem+json": {"schema": schema("Problem")}},
            })
        });
        let so_far = response["description"].as_str().unwrap_or_default();
        let or = if so_far.is_empty() { "" } else { "; or " };
        let text = format!("{so_far}{or}{} (`{}`)", sort.title(), sort.uri());
        response["description"] = text.into();
        if sort == Sort::Unavailable {
            response["headers"] = json!({"Retry-After": {"schema": {"type": "integer"}}});
        }
    }
    Value::Object(responses)
}

fn schemas() -> Value {
    let seconds = json!({"type": "number", "minimum": 0, "description": "Seconds."});
    let instant = json!({"type": "string", "format": "date-time"});
    let when = json!({
        "description": "An ISO 8601 date-time (without an offset: UTC), or seconds from now.",
        "anyOf": [instant.clone(), seconds.clone()],
    });
    let text = json!({"type": "string"});
    let count = json!({"type": "integer", "minimum": 0});
    let states: Vec<&str> = record::State::ALL
        .iter()
        .map(|state| state.as_str())
        .collect();
    let mut schemas = json!({
        "Call": {
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "args": {"type": "array", "description": "Arguments by position."},
                "kwargs": {"type": "object", "description": "Arguments by name."},
                "options": schema("Options"),
            },
            "examples": [{"args": [2, 3], "options": {"countdown": 10}}],
        },
        "Options": {
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "countdown": {"type": "number", "minimum": 0,
                    "description": "Not before so many seconds from now. Wins over `eta`."},
                "eta": when.clone(),
                "expires": when,
                "headers": {"type": "object", "description": "Handed to the task."},
                "id": {"type": "string", "minLength": 1, "maxLength": id::BYTES, "pattern": id::PATTERN,
                    "description": "The task's id. Of several messages with one id, one takes effect."},
                "ignore_result": {"type": "boolean"},
                "message_group": {"type": "string", "minLength": 1, "maxLength": 128,
                    "description": "SQS's message group: the order on FIFO queues, the tenant on others."},
                "priority": {"type": "integer", "minimum": 0, "maximum": 9},
                "queue": {"type": "string", "description": "Instead of the task's own queue."},
                "soft_time_limit": seconds.clone(),
                "time_limit": seconds.clone(),
                "unique": {"type": ["boolean", "string"], "minLength": 1, "maxLength": 512,
                    "description": "Whether the task is unique by its arguments, or the text it is unique by. If \
                        another is at work, the answer has that one's id."},
                "unique_for": seconds,
            },
        },
        "Due": {
            "type": "object",
            "additionalProperties": false,
            "description": "One of both.",
            "minProperties": 1,
            "maxProperties": 1,
            "properties": {
                "eta": instant.clone(),
                "countdown": {"type": "number", "minimum": 0, "description": "So many seconds from now."},
            },
            "examples": [{"countdown": 3600}],
        },
        "Sent": {
            "type": "object",
            "required": ["id", "status"],
            "properties": {"id": text.clone(), "status": {"const": "PENDING"}},
        },
        "Record": {
            "type": "object",
            "required": ["id", "status", "retries", "attempt", "generation"],
            "properties": {
                "id": text.clone(),
                "task": text.clone(),
                "status": {"type": "string", "enum": states},
                "progress": schema("Progress"),
                "custom": schema("CustomState"),
                "result": {"description": "What the task returned."},
                "error": schema("Failure"),
                "retries": count.clone(),
                "attempt": {"type": "integer", "minimum": 0,
                    "description": "How many runs came before the current or last one."},
                "generation": {"type": "integer", "minimum": 0,
                    "description": "How often it was begun anew by hand, after it had failed for good."},
                "queue": text.clone(),
                "started_at": instant.clone(),
                "finished_at": instant.clone(),
                "revoke_requested": {"type": "string", "format": "date-time",
                    "description": "Since when it is asked to stop: revoked while it ran."},
                "due_at": instant.clone(),
                "parent_id": text.clone(),
                "root_id": text.clone(),
                "attempts": {"type": "array", "description": "The last ten runs.",
                    "items": schema("Attempt")},
            },
        },
        "Progress": {
            "type": "object",
            "description": "How far a task has come, by its own account; while STARTED.",
            "required": ["done", "at"],
            "properties": {
                "done": {"type": "integer", "minimum": 0},
                "total": {"type": "integer", "minimum": 1, "description": "Where it is known."},
                "note": text.clone(),
                "at": instant.clone(),
            },
        },
        "CustomState": {
            "type": "object",
            "description": "The state that a task has given itself, beside its status; while STARTED.",
            "required": ["state", "meta", "at"],
            "properties": {
                "state": {"type": "string", "pattern": "^[A-Z][A-Z0-9_]{0,63}$"},
                "meta": {"description": "What it says about it; null, if nothing."},
                "at": instant.clone(),
            },
        },
        "Failure": {
            "type": "object",
            "required": ["type", "message", "causes", "retries", "at"],
            "properties": {
                "type": text.clone(),
                "message": text.clone(),
                "causes": {"type": "array", "items": text.clone()},
                "retries": count.clone(),
                "at": instant.clone(),
            },
        },
        "Attempt": {
            "type": "object",
            "required": ["start", "request"],
            "properties": {
                "start": instant.clone(),
                "end": instant.clone(),
                "error": text.clone(),
                "request": {"type": "string", "description": "The request id of its invocation."},
            },
        },
        "Depth": {
            "type": "object",
            "required": ["visible", "in_flight", "delayed"],
            "properties": {"visible": count.clone(), "in_flight": count.clone(), "delayed": count.clone()},
        },
        "DeadLetter": {
            "type": "object",
            "required": ["id", "reason", "message_id", "dead_at"],
            "properties": {
                "id": {"type": "string", "description": "Its own: the MessageId in the dead-letter queue."},
                "reason": text.clone(),
                "error": text.clone(),
                "task": text.clone(),
                "task_id": text.clone(),
                "attempts": {"type": "integer", "minimum": 0, "description": "How often its task ran."},
                "queue": {"type": "string", "description": "The queue it came from."},
                "message_id": {"type": "string", "description": "The MessageId that it had there."},
                "dead_at": instant,
                "body": {"type": "string", "description": "The message. Not in lists."},
            },
        },
        "Edit": {
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "args": {"type": "array", "description": "In place of the arguments by position."},
                "kwargs": {"type": "object", "description": "In place of the arguments by name."},
                "queue": {"type": "string", "description": "Instead of the queue it came from."},
                "body": {"type": ["object", "string"],
                    "description": "In place of the whole message: for one that can't be read."},
            },
            "examples": [{"args": [2, 3]}],
        },
        "Redriven": {
            "type": "object",
            "required": ["id", "task_id", "sent", "status", "generation"],
            "properties": {
                "id": {"type": "string", "description": "The letter's."},
                "task_id": text.clone(),
                "sent": {"type": "boolean",
                    "description": "Not if its task has ended well: then the letter was only removed."},
                "status": {"type": "string", "enum": states},
                "generation": count,
            },
        },
        "Problem": {
            "type": "object",
            "description": "RFC 9457 problem details.",
            "required": ["type", "title", "status", "detail", "instance"],
            "properties": {
                "type": {"type": "string", "format": "uri"},
                "title": text.clone(),
                "status": {"type": "integer"},
                "detail": text.clone(),
                "instance": {"type": "string", "format": "uri-reference"},
                "parameter": {"type": "string", "description": "The parameter, option or member to blame."},
                "did_you_mean": {"type": "string", "description": "What may have been meant."},
                "line": {"type": "integer", "description": "Where the body stops being JSON."},
                "column": {"type": "integer", "description": "Where the body stops being JSON."},
                "limit": {"type": "integer", "description": "What would have been allowed."},
            },
        },
    });
    if let Some(schemas) = schemas.as_object_mut() {
        schemas.extend(entries::schemas());
        schemas.extend(revocations::schemas());
    }
    schemas
}
