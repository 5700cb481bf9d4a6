//! What a look at a group does about members that are lost: they are sent again, or given up.

use crate::canvas::{self, GROUP};
use crate::error::Result;
use crate::failure::Failure;
use crate::group::{Header, added_id, member_id};
use crate::message::{Message, Part};
use crate::ports::{Change, Key, Op, When, Write};
use crate::record::{self, State, count, field, instant, unreported};
use crate::time::Timestamp;
use crate::watch::LONGEST;

use super::check::Missing;
use super::coalesce::all;
use super::group::{PART, place_in};
use super::stand::{Items, Stand, stand_of, stopped_at};
use super::standing::kept_for;
use super::{Batch, Job};

/// The error of what is given up.
const LOST: &str = "Lost";
/// So many neighbours or more are sent again by a message of their own.
const RUN: usize = 20;

impl Batch<'_> {
    /// Sends members as they were sent at first: neighbours by messages as a large group's, others each by its
    /// own. What of a member was done is recognised as done, and what follows from it is sent on.
    pub(super) async fn send_again(
        &self,
        job: &Job<'_>,
        header: &Header,
        members: &[Missing],
        items: &Items,
    ) -> Result<()> {
        self.revive(members, items).await?;
        let (message, size) = (&header.message, header.size);
        let values = |members: &[Missing]| {
            let kept = members.iter().filter_map(|member| member.kept.as_ref());
            kept.map(|(value, _)| value.clone()).collect::<Vec<_>>()
        };
        let neighbours = |one: &Missing, next: &Missing| one.index + 1 == next.index;
        for run in members
            .chunk_by(neighbours)
            .flat_map(|run| run.chunks(PART))
        {
            let Some(first) = run.first().filter(|_| run.len() >= RUN) else {
                let sent = run.iter().map(|member| self.send_one_again(header, member));
                all(sent).await?;
                continue;
            };
            let part = Part {
                first: first.index,
                size,
                kept: true,
            };
            let part = message.with_members(part, values(run));
            self.send_part(job, part).await?;
        }
        Ok(())
    }

    async fn send_one_again(&self, header: &Header, member: &Missing) -> Result<()> {
        let Some((value, _)) = &member.kept else {
            return Ok(());
        };
        let place = place_in(&header.message, member.index, header.size);
        self.send_member(&header.message, value, place).await
    }

    /// A later attempt whose process died, and whose message is lost, is to be had by the message of the
    /// first: that one sends a recorded retry on, and leaves alone what has begun.
    async fn revive(&self, members: &[Missing], items: &Items) -> Result<()> {
        let now = self.now();
        let canvases = members.iter().filter_map(|member| member.kept.as_ref());
        let steps = canvases.flat_map(|(_, canvas)| canvas.ids());
        let mut changes = vec![Change::Set(field::STATUS.into(), State::Retry.into())];
        changes.extend(unreported());
        let revived = steps.filter_map(|(id, _)| {
            let item = items.get(&id)?;
            let attempt = count(item, field::ATTEMPT);
            let is_dead = record::status(item) == Some(State::Started)
                && matches!(stand_of(item, now, now), Stand::Quiet(_));
            (is_dead && attempt > 0).then(|| {
                let when = vec![When::Eq(field::ATTEMPT.into(), attempt.into()), dead(now)];
                Write {
                    key: Key::Result(id),
                    op: Op::Update(changes.clone()),
                    when: When::All(when),
                }
            })
        });
        let store = &self.worker.app().ports().store;
        for outcome in store.write_many(revived.collect()).await {
            outcome?;
        }
        Ok(())
    }

    /// Records of a member that it is lost, does what follows, and counts it as failed. Those are told who are
    /// told of a failure of the step that it stopped at.
    pub(super) async fn give_up(
        &self,
        header: &Header,
        member: &Missing,
        items: &Items,
        since: Option<Timestamp>,
    ) -> Result<()> {
        let (message, size) = (&header.message, header.size);
        let id = member_id(&message.id, member.index);
        let part = match usize::try_from(size).is_ok_and(|size| size > PART) {
            true => ", or that of the part of its group that was to send it,",
            false => "",
        };
        let failure = match since {
            Some(since) => self.lost(since, part),
            None => self.too_old(header),
        };
        let steps = match &member.kept {
            Some((_, canvas)) => canvas.ids(),
            None => vec![(id.clone(), String::new())],
        };
        // Before the records, by which a look that comes again takes them for told. Who has ended, but for what
        // it has added, hasn't failed.
        if let Some((_, canvas)) = &member.kept
            && !member.has_added
        {
            let step = stopped_at(canvas, items, self.now());
            let mut of_member = message.clone();
            of_member.id = step.first_id().cloned().unwrap_or_else(|| id.clone());
            step.name().clone_into(&mut of_member.task);
            let errbacks = canvas::write_all(step.errbacks().into_iter().cloned())?;
            let whose = (of_member.id.as_str(), of_member.task.as_str());
            self.errbacks(&of_member, whose, &errbacks, &failure)
                .await?;
        }
        for (step, task) in steps {
            self.record_lost(message, step, &task, &failure).await?;
        }
        if member.has_added {
            self.record_lost(message, added_id(&id), GROUP, &failure)
                .await?;
        }
        let place = place_in(message, member.index, size);
        self.count_up(Some((place, true))).await
    }

    /// FAILURE, unless it has ended or somebody runs it.
    pub(super) async fn record_lost(
        &self,
        group: &Message,
        id: String,
        task: &str,
        failure: &Failure,
    ) -> Result<()> {
        let now = self.now();
        let ttl = now + kept_for(&id, false, self.worker.app().config().result_expires);
        let mut changes = vec![
            Change::Set(field::STATUS.into(), State::Failure.into()),
            Change::Set(field::ERROR.into(), failure.into()),
            Change::Set(field::FINISHED_AT.into(), now.into()),
            Change::Set(field::ROOT_ID.into(), group.root().into()),
            Change::Set(field::TTL.into(), ttl.as_secs().into()),
            Change::Remove(field::DUE_AT.into()),
        ];
        changes.extend(unreported());
        if id != group.id {
            changes.push(Change::Set(
                field::PARENT_ID.into(),
                group.id.as_str().into(),
            ));
        }
        if !task.is_empty() {
            changes.push(Change::Set(field::TASK.into(), task.into()));
        }
        let write = Write {
            key: Key::Result(id),
            op: Op::Update(changes),
            when: When::Any(vec![
                When::Absent,
                When::Eq(field::STATUS.into(), State::Retry.into()),
                When::Eq(field::STATUS.into(), State::Pending.into()),
                dead(now),
            ]),
        };
        self.write_record(write).await.map(drop)
    }

    pub(super) fn lost(&self, since: Timestamp, part: &str) -> Failure {
        self.given_up(format!(
            "nothing was heard of it since {since}: its message{part} is lost, as when a queue is purged or \
             keeps a message for no longer"
        ))
    }

    fn too_old(&self, header: &Header) -> Failure {
        let days = LONGEST.as_secs() / 86_400;
        let opened = instant(&header.item, field::STARTED_AT).unwrap_or_else(|| self.now());
        self.given_up(format!(
            "it hadn't ended {days} days after its group began at {opened}: the results of a group are kept \
             for no longer"
        ))
    }

    fn given_up(&self, message: String) -> Failure {
        Failure {
            kind: LOST.to_owned(),
            message,
            causes: Vec::new(),
            retries: 0,
            at: self.now(),
        }
    }
}

/// Its process is dead.
fn dead(now: Timestamp) -> When {
    When::All(vec![
        When::Eq(field::STATUS.into(), State::Started.into()),
        When::Below(field::LEASE_UNTIL.into(), now.into()),
    ])
}
