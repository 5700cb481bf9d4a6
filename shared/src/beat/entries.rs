//! Entries at run time: looked at, added, changed, paused, run and removed, by programs and by people.
//!
//! What is changed takes effect on due times that were handed out already, too: they are revoked. Two who change one
//! entry at a time don't overwrite each other: the second is told.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::change::{self, To};
use super::entry::Entry;
use super::handed::id_of;
use super::stored::{KEPT, RunNow, Source, Stored, field, key};
use super::sync::Native;
use super::tick;
use crate::app::App;
use crate::canvas::Canvas;
use crate::error::{Error, ErrorKind, Result};
use crate::id;
use crate::ports::{Attribute, Change, Key, Op, QueueName, When, Write};
use crate::record::{Record, State};
use crate::signature::Signature;
use crate::time::Timestamp;

/// How often a write is tried again that a tick's own counting came in between of.
const TRIES: usize = 5;

/// The entries in the state table.
///
/// ```
/// use sedano::{beat::{every, Entries, Entry}, memory::Memory, task, tasks};
/// use std::time::Duration;
///
/// #[task]
/// async fn ping() {}
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let app = Memory::default().app().tasks(tasks![ping]);
/// let entries = Entries::of(&app);
/// entries.add(Entry::new("ping", every(Duration::from_secs(30)), ping::s())).await?;
/// assert!(entries.pause("ping").await?.paused);
/// assert!(entries.next("ping", 3).await?.is_empty());
/// # Ok::<(), sedano::Error>(()) }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Entries {
    app: App,
}

/// An entry as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// Its definition, as [`Entry`] reads it.
    pub entry: Value,
    /// Its schedule in words; none, where the definition can't be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// Why the definition can't be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Who wrote it.
    pub source: Source,
    /// Which revision it is: each change makes it greater.
    pub revision: i64,
    /// When it was changed last.
    pub since: Timestamp,
    /// Whether it is paused.
    pub paused: bool,
    /// The EventBridge rule that sends it in beat's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// How many due times were sent, where the entry has a most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<i64>,
    /// When it is due next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Coming>,
}

/// A due time that is yet to come, the entry's jitter aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Coming {
    /// The instant, in UTC.
    pub due: Timestamp,
    /// The same on the clock of the schedule's zone, ISO 8601 with the offset.
    pub local: String,
    /// The zone's name.
    pub tz: String,
}

/// A due time that has come, or a run by hand, and what is recorded of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Past {
    /// The instant it was due, or asked for.
    pub due: Timestamp,
    /// The task's id.
    pub id: String,
    /// Where the task stands; PENDING where nothing is recorded: it waits, was never sent, or is long gone.
    pub status: State,
    /// When its last run started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it became final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Whether somebody asked for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_hand: bool,
}

impl Entries {
    /// What an error is about where there is no such entry, or none in a state for it.
    pub(crate) const MISSING: &str = "entry";

    /// Those of the application's state table.
    pub fn of(app: &App) -> Self {
        Self { app: app.clone() }
    }

    /// Each of them, by name.
    ///
    /// # Errors
    /// As the store says.
    pub async fn list(&self) -> Result<Vec<Standing>> {
        let stored = tick::entries(&self.app).await?;
        let there = stored.into_iter().filter(|stored| !stored.removed);
        Ok(there.map(|stored| self.standing(&stored)).collect())
    }

    /// Those that are sent, as rules of EventBridge would send them. What can't be read stays on the tick, whose log says
    /// why.
    ///
    /// # Errors
    /// As the store says; as sending an entry's task would, naming the entry.
    pub async fn natives(&self) -> Result<Vec<Native>> {
        let stored = tick::entries(&self.app).await?;
        let sent = stored
            .iter()
            .filter(|stored| !(stored.removed || stored.paused));
        let read = sent.filter_map(|stored| stored.entry.as_ref().ok());
        let natives = read.filter(|entry| entry.enabled).map(|entry| {
            Native::of(&self.app, entry).map_err(|error| {
                let what = format!("entry `{}`: {error}", entry.name());
                Error::new(error.kind(), what).caused_by(error)
            })
        });
        natives.collect()
    }

