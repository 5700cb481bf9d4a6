//! What is lost is sent again, or given up with its reason.

use super::*;

#[tokio::test(start_paused = true)]
async fn members_that_are_lost_are_sent_again() {
    let (world, _) = world();
    let id = world.open(&chord(numbers(50))).await;
    for _ in 0..2 {
        world.step("default").await;
    }
    world.lose_all();
    world.live(HOUR - 60).await;
    assert_eq!(world.runs.count(), 20, "they may still wait somewhere");
    world.live(HOUR).await;
    let record = world.record(&id).await;
    assert_eq!(record.result, Some(json!(49 * 50 / 2)));
    assert_eq!(world.runs.count(), 50 + 1);
    assert_eq!(world.live(3 * HOUR).await, 1, "the look that finds the end");
    assert_eq!(world.watches(), 0);
    assert_eq!(world.live(2 * DAY).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_few_that_are_lost_here_and_there_are_sent_again_alone() {
    let (world, _) = world();
    let id = world.open(&chord(numbers(52))).await;
    for _ in 0..4 {
        world.lose(3);
        world.step("default").await;
    }
    world.work_off().await;
    assert_eq!(world.runs.count(), 40);
    world.live(2 * HOUR).await;
    assert_eq!(world.record(&id).await.result, Some(json!(51 * 52 / 2)));
    assert_eq!(world.runs.count(), 52 + 1);
}

#[tokio::test(start_paused = true)]
async fn a_member_goes_on_where_it_was_lost() {
    let (world, told) = world();
    let chain = json!({ "chain": [
        json!({ "task": "add", "args": [1, 1], "link": call("tell", json!([])) }),
        call("mul", json!([10])),
        call("add", json!([3])),
    ] });
    let inner = chord(vec![call("add", json!([2, 2])), call("add", json!([3, 3]))]);
    let id = world.open(&json!({ "group": [chain, inner] })).await;
    world.step("default").await;
    assert_eq!((world.runs.count(), told.all().len()), (1, 0));
    // The callback, the second step, and the members of the inner group, which is watched itself.
    world.lose(4);
    world.live(2 * HOUR).await;
    let record = world.app().whole(world.record(&id).await).await.unwrap();
    assert_eq!(record.result, Some(json!([23, 10])));
    assert_eq!(told.all(), [json!(2)]);
    assert_eq!(world.runs.count(), 2 + 2 + 1);
}

#[tokio::test(start_paused = true)]
async fn parts_that_never_came_are_sent_again() {
    let (world, _) = world();
    let id = world.open(&chord(numbers(1300))).await;
    assert_eq!(world.messages("default").len(), 500 + 2);
    assert_eq!(world.lose_those(|body| body.contains("\"first\":1000")), 1);
    world.work_off().await;
    assert_eq!(world.runs.count(), 1000);
    world.live(2 * HOUR).await;
    assert_eq!(world.record(&id).await.result, Some(json!(1299 * 1300 / 2)));
    assert_eq!(world.runs.count(), 1300 + 1);
}

/// A group too large for one message, of which one is lost before any worker sees it.
#[tokio::test(start_paused = true)]
async fn parts_that_no_worker_saw_are_given_up() {
    let (world, _) = world();
    Beat::new().tick(world.app()).await.unwrap();
    let part = |first: u32| {
        let group = json!({
            "v": 1, "id": "g", "group_id": "g", "group": numbers(30),
            "part": { "first": first, "size": 90 },
        });
        group.to_string()
    };
    world.send_body("default", part(0)).await;
    world.send_body("default", part(60)).await;
    world.step("default").await;
    world.live(2 * HOUR).await;
    assert_eq!(world.status("g").await, State::Started);
    assert_eq!(world.runs.count(), 60);
    world.live(6 * DAY).await;
    let lost = world.record(&member_id("g", 45)).await;
    assert_eq!(lost.error.unwrap().kind, "Lost");
    let error = world.record("g").await.error.unwrap();
    assert!(error.message.contains("raised Lost("), "{error}");
    // And the one that begins the group.
    for first in [30, 60] {
        let late = part(first).replace("\"g\"", "\"h\"");
        world.send_body("default", late).await;
    }
    world.live(4 * DAY).await;
    assert_eq!(world.status("h").await, State::Pending);
    world.live(2 * DAY).await;
    let error = world.record("h").await.error.unwrap();
    assert!(
        error
            .message
            .contains("of its first members, which begins it, is lost"),
        "{error}"
    );
    assert_eq!(world.watches(), 0);
    assert_eq!(world.runs.count(), 120);
}

#[tokio::test(start_paused = true)]
async fn what_stands_for_a_task_is_looked_after() {
    let (mut world, _) = world();
    world.worker = world.worker.tasks(tasks![replaced]);
    let chain =
        json!({ "chain": [call("replaced", json!([2, "chain"])), call("mul", json!([3]))] });
    let id = world.open(&chain).await;
    assert_eq!(world.watches(), 1);
    world.lose_all();
    world.live(4 * HOUR).await;
    assert_eq!(world.record(&id).await.result, Some(json!(600)));
    assert_eq!(world.watches(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_empty_group_whose_worker_died_is_completed() {
    for calls in 0..8 {
        let (world, told) = world();
        Beat::new().tick(world.app()).await.unwrap();
        let id = world
            .send_body("default", json!({ "group": [] }).to_string())
            .await;
        let deliveries = world.receive("default").await;
        let mortal = Worker::new(Mortal::app(&world, calls)).state(told);
        mortal.revocations().read(world.app()).await.unwrap();
        let invocation = world.invocation();
        survives(&world, mortal.handle(&deliveries, &invocation)).await;
        let has_begun = world.status(&id).await != State::Pending;
        world.lose_those(|_| true);
        world.live(2 * HOUR).await;
        let wanted = if has_begun {
            State::Success
        } else {
            State::Pending
        };
        assert_eq!(world.status(&id).await, wanted, "{calls} calls");
        assert_eq!(has_begun, calls >= 2);
    }
}

/// Wherever the process dies that sends the members, and though its message is lost as well.
#[tokio::test(start_paused = true)]
async fn a_sender_that_dies_midway_is_made_up_for() {
    for calls in 0..6 {
        let (world, told) = world();
        let chord = chord(numbers(25));
        Beat::new().tick(world.app()).await.unwrap();
        let id = world.send_body("default", chord.to_string()).await;
        let deliveries = world.receive("default").await;
        let mortal = Worker::new(Mortal::app(&world, calls));
        let mortal = mortal.tasks(tasks![add, xsum]).state(told);
        mortal.revocations().read(world.app()).await.unwrap();
        let invocation = world.invocation();
        survives(&world, mortal.handle(&deliveries, &invocation)).await;
        let has_begun = world.memory.store().items(Table::Results).len() == 1;
        world.acknowledge(&deliveries, &[Disposition::Done]).await;
        world.live(3 * HOUR).await;
        let record = world.record(&id).await;
        match has_begun {
            true => assert_eq!(record.result, Some(json!(300)), "{calls} calls"),
            // It is as if it had never been sent.
            false => assert_eq!((record.status, calls < 2), (State::Pending, true)),
        }
        world.live(6 * DAY).await;
        assert_eq!(world.watches(), 0, "{calls} calls");
        let failed = world.memory.store().items(Table::Results);
        let failed = failed
            .iter()
            .filter(|item| item["status"] == "FAILURE".into());
        // But for the group's own record, where its watch was all that was written.
        assert_eq!(failed.count(), usize::from(calls == 1));
    }
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_sent_again_fails_with_its_reason() {
    let (world, told) = world();
    // Too large to be kept, whatever is done to it.
    let mut text = String::new();
    let entropy = SeededEntropy::new(7);
    while text.len() < 900_000 {
        let mut bytes = [0; 32];
        crate::ports::Entropy::fill(&entropy, &mut bytes);
        text.extend(bytes.iter().map(|byte| format!("{byte:02x}")));
    }
    let members = json!([call("echo", json!([text])), call("add", json!([1, 1]))]);
    let body = json!({ "task": "xsum", "link_error": call("tell", json!([])) });
    let id = world.open(&json!({ "chord": members, "body": body })).await;
    let group = world.group();
    world.lose(2);
    world.live(4 * DAY + 22 * HOUR).await;
    assert_eq!(world.runs.count(), 1, "the other one was kept");
    assert_eq!(world.status(&id).await, State::Pending);
    world.live(DAY).await;
    let lost = world.record(&member_id(&group, 0)).await;
    let error = lost.error.unwrap();
    assert_eq!((lost.status, error.kind.as_str()), (State::Failure, "Lost"));
    assert!(
        error
            .message
            .starts_with("nothing was heard of it since 2026-03-01T12:00:00"),
        "{error}"
    );
    let record = world.record(&id).await;
    let error = record.error.unwrap();
    assert_eq!(
        (record.status, error.kind.as_str()),
        (State::Failure, "ChordError")
    );
    assert!(error.message.contains("raised Lost("), "{error}");
    assert_eq!(told.all().len(), 1);
    world.live(DAY).await;
    assert_eq!(world.watches(), 0);
}

/// A purge each hour: nobody gets through.
#[tokio::test(start_paused = true)]
async fn what_is_lost_again_and_again_is_given_up() {
    let (world, told) = world();
    let first = json!({ "task": "add", "args": [1, 1], "link_error": call("tell", json!([])) });
    let chain = json!({ "chain": [first, call("mul", json!([2]))] });
    let id = world
        .open(&json!({ "group": [chain, call("add", json!([2, 2]))] }))
        .await;
    world.live_among_purges(&id, 6 * DAY).await;
    world.work_off().await;
    let error = world.record(&id).await.error.unwrap();
    assert!(error.message.contains("raised Lost("), "{error}");
    assert_eq!(told.all().len(), 1);
    assert_eq!(world.runs.count(), 0);
    // Each step of the member has its end.
    let items = world.memory.store().items(Table::Results);
    let failed = items
        .iter()
        .filter(|item| item["status"].as_text() == Some("FAILURE"));
    assert_eq!(failed.count(), 1 + 2 + 1);
}

/// Those are told who are told of a failure of the step that nothing was heard of.
#[tokio::test(start_paused = true)]
async fn the_step_that_was_lost_is_the_one_that_failed() {
    let (world, told) = world();
    let step = |task: &str, args: Value, errbacks: usize| json!({ "task": task, "args": args, "link_error": vec![call("tell", json!([])); errbacks] });
    let chain = [
        step("add", json!([1, 1]), 2),
        step("mul", json!([2]), 1),
        step("mul", json!([3]), 2),
    ];
    let group = json!({ "group": [json!({ "chain": chain }), call("add", json!([2, 2]))] });
    let id = world.open(&group).await;
    world.step("default").await;
    assert_eq!(world.runs.count(), 2);
    world.live_among_purges(&id, 6 * DAY).await;
    world.work_off().await;
    let told = told.all();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (&told[0]["type"], &told[0]["task"]),
        (&json!("Lost"), &json!("mul"))
    );
    let step = told[0]["task_id"].as_str().unwrap();
    let record = world.record(step).await;
    assert_eq!(
        (record.status, record.task.as_deref()),
        (State::Failure, Some("mul"))
    );
    assert_ne!(step, member_id(&id, 0), "that is the last step");
}
