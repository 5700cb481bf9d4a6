//! Processes that die between any two calls.

use std::sync::atomic::AtomicUsize;

use async_trait::async_trait;

use super::*;
use crate::error::Result;
use crate::ports::{Depth, Key, Outcome, Page, Ports, Queue, Receipt, Sent, Store, Write};

/// Ports whose process makes so many calls and no more: the next one never begins.
pub(super) struct Mortal {
    ports: Ports,
    left: AtomicUsize,
}

impl Mortal {
    pub(super) fn app(world: &World, calls: usize) -> App {
        let ports = world.app().ports().clone();
        let mortal = Arc::new(Self {
            ports: ports.clone(),
            left: AtomicUsize::new(calls),
        });
        let ports = Ports {
            queue: mortal.clone(),
            store: mortal,
            ..ports
        };
        App::new(ports, world.app().config().clone())
    }

    async fn live(&self) {
        let one_less = |left: usize| left.checked_sub(1);
        let alive = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        if alive.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Store for Mortal {
    async fn get(&self, key: &Key) -> Result<Option<Item>> {
        self.live().await;
        self.ports.store.get(key).await
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Item>>> {
        self.live().await;
        self.ports.store.get_many(keys).await
    }

    async fn query(&self, pk: &str, after: Option<&str>, limit: u32) -> Result<Page> {
        self.live().await;
        self.ports.store.query(pk, after, limit).await
    }

    async fn write(&self, write: Write) -> Result<Outcome> {
        self.live().await;
        self.ports.store.write(write).await
    }

    async fn write_many(&self, writes: Vec<Write>) -> Vec<Result<Outcome>> {
        self.live().await;
        self.ports.store.write_many(writes).await
    }
}

#[async_trait]
impl Queue for Mortal {
    async fn send(&self, queue: &QueueName, batch: Vec<Outgoing>) -> Result<Vec<Result<Sent>>> {
        self.live().await;
        self.ports.queue.send(queue, batch).await
    }

    async fn receive(
        &self,
        queue: &QueueName,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        self.live().await;
        self.ports.queue.receive(queue, max, wait).await
    }

    async fn delete_many(
        &self,
        queue: &QueueName,
        receipts: Vec<Receipt>,
    ) -> Result<Vec<Result<()>>> {
        self.live().await;
        self.ports.queue.delete_many(queue, receipts).await
    }

    async fn hide_many(
        &self,
        queue: &QueueName,
        changes: Vec<(Receipt, Duration)>,
    ) -> Result<Vec<Result<()>>> {
        self.live().await;
        self.ports.queue.hide_many(queue, changes).await
    }

    async fn depth(&self, queue: &QueueName) -> Result<Depth> {
        self.live().await;
        self.ports.queue.depth(queue).await
    }

    async fn purge(&self, queue: &QueueName) -> Result<()> {
        self.live().await;
        self.ports.queue.purge(queue).await
    }
}

/// What the work came to, unless its process died.
pub(super) async fn survives<T>(world: &World, work: impl Future<Output = T>) -> Option<T> {
    let clock = &world.app().ports().clock;
    tokio::select! {
        biased;
        done = work => Some(done),
        () = clock.sleep(Duration::from_secs(30)) => None,
    }
}
