//! The states of a task, and the steps between them.

use serde::{Deserialize, Serialize};

use crate::ports::Attribute;

/// Where a task stands. Celery's words, with IGNORED for its `Ignore`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[non_exhaustive]
pub enum State {
    /// Not started, or unknown. There is no record, unless the task isn't due for a while.
    Pending,
    /// Running, until its lease ends.
    Started,
    /// Failed or snoozed, and due again.
    Retry,
    /// Done, with a result.
    Success,
    /// Failed for good.
    Failure,
    /// Revoked or expired before it started.
    Revoked,
    /// Done; the task asked for no outcome to be kept, or was left out for another that is the same.
    Ignored,
}

impl State {
    /// All of them, in the order a task may pass them.
    pub const ALL: &[State] = &[
        State::Pending,
        State::Started,
        State::Retry,
        State::Success,
        State::Failure,
        State::Revoked,
        State::Ignored,
    ];

    /// The state as Celery and the table write it.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Pending => "PENDING",
            State::Started => "STARTED",
            State::Retry => "RETRY",
            State::Success => "SUCCESS",
            State::Failure => "FAILURE",
            State::Revoked => "REVOKED",
            State::Ignored => "IGNORED",
        }
    }

    /// Whether nothing more will happen.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            State::Success | State::Failure | State::Revoked | State::Ignored
        )
    }

    /// The steps a record may take, as [lifecycle](crate::guide::lifecycle) draws them. From a state
    /// to itself counts only where it is listed: another claim of a task whose process died, and what isn't due
    /// for a while and is parked, or moved.
    pub const STEPS: [(State, State); 17] = [
        (State::Pending, State::Pending),
        (State::Pending, State::Started),
        (State::Pending, State::Failure),
        (State::Pending, State::Revoked),
        // A unique task, of which another is at work.
        (State::Pending, State::Ignored),
        (State::Started, State::Started),
        (State::Started, State::Retry),
        (State::Started, State::Success),
        (State::Started, State::Failure),
        (State::Started, State::Ignored),
        // Given up without another run: its process died, and meanwhile it expired.
        (State::Started, State::Revoked),
        (State::Retry, State::Retry),
        (State::Retry, State::Started),
        (State::Retry, State::Failure),
        (State::Retry, State::Revoked),
        // The same, redriven.
        (State::Retry, State::Ignored),
        // By hand only: a new generation.
        (State::Failure, State::Retry),
    ];

    /// Whether a record may go from this state to that in one step. A task marked
    /// [`idempotent`](crate::Options::idempotent) may leave out STARTED; that is two steps.
    pub fn can_become(self, next: State) -> bool {
        Self::STEPS.contains(&(self, next))
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|state| state.as_str() == text)
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<State> for Attribute {
    fn from(state: State) -> Self {
        state.as_str().into()
    }
}
