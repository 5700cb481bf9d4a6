//! Schedules in the words of EventBridge's rules: those that fall on exactly the same minutes.
//!
//! A rule's `rate` counts from when the rule was made, so everything is a `cron`, whose fields begin anew each
//! hour, day and month: minute, hour, day of month, month, day of week (1 is Sunday), year. One of the two days
//! has to be `?`, and all of it is in UTC.

use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::crontab::Expression;
use super::{Fault, Kind, Schedule, interval};
use crate::error::{Error, Result};
use crate::failure::shortened;
use crate::task::QUOTED;
use crate::time::Timestamp;

/// The years that EventBridge takes.
const YEARS: RangeInclusive<i16> = 1970..=2199;

impl Schedule {
    /// The schedule as a rule of EventBridge says it, where that falls on the same minutes exactly.
    ///
    /// ```
    /// use sedano::schedule::crontab;
    ///
    /// let office = crontab("*/20 9-17 * * mon-fri");
    /// assert_eq!(office.to_eventbridge()?, "cron(0,20,40 9-17 ? * 2-6 *)");
    ///
    /// let error = office.in_tz("Europe/Kyiv").to_eventbridge().unwrap_err();
    /// assert_eq!(error.parameter(), Some("tz"));
    /// # Ok::<(), sedano::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Config`, with the field that EventBridge can't express and why; [`Error::parameter`] is the field. So
    /// for a schedule that is written wrongly.
    pub fn to_eventbridge(&self) -> Result<String> {
        let written = match &self.kind {
            Kind::Faulty(fault) => Err(fault.as_ref().clone()),
            Kind::Every(period) => interval::check(*period).and_then(|()| every(*period)),
            Kind::Crontab(expression) => match &self.zone {
                Some(zone) if !zone.is_utc() => Err(Fault::new(
                    "tz",
                    format!(
                        "a rule of EventBridge is in UTC, this schedule in {}",
                        zone.name()
                    ),
                )),
                _ => crontab(expression),
            },
            Kind::Solar(_) => Err(Fault::new(
                "solar",
                "EventBridge doesn't know where the sun is",
            )),
            Kind::At(instant) => once(*instant),
        };
        written.map_err(|fault| Error::from(&fault))
    }
}

fn every(period: Duration) -> Result<String, Fault> {
    let seconds = period.as_secs();
    if !seconds.is_multiple_of(60) {
        let reason = format!("{seconds} s is no whole number of minutes, as EventBridge counts");
        return Err(Fault::new("every", reason));
    }
    let minutes = seconds / 60;
    let text = match minutes {
        1 => "cron(* * * * ? *)".to_owned(),
        60 => "cron(0 * * * ? *)".to_owned(),
        1440 => "cron(0 0 * * ? *)".to_owned(),
        _ if 60_u64.is_multiple_of(minutes) => format!("cron(0/{minutes} * * * ? *)"),
        _ if minutes.is_multiple_of(60) && 24_u64.is_multiple_of(minutes / 60) => {
            format!("cron(0 0/{} * * ? *)", minutes / 60)
        }
        _ => {
            let words = interval::words(period);
            let reason = format!(
                "{words} doesn't divide the hour or the day, where a cron of EventBridge begins anew"
            );
            return Err(Fault::new("every", reason));
        }
    };
    Ok(text)
}

