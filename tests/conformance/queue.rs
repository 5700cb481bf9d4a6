//! Standard queues: what is sent, and what is refused.

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
    an_unknown_name_is_not_found,
    a_queue_that_is_gone_is_not_found,
];

pub(crate) const SECOND: Duration = Duration::from_secs(1);
/// Long enough for whatever is due within some seconds, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(15);
/// Some clocks are cut to the millisecond, and some compare with the second's beginning.
pub(crate) const TOLERANCE: Duration = Duration::from_millis(20);

pub(crate) fn visibility(seconds: u64) -> QueueSettings {
    QueueSettings {
        visibility_timeout: Duration::from_secs(seconds),
        ..QueueSettings::default()
    }
}

pub(crate) async fn one_queue(world: &World, seconds: u64) -> (Arc<dyn Queue>, QueueName) {
    (
        world.queues(&[("q", visibility(seconds))]).await,
        QueueName::new("q"),
    )
}

pub(crate) async fn send(queue: &dyn Queue, name: &QueueName, batch: Vec<Outgoing>) -> Vec<String> {
    let sent = queue.send(name, batch).await.unwrap();
    sent.into_iter()
        .map(|entry| entry.unwrap().message_id)
        .collect()
}

pub(crate) async fn receive_one(queue: &dyn Queue, name: &QueueName) -> Delivery {
    let mut got = queue.receive(name, 1, SOON).await.unwrap();
    assert_eq!(got.len(), 1, "one message is there");
    got.remove(0)
}

pub(crate) async fn is_empty(queue: &dyn Queue, name: &QueueName) -> bool {
    queue
        .receive(name, 10, Duration::ZERO)
        .await
        .unwrap()
        .is_empty()
}

/// Receives until there are this many.
pub(crate) async fn receive_all(
    queue: &dyn Queue,
    name: &QueueName,
    wanted: usize,
) -> Vec<Delivery> {
    let mut all = Vec::new();
    while all.len() < wanted {
        let got = queue.receive(name, 10, SOON).await.unwrap();
        assert!(!got.is_empty(), "{} of {wanted} came", all.len());
        all.extend(got);
    }
    all
}

pub(crate) fn kinds<T>(entries: &[Result<T>]) -> Vec<Option<ErrorKind>> {
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
        queue.purge(name).await.unwrap_err(),
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
