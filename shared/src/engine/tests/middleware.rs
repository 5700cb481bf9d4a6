//! Middleware round sends and runs, and what hooks are told.

use std::sync::Mutex;

use super::*;
use crate::ports::BoxFuture;
use crate::{Error, ErrorKind, Event, Middleware, Next, Sending, Signature, Worked};

type Seen = Arc<Mutex<Vec<String>>>;

/// Says when it is called, and does as it is told.
struct Says(&'static str, Seen);

impl Says {
    fn say(&self, what: &str) {
        self.1.lock().unwrap().push(format!("{} {what}", self.0));
    }
}

impl Middleware for Says {
    fn send(&self, message: &mut Sending<'_>) -> crate::Result<()> {
        self.say(&format!("sends {}", message.message().task));
        match self.0 {
            "refuses" if message.message().task == "fail" => {
                Err(Error::new(ErrorKind::Invalid, "not this one"))
            }
            "panics" => panic!("at the send"),
            "hides" => {
                let (args, _) = message.arguments();
                args.reverse();
                Ok(())
            }
            name => {
                let queue = message.queue().as_str().to_owned();
                message.set_header(name, queue);
                Ok(())
            }
        }
    }

    fn work<'a>(&'a self, ctx: &'a Context, mut next: Next<'a>) -> BoxFuture<'a, Worked> {
        match self.0 {
            "bursts" => panic!("before the run"),
            "hides" => next.arguments().0.reverse(),
            _ => {}
        }
        Box::pin(async move {
            self.say("begins");
            let worked = match self.0 {
                "answers" => Ok("42".to_owned()),
                "garbles" => Ok("{".to_owned()),
                _ => next.run(ctx).await,
            };
            self.say("ends");
            worked
        })
    }
}

