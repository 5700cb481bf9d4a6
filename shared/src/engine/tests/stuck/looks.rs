//! Looks leave alone what is alive, and may come twice, late or beside the workers.

use super::*;

#[tokio::test(start_paused = true)]
async fn who_is_alive_is_left_alone() {
    let (world, _) = world();
    let members = json!([
        json!({ "task": "add", "args": [1, 1], "countdown": 2 * DAY }),
        json!({ "chain": [
            call("add", json!([1, 1])),
            json!({ "task": "add", "args": [1], "countdown": 2 * DAY }),
        ] }),
        call("add", json!([5, 5])),
    ]);
    let id = world.open(&json!({ "group": members })).await;
    let sent = world.live(2 * DAY + HOUR).await;
    let record = world.app().whole(world.record(&id).await).await.unwrap();
    assert_eq!(record.result, Some(json!([2, 3, 10])));
    assert_eq!(world.runs.count(), 4);
    // A message each 900 s for the two that wait, seven looks, and one that begins the second step.
    assert!(sent <= 2 * (2 * 96 + 1) + 7 + 1, "{sent}");
}

/// While messages wait for hours, the look waits too, and so knows.
#[tokio::test(start_paused = true)]
async fn a_backlog_is_no_loss() {
    let (world, _) = world();
    let id = world.open(&chord(numbers(30))).await;
    for _ in 0..300 {
        world.pass(60).await;
        Beat::new().tick(world.app()).await.unwrap();
    }
    let waiting = world.messages("default");
    let looks = waiting
        .iter()
        .filter(|one| one.body.contains("\"check\""))
        .count();
    assert_eq!((waiting.len(), looks), (33, 3));
    // Everything at once, and the looks before the members.
    let deliveries = {
        let mut all = Vec::new();
        while all.len() < 33 {
            all.extend(world.receive("default").await);
        }
        all.sort_by_key(|one| !one.body.contains("\"check\""));
        all
    };
    for batch in deliveries.chunks(10) {
        let done = world.worker.handle(batch, &world.invocation()).await;
        world.acknowledge(batch, &done).await;
    }
    let sent: Vec<_> = world.messages("default");
    assert_eq!(sent.len(), 1, "the body alone: {sent:?}");
    world.work_off().await;
    assert_eq!(world.record(&id).await.result, Some(json!(29 * 30 / 2)));
}

/// A later attempt died with its process, and its message is lost.
#[tokio::test(start_paused = true)]
async fn a_dead_attempt_is_taken_up() {
    let (world, _) = world();
    let id = world
        .open(&json!({ "group": [call("flaky", json!([2])), call("add", json!([1, 1]))] }))
        .await;
    let member = member_id(&id, 0);
    world.step("default").await;
    world.pass(5).await;
    assert_eq!(world.status(&member).await, State::Retry);
    // As a process leaves it that dies.
    let lease = world.app().now() + Duration::from_secs(62);
    let dead = vec![
        Change::Set(field::STATUS.into(), State::Started.into()),
        Change::Set(field::OWNER.into(), "dead/0".into()),
        Change::Set(field::LEASE_UNTIL.into(), lease.into()),
        Change::Remove(field::DUE_AT.into()),
    ];
    world.set(Key::Result(member), dead).await;
    world.lose_all();
    world.live(4 * HOUR).await;
    let record = world.app().whole(world.record(&id).await).await.unwrap();
    assert_eq!(record.result, Some(json!([2, 2])));
}

#[tokio::test(start_paused = true)]
async fn who_has_ended_uncounted_is_counted() {
    let (world, _) = world();
    let id = world.open(&json!({ "group": numbers(260) })).await;
    world.work_off().await;
    let ended = world.record(&id).await;
    assert_eq!(ended.status, State::Success);
    // As from a backup of the state table; and as if a process had died before it counted a full block.
    for lost in [&["0#0", "0#1", "1#0"][..], &["0#1"], &["1#0"]] {
        world
            .set(
                Key::Result(id.clone()),
                vec![
                    Change::Set(field::STATUS.into(), State::Started.into()),
                    Change::Remove(field::FINISHED_AT.into()),
                ],
            )
            .await;
        for block in lost {
            let delete = Write {
                key: Key::State(format!("group#{id}#{block}"), "block".to_owned()),
                op: Op::Delete,
                when: When::Present,
            };
            world.app().ports().store.write(delete).await.unwrap();
        }
        world.send_check(&id).await;
        world.work_off().await;
        assert_eq!(world.status(&id).await, State::Success, "{lost:?}");
    }
    assert_eq!(world.runs.count(), 260);
}

