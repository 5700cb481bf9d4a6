//! What must hold of what runs report of themselves.

use super::{Invariant, Judge};
use crate::record::State;
use crate::sim::history::{Caller, Step};

impl Judge<'_> {
    pub(super) fn reports(&mut self) {
        let history = self.history;
        for (id, steps) in &history.steps {
            self.reports_of(id, steps);
        }
    }

    fn reports_of(&mut self, id: &str, steps: &[Step]) {
        let mut before: Option<&Step> = None;
        // Who has written the claim that stands.
        let mut holder: Option<&Caller> = None;
        for step in steps {
            let is_claim = before.is_none_or(|before| {
                before.state != State::Started
                    || before.owner != step.owner
                    || before.attempt != step.attempt
            });
            let held = step.state == State::Started && !step.replaced;
            let says = step.reported.iter().any(Option::is_some);
            if says && (!held || is_claim) {
                let what = format!(
                    "task {id} is {}{}, and its record has {:?}, which an earlier run has reported",
                    step.state,
                    if held { " anew" } else { "" },
                    step.reported
                );
                self.found(Invariant::Reports, what);
            }
            if held && is_claim {
                holder = Some(&step.by);
            }
            if let Some(before) = before.filter(|before| says && before.reported != step.reported) {
                if holder != Some(&step.by) {
                    let what = format!(
                        "{} reported {:?} of task {id} at {}, which {holder:?} holds",
                        step.by, step.reported, step.at
                    );
                    self.found(Invariant::Reports, what);
                }
                let protocol = |step: &Step| {
                    let Step {
                        state,
                        attempt,
                        generation,
                        retries,
                        due_at,
                        ttl,
                        outcome,
                        ..
                    } = step.clone();
                    (state, attempt, generation, retries, due_at, ttl, outcome)
                };
                if protocol(before) != protocol(step) {
                    let what =
                        format!("what task {id} reported made {step:?} of its record {before:?}");
                    self.found(Invariant::Reports, what);
                }
            }
            before = Some(step);
        }
    }
}
