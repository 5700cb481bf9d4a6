//! Crontab schedules: Celery's dialect, and the common one by explicit choice.

mod parse;

use std::fmt;

use jiff::civil::{Date, date};

use self::parse::{FIELDS, Values};
use super::zone::Zone;
use super::{Fault, Schedule};
use crate::failure::shortened;
use crate::task::{QUOTED, nearest};
use crate::time::Timestamp;

/// How an expression is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Dialect {
    /// Celery's: a day must match both day of month *and* day of week, ranges wrap, Sunday is 0 alone.
    #[default]
    Celery,
    /// That of `crontab(5)`: where both day of month and day of week are restricted, a day that matches
    /// *one* of them is enough; Sunday is 0 or 7, ranges go forwards, and `@daily` and the like are
    /// understood.
    Vixie,
}

/// A crontab schedule, field by field: what isn't said is `*`. In Celery's dialect.
///
/// ```
/// use sedano::schedule::{Crontab, Schedule, crontab};
///
/// let fields = Crontab::new().minute("*/20").hour("7-9").day_of_week("mon-fri");
/// assert_eq!(Schedule::from(fields), crontab("*/20 7-9 * * mon-fri"));
/// assert_eq!(Crontab::new().minute(0).in_tz("Europe/Kyiv").to_string(), "0 * * * * (Europe/Kyiv)");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crontab([String; 5]);

impl Default for Crontab {
    fn default() -> Self {
        Self(std::array::from_fn(|_| "*".to_owned()))
    }
}

impl Crontab {
    /// Due every minute.
    pub fn new() -> Self {
        Self::default()
    }

    fn set(mut self, field: usize, text: impl fmt::Display) -> Self {
        if let Some(place) = self.0.get_mut(field) {
            *place = text.to_string();
        }
        self
    }

    /// The minutes, 0 to 59: a number or a text as `0,30` or `*/15`.
    #[must_use]
    pub fn minute(self, minute: impl fmt::Display) -> Self {
        self.set(0, minute)
    }

    /// The hours, 0 to 23.
    #[must_use]
    pub fn hour(self, hour: impl fmt::Display) -> Self {
        self.set(1, hour)
    }

    /// The days of the month, 1 to 31.
    #[must_use]
    pub fn day_of_month(self, day: impl fmt::Display) -> Self {
        self.set(2, day)
    }

    /// The months, 1 to 12 or `jan` to `dec`.
    #[must_use]
    pub fn month_of_year(self, month: impl fmt::Display) -> Self {
        self.set(3, month)
    }

    /// The days of the week, 0 (Sunday) to 6 or `sun` to `sat`.
    #[must_use]
    pub fn day_of_week(self, day: impl fmt::Display) -> Self {
        self.set(4, day)
    }

    /// The schedule of these fields in this time zone: see [`Schedule::in_tz`].
    pub fn in_tz(self, name: impl AsRef<str>) -> Schedule {
        Schedule::from(self).in_tz(name)
    }
}

impl From<Crontab> for Schedule {
    fn from(Crontab(fields): Crontab) -> Self {
        Expression::of(
            fields.join(" "),
            &fields.each_ref().map(String::as_str),
            Dialect::Celery,
        )
        .into()
    }
}

impl From<Result<Expression, Fault>> for Schedule {
    fn from(read: Result<Expression, Fault>) -> Self {
        match read {
            Ok(expression) => Self::sound(super::Kind::Crontab(Box::new(expression))),
            Err(fault) => Self::faulty(fault),
        }
    }
}

/// A crontab expression that was read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Expression {
    /// As it was written.
    text: String,
    dialect: Dialect,
    minutes: Values,
    hours: Values,
    days_of_month: Values,
    months: Values,
    days_of_week: Values,
    /// Whether a day that matches one of day of month and day of week is enough.
    either_day: bool,
}

/// The longest each month can be.
const LENGTHS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

const DAY: i64 = 86_400;

impl Expression {
    pub(super) fn parse(text: &str, dialect: Dialect) -> Result<Self, Fault> {
        let written = match dialect {
            Dialect::Vixie => nickname(text)?.unwrap_or(text),
            Dialect::Celery => text,
        };
        let fields: Vec<&str> = match dialect {
            Dialect::Celery => written.split(' ').collect(),
            Dialect::Vixie => written.split_ascii_whitespace().collect(),
        };
        match <[&str; 5]>::try_from(fields) {
            Ok(fields) => Self::of(text.to_owned(), &fields, dialect),
            Err(fields) => {
                let reason = if text.starts_with('@') {
                    "names such as @daily are for `crontab_vixie`".to_owned()
                } else if fields.contains(&"") {
                    "between its five fields stands one space each".to_owned()
                } else {
                    format!(
                        "it has {} fields, not five: minute, hour, day of month, month of year, day of week",
                        fields.len()
                    )
                };
                Err(fault("crontab", text, "", &reason))
            }
        }
    }

