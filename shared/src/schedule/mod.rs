//! Schedules as data, and their due times.
//!
//! Owns when something is due: at intervals, by a crontab expression, by the sun, or once. It promises
//! that the due times of a schedule are a fixed sequence of instants, the same whoever asks, whenever and
//! from wherever: [`Schedule::next_after`] looks at no clock. What is sent when is [beat](crate::beat)'s.
//!
//! The guide: [schedules](crate::guide::schedules).

mod crontab;
mod interval;
mod native;
mod solar;
#[cfg(test)]
mod tests;
mod written;
mod zone;

use std::fmt;
use std::time::Duration;

use self::crontab::Expression;
use self::solar::Place;
use self::zone::Zone;
use crate::error::{Error, ErrorKind, Result};
use crate::time::Timestamp;

pub use self::crontab::{Crontab, Dialect};
pub use self::solar::Event;

/// When something is due.
///
/// Made by [`every`], [`crontab`], [`solar`](fn@solar) and [`at`], or read from JSON. A schedule that was
/// written wrongly is one that is never due: [`check`](Schedule::check) says what is wrong with it, and
/// beat checks its entries before it begins.
///
/// ```
/// use sedano::{schedule::crontab, Timestamp};
///
/// let evening = crontab("0 18 * * *").in_tz("Europe/Kyiv");
/// evening.check()?;
/// let noon: Timestamp = "2026-03-28T12:00:00Z".parse()?;
/// let due: Vec<String> = evening
///     .due(noon, noon + std::time::Duration::from_secs(2 * 86_400))
///     .map(|due| due.to_string())
///     .collect();
/// // The clock is put forward in between.
/// assert_eq!(due, ["2026-03-28T16:00:00.000Z", "2026-03-29T15:00:00.000Z"]);
/// # Ok::<(), sedano::Error>(())
/// ```
///
/// As JSON:
///
/// | schedule | JSON |
/// |---|---|
/// | `every(Duration::from_secs(30))` | `{"every": 30}` |
/// | `crontab("30 7 * * mon-fri").in_tz("Europe/Kyiv")` | `{"crontab": "30 7 * * mon-fri", "tz": "Europe/Kyiv"}` |
/// | `crontab_vixie("@daily")` | `{"crontab": "@daily", "dialect": "vixie"}` |
/// | `solar(Event::Sunset, -37.81, 144.96)` | `{"solar": "sunset", "lat": -37.81, "lon": 144.96}` |
/// | `at("2026-03-01T12:00:00Z".parse()?)` | `{"at": "2026-03-01T12:00:00.000Z"}` |
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    kind: Kind,
    zone: Option<Zone>,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Every(Duration),
    Crontab(Box<Expression>),
    Solar(Place),
    At(Timestamp),
    Faulty(Box<Fault>),
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
        Self::whole(field, format!("`{field}`: {reason}"))
    }

    fn whole(field: &'static str, message: String) -> Self {
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
        zone: None,
    }
}

/// By a crontab expression in Celery's dialect: minute, hour, day of month, month of year, day of week.
///
/// A day must match both its day of month *and* its day of week; ranges wrap (`22-4`, `sat-mon`); a step
/// goes over the values of its range; Sunday is 0. In UTC, or where [`in_tz`](Schedule::in_tz) says. The
/// guide has [the dialect](crate::guide::schedules) in full.
pub fn crontab(expression: impl AsRef<str>) -> Schedule {
    Expression::parse(expression.as_ref(), Dialect::Celery).into()
}

/// By a crontab expression in the common dialect, as `crontab(5)` describes it: see [`Dialect::Vixie`].
///
/// ```
/// use sedano::{schedule::{crontab, crontab_vixie}, Timestamp};
///
/// let new_year: Timestamp = "2026-01-01T00:00:00Z".parse()?;
/// // Any Friday, and any 13th.
/// let next = crontab_vixie("0 9 13 * 5").next_after(new_year);
/// assert_eq!(next, Some("2026-01-02T09:00:00Z".parse()?));
/// // In Celery's dialect, a Friday that is the 13th.
/// let next = crontab("0 9 13 * 5").next_after(new_year);
/// assert_eq!(next, Some("2026-02-13T09:00:00Z".parse()?));
/// # Ok::<(), sedano::Error>(())
/// ```
pub fn crontab_vixie(expression: impl AsRef<str>) -> Schedule {
    Expression::parse(expression.as_ref(), Dialect::Vixie).into()
}

/// By the sun, at a latitude (degrees, north positive) and a longitude (degrees, east positive).
///
/// To the second, for a level horizon at sea level. On a day without the event, in a polar night say,
/// it isn't due.
///
/// ```
/// use sedano::{schedule::{solar, Event}, Timestamp};
///
/// let after: Timestamp = "2026-06-01T00:00:00Z".parse()?;
/// let sunset = solar(Event::Sunset, 69.65, 18.96).in_tz("Europe/Oslo");
/// let next = sunset.next_after(after).map(|due| due.to_string());
/// // In Tromsø the sun doesn't set before the end of July.
/// assert_eq!(&next.unwrap()[..13], "2026-07-25T22");
/// # Ok::<(), sedano::Error>(())
/// ```
pub fn solar(event: Event, lat: f64, lon: f64) -> Schedule {
    match Place::new(event, lat, lon) {
        Ok(place) => Schedule::sound(Kind::Solar(place)),
        Err(fault) => Schedule::faulty(fault),
    }
}

