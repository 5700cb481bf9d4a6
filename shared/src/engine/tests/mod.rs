//! The engine's behaviour on the ports in memory, in virtual time.

mod batch;
mod budget;
mod canvas;
mod death;
mod edges;
mod faults;
mod groups;
mod grow;
mod handles;
mod middleware;
mod mortal;
mod order;
mod outage;
mod outbox;
mod parked;
mod reap;
mod redrive;
mod report;
mod retry;
mod revoked;
mod routing;
mod steps;
mod stuck;
mod time;
mod unique;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::config::Config;
use crate::entropy::SeededEntropy;
use crate::memory::{Counts, Memory, QueueSettings, StoredMessage, TokioClock};
use crate::ports::{BATCH_ENTRIES, Delivery, Item, Outgoing, QueueName, Table};
use crate::{
    App, Context, Disposition, Invocation, Record, ResultExt, SoftTimeLimit, State, TaskError,
    Timestamp, Worker, task, tasks,
};

/// Counts the runs that began.
#[derive(Clone, Default)]
struct Runs(Arc<AtomicU32>);

impl Runs {
    fn begin(&self) -> u32 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

#[task]
async fn add(#[state] runs: &Runs, x: i64, y: i64) -> Result<i64, TaskError> {
    runs.begin();
    Ok(x + y)
}

#[task(idempotent)]
async fn add_again(#[state] runs: &Runs, x: i64, y: i64) -> Result<i64, TaskError> {
    runs.begin();
    Ok(x + y)
}

#[task(idempotent, ignore_result)]
async fn add_quietly(x: i64, y: i64) -> Result<i64, TaskError> {
    Ok(x + y)
}

#[task]
async fn fail(message: String) -> Result<(), String> {
    Err(message)
}

#[task(expires = secs(60), retry)]
async fn hurried() -> Result<(), &'static str> {
    Err("disk")
}

#[task]
async fn panics() {
    panic!("at the disco");
}

#[task(time_limit = secs(2))]
async fn limited(#[ctx] ctx: &Context) {
    ctx.app().ports().clock.sleep(Duration::from_secs(10)).await;
}

#[task(soft_time_limit = secs(1))]
async fn gives_up(#[ctx] ctx: &Context) -> Result<(), TaskError> {
    ctx.soft_time_limit().await;
    Err(SoftTimeLimit(Duration::from_secs(1)).into())
}

#[task]
async fn slow(#[state] runs: &Runs, #[ctx] ctx: &Context, seconds: u64) -> Result<u32, TaskError> {
    let run = runs.begin();
    ctx.app()
        .ports()
        .clock
        .sleep(Duration::from_secs(seconds))
        .await;
    Ok(run)
}

/// Never returns: what its process dies with.
#[task]
async fn crash(#[state] runs: &Runs) {
    runs.begin();
    std::future::pending().await
}

#[task(max_retries = 3, backoff = exponential(secs(2)).jitter(false))]
async fn flaky(#[ctx] ctx: &Context, failures: u32) -> Result<u32, TaskError> {
    if ctx.retries() < failures {
        Err(std::io::Error::other("disk")).retry()?;
    }
    Ok(ctx.retries())
}

#[task]
async fn answer(#[ctx] ctx: &Context, how: String) -> Result<String, TaskError> {
    match how.as_str() {
        "ignore" => Err(TaskError::ignore()),
        "reject" => Err(TaskError::reject("poison")),
        "snooze" if ctx.started_at() < ctx.app().now() + Duration::from_secs(1) => {
            Err(TaskError::snooze(Duration::from_secs(30)))
        }
        "large" => Ok("x".repeat(500_000)),
        "wait" => match ctx.app().wait("other", Duration::from_secs(1)).await {
            Err(error) => Ok(format!("{:?}", error.kind())),
            Ok(_) => Ok("waited".to_owned()),
        },
        _ => Err(TaskError::permanent("how?")),
    }
}

/// Ports, a worker, and time that moves by sleeping only.
struct World {
    memory: Memory,
    worker: Worker,
    runs: Runs,
}

impl World {
    fn new() -> Self {
        Self::with(Config::memory())
    }

    fn with(config: Config) -> Self {
        let start = Timestamp::from_millis(1_772_366_400_000);
        let clock = Arc::new(TokioClock::starting_at(start));
        let memory = Memory::with(&config, clock, Arc::new(SeededEntropy::new(1)));
        let runs = Runs::default();
        let worker = Worker::new(memory.app())
            .tasks(tasks![
                add,
                add_again,
                add_quietly,
                fail,
                panics,
                limited,
                gives_up
            ])
            .tasks(tasks![slow, crash, flaky, answer, hurried])
            .state(runs.clone());
        worker.check().unwrap();
        Self {
            memory,
            worker,
            runs,
        }
    }

