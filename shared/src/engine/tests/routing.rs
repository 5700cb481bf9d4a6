//! Routes at work: what a worker sends for the first time is routed, and what it sends on stays where it is.

use super::*;
use crate::routes::{Route, Routes};
use crate::{ErrorKind, Signature};

/// A world with the queues `io`, `low` and `own`, and these routes in its settings.
fn world(routes: Routes) -> World {
    let mut config = Config::memory();
    for queue in ["io", "low", "own"] {
        config
            .queues
            .insert(queue.into(), format!("memory:{queue}"));
    }
    config.routes = routes;
    let mut world = World::with(config);
    world.worker = world.worker.tasks(tasks![parent, grows, replaced]);
    world
}

#[task]
async fn parent(#[ctx] ctx: &Context) -> Result<(), TaskError> {
    ctx.send(Signature::<(), i64>::named("add").arg(1).arg(2))
        .await?;
    Ok(())
}

#[task]
async fn grows(#[ctx] ctx: &Context) -> Result<i64, TaskError> {
    ctx.add_to_chord(Signature::<(), i64>::named("add").arg(1).arg(2))?;
    Ok(0)
}

#[task]
async fn replaced(#[ctx] ctx: &Context) -> Result<i64, TaskError> {
    Err(ctx.replace(Signature::<(), i64>::named("add").arg(1).arg(2)))
}

impl World {
    /// The names of the tasks whose messages are in the queue.
    fn tasks_in(&self, queue: &str) -> Vec<String> {
        let messages = self.messages(queue).into_iter();
        let body = |message: StoredMessage| serde_json::from_str::<Value>(&message.body).unwrap();
        messages
            .map(|message| body(message)["task"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Sends a body by hand and has one batch of the default queue worked on.
    async fn work_on(&self, body: Value) -> String {
        let id = self.send_body("default", body.to_string()).await;
        assert_eq!(self.step("default").await, [Disposition::Done]);
        id
    }
}

fn to_io() -> Routes {
    Routes::new().exact("add", Route::to("io").priority(7))
}

#[tokio::test(start_paused = true)]
async fn what_a_sender_put_into_a_queue_stays_there() {
    let world = world(Routes::new().glob("*", "io"));
    let id = world.work_on(json!({"task": "flaky", "args": [2]})).await;
    assert_eq!(world.status(&id).await, State::Retry);
    assert_eq!(
        (world.messages("default").len(), world.messages("io").len()),
        (1, 0)
    );
    world.pass(2).await;
    world.step("default").await;
    world.pass(4).await;
    world.step("default").await;
    assert_eq!(world.status(&id).await, State::Success);

    // Not due yet: put back.
    world
        .work_on(json!({"task": "flaky", "args": [0], "countdown": 60}))
        .await;
    assert_eq!(
        (world.messages("default").len(), world.messages("io").len()),
        (1, 0)
    );
    world.pass(60).await;
    world.step("default").await;

    // A dead letter goes back to where it came from.
    let id = world
        .work_on(json!({"task": "answer", "args": ["reject"]}))
        .await;
    let letters = world.app().dead_letters();
    letters
        .redrive(&id, &Default::default())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(world.tasks_in("default"), ["answer"]);
    assert!(world.messages("io").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_step_without_a_queue_is_routed_by_whoever_sends_it() {
    let world = world(to_io());
    let add = || json!({"task": "add", "args": [1]});
    let first = || json!({"task": "add", "args": [1, 1]});
    world.work_on(json!({"chain": [first(), add()]})).await;
    assert_eq!(world.tasks_in("io"), ["add"]);
    world.step("io").await;

    let members = [first(), json!({"task": "flaky", "args": [0]})];
    world.work_on(json!({"group": members})).await;
    assert_eq!(world.tasks_in("io"), ["add"]);
    assert_eq!(world.tasks_in("default"), ["flaky"]);
    world.step("io").await;
    world.step("default").await;

    let mut linked = first();
    linked["link"] = add();
    world.work_on(linked).await;
    assert_eq!(world.tasks_in("io"), ["add"]);
    world.step("io").await;

    let failing = json!({"task": "fail", "args": ["no"], "link_error": add()});
    world.work_on(failing).await;
    assert_eq!(world.tasks_in("io"), ["add"]);
}

#[tokio::test(start_paused = true)]
async fn a_step_with_a_queue_is_as_its_sender_wants_it() {
    let world = world(to_io());
    let step = json!({"task": "add", "args": [1], "queue": "own"});
    world
        .work_on(json!({"chain": [{"task": "add", "args": [1, 1]}, step]}))
        .await;
    let sent = world.messages("own");
    let body: Value = serde_json::from_str(&sent[0].body).unwrap();
    assert_eq!(
        body.get("priority"),
        None,
        "nothing of the worker's own route"
    );
}

#[tokio::test(start_paused = true)]
async fn what_tasks_send_is_routed() {
    let world = world(to_io());
    world.work_on(json!({"task": "parent"})).await;
    assert_eq!(world.tasks_in("io"), ["add"]);
    world.step("io").await;

    world.work_on(json!({"task": "replaced"})).await;
    assert_eq!(world.tasks_in("io"), ["add"]);
    world.step("io").await;

    world.work_on(json!({"group": [{"task": "grows"}]})).await;
    assert_eq!(world.step("default").await, [Disposition::Done]);
    // What was added is a group of its own, which goes where its first member goes.
    assert!(world.messages("io")[0].body.contains("\"group\":["));
    world.step("io").await;
    assert_eq!(world.tasks_in("io"), ["add"]);
}

#[tokio::test(start_paused = true)]
async fn a_route_that_leads_nowhere_fails_its_step_and_no_other() {
    let world = world(Routes::new().by(|call| {
        assert_ne!(call.task(), "slow", "no route for it");
        (call.task() == "add").then_some("nowhere")
    }));
    let error = world.app().send(Signature::<(), i64>::named("add")).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(
        error.to_string().contains("goes to queue `nowhere`"),
        "{error}"
    );

    let chain = |task: &str| {
        let steps =
            json!([{"task": "flaky", "args": [0]}, {"task": task, "args": [1], "id": task}]);
        json!({ "chain": steps }).to_string()
    };
    for task in ["add", "slow", "flaky"] {
        world.send_body("default", chain(task)).await;
    }
    assert_eq!(world.step("default").await, [Disposition::Done; 3]);
    assert_eq!(world.tasks_in("default"), ["flaky"]);
    for (task, said) in [
        ("add", "goes to queue `nowhere`"),
        ("slow", "panicked at task `slow`"),
    ] {
        let record = world.record(task).await;
        assert_eq!(record.status, State::Failure);
        let error = record.error.unwrap();
        assert!(error.message.contains(said), "{}", error.message);
    }
}
