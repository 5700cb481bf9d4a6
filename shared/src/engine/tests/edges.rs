//! Where two things go wrong at once, and input at its limits.

use super::*;

/// Breaks where nobody expects user code.
#[derive(Debug)]
struct Unspeakable;

impl std::fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("no words")
    }
}

impl std::error::Error for Unspeakable {}

#[task]
async fn unspeakable() -> Result<(), Unspeakable> {
    Err(Unspeakable)
}

#[task(idempotent, ignore_result, max_retries = 3, default_retry_delay = secs(1))]
async fn quiet_at_last(#[ctx] ctx: &Context) -> Result<(), TaskError> {
    if ctx.retries() == 0 {
        return Err(TaskError::retry("not yet"));
    }
    Ok(())
}

/// Sends itself, not as its child.
#[task]
async fn again(#[ctx] ctx: &Context) -> Result<(), TaskError> {
    ctx.app().send(again {}).await?;
    Ok(())
}

/// What a macro doesn't write: a task without fields.
#[derive(serde::Serialize, serde::Deserialize)]
struct Unit;

impl crate::Task for Unit {
    const NAME: &'static str = "unit";
    type Output = ();
    async fn run(self, _: &Context) -> Result<(), TaskError> {
        Ok(())
    }
}

fn world() -> World {
    let mut config = Config::memory();
    for name in ["orders.fifo", "dead-letters.fifo"] {
        config.queues.insert(name.into(), format!("memory:{name}"));
    }
    let mut world = World::with(config);
    world.worker = world
        .worker
        .clone()
        .tasks(tasks![again, unspeakable, quiet_at_last, Unit]);
    world
}

