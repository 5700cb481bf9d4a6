//! What runs report of themselves: shown in time, under their claim, and gone with it.

use std::sync::Mutex;

use super::*;
use crate::memory::Counts;
use crate::ports::{Change, Key, Op, When, Write};
use crate::tests::documented::costs;
use crate::tests::faulty::{Call, Fault, faulty};

/// Counts tenths of a second, says each, and ends as told.
#[task(max_retries = 1, default_retry_delay = secs(1))]
async fn counts(
    #[state] runs: &Runs,
    #[ctx] ctx: &Context,
    tenths: u64,
    #[default] end: String,
) -> Result<u64, TaskError> {
    let first = runs.begin() == 0;
    let clock = &ctx.app().ports().clock;
    clock.sleep(Duration::from_millis(50)).await;
    for n in 0..tenths {
        ctx.progress(n, tenths, "tenths");
        ctx.update_state("COUNTING", json!({"n": n}))?;
        clock.sleep(Duration::from_millis(100)).await;
    }
    match end.as_str() {
        "fail" => Err(TaskError::permanent("no more")),
        "retry" if ctx.retries() == 0 => Err(TaskError::retry("later")),
        "hang" if first => std::future::pending().await,
        "wait" => {
            clock.sleep(Duration::from_secs(5)).await;
            Ok(tenths)
        }
        "replace" => Err(ctx.replace(add::s(1, 2))),
        _ => Ok(tenths),
    }
}

#[task(idempotent)]
async fn counts_again(#[ctx] ctx: &Context) -> Result<(), TaskError> {
    ctx.progress(1, 2, "");
    ctx.update_state("HALF", ())?;
    let clock = &ctx.app().ports().clock;
    clock.sleep(Duration::from_secs(3)).await;
    Ok(())
}

#[task]
async fn names(#[ctx] ctx: &Context, state: String, bytes: usize) -> Result<(), TaskError> {
    ctx.update_state(state, "x".repeat(bytes))
}

/// Says something, and keeps a step.
#[task]
async fn keeps(#[ctx] ctx: &Context, gives_up: bool) -> Result<(), TaskError> {
    let clock = &ctx.app().ports().clock;
    ctx.progress(1, 0, "x".repeat(600));
    clock.sleep(Duration::from_millis(200)).await;
    let step = ctx.checkpoint("step", async { Ok::<_, TaskError>(()) });
    let most = Duration::from_millis(if gives_up { 100 } else { 60_000 });
    tokio::select! {
        biased;
        kept = step => kept?,
        () = clock.sleep(most) => {}
    }
    clock.sleep(Duration::from_secs(3)).await;
    Ok(())
}

fn world() -> World {
    let mut world = World::new();
    let tasks = tasks![counts, counts_again, names, keeps];
    world.worker = world.worker.tasks(tasks);
    world
}

/// A world in which the writes that are told go wrong.
fn troubled(fault: impl Fn(usize) -> Fault + Send + Sync + 'static) -> World {
    let mut world = World::new();
    let writes = Mutex::new(0);
    let ports = faulty(world.app().ports(), move |call| match call {
        Call::Write => {
            let mut writes = writes.lock().unwrap();
            *writes += 1;
            fault(*writes)
        }
        _ => Fault::None,
    });
    world.worker = Worker::new(App::new(ports, Config::memory()))
        .tasks(tasks![counts, keeps])
        .state(world.runs.clone());
    world
}

impl World {
    /// One receive, worked on, with what the record says at these milliseconds.
    async fn watch(&self, id: &str, millis: &[u64]) -> (Vec<Disposition>, Vec<Record>) {
        let begin = self.app().now();
        let look = async {
            let mut seen = Vec::new();
            for millis in millis {
                let until = begin + Duration::from_millis(*millis);
                let clock = &self.app().ports().clock;
                clock.sleep(until.since(clock.now())).await;
                seen.push(self.memory.app().record(id).await.unwrap());
            }
            seen
        };
        tokio::join!(biased; self.step("default"), look)
    }

    /// Whether the item says anything that a run has reported.
    fn shows(&self, id: &str) -> bool {
        let item = self.item(id);
        item.contains_key("progress") || item.contains_key("custom")
    }

    /// Another has taken the task over by then.
    async fn steal(&self, id: &str, millis: u64) {
        let clock = &self.app().ports().clock;
        clock.sleep(Duration::from_millis(millis)).await;
        let write = Write {
            key: Key::Result(id.to_owned()),
            op: Op::Update(vec![Change::Set("owner".into(), "thief/0".into())]),
            when: When::Present,
        };
        self.app().ports().store.write(write).await.unwrap();
    }
}

