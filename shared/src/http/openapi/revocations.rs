//! What the OpenAPI document says of revocations.

use serde_json::{Map, Value, json};

use super::{ok, responses, schema};
use crate::http::Endpoint;
use crate::http::problem::Sort;
use crate::http::revocations::{DAYS, MOST_DAYS};
use crate::revocations::KINDS;

/// What can be done with revocations.
pub(super) fn operation(endpoint: Endpoint) -> Value {
    match endpoint {
        Endpoint::RevokeAll => json!({
            "operationId": "revokeAll",
            "summary": "Revoke all that bear a group, a root, a stamp or a task's name",
            "description": "What waits isn't started, what runs is asked to stop. Workers know of it within five \
                            seconds. Of a task's name it is what was sent by now.",
            "requestBody": {
                "description": "What is revoked, and for how long.",
                "required": true,
                "content": {"application/json": {"schema": schema("Revocation")}},
            },
            "responses": responses(
                json!({"201": ok("In force.", schema("InForce"))["200"]}),
                &[Sort::NotJson, Sort::Conflict, Sort::TooLarge, Sort::Invalid],
            ),
        }),
        Endpoint::Lift => json!({
            "operationId": "lift",
            "summary": "Lift a revocation",
            "description": "What was revoked by it stays revoked. Lifting one that isn't in force changes nothing.",
            "parameters": [
                path("kind", "What it is about.", json!({"type": "string", "enum": KINDS})),
                path("value", "The task's name, the id, or `name=value` of the stamp.",
                    json!({"type": "string", "minLength": 1, "maxLength": 512})),
            ],
            "responses": responses(ok("What is lifted.", json!({
                "type": "object",
                "required": ["kind", "value"],
                "properties": about(),
            })), &[Sort::BadRequest, Sort::Invalid]),
        }),
        _ => json!({
            "operationId": "revocations",
            "summary": "The revocations in force, but those of single tasks",
            "responses": responses(ok("The revocations.", json!({
                "type": "object",
                "required": ["revocations"],
                "properties": {"revocations": {"type": "array", "items": schema("InForce")}},
            })), &[]),
        }),
    }
}

fn path(name: &str, description: &str, schema: Value) -> Value {
    json!({
        "name": name,
        "in": "path",
        "required": true,
        "description": description,
        "schema": schema,
    })
}

fn about() -> Value {
    json!({
        "kind": {"type": "string", "enum": KINDS},
        "value": {"type": "string", "minLength": 1, "maxLength": 512,
            "description": "The task's name, the id, or `name=value` of the stamp."},
    })
}

/// Their schemas, by name.
pub(super) fn schemas() -> Map<String, Value> {
    let instant = json!({"type": "string", "format": "date-time"});
    let (mut given, mut in_force) = (about(), about());
    given["days"] = json!({"type": "integer", "minimum": 1, "maximum": MOST_DAYS, "default": DAYS,
        "description": "For so long: as long as what bears it may be on its way."});
    in_force["revoked_at"] = instant.clone();
    in_force["expires_at"] = instant;
    let schemas = json!({
        "Revocation": {
            "type": "object",
            "additionalProperties": false,
            "required": ["kind", "value"],
            "properties": given,
            "examples": [{"kind": "stamp", "value": "tenant=acme"}],
        },
        "InForce": {
            "type": "object",
            "required": ["kind", "value", "revoked_at", "expires_at"],
            "properties": in_force,
        },
    });
    match schemas {
        Value::Object(schemas) => schemas,
        _ => Map::new(),
    }
}
