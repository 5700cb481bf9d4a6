//! Writes what the runs of a batch report of themselves: once a second, all of them in one call.
//!
//! It goes on beside the bodies and ends with them; nothing is spawned. The seconds are counted from the
//! batch's begin, so what takes less than one costs nothing.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::ports::{Key, When, Write};
use crate::record::field;
use crate::report::{Claimed, EVERY, Latest, Reports};
use crate::time::Timestamp;

use super::finish::fence;
use super::{Batch, Job, Rule};

/// The runs of a batch that may have something to say.
#[derive(Default)]
pub(super) struct Reporter {
    runs: Mutex<Vec<Arc<Reports>>>,
    wanted: Arc<Notify>,
}

impl Reporter {
    /// Listens to a run until it is over.
    pub(super) fn listen(&self, reports: Arc<Reports>) {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.push(reports);
    }

    /// What is new, with the write of each; one of a record, for two can't share a call.
    fn take(&self) -> Vec<(Arc<Reports>, Latest, Write)> {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.retain(|run| !run.is_over());
        let mut keys = BTreeSet::new();
        let news = runs.iter().filter_map(|run| {
            keys.insert(run.key()?.clone()).then_some(())?;
            let latest = run.take()?;
            let write = run.write(&latest)?;
            Some((run.clone(), latest, write))
        });
        news.collect()
    }
}

/// Only while the run that claimed the task until then is at it: unlike [`fence`], not when it is over because others
/// stand for the task.
pub(super) fn held(job: &Job<'_>, lease_until: Timestamp) -> When {
    let lease = When::Eq(field::LEASE_UNTIL.into(), lease_until.into());
    When::All(vec![fence(job), lease])
}

impl Batch<'_> {
    /// What a run of this job has to report, and where it goes.
    pub(super) fn reports(&self, job: &Job<'_>, lease_until: Timestamp) -> Arc<Reports> {
        let claim = Claimed {
            key: Key::Result(job.message.id.clone()),
            fence: match self.worker.keeps(Rule::FenceReports) {
                true => held(job, lease_until),
                false => When::Present,
            },
        };
        Arc::new(Reports::new(claim, self.reporter.wanted.clone()))
    }

    /// Writes what is reported, for as long as it is asked to.
    pub(super) async fn report(&self) -> Infallible {
        let ports = self.worker.app().ports();
        // Counted, lest a clock that wakes early has two writes in one second.
        let mut turn = 0;
        loop {
            self.reporter.wanted.notified().await;
            let worked = self.now().since(self.started);
            let over = worked.as_millis() / EVERY.as_millis();
            turn = u32::try_from(over)
                .unwrap_or(u32::MAX)
                .max(turn)
                .saturating_add(1);
            ports
                .clock
                .sleep((EVERY * turn).saturating_sub(worked))
                .await;
            let news = self.reporter.take();
            if news.is_empty() {
                continue;
            }
            let writes = news.iter().map(|(_, _, write)| write.clone()).collect();
            let outcomes = ports.store.write_many(writes).await;
            for ((run, latest, _), outcome) in news.into_iter().zip(&outcomes) {
                run.wrote(latest, outcome);
            }
        }
    }
}
