//! A look at a group that hasn't ended, or whose end nobody has looked at yet: members that are lost are sent
//! again or given up, so that no group hangs for ever.
//!
//! A member's message may be lost where no protocol helps: a queue was purged, a message lay in its queue for
//! longer than the queue keeps one, a table was restored. What was lost is told from what waits or runs by
//! the time in which nothing was heard of it. Everything here may be done twice, and beside the workers:
//! what is sent again has the ids that it had, what is counted is a set, what is given up was claimed by
//! nobody.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::canvas::{self, Canvas, Fails, GROUP};
use crate::error::Result;
use crate::group::{Block, Header, added_id, blocks, member_id};
use crate::id;
use crate::message::Message;
use crate::ports::{Key, QueueName};
use crate::record::{State, field, instant, is_expired, status};
use crate::time::Timestamp;
use crate::watch::{self, BLIND_PATIENCE, GONE, LONGEST, PATIENCE};
use crate::worker::Disposition;

use super::coalesce::all;
use super::follow::Ending;
use super::group::place_in;
use super::stand::{Items, Stand, stand, stand_of};
use super::{Batch, Job};

/// A member that isn't counted, and hasn't ended.
pub(super) struct Missing {
    pub(super) index: u32,
    /// What it is, if that was kept.
    pub(super) kept: Option<(Value, Canvas)>,
    /// Whether it has ended but for what it has added to the group.
    pub(super) has_added: bool,
    stand: Stand,
}

