//! What must hold of one task: its record, and the runs of its body.

use std::time::Duration;

use super::{Invariant, Judge};
use crate::launch::MAX_HOPS;
use crate::options::Options;
use crate::record::State;
use crate::sim::history::{Caller, End, Run, Sent, SentTask, Step};
use crate::time::Timestamp;

impl Judge<'_> {
    pub(super) fn task(&mut self, id: &str, messages: &[&Sent]) {
        let sent: Vec<&SentTask> = messages
            .iter()
            .filter_map(|one| one.task.as_ref())
            .collect();
        let Some(first) = sent.first() else { return };
        let options = self.options(&first.name);
        let history = self.history;
        let steps = history.steps.get(id).map_or(&[][..], Vec::as_slice);
        let mut runs = self.runs_of(id).to_vec();
        runs.sort_by_key(|run| run.begun);
        let silent = options.idempotent && first.ignore_result.unwrap_or(options.ignore_result);
        self.nothing_lost(id, steps, &runs, silent);
        if !silent {
            self.each_life_ends(id, steps, messages);
        }
        self.one_final_state(id, steps, options.idempotent);
        if !options.idempotent {
            self.one_runner(id, steps, &runs);
            self.of_its_generation(id, steps, &runs);
        }
        self.on_time(id, steps, &runs, &sent);
        self.soon(id, steps, &runs, messages);
        self.neighbours(id, &first.name, steps, &sent);
        self.limits(id, &options, steps, &runs);
        self.retries(id, &options, steps, &runs);
        if let Some(far) = sent.iter().find(|task| task.hops > MAX_HOPS) {
            let what = format!(
                "a message of task {id} is {} sends away from its first task; {MAX_HOPS} are allowed",
                far.hops
            );
            self.found(Invariant::Retries, what);
        }
    }

    fn nothing_lost(&mut self, id: &str, steps: &[Step], runs: &[&Run], silent: bool) {
        let last = steps.last().map_or(State::Pending, |step| step.state);
        let is_final = steps.iter().any(|step| step.state.is_final());
        // Counted as delivered for the first time though it wasn't, it leaves the record of its dead forerunner.
        let since = steps.last().map_or(Timestamp::default(), |step| step.at);
        let has_run = runs.iter().any(|run| {
            let done = matches!(run.ended, Some((_, End::Returned | End::Failed)));
            done && run.begun >= since
        });
        // Or of one beside which another copy ran to its end, wrote nothing, and was acknowledged for both.
        let returned = |run: &&Run| matches!(run.ended, Some((_, End::Returned)));
        let is_over = last == State::Started && runs.iter().any(returned);
        if silent && (has_run || is_over) {
            return;
        }
        if !is_final {
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

    /// What is sent when the record of an earlier life has been forgotten is another life, with an end of its
    /// own.
    fn each_life_ends(&mut self, id: &str, steps: &[Step], messages: &[&Sent]) {
        for sent in messages.iter().filter(|sent| sent.by == Caller::Sender) {
            let ends = steps.iter().filter(|step| step.state.is_final());
            let mut ends = ends.filter(|end| end.at >= sent.at || !end.is_forgotten(sent.at));
            if steps.iter().any(|step| step.state.is_final()) && ends.next().is_none() {
                let what = format!(
                    "task {id} was accepted at {}, when its record of before had expired; it never came to \
                     an end again",
                    sent.at
                );
                self.found(Invariant::NothingLost, what);
            }
        }
    }

    fn one_final_state(&mut self, id: &str, steps: &[Step], idempotent: bool) {
        let mut before: Option<&Step> = None;
        for step in steps {
            before = before.filter(|before| !before.is_forgotten(step.at));
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
            let ended = |step: &Step| step.state.is_final() && step.is_forgotten(next.begun);
            let another_life = steps.iter().any(ended);
            if one.attempt == next.attempt && !another_life && !self.is_excused(one) {
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
                .find(|run| {
                    let after = run.begun > end.at && run.attempt <= end.attempt;
                    after && !end.is_forgotten(run.begun)
                })
                .map(|run| (end, run))
        });
        if let Some((end, run)) = late {
            let (state, at, begun) = (end.state, end.at, run.begun);
            let what = format!("task {id} is {state} since {at}; a body began at {begun}");
            self.found(Invariant::OneRunner, what);
        }
    }

    /// No message of an earlier generation takes part in a later one.
    fn of_its_generation(&mut self, id: &str, steps: &[Step], runs: &[&Run]) {
        for run in runs {
            let before = steps.iter().take_while(|step| step.at <= run.begun);
            let now = before.last().map_or(0, |step| step.generation);
            if run.generation < now {
                let what = format!(
                    "task {id} is in generation {now}; a message of generation {} ran at {}",
                    run.generation, run.begun
                );
                self.found(Invariant::OneFinalState, what);
            }
        }
    }

    /// Whether another run of the same attempt had to be: the process died, or had no answer to what it would
    /// record up to the end of its invocation.
    fn is_excused(&self, run: &Run) -> bool {
        // The last pause of who insists, and what a call takes.
        const LAST_CALL: Duration = Duration::from_millis(1200);
        let Some(invoked) = self.history.invocations.get(run.invocation as usize) else {
            return true;
        };
        let call = (run.invocation, run.id.clone());
        let unanswered = self.history.unanswered.get(&call);
        invoked.killed || unanswered.is_some_and(|last| *last + LAST_CALL >= invoked.deadline)
    }

    fn on_time(&mut self, id: &str, steps: &[Step], runs: &[&Run], sent: &[&SentTask]) {
        for run in runs {
            let attempt = |task: &&&SentTask| task.attempt == run.attempt;
            let messages = || sent.iter().filter(attempt);
            // Of several messages of one attempt each may have its own time; the earliest counts.
            let asked = messages().map(|task| task.eta).min().flatten();
            let waits = |step: &&Step| {
                let is_waiting = matches!(step.state, State::Retry | State::Pending);
                is_waiting && step.attempt == run.attempt && step.at <= run.begun
            };
            let recorded = steps.iter().rev().find(waits);
            // What is redriven is due at once, by whoever's clock.
            let begins_life =
                |step: &&Step| step.by == Caller::Sender && step.state == State::Retry;
            let recorded = recorded.filter(|step| !begins_life(step));
            // Without a claim it knows its own message only, of which a sender that asked twice has sent two.
            let by = Caller::Invocation(run.invocation);
            let is_claim = |step: &Step| step.state == State::Started && step.by == by;
            let recorded = recorded.filter(|_| steps.iter().any(is_claim));
            let due = match recorded {
                // Its record says when it is due, be it earlier than it was.
                Some(step) if step.state == State::Pending => step.due_at,
                _ => recorded.and_then(|step| step.due_at).max(asked),
            };
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

    /// What is due when nothing goes wrong any more begins soon, or is over.
    fn soon(&mut self, id: &str, steps: &[Step], runs: &[&Run], messages: &[&Sent]) {
        // In a group it waits for those in front of it.
        for sent in messages.iter().filter(|sent| sent.group.is_none()) {
            let Some(task) = &sent.task else { continue };
            let due = task.eta.map_or(sent.at, |eta| eta.max(sent.at));
            // It may have been put off.
            let waits = steps.iter().filter(|step| {
                matches!(step.state, State::Pending | State::Retry) && step.attempt == task.attempt
            });
            let due = due.max(waits.filter_map(|step| step.due_at).max().unwrap_or(due));
            // What no worker knows waits for one that does.
            let grace = match self.rules.tasks.find(&task.name) {
                Some(_) => Duration::ZERO,
                None => self.rules.unknown_task_grace,
            };
            let latest = due.max(self.history.calm_from) + self.rules.soon + grace;
            let begun = runs.iter().filter(|run| run.attempt >= task.attempt);
            let begun = begun.map(|run| run.begun);
            let over = steps
                .iter()
                .filter(|step| step.state.is_final() && step.generation >= task.generation);
            let first = begun.chain(over.map(|step| step.at)).min();
            if first.is_some_and(|first| first > latest) {
                let what = format!(
                    "attempt {} of task {id} was due at {due}, nothing went wrong since {}, and it began at \
                     {first:?}",
                    task.attempt, self.history.calm_from
                );
                self.found(Invariant::OnTime, what);
            }
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
