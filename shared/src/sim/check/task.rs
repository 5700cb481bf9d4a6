//! What must hold of one task: its record, and the runs of its body.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{DEATHS, Invariant, Judge};
use crate::options::Options;
use crate::ports::QueueName;
use crate::record::State;
use crate::sim::history::{Caller, End, Run, SentTask, Step};
use crate::time::Timestamp;

impl Judge<'_> {
    pub(super) fn task(&mut self, id: &str, sent: &[&SentTask]) {
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
        self.neighbours(id, &first.name, steps, sent);
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
            // Redriving by hand begins another life.
            let same = |before: &&Step| before.generation == step.generation;
            if let Some(before) = before.filter(same).filter(|before| before.state.is_final()) {
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
        let mut ends = steps.iter().filter(|step| step.state.is_final());
        let late = ends.find_map(|end| {
            runs.iter()
                .find(|run| run.begun > end.at && run.attempt <= end.attempt)
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
            // What is redriven is due at once, by whoever's clock.
            let begins_life = |step: &&Step| step.by == Caller::Sender;
            let recorded = recorded.filter(|step| !begins_life(step));
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

    /// A task that has killed its process often enough isn't run again.
    fn given_up(&mut self, id: &str) {
        let mut deaths: BTreeMap<u32, usize> = BTreeMap::new();
        for run in self.history.runs.iter().filter(|run| run.id == id) {
            let died = run.ended.is_some_and(|(_, end)| end == End::Died);
            let invoked = self.history.invocations.get(run.invocation as usize);
            let alone =
                invoked.is_some_and(|invoked| invoked.queue.as_str() == QueueName::QUARANTINE);
            if died && alone {
                *deaths.entry(run.attempt).or_default() += 1;
            }
        }
        if let Some((attempt, deaths)) = deaths.into_iter().find(|(_, deaths)| *deaths > DEATHS) {
            let what = format!(
                "attempt {attempt} of task {id} has killed {deaths} processes in quarantine; \
                 {DEATHS} are enough"
            );
            self.found(Invariant::Neighbours, what);
        }
    }

    fn neighbours(&mut self, id: &str, name: &str, steps: &[Step], sent: &[&SentTask]) {
        let kind = |kind: &str| {
            steps.iter().find(|step| {
                step.state == State::Failure && step.error_kind.as_deref() == Some(kind)
            })
        };
        if kind("WorkerLost").is_some() {
            let invocations = &self.history.invocations;
            let alone = (0..).zip(invocations).filter(|(number, invoked)| {
                let company = || {
                    let mut runs = self.history.runs.iter();
                    runs.any(|run| {
                        let died = run.ended.is_some_and(|(_, end)| end == End::Died);
                        run.invocation == *number && run.id != id && died
                    })
                };
                let held = invoked.ids.iter().any(|held| held == id);
                let alone = invoked.ids == [id] || (invoked.queue.is_fifo() && held && !company());
                invoked.killed && alone
            });
            let deaths = alone.count();
            if deaths < DEATHS {
                let what = format!(
                    "task {id} is WorkerLost; its process died {deaths} times with it alone"
                );
                self.found(Invariant::Neighbours, what);
            }
        }
        self.given_up(id);
        // Sent anew, it was not given up without a try; that an old copy was, after ten receives, says
        // nothing of it, and yet the task is over.
        let again = |step: &Step| {
            let of_it = sent.iter().filter(|task| task.attempt == step.attempt);
            of_it.count() > 1
        };
        if self.rules.only_outages && kind("Undelivered").is_some_and(|step| !again(step)) {
            let what = format!("task {id} was given up by SQS, though nothing is wrong with it");
            self.found(Invariant::Neighbours, what);
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
}

const NEVER: Timestamp = Timestamp::from_millis(i64::MAX);

/// Whether a record may go so; without the claim where the task leaves that out.
fn steps_to(from: State, to: State, idempotent: bool) -> bool {
    let unclaimed = idempotent && from.can_become(State::Started) && State::Started.can_become(to);
    from.can_become(to) || unclaimed
}
