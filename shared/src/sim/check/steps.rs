//! What must hold of checkpoints: the steps of a task that are done once.

use std::collections::BTreeMap;

use super::{Invariant, Judge};
use crate::record::State;
use crate::sim::history::{Caller, Step};

impl Judge<'_> {
    pub(super) fn steps_once(&mut self) {
        let history = self.history;
        for stepped in &history.stepped {
            // What the run's claim has found in the record.
            let mut steps = history.steps.get(&stepped.id).into_iter().flatten();
            let claim = steps.find(|step| {
                step.state == State::Started
                    && step.by == Caller::Invocation(stepped.invocation)
                    && step.attempt == stepped.attempt
            });
            let known = claim.and_then(|claim| claim.checkpoints.get(&stepped.name));
            let (id, name, invocation) = (&stepped.id, &stepped.name, stepped.invocation);
            if known.is_some() && !stepped.kept {
                let what = format!(
                    "step `{name}` of task {id} was recorded, and done again in invocation {invocation}"
                );
                self.found(Invariant::StepsOnce, what);
            }
            if let Some(known) = known.filter(|known| **known != stepped.json) {
                let what = format!(
                    "step `{name}` of task {id} had come to {known}; in invocation {invocation} it is {}",
                    stepped.json
                );
                self.found(Invariant::StepsOnce, what);
            }
        }
        for (id, steps) in &history.steps {
            self.checkpoints_stay(id, steps);
        }
    }

    /// No checkpoint is changed or lost until its task is over, and none is left when it has succeeded.
    fn checkpoints_stay(&mut self, id: &str, steps: &[Step]) {
        let mut before: &BTreeMap<String, String> = &BTreeMap::new();
        for step in steps {
            let now = &step.checkpoints;
            let over = step.replaced || matches!(step.state, State::Success | State::Ignored);
            if over && !now.is_empty() {
                let what = format!(
                    "task {id} is {} and its record still has the checkpoints {now:?}",
                    step.state
                );
                self.found(Invariant::NothingLeft, what);
            }
            // An operator who edits a task takes away what its steps have left.
            let edited = step.by == Caller::Sender;
            let stays = before
                .iter()
                .all(|(name, json)| now.get(name) == Some(json));
            if !over && !edited && !stays {
                let what = format!(
                    "task {id} had the checkpoints {before:?}; {} made them {now:?} at {}",
                    step.by, step.at
                );
                self.found(Invariant::StepsOnce, what);
            }
            before = now;
        }
    }
}
