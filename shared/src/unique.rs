//! Unique tasks: of those with one key one is at work at a time, or one in a period.
//!
//! A key is an item of the state table (`pk` is `unique#<hash>`), and says whose it is. Senders take it by one
//! conditional write before they send; workers do it for what comes from senders that can't: foreign ones, steps of a
//! workflow, schedules. Whoever records the end of a task gives its key back.
//!
//! A sender may die, or never hear an answer, between the key and the message. So the message is kept with the key:
//! whoever is refused, and finds that nobody has seen the task yet, sends it as it was first meant, and takes it out of
//! the item. Sent twice it takes effect once, for both bear one id, and its record is kept as long as copies may come.
//! A key whose task has ended is anybody's; and so is one past its `ttl`, which bounds what any mistake costs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;

use crate::app::{App, GUARD_FOR};
use crate::batches;
use crate::bind::{Args, Kwargs};
use crate::context::DUE;
use crate::engine::{Branch, Rule, reached};
use crate::error::{Error, ErrorKind, Result};
use crate::id;
use crate::launch::outgoing;
use crate::message::{Message, compress, decompress};
use crate::options::Options;
use crate::ports::{Attribute, Change, Item, Key, Op, Outcome, Outgoing, QueueName, When, Write};
use crate::record::{field, is_expired, status};
use crate::signature::Call;
use crate::task::{TaskDef, Tasks, nearest};
use crate::time::Timestamp;

/// The id of the task that has the key.
const HOLDER: &str = "holder";
/// Whether it is kept for a period, whatever becomes of its task.
const LASTS: &str = "lasts";
/// The message's group.
const TENANT: &str = "group";
/// The largest message that is kept, compressed.
const ROOM: usize = 200 * 1024;
/// So often a key may change hands while one sender asks for it.
const TRIES: u32 = 5;

/// What a call says of its being unique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unique {
    /// It isn't.
    No,
    /// By its arguments, or those that its task chooses.
    Arguments,
    /// By this text.
    Key(String),
}

impl Unique {
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Unique::No => false.into(),
            Unique::Arguments => true.into(),
            Unique::Key(key) => key.as_str().into(),
        }
    }
}

/// A key, and how long it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) text: String,
    /// Without one, until its task is done.
    pub(crate) period: Option<Duration>,
}

/// The key that a call's sender is to take. None if it isn't unique, or if only a worker can tell its key.
pub(crate) fn of_call(call: &Call, tasks: &Tasks) -> Option<Wanted> {
    let Ok((args, kwargs)) = &call.arguments else {
        return None;
    };
    // What a schedule sends has a record of its own for each due time, and is left out in that.
    if call.headers.contains_key(DUE) {
        return None;
    }
    let def = tasks.find(&call.task);
    let name = def.map_or(call.task.as_str(), |def| def.name);
    let options = call.options.or(def.map(|def| def.options));
    let named = || match def {
        Some(def) => named(def, args, kwargs),
        // As its own type has written them, or in doubt its worker will.
        None => (args.is_empty() && call.options.is_some()).then(|| kwargs.clone()),
    };
    wanted(
        name,
        options.as_ref(),
        call.unique.as_ref(),
        call.unique_for,
        named,
    )
}

/// The key of a message whose sender has taken none.
pub(crate) fn of_message(message: &Message, def: &TaskDef) -> Option<Wanted> {
    let says = (message.unique.as_ref(), message.unique_for);
    let named = || named(def, &message.args, &message.kwargs);
    wanted(def.name, Some(&def.options), says.0, says.1, named)
}

/// Arguments that don't fit have no names: their task fails, and nobody waits for that.
fn named(def: &TaskDef, args: &Args, kwargs: &Kwargs) -> Option<Kwargs> {
    // The argument types are user code.
    let named = || def.named(args.clone(), kwargs.clone());
    catch_unwind(AssertUnwindSafe(named)).ok()?.ok()
}

