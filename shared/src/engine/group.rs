//! Groups at work: their members are sent, counted as they end, and what follows the last is done.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use serde_json::Value;

use crate::app::GUARD_FOR;
use crate::canvas::{Fails, Input};
use crate::error::{Error, ErrorKind, Result};
use crate::failure::Failure;
use crate::group::{
    Block, CHORD_ERROR, Counted, Header, added_id, chord_error, header_fields, member_id,
};
use crate::launch::{Launch, Origin, outgoing};
use crate::message::{FanOut, Member, Message};
use crate::ports::{Attribute, Change, Key, Op, Outcome, QueueName, When, Write};
use crate::record::{self, State, field};
use crate::watch;
use crate::worker::Disposition;

use super::coalesce::{all, hand_out, unanswered};
use super::follow::{Ending, Output, Up};
use super::outage::outlasts_receives;
use super::reroute::ended_with_another;
use super::standing::{kept_for, tree};
use super::{Batch, Job};

/// How many members one delivery sends: some fifty calls, well within any invocation.
pub(super) const PART: usize = 500;
/// So many bytes of what is handed to members are sent at a time: in memory each is there a few times over.
const SENT_AT_ONCE: usize = 4 * 1024 * 1024;
/// Results of so many members are read to be carried along.
const CARRIED_MEMBERS: usize = 100;
/// Results of so many bytes are carried along: SQS counts a message by 64 KB.
const CARRIED: usize = 48 * 1024;
/// Results of so many bytes stand in the group's own record.
const RECORDED: usize = 4 * 1024;

