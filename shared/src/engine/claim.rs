//! Leases: one run at a time.
//!
//! A claim is one conditional write, which is also the STARTED record. It holds until the
//! invocation's deadline and two seconds more: by then the process is done or dead. What refuses a
//! claim is told by the item as it is, and each case has its answer here.

use std::time::Duration;

use crate::app::{GUARD_FOR, outgoing};
use crate::error::{Error, ErrorKind, Result};
use crate::failure::Failure;
use crate::message::{Message, compress};
use crate::ports::{Attribute, Change, Item, Key, Op, Outcome, QueueName, When, Write};
use crate::record::{Attempt, State, attempts, count, field, instant, status};
use crate::time::Timestamp;
use crate::worker::Disposition;

use super::{Batch, Job, Known, LEASE_GRACE};

/// How many deaths of its own a message is allowed.
const DEATHS: u32 = 3;

/// The answer to a claim.
pub(super) enum Claim {
    /// This run is the only one.
    Mine(Claimed),
    /// It isn't to run here and now, and this is what becomes of its message.
    Over(Disposition),
    /// A FIFO message whose retry is recorded: it goes on as that.
    Adopt {
        attempt: u32,
        retries: u32,
        due_at: Option<Timestamp>,
    },
}

/// What a run knows of the record it holds.
pub(super) struct Claimed {
    pub(super) started_at: Timestamp,
    /// The runs so far, this one last.
    pub(super) attempts: Vec<Attempt>,
    /// Whether a claim was written, so that the finish is fenced by it.
    pub(super) fenced: bool,
    /// How often the process died while this task ran alone.
    deaths: u32,
}

impl Claimed {
    /// Why the task isn't run any more, if it has killed its process often enough.
    pub(super) fn worker_lost(&self) -> Option<String> {
        (self.deaths >= DEATHS).then(|| {
            format!(
                "the process died {DEATHS} times while it ran this task alone: \
                 crashed, out of memory, or killed at the function's timeout"
            )
        })
    }
}

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
    /// A later attempt runs; its own message looks after it.
    Overtaken,
    /// Someone alive runs it until then.
    Held { until: Timestamp },
    /// Whoever ran this attempt is dead.
    Abandoned,
}

