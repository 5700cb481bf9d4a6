//! FIFO queues.

use super::*;

fn world() -> World {
    let mut config = Config::memory();
    for name in ["orders.fifo", "dead-letters.fifo"] {
        config.queues.insert(name.into(), format!("memory:{name}"));
    }
    World::with(config)
}

async fn send(world: &World, id: &str, task: &str, args: Value) {
    send_in(world, "g", id, task, args).await;
}

async fn send_in(world: &World, group: &str, id: &str, task: &str, args: Value) {
    let mut outgoing = Outgoing::new(json!({"id": id, "task": task, "args": args}).to_string());
    outgoing.group = Some(group.to_owned());
    outgoing.dedup = Some(id.to_owned());
    let queue = &world.app().ports().queue;
    let sent = queue.send(&"orders.fifo".into(), vec![outgoing]).await;
    sent.unwrap().remove(0).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_group_is_worked_in_order_and_stops_at_what_is_not_done() {
    let world = world();
    send(&world, "a", "add", json!([1, 1])).await;
    send(&world, "b", "flaky", json!([1])).await;
    send(&world, "c", "add", json!([2, 2])).await;
    let dispositions = world.step("orders.fifo").await;
    assert_eq!(
        dispositions,
        [
            Disposition::Done,
            Disposition::Returned,
            Disposition::Returned
        ]
    );
    assert_eq!(world.status("b").await, State::Retry);
    assert_eq!(world.status("c").await, State::Pending);

    // The retry is the message itself, hidden for its backoff; its group waits behind it.
    world.pass(3).await;
    assert_eq!(world.step("orders.fifo").await, [Disposition::Done; 2]);
    let b = world.record("b").await;
    assert_eq!((b.status, b.retries), (State::Success, 1));
    let c = world.record("c").await;
    assert!(c.started_at.unwrap() >= b.finished_at.unwrap());
    assert!(world.messages("orders.fifo").is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_due_keeps_its_place() {
    let world = world();
    let eta = world.app().now() + Duration::from_secs(3600);
    let body = json!({"id": "later", "task": "add", "args": [1, 1], "eta": eta});
    world.send_body("orders.fifo", body.to_string()).await;
    assert_eq!(world.step("orders.fifo").await, [Disposition::Returned]);
    world.pass(3590).await;
    assert!(world.step("orders.fifo").await.is_empty());
    world.pass(11).await;
    assert_eq!(world.step("orders.fifo").await, [Disposition::Done]);
    assert!(world.record("later").await.started_at.unwrap() >= eta);
}

#[tokio::test(start_paused = true)]
async fn a_crash_costs_a_group_no_place_and_a_death_alone_counts() {
    let world = world();
    send(&world, "a", "crash", json!([])).await;
    send(&world, "b", "add", json!([1, 1])).await;
    send_in(&world, "h", "c", "slow", json!([5])).await;
    assert_eq!(world.die("orders.fifo", Duration::from_secs(50)).await, 3);
    assert_eq!(world.status("c").await, State::Success);
    send_in(&world, "i", "d", "slow", json!([7])).await;
    for _ in 0..3 {
        world.pass(91).await;
        assert_eq!(world.die("orders.fifo", Duration::from_secs(50)).await, 4);
        assert_eq!(world.status("b").await, State::Pending, "its turn is later");
    }
    let suspect = world.record("a").await.attempts[1].start;
    assert!(
        suspect >= world.record("d").await.finished_at.unwrap(),
        "what was running when a process died runs with nobody beside it"
    );
    world.pass(91).await;
    assert_eq!(world.step("orders.fifo").await, [Disposition::Done; 4]);
    let a = world.record("a").await;
    assert_eq!(
        (a.status, a.error.unwrap().kind.as_str()),
        (State::Failure, "WorkerLost")
    );
    assert_eq!(
        a.attempts.len(),
        5,
        "in company, three times alone, given up"
    );
    let b = world.record("b").await;
    assert_eq!(b.status, State::Success);
    assert!(b.started_at >= a.finished_at);
    assert!(world.messages("quarantine").is_empty());
    assert!(world.messages("orders.fifo").is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_begins_late_and_is_cut_short_begins_anew() {
    let world = world();
    send(&world, "a", "slow", json!([20])).await;
    send(&world, "b", "slow", json!([45])).await;
    let dispositions = world.step("orders.fifo").await;
    assert_eq!(dispositions, [Disposition::Done, Disposition::Returned]);
    let b = world.record("b").await;
    assert_eq!((b.status, b.retries), (State::Retry, 0));
    assert_eq!(world.step("orders.fifo").await, [Disposition::Done]);
    assert_eq!(world.status("b").await, State::Success);
}

#[tokio::test(start_paused = true)]
async fn what_would_begin_too_late_comes_again_at_once() {
    let world = world();
    send(&world, "a", "slow", json!([40])).await;
    send(&world, "b", "slow", json!([45])).await;
    send(&world, "c", "add", json!([1, 1])).await;
    let dispositions = world.step("orders.fifo").await;
    let (done, returned) = (Disposition::Done, Disposition::Returned);
    assert_eq!(dispositions, [done, returned, returned]);
    assert_eq!(world.status("b").await, State::Pending);
    assert_eq!(world.step("orders.fifo").await, [done, returned]);
    assert_eq!(world.step("orders.fifo").await, [done]);
    assert_eq!(world.status("c").await, State::Success);
}

#[tokio::test(start_paused = true)]
async fn ten_that_wait_are_hidden_in_one_call() {
    let world = world();
    for n in 0..10 {
        send_in(&world, &n.to_string(), &n.to_string(), "flaky", json!([1])).await;
    }
    let before = world.memory.counts();
    assert_eq!(world.step("orders.fifo").await, [Disposition::Returned; 10]);
    let counts = world.memory.counts().since(&before);
    assert_eq!(counts.of("ChangeMessageVisibilityBatch"), 1, "{counts:?}");
    world.pass(2).await;
    assert_eq!(world.step("orders.fifo").await, [Disposition::Done; 10]);
}
