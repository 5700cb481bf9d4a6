//! Neighbours in a batch, and messages that come twice.

use super::*;

#[tokio::test(start_paused = true)]
async fn one_bad_message_costs_its_neighbours_nothing() {
    let world = World::new();
    let mut good = Vec::new();
    for n in 0..3 {
        good.push(world.send("add", json!([n, 1])).await);
    }
    let failing = world.send("fail", json!(["no luck"])).await;
    let panicking = world.send("panics", json!([])).await;
    world.send_body("default", "{oops").await;
    let sleeping = world.send("limited", json!([])).await;
    for n in 3..6 {
        good.push(world.send("add", json!([n, 1])).await);
    }

    let dispositions = world.step("default").await;

    assert_eq!(dispositions, [Disposition::Done; 10]);
    for (n, id) in good.iter().enumerate() {
        let record = world.record(id).await;
        assert_eq!(record.status, State::Success);
        assert_eq!(record.result, Some(json!(n + 1)));
    }
    let failure = |record: Record| {
        assert_eq!(record.status, State::Failure);
        let error = record.error.unwrap();
        (error.kind, error.message)
    };
    let text = |kind: &str, message: &str| (kind.to_owned(), message.to_owned());
    assert_eq!(
        failure(world.record(&failing).await),
        text("TaskError", "no luck")
    );
    assert_eq!(
        failure(world.record(&panicking).await),
        text("Panicked", "panicked: at the disco")
    );
    assert_eq!(
        failure(world.record(&sleeping).await),
        text("TimeLimit", "stopped by its time limit of 2s")
    );
    let dead = world.memory.queue().dead_letters();
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].body, "{oops");
    assert_eq!(dead[0].attributes["sedano-reason"], "Undecodable");
    assert!(dead[0].attributes["sedano-error"].starts_with("the message is no JSON at line 1"));
    assert!(world.messages("default").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_fast_task_is_recorded_while_a_slow_neighbour_runs() {
    let world = World::new();
    let fast = world.send("add", json!([2, 3])).await;
    let slow = world.send("slow", json!([20])).await;
    let watch = async {
        world.pass(1).await;
        (world.status(&fast).await, world.status(&slow).await)
    };
    let (dispositions, seen) = tokio::join!(world.step("default"), watch);
    assert_eq!(seen, (State::Success, State::Started));
    assert_eq!(dispositions, [Disposition::Done; 2]);
}

#[tokio::test(start_paused = true)]
async fn the_same_message_twice_runs_once() {
    let world = World::new();
    let body = json!({"id": "twin", "task": "add", "args": [2, 3]}).to_string();
    world.send_body("default", body.clone()).await;
    world.send_body("default", body.clone()).await;
    world.step("default").await;
    assert_eq!(world.status("twin").await, State::Success);
    world.send_body("default", body).await;
    // The copy that shared the batch was held back while the other ran.
    world.pass(100).await;
    assert_eq!(world.step("default").await, [Disposition::Done; 2]);
    assert_eq!(world.runs.count(), 1);
    assert!(world.messages("default").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_while_the_first_runs_is_not_acknowledged() {
    let world = World::new();
    let body = json!({"id": "twin", "task": "slow", "args": [30]}).to_string();
    world.send_body("default", body.clone()).await;
    let second = async {
        world.pass(5).await;
        world.send_body("default", body).await;
        world.step("default").await
    };
    let (first, second) = tokio::join!(world.step("default"), second);
    assert_eq!(first, [Disposition::Done]);
    assert_eq!(second, [Disposition::Returned]);
    // Hidden until the first one's lease ends: 62 s after it began.
    assert!(world.step("default").await.is_empty());
    world.pass(33).await;
    assert_eq!(world.step("default").await, [Disposition::Done]);
    assert_eq!(world.runs.count(), 1);
    assert_eq!(world.record("twin").await.result, Some(json!(0)));
}

#[tokio::test(start_paused = true)]
async fn arguments_that_do_not_bind_fail_for_good() {
    let world = World::new();
    let id = world.send("add", json!([1])).await;
    assert_eq!(world.step("default").await, [Disposition::Done]);
    let error = world.record(&id).await.error.unwrap();
    assert_eq!(error.kind, "Bind");
    assert_eq!(
        error.message,
        "add() missing 1 required positional argument: 'y'"
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_task_answers_is_what_becomes_of_it() {
    let world = World::new();
    let ignored = world.send("answer", json!(["ignore"])).await;
    let rejected = world.send("answer", json!(["reject"])).await;
    let large = world.send("answer", json!(["large"])).await;
    let waiting = world.send("answer", json!(["wait"])).await;
    world.step("default").await;
    assert_eq!(world.status(&ignored).await, State::Ignored);
    assert_eq!(
        world.record(&rejected).await.error.unwrap().kind,
        "Rejected"
    );
    assert_eq!(
        world.memory.queue().dead_letters()[0].attributes["sedano-error"],
        "poison"
    );
    let error = world.record(&large).await.error.unwrap();
    assert_eq!(error.kind, "ResultTooLarge");
    assert!(error.message.contains("returned 500002 bytes"), "{error}");
    assert_eq!(
        world.record(&waiting).await.result,
        Some(json!("WouldDeadlock"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_lost_its_lease_changes_nothing() {
    let world = World::new();
    let id = world.send("slow", json!([20])).await;
    let thief = async {
        world.pass(5).await;
        let write = crate::ports::Write {
            key: crate::ports::Key::Result(id.clone()),
            op: crate::ports::Op::Update(vec![crate::ports::Change::Set(
                "owner".into(),
                "someone else".into(),
            )]),
            when: crate::ports::When::Always,
        };
        world.app().ports().store.write(write).await.unwrap();
    };
    let (dispositions, ()) = tokio::join!(world.step("default"), thief);
    assert_eq!(dispositions, [Disposition::Returned]);
    assert_eq!(world.status(&id).await, State::Started);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_task_never_runs_and_its_message_is_kept() {
    let world = World::new();
    let handle = world.app().send(add::s(2, 3)).await.unwrap();
    handle.revoke().await.unwrap();
    handle.revoke().await.unwrap();
    assert_eq!(world.step("default").await, [Disposition::Done]);
    assert_eq!(world.runs.count(), 0);
    assert_eq!(handle.state().await.unwrap(), State::Revoked);
    let item = world.item(handle.id());
    assert_eq!(item["task"].as_text(), Some("add"));
    assert!(item.contains_key("message"));
    let done = world.app().send(add::s(1, 1)).await.unwrap();
    world.step("default").await;
    let error = done.revoke().await.unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Conflict);
    done.forget().await.unwrap();
    assert_eq!(done.state().await.unwrap(), State::Pending);
}
