//! Due times, expiry, unknown tasks, and invocations that run short.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_expires_before_it_starts_is_revoked() {
    let world = World::new();
    let call = add::s(2, 3).expires(Duration::from_secs(10));
    let handle = world.app().send(call).await.unwrap();
    world.pass(11).await;
    assert_eq!(world.step("default").await, [Disposition::Done]);
    let record = handle.record().await.unwrap();
    assert_eq!(
        (record.status, record.error.unwrap().kind.as_str()),
        (State::Revoked, "Expired")
    );
    assert_eq!(world.runs.count(), 0);
    assert!(world.item(handle.id()).contains_key("message"));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_task_waits_for_a_worker_that_knows_it_and_then_fails() {
    let world = World::new();
    let start = world.app().now();
    let id = world.send("ad", json!([2, 3])).await;
    let mut deliveries = 0;
    while world.status(&id).await == State::Pending {
        deliveries += world.step("default").await.len();
        world.pass(1).await;
        assert!(
            deliveries < 10,
            "it would be a dead letter without a record"
        );
    }
    let waited = world.app().now().since(start);
    assert!(
        waited >= Duration::from_secs(300) && waited < Duration::from_secs(310),
        "{waited:?}"
    );
    let error = world.record(&id).await.error.unwrap();
    assert_eq!(error.kind, "NotRegistered");
    assert_eq!(error.message, "no task is named `ad`; did you mean `add`?");
    let dead = world.memory.queue().dead_letters();
    assert_eq!(dead[0].attributes["sedano-reason"], "NotRegistered");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_expires_while_it_waits_for_its_due_time_is_revoked() {
    let world = World::new();
    let now = world.app().now();
    let eta = now + Duration::from_millis(900);
    let expires = now + Duration::from_millis(500);
    let body = json!({"id": "e", "task": "add", "args": [1, 1], "eta": eta, "expires": expires});
    world.send_body("default", body.to_string()).await;
    assert_eq!(world.step("default").await, [Disposition::Done]);
    assert_eq!(world.status("e").await, State::Revoked);
    assert_eq!(world.runs.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn too_little_time_left_hands_the_message_back_unstarted() {
    let mut config = Config::memory();
    config
        .queues
        .insert("orders.fifo".into(), "memory:orders.fifo".to_owned());
    let world = World::with(config);
    for (id, seconds) in [("a", 58), ("b", 1)] {
        let body =
            json!({"id": id, "task": "slow", "args": [seconds], "time_limit": 59}).to_string();
        world.send_body("orders.fifo", body).await;
    }
    // One group: the second message finds half a second left of the minute.
    let dispositions = world.step("orders.fifo").await;
    assert_eq!(dispositions, [Disposition::Done, Disposition::Returned]);
    assert_eq!(world.status("b").await, State::Pending);
    assert_eq!(
        world.step("orders.fifo").await,
        [Disposition::Done],
        "visible at once"
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_longer_than_its_invocation_is_stopped_in_time_to_say_so() {
    let world = World::new();
    let id = world.send("slow", json!([600])).await;
    let start = world.app().now();
    assert_eq!(world.step("default").await, [Disposition::Done]);
    assert!(world.app().now().since(start) < Duration::from_secs(60));
    let error = world.record(&id).await.error.unwrap();
    assert_eq!(
        error.to_string(),
        "TimeLimit: stopped by its time limit of 58.5s"
    );
}

#[tokio::test(start_paused = true)]
async fn a_long_visibility_timeout_is_shortened_once_a_batch() {
    let mut config = Config::memory();
    config.visibility_timeout = Some(Duration::from_secs(900));
    let world = World::with(config);
    let id = world.send("crash", json!([])).await;
    let before = world.memory.counts();
    world.die("default", Duration::from_secs(50)).await;
    assert_eq!(
        world
            .memory
            .counts()
            .since(&before)
            .of("ChangeMessageVisibilityBatch"),
        1
    );
    world.pass(16).await;
    assert_eq!(
        world.step("default").await,
        [Disposition::Done],
        "on to quarantine after 65 s"
    );
    assert_eq!(world.messages("quarantine").len(), 1);
    assert_eq!(world.status(&id).await, State::Started);
}

#[tokio::test(start_paused = true)]
async fn results_are_waited_for() {
    let world = World::new();
    let handle = world.app().send(add::s(2, 3)).await.unwrap();
    assert!(handle.try_get().await.unwrap().is_none());
    let error = handle
        .get()
        .timeout(Duration::from_secs(3))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "no result in time: the task is PENDING");
    let (sum, _) = tokio::join!(async { handle.get().await }, world.step("default"));
    assert_eq!(sum.unwrap(), 5);
    assert!(handle.ready().await.unwrap() && handle.successful().await.unwrap());
    let failed = world.app().send(fail::s("no".into())).await.unwrap();
    world.step("default").await;
    assert_eq!(
        failed.get().await.unwrap_err().to_string(),
        "the task failed: TaskError: no"
    );
    assert!(failed.failed().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn an_unknown_task_that_is_not_due_waits_until_it_is() {
    let world = World::new();
    let eta = world.app().now() + Duration::from_secs(5 * 3600);
    let body = json!({"id": "u", "task": "ad", "args": [2, 3], "eta": eta});
    world.send_body("default", body.to_string()).await;
    let delivered = world.live_until(eta + Duration::from_secs(360)).await;
    assert!(delivered < 8, "parked, and a few waits: {delivered}");
    let record = world.record("u").await;
    assert_eq!(record.error.unwrap().kind, "NotRegistered");
    assert!(record.finished_at.unwrap() >= eta + Duration::from_secs(300));
}
