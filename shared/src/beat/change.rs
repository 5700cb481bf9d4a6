//! Changes of entries, and the revocation of what the old revision had handed out.
//!
//! A change is one conditional write: the new revision, and in it what the old one may have handed out. Then that is
//! revoked, and the item told so. Whoever dies in between leaves `revoking` behind, and the next tick finds it and
//! goes on before it sends anything. What runs already can't be revoked: the new revision begins after it.

use futures_util::future::join_all;

use super::entry::Entry;
use super::stored::{self, Earlier, KEPT, Source, Stored, field, key};
use crate::app::App;
use crate::error::Result;
use crate::ports::{Attribute, Change, Field, Item, Op, Outcome, When, Write};

/// How many revocations are on their way at once.
const AT_ONCE: usize = 16;

/// What an entry is to be.
#[derive(Debug, Clone)]
pub(super) struct To {
    /// The definition, as JSON text.
    pub(super) text: String,
    pub(super) source: Source,
    pub(super) paused: bool,
    pub(super) removed: bool,
}

impl To {
    /// As it is: the rest is said by the caller.
    pub(super) fn as_is(stored: &Stored) -> Self {
        Self {
            text: stored.text.clone(),
            source: stored.source,
            paused: stored.paused,
            removed: stored.removed,
        }
    }
}

/// Adds an entry that isn't there. False if one is.
pub(super) async fn add(app: &App, entry: &Entry, source: Source) -> Result<bool> {
    let text = entry.text(app.registered())?;
    let now = app.now();
    let item = Item::from([
        (Field::from(field::ENTRY), text.into()),
        (Field::from(field::SOURCE), source.name().into()),
        // Another of this name may have been removed: what was revoked with it has lower revisions.
        (Field::from(field::REVISION), now.as_millis().into()),
        (Field::from(field::SINCE), now.into()),
        (Field::from(field::AFTER), now.into()),
    ]);
    let write = Write {
        key: key(entry.name()),
        op: Op::Put(item.clone()),
        when: When::Absent,
    };
    Ok(match app.ports().store.write(write).await? {
        Outcome::Applied(_) => true,
        // Our own, whose answer was lost.
        Outcome::Refused(Some(there)) => item
            .iter()
            .all(|(name, value)| there.get(name) == Some(value)),
        Outcome::Refused(None) => false,
    })
}

/// Makes an entry something else, and revokes what it has handed out. `None`, if somebody wrote the item since it
/// was read.
///
/// # Errors
/// As the store says; the change may be made by then.
pub(super) async fn change(app: &App, old: &Stored, to: To) -> Result<Option<Stored>> {
    let now = app.now();
    let entry = stored::definition(&old.name, &to.text);
    let stops = to.paused || to.removed || entry.as_ref().is_ok_and(|entry| !entry.enabled);
    let handed_out = old.handed_out(stops, now);
    let mut earlier = old.earlier.clone();
    earlier.push(Earlier {
        revision: old.revision.unwrap_or(0),
        since: old.since,
        until: now,
        span: match &old.entry {
            Ok(entry) if !old.is_idle() => Some(entry.span()),
            _ => None,
        },
        revoke: handed_out,
    });
    while earlier.len() > KEPT
        && let Some(place) = earlier.iter().position(|earlier| earlier.revoke.is_empty())
    {
        earlier.remove(place);
    }
    let revoking = earlier.iter().any(|earlier| !earlier.revoke.is_empty());
    let revision = old
        .revision
        .map_or(now.as_millis(), |revision| revision + 1);
    let flag = |name: &'static str, set: bool| match set {
        true => Change::Set(name.into(), Attribute::Bool(true)),
        false => Change::Remove(name.into()),
    };
    let mut changes = vec![
        Change::Set(field::ENTRY.into(), to.text.as_str().into()),
        Change::Set(field::SOURCE.into(), to.source.name().into()),
        Change::Set(field::REVISION.into(), revision.into()),
        Change::Set(field::SINCE.into(), now.into()),
        Change::Set(field::AFTER.into(), now.into()),
        flag(field::PAUSED, to.paused),
        flag(field::REMOVED, to.removed),
        flag(field::REVOKING, revoking),
        Change::Set(field::EARLIER.into(), written(&earlier)),
        Change::Remove(field::SENT.into()),
    ];
    let runs = &old.run_now;
    if runs.len() > KEPT {
        let runs = runs.iter().rev().take(KEPT).rev();
        let runs = Attribute::List(runs.map(stored::RunNow::write).collect());
        changes.push(Change::Set(field::RUN_NOW.into(), runs));
    }
    let write = Write {
        key: key(&old.name),
        op: Op::Update(changes),
        when: When::All(vec![old.unchanged(), old.uncounted(), old.unsettled()]),
    };
    if let Outcome::Refused(there) = app.ports().store.write(write).await? {
        let there = there.as_ref().and_then(Stored::read);
        let ours = there.is_some_and(|there| {
            let says = (there.revision, there.since, there.paused, there.removed);
            says == (Some(revision), now, to.paused, to.removed) && there.text == to.text
        });
        if !ours {
            return Ok(None);
        }
    }
    let mut new = Stored {
        entry: entry.map_err(|error| error.to_string()),
        text: to.text,
        source: to.source,
        revision: Some(revision),
        since: now,
        after: Some(now),
        paused: to.paused,
        removed: to.removed,
        revoking,
        sent: Vec::new(),
        earlier,
        ..old.clone()
    };
    settle(app, &mut new).await?;
    Ok(Some(new))
}

fn written(earlier: &[Earlier]) -> Attribute {
    Attribute::List(earlier.iter().map(Earlier::write).collect())
}

/// Revokes what earlier revisions have handed out, and deletes what is to be removed. False, if somebody else did
/// or changed it again.
///
/// # Errors
/// As the store says; what is left is done by whoever comes next.
pub(super) async fn settle(app: &App, stored: &mut Stored) -> Result<bool> {
    if stored.revoking {
        let mut counted = 0;
        for earlier in &mut stored.earlier {
            for handed_out in earlier.revoke.chunks(AT_ONCE) {
                let revoked =
                    join_all(handed_out.iter().map(|it| app.revoke_unstarted(&it.id))).await;
                for (it, revoked) in handed_out.iter().zip(revoked) {
                    match revoked {
                        Ok(true) => counted += i64::from(it.counted),
                        Ok(false) => {
                            stored.after = stored.after.max(Some(it.due));
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
            earlier.revoke.clear();
        }
        let mut changes = vec![
            Change::Set(field::EARLIER.into(), written(&stored.earlier)),
            Change::Remove(field::REVOKING.into()),
        ];
        if let Some(after) = stored.after {
            changes.push(Change::Set(field::AFTER.into(), after.into()));
        }
        if let (Some(runs), true) = (stored.runs, counted > 0) {
            stored.runs = Some(runs - counted);
            changes.push(Change::Add(field::RUNS.into(), -counted));
        }
        let write = Write {
            key: key(&stored.name),
            op: Op::Update(changes),
            when: When::All(vec![stored.unchanged(), stored.unsettled()]),
        };
        if let Outcome::Refused(_) = app.ports().store.write(write).await? {
            return Ok(false);
        }
        stored.revoking = false;
    }
    if stored.removed {
        let write = Write {
            key: key(&stored.name),
            op: Op::Delete,
            when: stored.unchanged(),
        };
        app.ports().store.write(write).await?;
    }
    Ok(true)
}
