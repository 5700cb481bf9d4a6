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
    let body = json!({"id": id, "task": task, "args": args}).to_string();
    world.send_body("orders.fifo", body).await;
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
    world.pass(100).await;
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