fn done(record: &Record) -> Option<u64> {
    record.progress.as_ref().map(|progress| progress.done)
}

#[tokio::test(start_paused = true)]
async fn each_second_the_latest_is_shown() {
    let world = world();
    let id = world.send("counts", json!([35])).await;
    let begin = world.app().now();
    let (dispositions, seen) = world.watch(&id, &[990, 1010, 1990, 2010, 3010, 3700]).await;
    assert_eq!(dispositions, [Disposition::Done]);
    let shown: Vec<_> = seen.iter().map(done).collect();
    assert_eq!(shown, [None, Some(9), Some(9), Some(19), Some(29), None]);

    let record = &seen[1];
    assert_eq!(record.status, State::Started);
    let progress = record.progress.as_ref().unwrap();
    assert_eq!(
        (progress.total, progress.note.as_deref()),
        (Some(35), Some("tenths"))
    );
    assert_eq!(progress.at, begin + Duration::from_millis(950));
    let custom = record.custom.as_ref().unwrap();
    assert_eq!(
        (custom.state.as_str(), &custom.meta),
        ("COUNTING", &json!({"n": 9}))
    );
    assert_eq!(custom.at, progress.at);

    let json = serde_json::to_value(record).unwrap();
    let at = progress.at.to_string();
    assert_eq!(json["status"], "STARTED");
    assert_eq!(
        json["progress"],
        json!({"done": 9, "total": 35, "note": "tenths", "at": at})
    );
    assert_eq!(
        json["custom"],
        json!({"state": "COUNTING", "meta": {"n": 9}, "at": at})
    );
    assert_eq!(seen[5].result, Some(json!(35)));
    assert!(!world.shows(&id), "it is over");
}

#[tokio::test(start_paused = true)]
async fn the_last_word_is_shown_though_nothing_follows_it() {
    let world = world();
    let id = world.send("counts", json!([12, "wait"])).await;
    let (_, seen) = world.watch(&id, &[1500, 2500, 5500]).await;
    let shown: Vec<_> = seen.iter().map(done).collect();
    assert_eq!(shown, [Some(9), Some(11), Some(11)]);
}

/// What so many of them cost that report for so long.
async fn cost(messages: usize, tenths: u64) -> Counts {
    let world = world();
    for _ in 0..messages {
        world.send("counts", json!([tenths])).await;
    }
    let deliveries = world.receive("default").await;
    assert_eq!(deliveries.len(), messages);
    world.cost(&deliveries).await
}

#[tokio::test(start_paused = true)]
async fn a_report_costs_a_write_a_second_and_a_batch_shares_the_call() {
    costs("one that reports, for 3.5 s", &cost(1, 34).await);
    costs("ten of them in a batch", &cost(10, 34).await);
    costs(
        "ten that report, for less than a second each",
        &cost(10, 9).await,
    );
}

