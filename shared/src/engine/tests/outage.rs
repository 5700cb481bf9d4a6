//! Services that are away for longer than SQS has patience.

use super::*;
use crate::ports::Ports;
use crate::tests::faulty::{Fault, faulty};

/// A world whose store is away for so long.
fn world(config: Config, seconds: u64) -> World {
    let mut world = World::with(config.clone());
    let clock = world.app().ports().clock.clone();
    let until = clock.now() + Duration::from_secs(seconds);
    let ports = faulty(world.app().ports(), move |_| match clock.now() < until {
        true => Fault::Throttled,
        false => Fault::None,
    });
    world.worker = Worker::new(App::new(ports, config))
        .tasks(tasks![add, add_quietly, add_again, flaky, answer])
        .state(world.runs.clone());
    world
}

/// Workers take what comes, for so long.
async fn work(world: &World, queue: &QueueName, seconds: u64) -> u32 {
    let mut deliveries = 0;
    for _ in 0..seconds / 5 {
        deliveries += u32::try_from(world.step(queue.as_str()).await.len()).unwrap();
        world.pass(5).await;
    }
    deliveries
}

#[tokio::test(start_paused = true)]
async fn an_hour_of_it_costs_time_and_nothing_else() {
    const HOUR: u64 = 3600;
    let world = world(Config::memory(), HOUR);
    let id = world.send("add", json!([2, 3])).await;
    let deliveries = work(&world, &"default".into(), HOUR + 1200).await;
    assert!(deliveries < 20, "with growing pauses: {deliveries}");
    let record = world.record(&id).await;
    assert_eq!(
        (record.status, record.result),
        (State::Success, Some(json!(5)))
    );
    assert_eq!(world.runs.count(), 1);
    for queue in ["default", "undelivered", "dead-letters"] {
        assert!(world.messages(queue).is_empty(), "{queue}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_anew_keeps_its_id_group_attributes_and_expiry() {
    let world = world(Config::memory(), 3600);
    let sent = Outgoing {
        group: Some("tenant".to_owned()),
        attributes: [("colour".to_owned(), "green".to_owned())].into(),
        ..Outgoing::new(r#"{"task": "add", "args": [2, 3], "expires": 900, "extra": 1}"#)
    };
    let queue = QueueName::new("default");
    let expires = world.app().now() + Duration::from_secs(900);
    let port = &world.app().ports().queue;
    let sent = port.send(&queue, vec![sent]).await.unwrap().remove(0);
    let id = sent.unwrap().message_id;
    work(&world, &queue, 200).await;
    let anew = &world.messages("default")[0];
    assert_ne!(anew.message_id, id);
    let body: Value = serde_json::from_str(&anew.body).unwrap();
    assert_eq!((&body["id"], &body["extra"]), (&json!(id), &json!(1)));
    assert_eq!(body["expires"], json!(expires.to_string()));
    assert_eq!(anew.group.as_deref(), Some("tenant"));
    assert_eq!(anew.attributes["colour"], "green");
    assert_eq!(anew.attributes["sedano-receives"], format!("6 {id}"));
    assert_eq!(anew.visible_at.since(anew.sent_at), Duration::from_secs(60));

    work(&world, &queue, 4000).await;
    assert_eq!(world.status(&id).await, State::Revoked, "it came too late");
}

#[tokio::test(start_paused = true)]
async fn a_retry_has_no_part_in_the_receives_of_its_forerunner() {
    let world = world(Config::memory(), 400);
    world.send("flaky", json!([1])).await;
    let queue = QueueName::new("default");
    let mut retry = None;
    for _ in 0..200 {
        world.step("default").await;
        retry = world.messages("default").pop();
        if retry
            .as_ref()
            .is_some_and(|next| next.body.contains("retries"))
        {
            break;
        }
        world.pass(5).await;
    }
    assert_eq!(retry.unwrap().attributes.len(), 0);
    work(&world, &queue, 60).await;
    assert!(world.messages("default").is_empty());
}

#[tokio::test(start_paused = true)]
async fn on_a_fifo_queue_it_keeps_its_place_and_is_given_up_in_the_end() {
    let mut config = Config::memory();
    for name in ["jobs.fifo", "undelivered.fifo"] {
        config.queues.insert(name.into(), "memory".to_owned());
    }
    let world = world(config, 3600);
    world.gives_up("jobs.fifo", 10);
    let body = json!({"task": "add", "args": [2, 3], "id": "f"}).to_string();
    world.send_body("jobs.fifo", body).await;
    work(&world, &"jobs.fifo".into(), 1200).await;
    assert!(world.messages("jobs.fifo").is_empty());
    // The reaper, too, waits for the store.
    work(&world, &"undelivered.fifo".into(), 4800).await;
    assert_eq!(world.status("f").await, State::Failure);
    assert!(world.messages("undelivered.fifo").is_empty());
    assert_eq!(world.messages("dead-letters").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn where_sending_fails_too_it_is_handed_back() {
    let mut config = Config::memory();
    let world = world(config.clone(), 3600);
    let id = world.send("add", json!([2, 3])).await;
    for _ in 0..5 {
        drop(world.receive("default").await);
        world.pass(91).await;
    }
    // It received the message and may not send any: a queue that isn't configured is the same to it.
    let deliveries = world.receive("default").await;
    config.queues.remove(&QueueName::new("default"));
    let ports = Ports {
        queue: crate::memory::Memory::new(&config).ports().queue,
        ..world.worker.app().ports().clone()
    };
    let worker = Worker::new(App::new(ports, config)).tasks(tasks![add]);
    let worker = worker.state(world.runs.clone());
    let done = worker.handle(&deliveries, &world.invocation()).await;
    assert_eq!(done, [Disposition::Returned]);
    assert_eq!(world.messages("default")[0].message_id, id);
}
