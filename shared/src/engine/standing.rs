//! How a record stands to a message: what refuses a claim, and what then becomes of the message.
//!
//! The item as it is tells why a write was refused, and each case has its answer here; the table is in
//! `docs/lifecycle.md`. Beside it the conditions that these cases are told apart by, and the one write
//! that gives a task up without running it.

use std::time::Duration;

use crate::app::GUARD_FOR;
use crate::error::Result;
use crate::failure::Failure;
use crate::id::is_random;
use crate::launch::outgoing;
use crate::message::{Message, compress};
use crate::ports::{Attribute, Change, Item, Key, Op, Outcome, Outgoing, QueueName, When, Write};
use crate::record::{self, State, count, field, instant, status, unreported};
use crate::time::Timestamp;
use crate::worker::Disposition;

use super::reroute::DEAD;
use super::{Batch, Branch, Job, Rule, reached};

/// How the record stands to a message that wants to run.
pub(super) enum Standing {
    /// It may.
    Mine,
    /// The task is final; its record.
    Final(Item),
    /// A later attempt is recorded and due; its message may never have been sent.
    Newer {
        attempt: u32,
        retries: u32,
        due_at: Option<Timestamp>,
    },
    /// It was put off until then, after the message was sent.
    Moved { due_at: Timestamp },
    /// Others stand for the task, and it ends as they do: the message that sends them.
    Delegated(String),
    /// A later attempt runs; its own message looks after it.
    Overtaken,
    /// The task was redriven since: the message is of an earlier generation.
    Superseded,
    /// Someone alive runs it until then.
    Held { until: Timestamp },
    /// Whoever ran this attempt is dead.
    Abandoned,
}