fn wanted(
    task: &str,
    options: Option<&Options>,
    says: Option<&Unique>,
    period: Option<Duration>,
    named: impl FnOnce() -> Option<Kwargs>,
) -> Option<Wanted> {
    let own = options.filter(|options| options.unique);
    let text = match says {
        Some(Unique::No) => return None,
        None if own.is_none() && period.is_none() => return None,
        Some(Unique::Key(key)) => id::derived(&["unique key", task, key]),
        Some(Unique::Arguments) | None => {
            let mut named = named()?;
            let by = options.map_or(&[][..], |options| options.unique_by);
            if !by.is_empty() {
                named.retain(|name, _| by.contains(&name.as_str()));
            }
            let mut text = String::new();
            write_canonical(&Value::Object(named), &mut text);
            id::derived(&["unique", task, &text])
        }
    };
    let period = period.or(own.and_then(|options| options.unique_for));
    Some(Wanted { text, period })
}

/// JSON whose objects are in the order of their names.
fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            text.push('{');
            for (place, (name, value)) in members.into_iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                write_canonical(value, text);
            }
            text.push('}');
        }
        Value::Array(list) => {
            text.push('[');
            for (place, value) in list.iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                write_canonical(value, text);
            }
            text.push(']');
        }
        plain => text.push_str(&plain.to_string()),
    }
}

/// What is wrong with a task that is unique by what it doesn't have.
pub(crate) fn unknown_parameter(task: &TaskDef) -> Option<String> {
    let has = |name: &str| task.params.iter().any(|param| param.name == name);
    let mut by = task.options.unique_by.iter();
    let name = by.find(|name| !task.params.is_empty() && !has(name))?;
    let near = nearest(name, task.params.iter().map(|param| param.name));
    let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    Some(format!(
        "is unique by `{name}`, which is no parameter of it{hint}"
    ))
}

/// A key that is to be taken, and for whom.
#[derive(Debug, Clone)]
pub(crate) struct Taking {
    key: Key,
    item: Item,
    id: String,
}

