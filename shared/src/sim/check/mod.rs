//! What must hold of every world, whatever went wrong in it: each invariant with the promise it
//! belongs to, and the judge that reads a history for all of them.

mod letters;
mod neighbours;
mod reports;
mod revocations;
mod steps;
mod task;
#[cfg(test)]
mod tests;
mod unique;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::history::{Caller, History, Run, Sent};
use crate::options::Options;
use crate::parked::Promote;
use crate::task::Task as _;
use crate::task::Tasks;

/// What must hold, each under the promise it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Invariant {
    /// Every task whose message reached a queue is final, or, where it leaves no record, has run.
    NothingLost,
    /// A record takes only the steps of [`State::STEPS`](crate::State::STEPS), and none once it is final; what
    /// runs in a generation is of it.
    OneFinalState,
    /// Bodies of one task never overlap, and none runs again unless its process died or could not
    /// record what it found out.
    OneRunner,
    /// A step whose checkpoint was recorded isn't done again, and its value stays what it is.
    StepsOnce,
    /// What a run reports of itself is written by nobody else, changes nothing else, and is gone with its claim.
    Reports,
    /// What bears a revocation begins no more than five seconds after it was accepted, and the time that a call
    /// takes; what was asked to stop while it ran doesn't run again.
    Revocations,
    /// Of the tasks with one key none begins while another is at work, its retries included.
    Unique,
    /// However often a task runs, its children are the same.
    ChildrenOnce,
    /// No body begins before its time, and none of a task that has expired is claimed; and when nothing goes
    /// wrong any more, what is due begins soon.
    OnTime,
    /// A task whose process died often enough is given up for it, and no other; only a name that no worker
    /// knew for long enough is unknown; no panic ends a process, no body outlasts its limit, and none is stopped
    /// for a want of time that was known when it began.
    Neighbours,
    /// The tasks of a FIFO group run in the order in which they were sent: none begins before those in
    /// front of it are final.
    Order,
    /// No more retries than allowed, and no message further from its first task.
    Retries,
    /// The dead letters are those with a reason, and all of those, each once unless its message came again; each
    /// says what is recorded, and holds what was sent. Where the broker moved the message of
    /// a final task itself, after too many receives, it has none.
    DeadLetters,
    /// Nothing is left: no message, no claim, no retry; and no key of a task that has ended, unless a write was late.
    NothingLeft,
    /// The scenario's own assertions.
    Scenario,
}

impl Invariant {
    /// The promise it belongs to.
    pub fn promise(self) -> &'static str {
        match self {
            Invariant::NothingLost | Invariant::NothingLeft => "nothing is lost",
            Invariant::OneFinalState => "one final state",
            Invariant::OneRunner
            | Invariant::StepsOnce
            | Invariant::Reports
            | Invariant::Unique => "one runner at a time",
            Invariant::ChildrenOnce => "what is sent on is sent once, in effect",
            Invariant::OnTime => "never early",
            Invariant::Revocations => "what is revoked doesn't begin",
            Invariant::Neighbours | Invariant::Retries | Invariant::Order => {
                "neighbours don't hurt each other"
            }
            Invariant::DeadLetters => "bad input gets a clear error",
            Invariant::Scenario => "what the scenario asserts",
        }
    }
}

/// An invariant that didn't hold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// What was expected, and what was found.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (invariant, promise) = (self.invariant, self.invariant.promise());
        write!(f, "{invariant:?} ({promise}): {}", self.what)
    }
}

/// What the judge knows beside the history.
pub(super) struct Rules {
    /// Every task of any deployment.
    pub(super) tasks: Tasks,
    /// Tasks that not every deployment has.
    pub(super) sometimes: BTreeSet<&'static str>,
    pub(super) unknown_task_grace: Duration,
    /// Nothing goes wrong but that the tables don't answer for a while: then no message may be given up.
    pub(super) only_outages: bool,
    /// How long an invocation may take.
    pub(super) timeout: Duration,
    /// How soon something due begins when nothing goes wrong.
    pub(super) soon: Duration,
    /// How long a call may take.
    pub(super) call: Duration,
    /// Whether there is a queue for what its process died with.
    pub(super) quarantine: bool,
    /// Failures whose message is a dead letter.
    pub(super) dead: &'static [&'static str],
}