impl Batch<'_> {
    /// How the item stands to a message.
    pub(super) fn stands(&self, item: &Item, job: &Job<'_>) -> Standing {
        let now = self.now();
        let attempt = count(item, field::ATTEMPT);
        let until = instant(item, field::LEASE_UNTIL).unwrap_or(now);
        let redriven = count(item, field::GENERATION) > job.message.generation;
        if redriven && self.worker.keeps(Rule::Supersede) {
            // Helped or adopted, it would bring back the arguments and the expiry of an earlier life.
            return Standing::Superseded;
        }
        match status(item) {
            Some(state) if state.is_final() => Standing::Final(item.clone()),
            Some(State::Started) if item.contains_key(field::GROUP) => {
                let message = item.get(field::GROUP).and_then(Attribute::as_text);
                Standing::Delegated(message.unwrap_or_default().to_owned())
            }
            Some(State::Retry) if attempt > job.message.attempt => Standing::Newer {
                attempt,
                retries: count(item, field::RETRIES),
                due_at: instant(item, field::DUE_AT),
            },
            Some(State::Pending | State::Retry)
                if let Some(due_at) = instant(item, field::DUE_AT)
                    && job.message.eta.is_some_and(|eta| eta < due_at) =>
            {
                Standing::Moved { due_at }
            }
            // On a FIFO queue no later attempt has a message of its own: this one stands for it.
            Some(State::Started)
                if attempt > job.message.attempt && job.delivery.queue.is_fifo() =>
            {
                Standing::Newer {
                    attempt,
                    retries: count(item, field::RETRIES),
                    due_at: None,
                }
            }
            Some(State::Started) if attempt > job.message.attempt => Standing::Overtaken,
            Some(State::Started) if attempt == job.message.attempt => {
                let owner = item.get(field::OWNER).and_then(Attribute::as_text);
                if owner == Some(&job.owner) {
                    // Its own claim, whose answer was lost.
                    Standing::Mine
                } else if until < now {
                    Standing::Abandoned
                } else {
                    Standing::Held { until }
                }
            }
            // An older attempt still runs, or the item changed since: the next delivery will tell.
            _ => Standing::Held { until },
        }
    }

    /// Whether a message that its process died with runs again where it is: in quarantine, on a FIFO
    /// queue, where leaving would cost it its place, or anywhere if there is no quarantine.
    pub(super) fn singled_out(&self, job: &Job<'_>) -> bool {
        let queue = &job.delivery.queue;
        let here = queue.as_str() == QueueName::QUARANTINE || queue.is_fifo();
        here || self.quarantine().is_none() || !self.worker.keeps(Rule::SingleOut)
    }

    fn quarantine(&self) -> Option<QueueName> {
        let name = QueueName::new(QueueName::QUARANTINE);
        self.worker
            .app()
            .config()
            .queues
            .contains_key(&name)
            .then_some(name)
    }

    /// The outcome of a write that wants a task which nobody runs.
    pub(super) fn standing(&self, job: &Job<'_>, outcome: Outcome) -> Standing {
        match outcome {
            Outcome::Applied(_) => Standing::Mine,
            Outcome::Refused(Some(old)) => self.stands(&old, job),
            // Refused, though there is nothing: it was removed since. The next delivery will tell.
            Outcome::Refused(None) => Standing::Held { until: self.now() },
        }
    }

    /// What becomes of a message whose task is not for it to run.
    pub(super) async fn refused(&self, job: &Job<'_>, standing: Standing) -> Result<Disposition> {
        let task_id = &job.message.id;
        match standing {
            Standing::Mine => Ok(Disposition::Done),
            Standing::Overtaken => {
                reached(Branch::Overtaken);
                Ok(Disposition::Done)
            }
            Standing::Superseded => {
                reached(Branch::Superseded);
                Ok(Disposition::Done)
            }
            Standing::Final(item) => self.follow_again(job, &item).await,
            // Whoever recorded it may have died before it sent them.
            Standing::Delegated(message) => {
                let message = Message::decode(&message, task_id, self.now())?;
                self.send_in_place(&message).await?;
                Ok(Disposition::Done)
            }
            Standing::Newer { .. } if !self.worker.keeps(Rule::HelpStale) => Ok(Disposition::Done),
            Standing::Newer { .. } if job.delivery.queue.is_fifo() => Ok(Disposition::Returned),
            Standing::Newer {
                attempt,
                retries,
                due_at,
            } => {
                reached(Branch::Helped);
                tracing::info!(task_id, attempt, "sent a recorded retry again");
                let mut next = job.message.clone();
                next.attempt = attempt;
                next.retries = retries;
                next.eta = due_at;
                self.send_on(job, &job.home, next).await?;
                Ok(Disposition::Done)
            }
            Standing::Moved { due_at } => {
                reached(Branch::Moved);
                self.await_move(job, due_at).await
            }
            Standing::Held { .. } if !self.worker.keeps(Rule::HideWhileHeld) => {
                Ok(Disposition::Done)
            }
            // Both copies are one message: acknowledging it would take away what brings the task back
            // if its runner dies.
            Standing::Held { until } => {
                reached(Branch::Held);
                // Nobody may hold it any more, and yet it isn't for this message: it asks less and less often,
                // for each time is a receive.
                let least = 1_u64 << job.delivery.receive_count.min(6);
                let left = until.since(self.now()).max(Duration::from_secs(least));
                self.hide(job.delivery, left).await?;
                Ok(Disposition::Returned)
            }
            Standing::Abandoned => match self.quarantine() {
                Some(quarantine) if !self.singled_out(job) => {
                    reached(Branch::Quarantined);
                    tracing::warn!(task_id, "its process died in company: on to quarantine");
                    let mut suspect = job.message.clone();
                    suspect.queue = Some(job.home.as_str().to_owned());
                    self.send_on(job, &quarantine, suspect).await?;
                    Ok(Disposition::Done)
                }
                // Its lease ended while it was asked for.
                _ => {
                    self.hide(job.delivery, Duration::ZERO).await?;
                    Ok(Disposition::Returned)
                }
            },
        }
    }

    /// Sends another message of this task, of the same tenant.
    pub(super) async fn send_on(
        &self,
        job: &Job<'_>,
        queue: &QueueName,
        message: Message,
    ) -> Result<()> {
        let next = self.copy(job, queue, &message)?;
        self.outbox.send(queue, next).await.map(drop)
    }

    /// Another message of this task, of the same tenant.
    pub(super) fn copy(
        &self,
        job: &Job<'_>,
        queue: &QueueName,
        message: &Message,
    ) -> Result<Outgoing> {
        let mut next = outgoing(message, queue, self.now())?;
        if job.delivery.group.is_some() {
            next.group.clone_from(&job.delivery.group);
        }
        next.attributes.clone_from(&job.delivery.attributes);
        Ok(next)
    }

    /// Nobody runs the task, no later attempt is recorded, and it wasn't put off since the message was sent.
    pub(super) fn unleased(&self, job: &Job<'_>) -> Vec<When> {
        let is = |state: State| When::Eq(field::STATUS.into(), state.into());
        let mut waits = vec![
            When::Any(vec![is(State::Retry), is(State::Pending)]),
            When::AtMost(field::ATTEMPT.into(), job.message.attempt.into()),
        ];
        if let Some(eta) = job.message.eta
            && self.worker.keeps(Rule::AwaitMoves)
        {
            waits.push(When::Any(vec![
                When::Not(Box::new(When::Has(field::DUE_AT.into()))),
                When::AtMost(field::DUE_AT.into(), eta.into()),
            ]));
        }
        vec![When::Absent, When::All(waits)]
    }

    /// Writes to a task's record; one past its `ttl` counts as absent.
    pub(super) async fn write_record(&self, write: Write) -> Result<Outcome> {
        let store = &*self.worker.app().ports().store;
        match self.worker.keeps(Rule::ForgetExpired) {
            true => record::write(store, write, self.now()).await,
            false => store.write(write).await,
        }
    }

    /// Records a final state of a task that nobody started.
    pub(super) async fn record_unstarted(
        &self,
        job: &Job<'_>,
        state: State,
        failure: &Failure,
    ) -> Result<Standing> {
        let now = self.now();
        let expires = self.worker.app().config().result_expires;
        let dead = DEAD.contains(&failure.kind.as_str());
        let expires = kept_for(&job.message.id, dead || job.message.guarded, expires);
        let mut changes = vec![
            Change::Set(field::TASK.into(), job.message.task.as_str().into()),
            Change::Set(field::OWNER.into(), job.owner.as_str().into()),
            Change::Set(field::STATUS.into(), state.into()),
            Change::Set(field::ATTEMPT.into(), job.message.attempt.into()),
            Change::Set(field::RETRIES.into(), job.message.retries.into()),
            Change::Set(field::QUEUE.into(), job.home.as_str().into()),
            Change::Set(field::ERROR.into(), failure.into()),
            Change::Set(field::FINISHED_AT.into(), now.into()),
            Change::Set(field::TTL.into(), (now + expires).as_secs().into()),
            Change::Remove(field::DUE_AT.into()),
        ];
        changes.extend(unreported());
        changes.extend(tree(&job.message).map(|(name, id)| Change::Set(name.into(), id)));
        if dead {
            let message_id = job.delivery.message_id.as_str();
            changes.push(Change::Set(field::MESSAGE_ID.into(), message_id.into()));
        }
        if let Some(kept) = kept_message(job) {
            changes.push(Change::Set(field::MESSAGE.into(), kept));
        }
        let mut when = self.unleased(job);
        // Or its process is dead: it need not run again to be given up.
        when.push(abandoned(job, now));
        let key = Key::Result(job.message.id.clone());
        let write = Write {
            key,
            op: Op::Update(changes),
            when: When::Any(when),
        };
        let outcome = self.write_record(write).await?;
        if let Outcome::Refused(Some(old)) = &outcome
            && status(old) == Some(state)
            && old.get(field::OWNER).and_then(Attribute::as_text) == Some(&job.owner)
        {
            // An earlier try of this very write, whose answer was lost.
            return Ok(Standing::Mine);
        }
        Ok(match (&outcome, self.standing(job, outcome.clone())) {
            // Its claim, not this write.
            (Outcome::Refused(_), Standing::Mine) => Standing::Held { until: now },
            (_, standing) => standing,
        })
    }
}

