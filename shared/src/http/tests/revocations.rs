//! Revocations by the API.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use super::Api;

#[tokio::test(start_paused = true)]
async fn all_that_bear_a_stamp_are_revoked_until_it_is_lifted() {
    let api = Api::new();
    let body = json!({"kind": "stamp", "value": "tenant=acme/eu", "days": 3});
    let made = api.post("/revocations", body.to_string()).await;
    assert_eq!(made.status, 201);
    let made = made.json();
    assert_eq!(
        (&made["kind"], &made["value"]),
        (&body["kind"], &body["value"])
    );
    let listed = api.get("/revocations").await.json();
    assert_eq!(listed, json!({"revocations": [made]}));

    let call = json!({"args": [1, 2], "options": {"id": "a", "headers": {"tenant": "acme/eu"}}});
    api.post("/tasks/add", call.to_string()).await;
    api.work().await;
    assert_eq!(api.get("/tasks/a").await.json()["status"], "REVOKED");

    let path = "/revocations/stamp/tenant%3Dacme%2Feu";
    let lifted = Request::delete(path).body(Body::empty()).unwrap();
    let lifted = api.call(lifted).await;
    assert_eq!(
        (lifted.status.as_u16(), &lifted.json()["value"]),
        (200, &body["value"])
    );
    let listed = api.get("/revocations").await.json();
    assert_eq!(listed, json!({"revocations": []}));
}

#[tokio::test]
async fn what_can_not_be_revoked_is_told() {
    let api = Api::new();
    for (body, parameter) in [
        (json!({"kind": "tasks", "value": "add"}), "kind"),
        (json!({"kind": "task"}), "value"),
        (json!({"kind": "stamp", "value": "acme"}), "value"),
        (json!({"kind": "task", "value": "add", "days": 0}), "days"),
        (
            json!({"kind": "task", "value": "add", "days": 4000}),
            "days",
        ),
        (json!({"kind": "task", "value": "add", "day": 1}), "day"),
    ] {
        let answer = api.post("/revocations", body.to_string()).await;
        let problem = answer.problem(422, "invalid-request", "/revocations");
        assert_eq!(problem["parameter"], parameter, "{body}");
    }
    let answer = api.post("/revocations", "{oops").await;
    answer.problem(400, "not-json", "/revocations");
}
