//! FIFO queues.

use std::sync::Arc;
use std::time::Duration;

use sedano::ErrorKind;
use sedano::memory::QueueSettings;
use sedano::ports::{Delivery, Outgoing, Queue, QueueName};

use crate::runner::cases;
use crate::world::World;

cases![
    a_group_comes_in_order,
    a_group_is_blocked_while_one_of_it_is_in_flight,
    visible_again_it_comes_before_what_follows,
    hidden_for_zero_it_comes_before_what_follows,
    deleting_the_first_frees_the_next,
    a_deduplication_id_is_taken_once,
    a_deduplication_id_is_remembered_after_the_message_is_gone,
    content_is_taken_once_where_the_queue_says_so,
    a_message_needs_a_group,
    a_message_needs_a_deduplication_id,
    a_message_has_no_delay_of_its_own,
    received_too_often_it_becomes_a_dead_letter_and_frees_its_group,
];

const SOON: Duration = Duration::from_secs(15);

fn settings(seconds: u64) -> QueueSettings {
    QueueSettings {
        visibility_timeout: Duration::from_secs(seconds),
        ..QueueSettings::default()
    }
}

async fn one_queue(world: &World, settings: QueueSettings) -> (Arc<dyn Queue>, QueueName) {
    (
        world.queues(&[("q.fifo", settings)]).await,
        QueueName::new("q.fifo"),
    )
}

/// A message whose body is its deduplication id.
fn message(group: &str, body: &str) -> Outgoing {
    Outgoing {
        group: Some(group.to_owned()),
        dedup: Some(body.to_owned()),
        ..Outgoing::new(body)
    }
}

async fn send(queue: &dyn Queue, name: &QueueName, batch: Vec<Outgoing>) {
    for entry in queue.send(name, batch).await.unwrap() {
        entry.unwrap();
    }
}

async fn receive(queue: &dyn Queue, name: &QueueName, max: usize) -> Vec<Delivery> {
    queue.receive(name, max, SOON).await.unwrap()
}

async fn receive_now(queue: &dyn Queue, name: &QueueName) -> Vec<Delivery> {
    queue.receive(name, 10, Duration::ZERO).await.unwrap()
}

fn bodies(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries
        .iter()
        .map(|delivery| delivery.body.as_str())
        .collect()
}

async fn delete(queue: &dyn Queue, name: &QueueName, deliveries: &[Delivery]) {
    let receipts = deliveries
        .iter()
        .map(|delivery| delivery.receipt.clone())
        .collect();
    for entry in queue.delete_many(name, receipts).await.unwrap() {
        entry.unwrap();
    }
}

async fn a_group_comes_in_order(world: World) {
    let (queue, name) = one_queue(&world, settings(60)).await;
    let batch = ["1", "2", "3"].map(|body| message("g", body));
    send(&*queue, &name, batch.into()).await;
    send(&*queue, &name, vec![message("g", "4")]).await;
    let got = receive(&*queue, &name, 10).await;
    assert_eq!(bodies(&got), ["1", "2", "3", "4"]);
    assert!(
        got.iter()
            .all(|delivery| delivery.group.as_deref() == Some("g"))
    );
}

async fn a_group_is_blocked_while_one_of_it_is_in_flight(world: World) {
    let (queue, name) = one_queue(&world, settings(60)).await;
    let batch = vec![message("a", "a1"), message("a", "a2"), message("b", "b1")];
    send(&*queue, &name, batch).await;
    let first = receive(&*queue, &name, 1).await;
    assert_eq!(bodies(&first), ["a1"]);
    assert_eq!(bodies(&receive_now(&*queue, &name).await), ["b1"]);
    assert!(receive_now(&*queue, &name).await.is_empty());
}

async fn visible_again_it_comes_before_what_follows(world: World) {
    let (queue, name) = one_queue(&world, settings(1)).await;
    send(&*queue, &name, vec![message("g", "1"), message("g", "2")]).await;
    assert_eq!(bodies(&receive(&*queue, &name, 1).await), ["1"]);
    let again = receive(&*queue, &name, 1).await;
    assert_eq!((again[0].body.as_str(), again[0].receive_count), ("1", 2));
}

async fn hidden_for_zero_it_comes_before_what_follows(world: World) {
    let (queue, name) = one_queue(&world, settings(600)).await;
    send(&*queue, &name, vec![message("g", "1"), message("g", "2")]).await;
    let first = receive(&*queue, &name, 1).await;
    let change = (first[0].receipt.clone(), Duration::ZERO);
    queue
        .hide_many(&name, vec![change])
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    assert_eq!(bodies(&receive(&*queue, &name, 10).await), ["1", "2"]);
}

