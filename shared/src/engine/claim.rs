//! Leases: one run at a time.
//!
//! A claim is one conditional write, which is also the STARTED record. It holds until the
//! invocation's deadline and two seconds more: by then the process is done or dead.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::app::GUARD_FOR;
use crate::checkpoint::{self, Checkpoints};
use crate::context::DUE;
use crate::error::{Error, ErrorKind, Result};
use crate::message::Message;
use crate::ports::{Attribute, Change, Item, Key, Op, Outcome, QueueName, When, Write};
use crate::record::{Attempt, State, attempts, count, field, unreported};
use crate::report::Reports;
use crate::revocations::Asked;
use crate::time::Timestamp;
use crate::worker::Disposition;

use super::finish::fence;
use super::reporter::held;
use super::standing::{Standing, abandoned, tree};
use super::{Batch, Branch, Job, Known, LEASE_GRACE, Rule, reached};

/// How many deaths of its own a message is allowed.
const DEATHS: u32 = 3;

/// The answer to a claim.
pub(super) enum Claim {
    /// This run is the only one.
    Mine(Claimed),
    /// It isn't to run here and now, and this is what becomes of its message.
    Over(Disposition),
    /// It was running when its process died, and is to run again here with nobody beside it.
    Suspect,
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
    /// What steps of earlier runs have left.
    pub(super) checkpoints: Arc<Checkpoints>,
    /// What this run says of itself.
    pub(super) reports: Arc<Reports>,
    /// Whether an earlier run was asked to stop.
    pub(super) requested: bool,
    /// What this run has learned of being revoked.
    pub(super) asked: Arc<Asked>,
    /// Whether the body was begun: a claim may only give the task up.
    pub(super) begun: bool,
    /// What this run has sent.
    pub(super) children: Vec<String>,
    /// The members that this run adds to its group.
    pub(super) added: Vec<Value>,
}

impl Claimed {
    /// How often the body ran; the last claim of a task that is lost only gave it up.
    pub(super) fn runs(&self, message: &Message) -> u32 {
        let claims = u32::try_from(self.attempts.len()).unwrap_or(u32::MAX);
        // A generation may have ended before its attempt ran.
        let earlier = message.attempt.saturating_sub(message.generation);
        let claims = claims.max(earlier.saturating_add(1));
        claims - u32::from(self.worker_lost().is_some())
    }

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

impl Batch<'_> {
    pub(super) async fn claim(&self, known: &Known<'_>) -> Result<Claim> {
        let job = known.job;
        let started_at = self.now();
        let attempt = Attempt::started(started_at, &self.invocation.id);
        // A second delivery may come of a death, which only a claim brings to light.
        let quarantined = job.delivery.queue.as_str() == QueueName::QUARANTINE;
        let counted = job.message.member.is_some();
        if known.options().idempotent
            && job.delivery.receive_count <= 1
            && !(quarantined || counted || job.message.recorded)
            // Whoever comes next looks at its record.
            && job.message.no_overlap.is_none()
            && job.message.key_until_done().is_none()
            // A change of its entry may have revoked it.
            && !job.message.headers.contains_key(DUE)
            // It may have been moved.
            && job.message.attempt == 0
        {
            reached(Branch::Unclaimed);
            let attempts = vec![attempt];
            return Ok(Claim::Mine(Claimed {
                started_at,
                attempts,
                fenced: false,
                deaths: 0,
                checkpoints: Arc::default(),
                reports: Arc::default(),
                requested: false,
                asked: self.asked(known),
                begun: true,
                children: Vec::new(),
                added: Vec::new(),
            }));
        }
        let mine = |old: Option<&Item>| {
            let mut runs = old.map(attempts).unwrap_or_default();
            runs.push(attempt.clone());
            let counted = old.filter(|_| self.worker.keeps(Rule::CountDeaths));
            let deaths = counted.map_or(0, |old| count(old, field::CRASHES));
            let checkpoints = self.checkpoints(job, old, self.lease_until(&attempt));
            Claim::Mine(Claimed {
                started_at,
                attempts: runs,
                fenced: true,
                deaths,
                checkpoints,
                reports: self.reports(job, self.lease_until(&attempt)),
                requested: old.is_some_and(|old| self.is_requested(old)),
                asked: self.asked(known),
                begun: true,
                children: Vec::new(),
                added: Vec::new(),
            })
        };
        if !self.worker.keeps(Rule::ClaimBeforeRun) {
            let claim = Write {
                when: When::Always,
                ..self.next_claim(job, &attempt)
            };
            let outcome = self.worker.app().ports().store.write(claim).await?;
            let (Outcome::Applied(old) | Outcome::Refused(old)) = outcome;
            return Ok(mine(old.as_ref()));
        }
        // The first message of a task finds nothing in the way: cheapest asked in one call for all.
        let mut doubtful = false;
        if job.message.attempt == 0 && job.delivery.receive_count <= 1 {
            let first = match job.message.recorded {
                true => self.claim_of_parked(job, &attempt),
                false => self.first_claim(job, &attempt),
            };
            match self.claims.at_once(first).await {
                Ok(Outcome::Applied(_)) => return Ok(mine(None)),
                Ok(Outcome::Refused(_)) => {}
                Err(error) if self.in_doubt(&error) => doubtful = true,
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
            checkpoints: self.checkpoints(job, Some(item), self.lease_until(&attempt)),
            reports: self.reports(job, self.lease_until(&attempt)),
            requested: self.is_requested(item),
            asked: self.asked(known),
            begun: true,
            children: Vec::new(),
            added: Vec::new(),
        });
        match (
            self.standing(job, outcome),
            own,
            job.delivery.queue.is_fifo(),
        ) {
            (Standing::Mine, Some(own), _) => {
                reached(Branch::OwnClaim);
                Ok(Claim::Mine(own))
            }
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
            (Standing::Abandoned, ..) if self.singled_out(job) && !job.alone => Ok(Claim::Suspect),
            (standing, ..) => self.refused(job, standing).await.map(Claim::Over),
        }
    }

