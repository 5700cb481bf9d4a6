//! The API as its clients meet it: requests into the router over the ports in memory.

mod bad_input;
mod beat;
mod dead_letters;
mod hostile;
mod page;
mod revocations;
mod routes;
mod surface;

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{Routes, router};
use crate::memory::Memory;
use crate::ports::QueueName;
use crate::{App, Context, Options, Param, Task, TaskError, Worker, tasks};

#[derive(Serialize, Deserialize)]
pub(crate) struct Add {
    x: i64,
    y: i64,
}

impl Task for Add {
    const NAME: &'static str = "add";
    const ALIASES: &'static [&'static str] = &["plus"];
    const PARAMS: &'static [Param] = &[Param::required("x"), Param::required("y")];
    type Output = i64;
    async fn run(self, _: &Context) -> Result<i64, TaskError> {
        Ok(self.x + self.y)
    }
}

#[derive(Serialize, Deserialize)]
struct Echo {
    #[serde(default)]
    value: Value,
}

impl Task for Echo {
    const NAME: &'static str = "echo";
    const PARAMS: &'static [Param] = &[Param::optional("value")];
    type Output = Value;
    async fn run(self, _: &Context) -> Result<Value, TaskError> {
        Ok(self.value)
    }
}

#[derive(Serialize, Deserialize)]
struct Lost {}

/// A task whose own queue isn't configured.
impl Task for Lost {
    const NAME: &'static str = "lost";
    const OPTIONS: Options = Options::new().queue("nowhere");
    type Output = ();
    async fn run(self, _: &Context) -> Result<(), TaskError> {
        Ok(())
    }
}

struct Api {
    memory: Memory,
    app: App,
    routes: Routes,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// The problem, checked for what every problem has.
    fn problem(&self, status: u16, sort: &str, instance: &str) -> Value {
        let problem = self.json();
        assert_eq!(self.status, status, "{problem}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(problem["type"], format!("urn:sedano:problem:{sort}"));
        assert_eq!(problem["status"], status);
        assert_eq!(problem["instance"], instance);
        assert!(problem["title"].is_string() && problem["detail"].is_string());
        problem
    }
}

impl Api {
    fn new() -> Self {
        let memory = Memory::default();
        let app = memory.app().tasks(tasks![Add, Echo, Lost]);
        Self {
            memory,
            app,
            routes: Routes::ALL,
        }
    }

    async fn call(&self, request: Request<Body>) -> Answer {
        let router = router(self.app.clone(), self.routes);
        let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.into()).unwrap(),
        }
    }

    async fn get(&self, uri: &str) -> Answer {
        self.call(Request::get(uri).body(Body::empty()).unwrap())
            .await
    }

    async fn post(&self, uri: &str, body: impl Into<Body>) -> Answer {
        self.call(Request::post(uri).body(body.into()).unwrap())
            .await
    }

    /// The messages in the default queue.
    fn sent(&self) -> Vec<Value> {
        let queue = QueueName::new(QueueName::DEFAULT);
        let messages = self.memory.queue().messages(&queue);
        let parsed = messages
            .iter()
            .map(|message| serde_json::from_str(&message.body));
        parsed.map(Result::unwrap).collect()
    }

    async fn work(&self) -> usize {
        Worker::new(self.app.clone()).run_once().await.unwrap()
    }
}