    /// One of them.
    ///
    /// # Errors
    /// `NotFound`; else as the store says.
    pub async fn get(&self, name: &str) -> Result<Standing> {
        Ok(self.standing(&self.load(name).await?))
    }

    /// Adds one. It is due from now on.
    ///
    /// # Errors
    /// `Invalid`, with what is wrong with it; `Conflict`, if there is one of this name.
    pub async fn add(&self, entry: Entry) -> Result<Standing> {
        entry.check_in(&self.app)?;
        if let Some(mut old) = tick::load(&self.app, &entry.name).await?
            && old.removed
        {
            change::settle(&self.app, &mut old).await?;
        }
        if change::add(&self.app, &entry, Source::RunTime).await? {
            return self.get(&entry.name).await;
        }
        let what = format!(
            "there is a beat entry `{}` already: edit it, or choose another name",
            entry.name
        );
        Err(conflict(what))
    }

    /// Makes the entry of this name what is given. Due times of the old definition that were handed out are revoked;
    /// those of the new one come from now on.
    ///
    /// # Errors
    /// `Invalid`, with what is wrong with it; `NotFound`; `Conflict`, if it stands in the code, is kept as a rule, or
    /// is changed by somebody else at the same moment.
    pub async fn edit(&self, entry: Entry) -> Result<Standing> {
        self.edit_of(entry, None).await
    }

    /// The same; with a revision only if it is still that one.
    pub(crate) async fn edit_of(&self, entry: Entry, revision: Option<i64>) -> Result<Standing> {
        entry.check_in(&self.app)?;
        let text = entry.text(self.app.registered())?;
        self.change(&entry.name, |stored| {
            own(stored)?;
            if revision.is_some_and(|revision| stored.revision != Some(revision)) {
                let what = format!(
                    "beat entry `{}` was changed since this form was filled: look at it as it is now; saved again, yours \
                     takes its place",
                    stored.name
                );
                return Err(conflict(what));
            }
            let changed = stored.text != text;
            Ok(changed.then(|| To {
                text: text.clone(),
                ..To::as_is(stored)
            }))
        })
        .await
    }

    /// Nothing is due until it is resumed; what was handed out is revoked. Ticks and deployments leave it so.
    ///
    /// # Errors
    /// `NotFound`; `Conflict`, if it is kept as a rule, or is changed by somebody else at the same moment.
    pub async fn pause(&self, name: &str) -> Result<Standing> {
        self.set_paused(name, true).await
    }

    /// Due again from now on. What was due in between isn't made up for.
    ///
    /// # Errors
    /// As [`pause`](Entries::pause).
    pub async fn resume(&self, name: &str) -> Result<Standing> {
        self.set_paused(name, false).await
    }

    async fn set_paused(&self, name: &str, paused: bool) -> Result<Standing> {
        self.change(name, |stored| {
            kept_by_beat(stored)?;
            let changed = stored.paused != paused;
            Ok(changed.then(|| To {
                paused,
                ..To::as_is(stored)
            }))
        })
        .await
    }

    /// Removes it; what was handed out is revoked.
    ///
    /// # Errors
    /// As [`edit`](Entries::edit).
    pub async fn remove(&self, name: &str) -> Result<()> {
        self.change(name, |stored| {
            own(stored)?;
            Ok(Some(To {
                removed: true,
                ..To::as_is(stored)
            }))
        })
        .await
        .map(drop)
    }

    /// Sends it now, beside its due times: also while it is paused. The answer is the task's id.
    ///
    /// # Errors
    /// `NotFound`; `Invalid`, if it can't be sent; else as the broker says.
    pub async fn run_now(&self, name: &str) -> Result<String> {
        self.run_now_on(name, None).await
    }

