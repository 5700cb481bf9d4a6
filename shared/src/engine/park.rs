//! Tasks that aren't due for longer than SQS delays a message: they wait in their records. See [`crate::parked`].

use futures_util::future::join;

use crate::app::whole_seconds;
use crate::error::Result;
use crate::parked::{self, IN_TIME, Sent};
use crate::ports::{Attribute, Change, Field, Item, Key, MAX_DELAY, Op, Outcome, When, Write};
use crate::record::{State, count, field, is_expired, status};
use crate::time::Timestamp;
use crate::worker::Disposition;

use super::standing::tree;
use super::{Batch, Branch, Job, Rule, reached};

impl Batch<'_> {
    /// Keeps the task's message in its record until it is due. Done again, it changes nothing: the task may have
    /// been moved meanwhile.
    pub(super) async fn park(&self, job: &Job<'_>, eta: Timestamp) -> Result<Disposition> {
        let sent = Sent {
            group: job.delivery.group.as_deref(),
            attributes: &job.delivery.attributes,
        };
        let Some(fields) = parked::kept(&job.message, &job.home, &sent, eta)? else {
            return self.carry_round(job).await;
        };
        let fields = fields.into_iter().chain(tree(&job.message));
        let fields: Vec<_> = fields
            .map(|(name, value)| (Field::from(name), value))
            .collect();
        let (entered, recorded) = join(self.enter(job, eta), self.write_parked(job, fields)).await;
        entered?;
        let old = match recorded? {
            Outcome::Applied(_) => {
                reached(Branch::Parked);
                let left = eta.since(self.now());
                if left <= IN_TIME {
                    // That took so long that its bucket may have been promoted.
                    self.send_on(job, &job.home, job.message.clone()).await?;
                }
                return Ok(Disposition::Done);
            }
            Outcome::Refused(old) => old,
        };
        match old
            .as_ref()
            .and_then(|old| Some((old, parked::until(old)?)))
        {
            Some((old, due)) if count(old, field::ATTEMPT) == job.message.attempt => {
                reached(Branch::ParkedBefore);
                self.help_parked(job, old, due).await
            }
            _ => {
                let standing = self.standing(job, Outcome::Refused(old));
                self.refused(job, standing).await
            }
        }
    }

    async fn enter(&self, job: &Job<'_>, eta: Timestamp) -> Result<()> {
        if !self.worker.keeps(Rule::EnterParked) {
            return Ok(());
        }
        let entry = parked::entry(&job.message.id, eta);
        self.claims.at_once(entry).await.map(drop)
    }

    async fn write_parked(
        &self,
        job: &Job<'_>,
        mut fields: Vec<(Field, Attribute)>,
    ) -> Result<Outcome> {
        let message = &job.message;
        if message.generation > 0 {
            fields.push((field::GENERATION.into(), message.generation.into()));
        }
        let key = Key::Result(message.id.clone());
        if message.attempt == 0 && job.delivery.receive_count <= 1 {
            let first = Write {
                key: key.clone(),
                op: Op::Put(fields.iter().cloned().collect::<Item>()),
                when: When::Absent,
            };
            if let Outcome::Applied(old) = self.claims.at_once(first).await? {
                return Ok(Outcome::Applied(old));
            }
        }
        let changes = fields.into_iter();
        let parked = When::All(vec![
            When::Has(field::PARKED.into()),
            When::Eq(field::ATTEMPT.into(), message.attempt.into()),
        ]);
        let write = Write {
            key,
            op: Op::Update(
                changes
                    .map(|(name, value)| Change::Set(name, value))
                    .collect(),
            ),
            when: When::All(vec![
                When::Any(self.unleased(job)),
                When::Not(Box::new(parked)),
            ]),
        };
        self.write_record(write).await
    }

    /// Another copy of the message has parked the task, and may have died before it entered it; or it was moved.
    async fn help_parked(&self, job: &Job<'_>, old: &Item, due: Timestamp) -> Result<Disposition> {
        let store = &self.worker.app().ports().store;
        store.write(parked::entry(&job.message.id, due)).await?;
        let now = self.now();
        if due.since(now) <= IN_TIME
            && let Some(message) = parked::message(old, now)
        {
            let (queue, outgoing) = message?;
            self.outbox.send(&queue, outgoing).await?;
        }
        Ok(Disposition::Done)
    }

    /// The task was put off since the message was sent: until then, or into another bucket.
    pub(super) async fn await_move(&self, job: &Job<'_>, due_at: Timestamp) -> Result<Disposition> {
        let left = due_at.since(self.now());
        if job.delivery.queue.is_fifo() {
            self.hide(job.delivery, whole_seconds(left)).await?;
            return Ok(Disposition::Returned);
        }
        let mut message = job.message.clone();
        message.eta = Some(due_at);
        if left <= MAX_DELAY {
            self.send_on(job, &job.home, message).await?;
            return Ok(Disposition::Done);
        }
        // A retry that is put off hasn't been parked yet: this is its only message.
        let moved = Job {
            delivery: job.delivery,
            message,
            home: job.home.clone(),
            owner: job.owner.clone(),
            alone: job.alone,
        };
        Box::pin(self.park(&moved, due_at)).await
    }

    /// Too large for a record, it waits in the queue: 900 s at a time.
    async fn carry_round(&self, job: &Job<'_>) -> Result<Disposition> {
        // Many such hops may outlive the record that says it was revoked.
        let key = Key::Result(job.message.id.clone());
        if let Some(item) = self.worker.app().ports().store.get(&key).await?
            && status(&item).is_some_and(State::is_final)
            && !is_expired(&item, self.now())
        {
            return self.follow_again(job, &item).await;
        }
        let mut copy = self.copy(job, &job.delivery.queue, &job.message)?;
        copy.delay = MAX_DELAY;
        self.outbox.send(&job.delivery.queue, copy).await?;
        Ok(Disposition::Done)
    }
}
