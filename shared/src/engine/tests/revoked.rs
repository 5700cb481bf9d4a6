//! What was revoked by its group, root, stamp or name doesn't begin; what runs is asked to stop, and says what comes
//! of it.

use super::canvas::{call, world as composing};
use super::*;
use crate::tests::faulty::{Call, Fault, faulty};
use crate::{ErrorKind, Revocation, RevokeOutcome};

/// Asks now and then, for so many seconds; stops if it is revoked and told to.
#[task(max_retries = 5, default_retry_delay = secs(1))]
async fn asks(
    #[state] runs: &Runs,
    #[ctx] ctx: &Context,
    seconds: u64,
    then: String,
) -> Result<bool, TaskError> {
    runs.begin();
    let clock = &ctx.app().ports().clock;
    for _ in 0..seconds * 10 {
        if then == "stop" {
            ctx.ensure_not_revoked().await?;
        }
        clock.sleep(Duration::from_millis(100)).await;
    }
    match then.as_str() {
        "hang" => std::future::pending().await,
        "retry" => Err(TaskError::retry("later")),
        "learn and retry" => Err(TaskError::retry(ctx.is_revoked().await.to_string())),
        "fail" => Err(TaskError::permanent("no")),
        "snooze" => Err(TaskError::snooze(Duration::from_secs(30))),
        _ => Ok(ctx.is_revoked().await),
    }
}

fn world() -> World {
    let mut world = World::new();
    world.worker = world.worker.tasks(tasks![asks]);
    world
}

impl World {
    /// Runs a task that is revoked so many milliseconds after it began.
    async fn revoke_running(
        &self,
        seconds: u64,
        then: &str,
        after: u64,
    ) -> (String, RevokeOutcome) {
        let id = self.send("asks", json!([seconds, then])).await;
        let revoking = async {
            let clock = &self.app().ports().clock;
            clock.sleep(Duration::from_millis(after)).await;
            self.app().revoke(&id).await.unwrap()
        };
        let (_, outcome) = tokio::join!(self.step("default"), revoking);
        (id, outcome)
    }

    async fn error(&self, id: &str) -> String {
        let error = self.record(id).await.error.unwrap();
        format!("{}: {}", error.kind, error.message)
    }

