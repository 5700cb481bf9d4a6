//! One tick: what is due until the next is sent, and beat's watermark moved.
//!
//! Whatever dies in between, the next tick sends again what this one may not have, under the same ids. The order
//! that makes it so: sends; then an entry that isn't done yet gets its own `after`; then the watermark moves; then
//! an entry that has caught up with it loses its `after`. An entry that can't be sent holds up itself only.

use std::collections::BTreeMap;

use serde::Serialize;

use super::change::{self, To};
use super::handed::id_of;
use super::stored::{self, PARTITION, PREFIX, Source, Stored, field, key};
use super::{AHEAD, Beat, look};
use crate::app::App;
use crate::error::{Error, Result};
use crate::id;
use crate::ports::{BATCH_READS, Change, Item, Key, Op, Outcome, When, Write};
use crate::signature::Signature;
use crate::time::Timestamp;

/// What a tick did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ticked {
    /// How many messages were sent.
    pub sent: usize,
    /// How many entries had something due that couldn't be sent; the log says why. They make up for it when it
    /// can, as their catch-up says.
    pub left_out: usize,
    /// How many groups that haven't ended, or whose end nobody has looked at yet, a worker was told to look
    /// at.
    pub checked: usize,
    /// How many tasks that weren't due for a while a worker was told to send.
    pub promoted: usize,
    /// Up to when everything due has been sent.
    pub until: Timestamp,
}

const UNTIL: &str = "until";
/// Up to when groups have been looked at.
const LOOKED: &str = "looked";
const WATERMARK: &str = "watermark";

/// What the watermark's item says.
#[derive(Debug, Clone, Copy, Default)]
struct Watermark {
    /// Up to when everything due has been sent.
    until: Option<Timestamp>,
    looked: Option<Timestamp>,
}

/// An entry that may have something due.
struct Turn {
    stored: Stored,
    /// Everything due up to and with this was sent.
    from: Timestamp,
    due: Vec<Timestamp>,
    /// The next tick goes on after this.
    rest: Option<Timestamp>,
    failed: bool,
}

impl Beat {
    /// Sends what is due until the next tick. Safe to call twice, late, or from several places.
    ///
    /// # Errors
    /// When something that is due couldn't be sent for now, or the store didn't answer: the next tick sends it.
    pub async fn tick(&self, app: &App) -> Result<Ticked> {
        let now = app.now();
        let until = now + AHEAD;
        let (watermark, entries) = read(app).await?;
        let from = watermark.until.unwrap_or(now);

        let mut turns = Vec::new();
        let (mut left_out, mut troubled) = (0, None);
        for stored in self.reconciled(app, entries, &mut troubled).await {
            let name = stored.name.clone();
            match Turn::begin(app, stored, from, now, until).await {
                Ok(turn) => turns.extend(turn),
                Err(error) => {
                    tracing::warn!(entry = name, %error, "an entry waits for the next tick");
                    troubled = troubled.or(Some(error));
                }
            }
        }
        let (sent, trouble) = send(app, &mut turns, now).await;
        for turn in &turns {
            left_out += usize::from(turn.failed);
            if let Err(error) = turn.hold(app).await {
                troubled = troubled.or(Some(error));
            }
        }
        let looked = watermark.looked.unwrap_or(now);
        let (told, looked) = look::at_what_waits(app, looked, now).await;
        if let Some(error) = troubled {
            // Somewhere it isn't written what is still to be sent: the watermark says it.
            return Err(error);
        }
        let moved = move_watermark(app, watermark.until, until, looked).await?;
        if moved.is_some_and(|to| to <= until) {
            for turn in &turns {
                turn.release(app).await?;
            }
        }
        match trouble {
            // What called the tick calls it again.
            Some(error) => Err(error),
            None => told.map(|told| Ticked {
                sent,
                left_out,
                checked: told.checked,
                promoted: told.promoted,
                until,
            }),
        }
    }

