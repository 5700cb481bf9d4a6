//! Schedules as data, and their due times.
//!
//! Owns when something is due: at intervals. It promises
//! that the due times of a schedule are a fixed sequence of instants, the same whoever asks, whenever and
//! from wherever: [`Schedule::next_after`] looks at no clock. What is sent when is [beat](crate::beat)'s.

mod interval;

use std::fmt;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::time::Timestamp;

/// When something is due.
///
/// Made by [`every`]. A schedule that was
/// written wrongly is one that is never due: [`check`](Schedule::check) says what is wrong with it, and
/// beat checks its entries before it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Every(Duration),
}

/// What is wrong with a schedule, and in which of its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    field: &'static str,
    message: String,
}

impl Fault {
    /// A fault whose message begins with the field.
    fn new(field: &'static str, reason: impl fmt::Display) -> Self {
        let message = format!("`{field}`: {reason}");
        Self { field, message }
    }
}

impl From<&Fault> for Error {
    fn from(fault: &Fault) -> Self {
        Error::new(ErrorKind::Config, fault.message.clone()).about(fault.field)
    }
}

/// Every so often, aligned to the clock: at every multiple of `period` since 1970-01-01T00:00:00Z, the
/// same instants wherever and whenever beat runs. At least one second; whole seconds.
///
/// ```
/// use sedano::{schedule::every, Timestamp};
/// use std::time::Duration;
///
/// let after: Timestamp = "2026-03-01T12:00:07Z".parse()?;
/// let next = every(Duration::from_secs(30)).next_after(after);
/// assert_eq!(next, Some("2026-03-01T12:00:30Z".parse()?));
/// # Ok::<(), sedano::Error>(())
/// ```
pub const fn every(period: Duration) -> Schedule {
    Schedule {
        kind: Kind::Every(period),
    }
}

impl Schedule {
    /// Whether the schedule is written rightly.
    ///
    /// # Errors
    /// `Config`, with the field and what is wrong with it; [`Error::parameter`] is the field.
    pub fn check(&self) -> Result<()> {
        let checked = match &self.kind {
            Kind::Every(period) => interval::check(*period),
        };
        checked.map_err(|fault| Error::from(&fault))
    }

    /// The first due time after this instant. `None` when there is none any more, and for a schedule
    /// that was written wrongly.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        match &self.kind {
            Kind::Every(period) => {
                interval::check(*period).ok()?;
                interval::next_after(*period, after)
            }
        }
    }

    /// The due times after `after` up to and with `until`, in order.
    pub fn due(&self, after: Timestamp, until: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
        std::iter::successors(self.next_after(after), |due| self.next_after(*due))
            .take_while(move |due| *due <= until)
    }

    /// The period, where it is an interval.
    pub(crate) fn period(&self) -> Option<Duration> {
        match self.kind {
            Kind::Every(period) => Some(period),
        }
    }
}

/// For people: `every 5 min`.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Every(period) => f.write_str(&interval::words(*period)),
        }
    }
}
