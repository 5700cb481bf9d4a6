//! Whether a run was revoked, as far as its body has asked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::app::App;
use crate::message::Message;
use crate::ports::Key;
use crate::record::{State, field, status};
use crate::time::Timestamp;

use super::Revocations;

/// A run's record is read no more often.
const EVERY: Duration = Duration::from_secs(2);

/// What a run has learned.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// What its process knows.
    known: Arc<Revocations>,
    /// The name of its task, where the message has an alias.
    name: Option<&'static str>,
    learned: Mutex<Learned>,
}

#[derive(Debug, Default)]
struct Learned {
    read_at: Option<Timestamp>,
    revoked: bool,
}

impl Asked {
    pub(crate) fn new(known: Arc<Revocations>, name: &'static str) -> Self {
        Self {
            known,
            name: Some(name),
            learned: Mutex::default(),
        }
    }

    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the run is known to be revoked.
    pub(crate) fn is_revoked(&self) -> bool {
        self.learned().revoked
    }

    /// Asks again, if it is time. What can't be read is no reason to stop.
    pub(crate) async fn ask(&self, app: &App, message: &Message) -> bool {
        let now = app.now();
        let reads = {
            let mut learned = self.learned();
            if learned.revoked {
                return true;
            }
            let reads = learned.read_at.is_none_or(|last| now.since(last) >= EVERY);
            if reads {
                learned.read_at = Some(now);
            }
            reads
        };
        if reads {
            match app
                .ports()
                .store
                .get(&Key::Result(message.id.clone()))
                .await
            {
                Ok(item) => {
                    let says = item.is_some_and(|item| {
                        // An idempotent task has no claim to be asked by.
                        let revoked = status(&item) == Some(State::Revoked);
                        revoked || item.contains_key(field::REVOKE_REQUESTED)
                    });
                    self.learned().revoked |= says;
                }
                Err(error) => {
                    let task_id = &message.id;
                    tracing::warn!(task_id, %error, "whether it is revoked can't be read");
                }
            }
        }
        if app.config().revocations {
            let listed = match self.known.fresh(now) {
                Some(listed) => Ok(listed),
                None => self.known.read(app).await,
            };
            match listed {
                Ok(listed) => {
                    let says = listed.of_message(message, self.name).is_some();
                    self.learned().revoked |= says;
                }
                Err(error) => tracing::warn!(%error, "the revocations can't be read"),
            }
        }
        self.is_revoked()
    }
}