    /// The entries of the table, made as the code says. Those that somebody else changes meanwhile are his.
    async fn reconciled(
        &self,
        app: &App,
        stored: Vec<Stored>,
        troubled: &mut Option<Error>,
    ) -> Vec<Stored> {
        let mut code: BTreeMap<&str, _> =
            self.0.iter().map(|entry| (entry.name(), entry)).collect();
        let mut kept = Vec::new();
        for stored in stored {
            let name = stored.name.clone();
            let wanted = code.remove(name.as_str());
            if stored.removed {
                kept.push(stored);
                continue;
            }
            let to = match wanted.map(|entry| entry.text(app.registered())) {
                Some(Ok(text)) if text == stored.text && stored.source == Source::Code => None,
                Some(Ok(text)) => Some(To {
                    text,
                    source: Source::Code,
                    ..To::as_is(&stored)
                }),
                Some(Err(error)) => {
                    tracing::error!(entry = name, %error, "an entry of the code can't be written");
                    None
                }
                // Its rule goes first: `sedano beat sync` removes those of paused entries.
                None if stored.source == Source::Code && stored.rule.is_some() => (!stored.paused)
                    .then(|| To {
                        paused: true,
                        ..To::as_is(&stored)
                    }),
                None if stored.source == Source::Code => Some(To {
                    removed: true,
                    ..To::as_is(&stored)
                }),
                None => None,
            };
            match to {
                None => kept.push(stored),
                Some(to) => match change::change(app, &stored, to).await {
                    Ok(Some(changed)) => {
                        tracing::info!(
                            entry = name,
                            removed = changed.removed,
                            "changed in the code"
                        );
                        kept.extend((!changed.removed).then_some(changed));
                    }
                    Ok(None) => tracing::info!(entry = name, "somebody else changes the entry"),
                    Err(error) => *troubled = troubled.take().or(Some(error)),
                },
            }
        }
        for entry in code.into_values() {
            match change::add(app, entry, Source::Code).await {
                // Read as whoever comes next will: with the revision that was written.
                Ok(_) => match load(app, entry.name()).await {
                    Ok(stored) => kept.extend(stored),
                    Err(error) => *troubled = troubled.take().or(Some(error)),
                },
                Err(error) => *troubled = troubled.take().or(Some(error)),
            }
        }
        kept
    }
}