impl Taking {
    /// By a sender, who keeps the message with it.
    ///
    /// # Errors
    /// `TooLarge`, if it has no room there.
    pub(crate) fn by_sender(
        wanted: Wanted,
        id: &str,
        queue: &QueueName,
        outgoing: &Outgoing,
        due: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Self> {
        let kept = compress(&outgoing.body);
        if kept.len() > ROOM {
            let what = format!(
                "task {id} is unique, and has {} KB when it is compressed; {} KB are allowed: send a reference to \
                 the data instead",
                kept.len() / 1024,
                ROOM / 1024
            );
            return Err(Error::new(ErrorKind::TooLarge, what));
        }
        let from = due.map_or(now, |due| due.max(now));
        let mut taking = Self::by_worker(&wanted, id, from);
        if let Some(period) = wanted.period {
            taking
                .item
                .insert(field::TTL.into(), ends(now + period).into());
        }
        let item = &mut taking.item;
        item.insert(field::MESSAGE.into(), Attribute::Bytes(kept));
        item.insert(field::QUEUE.into(), queue.as_str().into());
        if let Some(group) = &outgoing.group {
            item.insert(TENANT.into(), group.as_str().into());
        }
        Ok(taking)
    }

    /// By a worker, who has the message.
    pub(crate) fn by_worker(wanted: &Wanted, id: &str, now: Timestamp) -> Self {
        let mut item = Item::from([(HOLDER.into(), id.into())]);
        let until = match wanted.period {
            Some(period) => {
                item.insert(LASTS.into(), Attribute::Bool(true));
                now + period
            }
            // Its end frees it; this is for the case that nobody records one.
            None => now + GUARD_FOR,
        };
        item.insert(field::TTL.into(), ends(until).into());
        Self {
            key: key_of(&wanted.text),
            item,
            id: id.to_owned(),
        }
    }

    fn write(&self, when: When) -> Write {
        Write {
            key: self.key.clone(),
            op: Op::Put(self.item.clone()),
            when,
        }
    }

    /// Where nothing is: in words that share a call.
    pub(crate) fn first_write(&self) -> Write {
        self.write(When::Absent)
    }

    fn if_free(&self, now: Timestamp) -> Write {
        let over = When::AtMost(field::TTL.into(), now.as_secs().into());
        self.write(When::Any(vec![When::Absent, over]))
    }
}

/// In whole seconds, not before.
fn ends(at: Timestamp) -> i64 {
    (at + Duration::from_millis(999)).as_secs()
}

fn key_of(text: &str) -> Key {
    Key::State(format!("unique#{text}"), HOLDER.to_owned())
}

fn held_by(holder: &str) -> When {
    When::Eq(HOLDER.into(), holder.into())
}

/// Gives a key back, if it is this task's. DynamoDB removes the item for nothing, as one past its time.
pub(crate) fn free(text: &str, id: &str, now: Timestamp, fenced: bool) -> Write {
    let past = (now - Duration::from_secs(3600)).as_secs();
    Write {
        key: key_of(text),
        op: Op::Update(vec![
            Change::Set(field::TTL.into(), past.into()),
            Change::Remove(HOLDER.into()),
            Change::Remove(field::MESSAGE.into()),
        ]),
        when: match fenced {
            true => held_by(id),
            false => When::Present,
        },
    }
}

/// What became of wanting a key.
#[derive(Debug)]
pub(crate) enum Taken {
    /// It is this task's.
    Mine,
    /// It is the task's with this id, which will end.
    By(String),
    /// The sender has no right to the tables: a worker will take it.
    Left,
}

/// The message without its key, for a worker to take.
///
/// # Errors
/// `Decode`, for what nobody here has written.
pub(crate) fn left(body: &str, now: Timestamp) -> Result<String> {
    let mut message = Message::decode(body, "", now)?;
    message.unique_held = None;
    message.encode()
}

impl App {
    /// Takes a key for a sender.
    pub(crate) async fn take(&self, taking: &Taking) -> Result<Taken> {
        or_leave(self.take_for(taking).await)
    }

    /// Takes many; calls are shared by those that are free.
    pub(crate) async fn take_many(&self, takings: Vec<Option<Taking>>) -> Vec<Result<Taken>> {
        let mut seen = std::collections::BTreeSet::new();
        let mut firsts = Vec::new();
        for taking in takings.iter().flatten() {
            if seen.insert(&taking.key) {
                firsts.push(taking);
            }
        }
        let writes = firsts.iter().map(|taking| taking.first_write()).collect();
        let written = self.ports().store.write_many(writes).await;
        let mut free: std::collections::BTreeMap<&str, Result<Outcome>> = firsts
            .iter()
            .map(|taking| taking.id.as_str())
            .zip(written)
            .collect();
        let answers = takings.iter().map(|taking| {
            let first = taking
                .as_ref()
                .and_then(|taking| free.remove(taking.id.as_str()));
            async move {
                match (taking, first) {
                    (None, _) | (_, Some(Ok(Outcome::Applied(_)))) => Ok(Taken::Mine),
                    (_, Some(Err(error))) => or_leave(Err(error)),
                    (Some(taking), _) => self.take(taking).await,
                }
            }
        });
        join_all(answers).await
    }