fn world(names: &[&'static str]) -> (World, Seen) {
    let (mut world, seen) = (World::new(), Seen::default());
    for name in names {
        world.worker = world.worker.middleware(Says(name, seen.clone()));
    }
    (world, seen)
}

fn sub(x: i64, y: i64) -> Signature<(), i64> {
    Signature::named("add").arg(x).arg(y)
}

#[tokio::test(start_paused = true)]
async fn the_first_is_outside_and_each_send_and_run_passes_once() {
    let (world, seen) = world(&["a", "b"]);
    let last = sub(1, 2) | Signature::<i64, i64>::named("add").arg(3);
    let sent = world.app().send(last).await.unwrap();
    let body: Value = serde_json::from_str(&world.messages("default")[0].body).unwrap();
    assert_eq!(body["headers"], json!({"a": "default", "b": "default"}));
    assert_eq!(world.worker.run_once().await.unwrap(), 2);
    assert_eq!(sent.try_get().await.unwrap(), Some(6));
    let run = ["a begins", "b begins", "b ends", "a ends"];
    let send = ["a sends add", "b sends add"];
    let wanted = [&send[..], &run, &send, &run].concat();
    assert_eq!(*seen.lock().unwrap(), wanted);
    // Looked at isn't sent.
    world.app().queue_of(sub(1, 2)).unwrap();
    assert_eq!(seen.lock().unwrap().len(), wanted.len());
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_an_error_of_the_send_or_the_failure_of_the_step() {
    let (world, _) = world(&["refuses"]);
    let fail = || Signature::<(), Value>::named("fail").arg("x");
    let error = world.app().send(fail()).await.unwrap_err();
    assert_eq!(error.to_string(), "not this one");
    let many = world.app().send_many([fail()]).await;
    assert_eq!(many[0].as_ref().unwrap_err().to_string(), "not this one");
    let step = sub(1, 2) | Signature::<i64, Value>::named("fail");
    let sent = world.app().send(step).await.unwrap();
    world.worker.run_once().await.unwrap();
    let record = sent.record().await.unwrap();
    assert_eq!(record.status, State::Failure);
    assert_eq!(record.error.unwrap().message, "not this one");
}

#[tokio::test(start_paused = true)]
async fn one_that_panics_harms_its_task_alone() {
    let (panics, _) = world(&["panics"]);
    let error = panics.app().send(sub(1, 2)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "a middleware panicked when `add` was to be sent: at the send"
    );
    for (name, kind, words) in [
        ("bursts", "Panicked", "before the run"),
        ("garbles", "", "a middleware returned what is no JSON"),
    ] {
        let (world, _) = world(&[name]);
        let id = world.send("add", json!([1, 2])).await;
        assert_eq!(world.step("default").await, [Disposition::Done]);
        let record = world.record(&id).await;
        let error = record.error.unwrap();
        assert_eq!(record.status, State::Failure);
        assert!(error.kind.contains(kind), "{error:?}");
        assert!(error.message.contains(words), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn arguments_may_be_changed_on_both_sides_and_runs_answered() {
    let (world, seen) = world(&["hides"]);
    let sent = world.app().send(sub(5, 2)).await.unwrap();
    assert!(world.messages("default")[0].body.contains("[2,5]"));
    world.worker.run_once().await.unwrap();
    assert_eq!(sent.try_get().await.unwrap(), Some(7));
    assert_eq!(seen.lock().unwrap().len(), 3);

    let (world, _) = self::world(&["answers"]);
    let id = world.send("add", json!([1, 2])).await;
    world.step("default").await;
    assert_eq!(world.record(&id).await.result, Some(json!(42)));
    assert_eq!(world.runs.count(), 0);
}

fn listening() -> (World, Seen) {
    let (mut world, seen) = (World::new(), Seen::default());
    let seeing = seen.clone();
    let app = world.app().clone();
    let listening = app
        .on(|_: &Event<'_>| panic!("in a hook"))
        .on(move |event| {
            let failure = event.failure.map(|failure| failure.kind.clone());
            let task = event.task().unwrap_or("?");
            let what = format!("{task} {:?} {}", event.kind, failure.unwrap_or_default());
            seeing.lock().unwrap().push(what.trim().to_owned());
        });
    world.worker = Worker::new(listening).state(world.runs.clone());
    (world, seen)
}

#[tokio::test(start_paused = true)]
async fn hooks_are_told_once_of_what_is_recorded() {
    for (task, args, wanted) in [
        (
            "add",
            json!([1, 2]),
            vec!["Received", "Started", "Succeeded"],
        ),
        (
            "add_quietly",
            json!([1, 2]),
            vec!["Received", "Started", "Succeeded"],
        ),
        (
            "answer",
            json!(["ignore"]),
            vec!["Received", "Started", "Ignored"],
        ),
        (
            "answer",
            json!(["reject"]),
            vec!["Received", "Started", "Rejected Rejected"],
        ),
    ] {
        let (world, seen) = listening();
        world.send(task, args).await;
        let deliveries = world.receive("default").await;
        world.worker.handle(&deliveries, &world.invocation()).await;
        let told = |kinds: &[&str]| -> Vec<String> {
            kinds.iter().map(|kind| format!("{task} {kind}")).collect()
        };
        assert_eq!(*seen.lock().unwrap(), told(&wanted));
        // The same again: of an end that is recorded nobody is told twice.
        if task != "add_quietly" {
            seen.lock().unwrap().clear();
            world.worker.handle(&deliveries, &world.invocation()).await;
            assert_eq!(*seen.lock().unwrap(), told(&["Received"]));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn hooks_are_told_of_sends_retries_and_what_never_ran() {
    let (world, seen) = listening();
    let sent = world.app().send(flaky::s(1)).await.unwrap();
    world.step("default").await;
    assert_eq!(world.status(sent.id()).await, State::Retry);
    let told = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(told[..3], ["flaky Sent", "flaky Received", "flaky Started"]);
    assert!(told[3].starts_with("flaky Retried "), "{told:?}");
    assert_eq!(told.len(), 4);

    world.app().revoke(sent.id()).await.unwrap();
    let body = json!({"task": "add", "args": [1, 2], "expires": 1}).to_string();
    let late = world.send_body("default", body).await;
    world.pass(3).await;
    world.step("default").await;
    assert_eq!(world.status(&late).await, State::Revoked);
    let mut told = std::mem::take(&mut *seen.lock().unwrap());
    told.sort();
    let wanted = [
        "? Revoked Revoked",
        "add Expired Expired",
        "add Received",
        "flaky Received",
    ];
    assert_eq!(told, wanted);
}
