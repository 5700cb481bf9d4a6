//! What must hold of the dead letters: those with a reason, all of those, and what they say.

use std::collections::{BTreeMap, BTreeSet};

use super::{Invariant, Judge, is_last};
use crate::record::{ATTEMPTS_KEPT, State};
use crate::sim::history::{Caller, DeadLetter, Run, Step};

impl<'a> Judge<'a> {
    pub(super) fn dead_letters(&mut self) {
        let history = self.history;
        for letter in &history.dead_letters {
            match &letter.id {
                Some(id) => self.letter_of_a_task(letter, id),
                None => self.undecodable(letter),
            }
        }
        self.none_missing();
        self.none_twice();
    }

    /// The failures of a task that are dead letters, oldest first; of each life one.
    fn deaths(&self, id: &str) -> Vec<&'a Step> {
        let steps = self.history.steps.get(id).into_iter().flatten();
        let mut deaths: Vec<&'a Step> = steps.filter(|step| self.is_dead(step)).collect();
        // Copies that are recorded once more change nothing; a later life does.
        deaths.dedup_by_key(|step| step.generation);
        deaths
    }

    fn is_dead(&self, step: &Step) -> bool {
        let kind = step.error_kind.as_deref();
        step.state == State::Failure && kind.is_some_and(|kind| self.rules.dead.contains(&kind))
    }

    fn letter_of_a_task(&mut self, letter: &DeadLetter, id: &str) {
        let history = self.history;
        let steps = history.steps.get(id).map_or(&[][..], Vec::as_slice);
        let Some(reason) = letter.reason.as_deref() else {
            if !steps.iter().any(|step| step.state.is_final()) {
                let what = format!(
                    "the dead letter {} of task {id} has no reason",
                    letter.message_id
                );
                self.found(Invariant::DeadLetters, what);
            }
            // Else its deletes failed until the broker moved it away: a copy of what is over.
            return;
        };
        let deaths = self.deaths(id);
        let life = letter.task.as_ref().map(|task| task.generation);
        let death = deaths.iter().copied().find(|death| {
            let kind = death.error_kind.as_deref() == Some(reason);
            kind && death.error == letter.error && Some(death.generation) == life
        });
        let Some(death) = death else {
            let recorded: Vec<_> = deaths
                .iter()
                .map(|step| (&step.error_kind, &step.error))
                .collect();
            let what = format!(
                "the dead letter {} of task {id} says {reason}: {:?}; recorded is {recorded:?}",
                letter.message_id, letter.error
            );
            self.found(Invariant::DeadLetters, what);
            return;
        };
        let same = |(name, arguments): (&str, &str)| {
            let said = letter.task.as_ref();
            said.is_some_and(|said| said.name == name && said.arguments == arguments)
        };
        let sent = history.sent.iter().filter(|sent| !is_last(&sent.queue));
        let mut sent = sent.filter_map(|sent| sent.task.as_ref());
        if !sent.any(|task| task.id == id && same((&task.name, &task.arguments))) {
            let what = format!(
                "the dead letter {} of task {id} holds what nobody sent: {}",
                letter.message_id, letter.body
            );
            self.found(Invariant::DeadLetters, what);
        }
        self.attempts(letter, id, steps, death);
    }

    /// A letter says how often the task ran: each of its attempts that ran once at least, and no more often
    /// than it was claimed.
    fn attempts(&mut self, letter: &DeadLetter, id: &str, steps: &[Step], death: &Step) {
        // Up to then: it may have had another life since.
        let runs = self.runs_of(id).iter();
        let runs = runs.filter(|run| run.begun <= death.at);
        let claims = steps.iter().take_while(|step| !std::ptr::eq(*step, death));
        let claims = claims.filter(|step| step.state == State::Started).count();
        let claimed = |run: &&&Run| {
            let by = Caller::Invocation(run.invocation);
            let mut steps = steps.iter();
            steps.any(|step| step.by == by && step.state == State::Started)
        };
        // An idempotent task runs without a claim, and with one after a retry.
        let unclaimed = runs.clone().filter(|run| !claimed(run));
        let most = claims + unclaimed.count();
        let least: BTreeSet<u32> = runs.filter(claimed).map(|run| run.attempt).collect();
        let said = letter.attempts.map(|said| said as usize);
        // Of a task that was redriven again and again its record tells the last ten runs only.
        let least_said = least.len().min(ATTEMPTS_KEPT);
        if said.is_none_or(|said| said < least_said || said > most) {
            let what = format!(
                "the dead letter {} of task {id} says that it ran {said:?} times; {} attempts did, with \
                 {most} claims",
                letter.message_id,
                least.len()
            );
            self.found(Invariant::DeadLetters, what);
        }
    }

    fn undecodable(&mut self, letter: &DeadLetter) {
        let mut sent = self.history.sent.iter();
        let sent = sent.find(|sent| sent.message_id == letter.message_id && !is_last(&sent.queue));
        let is_sound = letter.reason.as_deref() == Some("Undecodable")
            && letter.error.is_some()
            && sent.is_some_and(|sent| sent.body == letter.body);
        if !is_sound {
            let what = format!(
                "the dead letter {} has no task, the reason {:?} and the body {}",
                letter.message_id, letter.reason, letter.body
            );
            self.found(Invariant::DeadLetters, what);
        }
    }

    /// Whether whoever wrote this had a message of the task.
    fn was_received(&self, id: &String, step: &Step) -> bool {
        let Caller::Invocation(number) = step.by else {
            return true;
        };
        let place = usize::try_from(number).ok();
        let invocation = place.and_then(|place| self.history.invocations.get(place));
        invocation.is_none_or(|invocation| invocation.ids.contains(id))
    }

    fn none_missing(&mut self) {
        let history = self.history;
        let tasks = history.sent.iter().filter_map(|sent| sent.task.as_ref());
        let sent: BTreeSet<&String> = tasks.map(|task| &task.id).collect();
        // A step that was never sent has no message.
        for (id, steps) in history.steps.iter().filter(|(id, _)| sent.contains(id)) {
            // What was redriven since has none any more.
            let lives = steps.iter().map(|step| step.generation).max();
            let last = self.deaths(id).pop();
            // The letter of what was replaced is that of what stands for it.
            let last = last.filter(|death| Some(death.generation) == lives && !death.replaced);
            // It ended with the step before it, which was redriven since and has sent it in vain.
            let last = last.filter(|death| self.was_received(id, death));
            let mut letters = history.dead_letters.iter();
            let there = letters.any(|letter| letter.id.as_ref() == Some(id));
            if let Some(kind) = last
                .filter(|_| !there)
                .and_then(|last| last.error_kind.as_ref())
            {
                let what = format!("task {id} failed as {kind} and has no dead letter");
                self.found(Invariant::DeadLetters, what);
            }
        }
        let unread = history.sent.iter().filter(|sent| sent.task.is_none());
        for sent in unread.filter(|sent| !is_last(&sent.queue)) {
            let there = |letter: &DeadLetter| letter.message_id == sent.message_id;
            if !history.dead_letters.iter().any(there) {
                let id = &sent.message_id;
                let what = format!("message {id} can't be decoded and has no dead letter");
                self.found(Invariant::DeadLetters, what);
            }
        }
    }

    /// Whether two messages of one attempt were sent by who worked on it.
    fn sent_on_twice(&self, id: &str) -> bool {
        let mut attempts = BTreeSet::new();
        let sent = self
            .history
            .sent
            .iter()
            .filter(|sent| !is_last(&sent.queue));
        let mut sent_on = sent.filter(|sent| matches!(sent.by, Caller::Invocation(_)));
        sent_on.any(|sent| {
            let task = sent.task.as_ref().filter(|task| task.id == id);
            task.is_some_and(|task| !attempts.insert(task.attempt))
        })
    }

    /// A second letter of one death needs a reason: its message came again or was sent on twice, or the first
    /// letter was sent without an answer.
    fn none_twice(&mut self) {
        let history = self.history;
        let mut counted = BTreeSet::new();
        let mut met = BTreeMap::<&String, usize>::new();
        for letter in history
            .dead_letters
            .iter()
            .filter(|letter| letter.reason.is_some())
        {
            // The SDK has sent it twice, to the last byte.
            if counted.insert((&letter.message_id, &letter.dead_at)) {
                let id = letter.id.as_ref().unwrap_or(&letter.message_id);
                *met.entry(id).or_default() += 1;
            }
        }
        for (id, letters) in met {
            let deaths = self.deaths(id).len().max(1);
            if letters > deaths && !history.repeated.contains(id) && !self.sent_on_twice(id) {
                let what = format!(
                    "{id} has {letters} dead letters for {deaths} deaths, and its message never came again"
                );
                self.found(Invariant::DeadLetters, what);
            }
        }
    }
}