    /// Takes a key, or finds out whose it is, and that this task will end.
    pub(crate) async fn take_for(&self, taking: &Taking) -> Result<Taken> {
        if !self.keeps(Rule::HoldKeys) {
            return Ok(Taken::Mine);
        }
        let store = &self.ports().store;
        let mut write = taking.if_free(self.now());
        for _ in 0..TRIES {
            let there = match store.write(write).await? {
                Outcome::Applied(_) => return Ok(Taken::Mine),
                Outcome::Refused(there) => there,
            };
            write = taking.if_free(self.now());
            let Some(there) = there else { continue };
            let Some(holder) = there.get(HOLDER).and_then(Attribute::as_text) else {
                // Given back since.
                continue;
            };
            if holder == taking.id {
                reached(Branch::OwnKey);
                return Ok(Taken::Mine);
            }
            let (lasts, kept) = (
                there.contains_key(LASTS),
                there.contains_key(field::MESSAGE),
            );
            if lasts && !kept {
                return Ok(Taken::By(holder.to_owned()));
            }
            let now = self.now();
            let record = store.get(&Key::Result(holder.to_owned())).await?;
            let record = record.filter(|record| !is_expired(record, now));
            match record.as_ref().map(status) {
                Some(Some(state)) if state.is_final() && !lasts => {
                    reached(Branch::KeyTakenOver);
                    write = taking.write(held_by(holder));
                }
                None if kept && self.keeps(Rule::SendForHolder) => {
                    self.send_for(taking, holder, &there).await?;
                    return Ok(Taken::By(holder.to_owned()));
                }
                _ => return Ok(Taken::By(holder.to_owned())),
            }
        }
        let what = format!(
            "the key of the unique task {} changes hands all the time: try again",
            taking.id
        );
        Err(Error::new(ErrorKind::Throttled, what))
    }

    /// Sends the message that is kept with a key, for whoever has taken that may have died before.
    async fn send_for(&self, taking: &Taking, holder: &str, there: &Item) -> Result<()> {
        let now = self.now();
        let Some((queue, outgoing)) = kept(there, now)? else {
            let what = format!("what is kept of task {holder} can't be read");
            return Err(Error::new(ErrorKind::Decode, what));
        };
        reached(Branch::SentForHolder);
        tracing::info!(task_id = holder, "sent again for whoever holds its key");
        let sent = self.ports().queue.send(&queue, vec![outgoing]).await?;
        let sent = sent.into_iter().next();
        sent.unwrap_or_else(|| Err(batches::unanswered()))?;
        let sent = Write {
            key: taking.key.clone(),
            op: Op::Update(vec![Change::Remove(field::MESSAGE.into())]),
            when: held_by(holder),
        };
        if let Err(error) = self.ports().store.write(sent).await {
            // The next one sends it once more.
            tracing::warn!(task_id = holder, %error, "that it was sent couldn't be written");
        }
        Ok(())
    }
}

fn or_leave(taken: Result<Taken>) -> Result<Taken> {
    match taken {
        Err(error) if error.kind() == ErrorKind::Denied => {
            tracing::debug!(%error, "a worker is to take the key of a unique task");
            Ok(Taken::Left)
        }
        taken => taken,
    }
}

fn kept(there: &Item, now: Timestamp) -> Result<Option<(QueueName, Outgoing)>> {
    let (Some(Attribute::Bytes(body)), Some(queue)) =
        (there.get(field::MESSAGE), there.get(field::QUEUE))
    else {
        return Ok(None);
    };
    let (Some(body), Some(queue)) = (decompress(body), queue.as_text()) else {
        return Ok(None);
    };
    let queue = QueueName::new(queue);
    let message = Message::decode(&body, "", now)?;
    let mut outgoing = outgoing(&message, &queue, now)?;
    if let Some(group) = there.get(TENANT).and_then(Attribute::as_text) {
        outgoing.group = Some(group.to_owned());
    }
    Ok(Some((queue, outgoing)))
}

/// Whose key that is, and whether it is held at this instant by a task rather than for a period: for the simulation.
#[cfg(feature = "sim")]
pub(crate) fn holder(item: &Item, now: Timestamp) -> Option<&str> {
    let held = !item.contains_key(LASTS) && !is_expired(item, now);
    item.get(HOLDER)?.as_text().filter(|_| held)
}
