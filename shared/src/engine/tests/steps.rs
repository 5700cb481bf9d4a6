//! Checkpoints, and notice before the end.

use super::*;

/// Counts its step, fails or hangs as told, and returns what the step gave.
#[task(max_retries = 3, default_retry_delay = secs(1))]
async fn stepwise(
    #[state] runs: &Runs,
    #[ctx] ctx: &Context,
    ends: Vec<String>,
) -> Result<u32, TaskError> {
    let step = async {
        ctx.app().ports().clock.sleep(Duration::from_secs(2)).await;
        Ok::<_, TaskError>(runs.begin())
    };
    let value = ctx.checkpoint("step", step).await?;
    let run = usize::try_from(ctx.retries()).unwrap();
    match ends.get(run).map(String::as_str) {
        Some("fail") => Err(TaskError::retry("later")),
        Some("hang") if ctx.record_attempts().await == 1 => std::future::pending().await,
        _ => Ok(value),
    }
}

#[task(idempotent)]
async fn unclaimed(#[ctx] ctx: &Context) -> Result<(), TaskError> {
    ctx.checkpoint("step", async { Ok::<_, TaskError>(()) })
        .await
}

/// Keeps a step, and leaves the rest to another.
#[task]
async fn gives_way(#[ctx] ctx: &Context) -> Result<i64, TaskError> {
    let x = ctx
        .checkpoint("step", async { Ok::<_, TaskError>(2) })
        .await?;
    Err(ctx.replace(add::s(x, 3)))
}

#[task]
async fn bulky(#[ctx] ctx: &Context) -> Result<(), TaskError> {
    let large = async { Ok::<_, TaskError>("x".repeat(110_000)) };
    ctx.checkpoint("page", large).await.map(drop)
}

#[task(time_limit = secs(20))]
async fn attentive(#[ctx] ctx: &Context) -> Result<u64, TaskError> {
    let start = ctx.app().now();
    assert!(!ctx.is_cancelled());
    ctx.cancelled().await;
    assert!(ctx.is_cancelled());
    Ok(ctx.app().now().since(start).as_secs())
}

impl Context {
    async fn record_attempts(&self) -> usize {
        self.app().record(self.id()).await.unwrap().attempts.len()
    }
}

fn world() -> World {
    let mut world = World::new();
    world.worker = world
        .worker
        .tasks(tasks![stepwise, unclaimed, gives_way, bulky, attentive]);
    world
}

#[tokio::test(start_paused = true)]
async fn a_step_is_done_once_whatever_fails_after_it() {
    let world = world();
    let id = world.send("stepwise", json!([["fail", "fail"]])).await;
    for _ in 0..3 {
        world.step("default").await;
        world.pass(1).await;
    }
    let record = world.record(&id).await;
    assert_eq!((record.status, record.retries), (State::Success, 2));
    assert_eq!(record.result, Some(json!(0)), "the first run's value");
    assert_eq!(world.runs.count(), 1);
    assert!(!world.item(&id).contains_key("checkpoints"), "it is over");
}

#[tokio::test(start_paused = true)]
async fn what_others_stand_for_keeps_no_step() {
    let world = world();
    let id = world.send("gives_way", json!([])).await;
    world.step("default").await;
    assert!(!world.item(&id).contains_key("checkpoints"), "it is over");
    world.step("default").await;
    assert_eq!(world.record(&id).await.result, Some(json!(5)));
}

#[tokio::test(start_paused = true)]
async fn a_step_survives_the_death_of_its_process() {
    let world = world();
    let id = world.send("stepwise", json!([["hang"]])).await;
    world.die("default", Duration::from_secs(5)).await;
    assert!(world.item(&id).contains_key("checkpoints"));
    world.pass(90).await;
    world.step("default").await;
    assert_eq!(world.step("quarantine").await, [Disposition::Done]);
    assert_eq!(world.record(&id).await.result, Some(json!(0)));
    assert_eq!(world.runs.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_lost_its_lease_keeps_no_checkpoint() {
    let world = world();
    let id = world.send("stepwise", json!([[]])).await;
    let deliveries = world.receive("default").await;
    // Another has taken the task over by the time the step ends.
    let thief = async {
        world.pass(1).await;
        let write = crate::ports::Write {
            key: crate::ports::Key::Result(id.clone()),
            op: crate::ports::Op::Update(vec![crate::ports::Change::Set(
                "owner".into(),
                "thief/0".into(),
            )]),
            when: crate::ports::When::Present,
        };
        world.app().ports().store.write(write).await.unwrap();
    };
    let invocation = world.invocation();
    let handled = world.worker.handle(&deliveries, &invocation);
    let (dispositions, ()) = tokio::join!(biased; handled, thief);
    assert_eq!(dispositions, [Disposition::Returned]);
    assert!(!world.item(&id).contains_key("checkpoints"));
}

#[tokio::test(start_paused = true)]
async fn what_cant_be_kept_is_said() {
    let world = world();
    let unclaimed = world.send("unclaimed", json!([])).await;
    let bulky = world.send("bulky", json!([])).await;
    world.step("default").await;
    for (id, words) in [
        (unclaimed, "an idempotent task has no claim"),
        (bulky, "102400 is the most"),
    ] {
        let record = world.record(&id).await;
        assert_eq!((record.status, record.retries), (State::Failure, 0));
        let error = record.error.unwrap().message;
        assert!(error.contains(words), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn notice_comes_two_seconds_before_the_end() {
    let world = world();
    let id = world.send("attentive", json!([])).await;
    world.step("default").await;
    assert_eq!(world.record(&id).await.result, Some(json!(18)));
}
