//! Fields of a message, read one by one: each says what it must be where it is something else.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Result};
use crate::signature::Expires;
use crate::time::Timestamp;
use crate::unique::Unique;

use super::{MOST, TEXT};

/// The fields not yet read. `null` counts as absent.
pub(crate) struct Fields {
    map: Map<String, Value>,
    /// Whose they are, as errors say it.
    of: String,
}

impl Fields {
    pub(crate) fn new(map: Map<String, Value>, of: impl Into<String>) -> Self {
        Self { map, of: of.into() }
    }

    /// What nobody has read.
    pub(crate) fn rest(self) -> Map<String, Value> {
        self.map
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(|value| !value.is_null())
    }

    /// The error of a field that isn't what is wanted.
    pub(crate) fn wrong(&self, name: &str, wanted: &str) -> Error {
        let of = &self.of;
        let what = format!("{of}'s field `{name}` must be {wanted}");
        Error::new(ErrorKind::Decode, what).about(name)
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>> {
        match self.take(name) {
            None => Ok(None),
            // Names and ids: each has to fit into a record many times over.
            Some(Value::String(text)) if text.len() <= TEXT => Ok(Some(text)),
            Some(_) => Err(self.wrong(name, "a text of at most 512 bytes")),
        }
    }

    pub(crate) fn list(&mut self, name: &str) -> Result<Vec<Value>> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => Ok(list),
            Some(_) => Err(self.wrong(name, "a list")),
        }
    }

    pub(crate) fn object(&mut self, name: &str) -> Result<Map<String, Value>> {
        match self.take(name) {
            None => Ok(Map::new()),
            Some(Value::Object(object)) => Ok(object),
            Some(_) => Err(self.wrong(name, "an object")),
        }
    }

    /// The fields of an object in a field.
    pub(super) fn inside(&mut self, name: &str) -> Result<Option<Fields>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Fields::new(map, format!("{}'s {name}", self.of)))),
            Some(_) => Err(self.wrong(name, "an object")),
        }
    }

    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(self.wrong(name, "true or false")),
        }
    }

    /// What it is unique by.
    pub(crate) fn unique(&mut self, name: &str) -> Result<Option<Unique>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(true)) => Ok(Some(Unique::Arguments)),
            Some(Value::Bool(false)) => Ok(Some(Unique::No)),
            Some(Value::String(key)) if (1..=TEXT).contains(&key.len()) => {
                Ok(Some(Unique::Key(key)))
            }
            Some(_) => Err(self.wrong(name, "true, false, or a text of 1 to 512 bytes")),
        }
    }

    pub(crate) fn number(&mut self, name: &str, most: u64) -> Result<Option<u64>> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => match value.as_u64().filter(|number| *number <= most) {
                Some(number) => Ok(Some(number)),
                None => Err(self.wrong(name, &format!("a whole number from 0 to {most}"))),
            },
        }
    }

    pub(crate) fn count(&mut self, name: &str) -> Result<Option<u32>> {
        let number = self.number(name, MOST.into())?;
        Ok(number.and_then(|number| u32::try_from(number).ok()))
    }

    pub(crate) fn seconds(&mut self, name: &str) -> Result<Option<Duration>> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let wanted = "a number of seconds, 0 or more";
        duration(&value)
            .map(Some)
            .ok_or_else(|| self.wrong(name, wanted))
    }

    /// An instant: ISO 8601, or a number of seconds from `sent_at`.
    pub(crate) fn instant(&mut self, name: &str, sent_at: Timestamp) -> Result<Option<Timestamp>> {
        Ok(self.moment(name)?.map(|moment| match moment {
            Expires::At(at) => at,
            Expires::After(delay) => sent_at + delay,
        }))
    }

    /// An instant, or a number of seconds from a send that is yet to come.
    pub(crate) fn moment(&mut self, name: &str) -> Result<Option<Expires>> {
        let parsed = match self.take(name) {
            None => return Ok(None),
            Some(Value::String(text)) => text.parse().ok().map(Expires::At),
            Some(value) => duration(&value).map(Expires::After),
        };
        let wanted = "an ISO 8601 date-time such as 2026-03-01T12:00:00Z, or seconds from now";
        parsed.map(Some).ok_or_else(|| self.wrong(name, wanted))
    }
}

/// A number of seconds; more than a duration holds is the longest one, as good as for ever.
fn duration(value: &Value) -> Option<Duration> {
    let seconds = value.as_f64().filter(|seconds| *seconds >= 0.0)?;
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}
