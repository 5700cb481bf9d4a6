//! Who else is at work in this process.
//!
//! A process that dies takes along everything that was running, and nothing tells whose fault it was. So
//! what was running when a process died runs next with nobody beside it: in the quarantine queue, which
//! gives out one message at a time, or, where a message can't leave its queue, here, after its
//! neighbours are done. A death is then its own.

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The lanes of one batch.
pub(super) struct Company {
    lanes: usize,
    at_work: RwLock<()>,
}

/// A lane's place among them, held while it works.
pub(super) struct Seat<'c> {
    company: &'c Company,
    guard: Guard<'c>,
}

enum Guard<'c> {
    /// Others may be at work.
    Shared(#[expect(dead_code, reason = "held, not read")] RwLockReadGuard<'c, ()>),
    /// Nobody else is.
    Alone(#[expect(dead_code, reason = "held, not read")] RwLockWriteGuard<'c, ()>),
    /// Between the two.
    Waiting,
}

impl Company {
    pub(super) fn of(lanes: usize) -> Self {
        Self {
            lanes,
            at_work: RwLock::new(()),
        }
    }

    /// A seat for one lane, taken before any lane works.
    pub(super) async fn seat(&self) -> Seat<'_> {
        Seat {
            company: self,
            guard: Guard::Shared(self.at_work.read().await),
        }
    }
}

impl Seat<'_> {
    /// Whether a death of the process would be the fault of what this lane runs.
    pub(super) fn is_alone(&self) -> bool {
        self.company.lanes == 1 || matches!(self.guard, Guard::Alone(_))
    }

    /// Waits until every other lane is done, or waits for the same. It stays so to the lane's end.
    pub(super) async fn be_alone(&mut self) {
        if !self.is_alone() {
            self.guard = Guard::Waiting;
            self.guard = Guard::Alone(self.company.at_work.write().await);
        }
    }
}