#[tokio::test]
async fn a_task_is_sent_run_and_asked_after() {
    let api = Api::new();
    let sent = api
        .post("/tasks/add", r#"{"args": [2], "kwargs": {"y": 3}}"#)
        .await;
    assert_eq!(sent.status, 202);
    assert_eq!(sent.headers["content-type"], "application/json");
    let id = sent.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(sent.json(), json!({"id": id, "status": "PENDING"}));
    let location = sent.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(location, format!("/tasks/{id}"));

    let pending = api.get(&location).await;
    assert_eq!(pending.status, 200);
    assert_eq!(pending.json()["status"], "PENDING");
    assert_eq!(api.work().await, 1);
    let record = api.get(&location).await.json();
    assert_eq!(record["id"], id);
    assert_eq!(record["task"], "add");
    assert_eq!(record["status"], "SUCCESS");
    assert_eq!(record["result"], 5);
    assert_eq!(record["retries"], 0);
}

#[tokio::test]
async fn a_call_without_arguments_needs_no_body() {
    let api = Api::new();
    for body in [
        "",
        " \r\n",
        "{}",
        r#"{"args": null, "kwargs": null, "options": null}"#,
    ] {
        assert_eq!(api.post("/tasks/echo", body).await.status, 202, "{body:?}");
    }
    assert_eq!(api.sent().len(), 4);
}

#[tokio::test]
async fn every_option_travels() {
    let api = Api::new();
    let body = json!({"args": [1, 2], "options": {
        "id": "a/ü", "queue": "default", "eta": "2999-01-01T00:00:00Z",
        "expires": "2999-01-02T00:00:00+01:00", "priority": 9, "time_limit": 2.5,
        "soft_time_limit": 1, "ignore_result": true, "headers": {"tenant": "x"},
        "message_group": "g"
    }});
    let sent = api.post("/tasks/plus", body.to_string()).await;
    assert_eq!(sent.status, 202, "{}", sent.text);
    assert_eq!(sent.headers["location"], "/tasks/a%2F%C3%BC");
    assert_eq!(
        api.sent(),
        [json!({
            "v": 1, "id": "a/ü", "task": "plus", "args": [1, 2],
            "eta": "2999-01-01T00:00:00.000Z", "expires": "2999-01-01T23:00:00.000Z",
            "priority": 9, "time_limit": 2.5, "soft_time_limit": 1.0, "ignore_result": true,
            "headers": {"tenant": "x"}
        })]
    );
    let queue = QueueName::new(QueueName::DEFAULT);
    let group = api.memory.queue().messages(&queue)[0].group.clone();
    assert_eq!(group.as_deref(), Some("g"));
    assert_eq!(api.get("/tasks/a%2F%C3%BC").await.json()["id"], "a/ü");
}

#[tokio::test(start_paused = true)]
async fn a_countdown_delays_and_the_longest_one_is_no_error() {
    let api = Api::new();
    for countdown in ["10", "1e18"] {
        let body = format!(r#"{{"options": {{"countdown": {countdown}, "expires": 1e18}}}}"#);
        assert_eq!(api.post("/tasks/echo", body).await.status, 202);
    }
    // The longest is for a worker to park.
    let expected = json!({"visible": 1, "in_flight": 0, "delayed": 1});
    assert_eq!(api.get("/queues").await.json()["default"], expected);
    tokio::time::advance(Duration::from_secs(11)).await;
    assert_eq!(api.get("/queues").await.json()["default"]["visible"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_the_task_or_the_time() {
    let api = Api::new();
    let begun = tokio::time::Instant::now();
    assert_eq!(
        api.get("/tasks/a?wait=2.5").await.json()["status"],
        "PENDING"
    );
    assert_eq!(begun.elapsed(), Duration::from_millis(2500));

    api.post(
        "/tasks/echo",
        r#"{"args": ["hi"], "options": {"id": "b", "countdown": 3}}"#,
    )
    .await;
    let queue = QueueName::new(QueueName::DEFAULT);
    let worker = Worker::new(api.app.clone());
    let record = tokio::select! {
        record = api.get("/tasks/b?wait=25") => record.json(),
        ended = worker.poll(&queue, 10, Duration::from_secs(60)) => panic!("{ended:?}"),
    };
    assert_eq!(record["result"], "hi");
    assert!(begun.elapsed() < Duration::from_secs(10));

    for (query, parameter) in [
        ("wait=26", "wait"),
        ("wait=-1", "wait"),
        ("wait=x", "wait"),
        ("wiat=1", "wiat"),
    ] {
        let answer = api.get(&format!("/tasks/a?{query}")).await;
        let problem = answer.problem(422, "invalid-request", "/tasks/a");
        assert_eq!(problem["parameter"], parameter);
    }
    let id = "x".repeat(513);
    let path = format!("/tasks/{id}");
    api.get(&path).await.problem(422, "invalid-request", &path);
}

#[tokio::test]
async fn a_task_is_revoked_before_it_starts_and_not_after() {
    let api = Api::new();
    api.post("/tasks/add", r#"{"args": [1, 2], "options": {"id": "a"}}"#)
        .await;
    for _ in 0..2 {
        let revoked = api.post("/tasks/a/revoke", "").await;
        assert_eq!(revoked.status, 200);
        assert_eq!(revoked.json()["status"], "REVOKED");
        assert_eq!(revoked.json()["error"]["type"], "Revoked");
    }
    api.work().await;
    assert_eq!(api.get("/tasks/a").await.json()["status"], "REVOKED");

    api.post("/tasks/add", r#"{"args": [1, 2], "options": {"id": "b"}}"#)
        .await;
    api.work().await;
    let problem = api
        .post("/tasks/b/revoke", "")
        .await
        .problem(409, "conflict", "/tasks/b/revoke");
    assert_eq!(
        problem["detail"],
        "task b is SUCCESS: it can't be revoked any more"
    );
}

#[tokio::test]
async fn a_queue_is_purged_by_who_names_it_twice() {
    let api = Api::new();
    for id in ["a", "b"] {
        let call = format!(r#"{{"args": [1, 2], "options": {{"id": "{id}"}}}}"#);
        api.post("/tasks/add", call).await;
    }
    let path = "/queues/default/purge";
    for unconfirmed in ["", "{}", r#"{"confirm": "high"}"#, r#"{"confirm": true}"#] {
        let problem = api.post(path, unconfirmed).await;
        let problem = problem.problem(422, "invalid-request", path);
        assert_eq!(problem["parameter"], "confirm");
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.ends_with(r#"send {"confirm":"default"}"#),
            "{detail}"
        );
    }
    let missing = "/queues/defualt/purge";
    let problem = api.post(missing, r#"{"confirm": "defualt"}"#).await;
    let problem = problem.problem(404, "unknown-queue", missing);
    assert_eq!(
        problem["detail"],
        "there is no queue `defualt`; did you mean `default`?"
    );
    let trace = "/queues/dead-letters/purge";
    let problem = api.post(trace, r#"{"confirm": "dead-letters"}"#).await;
    problem.problem(422, "invalid-request", trace);

    let purged = api.post(path, r#"{"confirm": "default"}"#).await;
    assert_eq!(purged.status, 200);
    assert_eq!(purged.json()["visible"], 2);
    api.work().await;
    assert_eq!(api.get("/tasks/a").await.json()["status"], "PENDING");
    assert_eq!(api.get("/queues").await.json()["default"]["visible"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_parked_task_is_moved_and_no_other() {
    let api = Api::new();
    let path = "/tasks/a/reschedule";
    let call = r#"{"args": [1, 2], "options": {"id": "a", "countdown": 86400}}"#;
    api.post("/tasks/add", call).await;
    // Only its message knows of it yet.
    let problem = api.post(path, r#"{"countdown": 60}"#).await;
    let problem = problem.problem(409, "conflict", path);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.starts_with("task a has no record"), "{detail}");
    api.work().await;

    let far = r#"{"eta": "2999-01-01T01:00:00+01:00", "countdown": null}"#;
    let moved = api.post(path, far).await;
    assert_eq!(moved.status, 200, "{}", moved.text);
    assert_eq!(moved.json()["due_at"], "2999-01-01T00:00:00.000Z");
    assert_eq!(moved.json()["status"], "PENDING");
    assert!(api.sent().is_empty());

    let due = api.app.now() + Duration::from_secs(60);
    let moved = api.post(path, r#"{"countdown": 60}"#).await;
    assert_eq!(moved.status, 200, "{}", moved.text);
    assert_eq!(moved.json()["due_at"], due.to_string());
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(api.work().await, 1);
    assert_eq!(api.get("/tasks/a").await.json()["result"], 3);
    let late = api.post(path, r#"{"countdown": 60}"#).await;
    let problem = late.problem(409, "conflict", path);
    assert_eq!(
        problem["detail"],
        "task a is SUCCESS: it can't be moved any more"
    );
}
