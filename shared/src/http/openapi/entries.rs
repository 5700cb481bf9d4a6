//! What the OpenAPI document says of beat's entries.

use serde_json::{Map, Value, json};

use super::{ok, query, responses, schema};
use crate::http::problem::Sort;
use crate::http::{Endpoint, beat};
use crate::record;

/// What can be done with beat's entries.
pub(super) fn operation(endpoint: Endpoint) -> Value {
    let listed = |name: &str, of: &str| {
        json!({
            "type": "object",
            "required": [name],
            "properties": {name: {"type": "array", "items": schema(of)}},
        })
    };
    let (id, summary, description, hoped, problems): (_, _, _, _, &[Sort]) = match endpoint {
        Endpoint::Entry => (
            "entry",
            "One of beat's entries",
            "",
            ok("The entry.", schema("Standing")),
            &[],
        ),
        Endpoint::PutEntry => (
            "putEntry",
            "Add an entry, or change it",
            "What the old definition had handed out is revoked; the new one is due from now on. With \
             `If-None-Match: *` it is only added, with `If-Match: *` only changed.",
            json!({
                "200": ok("Changed.", schema("Standing"))["200"],
                "201": ok("Added.", schema("Standing"))["200"],
            }),
            &[Sort::NotJson, Sort::Conflict, Sort::TooLarge, Sort::Invalid],
        ),
        Endpoint::RemoveEntry => (
            "removeEntry",
            "Remove an entry",
            "What it had handed out is revoked.",
            ok("The entry that was.", schema("Standing")),
            &[Sort::Conflict],
        ),
        Endpoint::PauseEntry => (
            "pauseEntry",
            "Switch an entry off",
            "What it had handed out is revoked. Ticks and deployments leave it off.",
            ok("The entry.", schema("Standing")),
            &[Sort::Conflict],
        ),
        Endpoint::ResumeEntry => (
            "resumeEntry",
            "Switch an entry on again",
            "It is due from now on: what was due meanwhile isn't made up for.",
            ok("The entry.", schema("Standing")),
            &[Sort::Conflict],
        ),
        Endpoint::RunEntry => (
            "runEntry",
            "Send an entry's task now",
            "Beside its due times; also while it is paused.",
            json!({"202": ok("Sent.", schema("Sent"))["200"]}),
            &[Sort::Invalid],
        ),
        Endpoint::NextDue => (
            "nextDue",
            "An entry's next due times",
            "Its jitter aside. None, while nothing is due.",
            ok("The due times.", listed("next", "Coming")),
            &[Sort::Invalid],
        ),
        Endpoint::History => (
            "history",
            "An entry's last due times and runs by hand",
            "The latest first, each with what is recorded of its task.",
            ok("The due times.", listed("history", "Past")),
            &[Sort::Invalid],
        ),
        _ => (
            "entries",
            "Beat's entries",
            "By name, each with its next due time.",
            ok("The entries.", listed("entries", "Standing")),
            &[],
        ),
    };
    let mut problems = problems.to_vec();
    let mut parameters = Vec::new();
    if endpoint != Endpoint::Entries {
        problems.push(Sort::BadRequest);
        if endpoint != Endpoint::PutEntry {
            problems.push(Sort::UnknownEntry);
        }
        parameters.push(json!({
            "name": "entry",
            "in": "path",
            "required": true,
            "description": "The entry's name.",
            "schema": name(),
        }));
    }
    if matches!(endpoint, Endpoint::NextDue | Endpoint::History) {
        let most = beat::MOST;
        let count =
            json!({"type": "integer", "minimum": 1, "maximum": most, "default": beat::DEFAULT});
        parameters.push(query("n", "How many.", count));
    }
    let mut operation = json!({
        "operationId": id,
        "summary": summary,
        "responses": responses(hoped, &problems),
    });
    if !description.is_empty() {
        operation["description"] = description.into();
    }
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if endpoint == Endpoint::PutEntry {
        operation["requestBody"] = json!({
            "description": "The whole definition; its name may be left out.",
            "required": true,
            "content": {"application/json": {"schema": schema("Entry")}},
        });
    }
    operation
}

