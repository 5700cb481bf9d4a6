//! What must hold of what was revoked.

use std::time::Duration;

use super::{Invariant, Judge};
use crate::record::State;
use crate::sim::history::{Caller, Run};

/// Within so long each process knows of a revocation.
const KNOWN: Duration = Duration::from_secs(5);

impl Judge<'_> {
    pub(super) fn revocations(&mut self) {
        let history = self.history;
        for run in &history.runs {
            self.none_that_bears_one(run);
            self.none_that_was_asked_to_stop(run);
        }
    }

    fn none_that_bears_one(&mut self, run: &Run) {
        let Some((revocation, accepted)) = &run.bears else {
            return;
        };
        let invoked = self.history.invocations.get(run.invocation as usize);
        // Between what it read and the body it may have stood still.
        let frozen = invoked.is_some_and(|invoked| invoked.frozen);
        if !frozen && run.begun > *accepted + KNOWN + self.rules.call {
            let (id, begun) = (&run.id, run.begun);
            let what =
                format!("task {id} begins at {begun}, and {revocation} was revoked at {accepted}");
            self.found(Invariant::Revocations, what);
        }
    }

    /// By what the claim found in the record.
    fn none_that_was_asked_to_stop(&mut self, run: &Run) {
        let steps = self.history.steps.get(&run.id);
        let Some(steps) = steps else {
            return;
        };
        let claimed = steps.windows(2).find(|pair| match pair {
            [before, claim] => {
                before.requested
                    && !before.is_forgotten(claim.at)
                    && claim.state == State::Started
                    && claim.by == Caller::Invocation(run.invocation)
                    && claim.attempt == run.attempt
                    && claim.at <= run.begun
            }
            _ => false,
        });
        if let Some([before, _]) = claimed {
            let what = format!(
                "task {} was asked to stop by {}, and runs again at {}",
                run.id, before.at, run.begun
            );
            self.found(Invariant::Revocations, what);
        }
    }
}
