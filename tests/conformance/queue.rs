//! Standard queues.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sedano::memory::QueueSettings;
use sedano::ports::{BATCH_BYTES, Delivery, Depth, Outgoing, Queue, QueueName, Receipt};
use sedano::{ErrorKind, Result};

use crate::runner::cases;
use crate::world::World;

cases![
    a_message_arrives_as_it_was_sent,
    ten_messages_go_in_one_batch,
    eleven_entries_are_refused_and_nothing_is_sent,
    an_empty_batch_is_nothing,
    a_batch_over_one_mebibyte_is_refused,
    a_message_of_one_mebibyte_is_taken,
    every_allowed_character_arrives,
    a_forbidden_character_costs_its_own_entry_only,
    an_empty_body_is_refused,
    eleven_attributes_are_refused,
    a_delayed_message_comes_when_it_is_due,
    a_delay_over_fifteen_minutes_is_refused,
    a_deduplication_id_is_refused,
    a_message_group_arrives,
    a_received_message_is_hidden,
    a_message_comes_again_after_its_visibility_timeout,
    a_waiting_receive_gets_what_is_sent_meanwhile,
    a_receive_asks_for_one_to_ten_and_waits_twenty_seconds,
    a_deleted_message_is_gone,
    a_deletion_may_be_repeated,
    a_lapsed_receipt_deletes_nothing,
    a_lapsed_receipt_hides_nothing,
    a_receipt_that_is_none_costs_its_own_entry_only,
    hidden_for_zero_it_is_visible_at_once,
    hidden_longer_it_comes_later,
    hidden_for_over_twelve_hours_is_refused,
    what_is_not_in_flight_cannot_be_hidden,
    received_too_often_it_becomes_a_dead_letter,
    what_is_given_up_names_the_queue_it_was_sent_to,
    depth_tells_visible_in_flight_and_delayed,
    an_unknown_name_is_not_found,
    a_queue_that_is_gone_is_not_found,
];

const SECOND: Duration = Duration::from_secs(1);
/// Long enough for whatever is due within some seconds, on a busy machine.
const SOON: Duration = Duration::from_secs(15);
/// Some clocks are cut to the millisecond, and some compare with the second's beginning.
const TOLERANCE: Duration = Duration::from_millis(20);

fn visibility(seconds: u64) -> QueueSettings {
    QueueSettings {
        visibility_timeout: Duration::from_secs(seconds),
        ..QueueSettings::default()
    }
}

async fn one_queue(world: &World, seconds: u64) -> (Arc<dyn Queue>, QueueName) {
    (
        world.queues(&[("q", visibility(seconds))]).await,
        QueueName::new("q"),
    )
}

async fn send(queue: &dyn Queue, name: &QueueName, batch: Vec<Outgoing>) -> Vec<String> {
    let sent = queue.send(name, batch).await.unwrap();
    sent.into_iter()
        .map(|entry| entry.unwrap().message_id)
        .collect()
}

async fn receive_one(queue: &dyn Queue, name: &QueueName) -> Delivery {
    let mut got = queue.receive(name, 1, SOON).await.unwrap();
    assert_eq!(got.len(), 1, "one message is there");
    got.remove(0)
}

async fn is_empty(queue: &dyn Queue, name: &QueueName) -> bool {
    queue
        .receive(name, 10, Duration::ZERO)
        .await
        .unwrap()
        .is_empty()
}

/// Receives until there are this many.
async fn receive_all(queue: &dyn Queue, name: &QueueName, wanted: usize) -> Vec<Delivery> {
    let mut all = Vec::new();
    while all.len() < wanted {
        let got = queue.receive(name, 10, SOON).await.unwrap();
        assert!(!got.is_empty(), "{} of {wanted} came", all.len());
        all.extend(got);
    }
    all
}

fn kinds<T>(entries: &[Result<T>]) -> Vec<Option<ErrorKind>> {
    entries
        .iter()
        .map(|entry| entry.as_ref().err().map(sedano::Error::kind))
        .collect()
}