impl Batch<'_> {
    /// Sends the members of a group. Done again, it sends the same messages again.
    pub(super) async fn fan_out(&self, job: &Job<'_>, fan_out: &FanOut) -> Result<Disposition> {
        let message = &job.message;
        if let Some(opened) = fan_out.check {
            return self.check(job, opened).await;
        }
        if let Some(by) = self.group_revocation(job).await? {
            return self.revoke_group(job, fan_out, &by).await;
        }
        if fan_out.part.is_none_or(|part| !part.kept) {
            // Before all: whoever dies after this has left a group that is looked after.
            self.watch(message).await?;
        }
        if fan_out.first() > 0
            && self
                .worker
                .app()
                .record(&message.id)
                .await?
                .status
                .is_final()
        {
            // It was revoked or given up, or has failed at once.
            return Ok(Disposition::Done);
        }
        // What begins with the first member begins the group.
        if fan_out.first() == 0
            && let Some(ended) = self.open(job, fan_out).await?
        {
            self.after(message, ended).await?;
            return Ok(Disposition::Done);
        }
        let size = fan_out.size();
        if size == 0 {
            let up = self.complete(&message.id, false).await?;
            self.count_up(up).await?;
        } else if fan_out.members.len() > PART {
            self.send_parts(job).await?;
        } else {
            self.send_members(message).await?;
        }
        tracing::debug!(task_id = message.id, size, "sent a group");
        Ok(Disposition::Done)
    }

    /// Has the group looked after, whatever becomes of this process.
    pub(super) async fn watch(&self, message: &Message) -> Result<()> {
        let Some(fan_out) = &message.fan_out else {
            return Ok(());
        };
        let watched = watch::begin(&message.id, fan_out, self.now());
        let store = &self.worker.app().ports().store;
        for outcome in store.write_many(watched).await {
            outcome?;
        }
        Ok(())
    }

    /// Sends what stands for a task that was replaced. Done again, it sends the same message again.
    pub(super) async fn send_in_place(&self, standing: &Message) -> Result<()> {
        self.watch(standing).await?;
        self.send_members(standing).await
    }

    /// Records that the group has begun; how it ended, if it has.
    async fn open(&self, job: &Job<'_>, fan_out: &FanOut) -> Result<Option<Ending>> {
        let (message, now) = (&job.message, self.now());
        let mut fields = header_fields(message, fan_out.size())?;
        fields.extend([
            (field::TASK.into(), message.task.as_str().into()),
            (field::STATUS.into(), State::Started.into()),
            (field::ATTEMPT.into(), message.attempt.into()),
            (field::QUEUE.into(), job.home.as_str().into()),
            (field::STARTED_AT.into(), now.into()),
            (field::TTL.into(), (now + GUARD_FOR).as_secs().into()),
        ]);
        fields.extend(tree(message).map(|(name, id)| (name.into(), id)));
        let set = |(name, value)| Change::Set(name, value);
        let write = Write {
            key: Key::Result(message.id.clone()),
            op: Op::Update(fields.into_iter().map(set).collect()),
            when: When::Any(self.unleased(job)),
        };
        let store = &*self.worker.app().ports().store;
        let outcome = record::write(store, write, now).await?;
        Ok(match outcome {
            Outcome::Applied(_) => None,
            Outcome::Refused(old) => old.and_then(|item| Ending::of(&message.id, &item)),
        })
    }

    /// A large group is sent by several deliveries: this one sends the first members, and messages for the
    /// others.
    async fn send_parts(&self, job: &Job<'_>) -> Result<()> {
        let mut parts = job.message.split_by_count(PART);
        let first = parts.next();
        let mut parts = parts.peekable();
        while parts.peek().is_some() {
            let parts = parts.by_ref().take(at_once(&job.message));
            all(parts.map(|part| self.send_part(job, part))).await?;
        }
        match first {
            Some(first) => self.send_members(&first).await,
            None => Ok(()),
        }
    }

    /// Sends the message of some of a group's members.
    pub(super) async fn send_part(&self, job: &Job<'_>, part: Message) -> Result<()> {
        let queue = match job.home.is_fifo() {
            true => QueueName::new(QueueName::DEFAULT),
            false => job.home.clone(),
        };
        let outgoing = outgoing(&part, &queue, self.now())?;
        self.outbox.send(&queue, outgoing).await.map(drop)
    }

    async fn send_members(&self, message: &Message) -> Result<()> {
        let Some(fan_out) = &message.fan_out else {
            return Ok(());
        };
        let mut places = fan_out.first()..;
        let size = count_of(fan_out.size());
        for members in fan_out.members.chunks(at_once(message)) {
            let sent = members.iter().zip(places.by_ref()).map(|(member, place)| {
                let place = place_in(message, place, size);
                self.send_member(message, member, place)
            });
            all(sent).await?;
        }
        Ok(())
    }

    /// Sends what starts a member of a group.
    pub(super) async fn send_member(
        &self,
        message: &Message,
        member: &Value,
        place: Member,
    ) -> Result<()> {
        let input = match (&message.results_of, message.args.first()) {
            (Some(group), _) => Input::ResultsOf(group.clone()),
            (None, Some(value)) => Input::Value(value.clone()),
            (None, None) => Input::None,
        };
        let launch = move |mut canvas: crate::canvas::Canvas| {
            canvas.set_id(member_id(&place.group, place.index));
            Launch {
                input,
                member: Some(place),
                ..Launch::of(canvas, Origin::after(message))
            }
        };
        let up = self.launch(message, member, launch).await?;
        self.count_up(up).await
    }

    /// Counts a member that has ended, and whatever ends with it: its group, the group that one is a member
    /// of, and so on. One after the other, however deep they lie.
    pub(super) async fn count_up(&self, mut up: Up) -> Result<()> {
        while let Some((member, failed)) = up {
            up = self.count(member, failed).await?;
        }
        Ok(())
    }

    /// Counts a member together with whoever is counted at the same moment. All of those who complete a group
    /// go on with what it is a member of, together: the message of one may be gone by now, because another copy
    /// of it was acknowledged, and then it could make nothing good.
    async fn count(&self, member: Member, failed: bool) -> Result<Up> {
        let (answer, place) = self.counts.add((member, failed));
        if place == 1 {
            tokio::task::yield_now().await;
            let (counts, waiting) = self.counts.take();
            let mut blocks: BTreeMap<(&str, Block), Vec<usize>> = BTreeMap::new();
            for (place, (member, _)) in counts.iter().enumerate() {
                let block = (member.group.as_str(), Block::of(member.index));
                blocks.entry(block).or_default().push(place);
            }
            let counted = blocks.into_iter().map(|((_, block), places)| {
                let members = places.iter().filter_map(|place| counts.get(*place));
                let members = members.collect();
                async move { (places, self.count_in(block, members).await) }
            });
            let mut answers: Vec<Result<Up>> = counts.iter().map(|_| Ok(None)).collect();
            for (places, counted) in join_all(counted).await {
                for place in places {
                    let Some(answer) = answers.get_mut(place) else {
                        continue;
                    };
                    *answer = match &counted {
                        Ok(up) => Ok(up.clone()),
                        Err(error) => Err(Error::new(error.kind(), error.to_string())),
                    };
                }
            }
            hand_out(waiting, answers);
        }
        answer.await.map_err(unanswered)?
    }

    async fn count_in(&self, first: Block, members: Vec<&(Member, bool)>) -> Result<Up> {
        let Some((member, _)) = members.first() else {
            return Ok(None);
        };
        let (group, size) = (&member.group, member.size);
        let all = members.iter().map(|(member, _)| Block::place(member.index));
        let mut done: BTreeSet<i64> = all.collect();
        let lost = members.iter().filter(|(_, failed)| *failed);
        let mut failed: BTreeSet<i64> = lost.map(|(one, _)| Block::place(one.index)).collect();
        let fast = !failed.is_empty() && member.fast;
        let mut block = first;
        loop {
            let before = self.add_to(block, group, &done, &failed).await?;
            let counted = Counted::of(before.as_ref(), &done, &failed, block, size);
            if fast {
                // Whoever is still to come finds the group at its end.
                let late = counted.late;
                return self.complete_at_once(group, block, &failed, late).await;
            }
            if !counted.full {
                return Ok(None);
            }
            let Some(above) = block.above(size) else {
                return self.complete_full(block, member, counted.failed).await;
            };
            done = BTreeSet::from([Block::place(block.number)]);
            failed = match counted.failed {
                true => done.clone(),
                false => BTreeSet::new(),
            };
            block = above;
        }
    }

    /// Ends a group and does what follows; what it is a member of is left to be counted. Done again, it does
    /// what follows again.
    pub(super) async fn complete(&self, id: &str, failed: bool) -> Result<Up> {
        match self.begun(id).await? {
            Some(header) => self.end(&header, failed).await,
            None => Ok(None),
        }
    }

    pub(super) async fn end(&self, header: &Header, failed: bool) -> Result<Up> {
        let id = &header.message.id;
        if let Some(ended) = Ending::of(id, &header.item) {
            return self.consequences(&header.message, ended).await;
        }
        let ending = self.ending(header, failed).await?;
        let write = self.end_write(header, &ending);
        match self.insist(&write).await? {
            Outcome::Applied(_) => self.consequences(&header.message, ending).await,
            // Somebody else was faster, or an earlier try of this: what is recorded counts.
            Outcome::Refused(old) => match old.and_then(|item| Ending::of(id, &item)) {
                Some(ended) => self.consequences(&header.message, ended).await,
                None => Ok(None),
            },
        }
    }

    fn end_write(&self, header: &Header, ending: &Ending) -> Write {
        let (id, now) = (&header.message.id, self.now());
        let expires = self.worker.app().config().result_expires;
        let ttl = now + kept_for(id, false, expires).max(GUARD_FOR);
        let mut changes = vec![
            Change::Set(field::FINISHED_AT.into(), now.into()),
            Change::Set(field::CHILDREN.into(), list(header.message.follows())),
            Change::Set(field::TTL.into(), ttl.as_secs().into()),
        ];
        let state = match ending {
            Ending::Success(output) | Ending::Grown(output, _) => {
                let text = match output {
                    Output::Value(value) => Some(value.to_string()),
                    _ => None,
                };
                if let Some(text) = text.filter(|text| text.len() <= RECORDED) {
                    changes.push(Change::Set(field::RESULT.into(), text.into()));
                }
                State::Success
            }
            // Started it has: what was revoked is a part of it.
            Ending::Failure(failure) | Ending::Unsent(failure) | Ending::Revoked(failure) => {
                changes.push(Change::Set(field::ERROR.into(), failure.into()));
                State::Failure
            }
            Ending::Ignored => State::Ignored,
        };
        changes.push(Change::Set(field::STATUS.into(), state.into()));
        Write {
            key: Key::Result(id.clone()),
            op: Op::Update(changes),
            when: When::Eq(field::STATUS.into(), State::Started.into()),
        }
    }

    /// How a group ends whose members are done.
    async fn ending(&self, header: &Header, failed: bool) -> Result<Ending> {
        let app = self.worker.app();
        let (id, message) = (&header.message.id, &header.message);
        let fails = message.fan_out.as_ref().map(|fan_out| fan_out.fails);
        if failed && fails == Some(Fails::Stands) {
            let record = app.record(&member_id(id, 0)).await?;
            return Ok(match (record.status, record.error) {
                (State::Revoked, Some(error)) => Ending::Revoked(error),
                (_, Some(error)) => Ending::Failure(error),
                (_, None) => Ending::Failure(self.chord_error(&record.id, None)),
            });
        }
        if failed && fails != Some(Fails::Collect) {
            let first = app.first_failed(id, header.size).await?;
            let member = member_id(id, first.unwrap_or_default());
            let record = app.record(&member).await?;
            if record.added && record.status == State::Success {
                // It hasn't failed, but the group of what it added: by one of those, or on its way.
                let added = app.record(&added_id(&member)).await?;
                return Ok(Ending::Failure(match added.error {
                    Some(error) if error.kind == CHORD_ERROR => error,
                    error => self.chord_error(&added.id, error),
                }));
            }
            return Ok(Ending::Failure(self.chord_error(&member, record.error)));
        }
        let results = match app.results_up_to(CARRIED_MEMBERS, header).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Ending::Failure(self.gone(&error)));
            }
            results => results?,
        };
        let carried = results.filter(|results| results.to_string().len() <= CARRIED);
        Ok(Ending::Success(match carried {
            Some(results) => Output::Value(results),
            None => Output::ResultsOf(id.clone()),
        }))
    }

    fn chord_error(&self, member: &str, error: Option<Failure>) -> Failure {
        let error = error.unwrap_or_else(|| Failure {
            kind: "Unknown".to_owned(),
            message:
                "it left no error: its record isn't there any more, it hasn't ended, or it was \
                      redriven since"
                    .to_owned(),
            causes: Vec::new(),
            retries: 0,
            at: self.now(),
        });
        chord_error(member, &error, self.now())
    }

    fn gone(&self, error: &Error) -> Failure {
        Failure {
            kind: CHORD_ERROR.to_owned(),
            message: error.to_string(),
            causes: Vec::new(),
            retries: 0,
            at: self.now(),
        }
    }

    /// The results that a message has for its first argument, where they are too many to be carried. They are
    /// read within the time that the run has; where that isn't enough, the message may come again.
    pub(super) async fn carried(&self, job: &Job<'_>) -> Result<Option<Value>> {
        let Some(group) = &job.message.results_of else {
            return Ok(None);
        };
        let left = self.stop_at().since(self.now());
        let clock = &self.worker.app().ports().clock;
        tokio::select! {
            biased;
            results = self.results_of(group) => results.map(Some),
            () = clock.sleep(left) => {
                let seconds = left.as_secs();
                let what = format!(
                    "the results of group {group}, its argument, could not be read in the {seconds} s that the \
                     invocation had left: give the function more time, or the group fewer and smaller results"
                );
                // An outage passes; what takes too long each time is the group's own.
                let kind = match outlasts_receives(job.delivery) {
                    true => ErrorKind::TooLarge,
                    false => ErrorKind::Timeout,
                };
                Err(Error::new(kind, what))
            }
        }
    }

    async fn results_of(&self, group: &str) -> Result<Value> {
        let app = self.worker.app();
        match app.group(group).await? {
            Some(header) => app.results(&header).await,
            None => Err(Error::new(
                ErrorKind::NotFound,
                format!("the record of group {group} isn't there any more"),
            )),
        }
    }

    /// Gives up a group, or a part of it, whose message SQS has given up: it may have begun, and never will
    /// be whole.
    pub(super) async fn reap_group(&self, job: &Job<'_>, failure: &Failure) -> Result<Disposition> {
        let (id, now) = (&job.message.id, self.now());
        let fan_out = job.message.fan_out.as_ref();
        if fan_out.is_some_and(|fan_out| fan_out.check.is_some()) {
            // The next look makes up for it.
            return Ok(Disposition::Done);
        }
        let mut changes = vec![
            Change::Set(field::TASK.into(), job.message.task.as_str().into()),
            Change::Set(field::STATUS.into(), State::Failure.into()),
            Change::Set(field::ERROR.into(), failure.into()),
            Change::Set(field::FINISHED_AT.into(), now.into()),
            Change::Set(field::TTL.into(), (now + GUARD_FOR).as_secs().into()),
        ];
        // Each part is a letter of its own; of the whole one is enough, however many copies there are.
        let is_whole = fan_out.is_some_and(|fan_out| fan_out.part.is_none());
        if is_whole {
            let message_id = job.delivery.message_id.as_str();
            changes.push(Change::Set(field::MESSAGE_ID.into(), message_id.into()));
        }
        let write = Write {
            key: Key::Result(id.clone()),
            op: Op::Update(changes),
            when: When::Any(vec![
                When::Absent,
                When::Eq(field::STATUS.into(), State::Started.into()),
                When::Eq(field::STATUS.into(), State::Retry.into()),
            ]),
        };
        let store = &*self.worker.app().ports().store;
        let outcome = record::write(store, write, now).await?;
        // A part knows nothing of what follows its group; the group's record does, if it has begun.
        let header = self.worker.app().group(id).await?;
        let message = header
            .as_ref()
            .map_or(&job.message, |header| &header.message);
        let Outcome::Refused(old) = outcome else {
            self.after(message, Ending::Failure(failure.clone()))
                .await?;
            return self.dead_job(job, failure, 0).await;
        };
        let old = old.unwrap_or_default();
        let Some(ended) = Ending::of(id, &old) else {
            return Ok(Disposition::Done);
        };
        // Whoever ended it may have died before it did what follows.
        self.after(message, ended.clone()).await?;
        match ended {
            // Given up before: by an earlier delivery of this message, or for another part.
            Ending::Failure(failure)
                if failure.kind == "Undelivered"
                    && !(is_whole && ended_with_another(&old, job.delivery)) =>
            {
                self.dead_job(job, &failure, 0).await
            }
            _ => Ok(Disposition::Done),
        }
    }
}

/// How many members are sent at a time: each has a copy of what the message hands to them.
pub(super) fn at_once(message: &Message) -> usize {
    let handed = message
        .args
        .first()
        .map_or(0, |value| value.to_string().len());
    (SENT_AT_ONCE / handed.max(1)).clamp(1, PART)
}

/// Ids as an attribute.
pub(super) fn list(ids: Vec<String>) -> Attribute {
    Attribute::List(ids.into_iter().map(Attribute::from).collect())
}

/// What the failure of one of its members does to the group.
pub(super) fn fails_of(message: &Message) -> Fails {
    let fan_out = message.fan_out.as_ref();
    fan_out.map(|fan_out| fan_out.fails).unwrap_or_default()
}

/// A place in the group that this is the message of.
pub(super) fn place_in(message: &Message, index: u32, size: u32) -> Member {
    Member {
        group: message.id.clone(),
        index,
        size,
        fast: fails_of(message) == Fails::Fast,
        stands: fails_of(message) == Fails::Stands,
    }
}

fn count_of(members: usize) -> u32 {
    u32::try_from(members).unwrap_or(u32::MAX)
}
