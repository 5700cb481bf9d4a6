//! What the same work would have cost on AWS: calls by operation, and DynamoDB's units.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Calls as the AWS adapter would have made them, and the units they would have used.
///
/// ```
/// # async fn run() -> sedano::Result<()> {
/// use sedano::memory::Memory;
/// use sedano::ports::Key;
///
/// let memory = Memory::new(&sedano::Config::memory());
/// let before = memory.counts();
/// memory.ports().store.get(&Key::Result("t1".into())).await?;
/// let used = memory.counts().since(&before);
/// assert_eq!((used.of("GetItem"), used.write_units), (1, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Calls by the name of the operation, such as `UpdateItem` or `SendMessageBatch`.
    pub calls: BTreeMap<&'static str, u64>,
    /// Write units: for each write those of the larger of the item before and after, at least one,
    /// refused writes included.
    pub write_units: u64,
    /// Read units of strongly consistent reads: one for each 4 KB begun, at least one.
    pub read_units: u64,
}

impl Counts {
    /// How many calls of this operation were made.
    pub fn of(&self, operation: &str) -> u64 {
        self.calls.get(operation).copied().unwrap_or(0)
    }

    /// What was added since an earlier reading; operations without a new call are left out.
    #[must_use]
    pub fn since(&self, earlier: &Counts) -> Counts {
        let calls = self.calls.iter().filter_map(|(operation, count)| {
            let new = count.saturating_sub(earlier.of(operation));
            (new > 0).then_some((*operation, new))
        });
        Counts {
            calls: calls.collect(),
            write_units: self.write_units.saturating_sub(earlier.write_units),
            read_units: self.read_units.saturating_sub(earlier.read_units),
        }
    }
}

/// The counter that the adapters of one [`Memory`](super::Memory) share.
#[derive(Debug, Default)]
pub(super) struct Counter(Mutex<Counts>);

impl Counter {
    pub(super) fn call(&self, operation: &'static str) {
        *self.lock().calls.entry(operation).or_default() += 1;
    }

    pub(super) fn wrote(&self, units: usize) {
        self.lock().write_units += units as u64;
    }

    pub(super) fn read(&self, bytes: usize) {
        self.lock().read_units += bytes.div_ceil(4096).max(1) as u64;
    }

    pub(super) fn counts(&self) -> Counts {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Additions are all that happens under the lock, so a poisoned one is as good.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
