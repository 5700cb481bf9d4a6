//! Parked tasks: those that are due in more than a quarter of an hour, for which no queue holds a message.
//!
//! A worker that meets a message which isn't due for longer than SQS can delay it (900 s) keeps it in the task's
//! record, with the time when it is due, and enters the task in the bucket of that minute. Ten minutes before the
//! minute beat has a worker send what is entered there ([`Promote`]), each delayed to the second.
//!
//! The record alone says whether a task is parked, and until when; an entry only says where to look. So a task is
//! cancelled or moved by one conditional write of its record, and an entry that is there twice, or in vain, does
//! no harm. Entries are made more than fourteen minutes ahead and read less than eleven minutes ahead, so that none
//! is missed between two clocks that differ by minutes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::app::{App, GUARD_FOR};
use crate::batches;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::failure::{ResultExt as _, TaskError};
use crate::id;
use crate::launch::outgoing;
use crate::message::{Message, compress, decompress};
use crate::options::{Options, exponential};
use crate::ports::{
    Attribute, Change, Field, Item, Key, Op, Outcome, Outgoing, QueueName, When, Write,
};
use crate::record::{State, count, field, instant, is_expired, status};
use crate::task::{Param, Task};
use crate::time::Timestamp;
use crate::watch::{self, SHARDS};

/// The tasks that are due within so long lie together.
const MINUTE: Duration = Duration::from_secs(60);
/// How long before its minute a bucket is promoted.
const AHEAD: Duration = Duration::from_secs(600);
/// When what is left in a bucket is looked for, after its minute: a promotion may have been lost.
const AFTER: [Duration; 2] = [Duration::from_secs(900), Duration::from_secs(86_400)];
/// Whoever enters a task this long ahead is before the promotion of its bucket, whatever their clocks say; who is
/// later sends its message as well.
pub(crate) const IN_TIME: Duration = Duration::from_secs(720);
/// How many tasks one message promotes: some seventy calls.
const AT_ONCE: usize = 500;
/// The largest message that is kept in a record.
const ROOM: usize = 200 * 1024;

/// What a record has besides its message while its task is parked: the message's attributes and its group, and
/// whether it is on its way.
const ATTRIBUTES: &str = "attributes";
const TENANT: &str = "group";
const SENT: &str = "sent";

fn bucket(due: Timestamp) -> i64 {
    watch::number(due, MINUTE)
}

fn partition(minute: i64, shard: u64) -> String {
    let begins = Timestamp::from_millis(minute * watch::millis(MINUTE));
    format!("due#{begins}#{shard}")
}

/// The partitions that come up after `after`, and not after `until`: to be promoted, or looked through once more. With
/// each, for the how manieth time.
pub(crate) fn due(after: Timestamp, until: Timestamp) -> impl Iterator<Item = (usize, String)> {
    let ahead = (bucket(after + AHEAD) + 1)..=bucket(until + AHEAD);
    let passed = AFTER.map(|passed| (bucket(after - passed) + 1)..=bucket(until - passed));
    let visits = std::iter::once(ahead).chain(passed).enumerate();
    visits.flat_map(|(visit, minutes)| {
        let all = minutes.flat_map(|minute| (0..SHARDS).map(move |shard| (minute, shard)));
        all.map(move |(minute, shard)| (visit, partition(minute, shard)))
    })
}

/// Writes that a task is to be looked for when it is due. It may be done twice.
pub(crate) fn entry(id: &str, due: Timestamp) -> Write {
    let key = Key::State(partition(bucket(due), watch::shard(id)), id.to_owned());
    // As long as its record: beat may be silent for days.
    let ttl = (due + GUARD_FOR).as_secs();
    Write {
        key,
        op: Op::Put(Item::from([(field::TTL.into(), ttl.into())])),
        when: When::Absent,
    }
}

