//! What EventBridge makes of an expression, minute by minute, held against the schedule's own due times.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use super::celery;
use crate::schedule::{Schedule, at, crontab, crontab_vixie, every};
use crate::time::Timestamp;

/// The minutes since 2027-01-01T00:00Z, over two years of which one has a leap day, at which `cron(…)` fires
/// by AWS's own description: a list of values, ranges and `first/step` in each of six fields.
fn fires(cron: &str) -> Vec<i64> {
    let inside = cron
        .strip_prefix("cron(")
        .and_then(|text| text.strip_suffix(')'));
    let fields: Vec<&str> = inside.unwrap().split(' ').collect();
    let [minute, hour, of_month, month, of_week, year] = fields[..] else {
        panic!("{cron} has not six fields")
    };
    assert!(
        (of_month == "?") != (of_week == "?") && cron.len() <= 256,
        "{cron}"
    );
    let set = |text: &str, first: i64, last: i64| -> BTreeSet<i64> {
        let number = |text: &str| text.parse::<i64>().unwrap();
        let part = |part: &str| match (part.split_once('-'), part.split_once('/')) {
            _ if part == "*" || part == "?" => (first..=last).collect(),
            (Some((from, to)), None) => (number(from)..=number(to)).collect(),
            (None, Some((from, step))) => {
                let step = usize::try_from(number(step)).unwrap();
                (number(from)..=last).step_by(step).collect()
            }
            _ => vec![number(part)],
        };
        let values: BTreeSet<i64> = text.split(',').flat_map(part).collect();
        assert!(
            values.iter().all(|value| (first..=last).contains(value)),
            "{text} of {cron}"
        );
        values
    };
    let (minutes, hours) = (set(minute, 0, 59), set(hour, 0, 23));
    let (days, months) = (set(of_month, 1, 31), set(month, 1, 12));
    let (weekdays, years) = (set(of_week, 1, 7), set(year, 1970, 2199));
    let mut fired = Vec::new();
    // 2027 begins on a Friday.
    let mut date = 0;
    for (year, february) in [(2027, 28), (2028, 29)] {
        let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        for (month, length) in (1..).zip(lengths) {
            for day in 1..=length {
                let weekday = (date + 5) % 7 + 1;
                let is_on = years.contains(&year)
                    && months.contains(&month)
                    && days.contains(&day)
                    && weekdays.contains(&weekday);
                for minute in (0..1440).filter(|_| is_on) {
                    if hours.contains(&(minute / 60)) && minutes.contains(&(minute % 60)) {
                        fired.push(date * 1440 + minute);
                    }
                }
                date += 1;
            }
        }
    }
    fired
}

const DAYS: u64 = 365 + 366;

fn due(schedule: &Schedule) -> Vec<i64> {
    let begin: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
    let before = begin - Duration::from_millis(1);
    let last = begin + Duration::from_secs(DAYS * 86_400 - 1);
    let minutes = schedule.due(before, last).map(|due| {
        let millis = due.as_millis() - begin.as_millis();
        assert_eq!(millis % 60_000, 0, "{schedule}: {due}");
        millis / 60_000
    });
    minutes.collect()
}

/// Whether it can be written; if so, it fires when it is due.
fn is_the_same(schedule: &Schedule) -> bool {
    let Ok(cron) = schedule.to_eventbridge() else {
        return false;
    };
    // Not shown side by side: there may be a million.
    assert!(fires(&cron) == due(schedule), "{schedule}: {cron}");
    true
}

#[test]
fn the_walker_knows_the_calendar() {
    assert_eq!(fires("cron(* * * * ? *)").len() as u64, DAYS * 1440);
    // The first Sunday of 2027 is the third of January; 29 February 2028 is day 365 + 31 + 28.
    assert_eq!(fires("cron(0 0 ? * 1 *)")[0], 2 * 1440);
    assert_eq!(fires("cron(30 1 29 2 ? *)"), [(365 + 31 + 28) * 1440 + 90]);
    assert!(fires("cron(0 12 1 3 ? 2026)").is_empty());
}

#[test]
fn intervals_and_instants_fire_when_they_are_due() {
    for minutes in [1, 2, 15, 20, 60, 120, 720, 1440] {
        assert!(is_the_same(&every(Duration::from_secs(60 * minutes))));
    }
    for instant in ["2027-01-01T00:00:00Z", "2028-02-29T23:59:00Z"] {
        assert!(is_the_same(&at(instant.parse().unwrap())));
    }
}

/// Of what was held against Celery one in thirty, in UTC: all of them take minutes. Those with two days can't be
/// written.
#[test]
fn the_expressions_held_against_celery_fire_when_they_are_due() {
    let expressions: Vec<String> = celery::expressions().into_iter().step_by(30).collect();
    let same = expressions
        .iter()
        .filter(|text| is_the_same(&crontab(text)));
    let same = same.count();
    assert!(
        same * 2 > expressions.len() && same < expressions.len(),
        "{same} of {}",
        expressions.len()
    );
}

/// Fields drawn from a seed: lists, ranges, steps, names, ranges that wrap where the dialect has them.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: u32) -> u32 {
        // As Knuth has it in MMIX.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((self.0 >> 33) % u64::from(end)).unwrap()
    }

    fn field(&mut self, first: u32, last: u32, wraps: bool) -> String {
        let mut text = String::new();
        for part in 0..=self.below(3) {
            if part > 0 {
                text.push(',');
            }
            let size = last - first + 1;
            let (one, other) = (first + self.below(size), first + self.below(size));
            let (from, to) = match wraps {
                true => (one, other),
                false => (one.min(other), one.max(other)),
            };
            let values = if from <= to {
                to - from + 1
            } else {
                size - from + to + 1
            };
            match self.below(4) {
                0 => write!(text, "{one}"),
                1 => write!(text, "{from}-{to}"),
                2 => write!(text, "{from}-{to}/{}", 1 + self.below(values)),
                _ => write!(text, "*/{}", 1 + self.below(size)),
            }
            .unwrap();
        }
        text
    }

    fn expression(&mut self, wraps: bool) -> String {
        let (minute, hour) = (self.field(0, 59, wraps), self.field(0, 23, wraps));
        let month = if self.below(2) == 0 {
            "*".to_owned()
        } else {
            self.field(1, 12, wraps)
        };
        let (of_month, of_week) = match self.below(5) {
            0 | 1 => (self.field(1, 31, wraps), "*".to_owned()),
            2 | 3 => ("*".to_owned(), self.field(0, 6, wraps)),
            _ => (self.field(1, 31, wraps), self.field(0, 6, wraps)),
        };
        format!("{minute} {hour} {of_month} {month} {of_week}")
    }
}

#[test]
fn drawn_expressions_fire_when_they_are_due() {
    let mut draw = Draw(20_260_301);
    let (mut same, mut refused) = (0, 0);
    for _ in 0..40 {
        let schedules = [
            crontab(draw.expression(true)),
            crontab_vixie(draw.expression(false)),
        ];
        for schedule in schedules {
            // A drawn day may be one that no drawn month has.
            if schedule.check().is_ok() {
                match is_the_same(&schedule) {
                    true => same += 1,
                    false => refused += 1,
                }
            }
        }
    }
    assert!(same > 40 && refused > 5, "{same}, {refused}");
}