impl Turn {
    /// What an entry's turn is; none, if nothing of it is due.
    async fn begin(
        app: &App,
        mut stored: Stored,
        watermark: Timestamp,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Self>> {
        if stored.revoking || stored.removed {
            let settled = change::settle(app, &mut stored).await?;
            if !settled || stored.removed {
                return Ok(None);
            }
        }
        let from = stored.after.unwrap_or(watermark);
        let mut turn = Self {
            from,
            due: Vec::new(),
            rest: None,
            failed: false,
            stored,
        };
        if turn.stored.paused || turn.stored.rule.is_some() {
            return Ok(None);
        }
        match &turn.stored.entry {
            Ok(entry) if !entry.enabled => Ok(None),
            Ok(_) => {
                turn.choose(app, now, until).await?;
                Ok(Some(turn))
            }
            Err(what) => {
                let what = what.clone();
                Ok(Some(turn.left_out(&what)))
            }
        }
    }

    fn left_out(mut self, what: &str) -> Self {
        self.leave_out(what);
        self
    }

    fn leave_out(&mut self, what: &str) {
        tracing::error!(
            entry = self.stored.name,
            error = what,
            "an entry can't be sent"
        );
        self.due.clear();
        self.rest = None;
        self.failed = true;
    }

    async fn choose(&mut self, app: &App, now: Timestamp, until: Timestamp) -> Result<()> {
        let Ok(entry) = &self.stored.entry else {
            return Ok(());
        };
        // Counted runs are counted first and sent then: they are known by their due times, and sent by whoever comes.
        let after = |due: &Timestamp| *due > self.from;
        let again: Vec<_> = self.stored.sent.iter().copied().filter(after).collect();
        let last = self.stored.sent.last().copied();
        let from = last.map_or(self.from, |last| last.max(self.from));
        let mut chosen = entry.choose(from, self.stored.after.is_some(), now, until);
        if let Some(most) = entry.max_runs {
            let left = i64::from(most) - self.stored.runs();
            chosen.due.truncate(usize::try_from(left).unwrap_or(0));
        }
        if !(chosen.due.is_empty() && again.is_empty())
            && let Err(error) = entry.check_in(app)
        {
            self.leave_out(&error.to_string());
            return Ok(());
        }
        if entry.max_runs.is_none() || chosen.due.is_empty() {
            self.due = [again, chosen.due].concat();
            self.rest = chosen.rest;
            return Ok(());
        }
        let counted = i64::try_from(chosen.due.len()).unwrap_or(i64::MAX);
        let sent = [again, chosen.due].concat();
        let write = Write {
            key: key(&self.stored.name),
            op: Op::Update(vec![
                Change::Set(field::RUNS.into(), (self.stored.runs() + counted).into()),
                Change::Set(field::SENT.into(), stored::list(&sent)),
            ]),
            when: When::All(vec![self.stored.unchanged(), self.stored.uncounted()]),
        };
        match app.ports().store.write(write).await? {
            Outcome::Applied(_) => {
                self.due = sent;
                self.rest = chosen.rest;
            }
            // Another tick has counted, or we have and didn't hear of it.
            Outcome::Refused(item) => {
                let there = item.as_ref().and_then(Stored::read);
                let there = there.filter(|there| there.revision == self.stored.revision);
                let sent = there.map_or_else(Vec::new, |there| there.sent);
                // Up to there it was counted: the next tick goes on from there.
                self.rest = sent.last().copied();
                self.due = sent.into_iter().filter(after).collect();
                // Whoever counted knows whether more was missed.
                self.stored.after = None;
            }
        }
        Ok(())
    }

    /// Writes from where the next tick is to go on, if that isn't the watermark.
    async fn hold(&self, app: &App) -> Result<()> {
        let after = match self.rest {
            _ if self.failed => self.from,
            Some(rest) => rest,
            None => return Ok(()),
        };
        let mut changes = vec![Change::Set(field::AFTER.into(), after.into())];
        if self.failed {
            // It may say so already, and another tick be about to take that away for what it has sent itself.
            let ports = app.ports();
            let held = id::fresh(&*ports.clock, &*ports.entropy);
            changes.push(Change::Set(field::HELD.into(), held.into()));
        }
        self.write(app, changes, None).await
    }

    /// The watermark says from now on where to go on.
    async fn release(&self, app: &App) -> Result<()> {
        match self.stored.after {
            Some(after) if !self.failed && self.rest.is_none() => {
                let gone = [field::AFTER, field::HELD].map(|name| Change::Remove(name.into()));
                let as_read = When::All(vec![
                    When::Eq(field::AFTER.into(), after.into()),
                    self.stored.unheld(),
                ]);
                self.write(app, gone.into(), Some(as_read)).await
            }
            _ => Ok(()),
        }
    }

    /// Refused, somebody has changed the entry: he has said from where to go on.
    async fn write(&self, app: &App, changes: Vec<Change>, when: Option<When>) -> Result<()> {
        let when = std::iter::once(self.stored.unchanged()).chain(when);
        let write = Write {
            key: key(&self.stored.name),
            op: Op::Update(changes),
            when: When::All(when.collect()),
        };
        app.ports().store.write(write).await.map(drop)
    }
}

/// Sends what is due, all in one go: how many were, and an error that may pass.
async fn send(app: &App, turns: &mut [Turn], now: Timestamp) -> (usize, Option<Error>) {
    let (mut calls, mut whose): (Vec<Signature<(), ()>>, Vec<usize>) = Default::default();
    for (place, turn) in turns.iter().enumerate() {
        let (Ok(entry), Some(revision)) = (&turn.stored.entry, turn.stored.revision) else {
            continue;
        };
        for due in &turn.due {
            let id = id_of(&turn.stored.name, revision, *due);
            calls.push(entry.call(app, id, Some(*due), now));
            whose.push(place);
        }
    }
    let (mut sent, mut trouble) = (0, None);
    for (place, result) in whose.into_iter().zip(app.send_many(calls).await) {
        match (result, turns.get_mut(place)) {
            (Ok(_), _) => sent += 1,
            (Err(error), Some(turn)) => {
                tracing::error!(entry = turn.stored.name, %error, "what is due couldn't be sent");
                turn.failed = true;
                trouble = trouble.or(error.is_retryable().then_some(error));
            }
            (Err(_), None) => {}
        }
    }
    (sent, trouble)
}

/// The watermark and the entries: one partition, in as few reads as it has megabytes.
async fn read(app: &App) -> Result<(Watermark, Vec<Stored>)> {
    let (mut watermark, mut entries, mut after) = (Watermark::default(), Vec::new(), None);
    loop {
        let page = query(app, after.as_deref()).await?;
        for item in &page.items {
            if item.get("sk").and_then(|sk| sk.as_text()) == Some(WATERMARK) {
                watermark = Watermark::read(item)?;
            }
            entries.extend(Stored::read(item));
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok((watermark, entries)),
        }
    }
}

async fn query(app: &App, after: Option<&str>) -> Result<crate::ports::Page> {
    let limit = u32::try_from(BATCH_READS * 10).unwrap_or(u32::MAX);
    app.ports().store.query(PARTITION, after, limit).await
}

/// The entries alone, by name.
pub(super) async fn entries(app: &App) -> Result<Vec<Stored>> {
    let (mut entries, mut after) = (Vec::new(), Some(PREFIX.to_owned()));
    loop {
        let page = query(app, after.as_deref()).await?;
        let (count, before) = (page.items.len(), entries.len());
        entries.extend(page.items.iter().filter_map(Stored::read));
        match page.next {
            // What comes after the entries is none of them.
            Some(next) if entries.len() - before == count => after = Some(next),
            _ => return Ok(entries),
        }
    }
}

/// The entry of that name.
pub(super) async fn load(app: &App, name: &str) -> Result<Option<Stored>> {
    let item = app.ports().store.get(&key(name)).await?;
    Ok(item.as_ref().and_then(Stored::read))
}

fn watermark_key() -> Key {
    Key::State(PARTITION.to_owned(), WATERMARK.to_owned())
}

impl Watermark {
    fn read(item: &Item) -> Result<Self> {
        let instant = |name: &str| {
            let text = item.get(name)?.as_text()?;
            Some(text.parse())
        };
        Ok(Self {
            until: instant(UNTIL).transpose()?,
            looked: instant(LOOKED).transpose()?,
        })
    }
}

/// Forward only. Refused means that another tick was here: what it has sent has the same ids. Where the watermark
/// stands then, as far as the store tells.
async fn move_watermark(
    app: &App,
    from: Option<Timestamp>,
    to: Timestamp,
    looked: Timestamp,
) -> Result<Option<Timestamp>> {
    if let Some(from) = from
        && to <= from
    {
        // A clock that lags behind another's.
        return Ok(Some(from));
    }
    let when = match from {
        None => When::Not(Box::new(When::Has(UNTIL.into()))),
        Some(from) => When::Eq(UNTIL.into(), from.into()),
    };
    let write = Write {
        key: watermark_key(),
        op: Op::Update(vec![
            Change::Set(UNTIL.into(), to.into()),
            Change::Set(LOOKED.into(), looked.into()),
        ]),
        when,
    };
    match app.ports().store.write(write).await? {
        Outcome::Applied(_) => Ok(Some(to)),
        Outcome::Refused(there) => {
            tracing::info!("another tick has moved the watermark");
            let there = there.as_ref().map(Watermark::read).transpose()?;
            Ok(there.and_then(|there| there.until))
        }
    }
}
