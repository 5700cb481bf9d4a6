//! Beat's entries over HTTP.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::{Answer, Api};
use crate::beat::{Beat, every};
use crate::signature::Signature;

impl Api {
    async fn put(&self, uri: &str, body: &Value) -> Answer {
        let request = Request::put(uri).body(Body::from(body.to_string()));
        self.call(request.unwrap()).await
    }

    async fn remove(&self, uri: &str) -> Answer {
        self.call(Request::delete(uri).body(Body::empty()).unwrap())
            .await
    }
}

fn evening() -> Value {
    json!({
        "schedule": {"crontab": "0 18 * * *", "tz": "Europe/Kyiv"},
        "task": {"task": "add", "args": [2, 3]},
    })
}

#[tokio::test(start_paused = true)]
async fn an_entry_is_added_changed_paused_run_and_removed() {
    let api = Api::new();
    let path = "/beat/every%20evening";
    let added = api.put(path, &evening()).await;
    assert_eq!(added.status, 201);
    let added = added.json();
    assert_eq!(added["name"], "every evening");
    assert_eq!(added["schedule"], "0 18 * * * (Europe/Kyiv)");
    assert_eq!(
        (&added["source"], &added["paused"]),
        (&json!("run time"), &json!(false))
    );
    assert_eq!(added["next"]["tz"], "Europe/Kyiv");
    assert!(
        added["next"]["local"]
            .as_str()
            .unwrap()
            .contains("T18:00:00+0")
    );

    let mut definition = evening();
    definition["name"] = "every evening".into();
    assert_eq!(added["entry"], definition);
    definition["catch_up"] = "all".into();
    let changed = api.put(path, &definition).await;
    assert_eq!(changed.status, 200);
    assert_eq!(changed.json()["entry"], definition);
    assert!(changed.json()["revision"].as_i64() > added["revision"].as_i64());

    let paused = api.post(&format!("{path}/pause"), "").await;
    assert_eq!(
        (paused.status.as_u16(), &paused.json()["paused"]),
        (200, &json!(true))
    );
    let next = format!("{path}/next?n=3");
    assert_eq!(api.get(&next).await.json(), json!({"next": []}));
    let sent = api.post(&format!("{path}/run"), "").await;
    assert_eq!(sent.status, 202);
    assert_eq!(api.work().await, 1);
    let history = api.get(&format!("{path}/history")).await.json();
    let history = &history["history"];
    assert_eq!(history.as_array().unwrap().len(), 1);
    assert_eq!(history[0]["id"], sent.json()["id"]);
    assert_eq!(
        (&history[0]["status"], &history[0]["by_hand"]),
        (&json!("SUCCESS"), &json!(true))
    );

    api.post(&format!("{path}/resume"), "").await;
    assert_eq!(
        api.get(&next).await.json()["next"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    let listed = api.get("/beat").await.json();
    assert_eq!(listed["entries"].as_array().unwrap().len(), 1);
    assert_eq!(listed["entries"][0], api.get(path).await.json());
    assert!(api.get("/").await.text.contains("every evening"));
    assert_eq!(api.remove(path).await.json()["entry"], definition);
    for answer in [api.get(path).await, api.remove(path).await] {
        answer.problem(404, "unknown-entry", path);
    }
    assert_eq!(api.get("/beat").await.json(), json!({"entries": []}));
}

#[tokio::test(start_paused = true)]
async fn only_what_is_there_or_only_what_isnt() {
    let api = Api::new();
    let put = async |header: &str, argument: i64| {
        let mut entry = evening();
        entry["task"]["args"][0] = argument.into();
        let request = Request::put("/beat/a").header(header, "*");
        let request = request.body(Body::from(entry.to_string()));
        api.call(request.unwrap()).await
    };
    put("if-match", 1)
        .await
        .problem(404, "unknown-entry", "/beat/a");
    assert_eq!(put("if-none-match", 2).await.status, 201);
    put("if-none-match", 3)
        .await
        .problem(409, "conflict", "/beat/a");
    assert_eq!(put("if-match", 4).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_named() {
    let api = Api::new();
    let with = |field: &str, value: Value| {
        let mut body = evening();
        body[field] = value;
        body
    };
    for (body, parameter, detail) in [
        (
            with("task", json!({"task": "ad"})),
            "task",
            "beat entry `a` can't be sent: no task is named `ad`; did you mean `add`?",
        ),
        (
            with("schedule", json!({"every": 0})),
            "schedule",
            "beat entry `a`'s field `schedule`: `every`: 0ns isn't a whole number of seconds, at least 1",
        ),
        (
            with("grace", json!(-1)),
            "grace",
            "beat entry `a`'s field `grace` must be a whole number from 0 to 315360000",
        ),
        (
            with("name", json!("b")),
            "name",
            "`name` must be `a` as in the request, or be left out: an entry can't be renamed",
        ),
        (
            json!([]),
            "",
            r#"the body must be an entry such as {"schedule": {"every": 30}, "task": {"task": "ping"}}"#,
        ),
    ] {
        let problem = api.put("/beat/a", &body).await;
        let problem = problem.problem(422, "invalid-request", "/beat/a");
        assert_eq!(problem["detail"], detail);
        if !parameter.is_empty() {
            assert_eq!(problem["parameter"], parameter);
        }
    }
    let broken = Request::put("/beat/a").body(Body::from("{oops")).unwrap();
    api.call(broken).await.problem(400, "not-json", "/beat/a");
    let problem = api.put("/beat/a%2Fb", &evening()).await;
    let problem = problem.problem(422, "invalid-request", "/beat/a%2Fb");
    assert_eq!(problem["parameter"], "name");
    api.put("/beat/a", &evening()).await;
    for query in ["n=0", "n=101", "n=x", "m=1"] {
        let answer = api.get(&format!("/beat/a/next?{query}")).await;
        answer.problem(422, "invalid-request", "/beat/a/next");
    }
}

#[tokio::test(start_paused = true)]
async fn what_stands_in_the_code_is_refused_as_a_conflict() {
    let api = Api::new();
    let call = Signature::<(), ()>::named("add").arg(2).arg(3);
    let beat = Beat::new().entry("a", every(std::time::Duration::from_secs(3600)), call);
    beat.tick(&api.app).await.unwrap();
    for answer in [
        api.put("/beat/a", &evening()).await,
        api.remove("/beat/a").await,
    ] {
        let problem = answer.problem(409, "conflict", "/beat/a");
        assert_eq!(
            problem["detail"],
            "beat entry `a` stands in the code: change it there, or pause it"
        );
    }
    assert_eq!(api.post("/beat/a/pause", "").await.status, 200);
}