impl Standing {
    pub(super) fn of(item: &Item, job: &Job<'_>, now: Timestamp) -> Self {
        let attempt = count(item, field::ATTEMPT);
        let until = instant(item, field::LEASE_UNTIL).unwrap_or(now);
        match status(item) {
            Some(state) if state.is_final() => Standing::Final(item.clone()),
            Some(State::Retry) if attempt > job.message.attempt => Standing::Newer {
                attempt,
                retries: count(item, field::RETRIES),
                due_at: instant(item, field::DUE_AT),
            },
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
}

impl Batch<'_> {
    pub(super) async fn claim(&self, known: &Known<'_>) -> Result<Claim> {
        let job = known.job;
        let started_at = self.now();
        let attempt = Attempt::started(started_at, &self.invocation.id);
        // A second delivery may come of a death, which only a claim brings to light.
        if known.options().idempotent && job.delivery.receive_count <= 1 && !self.singled_out(job) {
            let attempts = vec![attempt];
            return Ok(Claim::Mine(Claimed {
                started_at,
                attempts,
                fenced: false,
                deaths: 0,
            }));
        }
        let mine = |old: Option<&Item>| {
            let mut runs = old.map(attempts).unwrap_or_default();
            runs.push(attempt.clone());
            let deaths = old.map_or(0, |old| count(old, field::CRASHES));
            Claim::Mine(Claimed {
                started_at,
                attempts: runs,
                fenced: true,
                deaths,
            })
        };
        // The first message of a task finds nothing in the way: cheapest asked in one call for all.
        let mut doubtful = false;
        if job.message.attempt == 0 && job.delivery.receive_count <= 1 {
            let first = self.first_claim(job, &attempt);
            match self.claims.at_once(first).await {
                Ok(Outcome::Applied(_)) => return Ok(mine(None)),
                Ok(Outcome::Refused(_)) => {}
                Err(error) if may_be_done(&error) => doubtful = true,
                Err(error) => return Err(error),
            }
        }
        let again = self.next_claim(job, &attempt);
        let outcome = self.write_claim(again, doubtful).await?;
        let (Outcome::Applied(old) | Outcome::Refused(old)) = &outcome;
        if let Outcome::Applied(_) = outcome {
            return Ok(mine(old.as_ref()));
        }
        let own = old.as_ref().map(|item| Claimed {
            started_at,
            attempts: attempts(item),
            fenced: true,
            // The claim whose answer was lost has counted itself.
            deaths: count(item, field::CRASHES).saturating_sub(1),
        });
        match (
            self.standing(job, outcome),
            own,
            job.delivery.queue.is_fifo(),
        ) {
            (Standing::Mine, Some(own), _) => Ok(Claim::Mine(own)),
            (
                Standing::Newer {
                    attempt,
                    retries,
                    due_at,
                },
                _,
                true,
            ) => Ok(Claim::Adopt {
                attempt,
                retries,
                due_at,
            }),
            (standing, ..) => self.refused(job, standing).await.map(Claim::Over),
        }
    }

    /// Writes a claim. Where it may be there though its call failed (`doubtful`: an earlier one), handing
    /// the message back would let it hold the task until its lease ends, and count as a death in
    /// quarantine: so it is asked for again, and recognises itself.
    async fn write_claim(&self, write: Write, mut doubtful: bool) -> Result<Outcome> {
        const TRIES: u32 = 4;
        let ports = self.worker.app().ports();
        let mut pause = Duration::from_millis(25);
        let mut outcome = ports.store.write(write.clone()).await;
        for _ in 1..TRIES {
            match &outcome {
                Err(error) if error.is_retryable() && (doubtful || may_be_done(error)) => {}
                _ => break,
            }
            doubtful = true;
            ports.clock.sleep(pause).await;
            pause *= 4;
            outcome = ports.store.write(write.clone()).await;
        }
        outcome
    }

    /// Whether the message is where deaths count: in quarantine, or anywhere if there is none.
    fn singled_out(&self, job: &Job<'_>) -> bool {
        job.delivery.queue.as_str() == QueueName::QUARANTINE || self.quarantine().is_none()
    }

    /// Whether there is a queue to single out a message that its process died with.
    pub(super) fn quarantine(&self) -> Option<QueueName> {
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
            Outcome::Refused(Some(old)) => Standing::of(&old, job, self.now()),
            // Refused, though there is nothing: it was removed since. The next delivery will tell.
            Outcome::Refused(None) => Standing::Held { until: self.now() },
        }
    }

    /// What becomes of a message whose task is not for it to run.
    pub(super) async fn refused(&self, job: &Job<'_>, standing: Standing) -> Result<Disposition> {
        let task_id = &job.message.id;
        match standing {
            Standing::Mine | Standing::Overtaken => Ok(Disposition::Done),
            Standing::Final(item) => self.follow_again(job, &item).await,
            Standing::Newer { .. } if job.delivery.queue.is_fifo() => Ok(Disposition::Returned),
            Standing::Newer {
                attempt,
                retries,
                due_at,
            } => {
                tracing::info!(task_id, attempt, "sent a recorded retry again");
                let mut next = job.message.clone();
                next.attempt = attempt;
                next.retries = retries;
                next.eta = due_at;
                self.send_on(job, &job.home, next).await?;
                Ok(Disposition::Done)
            }
            // Both copies are one message: acknowledging it would take away what brings the task back
            // if its runner dies.
            Standing::Held { until } => {
                let left = until.since(self.now()).max(Duration::from_secs(1));
                self.hide(job.delivery, left).await?;
                Ok(Disposition::Returned)
            }
            Standing::Abandoned => {
                tracing::warn!(task_id, "its process died in company: on to quarantine");
                let mut suspect = job.message.clone();
                suspect.queue = Some(job.home.as_str().to_owned());
                let quarantine = self.quarantine().unwrap_or_else(|| job.home.clone());
                self.send_on(job, &quarantine, suspect).await?;
                Ok(Disposition::Done)
            }
        }
    }

    /// Sends another message of this task, of the same tenant.
    pub(super) async fn send_on(
        &self,
        job: &Job<'_>,
        queue: &QueueName,
        message: Message,
    ) -> Result<()> {
        let mut next = outgoing(&message, queue, self.now())?;
        if job.delivery.group.is_some() {
            next.group.clone_from(&job.delivery.group);
        }
        self.outbox.send(queue, next).await.map(drop)
    }

