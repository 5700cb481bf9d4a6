//! What must hold of every world, whatever went wrong in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::history::{Caller, End, History, Run, SentTask, Step};
use crate::options::Options;
use crate::record::State;
use crate::task::Tasks;
use crate::time::Timestamp;

/// What must hold, each under the promise it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Invariant {
    /// Every task whose message reached a queue is final, or, where it leaves no record, has run.
    NothingLost,
    /// A record takes only the steps of [`State::STEPS`], and none once it is final.
    OneFinalState,
    /// Bodies of one task never overlap, and none runs again unless its process died or could not
    /// record what it found out.
    OneRunner,
    /// However often a task runs, its children are the same.
    ChildrenOnce,
    /// No body begins before its time, and none of a task that has expired is claimed.
    OnTime,
    /// Only a task whose process died often enough is given up for it, and only a name that no worker
    /// knew for long enough is unknown.
    Neighbours,
    /// No more retries than allowed.
    Retries,
    /// The dead letters are those with a reason, and all of those.
    DeadLetters,
    /// Nothing is left: no message, no claim, no retry.
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
            Invariant::OneRunner => "one runner at a time",
            Invariant::ChildrenOnce => "what is sent on is sent once, in effect",
            Invariant::OnTime => "never early",
            Invariant::Neighbours | Invariant::Retries => "neighbours don't hurt each other",
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
    /// Failures whose message is a dead letter.
    pub(super) dead: &'static [&'static str],
}

/// Everything that doesn't hold.
pub(super) fn check(history: &History, rules: &Rules) -> Vec<Violation> {
    let mut judge = Judge {
        history,
        rules,
        violations: Vec::new(),
    };
    judge.nothing_left();
    for (id, sent) in judge.tasks() {
        judge.task(&id, &sent);
    }
    judge.children();
    judge.dead_letters();
    judge.violations
}

/// How often a process must die with a task, alone, before the task is given up.
const DEATHS: usize = 3;

struct Judge<'a> {
    history: &'a History,
    rules: &'a Rules,
    violations: Vec<Violation>,
}

impl<'a> Judge<'a> {
    fn found(&mut self, invariant: Invariant, what: String) {
        self.violations.push(Violation { invariant, what });
    }

