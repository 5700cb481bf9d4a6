//! What a run reports of itself while it is at it: how far it has come, and a state of its own.
//!
//! Both lie beside `status`, which stays STARTED: no rule of the protocol reads them. They are there as long
//! as the run holds its claim; whatever takes the record out of STARTED, or claims it anew, takes them away.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::{State, field, text};
use crate::ports::{Attribute, Change, Field, Item};
use crate::time::Timestamp;

/// The most bytes of a custom state's name.
pub(crate) const NAME_BYTES: usize = 64;
/// Words that Celery's readers take for states of its own, beside those that are ours.
const CELERYS: [&str; 2] = ["RECEIVED", "REJECTED"];

/// How far a run has come, by its own account: see [`Context::progress`](crate::Context::progress).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Progress {
    /// How much of it is done.
    pub done: u64,
    /// How much there is in all, where that is known. More than that may be done: then it was a guess.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// What it is at, in the task's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When the task said so.
    pub at: Timestamp,
}

/// A state that a task has given itself: see [`Context::update_state`](crate::Context::update_state).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CustomState {
    /// Its name, such as `PROGRESS`.
    pub state: String,
    /// What the task says about it; `null`, if nothing.
    pub meta: Value,
    /// When the task said so.
    pub at: Timestamp,
}

/// As a line for people: `30 of 120 (25 %): pages`.
impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.done)?;
        if let Some(total) = self.total {
            write!(f, " of {total}")?;
            let percent = u128::from(self.done) * 100;
            if let Some(percent) = percent.checked_div(u128::from(total)) {
                write!(f, " ({percent} %)")?;
            }
        }
        match &self.note {
            Some(note) => write!(f, ": {note}"),
            None => Ok(()),
        }
    }
}

impl Progress {
    /// As the table keeps it.
    pub(crate) fn to_attribute(&self) -> Attribute {
        let number = |count: u64| Attribute::Number(i64::try_from(count).unwrap_or(i64::MAX));
        let mut map = Item::from([
            (Field::from("done"), number(self.done)),
            (Field::from("at"), self.at.into()),
        ]);
        if let Some(total) = self.total {
            map.insert("total".into(), number(total));
        }
        if let Some(note) = &self.note {
            map.insert("note".into(), note.as_str().into());
        }
        Attribute::Map(map)
    }

    pub(super) fn read(value: &Attribute) -> Option<Self> {
        let Attribute::Map(map) = value else {
            return None;
        };
        let number = |name: &str| u64::try_from(map.get(name)?.as_number()?).ok();
        Some(Self {
            done: number("done")?,
            total: number("total"),
            note: text(map, "note").map(str::to_owned),
            at: text(map, "at")?.parse().ok()?,
        })
    }
}

impl CustomState {
    /// As the table keeps it; `meta` is JSON text.
    pub(crate) fn to_attribute(state: &str, meta: &str, at: Timestamp) -> Attribute {
        Attribute::Map(Item::from([
            (Field::from("state"), state.into()),
            (Field::from("meta"), meta.into()),
            (Field::from("at"), at.into()),
        ]))
    }

    pub(super) fn read(value: &Attribute) -> Option<Self> {
        let Attribute::Map(map) = value else {
            return None;
        };
        Some(Self {
            state: text(map, "state")?.to_owned(),
            meta: serde_json::from_str(text(map, "meta")?).ok()?,
            at: text(map, "at")?.parse().ok()?,
        })
    }
}

/// Why a task can't give itself a state of this name, in a sentence.
pub(crate) fn is_no_custom_state(name: &str) -> Option<String> {
    let quoted = || crate::failure::shortened(name, NAME_BYTES);
    let mut bytes = name.bytes();
    let sound = bytes.next().is_some_and(|first| first.is_ascii_uppercase())
        && bytes.all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    if !sound || name.len() > NAME_BYTES {
        return Some(format!(
            "`{}` can't be the name of a custom state: it takes 1 to {NAME_BYTES} of A to Z, 0 to 9 and `_`, a \
             letter first",
            quoted()
        ));
    }
    let taken = State::parse(name).is_some() || CELERYS.contains(&name);
    taken.then(|| {
        format!(
            "`{name}` can't be the name of a custom state: it is a state of every task, which the worker \
             records itself; take another, such as `PROGRESS`"
        )
    })
}

/// Takes away what a run has reported.
pub(crate) fn unreported() -> [Change; 2] {
    [field::PROGRESS, field::CUSTOM].map(|name| Change::Remove(name.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn progress(done: u64, total: Option<u64>, note: Option<&str>) -> Progress {
        Progress {
            done,
            total,
            note: note.map(str::to_owned),
            at: Timestamp::from_millis(5),
        }
    }

    #[test]
    fn what_is_kept_is_read_back() {
        for given in [
            progress(0, None, None),
            progress(3, Some(7), Some("pages")),
            progress(9, Some(7), None),
        ] {
            assert_eq!(Progress::read(&given.to_attribute()), Some(given));
        }
        let huge = progress(u64::MAX, None, None).to_attribute();
        let most = u64::try_from(i64::MAX).unwrap();
        assert_eq!(Progress::read(&huge).unwrap().done, most);
        let at = Timestamp::from_millis(5);
        let kept = CustomState::to_attribute("PROGRESS", r#"{"page":3}"#, at);
        let read = CustomState::read(&kept).unwrap();
        assert_eq!(
            (read.state.as_str(), read.meta),
            ("PROGRESS", json!({"page": 3}))
        );
    }

    #[test]
    fn a_line_says_how_far() {
        for (done, total, note, line) in [
            (30, Some(120), Some("pages"), "30 of 120 (25 %): pages"),
            (7, None, Some("pages"), "7: pages"),
            (0, Some(0), None, "0 of 0"),
            (
                u64::MAX,
                Some(u64::MAX),
                None,
                "18446744073709551615 of 18446744073709551615 (100 %)",
            ),
        ] {
            assert_eq!(progress(done, total, note).to_string(), line);
        }
    }

    #[test]
    fn names_of_custom_states() {
        let longest = "A".repeat(NAME_BYTES);
        for name in ["PROGRESS", "A", "STEP_2", &longest] {
            assert_eq!(is_no_custom_state(name), None, "{name}");
        }
        let long = "A".repeat(NAME_BYTES + 1);
        for name in ["", "progress", "2ND", "_A", "A B", "A-B", "Ä", &long] {
            let why = is_no_custom_state(name).unwrap();
            assert!(why.contains("1 to 64 of A to Z"), "{why}");
        }
        for state in State::ALL {
            let why = is_no_custom_state(state.as_str()).unwrap();
            assert!(why.contains("a state of every task"), "{why}");
        }
        assert!(is_no_custom_state("RECEIVED").is_some());
    }
}
