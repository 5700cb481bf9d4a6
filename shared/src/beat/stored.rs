//! An entry's item in the state table, under `beat` and `entry#<name>`: its attributes, read and written here only.
//!
//! | attribute | |
//! |---|---|
//! | `entry` | the definition, as JSON text |
//! | `source` | `code` or `run time`: who wrote it |
//! | `revision` | a number that each change makes greater; part of the ids of what is sent |
//! | `since` | when it was changed last |
//! | `after` | only due times after this are sent; gone as soon as beat's watermark says it |
//! | `held` | which tick, one that couldn't send it, wrote `after` last |
//! | `paused` | nothing is due until it is resumed; a change of the definition leaves it |
//! | `removed` | it is to be deleted, once what was handed out is revoked |
//! | `revoking` | some of `earlier` has still to be revoked |
//! | `rule` | the EventBridge rule that sends it in beat's place |
//! | `runs`, `sent` | of one with `max_runs`: how many due times were sent, and the last of them |
//! | `earlier` | up to ten revisions before this one |
//! | `run_now` | the runs that were asked for by hand, the last ten and some |

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::due::Span;
use super::entry::Entry;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Attribute, Field, Item, Key, When};
use crate::time::Timestamp;

pub(super) const PARTITION: &str = "beat";
pub(super) const PREFIX: &str = "entry#";

/// How many earlier revisions are known, and runs by hand are shown.
pub(super) const KEPT: usize = 10;

/// Names of the attributes.
pub(super) mod field {
    pub(crate) const AFTER: &str = "after";
    pub(crate) const EARLIER: &str = "earlier";
    pub(crate) const ENTRY: &str = "entry";
    pub(crate) const HELD: &str = "held";
    pub(crate) const PAUSED: &str = "paused";
    pub(crate) const REMOVED: &str = "removed";
    pub(crate) const REVISION: &str = "revision";
    pub(crate) const REVOKING: &str = "revoking";
    pub(crate) const RULE: &str = "rule";
    pub(crate) const RUNS: &str = "runs";
    pub(crate) const RUN_NOW: &str = "run_now";
    pub(crate) const SENT: &str = "sent";
    pub(crate) const SINCE: &str = "since";
    pub(crate) const SOURCE: &str = "source";
}

/// Who wrote an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Source {
    /// It stands in the program: the tick keeps the table as the code says.
    #[serde(rename = "code")]
    Code,
    /// It was added through the library, the HTTP API or the command line.
    #[serde(rename = "run time")]
    RunTime,
}

impl Source {
    /// As it stands in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Source::Code => "code",
            Source::RunTime => "run time",
        }
    }
}

/// An item, read.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) name: String,
    pub(super) text: String,
    /// The definition, or why there is none: the item was written by hand, or by a newer release.
    pub(super) entry: Result<Entry, String>,
    pub(super) source: Source,
    /// None in an item that beat hasn't written.
    pub(super) revision: Option<i64>,
    pub(super) since: Timestamp,
    pub(super) after: Option<Timestamp>,
    pub(super) held: Option<String>,
    pub(super) paused: bool,
    pub(super) removed: bool,
    pub(super) revoking: bool,
    pub(super) rule: Option<String>,
    pub(super) runs: Option<i64>,
    /// The due times that `runs` counted last.
    pub(super) sent: Vec<Timestamp>,
    pub(super) earlier: Vec<Earlier>,
    pub(super) run_now: Vec<RunNow>,
}

/// A revision that is no longer.
#[derive(Debug, Clone)]
pub(super) struct Earlier {
    pub(super) revision: i64,
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
    /// When it was due; none while it was paused.
    pub(super) span: Option<Span>,
    /// What it may have handed out that is still to be revoked.
    pub(super) revoke: Vec<HandedOut>,
}

/// A due time that was, or may yet be, sent by a revision that is no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HandedOut {
    pub(super) due: Timestamp,
    /// The id of the message that starts it.
    pub(super) id: String,
    /// Whether `runs` counted it.
    pub(super) counted: bool,
}

/// A run that was asked for by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunNow {
    /// The id of what was sent.
    pub id: String,
    /// When it was sent.
    pub at: Timestamp,
}

/// Where the entry of that name lies.
pub(super) fn key(name: &str) -> Key {
    Key::State(PARTITION.to_owned(), format!("{PREFIX}{name}"))
}

impl Stored {
    /// Reads an item; none, if it is no entry's.
    pub(super) fn read(item: &Item) -> Option<Self> {
        let name = text(item, "sk")?.strip_prefix(PREFIX)?.to_owned();
        let text = text(item, field::ENTRY).unwrap_or_default().to_owned();
        let entry = definition(&name, &text).map_err(|error| error.to_string());
        let list = |name: &str| match item.get(name) {
            Some(Attribute::List(list)) => list.as_slice(),
            _ => &[],
        };
        Some(Self {
            entry,
            text,
            source: match item.get(field::SOURCE).and_then(Attribute::as_text) {
                Some(source) if source == Source::Code.name() => Source::Code,
                _ => Source::RunTime,
            },
            revision: number(item, field::REVISION),
            since: instant(item, field::SINCE).unwrap_or_default(),
            after: instant(item, field::AFTER),
            held: self::text(item, field::HELD).map(str::to_owned),
            paused: flag(item, field::PAUSED),
            removed: flag(item, field::REMOVED),
            revoking: flag(item, field::REVOKING),
            rule: self::text(item, field::RULE).map(str::to_owned),
            runs: number(item, field::RUNS),
            sent: instants(list(field::SENT)),
            earlier: list(field::EARLIER)
                .iter()
                .filter_map(Earlier::read)
                .collect(),
            run_now: list(field::RUN_NOW)
                .iter()
                .filter_map(RunNow::read)
                .collect(),
            name,
        })
    }

