//! Events into the producer and the console over the ports in memory.

use super::*;
use crate::http::tests::Add;
use crate::memory::Memory;
use crate::ports::QueueName;
use crate::tasks;

async fn invoke(memory: &Memory, event: Value) -> Result<Value> {
    let app = memory.app().tasks(tasks![Add]);
    produce(&app, &router(app.clone(), Routes::SEND), event).await
}

fn sent(memory: &Memory) -> Vec<Value> {
    let queue = QueueName::new(QueueName::DEFAULT);
    let messages = memory.queue().messages(&queue);
    let parsed = messages
        .iter()
        .map(|message| serde_json::from_str(&message.body));
    parsed.map(Result::unwrap).collect()
}

#[tokio::test]
async fn an_http_request_is_served() {
    let memory = Memory::default();
    let event = include_str!("../../../tests/fixtures/events/http_post.json");
    let answer = invoke(&memory, serde_json::from_str(event).unwrap())
        .await
        .unwrap();
    assert_eq!(answer["statusCode"], 202);
    assert_eq!(answer["headers"]["content-type"], "application/json");
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    let messages = sent(&memory);
    assert_eq!(messages[0]["args"], json!([2, 3]));
    assert_eq!(messages[0]["id"], body["id"]);
}

#[tokio::test]
async fn one_call_answers_its_id() {
    let memory = Memory::default();
    let event = json!({"v": 1, "task": "add", "args": [2, 3], "id": "a", "priority": 3, "parent_id": "p", "root_id": "r"});
    let answer = invoke(&memory, event.clone()).await.unwrap();
    assert_eq!(answer, json!({"id": "a", "status": "PENDING"}));
    assert_eq!(sent(&memory), [event]);
}

#[tokio::test]
async fn one_bad_call_fails_the_invocation_by_kind() {
    let memory = Memory::default();
    let cases = [
        (
            json!({"task": "ad", "args": [2, 3]}),
            "NotRegistered",
            "no task is named `ad`; did you mean `add`?",
        ),
        (
            json!({"task": "add", "args": [2]}),
            "Bind",
            "add() missing 1 required positional argument: 'y'",
        ),
        (
            json!({"task": "add", "args": [2, 3], "countdwn": 1}),
            "Invalid",
            "there is no field `countdwn`; did you mean `countdown`?",
        ),
        (json!({"task": 7}), "Invalid", "`task` must be a text"),
        (
            json!({"messages": 7}),
            "Invalid",
            "`messages` must be a list",
        ),
        (
            json!({"task": "add", "args": ["x".repeat(1_100_000), 3]}),
            "Bind",
            "add() argument 'x': invalid type: string",
        ),
        (
            json!({"Records": []}),
            "Decode",
            "the event can't be acted on: this function takes {\"task\": \"name\", \"args\": []}",
        ),
        (
            json!({"httpMethod": "GET", "requestContext": {}}),
            "Decode",
            "the HTTP request has payload format 1.0: set PayloadFormatVersion 2.0",
        ),
    ];
    for (event, kind, message) in cases {
        let error = invoke(&memory, event).await.unwrap_err();
        let failure = lambda_runtime::Diagnostic::from(crate::lambda::Failed(error));
        assert_eq!(failure.error_type, kind);
        assert!(
            failure.error_message.starts_with(message),
            "{}",
            failure.error_message
        );
    }
    assert!(sent(&memory).is_empty());
}

#[tokio::test]
async fn of_many_the_good_ones_are_sent() {
    let memory = Memory::default();
    let mut calls: Vec<Value> = (0..12)
        .map(|n| json!({"task": "add", "args": [n, 1], "id": n.to_string()}))
        .collect();
    calls[3] = json!({"task": "add", "args": [1]});
    calls[7] = json!("add");
    for event in [Value::Array(calls.clone()), json!({"messages": calls})] {
        let memory = Memory::default();
        let answers = invoke(&memory, event).await.unwrap();
        let answers = answers.as_array().unwrap();
        assert_eq!(answers.len(), 12);
        for (n, answer) in answers.iter().enumerate() {
            match n {
                3 => {
                    assert_eq!(
                        answer["error"]["type"],
                        "urn:sedano:problem:invalid-arguments"
                    );
                    assert_eq!(answer["error"]["parameter"], "y");
                }
                7 => assert_eq!(answer["error"]["status"], 422),
                _ => assert_eq!(*answer, json!({"id": n.to_string(), "status": "PENDING"})),
            }
        }
        assert_eq!(sent(&memory).len(), 10);
    }
    assert_eq!(invoke(&memory, json!([])).await.unwrap(), json!([]));
}
