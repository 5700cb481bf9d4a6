//! What a run reports of itself: progress and a custom state, on their way to its record.
//!
//! To report costs nothing: the latest is kept, and whoever writes takes it when it is time. Writes stand under
//! the fence of the run's claim. A run that has lost it, or is over, reports to nobody; that fails no task.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::engine::{Branch, reached};
use crate::error::Result;
use crate::ports::{Change, Key, Op, Outcome, When, Write};
use crate::record::{CustomState, Progress, field};
use crate::time::Timestamp;

/// A run reports no more often than this.
pub(crate) const EVERY: Duration = Duration::from_secs(1);
/// The most bytes of a custom state's `meta`, as JSON.
pub(crate) const META_BYTES: usize = 16 * 1024;
/// So many bytes of a note are kept.
pub(crate) const NOTE_BYTES: usize = 500;

/// What a run has to say, and where that goes.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    claim: Option<Claimed>,
    /// Told when there is something to be written.
    wanted: Arc<Notify>,
    said: Mutex<Said>,
}

/// The claim that fences what is written.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) key: Key,
    pub(crate) fence: When,
}

#[derive(Debug, Default)]
struct Said {
    latest: Latest,
    listener: Listener,
    /// A write is under way.
    writing: bool,
    /// Whether the record may show any of it.
    any: bool,
}

/// The latest that isn't written yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latest {
    progress: Option<Progress>,
    custom: Option<Custom>,
}

/// A custom state, its `meta` as JSON.
#[derive(Debug, Clone)]
pub(crate) struct Custom {
    pub(crate) state: String,
    pub(crate) meta: String,
    pub(crate) at: Timestamp,
}

/// Whether anybody is to hear of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Listener {
    #[default]
    Listens,
    /// The run has lost its claim, or never had one, or its record can't be written; it was told.
    Gone,
    /// The run is over.
    Over,
}

impl Latest {
    fn is_none(&self) -> bool {
        self.progress.is_none() && self.custom.is_none()
    }

    /// What it makes of the record.
    pub(crate) fn changes(&self) -> impl Iterator<Item = Change> {
        let progress = self.progress.as_ref().map(Progress::to_attribute);
        let custom = self.custom.as_ref();
        let custom =
            custom.map(|Custom { state, meta, at }| CustomState::to_attribute(state, meta, *at));
        let named = [(field::PROGRESS, progress), (field::CUSTOM, custom)];
        let set = |(name, value): (&'static str, Option<_>)| Some(Change::Set(name.into(), value?));
        named.into_iter().filter_map(set)
    }
}

/// What goes along with a write that a body may give up half way: then it is given back.
pub(crate) struct Along<'a> {
    reports: &'a Reports,
    taken: Option<Latest>,
}

impl Along<'_> {
    /// What it makes of the record.
    pub(crate) fn changes(&self) -> impl Iterator<Item = Change> {
        self.taken.iter().flat_map(Latest::changes)
    }

    /// What became of the write.
    pub(crate) fn wrote(mut self, outcome: &Result<Outcome>) {
        if let Some(taken) = self.taken.take() {
            self.reports.wrote(taken, outcome);
        }
    }
}

impl Drop for Along<'_> {
    fn drop(&mut self) {
        if let Some(taken) = self.taken.take() {
            self.reports.give_back(taken);
        }
    }
}

impl Reports {
    /// Those of a run that holds this claim.
    pub(crate) fn new(claim: Claimed, wanted: Arc<Notify>) -> Self {
        Self {
            claim: Some(claim),
            wanted,
            said: Mutex::default(),
        }
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the run has come.
    pub(crate) fn progress(&self, task_id: &str, progress: Progress) {
        self.say(task_id, |latest| latest.progress = Some(progress));
    }

    /// The run's own state.
    pub(crate) fn custom(&self, task_id: &str, custom: Custom) {
        self.say(task_id, |latest| latest.custom = Some(custom));
    }

    fn say(&self, task_id: &str, say: impl FnOnce(&mut Latest)) {
        let mut said = self.said();
        if said.listener != Listener::Listens {
            return;
        }
        if self.claim.is_none() {
            said.listener = Listener::Gone;
            tracing::warn!(
                task_id,
                "what it reports isn't shown: an idempotent task has no record while it runs"
            );
            return;
        }
        say(&mut said.latest);
        self.wanted.notify_one();
    }

    /// Takes what is to be written; what became of it has to be told to [`wrote`](Self::wrote). Nothing, while
    /// another write is under way: it might come later, and be older.
    pub(crate) fn take(&self) -> Option<Latest> {
        let mut said = self.said();
        if said.writing || said.latest.is_none() || said.listener != Listener::Listens {
            return None;
        }
        said.writing = true;
        said.any = true;
        Some(std::mem::take(&mut said.latest))
    }

    /// The record it goes to.
    pub(crate) fn key(&self) -> Option<&Key> {
        self.claim.as_ref().map(|claim| &claim.key)
    }

    /// The write of what was taken.
    pub(crate) fn write(&self, taken: &Latest) -> Option<Write> {
        let claim = self.claim.as_ref()?;
        Some(Write {
            key: claim.key.clone(),
            op: Op::Update(taken.changes().collect()),
            when: claim.fence.clone(),
        })
    }

    /// What became of what was taken.
    pub(crate) fn wrote(&self, taken: Latest, outcome: &Result<Outcome>) {
        let mut said = self.said();
        said.writing = false;
        if said.listener != Listener::Listens {
            return;
        }
        let key = self.key();
        match outcome {
            Ok(Outcome::Applied(_)) => reached(Branch::Reported),
            Ok(Outcome::Refused(_)) => {
                said.listener = Listener::Gone;
                tracing::warn!(?key, "lost its lease: what it reports isn't shown");
            }
            Err(error) if error.is_retryable() => {
                tracing::debug!(?key, %error, "what it reports is shown later");
                drop(said);
                self.give_back(taken);
            }
            Err(error) => {
                said.listener = Listener::Gone;
                tracing::warn!(?key, %error, "what it reports isn't shown");
            }
        }
    }

    /// What was taken isn't written: it is with the next, unless there is newer.
    fn give_back(&self, taken: Latest) {
        let mut said = self.said();
        said.writing = false;
        if said.listener == Listener::Listens {
            let latest = &mut said.latest;
            latest.progress = latest.progress.take().or(taken.progress);
            latest.custom = latest.custom.take().or(taken.custom);
            self.wanted.notify_one();
        }
    }

    /// Takes what may go along with another write of the run.
    pub(crate) fn along(&self) -> Along<'_> {
        Along {
            reports: self,
            taken: self.take(),
        }
    }

    /// The run is over: what it hasn't got written is dropped.
    pub(crate) fn close(&self) {
        let mut said = self.said();
        said.listener = Listener::Over;
        said.latest = Latest::default();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.said().listener == Listener::Over
    }

    /// Whether the record may show any of it.
    pub(crate) fn any(&self) -> bool {
        self.said().any
    }
}
