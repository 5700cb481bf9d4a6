//! Beat: what is due, sent when it is due, once.
//!
//! One EventBridge rule `rate(1 minute)` calls [`Beat::tick`]. A tick sends every due time in
//! (watermark, now + 70 s], each delayed to the second, and moves the watermark. The id of what is
//! sent is derived from the entry, its revision and its due time, so a tick that comes twice, late or beside another
//! sends the same ids again, and of messages with one id one takes effect.
//!
//! The entries lie in the state table (`stored.rs`). Those of the code are kept there as the code says by the tick;
//! others are added, and all are paused, run and looked at, through [`Entries`].

mod change;
mod due;
mod entries;
mod entry;
mod handed;
mod look;
mod marks;
mod stored;
mod sync;
#[cfg(test)]
mod tests;
mod tick;

use std::time::Duration;

use crate::app::App;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Attribute, Field, Item, Key, Op, When, Write};
use crate::signature::Signature;

pub use crate::schedule::{Schedule, at, crontab, crontab_vixie, every, solar};
pub use entries::{Coming, Entries, Past, Standing};
#[cfg(feature = "http")]
pub(crate) use entry::ENTRY_BYTES;
pub use entry::{CatchUp, Entry};
pub use marks::{Marks, StateMarks};
pub use stored::{RunNow, Source};
pub use sync::{ENTRY_TAG, Native, Owner, Plan, STACK_TAG, Step};
pub use tick::Ticked;

/// How far ahead a tick sends: the minute until the next one, and ten seconds for its being late.
const AHEAD: Duration = Duration::from_secs(70);

/// A schedule: entries by name.
///
/// ```
/// use sedano::{beat::{every, Beat}, task};
/// use std::time::Duration;
///
/// #[task]
/// async fn cleanup() {}
///
/// let beat = Beat::new().entry("cleanup", every(Duration::from_secs(300)), cleanup::s());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Beat(Vec<Entry>);

impl Beat {
    /// A schedule without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more entry, with every setting at its default. Its name is part of the ids of what it sends: renaming
    /// it makes it a new one.
    #[must_use]
    pub fn entry<Out>(
        self,
        name: impl Into<String>,
        schedule: impl Into<Schedule>,
        signature: impl Into<Signature<(), Out>>,
    ) -> Self {
        self.with(Entry::new(name, schedule, signature))
    }

    /// One more entry, with its settings.
    #[must_use]
    pub fn with(mut self, entry: Entry) -> Self {
        self.0.push(entry);
        self
    }

    /// Whether the entries can be kept: names once each, settings that fit, tasks that are registered and queues
    /// that are configured.
    ///
    /// # Errors
    /// `Config`, with the entry and what is wrong with it.
    pub fn check(&self, app: &App) -> Result<()> {
        let mut names = std::collections::BTreeSet::new();
        for entry in &self.0 {
            if !names.insert(entry.name()) {
                let name = entry.name();
                let what =
                    format!("beat entry `{name}` stands twice: give each entry a name of its own");
                return Err(Error::new(ErrorKind::Config, what));
            }
            entry
                .check_in(app)
                .map_err(|error| Error::new(ErrorKind::Config, error.to_string()))?;
        }
        Ok(())
    }

    /// Ticks every minute until the future is dropped: beat off Lambda.
    ///
    /// # Errors
    /// As [`check`](Beat::check); a tick that fails is logged, and the next makes up for it.
    pub async fn run(&self, app: &App) -> Result<()> {
        self.check(app)?;
        loop {
            if let Err(error) = self.tick(app).await {
                tracing::error!(%error, "a tick failed; the next makes up for it");
            }
            app.ports().clock.sleep(Duration::from_secs(60)).await;
        }
    }

    /// Writes the names and parameters of the application's tasks into the state table (`pk` and `sk`
    /// are `registry` and `tasks`), for tools that can't ask the program.
    ///
    /// # Errors
    /// As the store says.
    pub async fn register(&self, app: &App) -> Result<()> {
        let tasks = app.registered().iter().map(|task| {
            let params = task.params.iter().map(|param| {
                Attribute::Map(Item::from([
                    (Field::from("name"), param.name.into()),
                    (Field::from("required"), Attribute::Bool(param.required)),
                ]))
            });
            let aliases = task.aliases.iter().map(|&alias| alias.into());
            Attribute::Map(Item::from([
                (Field::from("name"), task.name.into()),
                (Field::from("aliases"), Attribute::List(aliases.collect())),
                (Field::from("parameters"), Attribute::List(params.collect())),
                (Field::from("queue"), app.home_of(task).into()),
            ]))
        });
        let item = Item::from([(Field::from("tasks"), Attribute::List(tasks.collect()))]);
        let key = Key::State("registry".to_owned(), "tasks".to_owned());
        app.ports()
            .store
            .write(Write {
                key,
                op: Op::Put(item),
                when: When::Always,
            })
            .await
            .map(drop)
    }
}
