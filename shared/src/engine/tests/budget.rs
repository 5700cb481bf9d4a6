//! What a task costs, counted: `docs/cost.md` has the table.

use super::*;
use crate::memory::Counts;
use crate::tests::documented::costs;

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
    assert_eq!(deliveries.len(), messages);
    world.cost(&deliveries).await
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

/// Not more, however many batches there are and however large.
#[tokio::test(start_paused = true)]
async fn a_process_reads_what_is_revoked_once_in_five_seconds() {
    let world = World::new();
    let before = world.memory.counts();
    for batch in 0..50 {
        for _ in 0..10 {
            world.send("add", json!([batch, 3])).await;
        }
        world.step("default").await;
        let clock = &world.app().ports().clock;
        clock.sleep(Duration::from_millis(500)).await;
    }
    let counts = world.memory.counts().since(&before);
    assert_eq!(counts.of("Query"), 5, "in 25 s");
    assert_eq!(counts.of("BatchExecuteStatement"), 100);
    let mut process = counts;
    process.calls.retain(|name, _| *name == "Query");
    (process.write_units, process.read_units) = (0, process.read_units / 5);
    process.calls.insert("Query", 1);
    costs(
        "what is revoked, in five seconds of a process at work",
        &process,
    );
}

#[tokio::test(start_paused = true)]
async fn switched_off_it_reads_nothing() {
    let mut config = Config::memory();
    config.revocations = false;
    let world = World::with(config);
    let before = world.memory.counts();
    world.send("add", json!([2, 3])).await;
    world.step("default").await;
    assert_eq!(world.memory.counts().since(&before).of("Query"), 0);
    let refused = world
        .app()
        .revoke_all(&crate::Revocation::task("add"))
        .await;
    assert_eq!(refused.unwrap_err().kind(), crate::ErrorKind::Conflict);
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

/// What so many tasks cost that are sent together and are due in an hour, by the parts of their way.
async fn parts(tasks: i64) -> [Counts; 6] {
    let hour = Duration::from_secs(3600);
    let mut config = Config::memory();
    // Beside what each process reads in five seconds.
    config.revocations = false;
    let world = World::with(config);
    let begin = world.app().now();
    let mut before = world.memory.counts();
    let mut part = || {
        let now = world.memory.counts();
        let mut part = now.since(&before);
        before = now;
        // What Lambda does of itself.
        for call in ["ReceiveMessage", "DeleteMessageBatch"] {
            part.calls.remove(call);
        }
        part
    };
    let calls = (0..tasks).map(|x| add::s(x, x).countdown(hour));
    world.app().send_many(calls).await;
    let sent = part();
    world.step("default").await;
    let parked = part();
    world.live_until(begin + Duration::from_secs(2940)).await;
    let waited = part();
    world.live_until(begin + Duration::from_secs(3540)).await;
    let promoted = part();
    world.live_until(begin + Duration::from_secs(3660)).await;
    assert_eq!(i64::from(world.runs.count()), tasks);
    let run = part();
    world.live_until(begin + 26 * hour).await;
    [sent, parked, waited, promoted, run, part()]
}

/// Beside what the minutes cost in which there is nothing to do.
#[tokio::test(start_paused = true)]
async fn parked_tasks_cost_by_what_becomes_of_them_and_not_by_the_hour() {
    let (ten, none) = (parts(10).await, parts(0).await);
    let said = [
        "sent",
        "parked, with its bucket's entry",
        "waiting",
        "promoted",
        "claimed and finished",
        "looked for twice more",
    ];
    for (what, (ten, none)) in said.into_iter().zip(ten.iter().zip(&none)) {
        costs(what, &ten.since(none));
    }
}
