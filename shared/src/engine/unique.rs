//! The keys of unique tasks, as workers take them and give them back. See [`crate::unique`].

use crate::error::Result;
use crate::event::{Event, EventKind};
use crate::message::Message;
use crate::ports::Outcome;
use crate::record::State;
use crate::task::TaskDef;
use crate::unique::{self, Taken, Taking, Unique};
use crate::worker::Disposition;

use super::follow::Ending;
use super::standing::Standing;
use super::{Batch, Branch, Job, Rule, reached};

impl Batch<'_> {
    /// Takes the key of a unique task whose sender has taken none; and if it is another's, what becomes of the message.
    pub(super) async fn takes_key(
        &self,
        job: &mut Job<'_>,
        def: &TaskDef,
    ) -> Result<Option<Disposition>> {
        if job.message.unique_held.is_some() || !self.worker.keeps(Rule::HoldKeys) {
            return Ok(None);
        }
        let Some(wanted) = unique::of_message(&job.message, def) else {
            return Ok(None);
        };
        let taking = Taking::by_worker(&wanted, &job.message.id, self.now());
        let taken = match self.claims.at_once(taking.first_write()).await? {
            Outcome::Applied(_) => Taken::Mine,
            Outcome::Refused(_) => self.worker.app().take_for(&taking).await?,
        };
        if let Taken::By(first) = taken {
            return self.left_out_for(job, &first).await.map(Some);
        }
        // In what is sent on, too: a retry, a detour.
        job.message.unique_held = Some(wanted.text);
        job.message.unique_for = wanted.period;
        Ok(None)
    }

    async fn left_out_for(&self, job: &Job<'_>, first: &str) -> Result<Disposition> {
        let what = format!("left out: it is unique, and task {first} is the same");
        let failure = self.failure(job, "Duplicate", what);
        match self.record_unstarted(job, State::Ignored, &failure).await? {
            Standing::Mine => {
                reached(Branch::LeftOutForFirst);
                let task_id = &job.message.id;
                tracing::info!(task_id, first, "left out: another holds its key");
                let event = Event::of(EventKind::Ignored, &job.message).because(&failure);
                self.worker.app().tell(&event);
                // It has no key to give back.
                let mut message = job.message.clone();
                message.unique = Some(Unique::No);
                self.after(&message, Ending::Ignored).await?;
                Ok(Disposition::Done)
            }
            standing => self.refused(job, standing).await,
        }
    }

    /// The key that is given back when this task is done: that of a foreign message may have been taken by an earlier
    /// delivery, so it is made of its arguments again.
    pub(super) fn key_to_free(&self, message: &Message) -> Option<String> {
        if message.unique_held.is_some() {
            return message.key_until_done().map(str::to_owned);
        }
        if message.fan_out.is_some() {
            return None;
        }
        let def = self.worker.registered().find(&message.task)?;
        let wanted = unique::of_message(message, def)?;
        wanted.period.is_none().then_some(wanted.text)
    }

    /// Gives its key back, if it still is this task's.
    pub(super) async fn free_key(&self, message: &Message) -> Result<()> {
        if !self.worker.keeps(Rule::FreeKeys) {
            return Ok(());
        }
        let Some(key) = self.key_to_free(message) else {
            return Ok(());
        };
        let fenced = self.worker.keeps(Rule::FenceKeys);
        let write = unique::free(&key, &message.id, self.now(), fenced);
        match self.claims.at_once(write).await? {
            Outcome::Applied(_) => {}
            // It is another's by now, or was given back before.
            Outcome::Refused(_) => reached(Branch::KeyFreedBefore),
        }
        Ok(())
    }
}
