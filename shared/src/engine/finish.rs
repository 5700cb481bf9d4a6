//! The end of a run: a write fenced by the claim, then what follows from it.

use serde_json::Value;

use crate::app::whole_seconds;
use crate::error::{Error, Result};
use crate::event::{Event, EventKind};
use crate::failure::shortened;
use crate::group::added_id;
use crate::message::Message;
use crate::ports::{Attribute, Change, Key, Op, Outcome, When, Write};
use crate::record::{self, State, anew, field, is_expired, kept, unreported};
use crate::time::Timestamp;
use crate::worker::Disposition;

use super::claim::Claimed;
use super::decide::Verdict;
use super::follow::{Ending, Output};
use super::group::list;
use super::standing::{Standing, kept_for, kept_message, tree};
use super::{Batch, Branch, Job, Known, Rule, reached};

impl Batch<'_> {
    pub(super) async fn finish(
        &self,
        known: &Known<'_>,
        claimed: Claimed,
        verdict: Verdict,
    ) -> Result<Disposition> {
        let job = known.job;
        let unwritten = !claimed.fenced
            // After a retry there is a record, which must not stay at RETRY.
            && job.message.attempt == 0
            && known.ignores_result()
            && matches!(verdict, Verdict::Success { .. } | Verdict::Ignored);
        if unwritten {
            self.tell_of(&job.message, &verdict);
            return Ok(Disposition::Done);
        }
        let verdict = self.sendable(job, verdict);
        let (fenced, runs) = (claimed.fenced, claimed.runs(&job.message));
        if matches!(verdict, Verdict::Retry { .. }) && !self.worker.keeps(Rule::RecordRetryFirst) {
            let write = self.finish_write(known, claimed, &verdict);
            let disposition = self.follow(job, verdict, runs).await?;
            self.record(&write).await?;
            return Ok(disposition);
        }
        if let Verdict::Replaced(standing) = &verdict
            && let Err(error) = self.watch(standing).await
        {
            // Its send tries again. This was for the case that the process dies before.
            tracing::warn!(task_id = standing.id, %error, "what replaces it isn't watched yet");
        }
        let write = self.finish_write(known, claimed, &verdict);
        let status = verdict.state();
        let outcome = self.record(&write).await?;
        match self.settle(job, outcome, write, status, fenced).await? {
            Settled::Recorded => self.follow(job, verdict, runs).await,
            Settled::Lost(standing) if fenced => {
                // Someone else holds the task by now; what this run found out counts for nothing.
                let (task_id, owner) = (&job.message.id, &job.owner);
                tracing::warn!(task_id, owner, "lost its lease before it finished");
                self.refused(job, standing).await
            }
            Settled::Lost(standing) => self.refused(job, standing).await,
        }
    }

    /// A retry whose message would be too large is the end: recorded as RETRY, it would never come.
    fn sendable(&self, job: &Job<'_>, verdict: Verdict) -> Verdict {
        let Verdict::Retry {
            due_at, retries, ..
        } = &verdict
        else {
            return verdict;
        };
        match next_message(&job.message, *retries, *due_at).encode() {
            Ok(_) => verdict,
            Err(error) => Verdict::Failure {
                failure: self.failure(job, "TooLarge", error.to_string()),
                dead_letter: true,
            },
        }
    }

    /// Writes what a run found out, for as long as the invocation lasts: giving up would mean to run
    /// the body again.
    async fn record(&self, write: &Write) -> Result<Outcome> {
        let first = self.finishes.soon(write.clone()).await;
        if !self.worker.keeps(Rule::InsistOnFinish) {
            return first;
        }
        if first.as_ref().is_err_and(Error::is_retryable) {
            reached(Branch::InsistsOnFinish);
        }
        let ports = self.worker.app().ports();
        record::insist(ports, write, first, self.invocation.deadline).await
    }

    fn finish_write(&self, known: &Known<'_>, claimed: Claimed, verdict: &Verdict) -> Write {
        let job = known.job;
        let now = self.now();
        let expires = known
            .options()
            .result_expires
            .unwrap_or(self.worker.app().config().result_expires);
        let dead = matches!(
            verdict,
            Verdict::Failure {
                dead_letter: true,
                ..
            }
        );
        let expires = kept_for(&job.message.id, dead || job.message.guarded, expires);
        let mut runs = claimed.attempts;
        if !claimed.begun {
            runs.pop();
        } else if let Some(run) = runs.last_mut() {
            run.end = Some(now);
            run.error = verdict
                .error()
                .map(|failure| shortened(&failure.to_string(), 200));
        }
        let mut changes: Vec<Change> = Vec::with_capacity(12);
        let mut set = |name: &'static str, value: Attribute| {
            changes.push(Change::Set(name.into(), value));
        };
        set(field::STATUS, verdict.state().into());
        if !runs.is_empty() {
            set(field::ATTEMPTS, kept(&runs));
        }
        if !claimed.fenced {
            set(field::TASK, job.message.task.as_str().into());
            set(field::OWNER, job.owner.as_str().into());
            set(field::QUEUE, job.home.as_str().into());
            if claimed.begun {
                set(field::STARTED_AT, claimed.started_at.into());
            }
            set(field::ATTEMPT, job.message.attempt.into());
            set(field::RETRIES, job.message.retries.into());
            for (name, id) in tree(&job.message) {
                set(name, id);
            }
        }
        let ttl = match verdict {
            Verdict::Retry {
                due_at,
                retries,
                failure,
            } => {
                set(field::ATTEMPT, job.message.attempt.saturating_add(1).into());
                set(field::RETRIES, (*retries).into());
                set(field::DUE_AT, (*due_at).into());
                set(field::ERROR, failure.into());
                *due_at + crate::app::GUARD_FOR
            }
            Verdict::Success { result, added } => {
                let mut children = claimed.children;
                children.extend(job.message.follows());
                if let Some(added) = added {
                    children.push(added_id(&job.message.id));
                    set(field::ADDED, added.to_string().into());
                }
                if !children.is_empty() {
                    set(field::CHILDREN, list(children));
                }
                if let Some(json) = result {
                    set(field::RESULT, json.as_str().into());
                }
                set(field::FINISHED_AT, now.into());
                now + expires
            }
            Verdict::Failure { failure, .. } => {
                set(field::ERROR, failure.into());
                set(field::FINISHED_AT, now.into());
                if let Some(message) = kept_message(job) {
                    set(field::MESSAGE, message);
                }
                if dead {
                    set(field::MESSAGE_ID, job.delivery.message_id.as_str().into());
                }
                now + expires
            }
            Verdict::Revoked(failure) => {
                set(field::ERROR, failure.into());
                set(field::FINISHED_AT, now.into());
                if let Some(message) = kept_message(job) {
                    set(field::MESSAGE, message);
                }
                now + expires
            }
            Verdict::Ignored => {
                set(field::FINISHED_AT, now.into());
                now + expires
            }
            Verdict::Replaced(message) => {
                set(field::SIZE, 1_i64.into());
                // It was encoded when it was decided.
                set(field::GROUP, message.encode().unwrap_or_default().into());
                now + crate::app::GUARD_FOR
            }
        };
        set(field::TTL, ttl.as_secs().into());
        if runs.is_empty() {
            // The claim has said that it started.
            let claimed = [field::ATTEMPTS, field::STARTED_AT];
            changes.extend(claimed.map(|name| Change::Remove(name.into())));
        }
        let again = job.message.attempt > 0 || job.delivery.receive_count > 1;
        if again && matches!(verdict, Verdict::Success { .. } | Verdict::Ignored) {
            changes.push(Change::Remove(field::ERROR.into()));
        }
        if again && !claimed.fenced && !matches!(verdict, Verdict::Retry { .. }) {
            changes.push(Change::Remove(field::DUE_AT.into()));
            changes.push(Change::Remove(field::PARKED.into()));
        }
        if matches!(verdict, Verdict::Retry { .. }) {
            changes.push(Change::Remove(field::CRASHES.into()));
        }
        if claimed.fenced && matches!(verdict, Verdict::Replaced(_)) {
            changes.push(Change::Remove(field::LEASE_UNTIL.into()));
        }
        // Nor does the body of what others stand for run again.
        if claimed.checkpoints.any()
            && matches!(
                verdict,
                Verdict::Success { .. } | Verdict::Ignored | Verdict::Replaced(_)
            )
        {
            changes.push(Change::Remove(field::CHECKPOINTS.into()));
        }
        if claimed.reports.any() {
            changes.extend(unreported());
        }
        let key = Key::Result(job.message.id.clone());
        if claimed.fenced {
            return Write {
                key,
                op: Op::Update(changes),
                when: match self.worker.keeps(Rule::FenceFinish) {
                    true => fence(job),
                    false => When::Present,
                },
            };
        }
        if job.message.attempt == 0 {
            // Nothing is there: as a Put it shares a call with the others of the batch.
            let item = changes.into_iter().filter_map(|change| match change {
                Change::Set(name, value) => Some((name, value)),
                _ => None,
            });
            return Write {
                key,
                op: Op::Put(item.collect()),
                when: When::Absent,
            };
        }
        Write {
            key,
            op: Op::Update(changes),
            when: When::Any(self.unleased(job)),
        }
    }

    /// Whether the record says what this run found out, be it by an earlier try of the same write.
    async fn settle(
        &self,
        job: &Job<'_>,
        outcome: Outcome,
        write: Write,
        wrote: State,
        fenced: bool,
    ) -> Result<Settled> {
        let old = match outcome {
            Outcome::Applied(_) => return Ok(Settled::Recorded),
            Outcome::Refused(Some(old)) => Some(old),
            // A batch doesn't always tell: ask.
            Outcome::Refused(None) => {
                reached(Branch::AsksForRecord);
                let key = Key::Result(job.message.id.clone());
                self.worker.app().ports().store.get(&key).await?
            }
        };
        let Some(old) = old else {
            // The record was removed while the task ran. The next delivery finds none and runs.
            return Ok(Settled::Lost(Standing::Held { until: self.now() }));
        };
        if !fenced && is_expired(&old, self.now()) {
            reached(Branch::FinishesExpired);
            let anew = anew(write, self.now());
            return match self.worker.app().ports().store.write(anew).await? {
                Outcome::Applied(_) => Ok(Settled::Recorded),
                // Another copy was faster, or this write was, and its answer lost: the next delivery tells.
                Outcome::Refused(_) => Ok(Settled::Lost(Standing::Held { until: self.now() })),
            };
        }
        let owner = old.get(field::OWNER).and_then(Attribute::as_text);
        let mine = owner == Some(&job.owner) && crate::record::status(&old) == Some(wrote);
        if mine {
            reached(Branch::OwnFinish);
            return Ok(Settled::Recorded);
        }
        match self.stands(&old, job) {
            // Its own claim: the finish itself was not applied. Never so, unless the store is wrong.
            Standing::Mine if fenced => Ok(Settled::Lost(Standing::Held { until: self.now() })),
            standing => Ok(Settled::Lost(standing)),
        }
    }

    /// Tells what is recorded by now.
    fn tell_of(&self, message: &Message, verdict: &Verdict) {
        let event = |kind| Event::of(kind, message);
        let event = match verdict {
            Verdict::Success { result, .. } => Event {
                result: result.as_deref(),
                ..event(EventKind::Succeeded)
            },
            Verdict::Ignored => event(EventKind::Ignored),
            // It goes on.
            Verdict::Replaced(_) => return,
            Verdict::Failure { failure, .. } => Event::failed(message, failure),
            Verdict::Revoked(failure) => event(EventKind::Revoked).because(failure),
            Verdict::Retry { failure, .. } => event(EventKind::Retried).because(failure),
        };
        self.worker.app().tell(&event);
    }

    async fn follow(&self, job: &Job<'_>, verdict: Verdict, runs: u32) -> Result<Disposition> {
        let message = &job.message;
        self.tell_of(message, &verdict);
        let (task_id, task) = (&message.id, &message.task);
        match verdict {
            Verdict::Success { result, added } => {
                tracing::debug!(task_id, task, "succeeded");
                let result = result.map_or(Output::Value(Value::Null), Output::Text);
                let ending = match added {
                    None => Ending::Success(result),
                    Some(added) => Ending::Grown(result, added),
                };
                self.after(message, ending).await?;
                Ok(Disposition::Done)
            }
            Verdict::Ignored => {
                tracing::info!(task_id, task, "ignored");
                self.after(message, Ending::Ignored).await?;
                Ok(Disposition::Done)
            }
            Verdict::Revoked(failure) => {
                tracing::info!(task_id, task, why = %failure, "revoked");
                self.after(message, Ending::Revoked(failure)).await?;
                Ok(Disposition::Done)
            }
            Verdict::Replaced(standing) => {
                tracing::debug!(task_id, task, "replaced");
                self.send_in_place(&standing).await?;
                Ok(Disposition::Done)
            }
            Verdict::Failure {
                failure,
                dead_letter,
            } => {
                tracing::warn!(task_id, task, error = %failure, "failed");
                self.after(message, Ending::Failure(failure.clone()))
                    .await?;
                if dead_letter {
                    return self.dead_job(job, &failure, runs).await;
                }
                Ok(Disposition::Done)
            }
            Verdict::Retry {
                due_at,
                retries,
                failure,
            } => {
                tracing::info!(task_id, task, retries, %due_at, error = %failure, "to be retried");
                if job.delivery.queue.is_fifo() {
                    let pause = whole_seconds(due_at.since(self.now()));
                    self.hide(job.delivery, pause).await?;
                    return Ok(Disposition::Returned);
                }
                let next = next_message(message, retries, due_at);
                self.send_on(job, &job.home, next).await?;
                Ok(Disposition::Done)
            }
        }
    }
}

