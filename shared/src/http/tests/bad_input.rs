//! What is wrong is answered as a problem that says what, where and what to do; nothing is sent.

use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::{Api, Routes};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::MESSAGE_BYTES;
use crate::ports::{Delivery, Depth, Outgoing, Queue, QueueName, Receipt, Sent};
use crate::{App, Config};

#[tokio::test]
async fn an_unknown_task_is_404_with_the_name_meant() {
    let api = Api::new();
    let problem = api
        .post("/tasks/ad", "{}")
        .await
        .problem(404, "unknown-task", "/tasks/ad");
    assert_eq!(
        problem["detail"],
        "no task is named `ad`; did you mean `add`?"
    );
    assert_eq!(problem["did_you_mean"], "add");
    let far = api
        .post("/tasks/zzz", "no json")
        .await
        .problem(404, "unknown-task", "/tasks/zzz");
    assert_eq!(far.get("did_you_mean"), None);
    assert!(api.sent().is_empty());
}

#[tokio::test]
async fn arguments_that_cannot_bind_are_422_naming_the_parameter() {
    let api = Api::new();
    let cases = [
        (
            r#"{"args": [1]}"#,
            json!("y"),
            "add() missing 1 required positional argument: 'y'",
        ),
        (
            "",
            json!("x"),
            "add() missing 2 required positional arguments: 'x' and 'y'",
        ),
        (
            r#"{"args": [1, 2], "kwargs": {"x": 3}}"#,
            json!("x"),
            "add() got multiple values for argument 'x'",
        ),
        (
            r#"{"kwargs": {"z": 3}}"#,
            json!("z"),
            "add() got an unexpected keyword argument 'z'",
        ),
        (
            r#"{"args": [1, "two"]}"#,
            json!("y"),
            "add() argument 'y': invalid type: string \"two\", expected i64",
        ),
        (
            r#"{"args": [1, 2, 3]}"#,
            Value::Null,
            "add() takes 2 positional arguments but 3 were given",
        ),
    ];
    for (body, parameter, detail) in cases {
        let problem =
            api.post("/tasks/add", body)
                .await
                .problem(422, "invalid-arguments", "/tasks/add");
        assert_eq!(problem["detail"], detail);
        assert_eq!(problem["parameter"], parameter, "{body}");
    }
    assert!(api.sent().is_empty());
}

#[tokio::test]
async fn a_body_that_is_no_json_is_400_with_line_and_column() {
    let api = Api::new();
    let cases: [(&[u8], u64, u64); 4] = [
        (b"{\n  \"args\": oops", 2, 11),
        (b"{\"args\": [1, 2]", 1, 15),
        (b"[1] 2", 1, 5),
        (b"\"\xff\"", 1, 2),
    ];
    for (body, line, column) in cases {
        let answer = api.post("/tasks/add", body.to_vec()).await;
        let problem = answer.problem(400, "not-json", "/tasks/add");
        assert_eq!(
            (&problem["line"], &problem["column"]),
            (&line.into(), &column.into()),
            "{problem}"
        );
        let place = format!("at line {line}, column {column}");
        assert!(
            problem["detail"].as_str().unwrap().contains(&place),
            "{problem}"
        );
    }
    let deep = "[".repeat(100_000);
    api.post("/tasks/add", deep)
        .await
        .problem(400, "not-json", "/tasks/add");
    assert!(api.sent().is_empty());
}