/// At its longest 238 characters; EventBridge takes 256.
fn crontab(expression: &Expression) -> Result<String, Fault> {
    let [minutes, hours, of_month, months, of_week] = expression.values();
    let minutes = list(&minutes, &(0..=59));
    let hours = list(&hours, &(0..=23));
    let months = list(&months, &(1..=12));
    let of_month = list(&of_month, &(1..=31));
    let of_week: Vec<u32> = of_week.iter().map(|day| day + 1).collect();
    let of_week = list(&of_week, &(1..=7));
    let (of_month, of_week) = match (of_month.as_str(), of_week.as_str()) {
        // Where one of them is enough, one that is every day leaves nothing to the other.
        (ALL, _) | (_, ALL) if expression.either_day() => (ALL, ANY),
        (_, ALL) => (of_month.as_str(), ANY),
        (ALL, _) => (ANY, of_week.as_str()),
        _ => {
            let text = shortened(expression.text(), QUOTED);
            let rule = if expression.either_day() {
                "one of them is enough, which takes two rules"
            } else {
                "both must match"
            };
            let reason = format!(
                "crontab `{text}`: day of month and day of week are both restricted, and {rule}; a rule of \
                 EventBridge has one of them"
            );
            return Err(Fault::whole("day of month", reason));
        }
    };
    Ok(format!(
        "cron({minutes} {hours} {of_month} {months} {of_week} *)"
    ))
}

const ALL: &str = "*";
/// What stands in the place of the day that the other one decides.
const ANY: &str = "?";

/// Values in their order: `*`, or each of them, with ranges for three in a row and more.
fn list(values: &[u32], all: &RangeInclusive<u32>) -> String {
    if all.clone().eq(values.iter().copied()) {
        return ALL.to_owned();
    }
    let in_a_row = values.chunk_by(|one, next| one + 1 == *next);
    let parts = in_a_row.flat_map(|run| match run {
        [first, _, .., last] => vec![format!("{first}-{last}")],
        few => few.iter().map(u32::to_string).collect(),
    });
    parts.collect::<Vec<_>>().join(",")
}

