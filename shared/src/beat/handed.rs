//! What an entry hands out for a due time: a message under an id that says which.

use std::time::Duration;

use uuid::Uuid;

use super::AHEAD;
use super::entry::Entry;
use super::stored::{HandedOut, Stored};
use crate::app::App;
use crate::context::DUE;
use crate::id;
use crate::signature::{Expires, Signature};
use crate::time::Timestamp;

/// For how long after a change a tick that began before it may hand out due times of what was: those up to
/// [`AHEAD`] of its beginning, by a clock that is 20 s fast.
const UNDER_WAY: Duration = AHEAD.saturating_add(Duration::from_secs(20));

/// The message field that says whose runs may not overlap: the entry's name.
const NO_OVERLAP: &str = "no_overlap";

/// The id of what is found for a due time. A revision has its own: what another revoked stays revoked.
pub(super) fn id_of(name: &str, revision: i64, due: Timestamp) -> String {
    id::derived(&["beat", name, &revision.to_string(), &due.to_string()])
}

impl Entry {
    /// When what has this id is to start: the due time and its part of the jitter.
    pub(super) fn eta(&self, id: &str, due: Timestamp) -> Timestamp {
        let bits = Uuid::try_parse(id).map_or(0, |id| id.as_u128());
        let choices = u128::from(self.jitter.as_secs()) + 1;
        let part = u64::try_from(bits % choices).unwrap_or(0);
        due + Duration::from_secs(part)
    }

    /// What is sent now for a due time, or to start at once.
    pub(super) fn call(
        &self,
        app: &App,
        id: impl Into<String>,
        due: Option<Timestamp>,
        now: Timestamp,
    ) -> Signature<(), ()> {
        let id = id.into();
        let eta = due.map(|due| self.eta(&id, due));
        let mut canvas = self.canvas();
        // What is wrong with its route, the send will say.
        let _ = app.settle(&mut canvas);
        canvas.set_id(id);
        canvas.first_calls(&mut |call| {
            call.eta = eta;
            if let Some(due) = due {
                call.headers.insert(DUE.to_owned(), due.to_string().into());
            }
            // From when it is due, not from when it is handed out.
            if let Some(Expires::After(after)) = call.expires {
                call.expires = Some(Expires::At(eta.map_or(now, |eta| eta.max(now)) + after));
            }
            if self.no_overlap {
                call.extra
                    .insert(NO_OVERLAP.to_owned(), self.name.as_str().into());
            }
        });
        Signature::of(canvas)
    }

    /// The id of the message that starts what is found under `id`: revoked, nothing of it runs.
    fn starts_as(&self, id: String) -> String {
        let mut canvas = self.canvas();
        canvas.set_id(id.clone());
        canvas.identify(&id);
        canvas.first_id().cloned().unwrap_or(id)
    }
}

impl Stored {
    /// What this revision may have handed out, or may yet, and what is to start after `now`. One that `stops`
    /// takes back what was due and waits for its jitter; what comes after one that doesn't will not send it.
    pub(super) fn handed_out(&self, stops: bool, now: Timestamp) -> Vec<HandedOut> {
        let (Ok(entry), Some(revision), false) = (&self.entry, self.revision, self.is_idle())
        else {
            return Vec::new();
        };
        let from = if stops { now - entry.jitter } else { now };
        let span = entry.span();
        let due = span.due(from.max(self.since), now + UNDER_WAY);
        due.filter_map(|due| {
            let id = id_of(&self.name, revision, due);
            (entry.eta(&id, due) > now).then(|| HandedOut {
                due,
                counted: self.sent.contains(&due),
                id: entry.starts_as(id),
            })
        })
        .collect()
    }
}
