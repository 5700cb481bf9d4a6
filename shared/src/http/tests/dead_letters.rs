//! Dead letters over HTTP.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use super::{Answer, Api};

impl Api {
    async fn delete(&self, uri: &str) -> Answer {
        self.call(Request::delete(uri).body(Body::empty()).unwrap())
            .await
    }

    /// A message that no worker can read, in the dead letters; its id.
    async fn unreadable(&self) -> String {
        let queue = "default".into();
        let port = &self.app.ports().queue;
        let sent = port.send(&queue, vec![crate::ports::Outgoing::new("{oops")]);
        let id = sent.await.unwrap().remove(0).unwrap().message_id;
        self.work().await;
        id
    }
}

#[tokio::test(start_paused = true)]
async fn they_are_listed_shown_edited_and_discarded() {
    let api = Api::new();
    let (id, other) = (api.unreadable().await, api.unreadable().await);
    let listed = api.get("/dead-letters?reason=Undecodable&limit=1").await;
    assert_eq!(listed.status, 200);
    let listed = listed.json()["dead_letters"].clone();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let letter = &listed[0];
    assert_eq!(letter["message_id"], id);
    assert_eq!(
        (&letter["queue"], &letter["attempts"]),
        (&json!("default"), &json!(0))
    );
    assert!(letter.get("body").is_none() && letter["dead_at"].is_string());
    let none = api.get("/dead-letters?task=add").await.json();
    assert_eq!(none, json!({"dead_letters": []}));
    let by_id = api
        .get(&format!("/dead-letters?id={id}&older_than=0"))
        .await
        .json();
    assert_eq!(by_id["dead_letters"].as_array().unwrap().len(), 1);

    let path = format!("/dead-letters/{id}");
    assert_eq!(api.get(&path).await.json()["body"], "{oops");
    let redrive = format!("{path}/redrive");
    let problem = api.post(&redrive, "").await;
    let problem = problem.problem(422, "invalid-request", &redrive);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .ends_with("give it another body")
    );
    let edit = json!({"body": {"task": "add", "args": [1]}, "args": [2, 3]});
    let redriven = api.post(&redrive, edit.to_string()).await;
    assert_eq!(redriven.status, 202);
    let redriven = redriven.json();
    assert_eq!(
        redriven,
        json!({"id": redriven["id"], "task_id": id, "sent": true, "status": "PENDING", "generation": 0})
    );
    api.work().await;
    assert_eq!(api.get(&format!("/tasks/{id}")).await.json()["result"], 5);
    api.get(&path)
        .await
        .problem(404, "unknown-dead-letter", &path);

    let path = format!("/dead-letters/{other}");
    assert_eq!(api.delete(&path).await.json()["body"], "{oops");
    api.delete(&path)
        .await
        .problem(404, "unknown-dead-letter", &path);
    api.post(&format!("{path}/redrive"), "").await.problem(
        404,
        "unknown-dead-letter",
        &format!("{path}/redrive"),
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_named() {
    let api = Api::new();
    let id = api.unreadable().await;
    for (query, parameter) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("older_than=-1", "older_than"),
        ("raeson=x", "raeson"),
    ] {
        let answer = api.get(&format!("/dead-letters?{query}")).await;
        let problem = answer.problem(422, "invalid-request", "/dead-letters");
        assert_eq!(problem["parameter"], parameter);
    }
    let path = format!("/dead-letters/{id}/redrive");
    for (body, parameter) in [
        (json!({"args": {}}), "args"),
        (json!({"kwargs": []}), "kwargs"),
        (json!({"queue": "quarantine"}), "queue"),
        (json!({"queue": 7}), "queue"),
        (json!({"body": 7}), "body"),
        (json!({"id": "x"}), "id"),
    ] {
        let answer = api.post(&path, body.to_string()).await;
        let problem = answer.problem(422, "invalid-request", &path);
        assert_eq!(problem["parameter"], parameter);
    }
    let body = json!({"body": {"task": "add", "args": [1]}});
    let answer = api.post(&path, body.to_string()).await;
    answer.problem(422, "invalid-arguments", &path);
    api.post(&path, "{").await.problem(400, "not-json", &path);
    api.post(&path, "[]")
        .await
        .problem(422, "invalid-request", &path);
    let path = format!("/dead-letters/{id}");
    assert_eq!(api.get(&path).await.status, 200, "it is still there");
}