fn once(instant: Timestamp) -> Result<String, Fault> {
    if instant.as_millis().rem_euclid(60_000) != 0 {
        let reason = format!("{instant} isn't on a whole minute, as EventBridge counts");
        return Err(Fault::new("at", reason));
    }
    let at = jiff::Timestamp::from_second(instant.as_secs())
        .map(|at| at.to_zoned(TimeZone::UTC))
        .ok()
        .filter(|at| YEARS.contains(&at.year()));
    let Some(at) = at else {
        let reason =
            format!("{instant} is outside the years 1970 to 2199, which EventBridge knows");
        return Err(Fault::new("at", reason));
    };
    let (minute, hour, day, month) = (at.minute(), at.hour(), at.day(), at.month());
    let year = at.year();
    Ok(format!("cron({minute} {hour} {day} {month} ? {year})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{Event, at, crontab, crontab_vixie, every, solar};

    fn written(schedule: &Schedule) -> String {
        schedule.to_eventbridge().unwrap()
    }

    /// The field and the sentence.
    fn refused(schedule: &Schedule) -> (String, String) {
        let error = schedule.to_eventbridge().unwrap_err();
        (error.parameter().unwrap().to_owned(), error.to_string())
    }

    fn minutes(minutes: u64) -> Schedule {
        every(Duration::from_secs(60 * minutes))
    }

    #[test]
    fn what_divides_the_hour_or_the_day() {
        assert_eq!(written(&minutes(1)), "cron(* * * * ? *)");
        assert_eq!(written(&minutes(5)), "cron(0/5 * * * ? *)");
        assert_eq!(written(&minutes(60)), "cron(0 * * * ? *)");
        assert_eq!(written(&minutes(480)), "cron(0 0/8 * * ? *)");
        assert_eq!(written(&minutes(1440)), "cron(0 0 * * ? *)");
        let of = |seconds| refused(&every(Duration::from_secs(seconds)));
        assert_eq!(
            of(90),
            (
                "every".to_owned(),
                "`every`: 90 s is no whole number of minutes, as EventBridge counts".to_owned()
            )
        );
        for seconds in [
            0,
            59,
            7 * 60,
            45 * 60,
            90 * 60,
            5 * 3600,
            36 * 3600,
            172_800,
        ] {
            assert_eq!(of(seconds).0, "every", "{seconds}");
        }
    }

    #[test]
    fn fields_are_written_out() {
        for (text, cron) in [
            ("* * * * *", "* * * * ? *"),
            ("*/15 22-4/2 * * *", "0,15,30,45 0,2,4,22 * * ? *"),
            ("0 6 * * sat-mon", "0 6 ? * 1,2,7 *"),
            ("0 6 * * mon-fri", "0 6 ? * 2-6 *"),
            ("0 6 1-31 * 0-6", "0 6 * * ? *"),
            ("0 0 */10 nov-feb *", "0 0 1,11,21,31 1,2,11,12 ? *"),
        ] {
            assert_eq!(written(&crontab(text)), format!("cron({cron})"), "{text}");
        }
        let vixie = |text| written(&crontab_vixie(text));
        assert_eq!(vixie("@weekly"), "cron(0 0 ? * 1 *)");
        assert_eq!(vixie("0 9 * * 5-7"), "cron(0 9 ? * 1,6,7 *)");
        // A day that matches one of them is any day.
        assert_eq!(vixie("0 9 1-31 * fri"), "cron(0 9 * * ? *)");
        assert_eq!(vixie("0 9 13 * 0-6"), "cron(0 9 * * ? *)");
    }

    #[test]
    fn what_has_no_equal_is_refused_with_its_field() {
        let (field, said) = refused(&crontab("0 9 13 * fri"));
        assert_eq!(field, "day of month");
        assert_eq!(
            said,
            "crontab `0 9 13 * fri`: day of month and day of week are both restricted, and both must match; a \
             rule of EventBridge has one of them"
        );
        let (field, said) = refused(&crontab_vixie("0 9 13 * 5"));
        assert_eq!(field, "day of month");
        assert!(said.contains("which takes two rules"), "{said}");
        // Neither of both decides alone: the first begins with `*`, so both must match.
        assert_eq!(refused(&crontab_vixie("0 9 */2 * 5")).0, "day of month");
        let sunset = solar(Event::Sunset, -37.83, 145.0);
        assert_eq!(refused(&sunset).0, "solar");
        let daily = || crontab("0 9 * * *");
        assert_eq!(
            refused(&daily().in_tz("Europe/London")),
            (
                "tz".to_owned(),
                "`tz`: a rule of EventBridge is in UTC, this schedule in Europe/London".to_owned()
            )
        );
        assert_eq!(refused(&daily().in_tz("Etc/GMT+1")).0, "tz");
        for utc in ["UTC", "Etc/UTC", "Zulu", "GMT"] {
            assert_eq!(written(&daily().in_tz(utc)), "cron(0 9 * * ? *)", "{utc}");
        }
        assert_eq!(refused(&crontab("0 24 * * *")).0, "hour");
    }

    #[test]
    fn once_is_a_year_of_its_own() {
        let at = |text: &str| at(text.parse().unwrap());
        assert_eq!(
            written(&at("2026-03-01T14:05:00+02:00")),
            "cron(5 12 1 3 ? 2026)"
        );
        for wrong in [
            "2026-03-01T12:00:01Z",
            "2026-03-01T12:00:00.500Z",
            "1969-12-31T23:59:00Z",
            "2200-01-01T00:00:00Z",
        ] {
            assert_eq!(refused(&at(wrong)).0, "at", "{wrong}");
        }
    }

    #[test]
    fn no_expression_is_too_long() {
        // Pairs take the most: one value more would be a range, one less a shorter list.
        let pairs = |first: u32, last: u32| {
            let values = (first..=last).filter(|value| (value - first) % 3 < 2);
            values
                .map(|value| value.to_string())
                .collect::<Vec<_>>()
                .join(",")
        };
        let text = format!(
            "{} {} {} {} *",
            pairs(0, 59),
            pairs(0, 23),
            pairs(1, 31),
            pairs(1, 12)
        );
        assert_eq!(written(&crontab(text)).len(), 238);
    }
}
