//! Beat: what is due, sent when it is due, once.
//!
//! One EventBridge rule `rate(1 minute)` calls [`Beat::tick`]. A tick sends every due time in
//! (watermark, now + 70 s], each delayed to the second, and moves the watermark. The id of what is
//! sent is derived from the entry and its due time, so a tick that comes twice, late or beside another
//! sends the same ids again, and of messages with one id one takes effect.

mod look;
mod marks;
mod sync;

use std::time::Duration;

use serde::Serialize;

use crate::app::App;
use crate::error::{Error, ErrorKind, Result};
use crate::id;
use crate::launch::{Launch, Origin};
use crate::ports::{Attribute, Change, Field, Item, Key, Op, Outcome, When, Write};
use crate::signature::Signature;
use crate::time::Timestamp;

pub use crate::schedule::{Schedule, at, crontab, crontab_vixie, every, solar};
pub use marks::{Marks, StateMarks};
pub use sync::{ENTRY_TAG, Native, Owner, Plan, STACK_TAG, Step};

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

#[derive(Debug, Clone)]
struct Entry {
    name: String,
    schedule: Schedule,
    signature: Signature<(), ()>,
}

/// What a tick did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ticked {
    /// How many messages were sent.
    pub sent: usize,
    /// How many groups that haven't ended, or whose end nobody has looked at yet, a worker was told to look
    /// at.
    pub checked: usize,
    /// Up to when everything due has been sent.
    pub until: Timestamp,
}

impl Beat {
    /// A schedule without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more entry. Its name is part of the ids of what it sends: renaming it makes it a new one.
    #[must_use]
    pub fn entry<Out>(
        mut self,
        name: impl Into<String>,
        schedule: impl Into<Schedule>,
        signature: impl Into<Signature<(), Out>>,
    ) -> Self {
        let schedule = schedule.into();
        let signature = signature.into().forget_output();
        self.0.push(Entry {
            name: name.into(),
            schedule,
            signature,
        });
        self
    }

    /// Whether the entries can be kept: names once each, schedules that are written rightly, tasks that are
    /// registered and queues that are configured.
    ///
    /// # Errors
    /// `Config`, with the entry and what is wrong with it.
    pub fn check(&self, app: &App) -> Result<()> {
        let mut names = std::collections::BTreeSet::new();
        for entry in &self.0 {
            let wrong = |what: &str| {
                Err(Error::new(
                    ErrorKind::Config,
                    format!("beat entry `{}` {what}", entry.name),
                ))
            };
            if !names.insert(&entry.name) {
                return wrong("stands twice: give each entry a name of its own");
            }
            if let Err(error) = entry.schedule.check() {
                return wrong(&format!("has a schedule that can't be kept: {error}"));
            }
            app.registered().get(entry.signature.task())?;
            let canvas = entry.signature.clone().into_canvas();
            if let Err(error) = app.launch(Launch::of(canvas, Origin::default())) {
                return wrong(&format!("can't be sent: {error}"));
            }
        }
        Ok(())
    }

    /// Sends what is due until the next tick. Safe to call twice, late, or from several places.
    ///
    /// # Errors
    /// When something that is due couldn't be sent: the watermark stays, and the next tick sends it.
    pub async fn tick(&self, app: &App) -> Result<Ticked> {
        let now = app.now();
        let until = now + AHEAD;
        let (watermark, looked) = read_watermark(app).await?;
        let calls = self.due(watermark.unwrap_or(now), now, until);
        let mut sent = 0;
        for result in app.send_many(calls).await {
            result?;
            sent += 1;
        }
        let (checked, looked) = look::at_groups(app, looked.unwrap_or(now), now).await;
        move_watermark(app, watermark, until, looked).await?;
        Ok(Ticked {
            sent,
            checked: checked?,
            until,
        })
    }

