//! Another run: backoff, counts, and messages that lag behind the record.

use super::*;

#[tokio::test(start_paused = true)]
async fn retries_are_recorded_with_their_due_time_and_error() {
    let world = World::new();
    let start = world.app().now();
    let id = world.send("flaky", json!([2])).await;
    world.step("default").await;
    let first = world.record(&id).await;
    assert_eq!((first.status, first.retries), (State::Retry, 1));
    assert_eq!(first.due_at.unwrap().since(start).as_secs(), 2);
    assert_eq!(first.error.unwrap().message, "disk");

    assert!(world.step("default").await.is_empty(), "not due yet");
    world.pass(3).await;
    world.step("default").await;
    let second = world.record(&id).await;
    assert_eq!((second.status, second.retries), (State::Retry, 2));

    world.pass(5).await;
    world.step("default").await;
    let last = world.record(&id).await;
    assert_eq!((last.status, last.retries), (State::Success, 2));
    assert_eq!((last.result, last.error), (Some(json!(2)), None));
    assert_eq!(last.attempts.len(), 3);
    assert_eq!(last.attempts[0].error.as_deref(), Some("TaskError: disk"));
    assert_eq!(last.attempts[2].error, None);
    assert!(last.attempts.iter().all(|attempt| attempt.end.is_some()));
}

#[tokio::test(start_paused = true)]
async fn three_retries_mean_four_runs() {
    let world = World::new();
    let id = world.send("flaky", json!([100])).await;
    for _ in 0..4 {
        assert_eq!(world.step("default").await, [Disposition::Done]);
        world.pass(20).await;
    }
    let record = world.record(&id).await;
    assert_eq!((record.status, record.retries), (State::Failure, 3));
    assert_eq!(record.attempts.len(), 4);
    assert!(world.messages("default").is_empty());
    assert!(
        world.item(&id).contains_key("message"),
        "kept for a retry by hand"
    );
}

#[tokio::test(start_paused = true)]
async fn a_snooze_counts_no_retry() {
    let world = World::new();
    let id = world.send("answer", json!(["snooze"])).await;
    for attempt in 1..=5 {
        world.step("default").await;
        let record = world.record(&id).await;
        assert_eq!((record.status, record.retries), (State::Retry, 0));
        assert_eq!(record.attempt, attempt);
        world.pass(31).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_message_sends_the_recorded_retry_again() {
    let world = World::new();
    let id = world.send("flaky", json!([1])).await;
    // Dies after the retry is recorded and before anything is acknowledged: the old message stays.
    let deliveries = world.receive("default").await;
    world.worker.handle(&deliveries, &world.invocation()).await;
    // And the new one is lost.
    world.pass(3).await;
    let lost = world.receive("default").await;
    assert_eq!(lost.len(), 1);
    world.acknowledge(&lost, &[Disposition::Done]).await;

    world.pass(90).await;
    assert_eq!(
        world.step("default").await,
        [Disposition::Done],
        "the old one helps"
    );
    world.pass(1).await;
    assert_eq!(world.step("default").await, [Disposition::Done]);
    let record = world.record(&id).await;
    assert_eq!((record.status, record.retries), (State::Success, 1));
    assert!(world.messages("default").is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_soft_limit_is_the_tasks_to_act_on() {
    let world = World::new();
    let id = world.send("gives_up", json!([])).await;
    world.step("default").await;
    let error = world.record(&id).await.error.unwrap();
    assert_eq!(
        error.to_string(),
        "SoftTimeLimit: gave up at its soft time limit of 1s"
    );
}

#[tokio::test(start_paused = true)]
async fn children_of_a_repeated_run_have_the_same_ids() {
    let world = World::new();
    let message = crate::Message::new("parent", "add");
    let ids = || async {
        let now = world.app().now();
        let state = crate::context::StateMap::default();
        let app = world.app().clone();
        let ctx = Context::new(app, message.clone(), state, now, now, None);
        let first = ctx.send(add::s(1, 1)).await.unwrap().id().to_owned();
        let second = ctx.send(add::s(1, 1)).await.unwrap().id().to_owned();
        (first, second)
    };
    let (first, second) = (ids().await, ids().await);
    assert_eq!(first, second);
    assert_ne!(first.0, first.1);
    world.step("default").await;
    world.pass(100).await;
    world.step("default").await;
    assert_eq!(world.runs.count(), 2);
    assert_eq!(
        world.record(&first.0).await.parent_id.as_deref(),
        Some("parent")
    );
}
