//! Time zones: from local times to instants, across changes of the clock.
//!
//! The rule for a due time in local time: where the clock is put forward over it, it comes as much later
//! as the clock was put forward. Where the clock is put back and shows it twice, it comes the first time
//! only, unless the schedule is due in every hour of the day: to such a one the repeated hour is an hour
//! as any other.

use jiff::tz::{Offset, TimeZone, TimeZoneTransition};

use super::Fault;
use crate::failure::shortened;
use crate::task::{QUOTED, nearest};
use crate::time::Timestamp;

/// A time zone of the IANA database, by its name. The database is in the binary.
#[derive(Debug, Clone)]
pub(super) struct Zone {
    name: String,
    zone: TimeZone,
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// Seconds since 1970-01-01T00:00:00, of UTC or of a local clock.
type Seconds = i64;

const DAY: Seconds = 86_400;

/// A span of time over which the local clock isn't changed.
struct Stretch {
    /// Its first second; none where there was no change before.
    from: Option<Seconds>,
    /// The first second that isn't in it any more.
    until: Seconds,
    /// Local time minus UTC.
    offset: Seconds,
    /// The same, before `from`.
    before: Seconds,
}

impl Zone {
    pub(super) fn utc() -> Self {
        Self {
            name: "UTC".to_owned(),
            zone: TimeZone::UTC,
        }
    }

    pub(super) fn named(name: &str) -> Result<Self, Fault> {
        let known = TimeZone::get(name).ok().filter(|zone| !zone.is_unknown());
        if let Some(zone) = known {
            let name = zone.iana_name().unwrap_or(name).to_owned();
            return Ok(Self { name, zone });
        }
        let names: Vec<_> = jiff::tz::db().available().collect();
        let hint = nearest(name, names.iter().map(|name| name.as_str()))
            .map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
        let name = shortened(name, QUOTED);
        Err(Fault::new(
            "tz",
            format!("`{name}` is no time zone of the IANA database, as Europe/Kyiv is{hint}"),
        ))
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The instant on this zone's clock, to the second: ISO 8601 with the offset.
    pub(super) fn local(&self, instant: Timestamp) -> String {
        match jiff::Timestamp::from_second(instant.as_secs()) {
            Ok(here) => {
                let offset = self.zone.to_offset(here);
                here.display_with_offset(offset).to_string()
            }
            Err(_) => instant.to_string(),
        }
    }

    /// Whether it is UTC by this or another name: its clock was never changed, and shows the same.
    pub(super) fn is_utc(&self) -> bool {
        let epoch = jiff::Timestamp::UNIX_EPOCH;
        let changes = self.zone.preceding(epoch).next().is_some()
            || self.zone.following(epoch).next().is_some();
        !changes && self.zone.to_offset(epoch) == Offset::UTC
    }

    /// The first due time after `after`. `local` gives the first due time at or after one, both in local
    /// time; `every_hour` is whether the schedule is due in every hour of the day.
    pub(super) fn next_after(
        &self,
        after: Seconds,
        every_hour: bool,
        local: impl Fn(Seconds) -> Option<Seconds>,
    ) -> Option<Seconds> {
        let mut start = after.checked_add(1)?;
        loop {
            let stretch = self.stretch(start)?;
            let shown_before = |from| from + (stretch.before - stretch.offset).max(0);
            let fresh = match stretch.from.map(shown_before) {
                Some(fresh) if !every_hour => start.max(fresh),
                _ => start,
            };
            let shown = local(fresh + stretch.offset).map(|due| due - stretch.offset);
            let skipped = stretch.from.and_then(|from| {
                let (begin, end) = (start + stretch.before, from + stretch.offset);
                let due = (begin < end).then(|| local(begin)).flatten()?;
                (due < end).then_some(due - stretch.before)
            });
            let first = skipped.into_iter().chain(shown).min()?;
            if first < stretch.until {
                return Some(first);
            }
            // No local time from here to two days before the first due one is due, in whatever stretch.
            // A clock that is put back soon shows some from before `start` again: no leap then.
            let leap = if stretch.until.saturating_sub(start) > 3 * DAY {
                first - 2 * DAY
            } else {
                stretch.until
            };
            start = stretch.until.max(leap);
        }
    }

    fn stretch(&self, at: Seconds) -> Option<Stretch> {
        let here = jiff::Timestamp::from_second(at).ok()?;
        // Changes before an instant, and after it: one at the instant itself begins the stretch.
        let next = jiff::Timestamp::from_second(at.checked_add(1)?).ok()?;
        let second = |change: TimeZoneTransition<'_>| change.timestamp().as_second();
        let from = self.zone.preceding(next).next().map(second);
        let until = self.zone.following(here).next().map(second);
        let seconds = |offset: Offset| Seconds::from(offset.seconds());
        let offset = seconds(self.zone.to_offset(here));
        let before = match from {
            Some(from) => {
                let last = jiff::Timestamp::from_second(from.checked_sub(1)?).ok()?;
                seconds(self.zone.to_offset(last))
            }
            None => offset,
        };
        Some(Stretch {
            from,
            until: until.unwrap_or(Seconds::MAX),
            offset,
            before,
        })
    }
}