impl Batch<'_> {
    /// Looks at a group that was opened within ten minutes of then.
    pub(super) async fn check(&self, job: &Job<'_>, opened: Timestamp) -> Result<Disposition> {
        let app = self.worker.app();
        let id = &job.message.id;
        let settled = match app.group(id).await? {
            None => self.never_begun(id, opened).await?,
            Some(header) => match Ending::of(id, &header.item) {
                Some(ending) => self.follow_end(job, &header, ending).await?,
                None => {
                    self.look_for_missing(job, &header, opened).await?;
                    false
                }
            },
        };
        if settled {
            app.ports().store.write(watch::end(id, opened)).await?;
        }
        Ok(Disposition::Done)
    }

    /// A group without a record: the message of its first members, which begins it, may still come. Whether
    /// there is no more to look after.
    async fn never_begun(&self, id: &str, opened: Timestamp) -> Result<bool> {
        let items = self.items(vec![id.to_owned()]).await?;
        // Revoked or given up before it began.
        if items.contains_key(id) {
            return Ok(true);
        }
        if self.now().since(opened) < GONE {
            return Ok(false);
        }
        let failure = self.lost(opened, " of its first members, which begins it,");
        tracing::error!(task_id = id, %failure, "a group never began");
        self.record_lost(&Message::new(id, GROUP), id.to_owned(), GROUP, &failure)
            .await?;
        Ok(true)
    }

    /// What follows the end of a group may have been lost like its members. Whether there is no more to
    /// look after.
    async fn follow_end(&self, job: &Job<'_>, header: &Header, ending: Ending) -> Result<bool> {
        let message = &header.message;
        let now = self.now();
        let ended = instant(&header.item, field::FINISHED_AT).unwrap_or(now);
        let follows = matches!(ending, Ending::Success(_) | Ending::Grown(..));
        if job.delivery.receive_count > 1 && !(follows && now.since(ended) >= GONE) {
            // An earlier delivery may have ended it, and its process have died before it did what follows.
            self.after(message, ending.clone()).await?;
        }
        let Some((next, rest)) = message.next() else {
            // At most it is a member of another group, and counted: once more costs one write.
            if message.member.is_some() {
                self.after(message, ending).await?;
            }
            return Ok(true);
        };
        if !follows {
            return self.follow_failure(job, header, ending, ended).await;
        }
        let mut next = canvas::read(next.clone(), "what follows the group")?;
        let default = id::derived(&[&message.id, "next"]);
        next.identify(&next.id().cloned().unwrap_or(default));
        let Some(first) = next.first_id().cloned() else {
            return Ok(true);
        };
        let key = Key::Result(first);
        if !self.leaves_record(&next, rest.is_empty() && message.member.is_none())
            || self.worker.app().ports().store.get(&key).await?.is_some()
        {
            return Ok(true);
        }
        let mut since = ended;
        let Stand::Quiet(since) = stand(&next, &Items::new(), &mut since, now) else {
            return Ok(true);
        };
        let quiet = now.since(since);
        if quiet >= GONE {
            let mut before = message.clone();
            before.fan_out = None;
            before.chain = rest.to_vec();
            let failure = self.lost(since, "");
            let up = self.fail_unsent(&before, &next, &failure).await?;
            self.count_up(up).await?;
        } else if quiet >= self.patience(job, &next) {
            tracing::warn!(task_id = message.id, "what follows a group is sent again");
            self.after(message, ending).await?;
        }
        Ok(quiet >= GONE)
    }

    /// What follows a group that has failed never runs, and has its records for that: the last of them is written
    /// when everybody was told. Whether there is no more to look after.
    async fn follow_failure(
        &self,
        job: &Job<'_>,
        header: &Header,
        ending: Ending,
        ended: Timestamp,
    ) -> Result<bool> {
        let message = &header.message;
        let body = message
            .fan_out
            .as_ref()
            .and_then(|fan_out| fan_out.body.as_ref());
        let Some(last) = message.chain.last().or(body) else {
            return Ok(true);
        };
        let last = canvas::read(last.clone(), "what follows the group")?;
        let ids: Vec<String> = last.ids().into_iter().map(|(id, _)| id).collect();
        let is_told = self.items(ids.clone()).await?.len() == ids.len();
        if !is_told && self.now().since(ended) >= self.patience(job, &last) {
            tracing::warn!(task_id = message.id, "a group's failure is told again");
            self.after(message, ending).await?;
        }
        Ok(is_told)
    }

    /// Whether its first task is to be seen in the results table once it has run. An idempotent one without
    /// a result isn't.
    fn leaves_record(&self, canvas: &Canvas, is_last: bool) -> bool {
        match canvas {
            Canvas::Task(call) => {
                let options = self.worker.app().registered().find(&call.task);
                let options = options.map(|def| def.options);
                let ignores = call.ignore_result;
                let ignores = ignores.or(options.map(|options| options.ignore_result));
                let is_idempotent = options.is_none_or(|options| options.idempotent);
                !(is_last && call.link.is_empty() && is_idempotent && ignores != Some(false))
            }
            Canvas::Chain(_) | Canvas::Group(_) => true,
        }
    }

    async fn look_for_missing(
        &self,
        job: &Job<'_>,
        header: &Header,
        opened: Timestamp,
    ) -> Result<()> {
        let (id, size) = (&header.message.id, header.size);
        let app = self.worker.app();
        let (done, failed) = app.counted(id, size).await?;
        let fails = header.message.fan_out.as_ref().map(|fan_out| fan_out.fails);
        if size == 0 || (!failed.is_empty() && fails == Some(Fails::Fast)) {
            let up = self.complete(id, !failed.is_empty()).await?;
            return self.count_up(up).await;
        }
        let missing: Vec<u32> = (0..size).filter(|index| !done.contains(index)).collect();
        if missing.is_empty() {
            // Whoever completed a block died before it was counted in the one above.
            let again = blocks(size).map(|block| {
                let first = block.first();
                let next = failed.range(first..).next();
                // One that has failed, as the one that did: by its error the group fails.
                match next.filter(|next| Block::of(**next) == block) {
                    Some(failed) => (*failed, true),
                    None => (first, false),
                }
            });
            return self.count_all(header, again).await;
        }
        let ids: Vec<String> = missing.iter().map(|index| member_id(id, *index)).collect();
        let mut items = self.items(ids).await?;
        // Members that have added others wait for these.
        let grown = items
            .iter()
            .filter(|(_, item)| item.contains_key(field::ADDED));
        let added = grown.map(|(id, _)| added_id(id)).collect();
        items.extend(self.items(added).await?);
        let ended = missing.iter().filter_map(|index| {
            let member = member_id(id, *index);
            let item = items.get(&member)?;
            let item = match item.contains_key(field::ADDED) {
                true => items.get(&added_id(&member))?,
                false => item,
            };
            let state = status(item)?;
            let has_failed = matches!(state, State::Failure | State::Revoked);
            state.is_final().then_some((*index, has_failed))
        });
        let ended: BTreeMap<u32, bool> = ended.collect();
        self.count_all(
            header,
            ended.iter().map(|(index, failed)| (*index, *failed)),
        )
        .await?;
        let now = self.now();
        let opened = instant(&header.item, field::STARTED_AT).unwrap_or(opened);
        if now.since(opened) < PATIENCE {
            return Ok(());
        }
        let missing = missing
            .into_iter()
            .filter(|index| !ended.contains_key(index));
        let missing = self.missing(header, missing.collect(), &mut items).await?;
        let is_over = now.since(opened) >= LONGEST;
        let (mut again, mut lost) = (Vec::new(), Vec::new());
        for member in missing {
            let first = member.kept.as_ref().map(|(_, canvas)| canvas);
            match member.stand {
                _ if is_over => lost.push((member, None)),
                Stand::Alive | Stand::Over => {}
                Stand::Quiet(since) if now.since(since) >= GONE => lost.push((member, Some(since))),
                Stand::Quiet(since)
                    if first.is_some_and(|first| now.since(since) >= self.patience(job, first)) =>
                {
                    again.push(member);
                }
                Stand::Quiet(_) => {}
            }
        }
        if !again.is_empty() {
            let members = again.len();
            tracing::warn!(task_id = id, members, "members of a group are sent again");
            self.send_again(job, header, &again, &items).await?;
        }
        if !lost.is_empty() {
            let members = lost.len();
            tracing::error!(task_id = id, members, "members of a group are given up");
            let lost = lost
                .iter()
                .map(|(member, since)| self.give_up(header, member, &items, *since));
            all(lost).await?;
        }
        Ok(())
    }

    async fn count_all(
        &self,
        header: &Header,
        members: impl Iterator<Item = (u32, bool)>,
    ) -> Result<()> {
        let counted = members.map(|(index, failed)| async move {
            let place = place_in(&header.message, index, header.size);
            self.count_up(Some((place, failed))).await
        });
        all(counted).await.map(drop)
    }

    /// The records under these ids, as far as there are any.
    async fn items(&self, ids: Vec<String>) -> Result<Items> {
        let keys: Vec<Key> = ids.iter().cloned().map(Key::Result).collect();
        let items = self.worker.app().ports().store.get_many(&keys).await?;
        let now = self.now();
        let found = ids
            .into_iter()
            .zip(items)
            .filter_map(|(id, item)| Some((id, item?)));
        Ok(found.filter(|(_, item)| !is_expired(item, now)).collect())
    }

    /// What is known of the members that haven't ended.
    async fn missing(
        &self,
        header: &Header,
        indexes: Vec<u32>,
        items: &mut Items,
    ) -> Result<Vec<Missing>> {
        let (id, size) = (&header.message.id, header.size);
        let mut kept = self.worker.app().kept_members(id, size).await?;
        // What stands for a task is in that one's record, too.
        let recorded = header.message.fan_out.as_ref();
        let recorded = recorded.map_or(&[][..], |fan_out| &fan_out.members);
        for (kept, member) in kept.iter_mut().zip(recorded) {
            kept.get_or_insert_with(|| member.clone());
        }
        let mut missing = Vec::with_capacity(indexes.len());
        let mut inner = Vec::new();
        for index in indexes {
            let place = usize::try_from(index).ok();
            let value = place.and_then(|place| kept.get_mut(place)?.take());
            let kept = match value {
                Some(value) => {
                    let mut canvas = canvas::read(value.clone(), "a member of the group")?;
                    let own = member_id(id, index);
                    canvas.set_id(own.clone());
                    canvas.identify(&own);
                    inner.extend(
                        canvas
                            .ids()
                            .into_iter()
                            .map(|(id, _)| id)
                            .filter(|id| *id != own),
                    );
                    Some((value, canvas))
                }
                None => None,
            };
            missing.push((index, kept));
        }
        items.extend(self.items(inner).await?);
        let (now, opened) = (self.now(), instant(&header.item, field::STARTED_AT));
        let missing = missing.into_iter().map(|(index, kept)| {
            let mut since = opened.unwrap_or(now);
            let stand = match &kept {
                Some((_, canvas)) => stand(canvas, items, &mut since, now),
                None => match items.get(&member_id(id, index)) {
                    Some(item) => {
                        since = instant(item, field::FINISHED_AT).unwrap_or(since);
                        stand_of(item, since, now)
                    }
                    None => Stand::Quiet(since),
                },
            };
            // Its steps have ended, and it hasn't: the last of them was followed by nothing, or it waits for
            // what that has added, a group which is watched itself.
            let stand = match (stand, items.get(&added_id(&member_id(id, index)))) {
                (Stand::Over, Some(added)) => stand_of(added, since, now),
                (stand, _) => stand,
            };
            let stand = match stand {
                Stand::Over => Stand::Quiet(since),
                stand => stand,
            };
            let own = items.get(&member_id(id, index));
            Missing {
                index,
                kept,
                has_added: own.is_some_and(|item| item.contains_key(field::ADDED)),
                stand,
            }
        });
        Ok(missing.collect())
    }

    /// For how long a message may wait in its queue, by how long this one did.
    fn patience(&self, job: &Job<'_>, first: &Canvas) -> Duration {
        // As it was sent: by its route, where it names no queue.
        let mut first = first.clone();
        first.keep_queues();
        let settled = self.worker.app().settle(&mut first);
        let queue = first.first_queue();
        let here = settled.is_ok() && queue.is_none_or(|queue| *queue == job.delivery.queue);
        match here && job.delivery.queue.as_str() == QueueName::DEFAULT {
            true => PATIENCE.max(self.now().since(job.delivery.sent_at) * 4),
            false => BLIND_PATIENCE,
        }
    }
}
