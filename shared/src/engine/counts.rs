//! A group's counts: where its members' ends are written, and whether one of them ends the group.

use std::collections::BTreeSet;

use crate::canvas::Fails;
use crate::error::Result;
use crate::group::{Block, Header};
use crate::message::Member;
use crate::ports::{Item, Outcome, Write};
use crate::record;

use super::Batch;
use super::follow::{Ending, Up};
use super::group::fails_of;

impl Batch<'_> {
    /// Counts places in a block: the item before.
    pub(super) async fn add_to(
        &self,
        block: Block,
        group: &str,
        done: &BTreeSet<i64>,
        failed: &BTreeSet<i64>,
    ) -> Result<Option<Item>> {
        loop {
            let now = self.now();
            let write = block.add(group, done, failed, now);
            if let Outcome::Applied(before) = self.insist(&write).await? {
                return Ok(before);
            }
            let anew = record::anew(write, now);
            if let Outcome::Applied(_) = self.insist(&anew).await? {
                return Ok(None);
            }
            // Somebody else has begun it anew, or an earlier try of this: it isn't past its `ttl` any more.
        }
    }

    /// Writes for as long as the invocation lasts.
    pub(super) async fn insist(&self, write: &Write) -> Result<Outcome> {
        let ports = self.worker.app().ports();
        let tried = ports.store.write(write.clone()).await;
        record::insist(ports, write, tried, self.invocation.deadline).await
    }

    /// Ends a group that fails at once, by members of it that have failed. It is for the first one of a block to
    /// do what follows, and again when its message comes again: it isn't acknowledged before that is done. One
    /// that is late only counts, unless the group hasn't ended: it may have begun after the first one failed.
    pub(super) async fn complete_at_once(
        &self,
        group: &str,
        block: Block,
        failed: &BTreeSet<i64>,
        late: bool,
    ) -> Result<Up> {
        let Some(header) = self.begun(group).await? else {
            return Ok(None);
        };
        let first = i64::from(block.first());
        let is_member = |place: &i64| first + place < i64::from(header.size);
        let has_ended = Ending::of(group, &header.item).is_some();
        if fails_of(&header.message) != Fails::Fast
            || !failed.iter().any(is_member)
            || (late && has_ended)
        {
            return Ok(None);
        }
        self.end(&header, true).await
    }

    /// Ends a group by a member that has filled its root block; or what its message takes for that. Only
    /// the group's record knows how many members there are, and where they are counted.
    pub(super) async fn complete_full(
        &self,
        root: Block,
        member: &Member,
        failed: bool,
    ) -> Result<Up> {
        let Some(header) = self.begun(&member.group).await? else {
            return Ok(None);
        };
        let (id, size) = (&member.group, header.size);
        let is_sure = root.level == 0 && member.size == size;
        if !is_sure && self.worker.app().completed(id, size).await? < size {
            tracing::warn!(
                task_id = id,
                size,
                named = member.size,
                "not all its members are done"
            );
            return Ok(None);
        }
        self.end(&header, failed).await
    }

    /// The record of a group of which a member has ended, so that it must have begun.
    pub(super) async fn begun(&self, id: &str) -> Result<Option<Header>> {
        let header = self.worker.app().group(id).await?;
        if header.is_none() {
            tracing::error!(
                task_id = id,
                "a group is done whose record isn't there any more"
            );
        }
        Ok(header)
    }
}
