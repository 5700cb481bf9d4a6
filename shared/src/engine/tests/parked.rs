//! Tasks that aren't due for a while: parked, promoted, moved, revoked.

use super::*;
use crate::beat::Beat;
use crate::ports::{Key, Op, When, Write};
use crate::record::field;

const HOUR: Duration = Duration::from_secs(3600);

impl World {
    /// Ticks every minute, with a worker at hand every second, until then: how many messages there were.
    pub(super) async fn live_until(&self, until: Timestamp) -> usize {
        let mut delivered = 0;
        while self.app().now() < until {
            Beat::new().tick(self.app()).await.unwrap();
            for _ in 0..60 {
                self.pass(1).await;
                loop {
                    let done = self.step("default").await.len();
                    delivered += done;
                    if done == 0 {
                        break;
                    }
                }
            }
        }
        delivered
    }

    async fn add_in(&self, countdown: Duration) -> crate::AsyncResult<i64> {
        let call = add::s(2, 3).countdown(countdown);
        self.app().send(call).await.unwrap()
    }

    fn is_parked(&self, id: &str) -> bool {
        self.item(id).contains_key(field::PARKED)
    }
}

#[tokio::test(start_paused = true)]
async fn a_countdown_of_an_hour_runs_to_the_second() {
    let world = World::new();
    let due = world.app().now() + HOUR;
    let handle = world.add_in(HOUR).await;
    assert_eq!(world.step("default").await, [Disposition::Done]);
    let record = handle.record().await.unwrap();
    assert_eq!((record.status, record.due_at), (State::Pending, Some(due)));
    assert!(world.messages("default").is_empty());
    let delivered = world.live_until(due - Duration::from_secs(540)).await;
    assert_eq!(delivered, 1, "the promotion");
    world.live_until(due + Duration::from_secs(60)).await;
    let record = handle.record().await.unwrap();
    let started = record.started_at.unwrap();
    assert!(
        started >= due && started.since(due) <= Duration::from_secs(1),
        "{started} {due}"
    );
    assert_eq!(record.attempts.len(), 1);
    for gone in [field::PARKED, field::MESSAGE, field::DUE_AT] {
        assert!(!world.item(handle.id()).contains_key(gone), "{gone}");
    }
    // Its bucket is looked through again, in vain.
    world.live_until(due + HOUR).await;
    assert_eq!(world.runs.count(), 1);
}

/// Of each horizon the last second that is and the first that isn't SQS's to wait for, and far ones.
#[tokio::test(start_paused = true)]
async fn whatever_the_horizon_it_is_never_early_and_on_time() {
    for seconds in [899, 900, 901, 961, 1200, 3601, 90_000] {
        let world = World::new();
        // Beat has been at work, and its minutes aren't those of the clock.
        world.pass(17).await;
        Beat::new().tick(world.app()).await.unwrap();
        let countdown = Duration::from_secs(seconds);
        let due = world.app().now() + countdown;
        let handle = world.add_in(countdown).await;
        world.live_until(due + Duration::from_secs(61)).await;
        let started = handle.record().await.unwrap().started_at.unwrap();
        assert!(
            started >= due && started.since(due) <= Duration::from_secs(1),
            "{seconds}: {started} {due}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_revoked_while_it_is_parked_never_runs() {
    // Parked; and on its way already.
    for waits in [60, 3300] {
        let world = World::new();
        let handle = world.add_in(HOUR).await;
        let begin = world.app().now();
        world.live_until(begin + Duration::from_secs(waits)).await;
        handle.revoke().await.unwrap();
        world.live_until(begin + 2 * HOUR).await;
        assert_eq!(handle.state().await.unwrap(), State::Revoked);
        assert_eq!(world.runs.count(), 0);
    }
}

/// What a sender of another service has put beside the body is there when the task runs.
#[tokio::test(start_paused = true)]
async fn a_parked_message_keeps_its_tenant_and_its_attributes() {
    let world = World::new();
    let mut message =
        Outgoing::new(json!({"task": "add", "args": [1, 1], "countdown": 1200}).to_string());
    message.group = Some("tenant-7".to_owned());
    message
        .attributes
        .insert("trace".to_owned(), "abc".to_owned());
    let queue = QueueName::new("default");
    let sent = world.app().ports().queue.send(&queue, vec![message]).await;
    let id = sent.unwrap().remove(0).unwrap().message_id;
    world.step("default").await;
    assert!(world.is_parked(&id));
    let begin = world.app().now();
    world.live_until(begin + Duration::from_secs(660)).await;
    let waiting = world.messages("default");
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].group.as_deref(), Some("tenant-7"));
    assert_eq!(waiting[0].attributes["trace"], "abc");
    world.live_until(begin + HOUR).await;
    assert_eq!(world.status(&id).await, State::Success);
}

