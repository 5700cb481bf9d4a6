//! What needs exact time or a look inside; the semantics that AWS shares are in `tests/conformance`.

use super::*;
use crate::SeededEntropy;
use crate::memory::{Memory, TokioClock};
use crate::ports::{MAX_HIDE, Ports};

const SECOND: Duration = Duration::from_secs(1);

fn memory() -> (Memory, Ports) {
    let clock = Arc::new(TokioClock::starting_at(Timestamp::from_millis(
        1_772_366_400_000,
    )));
    let memory = Memory::with(&Config::memory(), clock, Arc::new(SeededEntropy::new(1)));
    let ports = memory.ports();
    (memory, ports)
}

fn default() -> QueueName {
    QueueName::new(QueueName::DEFAULT)
}

async fn send(ports: &Ports, delay: Duration) {
    let message = Outgoing {
        delay,
        ..Outgoing::new("hello")
    };
    ports
        .queue
        .send(&default(), vec![message])
        .await
        .unwrap()
        .remove(0)
        .unwrap();
}

async fn receive(ports: &Ports, max: usize, wait: Duration) -> Vec<Delivery> {
    let received = ports.queue.receive(&default(), max, wait).await;
    received.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_waiting_receive_wakes_when_a_message_becomes_visible_and_not_before() {
    let (_, ports) = memory();
    let start = ports.clock.now();
    send(&ports, Duration::from_millis(6_500)).await;
    let got = receive(&ports, 10, SECOND * 20).await;
    assert_eq!(got.len(), 1);
    assert_eq!(ports.clock.now().since(start), SECOND * 7);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_receive_wakes_on_a_send() {
    let (_, ports) = memory();
    let start = ports.clock.now();
    let sender = async {
        ports.clock.sleep(SECOND * 3).await;
        send(&ports, Duration::ZERO).await;
    };
    let queue = default();
    let (got, ()) = tokio::join!(ports.queue.receive(&queue, 10, SECOND * 20), sender);
    assert_eq!(got.unwrap().len(), 1);
    assert_eq!(ports.clock.now().since(start), SECOND * 3);
}

#[tokio::test(start_paused = true)]
async fn a_receive_of_an_empty_queue_waits_as_long_as_asked() {
    let (_, ports) = memory();
    let start = ports.clock.now();
    assert!(receive(&ports, 1, SECOND * 5).await.is_empty());
    assert_eq!(ports.clock.now().since(start), SECOND * 5);
}

#[tokio::test(start_paused = true)]
async fn the_visibility_timeout_is_90_seconds_and_the_eleventh_receive_gives_up() {
    let (memory, ports) = memory();
    send(&ports, Duration::ZERO).await;
    for round in 1..=10 {
        let got = receive(&ports, 1, Duration::ZERO).await;
        assert_eq!(got[0].receive_count, round);
        ports.clock.sleep(SECOND * 89).await;
        assert!(receive(&ports, 1, Duration::ZERO).await.is_empty());
        ports.clock.sleep(SECOND).await;
    }
    let undelivered = QueueName::new(QueueName::UNDELIVERED);
    assert!(memory.queue().messages(&undelivered).is_empty());
    assert!(receive(&ports, 1, Duration::ZERO).await.is_empty());
    let given_up = ports.queue.receive(&undelivered, 1, Duration::ZERO).await;
    let given_up = given_up.unwrap().remove(0);
    assert_eq!(
        (given_up.body.as_str(), given_up.receive_count),
        ("hello", 11)
    );
    assert_eq!(given_up.source, Some(default()));
    assert_eq!(
        ports.queue.depth(&default()).await.unwrap(),
        Depth::default()
    );
}

#[tokio::test(start_paused = true)]
async fn a_message_is_forgotten_after_its_retention() {
    let (memory, ports) = memory();
    send(&ports, Duration::ZERO).await;
    ports.clock.sleep(DAY * 4).await;
    assert!(memory.queue().messages(&default()).is_empty());
    assert_eq!(
        ports.queue.depth(&default()).await.unwrap(),
        Depth::default()
    );
    assert!(receive(&ports, 1, Duration::ZERO).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_message_is_hidden_for_12_hours_in_all() {
    let (_, ports) = memory();
    send(&ports, Duration::ZERO).await;
    let got = receive(&ports, 1, Duration::ZERO).await;
    ports.clock.sleep(SECOND).await;
    let hide = |duration| {
        ports
            .queue
            .hide_many(&got[0].queue, vec![(got[0].receipt.clone(), duration)])
    };
    let too_long = hide(MAX_HIDE).await.unwrap().remove(0).unwrap_err();
    assert_eq!(too_long.kind(), ErrorKind::Invalid);
    hide(MAX_HIDE - SECOND).await.unwrap().remove(0).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_fifo_queue_forgets_a_deduplication_id_after_five_minutes() {
    let (memory, ports) = memory();
    memory.queue().define("q.fifo", QueueSettings::default());
    let queue = QueueName::new("q.fifo");
    let send = || async {
        let message = Outgoing {
            group: Some("g".to_owned()),
            dedup: Some("d".to_owned()),
            ..Outgoing::new("hello")
        };
        ports
            .queue
            .send(&queue, vec![message])
            .await
            .unwrap()
            .remove(0)
            .unwrap()
            .message_id
    };
    let first = send().await;
    ports.clock.sleep(SECOND * 299).await;
    assert_eq!(send().await, first);
    ports.clock.sleep(SECOND).await;
    assert_ne!(send().await, first);
    assert_eq!(memory.queue().messages(&queue).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_ids() {
    let ids = |memory: &Memory| {
        memory
            .queue()
            .messages(&default())
            .into_iter()
            .map(|m| m.message_id)
            .collect::<Vec<_>>()
    };
    let ((one, one_ports), (two, two_ports)) = (memory(), memory());
    send(&one_ports, Duration::ZERO).await;
    send(&two_ports, Duration::ZERO).await;
    assert_eq!(ids(&one), ids(&two));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_queue_is_named_with_those_that_are_known() {
    let (_, ports) = memory();
    let error = ports
        .queue
        .send(&"nope".into(), vec![Outgoing::new("a")])
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no queue named `nope`: SEDANO_QUEUES names `dead-letters`, `default`, `quarantine`, `undelivered`"
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_queue_for_the_reaper_what_is_given_up_is_a_dead_letter() {
    let mut config = Config::memory();
    config
        .queues
        .remove(&QueueName::new(QueueName::UNDELIVERED));
    let memory = Memory::new(&config);
    let ports = memory.ports();
    let queue = default();
    send(&ports, Duration::ZERO).await;
    for _ in 0..11 {
        let received = ports.queue.receive(&queue, 1, Duration::ZERO).await;
        received.unwrap();
        ports.clock.sleep(SECOND * 90).await;
    }
    assert_eq!(memory.queue().dead_letters()[0].body, "hello");
}
