//! What a worker's process knows of the revocations: read at most once in five seconds, and asked before each body.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::app::App;
use crate::error::Result;
use crate::message::Message;
use crate::time::Timestamp;

use super::{GROUP, InForce, ROOT, Revocation, STAMP, TASK, text_of};

/// What was read counts for so long: no revocation takes longer to be known.
const FRESH: Duration = Duration::from_secs(5);

/// What a process has read, shared by its batches.
#[derive(Debug, Default)]
pub(crate) struct Revocations(Mutex<Option<(Timestamp, Arc<Listed>)>>);

impl Revocations {
    /// What was read less than five seconds ago.
    pub(crate) fn fresh(&self, now: Timestamp) -> Option<Arc<Listed>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (asked, listed) = known.as_ref()?;
        // A clock that was set back tells nothing of what was read.
        (*asked <= now && now.since(*asked) < FRESH).then(|| listed.clone())
    }

    /// Reads them. Where that can't be done for want of rights or of a table, there are none, and the log says so: a
    /// deployment that has never revoked anything goes on.
    pub(crate) async fn read(&self, app: &App) -> Result<Arc<Listed>> {
        // It counts from here: what is revoked meanwhile may be missing.
        let asked = app.now();
        let listed = match app.revocations().await {
            Ok(all) => Listed::of(all),
            Err(error) if error.is_retryable() => return Err(error),
            Err(error) => {
                tracing::error!(%error, "no revocation is honoured, for they can't be read");
                Listed::default()
            }
        };
        let listed = Arc::new(listed);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_none_or(|(before, _)| *before <= asked) {
            *known = Some((asked, listed.clone()));
        }
        Ok(listed)
    }
}

/// The revocations in force, by what they are about.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    /// With the time until which their messages were sent.
    tasks: BTreeMap<String, Timestamp>,
    others: BTreeSet<Revocation>,
}

impl Listed {
    pub(crate) fn of(all: Vec<InForce>) -> Self {
        let mut listed = Self::default();
        for one in all {
            match one.revocation.kind {
                TASK => {
                    listed.tasks.insert(one.revocation.value, one.revoked_at);
                }
                _ => {
                    listed.others.insert(one.revocation);
                }
            }
        }
        listed
    }

    /// The revocation that a message bears; `name` is its task's, where it has an alias.
    pub(crate) fn of_message(&self, message: &Message, name: Option<&str>) -> Option<Revocation> {
        if self.tasks.is_empty() && self.others.is_empty() {
            return None;
        }
        let named = [Some(message.task.as_str()), name].into_iter().flatten();
        let named = named.map(|name| (name, self.tasks.get(name)));
        for (name, until) in named {
            if until.is_some_and(|until| message.sent_at.is_none_or(|sent| sent <= *until)) {
                return Some(Revocation::task(name));
            }
        }
        let own_group = message.fan_out.as_ref().map(|_| &message.id);
        let group = message.member.as_ref().map(|member| &member.group);
        let groups = own_group.into_iter().chain(group);
        let groups = groups.map(|group| Revocation::of(GROUP, group.clone()));
        let root = Revocation::of(ROOT, message.root().to_owned());
        let stamps = message.headers.iter().flat_map(|(name, value)| {
            let values = match value {
                Value::Array(values) => values.as_slice(),
                value => std::slice::from_ref(value),
            };
            let stamp = move |value| Revocation::of(STAMP, format!("{name}={}", text_of(value)));
            values.iter().map(stamp)
        });
        let mut born = groups.chain([root]).chain(stamps);
        born.find(|one| self.others.contains(one))
    }
}