    async fn revoke_all(&self, revocation: Revocation) {
        self.app().revoke_all(&revocation).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_running_task_that_asks_stops() {
    let world = world();
    let begin = world.app().now();
    let (id, outcome) = world.revoke_running(50, "stop", 3300).await;
    assert_eq!(outcome, RevokeOutcome::Requested);
    let record = world.record(&id).await;
    assert_eq!(record.status, State::Revoked);
    assert_eq!(world.error(&id).await, "Revoked: revoked while it ran");
    assert_eq!(record.attempts.len(), 1);
    // It reads its record every two seconds.
    let took = world.app().now().since(begin);
    assert!(took < Duration::from_millis(5500), "{took:?}");
    assert!(world.item(&id).contains_key("message"), "kept");
    assert_eq!(
        world.app().revoke(&id).await.unwrap(),
        RevokeOutcome::Revoked
    );
}

/// However often it asks.
#[tokio::test(start_paused = true)]
async fn asking_reads_once_in_two_seconds() {
    let world = world();
    let before = world.memory.counts();
    world.send("asks", json!([9, "stop"])).await;
    world.step("default").await;
    let counts = world.memory.counts().since(&before);
    assert_eq!((counts.of("GetItem"), counts.of("Query")), (5, 2));
}

#[tokio::test(start_paused = true)]
async fn what_a_run_comes_to_all_the_same_counts() {
    for (then, state) in [("", State::Success), ("fail", State::Failure)] {
        let world = world();
        let (id, outcome) = world.revoke_running(3, then, 1000).await;
        assert_eq!(outcome, RevokeOutcome::Requested);
        let record = world.record(&id).await;
        assert_eq!(record.status, state);
        assert!(record.revoke_requested.is_some(), "{then}: it says so");
        let refused = world.app().revoke(&id).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_revoked_while_it_ran_doesn_t_run_again() {
    for then in ["retry", "snooze"] {
        let world = world();
        let (id, _) = world.revoke_running(3, then, 1000).await;
        assert_eq!(world.status(&id).await, State::Retry);
        world.pass(60).await;
        world.step("default").await;
        assert_eq!(world.status(&id).await, State::Revoked, "{then}");
        assert!(world.error(&id).await.contains("earlier run"), "{then}");
        let record = world.record(&id).await;
        assert_eq!((world.runs.count(), record.attempts.len()), (1, 1));
    }
    // Who has asked knows at once.
    let world = world();
    let (id, _) = world.revoke_running(3, "learn and retry", 1000).await;
    assert_eq!(world.status(&id).await, State::Revoked);
    assert!(world.error(&id).await.contains("would have been retried"));
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_retry_is_revoked_at_once() {
    let world = world();
    let (id, _) = world.revoke_running(3, "snooze", 1000).await;
    assert_eq!(world.status(&id).await, State::Retry);
    assert_eq!(
        world.app().revoke(&id).await.unwrap(),
        RevokeOutcome::Revoked
    );
    assert_eq!(world.status(&id).await, State::Revoked);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_dies_revoked_stays_dead() {
    let world = world();
    let id = world.send("asks", json!([1, "hang"])).await;
    world.die("default", Duration::from_secs(5)).await;
    assert_eq!(
        world.app().revoke(&id).await.unwrap(),
        RevokeOutcome::Requested
    );
    assert_eq!(
        world.app().revoke(&id).await.unwrap(),
        RevokeOutcome::Requested
    );
    for _ in 0..3 {
        world.pass(90).await;
        world.step("default").await;
        world.step("quarantine").await;
    }
    assert_eq!(world.status(&id).await, State::Revoked);
    assert_eq!(world.runs.count(), 1);
    assert!(world.messages("quarantine").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_redriven_task_was_never_asked() {
    let mut world = World::new();
    world.worker = world.worker.tasks(tasks![asks]);
    let id = world.send("asks", json!([1, "hang"])).await;
    world.die("default", Duration::from_secs(5)).await;
    world.app().revoke(&id).await.unwrap();
    world.give_up("default", 10).await;
    world.step("undelivered").await;
    assert_eq!(world.status(&id).await, State::Failure);
    let letters = world.app().dead_letters();
    let edit = crate::dead_letters::Edit::default().args(vec![json!(1), json!("")]);
    letters.redrive(&id, &edit).await.unwrap().unwrap();
    world.step("default").await;
    let record = world.record(&id).await;
    assert_eq!(
        (record.status, record.result),
        (State::Success, Some(json!(false)))
    );
}

#[tokio::test(start_paused = true)]
async fn each_kind_revokes_what_bears_it() {
    let stamped = json!({ "tenant": "acme", "size": 7, "regions": ["eu", "us"] });
    for (revocation, revoked) in [
        (Revocation::task("add"), true),
        (Revocation::task("fail"), false),
        (Revocation::root("r"), true),
        (Revocation::root("x"), false),
        (Revocation::stamp("tenant", "acme"), true),
        (Revocation::stamp("size", 7), true),
        (Revocation::stamp("size", "7"), true),
        (Revocation::stamp("regions", "us"), true),
        (Revocation::stamp("regions", "ap"), false),
        (Revocation::stamp("tenant", "other"), false),
        (Revocation::group("r"), false),
    ] {
        let world = World::new();
        let body = json!({
            "task": "add", "args": [1, 2], "id": "a", "root_id": "r", "headers": stamped,
        });
        world.send_body("default", body.to_string()).await;
        let text = revocation.to_string();
        world.revoke_all(revocation).await;
        world.step("default").await;
        let state = match revoked {
            true => State::Revoked,
            false => State::Success,
        };
        assert_eq!(world.status("a").await, state, "{text}");
        assert_eq!(world.runs.count(), u32::from(!revoked), "{text}");
        if revoked {
            let error = format!("Revoked: revoked by {text}, before it started");
            assert_eq!(world.error("a").await, error);
            let record = world.record("a").await;
            assert!(
                record.attempts.is_empty() && record.started_at.is_none(),
                "{record:?}"
            );
            assert!(world.messages("default").is_empty());
        }
    }
}

/// Whether it is known before the claim or found out beside it.
#[tokio::test(start_paused = true)]
async fn it_is_known_within_five_seconds_and_until_it_is_lifted() {
    let world = World::new();
    let tenant = Revocation::stamp("tenant", "acme");
    let send = async || {
        let body = json!({ "task": "add", "args": [1, 2], "headers": { "tenant": "acme" } });
        let id = world.send_body("default", body.to_string()).await;
        world.step("default").await;
        world.status(&id).await
    };
    assert_eq!(send().await, State::Success);
    world.revoke_all(tenant.clone()).await;
    world.pass(4).await;
    assert_eq!(send().await, State::Success, "not known yet");
    world.pass(1).await;
    assert_eq!(send().await, State::Revoked, "found out beside the claim");
    assert_eq!(send().await, State::Revoked, "known");
    let in_force = world.app().revocations().await.unwrap();
    assert_eq!(in_force.len(), 1);
    assert_eq!(in_force[0].revocation, tenant);
    world.app().unrevoke(&tenant).await.unwrap();
    world.pass(5).await;
    assert_eq!(send().await, State::Success);
    assert!(world.app().revocations().await.unwrap().is_empty());
    // Until its time is over.
    let minute = Duration::from_secs(60);
    world.app().revoke_all_for(&tenant, minute).await.unwrap();
    world.pass(30).await;
    assert_eq!(send().await, State::Revoked);
    world.pass(32).await;
    assert_eq!(send().await, State::Success);
}

/// A retry, a detour and what was parked are sent anew by workers, and yet sent when they were.
#[tokio::test(start_paused = true)]
async fn by_its_name_a_task_is_revoked_that_was_sent_before() {
    let world = World::new();
    let retried = world.send("flaky", json!([1])).await;
    world.step("default").await;
    assert_eq!(world.status(&retried).await, State::Retry);
    world.revoke_all(Revocation::task("flaky")).await;
    world.pass(10).await;
    let later = world.send("flaky", json!([0])).await;
    world.step("default").await;
    assert_eq!(world.status(&retried).await, State::Revoked);
    assert_eq!(world.record(&retried).await.attempts.len(), 1);
    assert_eq!(world.status(&later).await, State::Success);
}

#[tokio::test(start_paused = true)]
async fn what_is_parked_is_revoked_when_it_is_due() {
    let world = World::new();
    let begin = world.app().now();
    let hour = Duration::from_secs(3600);
    let sent = world
        .app()
        .send(add::s(1, 2).countdown(hour))
        .await
        .unwrap();
    world.step("default").await;
    world.pass(60).await;
    world.revoke_all(Revocation::task("add")).await;
    world
        .live_until(begin + hour + Duration::from_secs(30))
        .await;
    assert_eq!(sent.state().await.unwrap(), State::Revoked);
    assert_eq!(world.runs.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_idempotent_task_and_one_on_a_fifo_queue_are_revoked() {
    let mut config = Config::memory();
    config
        .queues
        .insert("orders.fifo".into(), "memory:orders.fifo".to_owned());
    let world = World::with(config);
    world.revoke_all(Revocation::stamp("tenant", "acme")).await;
    for (queue, task) in [
        ("default", "add_again"),
        ("default", "add_quietly"),
        ("orders.fifo", "add"),
    ] {
        let body = json!({ "task": task, "args": [1, 2], "headers": { "tenant": "acme" } });
        let id = world.send_body(queue, body.to_string()).await;
        assert_eq!(world.step(queue).await, [Disposition::Done]);
        assert_eq!(world.status(&id).await, State::Revoked, "{task} on {queue}");
    }
    assert_eq!(world.runs.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_an_answer_nothing_begins_and_without_the_right_to_ask_all_does() {
    let world = World::new();
    for (fault, state) in [
        (Fault::Throttled, State::Retry),
        (Fault::Refused, State::Success),
    ] {
        let ports = faulty(world.app().ports(), move |call| match call {
            Call::Query => fault,
            _ => Fault::None,
        });
        let failing = Worker::new(App::new(ports, Config::memory()));
        let failing = failing.tasks(tasks![add]).state(world.runs.clone());
        let id = world.send("add", json!([1, 2])).await;
        let deliveries = world.receive("default").await;
        failing.handle(&deliveries, &world.invocation()).await;
        // The claim that was made beside it is given up.
        assert_eq!(world.status(&id).await, state, "{fault:?}");
    }
    assert_eq!(world.runs.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_step_ends_what_follows_it() {
    let (world, _) = composing();
    let chain =
        json!({ "chain": [call("add", json!([2, 2])), call("add", json!([4]))], "id": "last" });
    world.revoke_all(Revocation::task("add")).await;
    // Sent after it, it runs.
    world.pass(1).await;
    world.send_body("default", chain.to_string()).await;
    world.step("default").await;
    world.pass(1).await;
    world.revoke_all(Revocation::task("add")).await;
    world.pass(10).await;
    world.work_off().await;
    assert_eq!(world.status("last").await, State::Revoked);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_group_begins_no_member() {
    let (world, _) = composing();
    let members: Vec<Value> = (0..10).map(|n| call("mul", json!([n, n]))).collect();
    // Before it begins: all of it is revoked.
    let whole =
        json!({ "chain": [{ "group": members, "id": "g" }, { "task": "xsum", "id": "sum" }] });
    world.send_body("default", whole.to_string()).await;
    world.revoke_all(Revocation::group("g")).await;
    world.work_off().await;
    for id in ["g", "sum"] {
        assert_eq!(world.status(id).await, State::Revoked, "{id}");
    }
    assert!(world.error("g").await.contains("revoked by group g"));
    // While its members wait: each of them is.
    let whole =
        json!({ "chain": [{ "group": members, "id": "h" }, { "task": "xsum", "id": "total" }] });
    world.send_body("default", whole.to_string()).await;
    world.step("default").await;
    world.revoke_all(Revocation::group("h")).await;
    world.pass(6).await;
    world.work_off().await;
    assert_eq!(world.status("h").await, State::Failure);
    assert_eq!(world.status("total").await, State::Failure);
    let members = world.app().members("h", 10).await.unwrap();
    assert!(members.iter().all(|member| member.status == State::Revoked));
    assert!(world.messages("default").is_empty());
}

/// The message of a large group that comes after others of it, or again.
#[tokio::test(start_paused = true)]
async fn a_revoked_group_sends_no_further_members() {
    let (world, _) = composing();
    let members: Vec<Value> = (0..1200).map(|n| call("mul", json!([n, n]))).collect();
    let whole = json!({ "group": members, "id": "g" });
    world.send_body("default", whole.to_string()).await;
    // The first message sends 500 members, and two for the others.
    world.step("default").await;
    world.revoke_all(Revocation::root("g")).await;
    world.pass(6).await;
    world.work_off().await;
    assert_eq!(world.status("g").await, State::Failure);
    let members = world.app().members("g", 1200).await.unwrap();
    let revoked = members
        .iter()
        .filter(|member| member.status == State::Revoked);
    assert_eq!(revoked.count(), 1200);
    assert!(world.messages("default").is_empty());
}
