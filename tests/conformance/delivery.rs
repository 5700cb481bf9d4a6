//! Deliveries from standard queues: hidden, shown again, deleted, given up, counted.

use std::collections::BTreeMap;
use std::time::Duration;

use sedano::ErrorKind;
use sedano::memory::QueueSettings;
use sedano::ports::{Depth, Outgoing, QueueName, Receipt};

use crate::queue::{
    SECOND, SOON, TOLERANCE, is_empty, kinds, one_queue, receive_all, receive_one, send, visibility,
};
use crate::runner::cases;
use crate::world::World;

cases![
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
    a_purge_leaves_nothing,
];

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

async fn a_purge_leaves_nothing(world: World) {
    let (queue, name) = one_queue(&world, 600).await;
    let late = Outgoing {
        delay: SECOND * 600,
        ..Outgoing::new("late")
    };
    let batch = vec![Outgoing::new("a"), Outgoing::new("b"), late];
    send(&*queue, &name, batch).await;
    receive_one(&*queue, &name).await;
    queue.purge(&name).await.unwrap();
    assert_eq!(queue.depth(&name).await.unwrap(), Depth::default());
    assert!(is_empty(&*queue, &name).await);
}
