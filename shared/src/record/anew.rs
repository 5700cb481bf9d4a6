//! Writes to a record: for as long as it takes, and in place of one past its `ttl`.

use std::time::Duration;

use crate::engine::{Branch, reached};
use crate::error::Result;
use crate::ports::{Attribute, Change, Field, Op, Outcome, Ports, Store, When, Write};
use crate::time::Timestamp;

use super::{field, is_expired};

/// Writes again what failed for a passing reason, until the instant given.
pub(crate) async fn insist(
    ports: &Ports,
    write: &Write,
    first: Result<Outcome>,
    until: Timestamp,
) -> Result<Outcome> {
    const LAST_CALL: Duration = Duration::from_millis(200);
    let mut pause = Duration::from_millis(25);
    let mut outcome = first;
    while let Err(error) = &outcome
        && error.is_retryable()
        && ports.clock.now() + pause + LAST_CALL < until
    {
        tracing::warn!(%error, key = ?write.key, "could not be written; trying again");
        ports.clock.sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
        outcome = ports.store.write(write.clone()).await;
    }
    outcome
}

/// Writes to a task's record; one past its `ttl` that is still there counts as absent, so that nothing of
/// an earlier life stands in the way or is left in what is written. What wants a record to be there is refused
/// then.
pub(crate) async fn write(store: &dyn Store, write: Write, now: Timestamp) -> Result<Outcome> {
    let outcome = store.write(write.clone()).await?;
    match &outcome {
        Outcome::Refused(Some(old)) if is_expired(old, now) && without_item(&write.when) => {
            match store.write(anew(write, now)).await? {
                Outcome::Applied(_) => {
                    reached(Branch::ReplacesExpired);
                    Ok(Outcome::Applied(None))
                }
                refused => Ok(refused),
            }
        }
        _ => Ok(outcome),
    }
}

/// Whether the condition holds where there is no item.
fn without_item(when: &When) -> bool {
    match when {
        When::Always | When::Absent => true,
        When::Not(when) => !without_item(when),
        When::All(all) => all.iter().all(without_item),
        When::Any(any) => any.iter().any(without_item),
        When::Present
        | When::Has(_)
        | When::Eq(..)
        | When::Below(..)
        | When::AtMost(..)
        | When::Contains(..) => false,
    }
}

/// The write as on an absent item, in place of one past its `ttl`.
pub(crate) fn anew(write: Write, now: Timestamp) -> Write {
    let op = match write.op {
        Op::Update(changes) => Op::Put(changes.into_iter().filter_map(first).collect()),
        op => op,
    };
    Write {
        op,
        when: When::AtMost(field::TTL.into(), now.as_secs().into()),
        ..write
    }
}

/// What a change leaves where nothing was.
fn first(change: Change) -> Option<(Field, Attribute)> {
    match change {
        Change::Set(name, value) => Some((name, value)),
        Change::Add(name, number) => Some((name, number.into())),
        Change::AddToSet(name, numbers) => Some((name, Attribute::NumberSet(numbers))),
        Change::Append(name, list) => Some((name, Attribute::List(list))),
        Change::Remove(_) => None,
    }
}
