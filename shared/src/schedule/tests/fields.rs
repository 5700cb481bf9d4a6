//! Fields of crontab expressions, regular and odd, held against what Celery makes of them.

use std::collections::BTreeMap;

use crate::schedule::{Crontab, Schedule};
use crate::time::Timestamp;

const FIXTURE: &str = include_str!("../../../../tests/fixtures/schedules/fields.tsv");

/// What Celery reads by accident, and a mistake for sure: refused here.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Accident {
    /// What follows isn't looked at: `1-5-7` is `1-5`, `*/2/3` is `*/2`, `mar/2` is `mar`.
    Trailing,
    /// A name of the other field: `mar` as a day of the week is 3.
    OtherField,
    /// A name of which only the first three letters are right: `monkey` is `mon`.
    NoName,
    /// A step that leaves but the first value, and isn't the one that says so: `*/100`.
    LongStep,
    /// What Python takes for a number: `+5`, `1_0`, ` 5`, `٣`.
    NoDigits,
}

const NAMES: &[&[&str]] = &[
    &[
        "sunday",
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
    ],
    &[
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ],
];

/// Told from the reason that was given, and from the text.
fn accident(field: &str, text: &str, reason: &str) -> Option<Accident> {
    let words = || text.split([',', '-', '/']);
    let begins = |names: &[&str], word: &str| {
        let word = word.to_lowercase();
        word.len() >= 3 && names.iter().any(|name| name.starts_with(&word))
    };
    let own: &[&str] = match field {
        "day of week" => NAMES[0],
        "month of year" => NAMES[1],
        _ => &[],
    };
    let other = |word: &str| !begins(own, word) && NAMES.iter().any(|names| begins(names, word));
    let misspelt = |word: &str| {
        !NAMES.iter().any(|names| begins(names, word))
            && word
                .get(..3)
                .is_some_and(|three| NAMES.iter().any(|names| begins(names, three)))
    };
    if text
        .split(',')
        .any(|part| part.matches('-').count() > 1 || part.matches('/').count() > 1)
    {
        Some(Accident::Trailing)
    } else if reason.contains("is no step")
        || reason.contains("a step goes over")
        || reason.contains("on each side of its `-`")
        || (text.contains('*') && reason.contains("is no value"))
    {
        // `*/2/3`, `mar/2`, `dec-`: what is read ends before what is wrong.
        Some(Accident::Trailing)
    } else if words().any(other) {
        Some(Accident::OtherField)
    } else if words().any(misspelt) {
        Some(Accident::NoName)
    } else if reason.contains("is more than the") {
        Some(Accident::LongStep)
    } else if words().any(|word| {
        let bare = word.trim().trim_start_matches('+').replace('_', "");
        let number = !bare.is_empty() && bare.chars().all(char::is_numeric);
        number && !word.bytes().all(|byte| byte.is_ascii_digit())
    }) {
        Some(Accident::NoDigits)
    } else {
        None
    }
}

/// The values of the field at which the schedule is due, from its due times.
fn values(field: &str, schedule: &Schedule) -> Vec<i64> {
    let mut found = std::collections::BTreeSet::new();
    // 2023 began on a Sunday; its days of the month and of the week are found within it.
    let begin = "2023-01-01T00:00:00Z".parse::<Timestamp>().unwrap();
    let end = begin + std::time::Duration::from_secs(365 * 86_400);
    let before = begin - std::time::Duration::from_millis(1);
    for due in schedule.due(before, end - std::time::Duration::from_millis(1)) {
        let at = jiff::Timestamp::from_millisecond(due.as_millis()).unwrap();
        let at = at.to_zoned(jiff::tz::TimeZone::UTC);
        found.insert(match field {
            "minute" => i64::from(at.minute()),
            "hour" => i64::from(at.hour()),
            "day of month" => i64::from(at.day()),
            "month of year" => i64::from(at.month()),
            _ => i64::from(at.weekday().to_sunday_zero_offset()),
        });
    }
    found.into_iter().collect()
}

#[test]
fn fields_mean_what_they_mean_to_celery() {
    let mut accidents = BTreeMap::new();
    let (mut same, mut refused) = (0, 0);
    for line in FIXTURE.lines().filter(|line| !line.starts_with('#')) {
        let [field, text, celery] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let celery: Vec<i64> = celery
            .split_whitespace()
            .map(|value| value.parse().unwrap())
            .collect();
        // What is finer than the field is kept at its first value, for the due times to be few.
        let day = || Crontab::new().minute(0).hour(0);
        let schedule = Schedule::from(match field {
            "minute" => Crontab::new()
                .minute(text)
                .hour(0)
                .day_of_month(1)
                .month_of_year(1),
            "hour" => Crontab::new()
                .minute(0)
                .hour(text)
                .day_of_month(1)
                .month_of_year(1),
            "day of month" => day().day_of_month(text).month_of_year(1),
            "month of year" => day().day_of_month(1).month_of_year(text),
            _ => day().day_of_week(text).month_of_year(1),
        });
        match schedule.check() {
            Ok(()) => {
                assert_eq!(values(field, &schedule), celery, "{field} `{text}`");
                same += 1;
            }
            Err(error) => {
                assert_eq!(error.parameter(), Some(field), "`{text}`: {error}");
                if celery.is_empty() {
                    refused += 1;
                } else {
                    let why = accident(field, text, &error.to_string());
                    let why = why
                        .unwrap_or_else(|| panic!("{field} `{text}`: {error}; Celery: {celery:?}"));
                    accidents.entry(why).or_insert_with(Vec::new).push(text);
                }
            }
        }
    }
    println!("the same: {same}, refused by both: {refused}");
    for (why, texts) in &accidents {
        println!(
            "{why:?}: {} as {:?}",
            texts.len(),
            &texts[..texts.len().min(12)]
        );
    }
    assert!(same >= 300 && refused >= 500, "{same} {refused}");
    assert_eq!(accidents.len(), 5, "each accident happens to Celery");
}