#[tokio::test(start_paused = true)]
async fn a_retry_with_a_long_delay_is_parked_too() {
    #[task(max_retries = 1, default_retry_delay = hours(2), retry)]
    async fn patient(#[ctx] ctx: &Context) -> Result<u32, &'static str> {
        match ctx.retries() {
            0 => Err("disk"),
            retries => Ok(retries),
        }
    }
    let mut world = World::new();
    world.worker = Worker::new(world.app().clone()).tasks(tasks![patient]);
    let id = world.send("patient", json!([])).await;
    world.step("default").await;
    world.step("default").await;
    let record = world.record(&id).await;
    assert_eq!(record.status, State::Retry);
    assert!(world.is_parked(&id));
    assert_eq!(record.error.unwrap().message, "disk");
    let due = record.due_at.unwrap();
    world.live_until(due + Duration::from_secs(60)).await;
    let record = world.record(&id).await;
    assert_eq!((record.status, record.retries), (State::Success, 1));
    assert!(record.started_at.unwrap().since(due) <= Duration::from_secs(1));
}

/// SQS delivers at least once, and whoever parks may die midway.
#[tokio::test(start_paused = true)]
async fn copies_of_a_parked_message_change_nothing() {
    let world = World::new();
    let body = json!({"id": "a", "task": "add", "args": [1, 1], "eta": world.app().now() + HOUR});
    for _ in 0..3 {
        world.send_body("default", body.to_string()).await;
    }
    while !world.step("default").await.is_empty() {}
    let begin = world.app().now();
    // One comes when the task is on its way.
    world.live_until(begin + Duration::from_secs(3300)).await;
    world.send_body("default", body.to_string()).await;
    world.live_until(begin + 2 * HOUR).await;
    assert_eq!(world.status("a").await, State::Success);
    assert_eq!(world.runs.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_dies_while_parking_loses_nothing() {
    let world = World::new();
    let handle = world.add_in(HOUR).await;
    // Recorded, but not entered.
    world.step("default").await;
    let entries = world.memory.store().items(Table::State);
    let entry = entries
        .iter()
        .find(|item| item["pk"].as_text().unwrap().starts_with("due#"))
        .unwrap();
    let text = |name: &str| entry[name].as_text().unwrap().to_owned();
    let gone = Write {
        key: Key::State(text("pk"), text("sk")),
        op: Op::Delete,
        when: When::Present,
    };
    world.app().ports().store.write(gone).await.unwrap();
    let body =
        json!({"id": handle.id(), "task": "add", "args": [2, 3], "eta": world.app().now() + HOUR});
    world.send_body("default", body.to_string()).await;
    let begin = world.app().now();
    world.live_until(begin + 2 * HOUR).await;
    assert_eq!(handle.state().await.unwrap(), State::Success);
}

/// The message that promotes may be lost, and beat may have been silent.
#[tokio::test(start_paused = true)]
async fn what_was_not_promoted_in_time_is_later() {
    let world = World::new();
    let handle = world.add_in(HOUR).await;
    world.step("default").await;
    let begin = world.app().now();
    world.live_until(begin + Duration::from_secs(2880)).await;
    Beat::new().tick(world.app()).await.unwrap();
    world.pass(60).await;
    Beat::new().tick(world.app()).await.unwrap();
    world.pass(60).await;
    Beat::new().tick(world.app()).await.unwrap();
    let queue = QueueName::new("default");
    let lost = world
        .memory
        .queue()
        .lose(&queue, |body| body.contains("sedano.promote"));
    assert_eq!(lost, 1);
    world
        .live_until(begin + HOUR + Duration::from_secs(1200))
        .await;
    assert_eq!(handle.state().await.unwrap(), State::Success);

    let world = World::new();
    let handle = world.add_in(HOUR).await;
    world.step("default").await;
    Beat::new().tick(world.app()).await.unwrap();
    world.pass(30 * 3600).await;
    let now = world.app().now();
    world.live_until(now + Duration::from_secs(11 * 60)).await;
    assert_eq!(handle.state().await.unwrap(), State::Success);
}

#[tokio::test(start_paused = true)]
async fn a_message_with_no_room_in_a_record_waits_in_the_queue() {
    let world = World::new();
    // What looks random doesn't shrink.
    let mut seed = 1_u64;
    let noise: String = (0..600_000)
        .map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'!' + u8::try_from((seed >> 33) % 90).unwrap())
        })
        .filter(|c| *c != '"' && *c != '\\')
        .collect();
    let due = world.app().now() + Duration::from_secs(2000);
    let body =
        json!({"id": "a", "task": "add", "args": [1, 1], "eta": due, "headers": {"noise": noise}});
    world.send_body("default", body.to_string()).await;
    let delivered = world.live_until(due + Duration::from_secs(60)).await;
    assert_eq!(delivered, 4);
    let started = world.record("a").await.started_at.unwrap();
    assert!(started >= due && started.since(due) <= Duration::from_secs(1));
}

