//! The sample tasks in a worker, on the ports in memory, in virtual time.

#![expect(clippy::unwrap_used, reason = "what the tests call is test code too")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sedano::memory::{Memory, TokioClock};
use sedano::ports::QueueName;
use sedano::{
    App, AsyncResult, Config, Failure, Record, SeededEntropy, Signature, State, Timestamp, Worker,
};
use sedano_tasks::{Killer, Rows, all, arithmetic, cheap, echo, failing, time, words};
use serde_json::json;
use tokio::sync::Notify;

/// The same in every run.
fn app() -> App {
    let (config, clock) = (
        Config::memory(),
        TokioClock::starting_at(Timestamp::default()),
    );
    let memory = Memory::with(&config, Arc::new(clock), Arc::new(SeededEntropy::new(1)));
    App::new(memory.ports(), config).tasks(all())
}

fn worker() -> Worker {
    let worker = Worker::new(app())
        .state(Killer::of_a_simulated_worker(|| {}))
        .state(Rows::in_memory());
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

/// A worker that dies with `crash` and is started again, until all is final: what a crash does to
/// its neighbours, and what becomes of the one that crashes whenever it runs.
#[tokio::test(start_paused = true)]
async fn a_crash_is_told_apart_from_its_neighbours() {
    let died = Arc::new(Notify::new());
    let deaths = Arc::new(AtomicU32::new(0));
    let killer = {
        let (died, deaths) = (died.clone(), deaths.clone());
        Killer::of_a_simulated_worker(move || {
            deaths.fetch_add(1, Ordering::Relaxed);
            died.notify_one();
        })
    };
    let app = app();
    let worker = Worker::new(app.clone()).state(killer);
    let crash = app.send(failing::crash::s()).await.unwrap();
    let mut others = Vec::new();
    for result in app
        .send_many((0..9).map(|n| arithmetic::add::s(n, n)))
        .await
    {
        others.push(result.unwrap());
    }

    let (queue, quarantine) = (
        QueueName::new(QueueName::DEFAULT),
        QueueName::new(QueueName::QUARANTINE),
    );
    let minute = Duration::from_secs(60);
    let finished = async {
        for other in &others {
            app.wait(other.id(), 60 * minute).await.unwrap();
        }
        app.wait(crash.id(), 60 * minute).await.unwrap()
    };
    let living = async {
        loop {
            // Dropping what runs is the death of the worker.
            tokio::select! {
                biased;
                () = died.notified() => {}
                stopped = worker.poll(&queue, 10, minute) => unreachable!("{stopped:?}"),
                stopped = worker.poll(&quarantine, 1, minute) => unreachable!("{stopped:?}"),
            }
        }
    };
    let crashed = tokio::select! {
        biased;
        crashed = finished => crashed,
        () = living => unreachable!("it goes on for ever"),
    };

    let error = crashed.error.unwrap();
    assert_eq!(
        (crashed.status, error.kind.as_str()),
        (State::Failure, "WorkerLost")
    );
    // One in company, which says nothing about who did it, and three alone.
    assert_eq!(deaths.load(Ordering::Relaxed), 4);
    for (n, other) in (0..9).zip(&others) {
        assert_eq!(other.get().await.unwrap(), n + n);
    }
}
