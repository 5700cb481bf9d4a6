//! Groups on ports that are slow, or fail once.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use async_trait::async_trait;

use super::*;
use crate::error::Result;
use crate::ports::{Depth, Key, Ports, Queue, Receipt, Sent};
use crate::tests::faulty::{Call, Fault, faulty};

/// Ports whose sends take a while, and whose reads of many records take so many seconds.
struct Slow {
    ports: Ports,
    /// What can't be read once.
    refused: Mutex<Option<Key>>,
    reads: AtomicU64,
    /// The bytes on their way to the queue, and the most there ever were.
    sending: AtomicUsize,
    most: AtomicUsize,
}

impl Slow {
    fn world() -> (World, Arc<Self>) {
        let (mut world, told) = world();
        let ports = world.app().ports().clone();
        let slow = Arc::new(Self {
            ports: ports.clone(),
            refused: Mutex::default(),
            reads: AtomicU64::new(0),
            sending: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        let told_by = slow.clone();
        let ports = Ports {
            queue: slow.clone(),
            ..faulty(&ports, move |call| told_by.fault(&call))
        };
        let app = App::new(ports, world.app().config().clone());
        world.worker = Worker::new(app)
            .tasks(tasks![add, echo, xsum])
            .state(world.runs.clone())
            .state(told);
        (world, slow)
    }

    fn fault(&self, call: &Call<'_>) -> Fault {
        match call {
            Call::Get(key) => {
                let mut refused = self.refused.lock().unwrap();
                match refused.take_if(|refused| *refused == **key) {
                    Some(_) => Fault::Throttled,
                    None => Fault::None,
                }
            }
            Call::GetMany => Fault::Slow(self.reads.load(Ordering::Relaxed)),
            _ => Fault::None,
        }
    }
}

#[async_trait]
impl Queue for Slow {
    async fn send(&self, queue: &QueueName, batch: Vec<Outgoing>) -> Result<Vec<Result<Sent>>> {
        let bytes = batch.iter().map(Outgoing::size).sum();
        let sending = self.sending.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.most.fetch_max(sending, Ordering::Relaxed);
        self.ports.clock.sleep(Duration::from_millis(10)).await;
        self.sending.fetch_sub(bytes, Ordering::Relaxed);
        self.ports.queue.send(queue, batch).await
    }

    async fn receive(
        &self,
        queue: &QueueName,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        self.ports.queue.receive(queue, max, wait).await
    }

    async fn delete_many(
        &self,
        queue: &QueueName,
        receipts: Vec<Receipt>,
    ) -> Result<Vec<Result<()>>> {
        self.ports.queue.delete_many(queue, receipts).await
    }

    async fn hide_many(
        &self,
        queue: &QueueName,
        changes: Vec<(Receipt, Duration)>,
    ) -> Result<Vec<Result<()>>> {
        self.ports.queue.hide_many(queue, changes).await
    }

    async fn depth(&self, queue: &QueueName) -> Result<Depth> {
        self.ports.queue.depth(queue).await
    }

    async fn purge(&self, queue: &QueueName) -> Result<()> {
        self.ports.queue.purge(queue).await
    }
}

/// Of one of them another copy was done with meanwhile: its message can't make good what failed.
#[tokio::test(start_paused = true)]
async fn whoever_completes_a_group_together_goes_on_together() {
    let (world, ports) = Slow::world();
    let numbers = [call("add", json!([1, 1])), call("add", json!([2, 2]))];
    let group = json!({ "group": [{ "group": numbers }], "id": "g" }).to_string();
    world.send_body("default", group).await;
    world.step("default").await;
    world.step("default").await;
    *ports.refused.lock().unwrap() = Some(Key::Result("g".to_owned()));
    assert_eq!(world.step("default").await, [Disposition::Returned; 2]);
    let first = member_id(&member_id("g", 0), 0);
    world.lose_messages(&first);
    world.work_off().await;
    assert_eq!(world.status("g").await, State::Success);
    assert_eq!(world.runs.count(), 2);
}

/// What each member is handed is in memory for some of them at a time.
#[tokio::test(start_paused = true)]
async fn a_large_result_is_handed_to_a_few_members_at_a_time() {
    const LARGE: usize = 300_000;
    let (world, slow) = Slow::world();
    let large = "x".repeat(LARGE);
    let member = json!({ "task": "echo", "ignore_result": true });
    let group = json!({ "group": vec![member; 60], "id": "g" });
    let chain = json!({ "chain": [call("echo", json!([large])), group] });
    world.send_body("default", chain.to_string()).await;
    world.step("default").await;
    slow.most.store(0, Ordering::Relaxed);
    assert_eq!(world.step("default").await, [Disposition::Done]);
    assert_eq!(world.messages("default").len(), 60);
    let most = slow.most.load(Ordering::Relaxed);
    assert!(most > 3_000_000 && most < 4_500_000, "{most}");
}

/// A body whose argument takes too long to be read is handed back in time, and at last given up.
#[tokio::test(start_paused = true)]
async fn results_are_read_within_the_invocation() {
    for reads in [2, 100] {
        let (world, slow) = Slow::world();
        let members: Vec<Value> = (0..120).map(|n| call("add", json!([n, 0]))).collect();
        let chord = json!({ "chord": members, "body": call("xsum", json!([])) });
        let id = world.send_body("default", chord.to_string()).await;
        for _ in 0..13 {
            world.step("default").await;
        }
        slow.reads.store(100, Ordering::Relaxed);
        let mut handed_back = 0;
        while !world.status(&id).await.is_final() {
            let deadline = world.invocation().deadline;
            for disposition in world.step("default").await {
                if disposition == Disposition::Returned {
                    assert!(world.app().now() < deadline);
                    assert_eq!(world.status(&id).await, State::Retry, "nobody holds it");
                    handed_back += 1;
                }
            }
            if handed_back == reads {
                slow.reads.store(0, Ordering::Relaxed);
            }
            world.pass(5).await;
        }
        let record = world.record(&id).await;
        if reads == 2 {
            assert_eq!(record.result, Some(json!(119 * 60)));
            assert_eq!(handed_back, 2);
        } else {
            let error = record.error.unwrap();
            assert_eq!(handed_back, 5);
            assert!(
                error.message.contains("could not be read in the 58 s"),
                "{error}"
            );
            assert!(world.messages("default").is_empty());
        }
    }
}