/// Ten parked tasks cost a call for their records and buckets, and one for their claims.
#[tokio::test(start_paused = true)]
async fn parked_tasks_share_their_calls() {
    let world = World::new();
    let begin = world.app().now();
    let calls = (0..10).map(|x| add::s(x, x).countdown(HOUR));
    world.app().send_many(calls).await;
    let before = world.memory.counts();
    world.step("default").await;
    let parking = world.memory.counts().since(&before);
    assert_eq!(parking.of("BatchExecuteStatement"), 1, "{parking:?}");
    assert_eq!(parking.write_units, 20);
    world.live_until(begin + Duration::from_secs(3540)).await;
    let before = world.memory.counts();
    world.pass(61).await;
    assert_eq!(world.step("default").await.len(), 10);
    let running = world.memory.counts().since(&before);
    assert_eq!(running.of("BatchExecuteStatement"), 2, "{running:?}");
    assert_eq!(world.runs.count(), 10);
}

/// From further off to near, from near to further off, and so on: the task runs at the last of its times, once.
#[tokio::test(start_paused = true)]
async fn a_parked_task_is_moved() {
    let (soon, near, hour, day) = (30, 600, 3600, 86_400);
    for (waits, from, to) in [
        (60, hour, day),
        (60, day, hour),
        (60, hour, near),
        (60, hour, soon),
        // Within its minute.
        (60, hour, hour - 61),
        // It is on its way already.
        (hour - 400, hour, day),
        (hour - 400, hour, near),
        (hour - 400, hour, soon),
    ] {
        let world = World::new();
        let begin = world.app().now();
        let handle = world.add_in(Duration::from_secs(from)).await;
        world.live_until(begin + Duration::from_secs(waits)).await;
        let due = world.app().now() + Duration::from_secs(to);
        world.app().reschedule(handle.id(), due).await.unwrap();
        assert_eq!(handle.record().await.unwrap().due_at, Some(due));
        world.live_until(due + Duration::from_secs(60)).await;
        let started = handle.record().await.unwrap().started_at;
        let started = started.unwrap_or_else(|| panic!("{waits} {from} {to}"));
        assert!(
            started >= due && started.since(due) <= Duration::from_secs(1),
            "{waits} {from} {to}: {started} {due}"
        );
        world.live_until(begin + Duration::from_secs(day)).await;
        assert_eq!(world.runs.count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_moved_says_why() {
    let world = World::new();
    let (app, now) = (world.app(), world.app().now());
    let move_to = async |id: &str, seconds| {
        let moved = app.reschedule(id, now + Duration::from_secs(seconds)).await;
        moved.map_err(|error| error.to_string())
    };
    let handle = world.add_in(Duration::from_secs(60)).await;
    let error = move_to(handle.id(), 90).await.unwrap_err();
    assert!(
        error.contains("has no record: it is unknown, or due within 15 minutes"),
        "{error}"
    );
    let id = world.send("flaky", json!([1])).await;
    world.step("default").await;
    let error = move_to(&id, 1).await.unwrap_err();
    assert!(
        error.contains("can be put off, but not brought forward"),
        "{error}"
    );
    move_to(&id, 40).await.unwrap();
    world.pass(30).await;
    world.step("default").await;
    assert_eq!(world.status(&id).await, State::Retry);
    world.pass(12).await;
    world.step("default").await;
    assert_eq!(world.status(&id).await, State::Success);
    let started = world.record(&id).await.started_at.unwrap();
    assert!(started >= now + Duration::from_secs(40), "{started}");
    let error = move_to(&id, 90).await.unwrap_err();
    assert!(
        error.ends_with("is SUCCESS: it can't be moved any more"),
        "{error}"
    );
}

/// Functions that don't start for long enough let SQS give the message up that sends parked tasks.
#[tokio::test(start_paused = true)]
async fn a_promotion_that_was_given_up_comes_again() {
    let world = World::new();
    let handle = world.add_in(HOUR).await;
    world.step("default").await;
    while !world
        .messages("default")
        .iter()
        .any(|one| one.body.contains("promote"))
    {
        Beat::new().tick(world.app()).await.unwrap();
        world.pass(60).await;
    }
    for _ in 0..10 {
        drop(world.receive("default").await);
        world.pass(91).await;
    }
    drop(world.receive("default").await);
    assert_eq!(world.messages("undelivered").len(), 1);
    assert_eq!(world.step("undelivered").await, [Disposition::Done]);
    world.step("default").await;
    world.step("default").await;
    assert_eq!(handle.state().await.unwrap(), State::Success);
    assert!(world.messages("dead-letters").is_empty());
}

/// A retry that waits in the queue is put off for longer than SQS can delay it.
#[tokio::test(start_paused = true)]
async fn a_retry_is_put_off_by_a_day() {
    let world = World::new();
    let id = world.send("flaky", json!([1])).await;
    world.step("default").await;
    let due = world.app().now() + 24 * HOUR;
    world.app().reschedule(&id, due).await.unwrap();
    world.live_until(due + Duration::from_secs(60)).await;
    let record = world.record(&id).await;
    assert_eq!((record.status, record.retries), (State::Success, 1));
    assert!(record.started_at.unwrap() >= due);
}

#[tokio::test(start_paused = true)]
async fn what_follows_a_parked_task_hears_that_it_was_revoked() {
    let world = World::new();
    let first = json!({"task": "add", "args": [1, 1], "countdown": 3600, "id": "first"});
    let second = json!({"task": "add", "args": [1], "id": "second"});
    let chain = json!({ "chain": [first, second] });
    world.send_body("default", chain.to_string()).await;
    world.step("default").await;
    assert!(world.is_parked("first"));
    world.app().revoke("first").await.unwrap();
    let begin = world.app().now();
    world.live_until(begin + 2 * HOUR).await;
    assert_eq!(world.status("second").await, State::Revoked);
    assert_eq!(world.runs.count(), 0);
}
