//! The result backend as a process sees it: the one in memory, behind faults. Each write that is
//! applied is a step in the history of its record.

use std::sync::Arc;

use async_trait::async_trait;

use super::history::{Caller, Step};
use super::process::{Process, Shared, at_once};
use crate::canvas::GROUP;
use crate::checkpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::parked;
use crate::ports::{Attribute, Item, Key, Outcome, Page, Store, Write};
use crate::record::{State, count, failure, field, instant, status};
use crate::time::Timestamp;

/// A [`Store`] for one process.
pub(super) struct SimStore(pub(super) Arc<Process>);

/// A call, as the log has it.
#[derive(Debug)]
enum Request {
    Get(Key),
    GetMany(Vec<Key>),
    Query(String, Option<String>, u32),
    Write(Vec<Write>),
}

impl SimStore {
    /// Remembers that a process didn't hear what became of a task's record.
    fn unanswered<T>(&self, key: &Key, answer: &Result<T>) {
        if let (Err(_), Key::Result(id), Caller::Invocation(number)) =
            (answer, key, self.0.caller())
        {
            let now = self.0.shared.clock.now();
            let mut history = self.0.shared.history();
            history.unanswered.insert((number, id.clone()), now);
        }
    }
}

/// Adds what the record became, if the write was applied.
fn note(shared: &Shared, by: &Caller, key: &Key, outcome: &Result<Outcome>) {
    let (Key::Result(id), Ok(Outcome::Applied(_))) = (key, outcome) else {
        return;
    };
    let item = at_once(shared.memory.store().get(key)).ok().flatten();
    let item = item.unwrap_or_default();
    let step = step(shared, by, &item);
    let mut history = shared.history();
    history.steps.entry(id.clone()).or_default().push(step);
    if parked::until(&item).is_some() {
        history.parked.insert(id.clone());
        shared.parked.notify_one();
    } else if history.parked.remove(id) {
        shared.changed.notify_waiters();
    }
}

fn step(shared: &Shared, by: &Caller, item: &Item) -> Step {
    let error = item.get(field::ERROR).and_then(failure);
    let ttl = item.get(field::TTL).and_then(Attribute::as_number);
    let outcome = [field::RESULT, field::ERROR, field::FINISHED_AT];
    Step {
        at: shared.clock.now(),
        by: by.clone(),
        state: status(item).unwrap_or(State::Pending),
        attempt: count(item, field::ATTEMPT),
        generation: count(item, field::GENERATION),
        retries: count(item, field::RETRIES),
        due_at: instant(item, field::DUE_AT),
        replaced: item.contains_key(field::GROUP)
            && item.get(field::TASK).and_then(Attribute::as_text) != Some(GROUP),
        error_kind: error.as_ref().map(|failure| failure.kind.clone()),
        error: error.map(|failure| failure.message),
        checkpoints: checkpoint::of(item),
        owner: item
            .get(field::OWNER)
            .and_then(Attribute::as_text)
            .map(str::to_owned),
        requested: item.contains_key(field::REVOKE_REQUESTED),
        reported: [field::PROGRESS, field::CUSTOM].map(|name| item.get(name).cloned()),
        ttl: ttl.map(|seconds| Timestamp::from_millis(seconds.saturating_mul(1000))),
        outcome: outcome.map(|name| item.get(name).cloned()).into(),
    }
}

