//! Whether a message may run now: its task known, not expired, due, and time enough left.

use std::time::Duration;

use crate::app::whole_seconds;
use crate::error::Result;
use crate::event::{Event, EventKind};
use crate::failure::Failure;
use crate::ports::MAX_DELAY;
use crate::record::State;
use crate::task::TaskDef;
use crate::time::Timestamp;
use crate::worker::Disposition;

use super::follow::Ending;
use super::standing::Standing;
use super::{Batch, Branch, Job, Rule, reached};

/// The answer.
pub(super) enum Admission<'a> {
    /// It may run.
    Now(&'a TaskDef),
    /// It may not, and this is what becomes of its message.
    Over(Disposition),
}

/// Waiting this long for a due time costs less than another delivery.
const SHORT_WAIT: Duration = Duration::from_secs(1);

impl Batch<'_> {
    pub(super) async fn admit(&self, job: &mut Job<'_>) -> Result<Admission<'_>> {
        if let Some(by) = self.known_revocation(job) {
            return self.revoked(job, &by).await.map(Admission::Over);
        }
        let Some(def) = self.worker.registered().find(&job.message.task) else {
            // Until it is due, a worker that knows it may well come.
            let early = job.message.eta.map(|eta| (eta, eta.since(self.now())));
            return match early {
                Some((eta, early)) if early > SHORT_WAIT => self.put_back(job, eta).await,
                _ => self.unknown(job).await,
            }
            .map(Admission::Over);
        };
        if job.message.expires.is_none() {
            // A sender that doesn't know the task didn't set its expiry. What is sent on has it.
            let after = def.options.expires;
            job.message.expires = after.map(|after| job.delivery.sent_at + after);
        }
        if self.has_expired(job) {
            return self.expired(job).await.map(Admission::Over);
        }
        if let Some(eta) = job.message.eta
            && self.worker.keeps(Rule::WaitUntilDue)
        {
            let early = eta.since(self.now());
            if early > SHORT_WAIT {
                return self.put_back(job, eta).await.map(Admission::Over);
            }
            if !early.is_zero() {
                reached(Branch::ShortWait);
                self.worker.app().ports().clock.sleep(early).await;
                // Meanwhile it may have, the more so if the process was frozen.
                if self.has_expired(job) {
                    return self.expired(job).await.map(Admission::Over);
                }
            }
        }
        // Reading and taking a key take their time: before what is left is looked at. Handed back, it still has its key.
        if let Some(key) = &job.message.no_overlap
            && let Some(disposition) = self.overlaps(job, key).await?
        {
            return Ok(Admission::Over(disposition));
        }
        if let Some(disposition) = self.takes_key(job, def).await? {
            return Ok(Admission::Over(disposition));
        }
        if self.short_of_time(job, def) && self.worker.keeps(Rule::HandBackLate) {
            reached(Branch::HandedBackLate);
            self.hide(job.delivery, Duration::ZERO).await?;
            return Ok(Admission::Over(Disposition::Returned));
        }
        Ok(Admission::Now(def))
    }

    fn has_expired(&self, job: &Job<'_>) -> bool {
        let expires = job.message.expires;
        self.worker.keeps(Rule::RevokeExpired)
            && expires.is_some_and(|expires| expires < self.now())
    }

    /// Whether a later invocation would give the task time that this one no longer has.
    fn short_of_time(&self, job: &Job<'_>, def: &TaskDef) -> bool {
        let left = self.stop_at().since(self.now());
        let fresh = self
            .stop_at()
            .since(self.started)
            .saturating_sub(Duration::from_secs(1));
        let limit = job
            .message
            .time_limit
            .or(def.options.time_limit)
            // One that is stopped for want of time begins anew: not likely with half of it left.
            .unwrap_or(fresh / 2);
        left < limit.min(fresh)
    }

    /// A rolling deployment may bring a worker that knows the task: it waits for one a few minutes.
    async fn unknown(&self, job: &Job<'_>) -> Result<Disposition> {
        // Each wait is a receive, of which there are ten: few and long.
        const PAUSE: Duration = Duration::from_secs(30);
        let due = job.message.eta.max(Some(job.delivery.sent_at));
        let age = due.map_or(Duration::ZERO, |due| self.now().since(due));
        let grace = self.worker.app().config().unknown_task_grace;
        let earlier = 3_u32.pow(job.delivery.receive_count.saturating_sub(1).min(10));
        // Its age alone would count a backlog, in which no worker was asked.
        let hidden = PAUSE * ((earlier - 1) / 2);
        let left = grace.saturating_sub(age.min(hidden));
        if !left.is_zero() && self.worker.keeps(Rule::WaitForDeployment) {
            reached(Branch::AwaitsDeployment);
            self.hide(job.delivery, (PAUSE * earlier).min(left)).await?;
            return Ok(Disposition::Returned);
        }
        let error = match self.worker.registered().get(&job.message.task) {
            Err(error) => error.to_string(),
            Ok(_) => return Ok(Disposition::Returned),
        };
        reached(Branch::NotRegistered);
        self.dead_unstarted(job, "NotRegistered", error).await
    }

    async fn expired(&self, job: &Job<'_>) -> Result<Disposition> {
        let when = job
            .message
            .expires
            .map(|at| at.to_string())
            .unwrap_or_default();
        let what = match job.message.retries {
            0 => "it".to_owned(),
            retries => format!("its retry {retries}"),
        };
        let failure = self.failure(
            job,
            "Expired",
            format!("expired at {when}, before {what} started"),
        );
        match self.record_unstarted(job, State::Revoked, &failure).await? {
            Standing::Mine => {
                reached(Branch::Expired);
                tracing::info!(task_id = job.message.id, task = job.message.task, "expired");
                let event = Event::of(EventKind::Expired, &job.message).because(&failure);
                self.worker.app().tell(&event);
                self.after(&job.message, Ending::Revoked(failure)).await?;
                Ok(Disposition::Done)
            }
            standing => self.refused(job, standing).await,
        }
    }

    pub(super) fn failure(&self, job: &Job<'_>, kind: &str, message: String) -> Failure {
        let retries = job.message.retries;
        Failure {
            kind: kind.to_owned(),
            message,
            causes: Vec::new(),
            retries,
            at: self.now(),
        }
    }

    /// Back to the queue until its ETA, or into its record if that is further off than SQS delays a message. A
    /// FIFO queue delays no single message: there it is hidden, which keeps the order.
    async fn put_back(&self, job: &Job<'_>, eta: Timestamp) -> Result<Disposition> {
        reached(Branch::PutBack);
        if job.delivery.queue.is_fifo() {
            self.hide(job.delivery, whole_seconds(eta.since(self.now())))
                .await?;
            return Ok(Disposition::Returned);
        }
        if eta.since(self.now()) > MAX_DELAY {
            return self.park(job, eta).await;
        }
        self.send_on(job, &job.delivery.queue, job.message.clone())
            .await?;
        Ok(Disposition::Done)
    }
}
