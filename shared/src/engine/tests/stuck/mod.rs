//! Groups whose members were lost: a queue was purged, a process died, a table was restored.

mod looks;
mod lost;

use super::canvas::{call, replaced, world, xsum};
use super::mortal::{Mortal, survives};
use super::*;
use crate::beat::Beat;
use crate::group::member_id;
use crate::message::FanOut;
use crate::ports::{Change, Key, Op, When, Write};
use crate::record::field;
use crate::watch;

pub(super) const HOUR: u64 = 3600;
pub(super) const DAY: u64 = 24 * HOUR;

fn numbers(members: i64) -> Vec<Value> {
    (0..members).map(|n| call("add", json!([n, 0]))).collect()
}

fn chord(members: impl Into<Value>) -> Value {
    json!({ "chord": members.into(), "body": call("xsum", json!([])) })
}

impl World {
    /// Sends a composition by hand and has its first message worked on.
    pub(super) async fn open(&self, canvas: &Value) -> String {
        Beat::new().tick(self.app()).await.unwrap();
        let id = self.send_body("default", canvas.to_string()).await;
        self.step("default").await;
        id
    }

    /// Takes so many messages out of the queue for good.
    fn lose(&self, mut messages: usize) {
        self.lose_those(|_| {
            let is_lost = messages > 0;
            messages = messages.saturating_sub(1);
            is_lost
        });
        assert_eq!(messages, 0, "there is nothing to lose");
    }

    fn lose_all(&self) {
        self.lose_those(|_| true);
    }

    pub(super) fn lose_those(&self, is_lost: impl FnMut(&str) -> bool) -> usize {
        let queue = QueueName::new(QueueName::DEFAULT);
        self.memory.queue().lose(&queue, is_lost)
    }

    /// Ticks and works for so long; how many messages were sent to the queue.
    pub(super) async fn live(&self, seconds: u64) -> u64 {
        let until = self.app().now() + Duration::from_secs(seconds);
        let before = self.memory.counts();
        while self.app().now() < until {
            self.pass(60).await;
            Beat::new().tick(self.app()).await.unwrap();
            while !self.step("default").await.is_empty() {}
        }
        let sent = self.memory.counts().since(&before);
        sent.of("SendMessageBatch") + sent.of("SendMessage")
    }

    /// The same, while everything but the looks is lost at once; until the task has ended.
    pub(super) async fn live_among_purges(&self, id: &str, seconds: u64) {
        let until = self.app().now() + Duration::from_secs(seconds);
        while self.app().now() < until && !self.status(id).await.is_final() {
            self.pass(600).await;
            Beat::new().tick(self.app()).await.unwrap();
            loop {
                self.lose_those(|body| !body.contains("\"check\""));
                let looks = self.receive("default").await;
                if looks.is_empty() {
                    break;
                }
                let done = self.worker.handle(&looks, &self.invocation()).await;
                self.acknowledge(&looks, &done).await;
                if self.status(id).await.is_final() {
                    return;
                }
            }
        }
    }

    async fn set(&self, key: Key, changes: Vec<Change>) {
        let write = Write {
            key,
            op: Op::Update(changes),
            when: When::Present,
        };
        let outcome = self.app().ports().store.write(write).await.unwrap();
        assert!(
            matches!(outcome, crate::ports::Outcome::Applied(_)),
            "{outcome:?}"
        );
    }

    /// The group that is under way.
    pub(super) fn group(&self) -> String {
        let items = self.memory.store().items(Table::Results);
        let group = items.iter().find(|item| item.contains_key(field::SIZE));
        group.unwrap()["id"].as_text().unwrap().to_owned()
    }

    fn watches(&self) -> usize {
        let items = self.memory.store().items(Table::State);
        let pks = items.iter().filter_map(|item| item.get("pk")?.as_text());
        pks.filter(|pk| pk.starts_with("groups#")).count()
    }

    /// The message of a look at a group that was opened lately.
    pub(super) async fn send_check(&self, group: &str) {
        let check = FanOut::check(group, watch::span(self.app().now()));
        self.send_body("default", check.encode().unwrap()).await;
    }
}
