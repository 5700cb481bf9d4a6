//! What the OpenAPI document says of the page for people.

use serde_json::{Value, json};

use super::{content, query, responses, schema};
use crate::http::Endpoint;
use crate::http::page::form::{self, Act};
use crate::http::problem::Sort;

/// The page, its forms and its style sheet.
pub(super) fn operation(endpoint: Endpoint) -> Value {
    let html = |description: &str| content(description, "text/html")["200"].clone();
    match endpoint {
        Endpoint::Form => {
            let mut hoped = json!({
                "303": {
                    "description": "Done.",
                    "headers": {"Location": {
                        "description": "The page that says so.",
                        "schema": {"type": "string", "format": "uri-reference"},
                    }},
                },
                "404": html("There is no such entry: the page, with what was typed."),
                "409": html("Its state forbids it: the page, with what was typed."),
            });
            let mut refused = html(
                "The page, with what was typed and what is wrong; a problem where it isn't such a form.",
            );
            refused["content"]["application/problem+json"] = json!({"schema": schema("Problem")});
            hoped["422"] = refused;
            json!({
                "operationId": "form",
                "summary": "What a form of the page asks for",
                "description": "For browsers: taken only with `Sec-Fetch-Site: same-origin` or `none`, or, without it, \
                                with an `Origin` whose host is that of `Host`. Programs use /beat.",
                "requestBody": {
                    "description": format!("At most {} bytes.", form::BYTES),
                    "required": true,
                    "content": {"application/x-www-form-urlencoded": {"schema": fields()}},
                },
                "responses": responses(hoped, &[Sort::BadRequest, Sort::TooLarge]),
            })
        }
        Endpoint::Style => json!({
            "operationId": "style",
            "summary": "The page's style sheet",
            "responses": {"200": content("The style sheet.", "text/css")["200"]},
        }),
        _ => {
            let text = json!({"type": "string"});
            let done: Vec<&str> = Act::ALL.into_iter().map(Act::done).collect();
            let mut hoped = content("The page.", "text/html");
            hoped["404"] = html("There is no such entry.");
            json!({
                "operationId": "page",
                "summary": "A page for people: tasks, queues, a task looked up, and entries to be steered",
                "parameters": [
                    query("id", "The id of the task to show.", json!({"type": "string", "maxLength": 512})),
                    query("entry", "The name of the entry to show, on a page of its own.", text),
                    query("done", "What a form has just done.", json!({"type": "string", "enum": done})),
                ],
                "responses": responses(hoped, &[Sort::Invalid]),
            })
        }
    }
}

fn fields() -> Value {
    let words = Act::ALL.map(Act::word);
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["do", "entry"],
        "properties": {
            "do": {"type": "string", "enum": words},
            "entry": {"type": "string", "description": "The entry's name."},
            "definition": {"type": "string", "contentMediaType": "application/json",
                "description": "To add and to edit: an Entry; its name may be left out."},
            "revision": {"type": "integer",
                "description": "To edit: the revision that was read. Another one now is a conflict."},
        },
    })
}
