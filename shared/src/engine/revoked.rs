//! What was revoked by its group, root, stamp or name, and what was asked to stop: neither begins.
//!
//! What the process has read of the revocations lately turns a message away before its claim. Where that is too old
//! it is read beside the claim, so that it costs no time, by one call for the batch; and it is asked for again right
//! before the body. A task that was asked to stop while it ran says so in its record, which its next claim is told.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::canvas;
use crate::error::{Error, Result};
use crate::event::{Event, EventKind};
use crate::failure::{Failure, REVOKED};
use crate::group::member_id;
use crate::message::{FanOut, Member, Message};
use crate::record::State;
use crate::revocations::{Listed, Revocation};
use crate::worker::Disposition;

use super::claim::Claimed;
use super::coalesce::{all, hand_out, unanswered};
use super::decide::Verdict;
use super::follow::Ending;
use super::group::{at_once, place_in};
use super::standing::Standing;
use super::{Batch, Branch, Job, Known, Rule, reached};

impl Batch<'_> {
    fn looks(&self) -> bool {
        self.worker.app().config().revocations && self.worker.keeps(Rule::HonourRevocations)
    }

    /// What revokes a message, by what was read lately.
    pub(super) fn known_revocation(&self, job: &Job<'_>) -> Option<Revocation> {
        let fresh = self.worker.revocations().fresh(self.now());
        fresh.and_then(|listed| self.born_by(job, &listed))
    }

    fn born_by(&self, job: &Job<'_>, listed: &Listed) -> Option<Revocation> {
        if !self.looks() {
            return None;
        }
        let def = self.worker.registered().find(&job.message.task);
        listed.of_message(&job.message, def.map(|def| def.name))
    }

    /// Reads the revocations, if what was read is too old. Whoever needs them will ask again if this fails.
    pub(super) async fn look_ahead(&self) {
        if self.looks()
            && let Err(error) = self.listed().await
        {
            tracing::debug!(%error, "the revocations aren't known yet");
        }
    }

    async fn revocation(&self, job: &Job<'_>) -> Result<Option<Revocation>> {
        if !self.looks() {
            return Ok(None);
        }
        let listed = self.listed().await?;
        Ok(self.born_by(job, &listed))
    }

    /// The revocations as they were less than five seconds ago; read by one member of the batch for all.
    async fn listed(&self) -> Result<Arc<Listed>> {
        if let Some(fresh) = self.worker.revocations().fresh(self.now()) {
            return Ok(fresh);
        }
        let (answer, place) = self.revocations.add(());
        if place == 1 {
            let read = self.read_revocations().await;
            let (_, waiting) = self.revocations.take();
            let answers = waiting.iter().map(|_| match &read {
                Ok(listed) => Ok(listed.clone()),
                Err(error) => Err(Error::new(error.kind(), error.to_string())),
            });
            let answers: Vec<_> = answers.collect();
            hand_out(waiting, answers);
        }
        answer.await.map_err(unanswered)?
    }

    async fn read_revocations(&self) -> Result<Arc<Listed>> {
        const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(200)];
        let (app, known) = (self.worker.app(), self.worker.revocations());
        for pause in PAUSES {
            match known.read(app).await {
                Ok(listed) => return Ok(listed),
                Err(error) => tracing::debug!(%error, "the revocations are read again"),
            }
            app.ports().clock.sleep(pause).await;
        }
        known.read(app).await
    }

    /// Ends a task that bears a revocation, and that nobody has claimed.
    pub(super) async fn revoked(&self, job: &Job<'_>, by: &Revocation) -> Result<Disposition> {
        let failure = self.revoked_by(job, by);
        match self.record_unstarted(job, State::Revoked, &failure).await? {
            Standing::Mine => {
                reached(Branch::RevokedUnclaimed);
                let (task_id, task) = (&job.message.id, &job.message.task);
                tracing::info!(task_id, task, %by, "revoked");
                let event = Event::of(EventKind::Revoked, &job.message).because(&failure);
                self.worker.app().tell(&event);
                self.after(&job.message, Ending::Revoked(failure)).await?;
                Ok(Disposition::Done)
            }
            standing => self.refused(job, standing).await,
        }
    }

    fn revoked_by(&self, job: &Job<'_>, by: &Revocation) -> Failure {
        self.failure(job, REVOKED, format!("revoked by {by}, before it started"))
    }

    /// Why a task isn't to run, though it is claimed. To be asked right before its body begins.
    pub(super) async fn stopped(
        &self,
        known: &Known<'_>,
        claimed: &Claimed,
    ) -> Result<Option<Failure>> {
        if claimed.requested {
            reached(Branch::RequestHonoured);
            let what = "revoked while an earlier run of it was at work; it doesn't run again";
            return Ok(Some(self.failure(known.job, REVOKED, what.to_owned())));
        }
        let by = self.revocation(known.job).await?;
        Ok(by.map(|by| {
            reached(Branch::RevokedClaimed);
            self.revoked_by(known.job, &by)
        }))
    }

    /// A run that has learned that it is revoked isn't the last but by its own end: there is no other after it.
    pub(super) fn unless_revoked(&self, claimed: &Claimed, verdict: Verdict) -> Verdict {
        match verdict {
            Verdict::Retry { failure, .. }
                if claimed.asked.is_revoked() && self.worker.keeps(Rule::HonourRequests) =>
            {
                reached(Branch::RevokedForRetry);
                Verdict::Revoked(Failure {
                    kind: REVOKED.to_owned(),
                    message: format!("revoked while it ran; it would have been retried: {failure}"),
                    ..failure
                })
            }
            verdict => verdict,
        }
    }

    /// What revokes a group, or members of it.
    pub(super) async fn group_revocation(&self, job: &Job<'_>) -> Result<Option<Revocation>> {
        self.revocation(job).await
    }

    /// Ends a group before it begins; of one that has begun, those of these members that weren't sent yet. Done
    /// again, it changes nothing.
    pub(super) async fn revoke_group(
        &self,
        job: &Job<'_>,
        fan_out: &FanOut,
        by: &Revocation,
    ) -> Result<Disposition> {
        let (message, failure) = (&job.message, self.revoked_by(job, by));
        if fan_out.first() == 0 {
            match self.record_unstarted(job, State::Revoked, &failure).await? {
                Standing::Mine => {
                    reached(Branch::GroupRevoked);
                    tracing::info!(task_id = message.id, %by, "revoked a group");
                    self.after(message, Ending::Revoked(failure)).await?;
                    return Ok(Disposition::Done);
                }
                Standing::Final(item) => return self.follow_again(job, &item).await,
                _ => {}
            }
        }
        reached(Branch::MembersRevoked);
        let size = u32::try_from(fan_out.size()).unwrap_or(u32::MAX);
        let mut places = fan_out.first()..;
        for members in fan_out.members.chunks(at_once(message)) {
            let revoked = members.iter().zip(places.by_ref()).map(|(member, index)| {
                let place = place_in(message, index, size);
                self.revoke_unsent(message, member, place, &failure)
            });
            all(revoked).await?;
        }
        Ok(Disposition::Done)
    }

    /// Ends a member that isn't sent any more. One that was sent before is looked after by its own message.
    async fn revoke_unsent(
        &self,
        message: &Message,
        member: &Value,
        place: Member,
        failure: &Failure,
    ) -> Result<()> {
        let id = member_id(&place.group, place.index);
        let mut canvas = canvas::read(member.clone(), "a member of the group")?;
        canvas.set_id(id.clone());
        canvas.identify(&id);
        self.record_unsent(message, &canvas, State::Revoked, failure)
            .await?;
        match self.worker.app().record(&id).await?.status {
            State::Revoked => self.count_up(Some((place, true))).await,
            _ => Ok(()),
        }
    }
}
