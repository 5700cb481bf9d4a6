//! Instants, as they are written on the wire and in the tables.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, ErrorKind};
use crate::failure::shortened;

/// An instant in UTC, to the millisecond.
///
/// Written as ISO 8601 with exactly three decimals and a `Z`, so that the text sorts as the time
/// does: DynamoDB conditions compare it as a string and people read it in the console. Read from any
/// ISO 8601 date-time; one without an offset is UTC, as in Celery.
///
/// ```
/// use sedano::Timestamp;
/// use std::time::Duration;
///
/// let noon: Timestamp = "2026-03-01T13:00:00+01:00".parse()?;
/// assert_eq!(noon.to_string(), "2026-03-01T12:00:00.000Z");
/// assert_eq!((noon + Duration::from_millis(1500)).to_string(), "2026-03-01T12:00:01.500Z");
/// # Ok::<(), sedano::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since 1970-01-01T00:00:00Z.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970-01-01T00:00:00Z, rounded down: what DynamoDB's TTL wants.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// How long from `earlier` to this instant; zero if `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The last instant that has an ISO 8601 text in every zone: what is later couldn't be read back.
const LAST: i64 = 253_402_207_200_000;

impl Add<Duration> for Timestamp {
    type Output = Self;
    /// Ends with the year 9999.
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)).min(LAST))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => write!(f, "{instant:.3}"),
            // Outside the years -9999 to 9999 there is no ISO 8601 text; the number still says it.
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let instant = text.parse::<jiff::Timestamp>().or_else(|_| {
            let civil = text.parse::<jiff::civil::DateTime>()?;
            civil
                .to_zoned(jiff::tz::TimeZone::UTC)
                .map(|zoned| zoned.timestamp())
        });
        match instant {
            Ok(instant) => Ok(Self(instant.as_millisecond())),
            Err(_) => Err(Error::new(
                ErrorKind::Decode,
                format!(
                    "`{}` is no date and time: write it as 2026-03-01T12:00:00Z",
                    shortened(text, 100)
                ),
            )),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_sorts_as_time_does() {
        let instants = [-1, 0, 999, 1000, 1_700_000_000_000, 1_700_000_000_001];
        let texts = instants.map(|millis| Timestamp::from_millis(millis).to_string());
        assert!(texts.is_sorted());
        assert_eq!(texts[1], "1970-01-01T00:00:00.000Z");
        assert_eq!(
            texts.map(|text| text.parse::<Timestamp>().unwrap().as_millis()),
            instants
        );
    }

    #[test]
    fn the_latest_instant_can_be_read_back() {
        let last = Timestamp::default() + Duration::MAX;
        assert_eq!(last.to_string().parse::<Timestamp>().unwrap(), last);
        assert!(last.to_string().starts_with("9999-12-30"));
    }

    #[test]
    fn reads_what_celery_and_people_write() {
        let wanted = Timestamp::from_millis(1_772_366_400_123);
        for text in [
            "2026-03-01T12:00:00.123Z",
            "2026-03-01T12:00:00.123456+00:00",
            "2026-03-01 12:00:00.123",
            "2026-03-01T07:00:00.123-05:00",
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap(), wanted, "{text}");
        }
        let error = "tomorrow".parse::<Timestamp>().unwrap_err().to_string();
        assert_eq!(
            error,
            "`tomorrow` is no date and time: write it as 2026-03-01T12:00:00Z"
        );
    }
}