/// Once.
pub const fn at(instant: Timestamp) -> Schedule {
    Schedule {
        kind: Kind::At(instant),
        zone: None,
    }
}

impl Schedule {
    fn sound(kind: Kind) -> Self {
        Self { kind, zone: None }
    }

    fn faulty(fault: Fault) -> Self {
        Self::sound(Kind::Faulty(Box::new(fault)))
    }

    /// The same schedule in this time zone: a name of the IANA database, as `Europe/Kyiv`. Without one it
    /// is in UTC.
    ///
    /// A crontab expression then speaks of that zone's clock. Where that is put forward over a due time,
    /// the due time comes as much later as the clock was put forward: 02:30 at 03:30. Where it is put
    /// back and shows a due time twice, that comes the first time only, unless the expression is due in
    /// every hour of the day (its hour is `*`): the repeated hour is then an hour as any other.
    ///
    /// The times of the sun are the same in every zone; theirs is only for being shown. An interval and
    /// a single instant have none.
    #[must_use]
    pub fn in_tz(mut self, name: impl AsRef<str>) -> Self {
        let name = name.as_ref();
        let refused = |reason| Self::faulty(Fault::new("tz", reason));
        match (&self.kind, Zone::named(name)) {
            (Kind::Faulty(_), _) => self,
            (Kind::Every(_), _) => refused(
                "an interval is the same in every time zone: leave `tz` out, or use a crontab",
            ),
            (Kind::At(_), _) => refused(
                "an instant is the same in every time zone: leave `tz` out, and write its offset",
            ),
            (_, Err(fault)) => Self::faulty(fault),
            (_, Ok(zone)) => {
                self.zone = Some(zone);
                self
            }
        }
    }

    /// The time zone's name: `UTC` where none was said.
    pub fn tz(&self) -> &str {
        self.zone.as_ref().map_or("UTC", Zone::name)
    }

    /// Whether the schedule is written rightly.
    ///
    /// # Errors
    /// `Config`, with the field and what is wrong with it; [`Error::parameter`] is the field.
    pub fn check(&self) -> Result<()> {
        let checked = match &self.kind {
            Kind::Faulty(fault) => return Err(fault.as_ref().into()),
            Kind::Every(period) => interval::check(*period),
            Kind::Crontab(_) | Kind::Solar(_) | Kind::At(_) => Ok(()),
        };
        checked.map_err(|fault| Error::from(&fault))
    }

    /// The first due time after this instant. `None` when there is none any more, and for a schedule
    /// that was written wrongly.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        match &self.kind {
            Kind::Faulty(_) => None,
            Kind::Every(period) => {
                interval::check(*period).ok()?;
                interval::next_after(*period, after)
            }
            Kind::Crontab(expression) => match &self.zone {
                Some(zone) => expression.next_after(after, zone),
                None => expression.next_after(after, &Zone::utc()),
            },
            Kind::Solar(place) => place.next_after(after),
            Kind::At(instant) => (*instant > after).then_some(*instant),
        }
    }

    /// The due times after `after` up to and with `until`, in order.
    pub fn due(&self, after: Timestamp, until: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
        std::iter::successors(self.next_after(after), |due| self.next_after(*due))
            .take_while(move |due| *due <= until)
    }

    /// The last due time after `after` up to and with `until`, found without going through all of them.
    pub(crate) fn last_due(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let within =
            |from: Timestamp, to: Timestamp| self.next_after(from).filter(|due| *due <= to);
        let mut last = within(after, until)?;
        // None is due after it.
        let mut end = until;
        while last < end {
            let middle = last + end.since(last) / 2;
            match within(middle, end) {
                Some(due) => last = due,
                None => end = middle,
            }
        }
        Some(last)
    }

    /// The instant on the clock of the schedule's zone: ISO 8601 with the offset, `2026-03-28T18:00:00+02:00`.
    pub fn local(&self, instant: Timestamp) -> String {
        match &self.zone {
            Some(zone) => zone.local(instant),
            None => Zone::utc().local(instant),
        }
    }
}

/// For people: `30 7 * * mon-fri (Europe/Kyiv)`, `every 5 min`, `sunset at 37.81°S 144.96°E (UTC)`.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Every(period) => f.write_str(&interval::words(*period)),
            Kind::Crontab(expression) => write!(f, "{expression} ({})", self.tz()),
            Kind::Solar(place) => write!(f, "{place} ({})", self.tz()),
            Kind::At(instant) => write!(f, "once at {instant}"),
            Kind::Faulty(fault) => write!(f, "never: {}", fault.message),
        }
    }
}