/// Everything that doesn't hold.
pub(super) fn check(history: &History, rules: &Rules) -> Vec<Violation> {
    let mut runs: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
    for run in &history.runs {
        runs.entry(&run.id).or_default().push(run);
    }
    let mut judge = Judge {
        history,
        runs,
        rules,
        violations: Vec::new(),
    };
    judge.nothing_left();
    for (id, sent) in judge.tasks() {
        judge.task(&id, &sent);
    }
    judge.steps_once();
    judge.reports();
    judge.revocations();
    judge.unique();
    judge.processes();
    judge.children();
    judge.order();
    judge.dead_letters();
    judge.violations
}

/// How often a process must die with a task, alone, before the task is given up.
const DEATHS: usize = 3;

struct Judge<'a> {
    history: &'a History,
    /// The runs of each task.
    runs: BTreeMap<&'a str, Vec<&'a Run>>,
    rules: &'a Rules,
    violations: Vec<Violation>,
}

impl<'a> Judge<'a> {
    fn found(&mut self, invariant: Invariant, what: String) {
        self.violations.push(Violation { invariant, what });
    }

    fn runs_of(&self, id: &str) -> &[&'a Run] {
        self.runs.get(id).map_or(&[], Vec::as_slice)
    }

    /// The messages of each task that reached a queue to be worked on.
    fn tasks(&self) -> BTreeMap<String, Vec<&'a Sent>> {
        let mut tasks: BTreeMap<String, Vec<&Sent>> = BTreeMap::new();
        for sent in &self.history.sent {
            let task = sent.task.as_ref().filter(|_| !is_last(&sent.queue));
            // Beat's own are judged by what they are for: they come again under other ids.
            if let Some(task) = task.filter(|task| task.name != Promote::NAME) {
                tasks.entry(task.id.clone()).or_default().push(sent);
            }
        }
        tasks
    }

    fn options(&self, name: &str) -> Options {
        let found = self.rules.tasks.find(name);
        found.map(|task| task.options).unwrap_or_default()
    }

    /// Each run of a task sends some children; all its runs together send no others.
    fn children(&mut self) {
        type Alike<'a> = (&'a str, &'a str, &'a str);
        let mut runs: BTreeMap<Alike<'_>, BTreeMap<&Caller, BTreeSet<&str>>> = BTreeMap::new();
        for sent in &self.history.sent {
            let Some(task) = &sent.task else { continue };
            // A message of the task's own is sent by whoever works on it.
            let (Some(parent), Caller::Invocation(_), 0) =
                (&task.parent_id, &sent.by, task.attempt)
            else {
                continue;
            };
            let mut runs_of_it = self.runs_of(parent).iter();
            let works_on_it = runs_of_it.any(|run| Caller::Invocation(run.invocation) == sent.by);
            if works_on_it {
                let alike = (parent.as_str(), task.name.as_str(), task.arguments.as_str());
                let by = runs.entry(alike).or_default();
                by.entry(&sent.by).or_default().insert(&task.id);
            }
        }
        for ((parent, name, arguments), by) in runs {
            let most = by.values().map(BTreeSet::len).max().unwrap_or(0);
            let all: BTreeSet<_> = by.values().flatten().collect();
            if all.len() > most {
                let what = format!(
                    "one run of task {parent} sends {most} of `{name}` {arguments}; its {} runs sent {}: {all:?}",
                    by.len(),
                    all.len()
                );
                self.found(Invariant::ChildrenOnce, what);
            }
        }
    }

    /// In front of each task of a group stands the one that was sent before it.
    fn order(&mut self) {
        let history = self.history;
        let mut last: BTreeMap<&str, &str> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for sent in &history.sent {
            let (Some(group), Some(task)) = (&sent.group, &sent.task) else {
                continue;
            };
            if !seen.insert(&task.id) {
                continue;
            }
            let Some(front) = last.insert(group, &task.id) else {
                continue;
            };
            let steps = history.steps.get(front).into_iter().flatten();
            let over = steps
                .filter(|step| step.state.is_final())
                .map(|step| step.at);
            let over = over.min();
            let begun = self.runs_of(&task.id).iter();
            let begun = begun.map(|run| run.begun).min();
            if begun.is_some_and(|begun| over.is_none_or(|over| begun < over)) {
                let what = format!(
                    "task {} of group `{group}` began at {begun:?}; {front} in front of it was final at \
                     {over:?}",
                    task.id
                );
                self.found(Invariant::Order, what);
            }
        }
    }

    fn nothing_left(&mut self) {
        for left in &self.history.left {
            let what = format!("should be over, and there is {left}");
            self.found(Invariant::NothingLeft, what);
        }
    }
}

fn is_last(queue: &crate::ports::QueueName) -> bool {
    queue
        .as_str()
        .starts_with(crate::ports::QueueName::DEAD_LETTERS)
}