/// Changes of a record that park a task: its message until it is due, and where it came from. `None` if it is too
/// large to be kept.
///
/// # Errors
/// `Encode`, for what can't be written.
pub(crate) fn kept(
    message: &Message,
    queue: &QueueName,
    sent: &Sent<'_>,
    due: Timestamp,
) -> Result<Option<Vec<(&'static str, Attribute)>>> {
    let mut message = message.clone();
    message.recorded = true;
    let body = compress(&message.encode()?);
    if body.len() > ROOM {
        return Ok(None);
    }
    let attributes = sent.attributes.iter();
    let attributes: Item = attributes
        .map(|(name, value)| (Field::from(name.clone()), value.as_str().into()))
        .collect();
    let mut parked = Item::from([(ATTRIBUTES.into(), Attribute::Map(attributes))]);
    if let Some(group) = sent.group {
        parked.insert(TENANT.into(), group.into());
    }
    let state = match message.attempt {
        0 => State::Pending,
        _ => State::Retry,
    };
    Ok(Some(vec![
        (field::TASK, message.task.as_str().into()),
        (field::STATUS, state.into()),
        (field::ATTEMPT, message.attempt.into()),
        (field::RETRIES, message.retries.into()),
        (field::QUEUE, queue.as_str().into()),
        (field::DUE_AT, due.into()),
        (field::MESSAGE, Attribute::Bytes(body)),
        (field::PARKED, Attribute::Map(parked)),
        (field::TTL, (due + GUARD_FOR).as_secs().into()),
    ]))
}

/// What SQS said of a message beside its body.
pub(crate) struct Sent<'a> {
    pub(crate) group: Option<&'a str>,
    pub(crate) attributes: &'a BTreeMap<String, String>,
}

/// Until when a record's task is parked, if it is. Its message may be on its way by then.
pub(crate) fn until(item: &Item) -> Option<Timestamp> {
    let waits = matches!(status(item), Some(State::Pending | State::Retry));
    let parked = waits && item.contains_key(field::PARKED);
    instant(item, field::DUE_AT).filter(|_| parked)
}

fn is_sent(item: &Item) -> bool {
    matches!(item.get(field::PARKED), Some(Attribute::Map(parked)) if parked.contains_key(SENT))
}

/// The message of a parked task, as it is sent now, and its queue. It is due when the record says.
pub(crate) fn message(item: &Item, now: Timestamp) -> Option<Result<(QueueName, Outgoing)>> {
    message_at(item, until(item)?, now)
}

/// The message of a task that was revoked while it was parked, if others wait for what becomes of it.
fn revoked(item: &Item, now: Timestamp) -> Option<Result<(QueueName, Outgoing)>> {
    if status(item) != Some(State::Revoked) {
        return None;
    }
    let Some(Attribute::Bytes(body)) = item.get(field::MESSAGE) else {
        return None;
    };
    let message = Message::decode(&decompress(body)?, "", now).ok()?;
    match message.is_plain() {
        true => None,
        false => message_at(item, now, now),
    }
}

fn message_at(
    item: &Item,
    due: Timestamp,
    now: Timestamp,
) -> Option<Result<(QueueName, Outgoing)>> {
    let queue = QueueName::new(item.get(field::QUEUE)?.as_text()?);
    let (Attribute::Bytes(body), Attribute::Map(parked)) =
        (item.get(field::MESSAGE)?, item.get(field::PARKED)?)
    else {
        return None;
    };
    let text = decompress(body)?;
    Some(sent_again(&text, &queue, due, parked, now).map(|outgoing| (queue, outgoing)))
}

fn sent_again(
    body: &str,
    queue: &QueueName,
    due: Timestamp,
    parked: &Item,
    now: Timestamp,
) -> Result<Outgoing> {
    // It has an id, and no times that count from its being sent.
    let mut message = Message::decode(body, "", now)?;
    message.eta = Some(due);
    let mut outgoing = outgoing(&message, queue, now)?;
    outgoing.group = parked
        .get(TENANT)
        .and_then(Attribute::as_text)
        .map(str::to_owned);
    if let Some(Attribute::Map(attributes)) = parked.get(ATTRIBUTES) {
        let texts = attributes.iter().filter_map(|(name, value)| {
            Some((name.clone().into_owned(), value.as_text()?.to_owned()))
        });
        outgoing.attributes = texts.collect();
    }
    Ok(outgoing)
}

/// Sends the messages of parked tasks that are due soon; beat calls it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Promote {
    ids: Vec<String>,
}

impl Promote {
    /// The messages that promote these tasks.
    pub(crate) fn messages(ids: &[String], new_id: impl Fn(&[String]) -> String) -> Vec<Message> {
        let parts = ids.chunks(AT_ONCE).map(|ids| {
            let mut message = Message::new(new_id(ids), Self::NAME);
            message.kwargs.insert("ids".to_owned(), ids.to_vec().into());
            message
        });
        parts.collect()
    }
}

