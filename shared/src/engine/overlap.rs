//! Tasks that don't overlap: of those with one key the next one is left out while one is still at it.
//!
//! Who is at it stands in the state table (`pk` is `overlap#<key>`, `sk` is `runner`): the id of the last task that
//! began. Nobody clears it. Whoever comes looks at that task's record, and takes its place when it has ended.

use std::time::Duration;

use crate::app::GUARD_FOR;
use crate::error::Result;
use crate::event::{Event, EventKind};
use crate::ports::{Item, Key, Op, Outcome, When, Write};
use crate::record::{State, field, instant, is_expired, status};
use crate::time::Timestamp;
use crate::watch::GONE;
use crate::worker::Disposition;

use super::follow::Ending;
use super::standing::Standing;
use super::{Batch, Branch, Job, Rule, reached};

const RUNNER: &str = "runner";
const SINCE: &str = "since";
/// Whoever has begun for so long without a record has died before it wrote one: no invocation is longer.
const LONGEST: Duration = Duration::from_secs(960);
/// So many may come at one moment before one of them is told to come again.
const TRIES: u32 = 5;

impl Batch<'_> {
    /// Whether another task with this key is still at it, and what then becomes of the message. Otherwise it is this
    /// one from now on.
    pub(super) async fn overlaps(&self, job: &Job<'_>, key: &str) -> Result<Option<Disposition>> {
        let store = &self.worker.app().ports().store;
        let lock = Key::State(format!("overlap#{key}"), RUNNER.to_owned());
        let id = &job.message.id;
        if !self.worker.keeps(Rule::KeepApart) {
            return Ok(None);
        }
        for _ in 0..TRIES {
            let now = self.now();
            let there = store.get_many(std::slice::from_ref(&lock)).await?.pop();
            let there = there.flatten();
            let runner = there.as_ref().and_then(|item| item.get(RUNNER)?.as_text());
            // This one again: its own time begins anew.
            if let (Some(runner), Some(there)) = (runner, &there)
                && runner != id
            {
                let since = instant(there, SINCE).unwrap_or(now);
                let record = store.get(&Key::Result(runner.to_owned())).await?;
                let record = record.filter(|record| !is_expired(record, now));
                if is_at_it(record.as_ref(), since, now) {
                    return self.left_out(job, runner).await.map(Some);
                }
            }
            let item = Item::from([
                (RUNNER.into(), id.as_str().into()),
                (SINCE.into(), now.into()),
                (field::TTL.into(), (now + GUARD_FOR).as_secs().into()),
            ]);
            let write = Write {
                key: lock.clone(),
                op: Op::Put(item),
                when: match runner {
                    Some(runner) => When::Eq(RUNNER.into(), runner.into()),
                    None => When::Absent,
                },
            };
            if let Outcome::Applied(_) = store.write(write).await? {
                return Ok(None);
            }
        }
        self.hide(job.delivery, Duration::from_secs(1)).await?;
        Ok(Some(Disposition::Returned))
    }

    async fn left_out(&self, job: &Job<'_>, runner: &str) -> Result<Disposition> {
        let what = format!("left out: the run before, {runner}, is still at it");
        let failure = self.failure(job, "Overlap", what);
        match self.record_unstarted(job, State::Revoked, &failure).await? {
            Standing::Mine => {
                reached(Branch::LeftOut);
                tracing::info!(
                    task_id = job.message.id,
                    runner,
                    "left out, lest it overlap"
                );
                let event = Event::of(EventKind::Revoked, &job.message).because(&failure);
                self.worker.app().tell(&event);
                self.after(&job.message, Ending::Revoked(failure)).await?;
                Ok(Disposition::Done)
            }
            standing => self.refused(job, standing).await,
        }
    }
}

/// Whether a task that began then hasn't ended. What nobody has heard of for days is lost.
fn is_at_it(record: Option<&Item>, since: Timestamp, now: Timestamp) -> bool {
    let Some(record) = record else {
        return now.since(since) < LONGEST;
    };
    let heard = [field::LEASE_UNTIL, field::DUE_AT];
    let heard = heard.iter().filter_map(|name| instant(record, name)).max();
    let is_over = status(record).is_some_and(State::is_final);
    !is_over && now.since(heard.unwrap_or(since)) < GONE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Attribute;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn who_is_at_it() {
        let record = |state: State, name: &'static str, until: i64| {
            let until: Attribute = at(until).into();
            Item::from([(field::STATUS.into(), state.into()), (name.into(), until)])
        };
        let day = 86_400;
        for (record, now, wanted) in [
            (None, 959, true),
            (None, 961, false),
            (
                Some(record(State::Started, field::LEASE_UNTIL, 60)),
                4 * day,
                true,
            ),
            (
                Some(record(State::Started, field::LEASE_UNTIL, 60)),
                6 * day,
                false,
            ),
            (
                Some(record(State::Retry, field::DUE_AT, 9 * day)),
                10 * day,
                true,
            ),
            (
                Some(record(State::Retry, field::DUE_AT, 60)),
                6 * day,
                false,
            ),
            (
                Some(record(State::Success, field::LEASE_UNTIL, 60)),
                1,
                false,
            ),
            (
                Some(record(State::Revoked, field::LEASE_UNTIL, 60)),
                1,
                false,
            ),
        ] {
            assert_eq!(
                is_at_it(record.as_ref(), at(0), at(now)),
                wanted,
                "{now} {record:?}"
            );
        }
    }
}
