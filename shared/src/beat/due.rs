//! Which due times of an entry a tick sends: those until the next tick, and what was missed as the entry's
//! policy says. Bounded, however long beat was silent.

use std::time::Duration;

use super::entry::{CatchUp, Entry};
use super::{AHEAD, Schedule};
use crate::time::Timestamp;

/// The most missed due times that a tick sends of one entry.
pub(super) const MISSED_AT_ONCE: usize = 1000;

/// How late `skip` sends where no grace is set.
const SKIP_GRACE: Duration = Duration::from_secs(60);

const MOMENT: Duration = Duration::from_millis(1);

/// What a tick sends of an entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) due: Vec<Timestamp>,
    /// More was missed than one tick sends: the next is to go on after this.
    pub(super) rest: Option<Timestamp>,
}

/// A schedule between two instants, either of which may be missing.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) schedule: Schedule,
    pub(super) start: Option<Timestamp>,
    pub(super) end: Option<Timestamp>,
}

impl Span {
    /// What of (after, until] is in it.
    fn within(&self, after: Timestamp, until: Timestamp) -> (Timestamp, Timestamp) {
        let start = self.start.map_or(after, |start| after.max(start - MOMENT));
        (start, self.end.map_or(until, |end| until.min(end)))
    }

    /// The due times after `after` up to and with `until`, in order.
    pub(super) fn due(
        &self,
        after: Timestamp,
        until: Timestamp,
    ) -> impl Iterator<Item = Timestamp> + '_ {
        let (after, until) = self.within(after, until);
        self.schedule.due(after, until)
    }

    /// The last of them.
    pub(super) fn last(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let (after, until) = self.within(after, until);
        self.schedule.last_due(after, until)
    }
}

impl Entry {
    pub(super) fn span(&self) -> Span {
        Span {
            schedule: self.schedule.clone(),
            start: self.start,
            end: self.end,
        }
    }

    fn longest_delay(&self) -> Option<Duration> {
        match self.catch_up {
            CatchUp::Skip => self.grace.or(Some(SKIP_GRACE)),
            CatchUp::Once | CatchUp::All => self.grace,
        }
    }

    /// What a tick that comes `now` sends, if everything due up to and with `from` was sent. `changed`: since the
    /// entry was changed no tick was there, so nothing of the last minute was missed.
    pub(super) fn choose(
        &self,
        from: Timestamp,
        changed: bool,
        now: Timestamp,
        until: Timestamp,
    ) -> Chosen {
        let span = self.span();
        let oldest = self.longest_delay().map(|delay| now - delay - MOMENT);
        let after = oldest.map_or(from, |oldest| oldest.max(from));
        let mut due: Vec<Timestamp> = match self.catch_up {
            CatchUp::Once => {
                let recent = if changed { now - AHEAD } else { now };
                let mut due: Vec<_> = span.due(after.max(recent), now).collect();
                if due.is_empty() {
                    due.extend(span.last(after, recent.min(now)));
                }
                due
            }
            CatchUp::Skip | CatchUp::All => span.due(after, now).take(MISSED_AT_ONCE + 1).collect(),
        };
        if due.len() > MISSED_AT_ONCE {
            // In their order: what is due from now on comes when its turn has come.
            due.truncate(MISSED_AT_ONCE);
            return Chosen {
                rest: due.last().copied(),
                due,
            };
        }
        due.extend(span.due(from.max(now), until));
        Chosen { due, rest: None }
    }
}