/// What a record says of the tree that its task was sent in.
pub(super) fn tree(message: &Message) -> impl Iterator<Item = (&'static str, Attribute)> {
    let ids = [
        (field::PARENT_ID, &message.parent_id),
        (field::ROOT_ID, &message.root_id),
    ];
    ids.into_iter()
        .filter_map(|(name, id)| Some((name, id.as_deref()?.into())))
}

/// How long a final record is kept. An id that somebody made up may come again in another message, and a dead
/// letter may be redriven: their records are there for two weeks at least. Any message may come again for a
/// while after its end was recorded: a day is the least.
pub(super) fn kept_for(id: &str, guarded: bool, result_expires: Duration) -> Duration {
    const LEAST: Duration = Duration::from_secs(86_400);
    match is_random(id) && !guarded {
        true => result_expires.max(LEAST),
        false => result_expires.max(GUARD_FOR),
    }
}

/// Whoever ran this attempt is dead.
pub(super) fn abandoned(job: &Job<'_>, now: Timestamp) -> When {
    When::All(vec![
        When::Eq(field::STATUS.into(), State::Started.into()),
        When::Eq(field::ATTEMPT.into(), job.message.attempt.into()),
        When::Below(field::LEASE_UNTIL.into(), now.into()),
    ])
}

/// The whole message, for a retry by hand; unless it alone would fill the record.
pub(super) fn kept_message(job: &Job<'_>) -> Option<Attribute> {
    // Beside an error, its causes and the task's checkpoints.
    const ROOM: usize = 200 * 1024;
    let kept = compress(&job.delivery.body);
    if kept.len() > ROOM {
        let (task_id, bytes) = (&job.message.id, kept.len());
        tracing::warn!(task_id, bytes, "too large to be kept in the record");
        return None;
    }
    Some(Attribute::Bytes(kept))
}