    fn lease(&self, job: &Job<'_>, attempt: &Attempt) -> Vec<(&'static str, Attribute)> {
        let message = &job.message;
        let mut fields = vec![
            (field::TASK, message.task.as_str().into()),
            (field::STATUS, State::Started.into()),
            (field::ATTEMPT, message.attempt.into()),
            (field::RETRIES, message.retries.into()),
            (field::OWNER, job.owner.as_str().into()),
            (
                field::LEASE_UNTIL,
                (self.invocation.deadline + LEASE_GRACE).into(),
            ),
            (field::STARTED_AT, attempt.start.into()),
            (field::QUEUE, job.home.as_str().into()),
            (field::TTL, (attempt.start + GUARD_FOR).as_secs().into()),
        ];
        if let Some(parent) = &message.parent_id {
            fields.push((field::PARENT_ID, parent.as_str().into()));
        }
        if let Some(root) = &message.root_id {
            fields.push((field::ROOT_ID, root.as_str().into()));
        }
        fields
    }

    fn first_claim(&self, job: &Job<'_>, attempt: &Attempt) -> Write {
        let mut item: Item = self
            .lease(job, attempt)
            .into_iter()
            .map(|(name, value)| (name.into(), value))
            .collect();
        item.insert(
            field::ATTEMPTS.into(),
            Attribute::List(vec![attempt.to_attribute()]),
        );
        let key = Key::Result(job.message.id.clone());
        Write {
            key,
            op: Op::Put(item),
            when: When::Absent,
        }
    }

    /// A claim of what may have a record: a retry, or an attempt whose process died.
    fn next_claim(&self, job: &Job<'_>, attempt: &Attempt) -> Write {
        let mut changes: Vec<Change> = self
            .lease(job, attempt)
            .into_iter()
            .map(|(name, value)| Change::Set(name.into(), value))
            .collect();
        changes.push(Change::Append(
            field::ATTEMPTS.into(),
            vec![attempt.to_attribute()],
        ));
        changes.push(Change::Remove(field::DUE_AT.into()));
        let mut when = unleased(job);
        // A death is counted where it is the message's own: in a batch of one.
        if self.singled_out(job) {
            changes.push(Change::Add(field::CRASHES.into(), i64::from(self.alone)));
            when.push(abandoned(job, attempt.start));
        }
        let key = Key::Result(job.message.id.clone());
        Write {
            key,
            op: Op::Update(changes),
            when: When::Any(when),
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
        if let Some(kept) = kept_message(job) {
            changes.push(Change::Set(field::MESSAGE.into(), kept));
        }
        let mut when = unleased(job);
        // Or its process is dead: it need not run again to be given up.
        when.push(abandoned(job, now));
        let key = Key::Result(job.message.id.clone());
        let write = Write {
            key,
            op: Op::Update(changes),
            when: When::Any(when),
        };
        let outcome = self.worker.app().ports().store.write(write).await?;
        if let Outcome::Refused(Some(old)) = &outcome
            && status(old) == Some(state)
            && old.get(field::OWNER).and_then(Attribute::as_text) == Some(&job.owner)
        {
            // An earlier try of this very write, whose answer was lost.
            return Ok(Standing::Mine);
        }
        Ok(self.standing(job, outcome))
    }
}

/// Whether what was asked for may have been done though the call failed.
fn may_be_done(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout)
}

/// Nobody runs the task, and no later attempt is recorded.
pub(super) fn unleased(job: &Job<'_>) -> Vec<When> {
    vec![
        When::Absent,
        When::All(vec![
            When::Eq(field::STATUS.into(), State::Retry.into()),
            When::AtMost(field::ATTEMPT.into(), job.message.attempt.into()),
        ]),
    ]
}

/// Whoever ran this attempt is dead.
fn abandoned(job: &Job<'_>, now: Timestamp) -> When {
    When::All(vec![
        When::Eq(field::STATUS.into(), State::Started.into()),
        When::Eq(field::ATTEMPT.into(), job.message.attempt.into()),
        When::Below(field::LEASE_UNTIL.into(), now.into()),
    ])
}

/// The whole message, for a retry by hand; unless it alone would fill the record.
pub(super) fn kept_message(job: &Job<'_>) -> Option<Attribute> {
    const ROOM: usize = 300 * 1024;
    let kept = compress(&job.delivery.body);
    if kept.len() > ROOM {
        let (task_id, bytes) = (&job.message.id, kept.len());
        tracing::warn!(task_id, bytes, "too large to be kept in the record");
        return None;
    }
    Some(Attribute::Bytes(kept))
}