    /// The same, for a program that doesn't know the task: the queue it goes to where the entry names none.
    ///
    /// # Errors
    /// As [`run_now`](Entries::run_now).
    pub async fn run_now_on(&self, name: &str, queue: Option<&str>) -> Result<String> {
        let stored = self.load(name).await?;
        let broken = |what: &String| Error::new(ErrorKind::Invalid, what.as_str());
        let entry = stored.entry.as_ref().map_err(broken)?;
        entry.check_in(&self.app)?;
        let ports = self.app.ports();
        let at = self.app.now();
        let id = id::fresh(&*ports.clock, &*ports.entropy);
        let mut canvas = entry.call(&self.app, &id, None, at).into_canvas();
        if let (Canvas::Task(call), Some(queue)) = (&mut canvas, queue) {
            call.queue.get_or_insert_with(|| QueueName::new(queue));
        }
        self.app.send(Signature::<(), ()>::of(canvas)).await?;
        let run = RunNow { id: id.clone(), at };
        let mut runs: Vec<Attribute> = stored.run_now.iter().map(RunNow::write).collect();
        runs.push(run.write());
        // Two at a time may lose a line only where the list is cut.
        let change = if runs.len() > 2 * KEPT {
            let last = runs.split_off(runs.len() - KEPT);
            Change::Set(field::RUN_NOW.into(), Attribute::List(last))
        } else {
            Change::Append(field::RUN_NOW.into(), vec![run.write()])
        };
        let write = Write {
            key: key(name),
            op: Op::Update(vec![change]),
            when: When::Present,
        };
        if let Err(error) = ports.store.write(write).await {
            tracing::warn!(entry = name, id, %error, "a run by hand was sent, and isn't in the entry's history");
        }
        Ok(id)
    }

    /// The next `count` due times; none, while nothing is due.
    ///
    /// # Errors
    /// `NotFound`; `Invalid`, if the definition can't be read.
    pub async fn next(&self, name: &str, count: usize) -> Result<Vec<Coming>> {
        let stored = self.load(name).await?;
        match &stored.entry {
            Ok(_) => Ok(coming(&stored, self.app.now(), count)),
            Err(what) => Err(Error::new(ErrorKind::Invalid, what.as_str())),
        }
    }

    /// The last `count` due times and runs by hand, the latest first, with what is recorded of each.
    ///
    /// # Errors
    /// `NotFound`; else as the store says.
    pub async fn history(&self, name: &str, count: usize) -> Result<Vec<Past>> {
        let stored = self.load(name).await?;
        let now = self.app.now();
        let mut past = past(&stored, now, count);
        past.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
        past.truncate(count);
        let keys: Vec<_> = past
            .iter()
            .map(|(_, id, _)| Key::Result(id.clone()))
            .collect();
        let items = self.app.ports().store.get_many(&keys).await?;
        let records = past.into_iter().zip(items);
        records
            .map(|((due, id, by_hand), item)| {
                let record = Record::read(&id, item.as_ref(), now)?;
                Ok(Past {
                    due,
                    id,
                    status: record.status,
                    started_at: record.started_at,
                    finished_at: record.finished_at,
                    by_hand,
                })
            })
            .collect()
    }

    async fn load(&self, name: &str) -> Result<Stored> {
        let stored = tick::load(&self.app, name).await?;
        stored.filter(|stored| !stored.removed).ok_or_else(|| {
            let name = crate::failure::shortened(name, crate::task::QUOTED);
            let what = format!("there is no beat entry `{name}`");
            Error::new(ErrorKind::NotFound, what).about(Self::MISSING)
        })
    }

    /// One change; `to` says which, or that there is nothing to change.
    async fn change(
        &self,
        name: &str,
        to: impl Fn(&Stored) -> Result<Option<To>>,
    ) -> Result<Standing> {
        let mut stored = self.load(name).await?;
        for _ in 0..TRIES {
            let Some(to) = to(&stored)? else {
                if stored.revoking {
                    // Whoever made it so may have died before it revoked what was handed out.
                    change::settle(&self.app, &mut stored).await?;
                }
                return Ok(self.standing(&stored));
            };
            if let Some(changed) = change::change(&self.app, &stored, to).await? {
                return Ok(self.standing(&changed));
            }
            let there = self.load(name).await?;
            if there.revision != stored.revision {
                break;
            }
            stored = there;
        }
        let what = format!(
            "beat entry `{name}` was changed by somebody else at the same moment: look at it again"
        );
        Err(conflict(what))
    }

