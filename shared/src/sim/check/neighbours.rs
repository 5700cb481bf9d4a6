//! What tasks must not do to each other: kill, starve, outlast.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{DEATHS, Invariant, Judge};
use crate::options::Options;
use crate::ports::QueueName;
use crate::record::State;
use crate::sim::history::{Caller, End, Run, SentTask, Step};

impl Judge<'_> {
    /// Panics end bodies, not processes.
    pub(super) fn processes(&mut self) {
        let invocations = &self.history.invocations;
        let panicked = invocations.iter().position(|invoked| invoked.panicked);
        if let Some(number) = panicked {
            let what = format!("a panic ended the process of invocation {number}");
            self.found(Invariant::Neighbours, what);
        }
    }

    /// No body goes on beyond its limit, and none is stopped sooner for want of time, if that was known
    /// before it was claimed.
    pub(super) fn limits(&mut self, id: &str, options: &Options, steps: &[Step], runs: &[&Run]) {
        const AT_ONCE: Duration = Duration::from_millis(100);
        for run in runs {
            let Some(invoked) = self.history.invocations.get(run.invocation as usize) else {
                continue;
            };
            let Some((ended, end)) = run.ended else {
                continue;
            };
            let ran = ended.since(run.begun);
            let given = run.stopped_there.since(run.begun_there);
            if !invoked.frozen && ran > given + AT_ONCE {
                let what = format!(
                    "a body of task {id} had {given:?} in invocation {} and ran for {ran:?}",
                    run.invocation
                );
                self.found(Invariant::Neighbours, what);
            }
            if end != End::Stopped {
                continue;
            }
            // What a fresh invocation would have given it, less a second that it may spend before.
            let whole = self.rules.timeout;
            let margin = Duration::from_millis(1500).min(whole / 4);
            let fresh = (whole - margin).saturating_sub(Duration::from_secs(1));
            let own = run.limit.or(options.time_limit);
            let waited = run
                .claimed_there
                .since(run.begun_there - run.begun.since(invoked.begun));
            let left = (whole - margin).saturating_sub(waited);
            if left + AT_ONCE < own.unwrap_or(fresh / 2).min(fresh) {
                let what = format!(
                    "a body of task {id} was stopped in invocation {}, of which {left:?} were left when it \
                     was claimed; it may take {own:?}",
                    run.invocation
                );
                self.found(Invariant::Neighbours, what);
            }
            let failed = steps.iter().any(|step| {
                step.state == State::Failure
                    && step.by == Caller::Invocation(run.invocation)
                    && step.error_kind.as_deref() == Some("TimeLimit")
            });
            let fair = own.unwrap_or(fresh).min(fresh - Duration::from_secs(1));
            if failed && ran + AT_ONCE < fair {
                let what = format!(
                    "task {id} failed at a time limit after {ran:?}; it may take {own:?}, of {fresh:?} in a \
                     fresh invocation"
                );
                self.found(Invariant::Neighbours, what);
            }
        }
    }

    /// A task that has killed its process often enough isn't run again.
    fn given_up(&mut self, id: &str) {
        let mut deaths: BTreeMap<u32, usize> = BTreeMap::new();
        for run in self.runs_of(id) {
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

    pub(super) fn neighbours(&mut self, id: &str, name: &str, steps: &[Step], sent: &[&SentTask]) {
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
                // Elsewhere its process dies in company, whoever is there.
                let counts = !self.rules.quarantine
                    || invoked.queue.is_fifo()
                    || invoked.queue.as_str() == QueueName::QUARANTINE;
                invoked.killed && alone && counts
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
}