/// The same of one that failed: by the member that did.
#[tokio::test(start_paused = true)]
async fn a_look_completes_a_group_with_the_failure_of_who_failed() {
    let (world, _) = world();
    let mut members = numbers(3);
    members[1] = call("fail", json!(["no luck"]));
    let id = world.open(&json!({ "group": members })).await;
    world.work_off().await;
    let ended = world.record(&id).await;
    assert_eq!(ended.status, State::Failure);
    let changes = vec![
        Change::Set(field::STATUS.into(), State::Started.into()),
        Change::Remove(field::FINISHED_AT.into()),
    ];
    world.set(Key::Result(id.clone()), changes).await;
    world.send_check(&id).await;
    world.work_off().await;
    let again = world.record(&id).await;
    assert_eq!(again.status, State::Failure);
    assert_eq!(again.error.unwrap().message, ended.error.unwrap().message);
}

#[tokio::test(start_paused = true)]
async fn a_look_may_come_twice_and_late() {
    let (world, told) = world();
    let body = json!({ "task": "xsum", "link": call("tell", json!([])) });
    let id = world
        .open(&json!({ "chord": numbers(30), "body": body }))
        .await;
    let group = world.group();
    world.lose_all();
    world.pass(2 * HOUR).await;
    for _ in 0..3 {
        world.send_check(&group).await;
    }
    let deliveries = world.receive("default").await;
    let done = world.worker.handle(&deliveries, &world.invocation()).await;
    assert_eq!(
        world.messages("default").len(),
        3 + 3,
        "a part for each, side by side"
    );
    world.acknowledge(&deliveries, &done).await;
    world.work_off().await;
    assert_eq!(world.record(&id).await.result, Some(json!(29 * 30 / 2)));
    let late = world.worker.handle(&deliveries, &world.invocation()).await;
    assert_eq!(late, done);
    world.work_off().await;
    assert_eq!(told.all(), [json!(29 * 30 / 2)]);
    assert_eq!(world.runs.count(), 30 + 1);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_ends_between_tick_and_look_is_let_go() {
    let (world, _) = world();
    let id = world.open(&json!({ "group": numbers(3) })).await;
    assert_eq!(world.watches(), 1);
    for _ in 0..27 {
        world.pass(60).await;
        Beat::new().tick(world.app()).await.unwrap();
    }
    let mut deliveries = world.receive("default").await;
    deliveries.sort_by_key(|one| one.body.contains("\"check\""));
    assert_eq!(deliveries.len(), 3 + 1);
    for batch in deliveries.chunks(3) {
        let done = world.worker.handle(batch, &world.invocation()).await;
        world.acknowledge(batch, &done).await;
    }
    assert_eq!(world.status(&id).await, State::Success);
    assert_eq!(world.watches(), 0);
    // A look at what nobody knows.
    world.send_check("unknown").await;
    assert_eq!(world.step("default").await, [Disposition::Done]);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_lost_is_sent_again_and_at_last_given_up() {
    for again in [true, false] {
        let (world, told) = world();
        let link_error = call("tell", json!([]));
        let body = json!({ "task": "xsum", "link_error": link_error });
        let chain = [
            json!({ "group": numbers(3) }),
            body,
            call("mul", json!([2])),
        ];
        let id = world.open(&json!({ "chain": chain })).await;
        let is_body = |one: &StoredMessage| one.body.contains("\"task\":\"xsum\"");
        while !world.messages("default").iter().any(is_body) {
            world.step("default").await;
        }
        world.lose_all();
        if again {
            world.live(4 * HOUR).await;
            assert_eq!(world.record(&id).await.result, Some(json!(6)));
            assert_eq!(world.runs.count(), 3 + 1);
            assert!(told.all().is_empty());
        } else {
            world.live_among_purges(&id, 6 * DAY).await;
            world.work_off().await;
            let error = world.record(&id).await.error.unwrap();
            assert_eq!(error.kind, "Lost");
            assert_eq!(told.all()[0]["message"], error.message);
            assert_eq!(world.runs.count(), 3);
        }
        world.live(DAY).await;
        assert_eq!(world.watches(), 0);
        assert_eq!(told.all().len(), usize::from(!again));
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_that_was_given_up_fails_nobody() {
    let (world, _) = world();
    let id = world.open(&json!({ "group": numbers(3) })).await;
    let check = FanOut::check(&id, watch::span(world.app().now()));
    world
        .send_body("undelivered", check.encode().unwrap())
        .await;
    assert_eq!(world.step("undelivered").await, [Disposition::Done]);
    assert_eq!(world.status(&id).await, State::Started);
    assert_eq!(world.messages("dead-letters").len(), 0);
}

/// A group with a member that is due after its records are gone, and whose message is lost.
async fn waits_for_weeks() -> (World, String) {
    let (world, _) = world();
    let far = json!({ "task": "add", "args": [1, 1], "countdown": 20 * DAY });
    let group = json!({ "group": [far, call("add", json!([1, 1]))] });
    let id = world.open(&group).await;
    world.lose(1);
    (world, id)
}

#[tokio::test(start_paused = true)]
async fn a_group_ends_before_its_records_do() {
    let (world, id) = waits_for_weeks().await;
    world.live(12 * DAY).await;
    assert_eq!(world.status(&id).await, State::Started);
    world.live(DAY + HOUR).await;
    let error = world.record(&id).await.error.unwrap();
    assert!(
        error.message.contains("it hadn't ended 13 days after"),
        "{error}"
    );
}

/// The last look that gives up may be lost, too.
#[tokio::test(start_paused = true)]
async fn a_group_ends_though_the_look_at_its_longest_age_is_lost() {
    let (world, id) = waits_for_weeks().await;
    world.live(13 * DAY).await;
    let is_look = |one: &StoredMessage| one.body.contains("\"check\"");
    while !world.messages("default").iter().any(is_look) {
        world.pass(60).await;
        Beat::new().tick(world.app()).await.unwrap();
    }
    assert_eq!(world.lose_those(|body| body.contains("\"check\"")), 1);
    world.live(3 * HOUR).await;
    assert_eq!(world.status(&id).await, State::Started);
    world.live(4 * HOUR).await;
    let error = world.record(&id).await.error.unwrap();
    assert!(error.message.contains("raised Lost("), "{error}");
}

/// A group that ends costs a write for its watch and one for its members, and a delete by a look.
#[tokio::test(start_paused = true)]
async fn a_watch_costs_little() {
    let (world, _) = world();
    let before = world.memory.counts();
    let id = world.open(&json!({ "group": numbers(250) })).await;
    let opened = world.memory.counts().since(&before);
    let record = world.item(&id).len();
    assert!(record > 0);
    // The tick's watermark, the record, the watch; three for what is kept of the members.
    assert!(opened.write_units <= 3 + 3, "{opened:?}");
    world.work_off().await;
    let before = world.memory.counts();
    world.live(2 * HOUR).await;
    let looked = world.memory.counts().since(&before);
    assert_eq!(looked.of("DeleteItem"), 1);
    assert_eq!(looked.of("SendMessageBatch"), 1, "{looked:?}");
    // The ticks' watermark, and the delete.
    assert_eq!(looked.write_units, 120 + 1, "{looked:?}");
    // The ticks' entries; each ten minutes the four partitions of each span that comes to an age; each minute those
    // of the minutes in which parked tasks are due, or were.
    let most = 120 + 13 * 19 * 4 + 120 * 3 * 4;
    assert!(looked.of("Query") <= most, "{looked:?}");
}
