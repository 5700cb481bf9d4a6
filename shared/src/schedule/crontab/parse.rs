//! The five fields of a crontab expression, read in either dialect.
//!
//! ```text
//! field := part ( "," part )*
//! part  := ( "*" | value | value "-" value ) ( "/" step )?      no step after a lone value
//! value := digits | name
//! ```

use super::Dialect;
use crate::failure::shortened;
use crate::task::{QUOTED, nearest};

/// The values at which a field is due, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Values(u64);

impl Values {
    pub(super) fn contains(self, value: u32) -> bool {
        self.at_or_after(value) == Some(value)
    }

    pub(super) fn first(self) -> u32 {
        self.0.trailing_zeros()
    }

    pub(super) fn at_or_after(self, value: u32) -> Option<u32> {
        let left = u64::MAX.checked_shl(value)? & self.0;
        (left != 0).then(|| left.trailing_zeros())
    }
}

impl FromIterator<u32> for Values {
    fn from_iter<I: IntoIterator<Item = u32>>(values: I) -> Self {
        Self(values.into_iter().fold(0, |set, value| set | 1 << value))
    }
}

/// What a field may hold.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    first: u32,
    last: u32,
    /// From `first` on.
    names: &'static [&'static str],
}

const DAYS: [&str; 7] = [
    "sunday",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
];
const MONTHS: [&str; 12] = [
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
];