    /// What is due after the watermark. Of the times that were missed, each entry makes up for the
    /// last: catch-up `once`.
    fn due(
        &self,
        watermark: Timestamp,
        now: Timestamp,
        until: Timestamp,
    ) -> Vec<Signature<(), ()>> {
        let mut calls = Vec::new();
        for entry in &self.0 {
            let missed = entry.schedule.due(watermark, now).last();
            let ahead = entry.schedule.due(watermark.max(now), until);
            for due in missed.into_iter().chain(ahead) {
                let id = id::derived(&["beat", &entry.name, &due.to_string()]);
                calls.push(entry.signature.clone().id(id).eta(due));
            }
        }
        calls
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
                (Field::from("queue"), task.options.queue.into()),
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

const UNTIL: &str = "until";
/// Up to when groups have been looked at.
const LOOKED: &str = "looked";

fn watermark_key() -> Key {
    Key::State("beat".to_owned(), "watermark".to_owned())
}

/// Up to when everything due has been sent, and groups looked at.
async fn read_watermark(app: &App) -> Result<(Option<Timestamp>, Option<Timestamp>)> {
    let item = app.ports().store.get(&watermark_key()).await?;
    let instant = |name: &str| {
        let text = item.as_ref()?.get(name)?.as_text()?;
        Some(text.parse())
    };
    Ok((instant(UNTIL).transpose()?, instant(LOOKED).transpose()?))
}

/// Forward only. Refused means that another tick was here: what it has sent has the same ids.
async fn move_watermark(
    app: &App,
    from: Option<Timestamp>,
    to: Timestamp,
    looked: Timestamp,
) -> Result<()> {
    if from.is_some_and(|from| to <= from) {
        // A clock that lags behind another's.
        return Ok(());
    }
    let when = match from {
        None => When::Absent,
        Some(from) => When::Eq(UNTIL.into(), from.into()),
    };
    let op = Op::Update(vec![
        Change::Set(UNTIL.into(), to.into()),
        Change::Set(LOOKED.into(), looked.into()),
    ]);
    match app
        .ports()
        .store
        .write(Write {
            key: watermark_key(),
            op,
            when,
        })
        .await?
    {
        Outcome::Applied(_) => {}
        Outcome::Refused(_) => tracing::info!("another tick has moved the watermark"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn beat() -> Beat {
        let call = Signature::<(), ()>::named("ping");
        Beat::new().entry("ping", every(Duration::from_secs(30)), call)
    }

    use crate::canvas::Canvas;

    fn etas(calls: Vec<Signature<(), ()>>) -> Vec<Timestamp> {
        calls
            .into_iter()
            .filter_map(|call| match call.into_canvas() {
                Canvas::Task(call) => call.eta,
                _ => None,
            })
            .collect()
    }

    #[test]
    fn what_could_never_be_sent_is_found_at_start() {
        #[crate::task]
        async fn ping() {}
        let app = crate::memory::Memory::default().app();
        let app = app.tasks(crate::tasks![ping]);
        assert_eq!(
            beat().check(&app).map_err(|error| error.to_string()),
            Ok(())
        );
        let call = Signature::<(), ()>::named("ping").queue("typo");
        let beat = Beat::new().entry("ping", every(Duration::from_secs(30)), call);
        let error = beat.check(&app).unwrap_err().to_string();
        assert!(
            error.starts_with("beat entry `ping` can't be sent: "),
            "{error}"
        );
        assert!(error.contains("typo"), "{error}");
        let call = Signature::<(), ()>::named("ping");
        let beat = Beat::new().entry("ping", crontab("0 24 * * *"), call);
        assert_eq!(
            beat.check(&app).unwrap_err().to_string(),
            "beat entry `ping` has a schedule that can't be kept: \
             crontab `0 24 * * *`, hour `24`: 24 is outside 0-23"
        );
    }

    #[test]
    fn due_times_are_aligned_and_sent_ahead() {
        assert_eq!(
            etas(beat().due(at(600), at(600), at(670))),
            [at(630), at(660)]
        );
        assert_eq!(
            etas(beat().due(at(670), at(660), at(730))),
            [at(690), at(720)]
        );
    }

    #[test]
    fn of_the_missed_the_last_is_made_up_for() {
        assert_eq!(
            etas(beat().due(at(0), at(3601), at(3671))),
            [at(3600), at(3630), at(3660)]
        );
    }

    #[test]
    fn the_same_due_time_has_the_same_id() {
        let ids = |after| -> Vec<Option<String>> {
            let calls = beat().due(at(after), at(600), at(670));
            calls
                .into_iter()
                .map(|call| call.canvas().id().cloned())
                .collect()
        };
        assert_eq!(ids(600), ids(615));
    }
}
