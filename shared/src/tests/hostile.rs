//! Input that means harm, or was made by a mistake: each ends in a sentence that says what to do, or is
//! taken on purpose.

use std::time::Duration;

use serde_json::{Value, json};

use crate::memory::Memory;
use crate::message::Message;
use crate::ports::{BATCH_BYTES, Outgoing, Queue as _, QueueName, Table};
use crate::time::Timestamp;
use crate::{App, Context, ErrorKind, Param, Signature, State, Task, TaskError, Worker, tasks};

const SENT: Timestamp = Timestamp::from_millis(1_772_366_400_000);

fn decode(body: &str) -> Result<Message, String> {
    Message::decode(body, "mid-1", SENT).map_err(|error| {
        assert_eq!(error.kind(), ErrorKind::Decode);
        error.to_string()
    })
}

fn nested(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

#[test]
fn every_hostile_body_is_refused_with_what_and_where() {
    let id = |id: &str| json!({"task": "t", "id": id}).to_string();
    let deep = "the message is nested deeper than 127 levels at line 1, column";
    let no_nan = "it has no NaN and no Infinity; send null, or a text";
    let no_object =
        "the message is JSON but no object: write {\"task\": \"name\", \"args\": []}".to_owned();
    let cases: Vec<(String, String)> = vec![
        (String::new(), "the message is no JSON at line 1, column 0: EOF".into()),
        ("\"add\"".into(), no_object.clone()),
        ("7".into(), no_object.clone()),
        ("null".into(), no_object.clone()),
        ("[1]".into(), no_object.clone()),
        ("{\"task\": \"t\"} {}".into(), "the message is no JSON at line 1, column 15: trailing".into()),
        (nested(10_000), format!("{deep} 128: flatten it")),
        ("[".repeat(1 << 20), format!("{deep} 128: flatten it")),
        (format!(r#"{{"task":"t","args":[{}]}}"#, nested(10_000)), format!("{deep} 146")),
        (format!(r#"{{"task":"t","colour":{}}}"#, nested(10_000)), deep.into()),
        (r#"{"task":"t","args":[NaN]}"#.into(), format!("the message is no JSON at line 1, column 21: {no_nan}")),
        (r#"{"task":"t","args":[-Infinity]}"#.into(), format!("the message is no JSON at line 1, column 22: {no_nan}")),
        (r#"{"task":"t","args":[1e999]}"#.into(), "the message has a number beyond 1.8e308 at line 1, column 25: send it as text".into()),
        (format!(r#"{{"task":"t","args":[1{}]}}"#, "0".repeat(400)), "the message has a number beyond 1.8e308".into()),
        (r#"{"task":"t","args":["\ud800"]}"#.into(), "the message has half of a surrogate pair at line 1".into()),
        (r#"{"task":"t","args":["\udc00\ud800"]}"#.into(), "the message has half of a surrogate pair at line 1".into()),
        ("{\"task\":\"t\",\"args\":[\"\u{0}\"]}".into(), "the message is no JSON at line 1, column 22: control character".into()),
        (id(""), "the message's field `id` must be a text of 1 to 512 bytes without control characters".into()),
        (id(&"x".repeat(513)), "the message's field `id` must be a text of at most 512 bytes".into()),
        (id("a\u{0}"), "the message's field `id` must be a text of 1 to 512 bytes without control characters".into()),
        (id("a\u{1f}1"), "the message's field `id` must be a text of 1 to 512 bytes without control characters".into()),
        (r#"{"task":"t","countdown":-1}"#.into(), "the message's field `countdown` must be a number of seconds, 0 or more".into()),
        (r#"{"task":"t","countdown":"1"}"#.into(), "the message's field `countdown` must be a number of seconds, 0 or more".into()),
        (r#"{"task":"t","eta":"99999-01-01T00:00:00Z"}"#.into(), "the message's field `eta` must be an ISO 8601 date-time such as".into()),
        (r#"{"task":"t","expires":-1e-9}"#.into(), "the message's field `expires` must be an ISO 8601 date-time such as".into()),
        (r#"{"task":"t","retries":18446744073709551616}"#.into(), "the message's field `retries` must be a whole number from 0 to 1000000".into()),
        (r#"{"task":"t","retries":1.5}"#.into(), "the message's field `retries` must be a whole number from 0 to 1000000".into()),
        (r#"{"task":"t","priority":-1}"#.into(), "the message's field `priority` must be a whole number from 0 to 9".into()),
        // References to what lies elsewhere: a later version's, and that of Amazon's extended client.
        (r#"{"task":"t","payload":{"s3":"s3://other/secret"}}"#.into(), "this worker can't act on the field `payload` yet".into()),
        (r#"["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"b","s3Key":"k"}]"#.into(), no_object),
    ];
    for (body, wanted) in cases {
        let shown = body.get(..100).unwrap_or(&body);
        let said = decode(&body).unwrap_err();
        assert!(said.starts_with(&wanted), "{shown}: {said}");
        assert!(said.len() < 300, "{shown}: {said}");
    }
}

#[test]
fn what_is_odd_and_harmless_is_taken_as_it_is_documented() {
    // The last of two keys counts, as in Python.
    let twice = decode(r#"{"task":"a","args":[1],"task":"b","args":[2]}"#).unwrap();
    assert_eq!((twice.task.as_str(), twice.args), ("b", vec![json!(2)]));
    // Whole numbers are exact within 64 bits, and beyond that the nearest double.
    let body =
        r#"{"task":"t","args":[18446744073709551615,-9223372036854775808,18446744073709551616]}"#;
    let args = decode(body).unwrap().args;
    assert_eq!(
        args,
        [
            json!(u64::MAX),
            json!(i64::MIN),
            json!(18_446_744_073_709_551_616.0_f64)
        ]
    );
    // A time that nobody lives to see is the last there is.
    let late =
        decode(r#"{"task":"t","countdown":1e300,"expires":1e18,"time_limit":1e300}"#).unwrap();
    assert!(late.eta.unwrap().to_string().starts_with("9999-12-30"));
    assert_eq!(late.expires, late.eta);
    assert_eq!(late.time_limit, Some(Duration::MAX));
    assert_eq!(decode(&late.encode().unwrap()).unwrap(), late);
    // Noncharacters are characters, raw and escaped; nul is a character of an argument.
    let odd = decode("{\"task\":\"t\",\"args\":[\"\u{fffe}\\uffff\\u0000\"]}").unwrap();
    assert_eq!(odd.args, ["\u{fffe}\u{ffff}\u{0}"]);
    let written = odd.encode().unwrap();
    assert!(written.contains(r"\ufffe\uffff\u0000"), "{written}");
    // As deep as can be read, and as many headers as fit.
    let deep = decode(&format!(r#"{{"task":"t","args":[{}]}}"#, nested(125))).unwrap();
    assert_eq!(decode(&deep.encode().unwrap()).unwrap(), deep);
    let headers: serde_json::Map<_, _> = (0..10_000).map(|n| (n.to_string(), n.into())).collect();
    let many = decode(&json!({"task": "t", "headers": headers}).to_string()).unwrap();
    assert_eq!(many.headers.len(), 10_000);
    assert_eq!(
        decode(&json!({"task": "t", "id": "x".repeat(512)}).to_string())
            .unwrap()
            .id
            .len(),
        512
    );
}

/// What it is given, or what can't be written.
#[derive(serde::Serialize, serde::Deserialize)]
struct Give {
    what: String,
}

impl Task for Give {
    const NAME: &'static str = "give";
    const PARAMS: &'static [Param] = &[Param::required("what")];
    type Output = Value;
    async fn run(self, _: &Context) -> Result<Value, TaskError> {
        Ok(match self.what.as_str() {
            "error" => return Err(TaskError::retry("later")),
            "deep" => deep_value(200),
            _ => deep_value(127),
        })
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Mean {
    of: Vec<f64>,
}

impl Task for Mean {
    const NAME: &'static str = "mean";
    const PARAMS: &'static [Param] = &[Param::required("of")];
    type Output = f64;
    async fn run(self, _: &Context) -> Result<f64, TaskError> {
        Ok(self.of.iter().sum::<f64>() / self.of.len() as f64)
    }
}

fn untyped<Out>(typed: Signature<(), Out>) -> Signature<(), Value> {
    Signature::of(typed.into_canvas())
}

fn deep_value(levels: usize) -> Value {
    (0..levels).fold(Value::Null, |inside, _| Value::Array(vec![inside]))
}

fn app(memory: &Memory) -> App {
    memory.app().tasks(tasks![Give, Mean])
}

#[tokio::test(start_paused = true)]
async fn what_no_worker_could_read_is_not_sent() {
    let memory = Memory::default();
    let app = app(&memory);
    let call = || Signature::<(), Value>::named("give");
    let deep = "an argument of `give` can't be written as JSON: it is nested deeper than 125 levels: flatten";
    let message =
        "the message of task `give` can't be sent: it is nested deeper than 127 levels; flatten";
    let cases = [
        (call().arg(deep_value(126)), deep.to_owned()),
        (call().arg(deep_value(1_000)), deep.to_owned()),
        (call().kwarg("what", deep_value(126)), deep.to_owned()),
        (call().header("h", deep_value(126)), message.to_owned()),
        (
            call().arg(f64::NAN),
            "an argument of `give` can't be written as JSON: JSON has no NaN: write null (None)"
                .into(),
        ),
        (
            call().kwarg("what", [f32::INFINITY]),
            "an argument of `give` can't be written as JSON: JSON has no inf".into(),
        ),
        (
            untyped(Signature::new(Mean { of: vec![f64::NAN] })),
            "an argument of `mean` can't be written as JSON: JSON has no NaN".into(),
        ),
    ];
    let long = Signature::named("x".repeat(513));
    let wanted = format!(
        "the message of task `{}…` can't be sent: `task` has more than 512 bytes",
        "x".repeat(200)
    );
    for (call, wanted) in cases.into_iter().chain([(long, wanted)]) {
        let error = app.send(call).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Encode);
        assert!(error.to_string().starts_with(&wanted), "{error}");
    }
    let error = app.send(call().id("a\u{1f}b")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "a task id is a text of 1 to 512 bytes without control characters"
    );
    let queue = QueueName::new(QueueName::DEFAULT);
    assert!(memory.queue().messages(&queue).is_empty());
    // The deepest, and the longest limit, arrive.
    let call = call().arg(deep_value(125)).time_limit(Duration::MAX);
    app.send(call).await.unwrap();
    let sent = memory.queue().messages(&queue);
    assert_eq!(decode(&sent[0].body).unwrap().args, [deep_value(125)]);
}

#[tokio::test(start_paused = true)]
async fn a_result_that_could_not_be_read_is_a_failure_that_says_so() {
    let memory = Memory::default();
    let app = app(&memory);
    let deep = app
        .send(Give {
            what: "deep".into(),
        })
        .await
        .unwrap();
    let deepest = app
        .send(Give {
            what: "deepest".into(),
        })
        .await
        .unwrap();
    let mean = app.send(Mean { of: vec![] }).await.unwrap();
    // Nobody reads this one.
    let unread = Signature::new(Mean { of: vec![] }).ignore_result(true);
    let unread = app.send(unread).await.unwrap();
    Worker::new(app.clone()).run_once().await.unwrap();
    assert_eq!(deepest.get().await.unwrap(), deep_value(127));
    let unread = app.record(unread.id()).await.unwrap();
    assert_eq!((unread.status, unread.result), (State::Success, None));
    for (id, said) in [
        (
            deep.id(),
            "give() returned what can't be written as JSON: it is nested deeper than 127 levels: flatten it, or write the inner part as text",
        ),
        (
            mean.id(),
            "mean() returned what can't be written as JSON: JSON has no NaN: write null (None), or a text",
        ),
    ] {
        let record = app.record(id).await.unwrap();
        let error = record.error.unwrap();
        assert_eq!(
            (record.status, error.kind.as_str()),
            (State::Failure, "Encode")
        );
        assert_eq!(error.message, said);
    }
}

/// The retry of the last message there can be is an end that is recorded, not a dead letter without one.
#[tokio::test(start_paused = true)]
async fn a_message_after_a_million_runs_is_the_end() {
    let memory = Memory::default();
    let app = app(&memory);
    let body = json!({"task": "give", "id": "1", "args": ["error"], "attempt": 1_000_000});
    let queue = QueueName::new(QueueName::DEFAULT);
    memory
        .queue()
        .send(&queue, vec![Outgoing::new(body.to_string())])
        .await
        .unwrap();
    Worker::new(app.clone()).run_once().await.unwrap();
    let record = app.record("1").await.unwrap();
    assert_eq!(record.status, State::Failure);
    let said = record.error.unwrap().message;
    assert_eq!(
        said,
        "the message of task `give` can't be sent: `attempt` is over 1000000"
    );
}

/// The record's text of an error is of bounded length, whatever the arguments.
#[tokio::test(start_paused = true)]
async fn an_error_quotes_the_beginning_of_what_is_wrong() {
    let memory = Memory::default();
    let app = app(&memory);
    let long = "x".repeat(900_000);
    let bodies = [
        json!({"task": "mean", "id": "1", "args": [[long]]}),
        json!({"task": "mean", "id": "2", "kwargs": {(long.clone()): 1}}),
        json!({"task": "mean", "id": "3", "kwargs": {"of": {(long.clone()): 1}}}),
    ];
    for body in &bodies {
        let outgoing = Outgoing::new(body.to_string());
        let queue = QueueName::new(QueueName::DEFAULT);
        memory.queue().send(&queue, vec![outgoing]).await.unwrap()[0]
            .as_ref()
            .unwrap();
    }
    Worker::new(app.clone()).run_once().await.unwrap();
    assert_eq!(memory.store().items(Table::Results).len(), 3);
    for (id, said) in [
        ("1", "mean() argument 'of': invalid type: string \"xxx"),
        ("2", "mean() got an unexpected keyword argument 'xxx"),
        (
            "3",
            "mean() argument 'of': invalid type: map, expected a sequence",
        ),
    ] {
        let message = app.record(id).await.unwrap().error.unwrap().message;
        assert!(
            message.starts_with(said) && message.len() < 700,
            "{message}"
        );
    }
    let text = app.record("1").await.unwrap().error.unwrap().message;
    assert!(text.ends_with("expected f64"), "{text}");
}

/// A record keeps a message compressed. Nothing of Sedano reads it back, and what else is read back is bounded,
/// so that no bomb goes off here: whoever adds a reader has to bound what it makes of a small text.
#[test]
fn nothing_is_decompressed_without_bound() {
    let mut folders = vec![std::path::PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src"
    ))];
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("mod tests {").next().unwrap();
            let is_tests =
                |part: &std::path::Path| part.file_stem().is_some_and(|stem| stem == "tests");
            let is_test = path.ancestors().any(is_tests);
            let is_bounded = !code.contains("Decoder") || code.contains(".take(MOST)");
            assert!(is_test || is_bounded, "{}", path.display());
            read += 1;
        }
    }
    assert!(read > 50);
    // What was compressed well is kept as it is: small.
    let bomb = format!(r#"{{"task":"t","args":["{}"]}}"#, "0".repeat(BATCH_BYTES));
    assert!(crate::message::compress(&bomb).len() < 10_000);
}