const fn field(name: &'static str, first: u32, last: u32, names: &'static [&'static str]) -> Field {
    Field {
        name,
        first,
        last,
        names,
    }
}

/// The fields in the order in which an expression has them.
pub(super) const FIELDS: [Field; 5] = [
    field("minute", 0, 59, &[]),
    field("hour", 0, 23, &[]),
    field("day of month", 1, 31, &[]),
    field("month of year", 1, 12, &MONTHS),
    field("day of week", 0, 6, &DAYS),
];

/// What is wrong with a part of a field.
type Reason = String;

impl Field {
    /// Reads the field.
    pub(super) fn parse(&self, text: &str, dialect: Dialect) -> Result<Values, Reason> {
        let mut all = Vec::new();
        for part in text.split(',') {
            all.extend(self.part(part, dialect).map_err(|reason| {
                if part == text {
                    reason
                } else {
                    format!("{reason} (in `{}`)", shortened(part, QUOTED))
                }
            })?);
        }
        Ok(all.into_iter().collect())
    }

    fn part(&self, part: &str, dialect: Dialect) -> Result<Vec<u32>, Reason> {
        if part.is_empty() {
            return Err("it has an empty part: one comma stands between two values".to_owned());
        }
        let (span, step) = match part.split_once('/') {
            Some((span, step)) => (span, Some(step)),
            None => (part, None),
        };
        let values: Vec<u32> = if span == "*" {
            (self.first..=self.last).collect()
        } else if let Some((from, to)) = span.split_once('-') {
            self.range(from, to, dialect)?
        } else if step.is_some() {
            let last = self.last;
            let span = shortened(span, QUOTED);
            return Err(format!(
                "a step goes over a range or `*`: write `{span}-{last}/…`"
            ));
        } else {
            vec![self.value(span, dialect)?]
        };
        let Some(step) = step else {
            return Ok(values.into_iter().map(|value| self.folded(value)).collect());
        };
        let step = self.step(step, values.len())?;
        let values = values.into_iter().step_by(step);
        Ok(values.map(|value| self.folded(value)).collect())
    }

    /// The values from one to the other. In Celery's dialect a range wraps.
    fn range(&self, from: &str, to: &str, dialect: Dialect) -> Result<Vec<u32>, Reason> {
        if to.contains('-') {
            return Err("a range has one `-`, between its first and its last value".to_owned());
        }
        let (from, to) = (self.value(from, dialect)?, self.value(to, dialect)?);
        match dialect {
            _ if from <= to => Ok((from..=to).collect()),
            Dialect::Celery => Ok((from..=self.last).chain(self.first..=to).collect()),
            Dialect::Vixie => Err(format!(
                "the range goes backwards; write `{from}-{},{}-{to}`",
                self.last, self.first
            )),
        }
    }

    fn step(&self, text: &str, values: usize) -> Result<usize, Reason> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse::<usize>() {
            Ok(0) => Err("a step is 1 at least".to_owned()),
            Ok(step) if digits && step <= values => Ok(step),
            // Also what no integer holds.
            _ if digits => Err(format!(
                "a step of {} is more than the {values} values it goes over",
                shortened(text, QUOTED)
            )),
            _ => Err(format!(
                "`{}` is no step: after one `/` stands one number",
                shortened(text, QUOTED)
            )),
        }
    }

    fn value(&self, text: &str, dialect: Dialect) -> Result<u32, Reason> {
        let quoted = shortened(text, QUOTED);
        if text.is_empty() {
            return Err("a range has a value on each side of its `-`".to_owned());
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let last = self.last + u32::from(self.sunday_is_seven(dialect));
            return match text.parse() {
                Ok(value) if (self.first..=last).contains(&value) => Ok(value),
                Ok(7) if self.names == DAYS => {
                    Err(format!("7 is outside {}-{last}: Sunday is 0", self.first))
                }
                _ => Err(format!("{quoted} is outside {}-{last}", self.first)),
            };
        }
        let lower = text.to_lowercase();
        let named = |names: &[&str]| {
            let long_enough = lower.len() >= 3;
            names
                .iter()
                .position(|name| long_enough && name.starts_with(&lower))
        };
        if let Some(place) = named(self.names) {
            return Ok(self.first + u32::try_from(place).unwrap_or_default());
        }
        if named(&DAYS).is_some() || named(&MONTHS).is_some() {
            return Err(format!("`{quoted}` is no {}", self.name));
        }
        let hint = match nearest(&lower, self.names.iter().copied()) {
            Some(name) => format!("; did you mean `{}`?", name.get(..3).unwrap_or(name)),
            None if text.contains(['L', 'W', '#', '?']) => {
                "; `L`, `W`, `#` and `?` are of other dialects".to_owned()
            }
            None => String::new(),
        };
        let names = match self.names {
            [] => "",
            _ => " or the first three letters of a name",
        };
        Err(format!(
            "`{quoted}` is no value: write {}-{}{names}{hint}",
            self.first, self.last
        ))
    }

    fn sunday_is_seven(&self, dialect: Dialect) -> bool {
        dialect == Dialect::Vixie && self.names == DAYS
    }

    fn folded(&self, value: u32) -> u32 {
        if value > self.last { self.first } else { value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(field: usize, text: &str, dialect: Dialect) -> Vec<u32> {
        let values = FIELDS[field].parse(text, dialect).unwrap();
        (0..64).filter(|value| values.contains(*value)).collect()
    }

    fn wrong(field: usize, text: &str, dialect: Dialect) -> String {
        FIELDS[field].parse(text, dialect).unwrap_err()
    }

    const MINUTE: usize = 0;
    const HOUR: usize = 1;
    const DOM: usize = 2;
    const MONTH: usize = 3;
    const DOW: usize = 4;

    #[test]
    fn what_celery_means() {
        let set = |field, text| set(field, text, Dialect::Celery);
        assert_eq!(set(MINUTE, "*/15"), [0, 15, 30, 45]);
        assert_eq!(set(MINUTE, "30-10/15"), [0, 30, 45]);
        assert_eq!(set(HOUR, "22-4/2"), [0, 2, 4, 22]);
        assert_eq!(set(DOM, "*/10"), [1, 11, 21, 31]);
        assert_eq!(set(DOM, "2-30/14,31"), [2, 16, 30, 31]);
        assert_eq!(set(MONTH, "nov-FEB"), [1, 2, 11, 12]);
        assert_eq!(set(DOW, "*/5"), [0, 5]);
        assert_eq!(set(DOW, "sat-mon"), [0, 1, 6]);
        assert_eq!(set(DOW, "Tues,thursday"), [2, 4]);
        assert_eq!(set(HOUR, "*/24"), [0]);
        assert_eq!(set(MINUTE, "07"), [7]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = |field, text| wrong(field, text, Dialect::Celery);
        assert_eq!(wrong(HOUR, "24"), "24 is outside 0-23");
        assert_eq!(wrong(DOW, "7"), "7 is outside 0-6: Sunday is 0");
        assert_eq!(wrong(DOM, "0"), "0 is outside 1-31");
        assert_eq!(wrong(MINUTE, "1,99-3"), "99 is outside 0-59 (in `99-3`)");
        let empty = "it has an empty part: one comma stands between two values";
        assert_eq!(wrong(MINUTE, ""), empty);
        assert_eq!(wrong(MINUTE, "1,,2"), format!("{empty} (in ``)"));
        let sides = "a range has a value on each side of its `-`";
        assert_eq!(wrong(MINUTE, "-5"), sides);
        assert_eq!(wrong(MINUTE, "5-"), sides);
        let one = "a range has one `-`, between its first and its last value";
        assert_eq!(wrong(MINUTE, "1-5-7"), one);
        assert_eq!(
            wrong(MINUTE, "5/15"),
            "a step goes over a range or `*`: write `5-59/…`"
        );
        assert_eq!(wrong(MINUTE, "*/0"), "a step is 1 at least");
        assert_eq!(
            wrong(MINUTE, "*/100"),
            "a step of 100 is more than the 60 values it goes over"
        );
        let step = "`2/3` is no step: after one `/` stands one number";
        assert_eq!(wrong(MINUTE, "*/2/3"), step);
        assert_eq!(wrong(DOW, "mar"), "`mar` is no day of week");
        assert_eq!(wrong(MONTH, "mon"), "`mon` is no month of year");
        let names = "or the first three letters of a name";
        assert_eq!(
            wrong(DOW, "Wendsday"),
            format!("`Wendsday` is no value: write 0-6 {names}; did you mean `wed`?")
        );
        assert_eq!(
            wrong(DOM, "L"),
            "`L` is no value: write 1-31; `L`, `W`, `#` and `?` are of other dialects"
        );
        assert_eq!(wrong(HOUR, "+3"), "`+3` is no value: write 0-23");
    }

    #[test]
    fn what_vixie_means() {
        let good = |field, text| set(field, text, Dialect::Vixie);
        assert_eq!(good(DOW, "7"), [0]);
        assert_eq!(good(DOW, "5-7"), [0, 5, 6]);
        assert_eq!(good(DOW, "*/7"), [0]);
        assert_eq!(good(DOW, "1-7/3"), [0, 1, 4]);
        assert_eq!(
            wrong(HOUR, "22-4", Dialect::Vixie),
            "the range goes backwards; write `22-23,0-4`"
        );
        assert_eq!(wrong(DOW, "8", Dialect::Vixie), "8 is outside 0-7");
    }
}