    /// The messages of each task that reached a queue to be worked on.
    fn tasks(&self) -> BTreeMap<String, Vec<&'a SentTask>> {
        let mut tasks: BTreeMap<String, Vec<&SentTask>> = BTreeMap::new();
        for sent in &self.history.sent {
            if let Some(task) = sent.task.as_ref().filter(|_| !is_last(&sent.queue)) {
                tasks.entry(task.id.clone()).or_default().push(task);
            }
        }
        tasks
    }

    fn options(&self, name: &str) -> Options {
        let found = self.rules.tasks.find(name);
        found.map(|task| task.options).unwrap_or_default()
    }

    fn task(&mut self, id: &str, sent: &[&SentTask]) {
        let Some(first) = sent.first() else { return };
        let options = self.options(&first.name);
        let history = self.history;
        let steps = history.steps.get(id).map_or(&[][..], Vec::as_slice);
        let mut runs: Vec<&Run> = history.runs.iter().filter(|run| run.id == id).collect();
        runs.sort_by_key(|run| run.begun);
        let silent = options.idempotent && first.ignore_result.unwrap_or(options.ignore_result);
        self.nothing_lost(id, steps, &runs, silent);
        self.one_final_state(id, steps, options.idempotent);
        if !options.idempotent {
            self.one_runner(id, steps, &runs);
        }
        self.on_time(id, steps, &runs, sent);
        self.neighbours(id, &first.name, steps);
        self.retries(id, &options, steps, &runs);
    }

    fn nothing_lost(&mut self, id: &str, steps: &[Step], runs: &[&Run], silent: bool) {
        let last = steps.last().map_or(State::Pending, |step| step.state);
        let is_final = steps.iter().any(|step| step.state.is_final());
        let has_run = runs
            .iter()
            .any(|run| matches!(run.ended, Some((_, End::Returned | End::Failed))));
        if !(is_final || silent && last == State::Pending && has_run) {
            let what = format!(
                "task {id} was accepted and should be final; it is {last} after {} runs",
                runs.len()
            );
            self.found(Invariant::NothingLost, what);
        }
        if let State::Started | State::Retry = last {
            let what = format!("the record of task {id} should be final; it stays {last}");
            self.found(Invariant::NothingLeft, what);
        }
    }

    fn one_final_state(&mut self, id: &str, steps: &[Step], idempotent: bool) {
        let mut before: Option<&Step> = None;
        for step in steps {
            let from = before.map_or(State::Pending, |before| before.state);
            if let Some(before) = before.filter(|before| before.state.is_final()) {
                if step.state != State::Pending
                    && (step.state != before.state || step.outcome != before.outcome)
                {
                    let what = format!(
                        "task {id} was {from} since {}; {} made it {} at {}: {:?} was {:?}",
                        before.at, step.by, step.state, step.at, step.outcome, before.outcome
                    );
                    self.found(Invariant::OneFinalState, what);
                }
            } else if !steps_to(from, step.state, idempotent) {
                let what = format!(
                    "task {id} went from {from} to {} by {} at {}: no step of a record",
                    step.state, step.by, step.at
                );
                self.found(Invariant::OneFinalState, what);
            }
            before = Some(step);
        }
    }

    fn one_runner(&mut self, id: &str, steps: &[Step], runs: &[&Run]) {
        for pair in runs.windows(2) {
            let [one, next] = pair else { continue };
            let over = one.ended.map(|(at, _)| at);
            if over.is_none_or(|over| over > next.begun) {
                let what = format!(
                    "a body of task {id} ran in invocation {} from {} to {over:?}; another began in \
                     invocation {} at {}",
                    one.invocation, one.begun, next.invocation, next.begun
                );
                self.found(Invariant::OneRunner, what);
            }
            if one.attempt == next.attempt && !self.is_excused(one) {
                let what = format!(
                    "attempt {} of task {id} ran in invocation {} to its end at {over:?}, nothing \
                     prevented its record, and it ran again in invocation {}",
                    one.attempt, one.invocation, next.invocation
                );
                self.found(Invariant::OneRunner, what);
            }
        }
        let ended = steps.iter().find(|step| step.state.is_final());
        let late = ended.and_then(|end| {
            runs.iter()
                .find(|run| run.begun > end.at)
                .map(|run| (end, run))
        });
        if let Some((end, run)) = late {
            let (state, at, begun) = (end.state, end.at, run.begun);
            let what = format!("task {id} is {state} since {at}; a body began at {begun}");
            self.found(Invariant::OneRunner, what);
        }
    }

    /// Whether another run of the same attempt had to be: the process died, or heard no answer.
    fn is_excused(&self, run: &Run) -> bool {
        let invoked = self.history.invocations.get(run.invocation as usize);
        let unanswered = (run.invocation, run.id.clone());
        invoked.is_none_or(|invoked| invoked.killed)
            || self.history.unanswered.contains(&unanswered)
    }

    fn on_time(&mut self, id: &str, steps: &[Step], runs: &[&Run], sent: &[&SentTask]) {
        for run in runs {
            let attempt = |task: &&&SentTask| task.attempt == run.attempt;
            let messages = || sent.iter().filter(attempt);
            // Of several messages of one attempt each may have its own time; the earliest counts.
            let asked = messages().map(|task| task.eta).min().flatten();
            let recorded = steps.iter().rev().find(|step| {
                step.state == State::Retry && step.attempt == run.attempt && step.at <= run.begun
            });
            let due = recorded.and_then(|step| step.due_at).max(asked);
            if due.is_some_and(|due| run.begun_there < due) {
                let what = format!(
                    "attempt {} of task {id} is due at {due:?}; it began at {} by its own clock",
                    run.attempt, run.begun_there
                );
                self.found(Invariant::OnTime, what);
            }
            let ends = sent.iter().map(|task| task.expires.unwrap_or(NEVER)).max();
            if ends.is_some_and(|ends| run.claimed_there > ends) {
                let what = format!(
                    "task {id} expired at {ends:?}; it was claimed at {} by its worker's clock",
                    run.claimed_there
                );
                self.found(Invariant::OnTime, what);
            }
        }
    }

    fn neighbours(&mut self, id: &str, name: &str, steps: &[Step]) {
        let kind = |kind: &str| {
            steps.iter().find(|step| {
                step.state == State::Failure && step.error_kind.as_deref() == Some(kind)
            })
        };
        if kind("WorkerLost").is_some() {
            let invocations = &self.history.invocations;
            let alone = invocations
                .iter()
                .filter(|invoked| invoked.killed && invoked.ids == [id]);
            let deaths = alone.count();
            if deaths < DEATHS {
                let what = format!(
                    "task {id} is WorkerLost; its process died {deaths} times with it alone"
                );
                self.found(Invariant::Neighbours, what);
            }
        }
        let Some(lost) = kind("NotRegistered") else {
            return;
        };
        let grace = self.rules.unknown_task_grace;
        let received = self.history.received.get(&(id.to_owned(), lost.attempt));
        let waited = received
            .map(|first| lost.at.since(*first))
            .unwrap_or_default();
        let known = self.rules.tasks.find(name).is_some();
        if known && !self.rules.sometimes.contains(name) {
            let what = format!("task {id} is NotRegistered, though every worker knows `{name}`");
            self.found(Invariant::Neighbours, what);
        } else if known && waited + Duration::from_secs(30) < grace {
            let what = format!(
                "task {id} is NotRegistered after {waited:?}, though a message waits {grace:?} for a \
                 worker that knows `{name}`"
            );
            self.found(Invariant::Neighbours, what);
        }
    }

    fn retries(&mut self, id: &str, options: &Options, steps: &[Step], runs: &[&Run]) {
        let recorded = steps.iter().map(|step| step.retries);
        let most = recorded
            .chain(runs.iter().map(|run| run.retries))
            .max()
            .unwrap_or(0);
        if options.max_retries.is_some_and(|allowed| most > allowed) {
            let allowed = options.max_retries;
            let what = format!("task {id} was retried {most} times of {allowed:?}");
            self.found(Invariant::Retries, what);
        }
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
            let works_on_it = self
                .history
                .runs
                .iter()
                .any(|run| run.id == *parent && Caller::Invocation(run.invocation) == sent.by);
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

    fn dead_letters(&mut self) {
        let history = self.history;
        let failed = |id: &str| {
            let steps = history.steps.get(id)?;
            let last = steps.iter().find(|step| step.state == State::Failure)?;
            last.error_kind.clone()
        };
        for letter in &history.dead_letters {
            let reason = letter.reason.as_deref();
            let expected = match &letter.id {
                None => Some("Undecodable".to_owned()),
                Some(id) => failed(id).filter(|kind| self.rules.dead.contains(&kind.as_str())),
            };
            let is_final = letter.id.as_ref().and_then(|id| history.steps.get(id));
            let is_final =
                is_final.is_some_and(|steps| steps.iter().any(|step| step.state.is_final()));
            if reason.is_none() && is_final {
                // Its deletes failed until the broker moved it away: a copy of what is over.
                continue;
            }
            if reason.is_none() || reason != expected.as_deref() {
                let what = format!(
                    "the dead letter {} of task {:?} has the reason {reason:?}; {expected:?} is recorded",
                    letter.message_id, letter.id
                );
                self.found(Invariant::DeadLetters, what);
            }
        }
        for id in history.steps.keys() {
            let kind = failed(id).filter(|kind| self.rules.dead.contains(&kind.as_str()));
            let there = history
                .dead_letters
                .iter()
                .any(|letter| letter.id.as_ref() == Some(id) && letter.reason.is_some());
            if let Some(kind) = kind.filter(|_| !there) {
                let what = format!("task {id} failed as {kind} and has no dead letter");
                self.found(Invariant::DeadLetters, what);
            }
        }
        for sent in history
            .sent
            .iter()
            .filter(|sent| sent.task.is_none() && !is_last(&sent.queue))
        {
            let there = |letter: &super::history::DeadLetter| letter.message_id == sent.message_id;
            if !history.dead_letters.iter().any(there) {
                let id = &sent.message_id;
                let what = format!("message {id} can't be decoded and has no dead letter");
                self.found(Invariant::DeadLetters, what);
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

const NEVER: Timestamp = Timestamp::from_millis(i64::MAX);

fn is_last(queue: &crate::ports::QueueName) -> bool {
    queue
        .as_str()
        .starts_with(crate::ports::QueueName::DEAD_LETTERS)
}

/// Whether a record may go so; without the claim where the task leaves that out.
fn steps_to(from: State, to: State, idempotent: bool) -> bool {
    let unclaimed = idempotent && from.can_become(State::Started) && State::Started.can_become(to);
    from.can_become(to) || unclaimed
}