#[async_trait]
impl Store for SimStore {
    async fn get(&self, key: &Key) -> Result<Option<Item>> {
        self.0.outage().await?;
        let shared = self.0.shared.clone();
        let apply = move |request: &Request| match request {
            Request::Get(key) => at_once(shared.memory.store().get(key)),
            _ => Ok(None),
        };
        let answer = self.0.call(Request::Get(key.clone()), apply).await;
        self.unanswered(key, &answer);
        answer
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Item>>> {
        self.0.outage().await?;
        let shared = self.0.shared.clone();
        let apply = move |request: &Request| match request {
            Request::GetMany(keys) => at_once(shared.memory.store().get_many(keys)),
            _ => Ok(Vec::new()),
        };
        self.0.call(Request::GetMany(keys.to_vec()), apply).await
    }

    async fn query(&self, pk: &str, after: Option<&str>, limit: u32) -> Result<Page> {
        self.0.outage().await?;
        let shared = self.0.shared.clone();
        let apply = move |request: &Request| match request {
            Request::Query(pk, after, limit) => {
                at_once(shared.memory.store().query(pk, after.as_deref(), *limit))
            }
            _ => Ok(Page::default()),
        };
        let request = Request::Query(pk.to_owned(), after.map(str::to_owned), limit);
        self.0.call(request, apply).await
    }

    async fn write(&self, write: Write) -> Result<Outcome> {
        let key = write.key.clone();
        if let Err(error) = self.0.outage().await {
            let answer = Err(error);
            self.unanswered(&key, &answer);
            return answer;
        }
        let (shared, by) = (self.0.shared.clone(), self.0.caller());
        let apply = move |request: &Request| match request {
            Request::Write(writes) => {
                let Some(write) = writes.first() else {
                    return Ok(Outcome::Refused(None));
                };
                let outcome = at_once(shared.memory.store().write(write.clone()));
                note(&shared, &by, &write.key, &outcome);
                outcome
            }
            _ => Ok(Outcome::Refused(None)),
        };
        let answer = self.0.call(Request::Write(vec![write]), apply).await;
        self.unanswered(&key, &answer);
        answer
    }

    async fn write_many(&self, writes: Vec<Write>) -> Vec<Result<Outcome>> {
        let faults = self.0.shared.faults();
        let draw = |rate: f64| self.0.random.chance(rate);
        let fates: Vec<(bool, bool)> = writes
            .iter()
            .map(|_| (draw(faults.entry_failed), draw(faults.untold)))
            .collect();
        let keys: Vec<Key> = writes.iter().map(|write| write.key.clone()).collect();
        let (shared, by) = (self.0.shared.clone(), self.0.caller());
        let apply = move |request: &Request| match request {
            Request::Write(writes) => Ok(batch(&shared, &by, writes, &fates)),
            _ => Ok(Vec::new()),
        };
        let called = match self.0.outage().await {
            Ok(()) => self.0.call(Request::Write(writes), apply).await,
            Err(error) => Err(error),
        };
        let answers = match called {
            Ok(answers) => answers,
            Err(error) => {
                let (kind, text) = (error.kind(), error.to_string());
                let each = keys.iter().map(|_| Err(Error::new(kind, text.clone())));
                each.collect()
            }
        };
        for (key, answer) in keys.iter().zip(&answers) {
            self.unanswered(key, answer);
        }
        answers
    }
}

/// The writes that don't fail on their own, in one call of the service.
fn batch(
    shared: &Shared,
    by: &Caller,
    writes: &[Write],
    fates: &[(bool, bool)],
) -> Vec<Result<Outcome>> {
    let sound = writes.iter().zip(fates).filter(|(_, (fails, _))| !fails);
    let sound: Vec<Write> = sound.map(|(write, _)| write.clone()).collect();
    let keys: Vec<Key> = sound.iter().map(|write| write.key.clone()).collect();
    let answers = at_once(async { Ok(shared.memory.store().write_many(sound).await) });
    let answers = answers.unwrap_or_default();
    if fates.iter().any(|(fails, _)| *fails) {
        shared.fired("entry_failed");
    }
    for (key, answer) in keys.iter().zip(&answers) {
        note(shared, by, key, answer);
    }
    let mut answers = answers.into_iter();
    let place = |(fails, untold): &(bool, bool)| match (fails, untold) {
        (true, _) => Some(Err(Error::new(ErrorKind::Throttled, "this write failed"))),
        (false, true) => answers.next().map(|answer| match answer {
            Ok(Outcome::Refused(Some(_))) => {
                shared.fired("untold");
                Ok(Outcome::Refused(None))
            }
            other => other,
        }),
        (false, false) => answers.next(),
    };
    fates.iter().filter_map(place).collect()
}
