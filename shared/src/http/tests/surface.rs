//! What the API says of itself: the OpenAPI document, the halves, the page.

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::json;

use super::Api;
use crate::http::{Endpoint, Prefix, Routes, openapi};

#[tokio::test(start_paused = true)]
async fn the_document_and_the_router_have_the_same_routes() {
    let api = Api::new();
    let served = api.get("/openapi.json").await.json();
    assert_eq!(served, openapi::document(&api.app));
    let documented: Vec<(String, String)> = served["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys();
            methods.map(|method| (method.to_uppercase(), path.clone()))
        })
        .collect();
    let mut expected = [
        ("POST", "/tasks/{task}"),
        ("GET", "/tasks/{task}"),
        ("POST", "/tasks/{task}/revoke"),
        ("POST", "/tasks/{task}/reschedule"),
        ("POST", "/queues/{queue}/purge"),
        ("GET", "/revocations"),
        ("POST", "/revocations"),
        ("DELETE", "/revocations/{kind}/{value}"),
        ("GET", "/queues"),
        ("GET", "/dead-letters"),
        ("GET", "/dead-letters/{letter}"),
        ("DELETE", "/dead-letters/{letter}"),
        ("POST", "/dead-letters/{letter}/redrive"),
        ("GET", "/beat"),
        ("GET", "/beat/{entry}"),
        ("PUT", "/beat/{entry}"),
        ("DELETE", "/beat/{entry}"),
        ("POST", "/beat/{entry}/pause"),
        ("POST", "/beat/{entry}/resume"),
        ("POST", "/beat/{entry}/run"),
        ("GET", "/beat/{entry}/next"),
        ("GET", "/beat/{entry}/history"),
        ("GET", "/openapi.json"),
        ("GET", "/"),
        ("POST", "/"),
        ("GET", "/console.css"),
    ]
    .map(|(method, path)| (method.to_owned(), path.to_owned()));
    expected.sort();
    let mut sorted = documented.clone();
    sorted.sort();
    assert_eq!(sorted, expected);

    for (_, path) in &documented {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let request = Request::builder()
                .method(Method::try_from(method).unwrap())
                .uri(
                    path.replace("{task}", "echo")
                        .replace("{letter}", "a")
                        .replace("{entry}", "a")
                        .replace("{kind}", "task")
                        .replace("{value}", "a"),
                );
            let answer = api.call(request.body(Body::empty()).unwrap()).await;
            let status = answer.status;
            let known = documented.contains(&(method.to_owned(), path.clone()));
            assert_eq!(status == 405, !known, "{method} {path}: {status}");
            let no_path = status == 404 && answer.text.contains("unknown-path");
            assert!(!no_path, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_document_knows_the_tasks_and_each_reference_leads_somewhere() {
    let document = Api::new().get("/openapi.json").await.json();
    let names = &document["paths"]["/tasks/{task}"]["post"]["parameters"][0]["schema"]["enum"];
    assert_eq!(*names, json!(["add", "plus", "echo", "lost"]));
    assert_eq!(
        document["x-sedano-tasks"]["add"],
        json!({"parameters": [{"name": "x", "required": true}, {"name": "y", "required": true}],
               "queue": "default", "aliases": ["plus"]})
    );
    let text = document.to_string();
    let mut references = 0;
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
        references += 1;
    }
    assert!(references > 20);
}

#[tokio::test]
async fn each_half_serves_its_own_routes() {
    let mut api = Api::new();
    for (routes, send, read) in [(Routes::SEND, 202, 405), (Routes::CONTROL, 405, 200)] {
        api.routes = routes;
        assert_eq!(api.post("/tasks/echo", "").await.status, send);
        assert_eq!(api.get("/tasks/echo").await.status, read);
        let only_control = if routes == Routes::CONTROL { 200 } else { 404 };
        for endpoint in [
            Endpoint::Queues,
            Endpoint::Entries,
            Endpoint::OpenApi,
            Endpoint::Page,
            Endpoint::Style,
        ] {
            assert_eq!(api.get(endpoint.path()).await.status, only_control);
        }
    }
}

#[tokio::test]
async fn the_page_shows_tasks_queues_and_a_record_and_escapes_all() {
    let api = Api::new();
    let evil = "<script>alert('\"&\")</script>";
    let call = json!({"args": [evil], "options": {"id": evil}});
    assert_eq!(api.post("/tasks/echo", call.to_string()).await.status, 202);
    api.work().await;
    let page = api
        .get("/?id=%3Cscript%3Ealert('%22%26%22)%3C/script%3E")
        .await;
    assert_eq!(page.status, 200);
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'self'"),
        "{policy}"
    );
    assert!(
        !policy.contains("script-src") && !policy.contains("unsafe") && !policy.contains("http")
    );
    for shown in [
        "add",
        "x, y",
        "[value]",
        "dead-letters",
        "SUCCESS",
        "&lt;script&gt;",
    ] {
        assert!(page.text.contains(shown), "{shown}: {}", page.text);
    }
    assert!(!page.text.contains("<script"), "{}", page.text);
    assert!(!page.text.contains("//"), "no foreign host: {}", page.text);
    assert!(page.text.contains("href=\"/console.css\""));
    assert!(!api.get("/").await.text.contains("<dl>"));
}

#[tokio::test]
async fn behind_a_stage_addresses_keep_its_name() {
    let api = Api::new();
    let staged = |builder: axum::http::request::Builder| {
        builder
            .extension(Prefix("/prod".to_owned()))
            .body(Body::empty())
            .unwrap()
    };
    let sent = api.call(staged(Request::post("/tasks/echo"))).await;
    let location = sent.headers["location"].to_str().unwrap();
    assert!(location.starts_with("/prod/tasks/"), "{location}");
    let page = api.call(staged(Request::get("/"))).await.text;
    assert!(page.contains("href=\"/prod/console.css\"") && page.contains("action=\"/prod/\""));
    let document = api.call(staged(Request::get("/openapi.json"))).await.json();
    assert_eq!(document["servers"], json!([{"url": "/prod"}]));
    let lost = api.call(staged(Request::get("/nothing"))).await;
    lost.problem(404, "unknown-path", "/prod/nothing");
}

/// Each field of what a run reports is in the document, by the name it has in a record.
#[tokio::test]
async fn the_document_has_what_runs_report() {
    let document = Api::new().get("/openapi.json").await.json();
    let schemas = &document["components"]["schemas"];
    let fields = |schema: &str| {
        let properties = schemas[schema]["properties"].as_object().unwrap();
        let mut fields: Vec<&str> = properties.keys().map(String::as_str).collect();
        fields.sort_unstable();
        fields
    };
    assert_eq!(fields("Progress"), ["at", "done", "note", "total"]);
    assert_eq!(fields("CustomState"), ["at", "meta", "state"]);
    for (field, schema) in [("progress", "Progress"), ("custom", "CustomState")] {
        let reference = &schemas["Record"]["properties"][field]["$ref"];
        assert_eq!(*reference, format!("#/components/schemas/{schema}"));
    }
}