impl Task for Promote {
    const NAME: &'static str = "sedano.promote";
    const PARAMS: &'static [Param] = &[Param::required("ids")];
    const OPTIONS: Options = Options::new()
        .retry_for_ever()
        .backoff(exponential(Duration::from_secs(2)).cap(Duration::from_secs(60)))
        .idempotent(true)
        .ignore_result(true);
    type Output = ();

    async fn run(self, ctx: &Context) -> std::result::Result<(), TaskError> {
        const TRIES: u32 = 4;
        let app = ctx.app();
        let mut pause = Duration::from_millis(100);
        for _ in 0..TRIES {
            let Err(error) = app.promote_all(&self.ids).await else {
                return Ok(());
            };
            tracing::warn!(%error, "parked tasks couldn't be sent; trying again");
            app.ports().clock.sleep(pause).await;
            pause *= 4;
        }
        // As another message: of two copies of this one the other may have been acknowledged.
        Ok(app.promote_later(&self.ids, ctx.id()).await.retry()?)
    }
}

impl App {
    /// Moves a task that isn't due yet: it becomes due at `eta` instead. To a later time any task with a record
    /// that waits, for its due time or for a retry; to an earlier one only a task that is parked, which one is
    /// that was sent over 15 minutes ahead, as soon as a worker has seen its message.
    ///
    /// ```
    /// # use sedano::{task, tasks, App, TaskError, memory::Memory, Worker};
    /// # use std::time::Duration;
    /// # #[task] async fn remind(whom: String) {}
    /// # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(async {
    /// # let app = Memory::default().app().tasks(tasks![remind]);
    /// # let worker = Worker::new(app.clone());
    /// let sent = app.send(remind::s("Ada".to_owned()).countdown(Duration::from_secs(86_400))).await?;
    /// worker.run_once().await?;
    /// let due = sent.record().await?.due_at.unwrap();
    /// app.reschedule(sent.id(), due + Duration::from_secs(3600)).await?;
    /// # Ok::<(), sedano::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `Conflict`, if it runs, is final, has no record, or can only be put off; if it changes meanwhile.
    pub async fn reschedule(&self, id: &str, eta: Timestamp) -> Result<()> {
        let (ports, now) = (self.ports(), self.now());
        let conflict =
            |what: String| Err(Error::new(ErrorKind::Conflict, format!("task {id} {what}")));
        let item = ports.store.get(&Key::Result(id.to_owned())).await?;
        let Some(item) = item.filter(|item| !is_expired(item, now)) else {
            return conflict(
                "has no record: it is unknown, or due within 15 minutes, or no worker has seen it yet".to_owned(),
            );
        };
        let state = status(&item).unwrap_or(State::Pending);
        let (State::Pending | State::Retry, Some(due)) = (state, instant(&item, field::DUE_AT))
        else {
            return conflict(format!("is {state}: it can't be moved any more"));
        };
        let parked = until(&item).is_some();
        if eta < due && !parked {
            return conflict(format!(
                "is on its way, due at {due}: it can be put off, but not brought forward"
            ));
        }
        if parked {
            // Before the record says so, lest nobody looks there.
            ports.store.write(entry(id, eta)).await?;
        }
        let mut changes = vec![
            Change::Set(field::DUE_AT.into(), eta.into()),
            Change::Set(field::TTL.into(), (eta + GUARD_FOR).as_secs().into()),
        ];
        if let Some(Attribute::Map(kept)) = item.get(field::PARKED) {
            let mut kept = kept.clone();
            kept.remove(SENT);
            changes.push(Change::Set(field::PARKED.into(), Attribute::Map(kept)));
        }
        let write = Write {
            key: Key::Result(id.to_owned()),
            op: Op::Update(changes),
            when: When::All(vec![
                When::Eq(field::STATUS.into(), state.into()),
                When::Eq(field::DUE_AT.into(), due.into()),
                When::Eq(field::ATTEMPT.into(), count(&item, field::ATTEMPT).into()),
            ]),
        };
        if let Outcome::Refused(there) = ports.store.write(write).await? {
            // Its own, whose answer was lost.
            let own = there.is_some_and(|there| {
                status(&there) == Some(state)
                    && instant(&there, field::DUE_AT) == Some(eta)
                    && count(&there, field::ATTEMPT) == count(&item, field::ATTEMPT)
            });
            if !own {
                return conflict("changes just now: look at it, and try again".to_owned());
            }
        }
        // Its bucket may be promoted already.
        if parked && eta.since(now) <= IN_TIME {
            let mut moved = item;
            moved.insert(field::DUE_AT.into(), eta.into());
            if let Some(message) = message(&moved, now) {
                let (queue, outgoing) = message?;
                let sent = ports.queue.send(&queue, vec![outgoing]).await?;
                let sent = sent.into_iter().next();
                sent.unwrap_or_else(|| Err(batches::unanswered()))?;
            }
        }
        Ok(())
    }