#[tokio::test]
async fn what_is_too_large_is_413_with_the_limit() {
    let api = Api::new();
    // A body over the limit, and some under it whose message isn't: the last for what escapes add.
    let escaped = "\u{ffff}".repeat(MESSAGE_BYTES / 4);
    for value in [
        "x".repeat(MESSAGE_BYTES),
        "x".repeat(MESSAGE_BYTES - 20),
        escaped,
    ] {
        let body = format!(r#"{{"args": ["{value}"]}}"#);
        let problem = api
            .post("/tasks/echo", body)
            .await
            .problem(413, "too-large", "/tasks/echo");
        assert_eq!(problem["limit"], 1_047_552);
        assert!(
            problem["detail"].as_str().unwrap().contains("1047552"),
            "{problem}"
        );
    }
    assert!(api.sent().is_empty());
    let body = format!(r#"{{"args": ["{}"]}}"#, "x".repeat(MESSAGE_BYTES - 200));
    assert_eq!(api.post("/tasks/echo", body).await.status, 202);
}

#[tokio::test]
async fn what_is_wrong_in_a_request_is_422_naming_it() {
    let api = Api::new();
    let cases = [
        (
            json!([1, 2]),
            Value::Null,
            "the body must be an object such as {\"args\": [2, 3]}",
        ),
        (
            json!({"arg": [1]}),
            json!("arg"),
            "there is no member `arg`; did you mean `args`?",
        ),
        (json!({"args": {}}), json!("args"), "`args` must be a list"),
        (
            json!({"kwargs": []}),
            json!("kwargs"),
            "`kwargs` must be an object",
        ),
        (
            json!({"options": []}),
            json!("options"),
            "`options` must be an object such as {\"countdown\": 10}",
        ),
        (
            json!({"options": {"countdwn": 1}}),
            json!("countdwn"),
            "there is no option `countdwn`; did you mean `countdown`?",
        ),
        (
            json!({"options": {"hops": 3}}),
            json!("hops"),
            "there is no option `hops`; there are countdown, eta, expires, headers, id, ignore_result, message_group, priority, queue, soft_time_limit, time_limit, unique, unique_for",
        ),
        (
            json!({"options": {"countdown": -1}}),
            json!("countdown"),
            "`countdown` must be a number of seconds, 0 or more",
        ),
        (
            json!({"options": {"eta": "tomorrow"}}),
            json!("eta"),
            "`eta` must be an ISO 8601 date-time such as 2026-03-01T12:00:00Z, or seconds from now",
        ),
        (
            json!({"options": {"priority": 10}}),
            json!("priority"),
            "`priority` must be a whole number from 0 to 9",
        ),
        (
            json!({"options": {"id": ""}}),
            json!("id"),
            "`id` must be a text of 1 to 512 bytes without control characters",
        ),
        (
            json!({"options": {"message_group": 7}}),
            json!("message_group"),
            "`message_group` must be a text of 1 to 128 characters",
        ),
        (
            json!({"options": {"headers": "x"}}),
            json!("headers"),
            "`headers` must be an object",
        ),
        (
            json!({"options": {"queue": "defualt"}}),
            json!("queue"),
            "no queue is named `defualt`; did you mean `default`?",
        ),
        (
            json!({"options": {"queue": "dead-letters"}}),
            json!("queue"),
            "`dead-letters` takes messages from workers only; choose another queue",
        ),
        (
            json!({"options": {"time_limit": 1, "soft_time_limit": 2}}),
            Value::Null,
            "`echo` has a soft time limit of 2s beyond its time limit of 1s",
        ),
    ];
    for (body, parameter, detail) in cases {
        let answer = api.post("/tasks/echo", body.to_string()).await;
        let problem = answer.problem(422, "invalid-request", "/tasks/echo");
        assert_eq!(problem["detail"], detail);
        assert_eq!(problem["parameter"], parameter, "{body}");
    }
    assert!(api.sent().is_empty());
}

#[tokio::test]
async fn what_is_wrong_inside_is_500_without_its_particulars() {
    let api = Api::new();
    let problem = api
        .post("/tasks/lost", "")
        .await
        .problem(500, "internal", "/tasks/lost");
    assert_eq!(
        problem["detail"],
        "the cause (Config) is in the log of this service"
    );
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_are_problems_too() {
    let mut api = Api::new();
    api.get("/nothing")
        .await
        .problem(404, "unknown-path", "/nothing");
    api.get("/tasks")
        .await
        .problem(404, "unknown-path", "/tasks");
    for routes in [Routes::ALL, Routes::SEND, Routes::CONTROL] {
        api.routes = routes;
        let request = Request::delete("/tasks/add").body(Body::empty()).unwrap();
        let answer = api.call(request).await;
        let problem = answer.problem(405, "wrong-method", "/tasks/add");
        assert_eq!(problem["detail"], "the path takes POST, GET, HEAD");
        assert_eq!(answer.headers["allow"], "POST, GET, HEAD");
    }
    api.routes = Routes::ALL;
    let answer = api.get("/tasks/%ff").await;
    answer.problem(400, "bad-request", "/tasks/%ff");
}

/// A queue whose calls all fail in one way.
struct Failing(ErrorKind);

impl Failing {
    fn error<T>(&self) -> Result<T> {
        Err(Error::new(self.0, "secret: arn:aws:sqs:eu-west-1:1:q"))
    }
}

#[async_trait]
impl Queue for Failing {
    async fn send(&self, _: &QueueName, _: Vec<Outgoing>) -> Result<Vec<Result<Sent>>> {
        self.error()
    }
    async fn receive(
        &self,
        _: &QueueName,
        _: usize,
        _: std::time::Duration,
    ) -> Result<Vec<Delivery>> {
        self.error()
    }
    async fn delete_many(&self, _: &QueueName, _: Vec<Receipt>) -> Result<Vec<Result<()>>> {
        self.error()
    }
    async fn hide_many(
        &self,
        _: &QueueName,
        _: Vec<(Receipt, std::time::Duration)>,
    ) -> Result<Vec<Result<()>>> {
        self.error()
    }
    async fn depth(&self, _: &QueueName) -> Result<Depth> {
        self.error()
    }

    async fn purge(&self, _: &QueueName) -> Result<()> {
        self.error()
    }
}

#[tokio::test]
async fn what_a_service_behind_refuses_is_said_without_its_particulars() {
    let cases = [
        (ErrorKind::Throttled, 503, "unavailable"),
        (ErrorKind::Unavailable, 503, "unavailable"),
        (ErrorKind::Timeout, 503, "unavailable"),
        (ErrorKind::Denied, 502, "refused"),
        (ErrorKind::NotFound, 502, "refused"),
        (ErrorKind::Decode, 500, "internal"),
    ];
    for (kind, status, sort) in cases {
        let mut api = Api::new();
        let mut ports = api.memory.ports();
        ports.queue = Arc::new(Failing(kind));
        api.app = App::new(ports, Config::memory()).tasks(api.app.registered().clone());
        for answer in [api.post("/tasks/echo", "").await, api.get("/queues").await] {
            assert_eq!(answer.status, status);
            let instance = answer.json()["instance"].as_str().unwrap().to_owned();
            answer.problem(status, sort, &instance);
            assert!(!answer.text.contains("secret"), "{}", answer.text);
            let retry_after = answer
                .headers
                .get("retry-after")
                .map(|value| value.as_bytes());
            assert_eq!(retry_after, (status == 503).then_some(&b"1"[..]));
        }
        let page = api.get("/").await;
        assert_eq!(page.status, 200);
        assert!(page.text.contains("can't be counted") && !page.text.contains("secret"));
    }
}

#[tokio::test]
async fn a_move_says_when_once() {
    let api = Api::new();
    let when =
        r#"say when: {"eta": "2026-03-01T12:00:00Z"}, or {"countdown": 3600} in seconds from now"#;
    let (instant, seconds) = (
        "`eta` must be an ISO 8601 date-time such as 2026-03-01T12:00:00Z",
        "`countdown` must be a number of seconds, 0 or more",
    );
    let path = "/tasks/a/reschedule";
    for (body, parameter, detail) in [
        ("", Value::Null, when),
        ("{}", Value::Null, when),
        ("[60]", Value::Null, when),
        (r#"{"eta": null}"#, Value::Null, when),
        (r#"{"eta": 60}"#, json!("eta"), instant),
        (r#"{"eta": "soon"}"#, json!("eta"), instant),
        (r#"{"countdown": -1}"#, json!("countdown"), seconds),
        (r#"{"countdown": "60"}"#, json!("countdown"), seconds),
        (
            r#"{"countdown": 60, "eta": "2999-01-01T00:00:00Z"}"#,
            json!("countdown"),
            "`eta` and `countdown` exclude each other: say one",
        ),
        (
            r#"{"coundown": 60}"#,
            json!("coundown"),
            "there is no member `coundown`; did you mean `countdown`?",
        ),
    ] {
        let answer = api.post(path, body).await;
        let problem = answer.problem(422, "invalid-request", path);
        assert_eq!(problem["detail"], detail, "{body}");
        assert_eq!(problem["parameter"], parameter, "{body}");
    }
    let answer = api.post(path, "{60}").await;
    answer.problem(400, "not-json", path);
}
