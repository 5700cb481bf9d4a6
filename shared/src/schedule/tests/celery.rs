//! Due times held against Celery's own, as `tests/schedules/generate.py` wrote them down.
//!
//! Where the two differ, it is by one of the rules in [`Difference`], which the guide lists, and each of
//! which is told from the difference itself: no expression is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use flate2::read::GzDecoder;
use jiff::tz::TimeZone;

use crate::schedule::{Schedule, crontab};
use crate::time::Timestamp;

const FIXTURE: &[u8] = include_bytes!("../../../../tests/fixtures/schedules/celery.txt.gz");

/// Where Celery is wrong by its own documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Difference {
    /// What is due every hour isn't in the hour that a clock put back shows again.
    RepeatedHour,
    /// Of several due times that the clock is put forward over, only the first comes; with it goes what
    /// is due before that one in the local time after the change.
    SkippedHour,
    /// Last run in the hour after a clock was put forward, what it was put forward over isn't due any more,
    /// though it is when the last run was before.
    SinceSkippedHour,
    /// Last run in the hour that a clock put back shows again, it is due at once, and so without end.
    AtOnce,
}

/// The last change of a zone's clock at or before an instant: when, and by how much.
fn change(zone: &TimeZone, instant: i64) -> Option<(i64, i64)> {
    let at = |seconds| jiff::Timestamp::from_second(seconds).unwrap();
    let change = zone
        .preceding(at(instant + 1))
        .next()?
        .timestamp()
        .as_second();
    let offset = |seconds| i64::from(zone.to_offset(at(seconds)).seconds());
    Some((change, offset(change) - offset(change - 1)))
}

fn in_repeated_hour(zone: &TimeZone, instant: i64) -> bool {
    change(zone, instant).is_some_and(|(at, by)| instant < at - by)
}

/// As long after a clock was put forward as it was put forward by.
fn after_skipped_hour(zone: &TimeZone, instant: i64) -> Option<(i64, i64)> {
    change(zone, instant).filter(|(at, by)| instant < at + by)
}

/// Why Celery leaves out a due time.
fn left_out(
    zone: &TimeZone,
    every_hour: bool,
    due: i64,
    (start, celery): (i64, &[i64]),
) -> Option<Difference> {
    if in_repeated_hour(zone, due) {
        return every_hour.then_some(Difference::RepeatedHour);
    }
    // Celery has its first due time of those put off, and none on this side of it as long after it.
    let (at, by) = after_skipped_hour(zone, due)?;
    if (at..at + by).contains(&start) {
        return Some(Difference::SinceSkippedHour);
    }
    let has_first = celery.iter().any(|first| (at..at + by).contains(first));
    has_first.then_some(Difference::SkippedHour)
}

/// `SECOND: MINUTES…`.
fn read(text: &str) -> (i64, Vec<i64>) {
    let (start, gaps) = text.split_once(':').unwrap();
    let mut dues = Vec::new();
    let mut last = 0;
    for gap in gaps.split_whitespace() {
        let (gap, times) = gap.split_once('*').unwrap_or((gap, "1"));
        for _ in 0..times.parse::<usize>().unwrap() {
            last += gap.parse::<i64>().unwrap() * 60;
            dues.push(last);
        }
    }
    (start.parse().unwrap(), dues)
}

fn due(schedule: &Schedule, after: i64, until: i64) -> Vec<i64> {
    let instant = |seconds: i64| Timestamp::from_millis(seconds * 1000);
    let due = schedule.due(instant(after), instant(until));
    due.map(Timestamp::as_secs).collect()
}

fn fixture() -> String {
    let mut text = String::new();
    GzDecoder::new(FIXTURE).read_to_string(&mut text).unwrap();
    text
}

/// Each expression that is in there, once.
pub(super) fn expressions() -> BTreeSet<String> {
    let text = fixture();
    let expressions = text.lines().filter_map(|line| line.split_once(" in "));
    expressions
        .filter(|(expression, _)| !expression.starts_with('#'))
        .map(|(expression, _)| expression.to_owned())
        .collect()
}

#[test]
fn due_times_are_celerys() {
    let text = fixture();
    let mut differences = BTreeMap::new();
    let mut counts = BTreeMap::new();
    let mut count = |what: &'static str, by: usize| *counts.entry(what).or_insert(0) += by;
    let (mut schedule, mut zone, mut every_hour) = (crontab("* * * * *"), TimeZone::UTC, true);
    let mut written = "";
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some((expression, name)) = line.split_once(" in ") {
            let (name, hourly) = match name.strip_suffix(" every hour") {
                Some(name) => (name, true),
                None => (name, false),
            };
            schedule = crontab(expression).in_tz(name);
            schedule.check().unwrap();
            zone = TimeZone::get(name).unwrap();
            every_hour = hourly;
            written = line;
            count("expressions", 1);
            continue;
        }
        let (what, rest) = line.split_once(' ').unwrap();
        let (start, celery) = read(rest);
        if what == "again" {
            assert!(in_repeated_hour(&zone, start), "{written}: {line}");
            *differences.entry(Difference::AtOnce).or_insert(0) += 1;
            continue;
        }
        let until = match what {
            "first" => celery.last().copied().unwrap(),
            "around" => start + 4 * 86_400,
            _ => panic!("{line}"),
        };
        let own = due(&schedule, start, until);
        for extra in own.iter().filter(|due| !celery.contains(due)) {
            let reason = left_out(&zone, every_hour, *extra, (start, &celery));
            let reason = reason.unwrap_or_else(|| {
                let due = Timestamp::from_millis(extra * 1000);
                panic!("{written}: after {start}, {due} isn't Celery's")
            });
            *differences.entry(reason).or_insert(0) += 1;
        }
        let missing: Vec<_> = celery.iter().filter(|due| !own.contains(due)).collect();
        assert!(missing.is_empty(), "{written}: after {start}: {missing:?}");
        count("due times", celery.len());
        count(
            if what == "first" {
                "instants"
            } else {
                "changes"
            },
            1,
        );
    }
    println!("{counts:?} {differences:?}");
    assert!(counts["expressions"] >= 500, "{counts:?}");
    assert!(counts["due times"] >= 8 * 50 * 500, "{counts:?}");
    // A rule that no difference needs would be one too many.
    let all = [
        Difference::RepeatedHour,
        Difference::SkippedHour,
        Difference::SinceSkippedHour,
        Difference::AtOnce,
    ];
    assert!(
        all.iter().all(|rule| differences.contains_key(rule)),
        "{differences:?}"
    );
}
