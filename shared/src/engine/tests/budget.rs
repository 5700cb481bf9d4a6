//! What a task costs, counted: `docs/cost.md` has the table.

use super::*;
use crate::memory::Counts;

/// Its state is kept, its value isn't.
#[task(ignore_result)]
async fn add_for_nobody(x: i64, y: i64) -> Result<i64, TaskError> {
    Ok(x + y)
}

async fn cost(task: &str, messages: usize) -> Counts {
    let mut world = World::new();
    world.worker = world.worker.tasks(tasks![add_for_nobody]);
    for _ in 0..messages {
        world.send(task, json!([2, 3])).await;
    }
    let deliveries = world.receive("default").await;
    let before = world.memory.counts();
    let dispositions = world.worker.handle(&deliveries, &world.invocation()).await;
    assert_eq!(dispositions, vec![Disposition::Done; messages]);
    world.memory.counts().since(&before)
}

fn calls(counts: &Counts) -> Vec<(&str, u64)> {
    counts
        .calls
        .iter()
        .map(|(name, calls)| (*name, *calls))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn ten_plain_tasks_make_two_calls_and_two_write_units_each() {
    let counts = cost("add", 10).await;
    assert_eq!(calls(&counts), [("BatchExecuteStatement", 2)]);
    assert_eq!((counts.write_units, counts.read_units), (20, 0));
}

#[tokio::test(start_paused = true)]
async fn one_plain_task_makes_two_calls() {
    let counts = cost("add", 1).await;
    assert_eq!(calls(&counts), [("PutItem", 1), ("UpdateItem", 1)]);
    assert_eq!((counts.write_units, counts.read_units), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn an_idempotent_task_skips_the_claim() {
    let ten = cost("add_again", 10).await;
    assert_eq!(calls(&ten), [("BatchExecuteStatement", 1)]);
    assert_eq!(ten.write_units, 10);
    let one = cost("add_again", 1).await;
    assert_eq!(calls(&one), [("PutItem", 1)]);
    assert_eq!(one.write_units, 1);
}

#[tokio::test(start_paused = true)]
async fn a_result_that_is_not_kept_saves_no_call() {
    let ten = cost("add_for_nobody", 10).await;
    assert_eq!(calls(&ten), [("BatchExecuteStatement", 2)]);
    assert_eq!((ten.write_units, ten.read_units), (20, 0));
    let one = cost("add_for_nobody", 1).await;
    assert_eq!(calls(&one), [("PutItem", 1), ("UpdateItem", 1)]);
    assert_eq!((one.write_units, one.read_units), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn idempotent_without_result_costs_nothing() {
    for messages in [1, 10] {
        let counts = cost("add_quietly", messages).await;
        assert!(counts.calls.is_empty(), "{counts:?}");
        assert_eq!(counts.write_units, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_templates_visibility_timeout_costs_no_call() {
    let mut config = Config::memory();
    config.visibility_timeout = Some(Duration::from_secs(90));
    let world = World::with(config);
    world.send("add", json!([2, 3])).await;
    let deliveries = world.receive("default").await;
    let mut invocation = world.invocation();
    invocation.deadline = invocation.deadline - Duration::from_millis(300);
    let before = world.memory.counts();
    world.worker.handle(&deliveries, &invocation).await;
    let counts = world.memory.counts().since(&before);
    assert_eq!(counts.of("ChangeMessageVisibilityBatch"), 0);
}

#[tokio::test(start_paused = true)]
async fn many_are_sent_in_calls_of_ten() {
    let world = World::new();
    let before = world.memory.counts();
    let results = world.app().send_many((0..25).map(|n| add::s(n, n))).await;
    assert!(results.into_iter().all(|result| result.is_ok()));
    assert_eq!(
        calls(&world.memory.counts().since(&before)),
        [("SendMessageBatch", 3)]
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_be_sent_does_not_hold_up_the_others() {
    let world = World::new();
    let calls = [add::s(1, 1), add::s(2, 2).queue("nowhere"), add::s(3, 3)];
    let results = world.app().send_many(calls).await;
    assert!(results[0].is_ok() && results[2].is_ok());
    assert_eq!(
        results[1].as_ref().unwrap_err().to_string(),
        "SEDANO_QUEUES has no queue named `nowhere`"
    );
    assert_eq!(world.messages("default").len(), 2);
}