fn name() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": 100, "pattern": "^[A-Za-z0-9._-]([A-Za-z0-9 ._-]*[A-Za-z0-9._-])?$"})
}

/// Their schemas, by name.
pub(super) fn schemas() -> Map<String, Value> {
    let instant = json!({"type": "string", "format": "date-time"});
    let text = json!({"type": "string"});
    let states: Vec<&str> = record::State::ALL
        .iter()
        .map(|state| state.as_str())
        .collect();
    let schemas = json!({
        "Entry": {
            "type": "object",
            "additionalProperties": false,
            "required": ["schedule", "task"],
            "properties": {
                "name": name(),
                "schedule": schema("Schedule"),
                "task": {"type": "object",
                    "description": "The task with its arguments and options, or a chain, group or chord, as in a \
                                    message; without `id`, `eta` and `countdown`."},
                "enabled": {"type": "boolean", "default": true},
                "catch_up": {"type": "string", "enum": ["skip", "once", "all"], "default": "once",
                    "description": "What becomes of due times that were missed."},
                "grace": {"type": "integer", "minimum": 0,
                    "description": "How many seconds late something missed may still be sent."},
                "jitter": {"type": "integer", "minimum": 0, "maximum": 3600, "default": 0,
                    "description": "Sent up to so many seconds later."},
                "no_overlap": {"type": "boolean", "default": false,
                    "description": "A run doesn't start while the one before it goes on."},
                "start": instant.clone(),
                "end": instant.clone(),
                "max_runs": {"type": "integer", "minimum": 1},
            },
            "examples": [{"schedule": {"crontab": "0 18 * * mon-fri", "tz": "Europe/Kyiv"},
                "task": {"task": "add", "args": [2, 3]}}],
        },
        "Schedule": {
            "type": "object",
            "additionalProperties": false,
            "description": "One of `every`, `crontab`, `solar` and `at`, with what belongs to it.",
            "properties": {
                "every": {"type": "integer", "minimum": 1, "description": "Seconds, aligned to the clock."},
                "crontab": text.clone(),
                "dialect": {"type": "string", "enum": ["celery", "vixie"], "default": "celery"},
                "solar": {"type": "string", "description": "The sun's event by Celery's name: `sunset`."},
                "lat": {"type": "number"},
                "lon": {"type": "number"},
                "at": instant.clone(),
                "tz": {"type": "string", "description": "A name of the IANA database; without one it is UTC."},
            },
        },
        "Standing": {
            "type": "object",
            "required": ["name", "entry", "source", "revision", "since", "paused"],
            "properties": {
                "name": text.clone(),
                "entry": {"description": "The definition: an Entry, unless somebody wrote something else by hand."},
                "schedule": {"type": "string", "description": "In words."},
                "problem": {"type": "string", "description": "Why the definition can't be read."},
                "source": {"type": "string", "enum": ["code", "run time"]},
                "revision": {"type": "integer", "description": "Each change makes it greater."},
                "since": instant.clone(),
                "paused": {"type": "boolean"},
                "rule": {"type": "string", "description": "The EventBridge rule that sends it in beat's place."},
                "runs": {"type": "integer", "description": "How many due times were sent, of one with a most."},
                "next": schema("Coming"),
            },
        },
        "Coming": {
            "type": "object",
            "required": ["due", "local", "tz"],
            "properties": {
                "due": instant.clone(),
                "local": {"type": "string", "format": "date-time", "description": "On the clock of its zone."},
                "tz": text.clone(),
            },
        },
        "Past": {
            "type": "object",
            "required": ["due", "id", "status"],
            "properties": {
                "due": instant.clone(),
                "id": {"type": "string", "description": "The task's."},
                "status": {"type": "string", "enum": states,
                    "description": "PENDING where nothing is recorded: it waits, was never sent, or is long gone."},
                "started_at": instant.clone(),
                "finished_at": instant.clone(),
                "by_hand": {"type": "boolean"},
            },
        },
    });
    match schemas {
        Value::Object(schemas) => schemas,
        _ => Map::new(),
    }
}