    fn of(text: String, fields: &[&str; 5], dialect: Dialect) -> Result<Self, Fault> {
        let mut read = [Values::from_iter([]); 5];
        for ((field, written), values) in FIELDS.iter().zip(fields).zip(&mut read) {
            *values = field
                .parse(written, dialect)
                .map_err(|reason| fault(field.name, &text, written, &reason))?;
        }
        let [minutes, hours, days_of_month, months, days_of_week] = read;
        // As crontab(5) has it: a field is restricted that doesn't begin with `*`.
        let [_, _, dom, _, dow] = fields;
        let either_day =
            dialect == Dialect::Vixie && !dom.starts_with('*') && !dow.starts_with('*');
        let day = days_of_month.first();
        let mut lengths = (1..).zip(LENGTHS);
        if !either_day && !lengths.any(|(month, length)| months.contains(month) && day <= length) {
            let reason = format!("no month of those in `{}` has a day {day}", fields[3]);
            return Err(fault(FIELDS[2].name, &text, dom, &reason));
        }
        Ok(Self {
            text,
            dialect,
            minutes,
            hours,
            days_of_month,
            months,
            days_of_week,
            either_day,
        })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The values at which each field is due, in the order of an expression.
    pub(super) fn values(&self) -> [Vec<u32>; 5] {
        let fields = [
            self.minutes,
            self.hours,
            self.days_of_month,
            self.months,
            self.days_of_week,
        ];
        fields.map(|field| (0..60).filter(|value| field.contains(*value)).collect())
    }

    /// Whether a day that matches one of day of month and day of week is enough.
    pub(super) fn either_day(&self) -> bool {
        self.either_day
    }

    pub(super) fn next_after(&self, after: Timestamp, zone: &Zone) -> Option<Timestamp> {
        let every_hour = (0..24).all(|hour| self.hours.contains(hour));
        let next = zone.next_after(after.as_secs(), every_hour, |local| self.local(local))?;
        next.checked_mul(1000).map(Timestamp::from_millis)
    }

    /// The first due time at or after this one, both in seconds of a local clock.
    fn local(&self, from: i64) -> Option<i64> {
        // Due times are full minutes.
        let from = from.checked_add(59)?.div_euclid(60) * 60;
        let mut days = from.div_euclid(DAY);
        let mut day = date(1970, 1, 1)
            .checked_add(jiff::SignedDuration::from_secs(days.checked_mul(DAY)?))
            .ok()?;
        if self.is_on(day)
            && let Some(time) = self.time(from.rem_euclid(DAY))
        {
            return Some(days * DAY + time);
        }
        loop {
            let next = if self.months.contains(u32::from(day.month().unsigned_abs())) {
                day.tomorrow()
            } else {
                day.last_of_month().tomorrow()
            };
            let next = next.ok()?;
            days += day.duration_until(next).as_hours() / 24;
            day = next;
            if self.is_on(day) {
                return Some(days * DAY + self.time(0)?);
            }
        }
    }

    fn is_on(&self, day: Date) -> bool {
        let of_month = u32::from(day.day().unsigned_abs());
        let of_week = day.weekday().to_sunday_zero_offset();
        let of_month = self.days_of_month.contains(of_month);
        let of_week = self
            .days_of_week
            .contains(u32::from(of_week.unsigned_abs()));
        let matches = if self.either_day {
            of_month || of_week
        } else {
            of_month && of_week
        };
        matches && self.months.contains(u32::from(day.month().unsigned_abs()))
    }

    /// The first due time of a day at or after this one, both in seconds since midnight.
    fn time(&self, from: i64) -> Option<i64> {
        let from = u32::try_from(from / 60).ok()?;
        let (hour, minute) = (from / 60, from % 60);
        let this_hour = self.minutes.at_or_after(minute);
        let (hour, minute) = match this_hour.filter(|_| self.hours.contains(hour)) {
            Some(minute) => (hour, minute),
            None => (self.hours.at_or_after(hour + 1)?, self.minutes.first()),
        };
        Some(i64::from(hour * 3600 + minute * 60))
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match self.dialect {
            Dialect::Celery => Ok(()),
            Dialect::Vixie => f.write_str(" in crontab(5)"),
        }
    }
}

const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// The fields for which such a name stands, if it is one.
fn nickname(text: &str) -> Result<Option<&'static str>, Fault> {
    if !text.starts_with('@') {
        return Ok(None);
    }
    let known = NICKNAMES.iter().find(|(name, _)| *name == text);
    match known {
        Some((_, fields)) => Ok(Some(fields)),
        None => {
            let hint = nearest(text, NICKNAMES.iter().map(|(name, _)| *name))
                .map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
            let reason =
                format!("the names are @yearly, @monthly, @weekly, @daily and @hourly{hint}");
            Err(fault("crontab", text, "", &reason))
        }
    }
}

