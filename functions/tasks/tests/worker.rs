//! The sample tasks in a worker, on the ports in memory, in virtual time.

#![expect(clippy::unwrap_used, reason = "what the tests call is test code too")]

use std::time::Duration;

use sedano::memory::Memory;
use sedano::ports::QueueName;
use sedano::{App, AsyncResult, Config, Failure, Record, Signature, State, Worker};
use sedano_tasks::{Killer, all, arithmetic, cheap, echo, failing, time, words};
use serde_json::json;

fn worker() -> Worker {
    let config = Config::memory();
    let app = App::new(Memory::new(&config).ports(), config).tasks(all());
    let worker = Worker::new(app).state(Killer::of_a_simulated_worker(|| {}));
    worker.check().unwrap();
    worker
}

/// The final record of a task that a worker runs.
async fn run<Out>(call: Signature<(), Out>) -> Record {
    let worker = worker();
    let result: AsyncResult<Out> = worker.app().send(call).await.unwrap();
    let queue = QueueName::new(QueueName::DEFAULT);
    let finished = worker.app().wait(result.id(), Duration::from_secs(3600));
    tokio::select! {
        biased;
        record = finished => record.unwrap(),
        stopped = worker.poll(&queue, 10, Duration::from_secs(60)) => {
            unreachable!("a worker stops on errors only: {stopped:?}")
        }
    }
}

/// The failure of a task that a worker runs.
async fn failure<Out>(call: Signature<(), Out>) -> Failure {
    let record = run(call).await;
    assert_eq!(record.status, State::Failure);
    record.error.unwrap()
}

#[tokio::test(start_paused = true)]
async fn results_are_recorded() {
    assert_eq!(run(arithmetic::add::s(2, 3)).await.result, Some(json!(5)));
    assert_eq!(run(arithmetic::mul::s(2, 3)).await.result, Some(json!(6)));
    assert_eq!(
        run(arithmetic::xsum::s(vec![1, 2, 3])).await.result,
        Some(json!(6))
    );
    assert_eq!(
        run(cheap::idempotent_add::s(2, 3)).await.result,
        Some(json!(5))
    );
    let value = json!({"a": [1, null]});
    assert_eq!(run(echo::echo::s(value.clone())).await.result, Some(value));
    let counts = vec![vec![("a".to_owned(), 1), ("b".to_owned(), 2)]];
    assert_eq!(
        run(words::top_words::s(counts, 1)).await.result,
        Some(json!([["b", 2]]))
    );
}

#[tokio::test(start_paused = true)]
async fn what_nobody_wants_is_run_and_leaves_no_record() {
    let worker = worker();
    let result = worker.app().send(cheap::quiet_add::s(2, 3)).await.unwrap();
    assert_eq!(worker.run_once().await.unwrap(), 1);
    assert_eq!(worker.run_once().await.unwrap(), 0);
    assert_eq!(result.state().await.unwrap(), State::Pending);
}

#[tokio::test(start_paused = true)]
async fn arguments_left_out_have_their_defaults() {
    let by_name = Signature::<(), ()>::named("top_words").kwarg("counts", json!([[["a", 1]]]));
    assert_eq!(run(by_name).await.result, Some(json!([["a", 1]])));
}

#[tokio::test(start_paused = true)]
async fn failures_tell_their_kind() {
    let failed = failure(failing::fail::s("no luck".into())).await;
    assert_eq!(
        (failed.kind.as_str(), failed.message.as_str()),
        ("TaskError", "no luck")
    );
    let panicked = failure(failing::panic::s("at the disco".into())).await;
    assert_eq!((panicked.kind.as_str(), panicked.retries), ("Panicked", 0));
    assert_eq!(failure(time::limited::s(2.5)).await.kind, "TimeLimit");
    assert_eq!(run(time::limited::s(1.5)).await.status, State::Success);
}

#[tokio::test(start_paused = true)]
async fn flaky_succeeds_after_as_many_retries_as_it_fails() {
    let record = run(failing::flaky::s(2)).await;
    assert_eq!(
        (record.status, record.retries, record.result),
        (State::Success, 2, Some(json!(2)))
    );
}

#[tokio::test(start_paused = true)]
async fn three_retries_are_four_runs() {
    let failed = failure(failing::retry_thrice::s()).await;
    assert_eq!(
        (failed.retries, failed.message.as_str()),
        (3, "run 4 failed")
    );
}
