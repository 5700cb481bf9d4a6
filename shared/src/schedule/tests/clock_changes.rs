//! Due times around changes of the clock, against the rule read word for word, minute by minute.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;

use crate::schedule::{Schedule, crontab};
use crate::time::Timestamp;

const MINUTE: i64 = 60;
const DAY: i64 = 86_400;

fn due(schedule: &Schedule, from: i64, until: i64) -> BTreeSet<i64> {
    let instant = |seconds: i64| Timestamp::from_millis(seconds * 1000);
    let due = schedule.due(instant(from - 1), instant(until - 1));
    due.map(Timestamp::as_secs).collect()
}

/// What a clock on the wall shows, in seconds since 1970 by that clock.
fn shown(zone: &TimeZone, instant: i64) -> i64 {
    let offset = zone.to_offset(jiff::Timestamp::from_second(instant).unwrap());
    instant + i64::from(offset.seconds())
}

/// The rule, read word for word: `minutes` and `hours` are those at which the expression is due.
fn by_the_rule(
    zone: &TimeZone,
    (minutes, hours): (&[i64], &[i64]),
    from: i64,
    until: i64,
) -> BTreeSet<i64> {
    let is_due = |local: i64| {
        let of_day = local.rem_euclid(DAY) / MINUTE;
        minutes.contains(&(of_day % 60)) && hours.contains(&(of_day / 60))
    };
    let (mut due, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let mut last = shown(zone, from - 3 * DAY - MINUTE);
    for instant in (from - 3 * DAY..until).step_by(MINUTE as usize) {
        let local = shown(zone, instant);
        // What the clock is put forward over comes as much later.
        let forward = local - last - MINUTE;
        for skipped in (last + MINUTE..local).step_by(MINUTE as usize) {
            if is_due(skipped) {
                due.insert(instant + skipped + forward - local);
            }
        }
        last = local;
        if is_due(local) && (seen.insert(local) || hours.len() == 24) {
            due.insert(instant);
        }
    }
    due.range(from..until).copied().collect()
}

fn all_hours() -> Vec<i64> {
    (0..24).collect()
}

#[test]
fn minute_by_minute() {
    let changes = [
        ("America/New_York", "2026-03-08"),
        ("America/New_York", "2026-11-01"),
        ("Europe/Kyiv", "2026-03-29"),
        ("Europe/Kyiv", "2026-10-25"),
        // By half an hour.
        ("Australia/Lord_Howe", "2026-04-04"),
        ("Australia/Lord_Howe", "2026-10-03"),
        // At midnight.
        ("Africa/Cairo", "2026-04-24"),
        ("Africa/Cairo", "2026-10-29"),
        ("America/Havana", "2026-03-08"),
        ("America/Havana", "2026-11-01"),
        // A whole day was left out.
        ("Pacific/Apia", "2011-12-30"),
        // Twice within a few weeks.
        ("Africa/Casablanca", "2026-02-15"),
        ("Africa/Casablanca", "2026-03-22"),
    ];
    let some: &[(&str, &[i64], Vec<i64>)] = &[
        ("30 2 * * *", &[30], vec![2]),
        ("0,20,40 * * * *", &[0, 20, 40], all_hours()),
        ("10,35 * * * *", &[10, 35], all_hours()),
        ("*/20 0-3 * * *", &[0, 20, 40], vec![0, 1, 2, 3]),
        ("45 23 * * *", &[45], vec![23]),
        ("0 0 * * *", &[0], vec![0]),
        ("15 1 * * *", &[15], vec![1]),
        ("59 */2 * * *", &[59], (0..24).step_by(2).collect()),
    ];
    for (name, day) in changes {
        let zone = TimeZone::get(name).unwrap();
        let change = day.parse::<Timestamp>().unwrap().as_secs();
        let (from, until) = (change - DAY, change + 3 * DAY);
        for (expression, minutes, hours) in some {
            let schedule = crontab(expression).in_tz(name);
            schedule.check().unwrap();
            let wanted = by_the_rule(&zone, (minutes, hours), from, until);
            assert_eq!(
                due(&schedule, from, until),
                wanted,
                "{expression} {name} {day}"
            );
            // From every quarter of an hour the same.
            for start in (from..until).step_by(900) {
                let next = schedule.next_after(Timestamp::from_millis(start * 1000));
                let wanted = wanted.range(start + 1..).next();
                if let Some(wanted) = wanted {
                    assert_eq!(
                        next.map(Timestamp::as_secs),
                        Some(*wanted),
                        "{expression} {name} {start}"
                    );
                }
            }
        }
    }
}

fn first(expression: &str, zone: &str, after: &str, times: usize) -> Vec<String> {
    let schedule = crontab(expression).in_tz(zone);
    let due = schedule.due(after.parse().unwrap(), Timestamp::from_millis(i64::MAX));
    due.take(times)
        .map(|due| due.to_string()[..16].to_owned())
        .collect()
}

#[test]
fn evenings_in_kyiv_on_either_side_of_each_change() {
    assert_eq!(
        first("0 18 * * *", "Europe/Kyiv", "2026-03-28", 2),
        ["2026-03-28T16:00", "2026-03-29T15:00"]
    );
    assert_eq!(
        first("0 18 * * *", "Europe/Kyiv", "2026-10-24", 2),
        ["2026-10-24T15:00", "2026-10-25T16:00"]
    );
}

#[test]
fn half_past_two_comes_at_half_past_three() {
    assert_eq!(
        first("30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", 2),
        ["2026-03-08T07:30", "2026-03-09T06:30"]
    );
}

#[test]
fn the_repeated_hour_is_repeated_for_what_comes_every_hour() {
    let after = "2026-11-01T05:15:00Z";
    assert_eq!(
        first("*/30 * * * *", "America/New_York", after, 4),
        [
            "2026-11-01T05:30",
            "2026-11-01T06:00",
            "2026-11-01T06:30",
            "2026-11-01T07:00"
        ]
    );
    assert_eq!(
        first("30 1 * * *", "America/New_York", after, 2),
        ["2026-11-01T05:30", "2026-11-02T06:30"]
    );
}

#[test]
fn the_repeated_end_of_a_month_is_repeated() {
    // In Cairo the last hour of 29 October 2026 comes twice; at the next, 29 October 2027, once.
    assert_eq!(
        first("30 * 29 10 *", "Africa/Cairo", "2026-10-29T20:45:00Z", 2),
        ["2026-10-29T21:30", "2027-10-28T22:30"]
    );
}

#[test]
fn a_zone_that_there_is_not() {
    let error = crontab("0 0 * * *")
        .in_tz("Europe/Kyif")
        .check()
        .unwrap_err();
    assert_eq!(error.parameter(), Some("tz"));
    assert_eq!(
        error.to_string(),
        "`tz`: `Europe/Kyif` is no time zone of the IANA database, as Europe/Kyiv is; \
         did you mean `Europe/Kyiv`?"
    );
    let canonical = crontab("0 0 * * *").in_tz("europe/kyiv");
    assert_eq!(canonical.tz(), "Europe/Kyiv");
}
