//! Every so often, aligned to the clock.

use std::time::Duration;

use super::Fault;
use crate::time::Timestamp;

/// Whether a period can be kept.
pub(super) fn check(period: Duration) -> Result<(), Fault> {
    if period.as_secs() == 0 || period.subsec_nanos() > 0 {
        let reason = format!("{period:?} isn't a whole number of seconds, at least 1");
        return Err(Fault::new("every", reason));
    }
    Ok(())
}

/// The first multiple of the period since 1970-01-01T00:00:00Z after `after`.
pub(super) fn next_after(period: Duration, after: Timestamp) -> Option<Timestamp> {
    let step = i64::try_from(period.as_millis()).ok()?;
    let times = after.as_millis().checked_div_euclid(step)?.checked_add(1)?;
    times.checked_mul(step).map(Timestamp::from_millis)
}

/// The period for people: in the largest unit that divides it.
pub(super) fn words(period: Duration) -> String {
    if check(period).is_err() {
        return format!("every {period:?}");
    }
    let seconds = period.as_secs();
    for (unit, name) in [(86_400, "d"), (3600, "h"), (60, "min")] {
        if seconds.is_multiple_of(unit) {
            return format!("every {} {name}", seconds / unit);
        }
    }
    format!("every {seconds} s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_in_the_largest_unit() {
        let words = |seconds| words(Duration::from_secs(seconds));
        assert_eq!(words(1), "every 1 s");
        assert_eq!(words(90), "every 90 s");
        assert_eq!(words(300), "every 5 min");
        assert_eq!(words(7200), "every 2 h");
        assert_eq!(words(86_400), "every 1 d");
    }

    #[test]
    fn due_at_the_multiples_on_either_side_of_1970() {
        let next = |period, after| {
            let after = Timestamp::from_millis(after);
            next_after(Duration::from_secs(period), after).map(Timestamp::as_millis)
        };
        assert_eq!(next(30, 0), Some(30_000));
        assert_eq!(next(30, 29_999), Some(30_000));
        assert_eq!(next(30, -1), Some(0));
        assert_eq!(next(30, -30_000), Some(0));
        assert_eq!(next(1, i64::MAX), None);
    }

    #[test]
    fn part_of_a_second_is_refused() {
        assert_eq!(check(Duration::from_secs(1)), Ok(()));
        for period in [
            Duration::ZERO,
            Duration::from_millis(999),
            Duration::from_millis(1500),
        ] {
            assert_eq!(check(period).unwrap_err().field, "every", "{period:?}");
        }
    }
}