async fn deleting_the_first_frees_the_next(world: World) {
    let (queue, name) = one_queue(&world, settings(600)).await;
    send(&*queue, &name, vec![message("g", "1"), message("g", "2")]).await;
    let first = receive(&*queue, &name, 1).await;
    delete(&*queue, &name, &first).await;
    assert_eq!(bodies(&receive(&*queue, &name, 1).await), ["2"]);
}

async fn a_deduplication_id_is_taken_once(world: World) {
    let (queue, name) = one_queue(&world, settings(60)).await;
    let same = |body: &str| Outgoing {
        dedup: Some("same".to_owned()),
        ..message("g", body)
    };
    send(&*queue, &name, vec![same("1")]).await;
    // Accepted, and not delivered: in another call, in the same call, in another group.
    send(&*queue, &name, vec![same("2"), same("3")]).await;
    send(
        &*queue,
        &name,
        vec![Outgoing {
            group: Some("h".to_owned()),
            ..same("4")
        }],
    )
    .await;
    assert_eq!(bodies(&receive(&*queue, &name, 10).await), ["1"]);
    assert!(receive_now(&*queue, &name).await.is_empty());
}

async fn a_deduplication_id_is_remembered_after_the_message_is_gone(world: World) {
    let (queue, name) = one_queue(&world, settings(60)).await;
    send(&*queue, &name, vec![message("g", "1")]).await;
    delete(&*queue, &name, &receive(&*queue, &name, 1).await).await;
    send(&*queue, &name, vec![message("g", "1"), message("g", "2")]).await;
    assert_eq!(bodies(&receive(&*queue, &name, 10).await), ["2"]);
}

async fn content_is_taken_once_where_the_queue_says_so(world: World) {
    let settings = QueueSettings {
        content_deduplication: true,
        ..settings(60)
    };
    let (queue, name) = one_queue(&world, settings).await;
    let plain = |body: &str| Outgoing {
        dedup: None,
        ..message("g", body)
    };
    send(&*queue, &name, vec![plain("1"), plain("2"), plain("1")]).await;
    // An id of its own goes before the content.
    send(
        &*queue,
        &name,
        vec![Outgoing {
            dedup: Some("other".to_owned()),
            ..plain("1")
        }],
    )
    .await;
    assert_eq!(bodies(&receive(&*queue, &name, 10).await), ["1", "2", "1"]);
}

/// The kind of error of sending this message beside a good one.
async fn refusal(world: &World, bad: Outgoing) -> ErrorKind {
    let (queue, name) = one_queue(world, settings(60)).await;
    match queue.send(&name, vec![message("g", "good"), bad]).await {
        Ok(mut sent) => sent.remove(1).unwrap_err().kind(),
        // SQS refuses the whole call for some.
        Err(error) => error.kind(),
    }
}

async fn a_message_needs_a_group(world: World) {
    let bad = Outgoing {
        group: None,
        ..message("g", "1")
    };
    assert_eq!(refusal(&world, bad).await, ErrorKind::Invalid);
}

async fn a_message_needs_a_deduplication_id(world: World) {
    let bad = Outgoing {
        dedup: None,
        ..message("g", "1")
    };
    assert_eq!(refusal(&world, bad).await, ErrorKind::Invalid);
}

async fn a_message_has_no_delay_of_its_own(world: World) {
    let bad = Outgoing {
        delay: Duration::from_secs(1),
        ..message("g", "1")
    };
    assert_eq!(refusal(&world, bad).await, ErrorKind::Invalid);
}

async fn received_too_often_it_becomes_a_dead_letter_and_frees_its_group(world: World) {
    let source = QueueSettings {
        max_receive_count: 1,
        dead_letter_queue: Some("dead.fifo".into()),
        ..settings(1)
    };
    let queue = world
        .queues(&[("dead.fifo", settings(60)), ("q.fifo", source)])
        .await;
    let (name, dead) = (QueueName::new("q.fifo"), QueueName::new("dead.fifo"));
    send(&*queue, &name, vec![message("g", "1"), message("g", "2")]).await;
    assert_eq!(bodies(&receive(&*queue, &name, 1).await), ["1"]);
    assert_eq!(bodies(&receive(&*queue, &name, 1).await), ["2"]);
    let letter = receive(&*queue, &dead, 10).await;
    assert_eq!(
        (bodies(&letter), letter[0].group.as_deref()),
        (vec!["1"], Some("g"))
    );
}