#[tokio::test(start_paused = true)]
async fn a_task_that_expired_while_its_dead_worker_held_it_is_revoked() {
    let world = world();
    let body = json!({"id": "e", "task": "crash", "expires": 30}).to_string();
    world.send_body("default", body).await;
    world.die("default", Duration::from_secs(10)).await;
    world.pass(85).await;
    assert_eq!(world.step("default").await, [Disposition::Done]);
    assert_eq!(world.status("e").await, State::Revoked);
    assert!(world.messages("quarantine").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_fifo_retry_whose_process_dies_comes_again() {
    let world = world();
    // The record of a second attempt that died: its message is the first one's.
    let body = json!({"id": "f", "task": "flaky", "args": [1]}).to_string();
    world.send_body("orders.fifo", body).await;
    assert_eq!(world.step("orders.fifo").await, [Disposition::Returned]);
    let write = crate::ports::Write {
        key: crate::ports::Key::Result("f".to_owned()),
        op: crate::ports::Op::Update(vec![
            crate::ports::Change::Set("status".into(), State::Started.into()),
            crate::ports::Change::Set("owner".into(), "dead/0".into()),
            crate::ports::Change::Set(
                "lease_until".into(),
                (world.app().now() + Duration::from_secs(60)).into(),
            ),
        ]),
        when: crate::ports::When::Always,
    };
    world.app().ports().store.write(write).await.unwrap();
    world.pass(10).await;
    assert_eq!(
        world.step("orders.fifo").await,
        [Disposition::Returned],
        "someone may be alive"
    );
    world.pass(100).await;
    world.step("orders.fifo").await;
    world.step("quarantine").await;
    assert_eq!(world.status("f").await, State::Success);
}

#[tokio::test(start_paused = true)]
async fn a_long_error_is_kept_short() {
    let world = world();
    let id = world.send("fail", json!(["x".repeat(210_000)])).await;
    assert_eq!(world.step("default").await, [Disposition::Done]);
    let record = world.record(&id).await;
    let text = record.error.unwrap().message;
    assert!(text.ends_with('…') && text.len() < 5000, "{}", text.len());
    assert!(record.attempts[0].error.as_ref().unwrap().len() < 300);
}

#[tokio::test(start_paused = true)]
async fn a_message_too_large_to_be_sent_on_fails_with_that_reason() {
    let world = world();
    let start = json!({"task": "flaky", "args": [1], "headers": {"pad": ""}}).to_string();
    let pad = "x".repeat(crate::ports::BATCH_BYTES - start.len());
    let body = json!({"task": "flaky", "args": [1], "headers": {"pad": pad}}).to_string();
    assert_eq!(body.len(), crate::ports::BATCH_BYTES);
    let id = world.send_body("default", body).await;
    assert_eq!(world.step("default").await, [Disposition::Done]);
    let record = world.record(&id).await;
    assert_eq!(record.status, State::Failure);
    assert_eq!(record.error.unwrap().kind, "TooLarge");
    assert_eq!(world.memory.queue().dead_letters().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_sender_makes_the_dead_letters_a_home() {
    let world = world();
    let body = json!({"id": "h", "task": "flaky", "args": [1], "queue": "dead-letters"});
    world.send_body("default", body.to_string()).await;
    world.step("default").await;
    assert!(world.memory.queue().dead_letters().is_empty());
    world.pass(3).await;
    world.step("default").await;
    assert_eq!(world.status("h").await, State::Success);
}

#[tokio::test(start_paused = true)]
async fn revoked_it_hops_no_further() {
    let world = world();
    let call = add::s(1, 1).countdown(Duration::from_secs(20 * 86_400));
    let handle = world.app().send(call).await.unwrap();
    handle.revoke().await.unwrap();
    world.pass(901).await;
    assert_eq!(world.step("default").await, [Disposition::Done]);
    assert!(world.messages("default").is_empty());
    assert_eq!(handle.state().await.unwrap(), State::Revoked);
}

#[tokio::test(start_paused = true)]
async fn a_retry_leaves_no_record_behind_that_says_retry() {
    let world = world();
    let id = world.send("quiet_at_last", json!([])).await;
    world.step("default").await;
    assert_eq!(world.status(&id).await, State::Retry);
    world.pass(2).await;
    world.step("default").await;
    assert_eq!(world.status(&id).await, State::Success);
    assert!(!world.item(&id).contains_key("due_at"));
}

#[tokio::test(start_paused = true)]
async fn an_error_that_panics_when_read_costs_no_neighbour() {
    let world = world();
    let bad = world.send("unspeakable", json!([])).await;
    let good = world.send("add", json!([1, 1])).await;
    assert_eq!(world.step("default").await, [Disposition::Done; 2]);
    assert_eq!(world.record(&bad).await.error.unwrap().kind, "Panicked");
    assert_eq!(world.status(&good).await, State::Success);
}

#[tokio::test(start_paused = true)]
async fn absurd_counts_and_names_are_undecodable() {
    let world = world();
    world
        .send_body(
            "default",
            json!({"task": "add", "attempt": u32::MAX}).to_string(),
        )
        .await;
    world
        .send_body("default", json!({"task": "x".repeat(600)}).to_string())
        .await;
    assert_eq!(world.step("default").await, [Disposition::Done; 2]);
    assert_eq!(world.memory.queue().dead_letters().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_unit_struct_is_a_task() {
    let world = world();
    let handle = world.app().send(Unit).await.unwrap();
    world.step("default").await;
    handle.try_get().await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_late_first_delivery_waits_as_long_for_a_worker_that_knows_the_task() {
    let world = world();
    let body = |id: &str, countdown: u32| {
        json!({"id": id, "task": "unheard", "countdown": countdown}).to_string()
    };
    // One that lay in the queue, and one that wasn't due: nobody was asked meanwhile.
    world.send_body("default", body("backlog", 0)).await;
    world.send_body("default", body("late", 400)).await;
    world.pass(400).await;
    let mut waited = 0;
    while world.status("backlog").await == State::Pending {
        world.step("default").await;
        world.pass(1).await;
        waited += 1;
    }
    assert!((300..310).contains(&waited), "{waited}");
    assert_eq!(world.status("late").await, State::Failure);
    let error = world.record("backlog").await.error.unwrap();
    assert_eq!(error.kind, "NotRegistered");
}

#[tokio::test(start_paused = true)]
async fn a_later_run_that_sends_other_children_sends_them() {
    let world = world();
    let message = crate::Message::new("parent", "add");
    let context = || {
        let now = world.app().now();
        let state = crate::context::StateMap::default();
        Context::new(world.app().clone(), message.clone(), state, now, now, None)
    };
    let first = context().send(add::s(1, 1)).await.unwrap();
    let other = context().send(add::s(20, 20)).await.unwrap();
    assert_ne!(first.id(), other.id());
    world.step("default").await;
    assert_eq!(other.try_get().await.unwrap(), Some(40));
}

/// SQS's receive counts are approximate, and a message may have been sent twice.
#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_made_good_by_the_message_that_it_is_of() {
    let world = World::new();
    let body = json!({"id": "r", "task": "answer", "args": ["reject"]}).to_string();
    world.send_body("default", body.clone()).await;
    let mut first = world.receive("default").await;
    world.worker.handle(&first, &world.invocation()).await;
    assert_eq!(world.messages("dead-letters").len(), 1);
    // Nobody knows that the letter was sent.
    first[0].receive_count = 1;
    let done = world.worker.handle(&first, &world.invocation()).await;
    assert_eq!(done, [Disposition::Done]);
    assert_eq!(world.messages("dead-letters").len(), 2);
    world.acknowledge(&first, &done).await;

    world.send_body("default", body).await;
    let mut other = world.receive("default").await;
    other[0].receive_count = 2;
    let done = world.worker.handle(&other, &world.invocation()).await;
    assert_eq!(done, [Disposition::Done]);
    assert_eq!(world.messages("dead-letters").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_sends_itself_comes_to_an_end() {
    let world = world();
    let body = json!({"task": "again", "hops": 998}).to_string();
    let first = world.send_body("default", body).await;
    for _ in 0..3 {
        assert_eq!(world.step("default").await, [Disposition::Done]);
    }
    assert_eq!(world.status(&first).await, State::Success);
    assert!(world.messages("default").is_empty());
    let items = world.memory.store().items(Table::Results);
    let failed: Vec<_> = items
        .iter()
        .filter(|item| item.contains_key("error"))
        .collect();
    assert_eq!(failed.len(), 1, "the last one is refused its send");
}

/// The memory store removes nothing by itself, as DynamoDB may for days.
#[tokio::test(start_paused = true)]
async fn a_record_past_its_time_is_an_absent_one_to_every_write() {
    let world = world();
    let day = 86_400 * 15;
    for id in ["run", "quick", "revoke", "expired"] {
        let body = json!({"id": id, "task": "fail", "args": ["first"]}).to_string();
        world.send_body("default", body).await;
    }
    world.step("default").await;
    world.pass(day).await;
    assert_eq!(world.status("run").await, State::Pending);

    let start = world.app().now();
    for (id, task) in [("run", "add"), ("quick", "add_again")] {
        let body = json!({"id": id, "task": task, "args": [2, 3]}).to_string();
        world.send_body("default", body).await;
    }
    let body = json!({"id": "expired", "task": "add", "args": [2, 3], "expires": 0.001});
    world.send_body("default", body.to_string()).await;
    world.app().revoke("revoke").await.unwrap();
    world.pass(1).await;
    assert_eq!(world.step("default").await, [Disposition::Done; 3]);
    for id in ["run", "quick"] {
        let record = world.record(id).await;
        assert_eq!(record.result, Some(json!(5)), "{id}");
        assert_eq!(record.error, None, "nothing of its earlier life is left");
        assert_eq!(record.attempts.len(), 1);
        assert!(record.attempts[0].start >= start);
    }
    for id in ["revoke", "expired"] {
        let record = world.record(id).await;
        assert_eq!(record.status, State::Revoked, "{id}");
        assert!(record.attempts.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_that_may_come_again_is_guarded_for_two_weeks() {
    let world = world();
    let body = json!({"id": "daily", "task": "add", "args": [2, 3]}).to_string();
    world.send_body("default", body.clone()).await;
    let random = world.send("add", json!([2, 3])).await;
    world.step("default").await;
    world.pass(86_400 * 13).await;
    assert_eq!(world.status(&random).await, State::Pending);
    world.send_body("default", body).await;
    assert_eq!(world.step("default").await, [Disposition::Done]);
    assert_eq!(world.runs.count(), 2, "the copy of `daily` is not run");
}

#[tokio::test(start_paused = true)]
async fn a_tasks_own_expiry_holds_for_senders_that_dont_know_it() {
    let world = world();
    let late = world.send("hurried", json!([])).await;
    world.pass(61).await;
    let prompt = world.send("hurried", json!([])).await;
    assert_eq!(world.step("default").await, [Disposition::Done; 2]);
    assert_eq!(world.status(&late).await, State::Revoked);
    assert_eq!(world.status(&prompt).await, State::Retry);
    // Its retry belongs to the same minute.
    world.pass(181).await;
    assert_eq!(world.step("default").await, [Disposition::Done]);
    let record = world.record(&prompt).await;
    assert_eq!(record.status, State::Revoked);
    let error = record.error.unwrap().message;
    assert!(error.ends_with("before its retry 1 started"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_is_no_dead_letter_never_becomes_one() {
    let world = world();
    let id = world.send("answer", json!(["large"])).await;
    let deliveries = world.receive("default").await;
    world.worker.handle(&deliveries, &world.invocation()).await;
    world.pass(91).await;
    assert_eq!(world.step("default").await, [Disposition::Done]);
    assert_eq!(world.status(&id).await, State::Failure);
    assert!(world.memory.queue().dead_letters().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_on_keeps_its_attributes() {
    let world = world();
    let mut outgoing = Outgoing::new(json!({"task": "flaky", "args": [1]}).to_string());
    outgoing
        .attributes
        .insert("tenant".to_owned(), "a".to_owned());
    let queue = &world.app().ports().queue;
    queue.send(&"default".into(), vec![outgoing]).await.unwrap();
    world.step("default").await;
    assert_eq!(world.messages("default")[0].attributes["tenant"], "a");
}
