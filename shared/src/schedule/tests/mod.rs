//! Due times held against Celery's own, the almanac's, and the rule read word for word.

mod celery;
mod clock_changes;
mod fields;
mod native;
mod sun;

use std::time::Duration;

use super::{Event, Schedule, at, crontab, crontab_vixie, every, solar};
use crate::time::Timestamp;

fn one_of_each() -> [Schedule; 7] {
    [
        every(Duration::from_secs(1)),
        every(Duration::MAX),
        crontab("30 1 29 2 mon").in_tz("America/New_York"),
        crontab_vixie("* * 31 * 7").in_tz("Australia/Lord_Howe"),
        solar(Event::Sunrise, -89.0, 180.0),
        solar(Event::SolarNoon, 90.0, -180.0),
        at(Timestamp::default()),
    ]
}

#[test]
fn at_the_ends_of_time_nothing_is_due() {
    for schedule in one_of_each() {
        for millis in [i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX] {
            let after = Timestamp::from_millis(millis);
            if let Some(due) = schedule.next_after(after) {
                assert!(due > after, "{schedule}: {due} after {after}");
            }
        }
        let last = Timestamp::default() + Duration::MAX;
        for after in [last, last - Duration::from_secs(86_400)] {
            if let Some(due) = schedule.next_after(after) {
                assert!(due > after, "{schedule}: {due} after {after}");
            }
        }
    }
}

#[test]
fn due_times_are_the_same_from_any_instant() {
    let begin: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
    for schedule in one_of_each() {
        let next = schedule.next_after(begin);
        let hours = (1..500_u64).map(|hours| begin + Duration::from_secs(3600 * hours));
        for later in hours {
            match next {
                Some(next) if later < next => {
                    assert_eq!(
                        schedule.next_after(later),
                        Some(next),
                        "{schedule}: {later}"
                    );
                }
                Some(_) => break,
                None => assert_eq!(schedule.next_after(later), None),
            }
        }
    }
}