#[tokio::test(start_paused = true)]
async fn a_retry_begins_anew_and_no_end_keeps_it() {
    let world = world();
    for (end, state) in [
        ("fail", State::Failure),
        ("retry", State::Retry),
        ("replace", State::Started),
        ("", State::Success),
    ] {
        let id = world.send("counts", json!([20, end])).await;
        let (_, seen) = world.watch(&id, &[1500]).await;
        assert_eq!(done(&seen[0]), Some(9), "{end}");
        assert_eq!(world.status(&id).await, state, "{end}");
        assert!(!world.shows(&id), "{end}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_run_said_is_gone_with_the_next() {
    let world = world();
    let id = world.send("counts", json!([15, "hang"])).await;
    world.die("default", Duration::from_secs(5)).await;
    assert_eq!(
        done(&world.record(&id).await),
        Some(14),
        "nobody took it away"
    );
    world.pass(90).await;
    world.step("default").await;
    let begun = async {
        world.pass(0).await;
        tokio::task::yield_now().await;
        world.record(&id).await
    };
    let (dispositions, begun) = tokio::join!(biased; world.step("quarantine"), begun);
    assert_eq!(dispositions, [Disposition::Done]);
    assert_eq!((begun.status, done(&begun)), (State::Started, None));
    assert_eq!(world.record(&id).await.result, Some(json!(15)));
    assert!(!world.shows(&id));
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_run_said_is_gone_when_it_is_given_up() {
    let world = world();
    let body = json!({"task": "counts", "args": [15, "hang"], "expires": 60}).to_string();
    let id = world.send_body("default", body).await;
    world.die("default", Duration::from_secs(5)).await;
    assert!(world.shows(&id));
    world.pass(91).await;
    world.step("default").await;
    assert_eq!(world.status(&id).await, State::Revoked);
    assert!(!world.shows(&id));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_lost_its_lease_reports_to_nobody() {
    let world = world();
    let id = world.send("counts", json!([35])).await;
    let watched = world.watch(&id, &[1100, 3100]);
    let ((dispositions, seen), ()) = tokio::join!(biased; watched, world.steal(&id, 1500));
    assert_eq!(dispositions, [Disposition::Returned]);
    let shown: Vec<_> = seen.iter().map(done).collect();
    // It is what the run has said while the record was its own.
    assert_eq!(shown, [Some(9), Some(9)]);
}

#[tokio::test(start_paused = true)]
async fn without_a_claim_nothing_is_shown_and_nothing_fails() {
    let world = world();
    let id = world.send("counts_again", json!([])).await;
    let (dispositions, seen) = world.watch(&id, &[2500]).await;
    assert_eq!(dispositions, [Disposition::Done]);
    assert_eq!(seen[0], Record::pending(&id));
    assert_eq!(world.status(&id).await, State::Success);
    assert!(!world.shows(&id));
}

#[tokio::test(start_paused = true)]
async fn what_cant_be_shown_is_said() {
    let world = world();
    for (state, bytes, words) in [
        ("done", 0, "1 to 64 of A to Z"),
        ("SUCCESS", 0, "a state of every task"),
        ("LARGE", 16_384, "has 16386 bytes; 16384 is the most"),
    ] {
        let id = world.send("names", json!([state, bytes])).await;
        world.step("default").await;
        let record = world.record(&id).await;
        assert_eq!((record.status, record.retries), (State::Failure, 0));
        let error = record.error.unwrap().message;
        assert!(error.contains(words), "{error}");
    }
    let id = world.send("names", json!(["FITS", 16_382])).await;
    world.step("default").await;
    assert_eq!(world.status(&id).await, State::Success);
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_written_is_written_a_second_later() {
    // The claim is the first write, the reports are the next ones.
    let world = troubled(|write| match write {
        2 | 3 => Fault::Throttled,
        _ => Fault::None,
    });
    let id = world.send("counts", json!([12, "wait"])).await;
    let (dispositions, seen) = world.watch(&id, &[1500, 2500, 3500]).await;
    assert_eq!(dispositions, [Disposition::Done]);
    let shown: Vec<_> = seen.iter().map(done).collect();
    assert_eq!(shown, [None, None, Some(11)]);
    assert!(seen[2].custom.is_some());
}

#[tokio::test(start_paused = true)]
async fn the_end_waits_for_no_report() {
    let world = troubled(|write| match write {
        2 => Fault::Slow(30),
        _ => Fault::None,
    });
    let id = world.send("counts", json!([12])).await;
    let begin = world.app().now();
    assert_eq!(world.step("default").await, [Disposition::Done]);
    assert_eq!(world.app().now().since(begin), Duration::from_millis(1250));
    assert_eq!(world.status(&id).await, State::Success);
    assert!(!world.shows(&id), "it was written, and nobody heard so");
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_takes_it_along() {
    let world = world();
    let id = world.send("keeps", json!([false])).await;
    let before = world.memory.counts();
    let (_, seen) = world.watch(&id, &[150, 250]).await;
    assert_eq!((done(&seen[0]), done(&seen[1])), (None, Some(1)));
    let progress = seen[1].progress.as_ref().unwrap();
    assert_eq!(progress.total, None, "nobody knows");
    assert_eq!(
        progress.note.as_ref().map(String::len),
        Some(500 + '…'.len_utf8())
    );
    let counts = world.memory.counts().since(&before);
    // The step and the end.
    assert_eq!(counts.of("UpdateItem"), 2);
}

#[tokio::test(start_paused = true)]
async fn what_a_given_up_checkpoint_took_along_is_not_lost() {
    let world = troubled(|write| match write {
        // The step: not done, and in the pause before the next try it is given up.
        2..5 => Fault::Throttled,
        _ => Fault::None,
    });
    let id = world.send("keeps", json!([true])).await;
    let (dispositions, seen) = world.watch(&id, &[900, 1100]).await;
    assert_eq!(dispositions, [Disposition::Done]);
    assert_eq!((done(&seen[0]), done(&seen[1])), (None, Some(1)));
}