    fn is_requested(&self, item: &Item) -> bool {
        item.contains_key(field::REVOKE_REQUESTED) && self.worker.keeps(Rule::HonourRequests)
    }

    fn asked(&self, known: &Known<'_>) -> Arc<Asked> {
        let revocations = self.worker.revocations().clone();
        Arc::new(Asked::new(revocations, known.def.name))
    }

    /// What earlier runs have left, and where this one adds to it.
    fn checkpoints(
        &self,
        job: &Job<'_>,
        old: Option<&Item>,
        lease_until: Timestamp,
    ) -> Arc<Checkpoints> {
        let claimed = checkpoint::Claimed {
            key: Key::Result(job.message.id.clone()),
            fence: match self.worker.keeps(Rule::FenceCheckpoints) {
                true => held(job, lease_until),
                false => When::Present,
            },
            until: self.stop_at(),
        };
        let values = old.map(checkpoint::of).unwrap_or_default();
        Arc::new(Checkpoints::new(values, Some(claimed)))
    }

    /// Whether what was asked for may have been done though the call failed.
    fn in_doubt(&self, error: &Error) -> bool {
        self.worker.keeps(Rule::AskAgainInDoubt)
            && matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout)
    }

    /// Writes a claim, or takes one back. Where it may be there though its call failed (`doubtful`: an earlier one), handing
    /// the message back would let it hold the task until its lease ends, and count as a death in
    /// quarantine: so it is asked for again, and recognises itself.
    async fn write_claim(&self, write: Write, mut doubtful: bool) -> Result<Outcome> {
        const TRIES: u32 = 4;
        let ports = self.worker.app().ports();
        let mut pause = Duration::from_millis(25);
        let mut outcome = self.write_record(write.clone()).await;
        for _ in 1..TRIES {
            match &outcome {
                Err(error) if error.is_retryable() && (doubtful || self.in_doubt(error)) => {}
                _ => break,
            }
            doubtful = true;
            reached(Branch::AsksAgain);
            ports.clock.sleep(pause).await;
            pause *= 4;
            outcome = self.write_record(write.clone()).await;
        }
        outcome
    }

    /// Gives up a claim that may be held by a message which is handed back: until its lease ends nobody could
    /// run the task, and then its process would be taken for dead. If this can't be written either, so it is.
    pub(super) async fn release(&self, job: &Job<'_>) {
        if !self.worker.keeps(Rule::AskAgainInDoubt) {
            return;
        }
        match self.write_release(job).await {
            Ok(Outcome::Applied(_)) => {
                reached(Branch::Released);
                let (task_id, owner) = (&job.message.id, &job.owner);
                tracing::warn!(task_id, owner, "gave its claim up");
            }
            Ok(Outcome::Refused(_)) => {}
            Err(error) => {
                let task_id = &job.message.id;
                tracing::warn!(task_id, %error, "its claim stands until its lease ends");
            }
        }
    }

    async fn write_release(&self, job: &Job<'_>) -> Result<Outcome> {
        // Due at once: no time is set, which another's clock might not have reached.
        let mut changes = vec![Change::Set(field::STATUS.into(), State::Retry.into())];
        changes.extend(unreported());
        let release = |changes: &[Change], when| Write {
            key: Key::Result(job.message.id.clone()),
            op: Op::Update(changes.to_vec()),
            when,
        };
        // Where others stand for the task by now, it is no claim any more.
        let has = |name: &'static str| When::Has(name.into());
        let held = || When::All(vec![fence(job), When::Not(Box::new(has(field::GROUP)))]);
        if !(self.singled_out(job) && job.alone) {
            return self.write_claim(release(&changes, held()), true).await;
        }
        // What the claim has counted was no death. One that found nothing there has counted nothing.
        let plain = release(&changes, held());
        changes.push(Change::Add(field::CRASHES.into(), -1));
        let counted = When::All(vec![held(), has(field::CRASHES)]);
        match self.write_claim(release(&changes, counted), true).await? {
            Outcome::Refused(_) => self.write_claim(plain, true).await,
            released => Ok(released),
        }
    }

    fn lease_until(&self, attempt: &Attempt) -> Timestamp {
        match self.worker.keeps(Rule::LeaseOutlivesInvocation) {
            true => self.invocation.deadline + LEASE_GRACE,
            false => attempt.start + Duration::from_secs(5),
        }
    }

    fn lease(&self, job: &Job<'_>, attempt: &Attempt) -> Vec<(&'static str, Attribute)> {
        let message = &job.message;
        let mut fields = vec![
            (field::TASK, message.task.as_str().into()),
            (field::STATUS, State::Started.into()),
            (field::ATTEMPT, message.attempt.into()),
            (field::RETRIES, message.retries.into()),
            (field::OWNER, job.owner.as_str().into()),
            (field::LEASE_UNTIL, self.lease_until(attempt).into()),
            (field::STARTED_AT, attempt.start.into()),
            (field::QUEUE, job.home.as_str().into()),
            (field::TTL, (attempt.start + GUARD_FOR).as_secs().into()),
        ];
        if message.generation > 0 {
            fields.push((field::GENERATION, message.generation.into()));
        }
        fields.extend(tree(message));
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

    /// The claim of a task that was parked until now, in words that share a call.
    fn claim_of_parked(&self, job: &Job<'_>, attempt: &Attempt) -> Write {
        let lease = self.lease(job, attempt).into_iter();
        let mut changes: Vec<Change> = lease
            .map(|(name, value)| Change::Set(name.into(), value))
            .collect();
        let attempts = Attribute::List(vec![attempt.to_attribute()]);
        changes.push(Change::Set(field::ATTEMPTS.into(), attempts));
        changes.extend(unparked());
        let mut when = vec![
            When::Eq(field::STATUS.into(), State::Pending.into()),
            When::Eq(field::ATTEMPT.into(), job.message.attempt.into()),
        ];
        when.extend(
            job.message
                .eta
                .map(|eta| When::Eq(field::DUE_AT.into(), eta.into())),
        );
        Write {
            key: Key::Result(job.message.id.clone()),
            op: Op::Update(changes),
            when: When::All(when),
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
        changes.extend(unparked());
        changes.extend(unreported());
        let mut when = self.unleased(job);
        // A death is counted where it is the message's own.
        if self.singled_out(job) && job.alone {
            changes.push(Change::Add(field::CRASHES.into(), 1));
            when.push(abandoned(job, attempt.start));
        }
        let key = Key::Result(job.message.id.clone());
        Write {
            key,
            op: Op::Update(changes),
            when: When::Any(when),
        }
    }
}

/// What a task has in its record until it runs.
fn unparked() -> [Change; 3] {
    [field::DUE_AT, field::MESSAGE, field::PARKED].map(|name| Change::Remove(name.into()))
}