    fn standing(&self, stored: &Stored) -> Standing {
        let entry = stored.entry.as_ref();
        Standing {
            name: stored.name.clone(),
            entry: serde_json::from_str(&stored.text).unwrap_or(Value::Null),
            schedule: entry.ok().map(|entry| entry.schedule.to_string()),
            problem: entry.err().cloned(),
            source: stored.source,
            revision: stored.revision.unwrap_or(0),
            since: stored.since,
            paused: stored.paused,
            rule: stored.rule.clone(),
            runs: stored.runs,
            next: coming(stored, self.app.now(), 1).pop(),
        }
    }
}

fn conflict(what: String) -> Error {
    Error::new(ErrorKind::Conflict, what).about(Entries::MISSING)
}

/// What stands in the code is changed there.
fn own(stored: &Stored) -> Result<()> {
    kept_by_beat(stored)?;
    match stored.source {
        Source::RunTime => Ok(()),
        Source::Code => {
            let name = &stored.name;
            Err(conflict(format!(
                "beat entry `{name}` stands in the code: change it there, or pause it"
            )))
        }
    }
}

fn kept_by_beat(stored: &Stored) -> Result<()> {
    match &stored.rule {
        None => Ok(()),
        Some(rule) => {
            let name = &stored.name;
            Err(conflict(format!(
                "beat entry `{name}` is kept as EventBridge rule `{rule}`: give it back to beat with `sedano beat sync \
                 --back {name}`, then change it"
            )))
        }
    }
}

fn coming(stored: &Stored, now: Timestamp, count: usize) -> Vec<Coming> {
    let (Ok(entry), false) = (&stored.entry, stored.is_idle()) else {
        return Vec::new();
    };
    let left = entry.max_runs.map_or(count, |most| {
        let handed_out = stored.sent.iter().filter(|due| **due > now).count();
        let left = usize::try_from(i64::from(most) - stored.runs()).unwrap_or(0);
        left.saturating_add(handed_out).min(count)
    });
    let after = stored.after.map_or(now, |after| after.max(now));
    let due = entry.span();
    let due = due.due(after, Timestamp::default() + std::time::Duration::MAX);
    due.take(left)
        .map(|due| Coming {
            due,
            local: entry.schedule.local(due),
            tz: entry.schedule.tz().to_owned(),
        })
        .collect()
}

/// The last due times of each revision and the runs by hand, with their ids and whether it is the latter.
fn past(stored: &Stored, now: Timestamp, count: usize) -> Vec<(Timestamp, String, bool)> {
    let runs = stored.run_now.iter().rev().take(KEPT);
    let mut past: Vec<_> = runs.map(|run| (run.at, run.id.clone(), true)).collect();
    let current = match &stored.entry {
        Ok(entry) if !stored.is_idle() => {
            let most = entry.max_runs.map(i64::from);
            let last = stored.sent.last().copied();
            // Nothing is due any more after the last that was counted.
            let ended = most.is_some_and(|most| stored.runs() >= most);
            let until = last.filter(|_| ended).map_or(now, |last| last.min(now));
            Some((stored.revision, entry.span(), stored.since, until))
        }
        _ => None,
    };
    let earlier = stored.earlier.iter().rev().filter_map(|earlier| {
        let span = earlier.span.clone()?;
        Some((Some(earlier.revision), span, earlier.since, earlier.until))
    });
    for (revision, span, since, mut until) in current.into_iter().chain(earlier) {
        for _ in 0..count {
            let Some(due) = span.last(since, until) else {
                break;
            };
            past.push((due, id_of(&stored.name, revision.unwrap_or(0), due), false));
            until = due - std::time::Duration::from_millis(1);
        }
    }
    past
}