/// The message of the next attempt.
fn next_message(message: &Message, retries: u32, due_at: Timestamp) -> Message {
    let mut next = message.clone();
    next.attempt = next.attempt.saturating_add(1);
    next.retries = retries;
    next.eta = Some(due_at);
    next.recorded = false;
    next
}

/// What became of a finish.
enum Settled {
    Recorded,
    Lost(Standing),
}

/// Only while this run holds the task.
pub(super) fn fence(job: &Job<'_>) -> When {
    When::All(vec![
        When::Eq(field::OWNER.into(), job.owner.as_str().into()),
        When::Eq(field::ATTEMPT.into(), job.message.attempt.into()),
        When::Eq(field::STATUS.into(), State::Started.into()),
    ])
}

impl Verdict {
    fn state(&self) -> State {
        match self {
            Verdict::Success { .. } => State::Success,
            Verdict::Failure { .. } => State::Failure,
            Verdict::Retry { .. } => State::Retry,
            Verdict::Revoked(_) => State::Revoked,
            Verdict::Ignored => State::Ignored,
            Verdict::Replaced(_) => State::Started,
        }
    }

    fn error(&self) -> Option<&crate::Failure> {
        match self {
            Verdict::Failure { failure, .. }
            | Verdict::Retry { failure, .. }
            | Verdict::Revoked(failure) => Some(failure),
            Verdict::Success { .. } | Verdict::Ignored | Verdict::Replaced(_) => None,
        }
    }
}