async fn a_message_arrives_as_it_was_sent(world: World) {
    let (queue, name) = one_queue(&world, 30).await;
    let attributes = BTreeMap::from([
        ("task".to_owned(), "add".to_owned()),
        ("reason".to_owned(), "grüße, \"quoted\"".to_owned()),
    ]);
    let message = Outgoing {
        attributes: attributes.clone(),
        ..Outgoing::new(r#"{"task": "add"}"#)
    };
    let before = world.clock().now();
    let ids = send(&*queue, &name, vec![message]).await;
    let got = receive_one(&*queue, &name).await;
    assert_eq!(got.body, r#"{"task": "add"}"#);
    assert_eq!(got.attributes, attributes);
    assert_eq!(got.message_id, ids[0]);
    assert_eq!(got.queue, name);
    assert_eq!(got.receive_count, 1);
    assert_eq!(got.group, None);
    let day = SECOND * 86_400;
    assert!(
        got.sent_at + day > before && before + day > got.sent_at,
        "{}",
        got.sent_at
    );
}

async fn ten_messages_go_in_one_batch(world: World) {
    let (queue, name) = one_queue(&world, 30).await;
    let batch: Vec<Outgoing> = (0..10)
        .map(|number| Outgoing::new(number.to_string()))
        .collect();
    let ids = send(&*queue, &name, batch).await;
    let sent: BTreeMap<String, String> = ids
        .into_iter()
        .enumerate()
        .map(|(number, id)| (id, number.to_string()))
        .collect();
    assert_eq!(sent.len(), 10, "every message has its own id");
    let got = receive_all(&*queue, &name, 10).await;
    let got: BTreeMap<String, String> = got
        .into_iter()
        .map(|delivery| (delivery.message_id, delivery.body))
        .collect();
    assert_eq!(got, sent);
}

async fn eleven_entries_are_refused_and_nothing_is_sent(world: World) {
    let (queue, name) = one_queue(&world, 30).await;
    let error = queue
        .send(&name, vec![Outgoing::new("a"); 11])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(is_empty(&*queue, &name).await);
    let receipts = vec![Receipt("r".to_owned()); 11];
    let error = queue
        .delete_many(&name, receipts.clone())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let changes = receipts
        .into_iter()
        .map(|receipt| (receipt, SECOND))
        .collect();
    assert_eq!(
        queue.hide_many(&name, changes).await.unwrap_err().kind(),
        ErrorKind::Invalid
    );
}

async fn an_empty_batch_is_nothing(world: World) {
    let (queue, name) = one_queue(&world, 30).await;
    assert!(queue.send(&name, Vec::new()).await.unwrap().is_empty());
    assert!(
        queue
            .delete_many(&name, Vec::new())
            .await
            .unwrap()
            .is_empty()
    );
    assert!(queue.hide_many(&name, Vec::new()).await.unwrap().is_empty());
}

async fn a_batch_over_one_mebibyte_is_refused(world: World) {
    let (queue, name) = one_queue(&world, 30).await;
    let half = Outgoing::new("x".repeat(BATCH_BYTES / 2));
    let with_attribute = Outgoing {
        attributes: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        ..half.clone()
    };
    let error = queue
        .send(&name, vec![half, with_attribute])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(is_empty(&*queue, &name).await);
}

async fn a_message_of_one_mebibyte_is_taken(world: World) {
    let (queue, name) = one_queue(&world, 30).await;
    send(&*queue, &name, vec![Outgoing::new("x".repeat(BATCH_BYTES))]).await;
    assert_eq!(receive_one(&*queue, &name).await.body.len(), BATCH_BYTES);
}

async fn every_allowed_character_arrives(world: World) {
    let (queue, name) = one_queue(&world, 30).await;
    let body = "a\tb\nc\rd é \u{7f}\u{85}\u{d7ff}\u{e000}\u{fffd}\u{10000}\u{10ffff} <&>\"'\\";
    send(&*queue, &name, vec![Outgoing::new(body)]).await;
    assert_eq!(receive_one(&*queue, &name).await.body, body);
}

async fn a_forbidden_character_costs_its_own_entry_only(world: World) {
    let (queue, name) = one_queue(&world, 30).await;
    let bodies = ["a", "\u{1}", "\u{fffe}", "b", "\u{ffff}"];
    let batch = bodies.map(Outgoing::new).into();
    let sent = queue.send(&name, batch).await.unwrap();
    let refused = Some(ErrorKind::Invalid);
    assert_eq!(kinds(&sent), [None, refused, refused, None, refused]);
    let got = receive_all(&*queue, &name, 2).await;
    let got: BTreeSet<String> = got.into_iter().map(|delivery| delivery.body).collect();
    assert_eq!(got, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
}

async fn an_empty_body_is_refused(world: World) {
    let (queue, name) = one_queue(&world, 30).await;
    let sent = queue.send(&name, vec![Outgoing::new("")]).await.unwrap();
    assert_eq!(kinds(&sent), [Some(ErrorKind::Invalid)]);
}

async fn eleven_attributes_are_refused(world: World) {
    let (queue, name) = one_queue(&world, 30).await;
    let with = |count: u32| Outgoing {
        attributes: (0..count)
            .map(|n| (format!("a{n}"), "v".to_owned()))
            .collect(),
        ..Outgoing::new("a")
    };
    let sent = queue.send(&name, vec![with(11), with(10)]).await.unwrap();
    assert_eq!(kinds(&sent), [Some(ErrorKind::Invalid), None]);
    assert_eq!(receive_one(&*queue, &name).await.attributes.len(), 10);
}

async fn a_delayed_message_comes_when_it_is_due(world: World) {
    let (queue, name) = one_queue(&world, 30).await;
    let clock = world.clock();
    let start = clock.now();
    // Rounded up to two seconds.
    let message = Outgoing {
        delay: Duration::from_millis(1_200),
        ..Outgoing::new("later")
    };
    send(&*queue, &name, vec![message]).await;
    let got = receive_one(&*queue, &name).await;
    assert_eq!((got.body.as_str(), got.receive_count), ("later", 1));
    assert!(clock.now().since(start) + TOLERANCE >= SECOND * 2);
}

async fn a_delay_over_fifteen_minutes_is_refused(world: World) {
    let (queue, name) = one_queue(&world, 30).await;
    let late = |seconds| Outgoing {
        delay: SECOND * seconds,
        ..Outgoing::new("late")
    };
    let sent = queue.send(&name, vec![late(901), late(900)]).await.unwrap();
    assert_eq!(kinds(&sent), [Some(ErrorKind::Invalid), None]);
    assert_eq!(
        queue.depth(&name).await.unwrap(),
        Depth {
            delayed: 1,
            ..Depth::default()
        }
    );
}

async fn a_deduplication_id_is_refused(world: World) {
    let (queue, name) = one_queue(&world, 30).await;
    let message = Outgoing {
        dedup: Some("d".to_owned()),
        ..Outgoing::new("a")
    };
    let sent = queue.send(&name, vec![message]).await.unwrap();
    assert_eq!(kinds(&sent), [Some(ErrorKind::Invalid)]);
}

async fn a_message_group_arrives(world: World) {
    let (queue, name) = one_queue(&world, 30).await;
    let tenant = |body: &str| Outgoing {
        group: Some("tenant-1".to_owned()),
        ..Outgoing::new(body)
    };
    send(&*queue, &name, vec![tenant("a"), tenant("b")]).await;
    // On a standard queue a group orders nothing and blocks nothing.
    let got = receive_all(&*queue, &name, 2).await;
    assert!(
        got.iter()
            .all(|delivery| delivery.group.as_deref() == Some("tenant-1")),
        "{got:?}"
    );
}

async fn a_received_message_is_hidden(world: World) {
    let (queue, name) = one_queue(&world, 60).await;
    send(&*queue, &name, vec![Outgoing::new("a")]).await;
    receive_one(&*queue, &name).await;
    assert!(is_empty(&*queue, &name).await);
}

async fn a_message_comes_again_after_its_visibility_timeout(world: World) {
    let (queue, name) = one_queue(&world, 1).await;
    send(&*queue, &name, vec![Outgoing::new("a")]).await;
    let clock = world.clock();
    let start = clock.now();
    let first = receive_one(&*queue, &name).await;
    let second = receive_one(&*queue, &name).await;
    assert!(clock.now().since(start) + TOLERANCE >= SECOND);
    assert_eq!(second.message_id, first.message_id);
    assert_eq!((first.receive_count, second.receive_count), (1, 2));
    assert_eq!(second.sent_at, first.sent_at);
    assert_ne!(second.receipt, first.receipt);
}

async fn a_waiting_receive_gets_what_is_sent_meanwhile(world: World) {
    let (queue, name) = one_queue(&world, 30).await;
    let sender = async {
        world.clock().sleep(Duration::from_millis(200)).await;
        send(&*queue, &name, vec![Outgoing::new("a")]).await
    };
    let (got, _) = tokio::join!(queue.receive(&name, 10, SOON), sender);
    assert_eq!(got.unwrap().len(), 1);
}

async fn a_receive_asks_for_one_to_ten_and_waits_twenty_seconds(world: World) {
    let (queue, name) = one_queue(&world, 30).await;
    for (max, wait) in [(0, Duration::ZERO), (11, Duration::ZERO), (1, SECOND * 21)] {
        let error = queue.receive(&name, max, wait).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}

async fn a_deleted_message_is_gone(world: World) {
    let (queue, name) = one_queue(&world, 1).await;
    send(&*queue, &name, vec![Outgoing::new("a"), Outgoing::new("b")]).await;
    let got = receive_all(&*queue, &name, 2).await;
    let receipts = got
        .iter()
        .map(|delivery| delivery.receipt.clone())
        .collect();
    let deleted = queue.delete_many(&name, receipts).await.unwrap();
    assert_eq!(kinds(&deleted), [None, None]);
    // Past the visibility timeout of whatever was left.
    assert!(
        queue
            .receive(&name, 10, SECOND * 2)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(queue.depth(&name).await.unwrap(), Depth::default());
}

async fn a_deletion_may_be_repeated(world: World) {
    let (queue, name) = one_queue(&world, 30).await;
    send(&*queue, &name, vec![Outgoing::new("a")]).await;
    let got = receive_one(&*queue, &name).await;
    for _ in 0..2 {
        let deleted = queue
            .delete_many(&name, vec![got.receipt.clone()])
            .await
            .unwrap();
        assert_eq!(kinds(&deleted), [None]);
    }
}

async fn a_lapsed_receipt_deletes_nothing(world: World) {
    let (queue, name) = one_queue(&world, 1).await;
    send(&*queue, &name, vec![Outgoing::new("a")]).await;
    let first = receive_one(&*queue, &name).await;
    let second = receive_one(&*queue, &name).await;
    // Whether that is an error is left to the service.
    let _ = queue.delete_many(&name, vec![first.receipt]).await.unwrap();
    let third = receive_one(&*queue, &name).await;
    assert_eq!(
        (third.message_id, third.receive_count),
        (second.message_id, 3)
    );
}

async fn a_lapsed_receipt_hides_nothing(world: World) {
    let (queue, name) = one_queue(&world, 1).await;
    send(&*queue, &name, vec![Outgoing::new("a")]).await;
    let first = receive_one(&*queue, &name).await;
    let second = receive_one(&*queue, &name).await;
    let hidden = queue
        .hide_many(&name, vec![(first.receipt, SECOND * 600)])
        .await
        .unwrap();
    assert_eq!(kinds(&hidden), [Some(ErrorKind::NotFound)]);
    let third = receive_one(&*queue, &name).await;
    assert_eq!(
        (third.message_id, third.receive_count),
        (second.message_id, 3)
    );
}

async fn a_receipt_that_is_none_costs_its_own_entry_only(world: World) {
    let (queue, name) = one_queue(&world, 30).await;
    send(&*queue, &name, vec![Outgoing::new("a")]).await;
    let got = receive_one(&*queue, &name).await;
    let none = Receipt("this is no receipt".to_owned());
    let changes = vec![(none.clone(), SECOND), (got.receipt.clone(), SECOND * 60)];
    let hidden = queue.hide_many(&name, changes).await.unwrap();
    assert_eq!(kinds(&hidden), [Some(ErrorKind::NotFound), None]);
    let deleted = queue
        .delete_many(&name, vec![none, got.receipt])
        .await
        .unwrap();
    assert_eq!(kinds(&deleted), [Some(ErrorKind::NotFound), None]);
    assert_eq!(queue.depth(&name).await.unwrap(), Depth::default());
}

async fn hidden_for_zero_it_is_visible_at_once(world: World) {
    let (queue, name) = one_queue(&world, 600).await;
    send(&*queue, &name, vec![Outgoing::new("a")]).await;
    let first = receive_one(&*queue, &name).await;
    let hidden = queue
        .hide_many(&name, vec![(first.receipt, Duration::ZERO)])
        .await
        .unwrap();
    assert_eq!(kinds(&hidden), [None]);
    let second = receive_one(&*queue, &name).await;
    assert_eq!(
        (second.message_id, second.receive_count),
        (first.message_id, 2)
    );
}

async fn hidden_longer_it_comes_later(world: World) {
    let (queue, name) = one_queue(&world, 600).await;
    send(&*queue, &name, vec![Outgoing::new("a")]).await;
    let first = receive_one(&*queue, &name).await;
    let clock = world.clock();
    let start = clock.now();
    // From now, not from the receive; rounded up to two seconds.
    let change = (first.receipt, Duration::from_millis(1_500));
    assert_eq!(
        kinds(&queue.hide_many(&name, vec![change]).await.unwrap()),
        [None]
    );
    let second = receive_one(&*queue, &name).await;
    assert!(clock.now().since(start) + TOLERANCE >= SECOND * 2);
    assert_eq!(second.message_id, first.message_id);
}

async fn hidden_for_over_twelve_hours_is_refused(world: World) {
    let (queue, name) = one_queue(&world, 600).await;
    send(&*queue, &name, vec![Outgoing::new("a"), Outgoing::new("b")]).await;
    let got = receive_all(&*queue, &name, 2).await;
    let changes = vec![
        (got[0].receipt.clone(), SECOND * 43_201),
        (got[1].receipt.clone(), Duration::ZERO),
    ];
    let hidden = queue.hide_many(&name, changes).await.unwrap();
    assert_eq!(kinds(&hidden), [Some(ErrorKind::Invalid), None]);
    assert_eq!(
        receive_one(&*queue, &name).await.message_id,
        got[1].message_id
    );
}

async fn what_is_not_in_flight_cannot_be_hidden(world: World) {
    let (queue, name) = one_queue(&world, 600).await;
    send(&*queue, &name, vec![Outgoing::new("a")]).await;
    let first = receive_one(&*queue, &name).await;
    let hide = |seconds| queue.hide_many(&name, vec![(first.receipt.clone(), SECOND * seconds)]);
    assert_eq!(kinds(&hide(0).await.unwrap()), [None]);
    assert_eq!(
        kinds(&hide(600).await.unwrap()),
        [Some(ErrorKind::NotFound)]
    );
    assert_eq!(receive_one(&*queue, &name).await.receive_count, 2);
}

async fn received_too_often_it_becomes_a_dead_letter(world: World) {
    let settings = QueueSettings {
        max_receive_count: 2,
        dead_letter_queue: Some("dead".into()),
        ..visibility(1)
    };
    let queue = world
        .queues(&[("dead", visibility(30)), ("q", settings)])
        .await;
    let (name, dead) = (QueueName::new("q"), QueueName::new("dead"));
    let attributes = BTreeMap::from([("task".to_owned(), "add".to_owned())]);
    let message = Outgoing {
        attributes: attributes.clone(),
        ..Outgoing::new("poison")
    };
    let ids = send(&*queue, &name, vec![message]).await;
    for round in 1..=2 {
        assert_eq!(receive_one(&*queue, &name).await.receive_count, round);
    }
    assert!(is_empty(&*queue, &dead).await, "twice is allowed");
    // The third receive finds it dead. It is visible, and so moved, after a second.
    assert!(
        queue
            .receive(&name, 10, SECOND * 2)
            .await
            .unwrap()
            .is_empty()
    );
    let letter = receive_one(&*queue, &dead).await;
    assert_eq!(
        (letter.body.as_str(), letter.attributes),
        ("poison", attributes)
    );
    assert_eq!(letter.message_id, ids[0]);
    assert_eq!(queue.depth(&name).await.unwrap(), Depth::default());
}

async fn what_is_given_up_names_the_queue_it_was_sent_to(world: World) {
    let settings = QueueSettings {
        max_receive_count: 1,
        dead_letter_queue: Some("given-up".into()),
        ..visibility(1)
    };
    let queue = world
        .queues(&[("given-up", visibility(30)), ("q", settings)])
        .await;
    let [name, given_up] = ["q", "given-up"].map(QueueName::new);
    send(&*queue, &name, vec![Outgoing::new("poison")]).await;
    assert_eq!(receive_one(&*queue, &name).await.source, None);
    let second = queue.receive(&name, 10, SECOND * 2).await.unwrap();
    assert!(second.is_empty(), "once is allowed");
    assert_eq!(receive_one(&*queue, &given_up).await.source, Some(name));
}

async fn depth_tells_visible_in_flight_and_delayed(world: World) {
    let (queue, name) = one_queue(&world, 600).await;
    let late = Outgoing {
        delay: SECOND * 600,
        ..Outgoing::new("late")
    };
    send(
        &*queue,
        &name,
        vec![Outgoing::new("a"), Outgoing::new("b"), late],
    )
    .await;
    assert_eq!(
        queue.depth(&name).await.unwrap(),
        Depth {
            visible: 2,
            in_flight: 0,
            delayed: 1
        }
    );
    receive_one(&*queue, &name).await;
    assert_eq!(
        queue.depth(&name).await.unwrap(),
        Depth {
            visible: 1,
            in_flight: 1,
            delayed: 1
        }
    );
}

async fn refuses_everything(queue: &dyn Queue, name: &QueueName) {
    let receipt = Receipt("r".to_owned());
    let errors = [
        queue
            .send(name, vec![Outgoing::new("a")])
            .await
            .map(drop)
            .unwrap_err(),
        queue
            .receive(name, 1, Duration::ZERO)
            .await
            .map(drop)
            .unwrap_err(),
        queue
            .delete_many(name, vec![receipt.clone()])
            .await
            .map(drop)
            .unwrap_err(),
        queue
            .hide_many(name, vec![(receipt, SECOND)])
            .await
            .map(drop)
            .unwrap_err(),
        queue.depth(name).await.map(drop).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
        assert!(error.to_string().contains("`gone`"), "{error}");
    }
}

async fn an_unknown_name_is_not_found(world: World) {
    let (queue, _) = one_queue(&world, 30).await;
    refuses_everything(&*queue, &"gone".into()).await;
}

async fn a_queue_that_is_gone_is_not_found(world: World) {
    let queue = world.vanished_queue("gone");
    refuses_everything(&*queue, &"gone".into()).await;
}