    fn app(&self) -> &App {
        self.worker.app()
    }

    /// Sends a body as it is.
    async fn send_body(&self, queue: &str, body: impl Into<String>) -> String {
        let queue = QueueName::new(queue);
        let mut outgoing = Outgoing::new(body);
        if queue.is_fifo() {
            outgoing.group = Some("g".to_owned());
            outgoing.dedup = Some(crate::id::derived(&[&outgoing.body]));
        }
        let sent = self
            .app()
            .ports()
            .queue
            .send(&queue, vec![outgoing])
            .await
            .unwrap();
        sent.into_iter().next().unwrap().unwrap().message_id
    }

    /// Sends a call by hand; the id is the MessageId.
    async fn send(&self, task: &str, args: Value) -> String {
        self.send_body("default", json!({"task": task, "args": args}).to_string())
            .await
    }

    async fn receive(&self, queue: &str) -> Vec<Delivery> {
        let queue = QueueName::new(queue);
        let most = if queue.as_str() == QueueName::QUARANTINE {
            1
        } else {
            BATCH_ENTRIES
        };
        self.app()
            .ports()
            .queue
            .receive(&queue, most, Duration::ZERO)
            .await
            .unwrap()
    }

    /// What working on these costs, in a process that has read the revocations, as any has every five seconds.
    async fn cost(&self, deliveries: &[Delivery]) -> Counts {
        self.worker.revocations().read(self.app()).await.unwrap();
        let before = self.memory.counts();
        let dispositions = self.worker.handle(deliveries, &self.invocation()).await;
        assert_eq!(dispositions, vec![Disposition::Done; deliveries.len()]);
        self.memory.counts().since(&before)
    }

    fn invocation(&self) -> Invocation {
        let id = crate::id::fresh(&*self.app().ports().clock, &*self.app().ports().entropy);
        Invocation {
            id,
            deadline: self.app().now() + Duration::from_secs(60),
        }
    }

    /// One receive, worked on and acknowledged as a Lambda event source mapping would.
    async fn step(&self, queue: &str) -> Vec<Disposition> {
        let deliveries = self.receive(queue).await;
        let dispositions = self.worker.handle(&deliveries, &self.invocation()).await;
        self.acknowledge(&deliveries, &dispositions).await;
        dispositions
    }

    async fn acknowledge(&self, deliveries: &[Delivery], dispositions: &[Disposition]) {
        let done = deliveries.iter().zip(dispositions);
        let done = done.filter(|(_, disposition)| **disposition == Disposition::Done);
        for (delivery, _) in done {
            let receipts = vec![delivery.receipt.clone()];
            let queue = &self.app().ports().queue;
            for deleted in queue.delete_many(&delivery.queue, receipts).await.unwrap() {
                deleted.unwrap();
            }
        }
    }

    /// One receive whose process dies after that long.
    async fn die(&self, queue: &str, after: Duration) -> usize {
        let deliveries = self.receive(queue).await;
        let clock = &self.app().ports().clock;
        let invocation = self.invocation();
        tokio::select! {
            biased;
            dispositions = self.worker.handle(&deliveries, &invocation) => {
                panic!("nobody died: {dispositions:?}")
            }
            () = clock.sleep(after) => {}
        }
        deliveries.len()
    }

    /// A FIFO queue that gives a message up after so many receives.
    fn gives_up(&self, queue: &str, receives: u32) {
        let settings = QueueSettings {
            max_receive_count: receives,
            dead_letter_queue: Some("undelivered.fifo".into()),
            ..QueueSettings::default()
        };
        self.memory.queue().define(queue, settings);
    }

    async fn pass(&self, seconds: u64) {
        self.app()
            .ports()
            .clock
            .sleep(Duration::from_secs(seconds))
            .await;
    }

    async fn record(&self, id: &str) -> Record {
        self.app().record(id).await.unwrap()
    }

    async fn status(&self, id: &str) -> State {
        self.record(id).await.status
    }

    fn item(&self, id: &str) -> Item {
        let items = self.memory.store().items(Table::Results);
        let found = items
            .into_iter()
            .find(|item| item["id"].as_text() == Some(id));
        found.unwrap_or_else(|| panic!("no record {id}"))
    }

    fn messages(&self, queue: &str) -> Vec<StoredMessage> {
        self.memory.queue().messages(&QueueName::new(queue))
    }
}