    /// Nothing of it is due: it is switched off, or something else sends it.
    pub(super) fn is_idle(&self) -> bool {
        let enabled = self.entry.as_ref().is_ok_and(|entry| entry.enabled);
        !enabled || self.paused || self.removed || self.rule.is_some()
    }

    /// That nobody has changed it since it was read.
    pub(super) fn unchanged(&self) -> When {
        match self.revision {
            Some(revision) => When::Eq(field::REVISION.into(), revision.into()),
            None => {
                let beats = When::Has(field::REVISION.into());
                When::All(vec![When::Present, When::Not(Box::new(beats))])
            }
        }
    }

    /// That nobody has counted runs since it was read.
    pub(super) fn uncounted(&self) -> When {
        match self.runs {
            Some(runs) => When::Eq(field::RUNS.into(), runs.into()),
            None => When::Not(Box::new(When::Has(field::RUNS.into()))),
        }
    }

    /// That no tick has held it back since it was read.
    pub(super) fn unheld(&self) -> When {
        match &self.held {
            Some(held) => When::Eq(field::HELD.into(), held.as_str().into()),
            None => When::Not(Box::new(When::Has(field::HELD.into()))),
        }
    }

    /// That revoking stands as it was read.
    pub(super) fn unsettled(&self) -> When {
        let revoking = When::Has(field::REVOKING.into());
        if self.revoking {
            revoking
        } else {
            When::Not(Box::new(revoking))
        }
    }

    pub(super) fn runs(&self) -> i64 {
        self.runs.unwrap_or(0)
    }
}

pub(super) fn definition(name: &str, text: &str) -> Result<Entry> {
    let json: Value = serde_json::from_str(text).map_err(|error| {
        let what = format!("beat entry `{name}` is no JSON: {error}");
        Error::new(ErrorKind::Invalid, what)
    })?;
    let entry = Entry::try_from(json)?;
    if entry.name != name {
        let what = format!("beat entry `{name}` names itself `{}`", entry.name);
        return Err(Error::new(ErrorKind::Invalid, what).about("name"));
    }
    Ok(entry)
}

impl Earlier {
    pub(super) fn write(&self) -> Attribute {
        let mut map = Item::from([
            (Field::from("revision"), self.revision.into()),
            (Field::from("since"), self.since.into()),
            (Field::from("until"), self.until.into()),
        ]);
        if let Some(span) = &self.span {
            // A schedule that was read can be written.
            let schedule = serde_json::to_string(&span.schedule).unwrap_or_default();
            map.insert("schedule".into(), schedule.into());
            let bounds = [("start", span.start), ("end", span.end)];
            for (name, bound) in bounds {
                if let Some(bound) = bound {
                    map.insert(name.into(), bound.into());
                }
            }
        }
        if !self.revoke.is_empty() {
            let list = self.revoke.iter().map(HandedOut::write).collect();
            map.insert("revoke".into(), Attribute::List(list));
        }
        Attribute::Map(map)
    }

    fn read(attribute: &Attribute) -> Option<Self> {
        let Attribute::Map(map) = attribute else {
            return None;
        };
        let schedule = text(map, "schedule").and_then(|text| serde_json::from_str(text).ok());
        let revoke = match map.get("revoke") {
            Some(Attribute::List(list)) => list.iter().filter_map(HandedOut::read).collect(),
            _ => Vec::new(),
        };
        Some(Self {
            revision: number(map, "revision")?,
            since: instant(map, "since")?,
            until: instant(map, "until")?,
            span: schedule.map(|schedule| Span {
                schedule,
                start: instant(map, "start"),
                end: instant(map, "end"),
            }),
            revoke,
        })
    }
}

impl HandedOut {
    fn write(&self) -> Attribute {
        let mut map = Item::from([
            (Field::from("due"), self.due.into()),
            (Field::from("id"), self.id.as_str().into()),
        ]);
        if self.counted {
            map.insert("counted".into(), Attribute::Bool(true));
        }
        Attribute::Map(map)
    }

    fn read(attribute: &Attribute) -> Option<Self> {
        let Attribute::Map(map) = attribute else {
            return None;
        };
        Some(Self {
            due: instant(map, "due")?,
            id: text(map, "id")?.to_owned(),
            counted: flag(map, "counted"),
        })
    }
}

impl RunNow {
    pub(super) fn write(&self) -> Attribute {
        Attribute::Map(Item::from([
            (Field::from("id"), self.id.as_str().into()),
            (Field::from("at"), self.at.into()),
        ]))
    }

    fn read(attribute: &Attribute) -> Option<Self> {
        let Attribute::Map(map) = attribute else {
            return None;
        };
        Some(Self {
            id: text(map, "id")?.to_owned(),
            at: instant(map, "at")?,
        })
    }
}

/// Instants as a list of texts.
pub(super) fn list(instants: &[Timestamp]) -> Attribute {
    Attribute::List(instants.iter().map(|instant| (*instant).into()).collect())
}

fn instants(list: &[Attribute]) -> Vec<Timestamp> {
    let texts = list.iter().filter_map(Attribute::as_text);
    texts.filter_map(|text| text.parse().ok()).collect()
}

fn text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_text()
}

fn number(item: &Item, name: &str) -> Option<i64> {
    item.get(name)?.as_number()
}

fn instant(item: &Item, name: &str) -> Option<Timestamp> {
    text(item, name)?.parse().ok()
}

fn flag(item: &Item, name: &str) -> bool {
    matches!(item.get(name), Some(Attribute::Bool(true)))
}
