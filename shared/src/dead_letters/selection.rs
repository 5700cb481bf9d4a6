//! Which dead letters are meant.

use std::collections::BTreeSet;
use std::time::Duration;

use super::DeadLetter;
use crate::time::Timestamp;

/// Which dead letters are meant: those that fit everything that is said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selection {
    pub(super) letters: BTreeSet<String>,
    ids: BTreeSet<String>,
    task: Option<String>,
    reason: Option<String>,
    older_than: Option<Duration>,
}

impl Selection {
    /// All of them.
    pub fn all() -> Self {
        Self::default()
    }

    /// Those of this id, or of one said before: the letter's own, its task's, or that of the message
    /// that it was.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.ids.insert(id.into());
        self
    }

    /// The one with this id of its own, or with one said before. When all of these are met, the walk
    /// through the others ends.
    #[must_use]
    pub fn letter(mut self, id: impl Into<String>) -> Self {
        self.letters.insert(id.into());
        self
    }

    /// Those of the task of this name.
    #[must_use]
    pub fn task(mut self, name: impl Into<String>) -> Self {
        self.task = Some(name.into());
        self
    }

    /// Those with this reason, such as `Rejected`.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Those that have been dead for longer.
    #[must_use]
    pub fn older_than(mut self, age: Duration) -> Self {
        self.older_than = Some(age);
        self
    }

    pub(super) fn fits(&self, letter: &DeadLetter, now: Timestamp) -> bool {
        let is = |wanted: &Option<String>, text: Option<&str>| {
            wanted.is_none() || wanted.as_deref() == text
        };
        let named = || {
            [
                Some(&letter.id),
                letter.task_id.as_ref(),
                Some(&letter.message_id),
            ]
            .into_iter()
            .flatten()
            .any(|id| self.ids.contains(id))
        };
        (self.letters.is_empty() || self.letters.contains(&letter.id))
            && (self.ids.is_empty() || named())
            && is(&self.task, letter.task.as_deref())
            && is(&self.reason, Some(&letter.reason))
            && self
                .older_than
                .is_none_or(|age| now.since(letter.dead_at) > age)
    }
}
