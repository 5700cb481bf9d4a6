//! Steps of a task whose values survive the run they were made in.
//!
//! They lie in the task's own record, as JSON texts by their names, written under the fence of its
//! claim: a run that has lost its lease writes none. A claim that isn't the first tells the item as it
//! was, so reading them back costs nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Mutex;

use crate::engine::{Branch, reached};
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Attribute, Change, Item, Key, Op, Outcome, Ports, When, Write};
use crate::record::{self, field};
use crate::report::Reports;
use crate::time::Timestamp;

/// The most bytes that the checkpoints of one task hold together, names and values.
pub(crate) const CHECKPOINT_BYTES: usize = 100 * 1024;

/// What a run's checkpoints are at, and where they go.
#[derive(Debug, Default)]
pub(crate) struct Checkpoints {
    values: Mutex<BTreeMap<String, String>>,
    /// Whether the record has any.
    any: AtomicBool,
    claim: Option<Claimed>,
}

/// The claim that fences what is written.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) key: Key,
    pub(crate) fence: When,
    /// Until when a write that fails is tried again.
    pub(crate) until: Timestamp,
}

impl Checkpoints {
    /// Those of earlier runs; without a claim, none can be added.
    pub(crate) fn new(values: BTreeMap<String, String>, claim: Option<Claimed>) -> Self {
        Self {
            any: AtomicBool::new(!values.is_empty()),
            values: Mutex::new(values),
            claim,
        }
    }

    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    pub(crate) async fn get(&self, name: &str) -> Option<String> {
        self.values.lock().await.get(name).cloned()
    }

    /// Writes one down, with those there are, and with what the run has to report.
    ///
    /// # Errors
    /// `Invalid` without a claim, `TooLarge` over [`CHECKPOINT_BYTES`], `Conflict` when the claim is
    /// lost, and what the store says when it still does at the end of the run.
    pub(crate) async fn set(
        &self,
        ports: &Ports,
        reports: &Reports,
        name: &str,
        json: String,
    ) -> Result<()> {
        let Some(claim) = &self.claim else {
            let what = "an idempotent task has no claim to keep checkpoints under: \
                        take `idempotent` away, or the checkpoint";
            return Err(Error::new(ErrorKind::Invalid, what));
        };
        // Steps that run side by side write one after the other.
        let mut values = self.values.lock().await;
        let mut changed = values.clone();
        changed.insert(name.to_owned(), json);
        let bytes: usize = changed
            .iter()
            .map(|(name, json)| name.len() + json.len())
            .sum();
        if bytes > CHECKPOINT_BYTES {
            let what = format!(
                "with checkpoint `{name}` the checkpoints of this task have {bytes} bytes; \
                 {CHECKPOINT_BYTES} is the most: keep a reference to the data instead"
            );
            return Err(Error::new(ErrorKind::TooLarge, what));
        }
        let value = Attribute::Map(
            changed
                .iter()
                .map(|(name, json)| (name.clone().into(), json.as_str().into()))
                .collect(),
        );
        let reported = reports.along();
        let mut changes = vec![Change::Set(field::CHECKPOINTS.into(), value)];
        changes.extend(reported.changes());
        let write = Write {
            key: claim.key.clone(),
            op: Op::Update(changes),
            when: claim.fence.clone(),
        };
        let first = ports.store.write(write.clone()).await;
        let outcome = record::insist(ports, &write, first, claim.until).await;
        reported.wrote(&outcome);
        match outcome? {
            Outcome::Applied(_) => {
                reached(Branch::CheckpointKept);
                *values = changed;
                self.any.store(true, Ordering::Relaxed);
                Ok(())
            }
            Outcome::Refused(_) => {
                let what = format!("checkpoint `{name}` came too late: the run lost its lease");
                Err(Error::new(ErrorKind::Conflict, what))
            }
        }
    }
}

/// The checkpoints an item holds.
pub(crate) fn of(item: &Item) -> BTreeMap<String, String> {
    let Some(Attribute::Map(map)) = item.get(field::CHECKPOINTS) else {
        return BTreeMap::new();
    };
    map.iter()
        .filter_map(|(name, json)| Some((name.clone().into_owned(), json.as_text()?.to_owned())))
        .collect()
}