fn fault(field: &'static str, text: &str, written: &str, reason: &str) -> Fault {
    let text = shortened(text, QUOTED);
    let written = shortened(written, QUOTED);
    let place = match field {
        "crontab" => String::new(),
        _ => format!(", {field} `{written}`"),
    };
    Fault::whole(field, format!("crontab `{text}`{place}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{crontab, crontab_vixie};

    fn first(schedule: &Schedule, after: &str, times: usize) -> Vec<String> {
        let after = after.parse().unwrap();
        let until = Timestamp::from_millis(i64::MAX);
        let due = schedule.due(after, until).take(times);
        due.map(|due| due.to_string()[..16].to_owned()).collect()
    }

    fn wrong(schedule: &Schedule) -> String {
        schedule.check().unwrap_err().to_string()
    }

    #[test]
    fn both_days_must_match() {
        assert_eq!(
            first(&crontab("0 9 13 * fri"), "2026-01-01", 4),
            [
                "2026-02-13T09:00",
                "2026-03-13T09:00",
                "2026-11-13T09:00",
                "2027-08-13T09:00"
            ]
        );
    }

    #[test]
    fn one_day_is_enough_for_vixie() {
        assert_eq!(
            first(&crontab_vixie("0 9 13 * fri"), "2026-01-08", 4),
            [
                "2026-01-09T09:00",
                "2026-01-13T09:00",
                "2026-01-16T09:00",
                "2026-01-23T09:00"
            ]
        );
        // A field that begins with `*` restricts nothing, whatever its step.
        assert_eq!(
            first(&crontab_vixie("0 9 */2 * fri"), "2026-01-08", 2),
            ["2026-01-09T09:00", "2026-01-23T09:00"]
        );
        assert_eq!(
            first(&crontab_vixie("0 9 30 2 7"), "2026-01-30", 2),
            ["2026-02-01T09:00", "2026-02-08T09:00"]
        );
    }

    #[test]
    fn leap_days_and_short_months() {
        assert_eq!(
            first(&crontab("59 23 29 2 *"), "2026-03-01", 3),
            ["2028-02-29T23:59", "2032-02-29T23:59", "2036-02-29T23:59"]
        );
        assert_eq!(
            first(&crontab("0 0 31 * *"), "2026-01-31", 3),
            ["2026-03-31T00:00", "2026-05-31T00:00", "2026-07-31T00:00"]
        );
        // 2100 is no leap year.
        assert_eq!(
            first(&crontab("0 0 29 2 mon"), "2072-03-01", 2),
            ["2112-02-29T00:00", "2140-02-29T00:00"]
        );
    }

    #[test]
    fn what_is_due_at_this_instant_was() {
        let hourly = crontab("0 * * * *");
        assert_eq!(
            first(&hourly, "2026-01-01T05:00:00Z", 1),
            ["2026-01-01T06:00"]
        );
        assert_eq!(
            first(&hourly, "2026-01-01T04:59:59.999Z", 1),
            ["2026-01-01T05:00"]
        );
        assert_eq!(
            first(&hourly, "2026-01-01T05:00:00.001Z", 1),
            ["2026-01-01T06:00"]
        );
        assert_eq!(
            first(&hourly, "1969-12-31T23:59:59.500Z", 1),
            ["1970-01-01T00:00"]
        );
    }

    #[test]
    fn the_field_and_the_reason() {
        assert_eq!(
            wrong(&crontab("0 25 * * *")),
            "crontab `0 25 * * *`, hour `25`: 25 is outside 0-23"
        );
        let error = crontab("0 9 30 2 *").check().unwrap_err();
        assert_eq!(error.parameter(), Some("day of month"));
        assert_eq!(
            error.to_string(),
            "crontab `0 9 30 2 *`, day of month `30`: no month of those in `2` has a day 30"
        );
        assert_eq!(
            wrong(&crontab("0 9 * *")),
            "crontab `0 9 * *`: it has 4 fields, not five: minute, hour, day of month, month of year, day of week"
        );
        assert_eq!(
            wrong(&crontab("0  9 * * *")),
            "crontab `0  9 * * *`: between its five fields stands one space each"
        );
        assert_eq!(
            wrong(&crontab("@daily")),
            "crontab `@daily`: names such as @daily are for `crontab_vixie`"
        );
        assert_eq!(
            wrong(&crontab_vixie("@dayly")),
            "crontab `@dayly`: the names are @yearly, @monthly, @weekly, @daily and @hourly; did you mean `@daily`?"
        );
        assert_eq!(
            wrong(&Schedule::from(Crontab::new().minute("0 5").hour(3))),
            "crontab `0 5 3 * * *`, minute `0 5`: `0 5` is no value: write 0-59"
        );
    }

    #[test]
    fn names_for_the_common_ones() {
        for (name, fields) in NICKNAMES {
            let after = "2026-01-01";
            let (named, written) = (crontab_vixie(name), crontab_vixie(fields));
            assert_eq!(first(&named, after, 3), first(&written, after, 3), "{name}");
        }
        assert_eq!(
            first(&crontab_vixie(" 5\t4  * * * "), "2026-01-01", 1),
            ["2026-01-01T04:05"]
        );
    }
}
