//! The two tables in memory, with the semantics of DynamoDB.
//!
//! Conditional writes with their outcomes, item sizes, values as they are read back, write units,
//! late TTL. In `batch` mode an outcome leaves untold what `BatchExecuteStatement` doesn't tell.

mod evaluate;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use self::evaluate::{changed, check_key, holds, stored};
use super::counts::Counter;
use crate::config::StoreWrites;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{self, Plan};
use crate::ports::{
    Attribute, BATCH_READS, Change, Clock, ITEM_BYTES, Item, Key, Op, Outcome, PAGE_BYTES, Page,
    Store, Table, Write, item_size, write_units,
};

/// The attribute that DynamoDB expires items by: seconds since 1970.
const TTL: &str = "ttl";

/// A [`Store`] in memory.
pub struct MemoryStore {
    items: Mutex<BTreeMap<Key, Item>>,
    mode: StoreWrites,
    clock: Arc<dyn Clock>,
    counter: Arc<Counter>,
}

impl MemoryStore {
    pub(super) fn new(mode: StoreWrites, clock: Arc<dyn Clock>, counter: Arc<Counter>) -> Self {
        Self {
            items: Mutex::default(),
            mode,
            clock,
            counter,
        }
    }

    /// Every item of a table, by key.
    pub fn items(&self, table: Table) -> Vec<Item> {
        let items = self.lock();
        items
            .iter()
            .filter(|(key, _)| key.table() == table)
            .map(|(_, item)| item.clone())
            .collect()
    }

    /// Removes the items whose `ttl` has passed, as DynamoDB does some hours or days late, and says
    /// how many. Until it is called they can be read.
    pub fn sweep(&self) -> usize {
        let now = self.clock.now().as_secs();
        let mut items = self.lock();
        let before = items.len();
        items.retain(|_, item| {
            item.get(TTL)
                .and_then(Attribute::as_number)
                .is_none_or(|ttl| ttl >= now)
        });
        before - items.len()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Item>> {
        // Items are replaced as a whole, so a poisoned lock holds good ones.
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the write, as a statement, would fail for an attribute it reads and doesn't find:
    /// then the service's adapter repeats it singly.
    fn fails_as_statement(&self, write: &Write) -> bool {
        let Op::Update(changes) = &write.op else {
            return false;
        };
        let items = self.lock();
        let Some(item) = items.get(&write.key) else {
            return false;
        };
        holds(&write.when, Some(item)).unwrap_or(false)
            && changes.iter().any(|change| match change {
                Change::Add(name, _) => !item.contains_key(name),
                _ => false,
            })
    }

    fn apply(&self, write: Write) -> Result<Outcome> {
        check_key(&write.key)?;
        let put = match &write.op {
            // A put that is too large is refused whatever its condition says.
            Op::Put(item) => Some(sized(&write.key, stored(&write.key, item)?)?),
            Op::Update(_) | Op::Delete => None,
        };
        let mut items = self.lock();
        let before = items.get(&write.key);
        let size_before = before.map_or(0, item_size);
        if !holds(&write.when, before)? {
            self.counter.wrote(write_units(size_before));
            return Ok(Outcome::Refused(before.cloned()));
        }
        let after = match &write.op {
            Op::Put(_) => put,
            Op::Update(changes) => Some(sized(&write.key, changed(changes, &write.key, before)?)?),
            Op::Delete => None,
        };
        let size_after = after.as_ref().map_or(0, item_size);
        self.counter.wrote(write_units(size_before.max(size_after)));
        let before = match after {
            Some(item) => items.insert(write.key, item),
            None => items.remove(&write.key),
        };
        Ok(Outcome::Applied(before))
    }
}

fn sized(key: &Key, item: Item) -> Result<Item> {
    let size = item_size(&item);
    if size > ITEM_BYTES {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!("the item {key:?} has {size} bytes: DynamoDB takes at most {ITEM_BYTES}"),
        ));
    }
    Ok(item)
}

/// The outcome without what a batch of statements leaves untold.
fn untold(op: &Op, outcome: Outcome) -> Outcome {
    match (op, outcome) {
        (_, Outcome::Applied(_)) => Outcome::Applied(None),
        (Op::Put(_), Outcome::Refused(_)) => Outcome::Refused(None),
        (_, refused) => refused,
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &Key) -> Result<Option<Item>> {
        check_key(key)?;
        let item = self.lock().get(key).cloned();
        self.counter.call("GetItem");
        self.counter.read(item.as_ref().map_or(0, item_size));
        Ok(item)
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Item>>> {
        keys.iter().try_for_each(check_key)?;
        for keys in keys.chunks(BATCH_READS) {
            let items = self.lock();
            let sizes: Vec<usize> = keys
                .iter()
                .map(|key| items.get(key).map_or(0, item_size))
                .collect();
            drop(items);
            self.counter.call("BatchGetItem");
            sizes.into_iter().for_each(|size| self.counter.read(size));
        }
        let items = self.lock();
        Ok(keys.iter().map(|key| items.get(key).cloned()).collect())
    }

    async fn query(&self, pk: &str, after: Option<&str>, limit: u32) -> Result<Page> {
        let first = Key::State(pk.to_owned(), after.unwrap_or("-").to_owned());
        check_key(&first)?;
        let limit = usize::try_from(limit.max(1)).unwrap_or(usize::MAX);
        let items = self.lock();
        let start = Key::State(pk.to_owned(), after.unwrap_or("").to_owned());
        let mut rest = items
            .range((Bound::Excluded(start), Bound::Unbounded))
            .map_while(|(key, item)| match key {
                Key::State(of, sk) if of == pk => Some((sk, item)),
                _ => None,
            });
        let (mut page, mut size) = (Page::default(), 0);
        for (sk, item) in rest.by_ref() {
            size += item_size(item);
            page.items.push(item.clone());
            if page.items.len() == limit || size >= PAGE_BYTES {
                page.next = Some(sk.clone());
                break;
            }
        }
        self.counter.call("Query");
        self.counter.read(size);
        Ok(page)
    }

    async fn write(&self, write: Write) -> Result<Outcome> {
        self.counter.call(match write.op {
            Op::Put(_) => "PutItem",
            Op::Update(_) => "UpdateItem",
            Op::Delete => "DeleteItem",
        });
        self.apply(write)
    }

    async fn write_many(&self, writes: Vec<Write>) -> Vec<Result<Outcome>> {
        let plan = Plan::new(&writes, self.mode);
        let mut outcomes = Vec::with_capacity(writes.len());
        for (index, write) in writes.into_iter().enumerate() {
            outcomes.push(if plan.repeated.contains(&index) {
                Err(plan::repeated(&write))
            } else if plan.single.contains(&index) || self.fails_as_statement(&write) {
                self.write(write).await
            } else {
                let op = write.op.clone();
                self.apply(write).map(|outcome| untold(&op, outcome))
            });
        }
        for _ in &plan.batches {
            self.counter.call("BatchExecuteStatement");
        }
        outcomes
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.lock().keys()).finish()
    }
}

#[cfg(test)]
mod tests;
