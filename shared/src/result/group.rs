//! What a group's handle knows beyond a task's.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{AsyncResult, ResultError, outcome};
use crate::error::{Error, ErrorKind, Result};
use crate::group::member_id;
use crate::record::{Record, State};
use crate::revocations::RevokeOutcome;

impl<T> AsyncResult<T> {
    /// What was before it: of a chain the step before, of a chord's body the group, of what a task sent that
    /// task. None, if it was the first. Without the handle that the send gave, it is known when it has begun.
    ///
    /// # Errors
    /// When the record can't be read.
    pub async fn parent(&self) -> Result<Option<AsyncResult<Value>>> {
        if let Some((parent, path)) = self.path.split_last() {
            let handle = AsyncResult::after(self.app.clone(), parent.clone(), path.into());
            return Ok(Some(handle));
        }
        let parent = self.record().await?.parent_id;
        Ok(parent.map(|id| self.app.result_of(id)))
    }

    /// What it has sent, and what follows from it: callbacks, the next step of a chain, the members of a
    /// group and its body. Of what a task sends itself, the first hundred. Known when it is done; of a group
    /// when it has begun.
    ///
    /// # Errors
    /// When the record can't be read.
    pub async fn children(&self) -> Result<Vec<AsyncResult<Value>>> {
        let record = self.record().await?;
        let members = (0..record.size.unwrap_or(0)).map(|index| member_id(&self.id, index));
        let ids = members.chain(record.children);
        Ok(ids.map(|id| self.app.result_of(id)).collect())
    }
}

impl<T> AsyncResult<Vec<T>> {
    /// How many members of the group are done, whatever their outcome.
    ///
    /// # Errors
    /// When the tables can't be read; `Invalid`, if it is no group.
    pub async fn completed(&self) -> Result<u32> {
        let record = self.record().await?;
        match self.size_of(&record)? {
            // What is counted is kept for two weeks, its result for as long as is wanted.
            Some(size) if record.status == State::Success => Ok(size),
            Some(size) => self.app.completed(&self.id, size).await,
            None => Ok(0),
        }
    }

    /// The group's members, in order: none before it has begun.
    ///
    /// # Errors
    /// As [`completed`](AsyncResult::completed).
    pub async fn members(&self) -> Result<Vec<AsyncResult<T>>> {
        let size = self.size().await?.unwrap_or(0);
        let ids = (0..size).map(|index| member_id(&self.id, index));
        Ok(ids.map(|id| self.app.result_of(id)).collect())
    }

    /// The members as they come to their ends: Celery's `iterate`. It waits so long at most for all of them. One
    /// that was revoked before it began comes to its end when its message does.
    pub fn as_completed(&self, timeout: Duration) -> Completed<'_, T> {
        Completed {
            of: self,
            until: self.app.now() + timeout,
            size: None,
            known: BTreeMap::new(),
            told: 0,
            over: false,
        }
    }

    /// Revokes the members that haven't started, and tells how many there were: Celery's
    /// `GroupResult.revoke`. One that runs is asked to stop. The group fails, as one does whose members were revoked.
    /// Before it has begun the group itself is revoked, and none of its members is sent any more: 0.
    ///
    /// # Errors
    /// When the tables can't be read or written.
    pub async fn revoke_members(&self) -> Result<u32> {
        const AT_ONCE: usize = 25;
        while self.size().await?.is_none() {
            match self.revoke().await {
                Ok(_) => return Ok(0),
                // It has begun just now.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        let mut revoked = 0;
        for members in self.members().await?.chunks(AT_ONCE) {
            for outcome in join_all(members.iter().map(AsyncResult::revoke)).await {
                match outcome {
                    Ok(RevokeOutcome::Revoked) => revoked += 1,
                    Ok(RevokeOutcome::Requested) => {}
                    Err(error) if error.kind() == ErrorKind::Conflict => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(revoked)
    }

    /// How many members the group has; none, before it has begun.
    async fn size(&self) -> Result<Option<u32>> {
        self.size_of(&self.record().await?)
    }

    fn size_of(&self, record: &Record) -> Result<Option<u32>> {
        match (record.size, record.status) {
            (Some(size), _) => Ok(Some(size)),
            (None, State::Pending | State::Revoked) => Ok(None),
            (None, _) => Err(Error::new(
                ErrorKind::Invalid,
                format!("{} is no group: it has no members", self.id),
            )),
        }
    }
}

/// A group's members in the order in which they end; see [`AsyncResult::as_completed`].
#[derive(Debug)]
pub struct Completed<'a, T> {
    of: &'a AsyncResult<Vec<T>>,
    until: crate::time::Timestamp,
    size: Option<u32>,
    /// Members that have ended and weren't told yet, by their places; `None`, once told.
    known: BTreeMap<u32, Option<Record>>,
    told: u32,
    /// Whether the group was found at its end, and all its members looked at then.
    over: bool,
}

impl<T: DeserializeOwned> Completed<'_, T> {
    /// The next member that has ended: its place and its outcome. `None`, when all were told.
    ///
    /// # Errors
    /// `Timeout`, if that takes too long; else when the tables can't be read. A member's own failure is inside.
    pub async fn next(&mut self) -> Result<Option<(u32, Result<T, ResultError>)>, ResultError> {
        let app = &self.of.app;
        let mut pause = Duration::from_millis(50);
        loop {
            if self.size.is_none() {
                self.size = self.of.size().await?;
            }
            if let Some(size) = self.size {
                if self.told == size {
                    return Ok(None);
                }
                if !self.known.values().any(Option::is_some) {
                    self.look(size).await?;
                }
                let next = self.known.iter_mut().find(|(_, record)| record.is_some());
                if let Some((place, record)) = next
                    && let Some(record) = record.take()
                {
                    self.told += 1;
                    let record = app.whole(record).await?;
                    let answer = match outcome(record) {
                        Ok(Some(value)) => Ok(value),
                        // It has ended: look() took no other.
                        Ok(None) => Err(ResultError::Timeout(State::Pending)),
                        Err(error) => Err(error),
                    };
                    return Ok(Some((*place, answer)));
                }
            }
            let left = self.until.since(app.now());
            if left.is_zero() {
                return Err(ResultError::Timeout(self.of.state().await?));
            }
            app.ports().clock.sleep(pause.min(left)).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// Asks for the members that are counted since. What is counted is kept for two weeks: of a group that has
    /// ended, once for all of them.
    async fn look(&mut self, size: u32) -> Result<(), ResultError> {
        let (app, id) = (&self.of.app, &self.of.id);
        let (mut new, _) = app.counted(id, size).await?;
        new.retain(|place| !self.known.contains_key(place));
        if new.is_empty() && !self.over && self.of.state().await?.is_final() {
            self.over = true;
            new = (0..size).collect();
            new.retain(|place| !self.known.contains_key(place));
        }
        let records = app.members_at(id, new.iter().copied()).await?;
        for (place, record) in new.into_iter().zip(records) {
            if record.status.is_final() {
                self.known.entry(place).or_insert(Some(record));
            }
        }
        Ok(())
    }
}