    /// Has these tasks promoted once more, in a while.
    async fn promote_later(&self, ids: &[String], id: &str) -> Result<()> {
        const PAUSE: Duration = Duration::from_secs(20);
        let (queue, again) = (&self.ports().queue, id::derived(&[id, "again"]));
        for message in Promote::messages(ids, |_| again.clone()) {
            let mut outgoing = Outgoing::new(message.encode()?);
            outgoing.delay = PAUSE;
            let name = QueueName::new(QueueName::DEFAULT);
            let sent = queue.send(&name, vec![outgoing]).await?.into_iter().next();
            sent.unwrap_or_else(|| Err(batches::unanswered()))?;
        }
        Ok(())
    }

    /// Sends the messages of those of these tasks that are parked and due before SQS's longest delay is over.
    /// Whoever is due later was moved, and is entered elsewhere.
    pub(crate) async fn promote_all(&self, ids: &[String]) -> Result<()> {
        let (store, queue) = (&self.ports().store, &self.ports().queue);
        let keys: Vec<Key> = ids.iter().cloned().map(Key::Result).collect();
        let items = store.get_many(&keys).await?;
        let now = self.now();
        let (mut messages, mut failed) = (Vec::new(), None);
        for (key, item) in keys.into_iter().zip(items) {
            let Some(item) = item.filter(|item| !is_expired(item, now) && !is_sent(item)) else {
                continue;
            };
            if let Some(told) = revoked(&item, now) {
                // Whoever waits for what follows it hears of it when its message comes.
                match told {
                    Ok((queue, outgoing)) => messages.push((queue, outgoing, over(key))),
                    Err(error) => tracing::error!(?key, %error, "what follows isn't told"),
                }
                continue;
            }
            let Some(due) = until(&item).filter(|due| due.since(now) <= IN_TIME) else {
                continue;
            };
            match message(&item, now) {
                Some(Ok((queue, outgoing))) => {
                    messages.push((queue, outgoing, sent(key, &item, due)));
                }
                Some(Err(error)) => tracing::error!(?key, %error, "a parked task can't be sent"),
                None => tracing::error!(?key, "what is kept of its message can't be read"),
            }
        }
        let mut writes = Vec::new();
        for (write, answer) in batches::send(&**queue, messages).await {
            match answer {
                Ok(_) => writes.push(write),
                Err(error) if error.is_retryable() => failed = Some(error),
                Err(error) => {
                    tracing::error!(key = ?write.key, %error, "a parked task can't be sent")
                }
            }
        }
        // Refused: it runs already, or was moved or revoked.
        for outcome in store.write_many(writes).await {
            if let Err(error) = outcome {
                failed = Some(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

/// Writes that a revoked task isn't parked any more.
fn over(key: Key) -> Write {
    Write {
        key,
        op: Op::Update(vec![Change::Remove(field::PARKED.into())]),
        when: When::Eq(field::STATUS.into(), State::Revoked.into()),
    }
}

/// Writes that a task's message is on its way.
fn sent(key: Key, item: &Item, due: Timestamp) -> Write {
    let state = status(item).unwrap_or(State::Pending);
    let mut parked = match item.get(field::PARKED) {
        Some(Attribute::Map(parked)) => parked.clone(),
        _ => Item::new(),
    };
    parked.insert(SENT.into(), Attribute::Bool(true));
    Write {
        key,
        op: Op::Update(vec![Change::Set(
            field::PARKED.into(),
            Attribute::Map(parked),
        )]),
        when: When::All(vec![
            When::Eq(field::STATUS.into(), state.into()),
            When::Eq(field::DUE_AT.into(), due.into()),
        ]),
    }
}
