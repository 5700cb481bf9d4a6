//! Revoking one task: a conditional write of its record.

use serde::Serialize;

use crate::app::{App, GUARD_FOR, conflict};
use crate::error::Result;
use crate::event::{Event, EventKind};
use crate::failure::{Failure, REVOKED};
use crate::ports::{Change, Item, Key, Op, Outcome, When, Write};
use crate::record::{self, State, field};

/// What revoking a task came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RevokeOutcome {
    /// It won't start: its record says REVOKED.
    Revoked,
    /// It runs, and is asked to stop. It ends as REVOKED if it does, if its process dies, or instead of running
    /// again; and as it would have otherwise.
    Requested,
}

impl App {
    /// Revokes a task: one that isn't running won't start, for its message will be dropped when it arrives, this week
    /// or next. One that runs is asked to stop: see [`Context::is_revoked`](crate::Context::is_revoked). Revoking it
    /// again changes nothing.
    ///
    /// # Errors
    /// `Conflict`, if it is final, or a group that has begun, or a task that others stand for.
    pub async fn revoke(&self, id: &str) -> Result<RevokeOutcome> {
        // Each round but the last saw the record change under it.
        const ROUNDS: usize = 4;
        let mut state = None;
        for _ in 0..ROUNDS {
            let Some(old) = self.write_revoked(id).await? else {
                return Ok(RevokeOutcome::Revoked);
            };
            state = record::status(&old);
            match state {
                Some(State::Revoked) => return Ok(RevokeOutcome::Revoked),
                Some(State::Started) if old.contains_key(field::GROUP) => {
                    let what = "stands for others, which have begun: revoke those, or all of them by \
                                their group or their root";
                    return Err(conflict(id, state, what));
                }
                Some(State::Started) => {}
                _ => break,
            }
            if self.request(id).await? {
                return Ok(RevokeOutcome::Requested);
            }
        }
        Err(conflict(id, state, "can't be revoked any more"))
    }

    /// Revokes a task that hasn't started, or waits to be run again. Whether it is revoked now.
    pub(crate) async fn revoke_unstarted(&self, id: &str) -> Result<bool> {
        let old = self.write_revoked(id).await?;
        Ok(old.is_none_or(|old| record::status(&old) == Some(State::Revoked)))
    }

    /// Records REVOKED where nobody runs the task; else the record as it is.
    async fn write_revoked(&self, id: &str) -> Result<Option<Item>> {
        let now = self.now();
        let failure = Failure {
            kind: REVOKED.to_owned(),
            message: "revoked before it started".to_owned(),
            causes: Vec::new(),
            retries: 0,
            at: now,
        };
        let write = Write {
            key: Key::Result(id.to_owned()),
            op: Op::Update(vec![
                Change::Set(field::STATUS.into(), State::Revoked.into()),
                Change::Set(field::ERROR.into(), (&failure).into()),
                Change::Set(field::FINISHED_AT.into(), now.into()),
                Change::Set(field::TTL.into(), (now + GUARD_FOR).as_secs().into()),
                Change::Remove(field::DUE_AT.into()),
            ]),
            when: When::Any(vec![
                When::Absent,
                When::Eq(field::STATUS.into(), State::Retry.into()),
                When::Eq(field::STATUS.into(), State::Pending.into()),
            ]),
        };
        match record::write(&*self.ports().store, write, now).await? {
            Outcome::Applied(_) => {
                self.tell(&Event {
                    kind: EventKind::Revoked,
                    id,
                    message: None,
                    failure: Some(&failure),
                    result: None,
                });
                Ok(None)
            }
            Outcome::Refused(old) => Ok(Some(old.unwrap_or_default())),
        }
    }

    /// Asks the run of a task to stop. Whether there is one.
    async fn request(&self, id: &str) -> Result<bool> {
        let started = When::Eq(field::STATUS.into(), State::Started.into());
        let not = |name: &'static str| When::Not(Box::new(When::Has(name.into())));
        let write = Write {
            key: Key::Result(id.to_owned()),
            op: Op::Update(vec![Change::Set(
                field::REVOKE_REQUESTED.into(),
                self.now().into(),
            )]),
            when: When::All(vec![
                started,
                not(field::GROUP),
                not(field::REVOKE_REQUESTED),
            ]),
        };
        Ok(match self.ports().store.write(write).await? {
            Outcome::Applied(_) => true,
            // Asked before, by this very write maybe, whose answer was lost.
            Outcome::Refused(old) => old.is_some_and(|old| {
                let started = record::status(&old) == Some(State::Started);
                started && old.contains_key(field::REVOKE_REQUESTED)
            }),
        })
    }
}
