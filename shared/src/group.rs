//! Groups in the tables: a record for the group, and blocks that say which members are done.
//!
//! A block is an item of the state table with the *set* of finished places among 250: adding a place
//! twice changes nothing, so that a member's end may be told as often as its message comes. A full block is a
//! member of a block above it, up to the one that is the root: no item is hot, none grows beyond a kilobyte.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::app::{App, GUARD_FOR};
use crate::canvas::Fails;
use crate::error::{Error, ErrorKind, Result};
use crate::failure::Failure;
use crate::id;
use crate::message::{Message, RECORDED};
use crate::ports::{Attribute, BoxFuture, Change, Field, Item, Key, Op, When, Write};
use crate::record::{Record, State, count, failure, field, is_expired, status};
use crate::time::Timestamp;

/// How many places a block holds: 250 numbers, names and keys stay below the kilobyte that one write unit
/// pays for.
const WIDTH: u32 = 250;

/// Attribute names of a block.
mod block {
    pub(super) const DONE: &str = "done";
    pub(super) const FAILED: &str = "failed";
}

/// A block's place: level 0 holds members, each level above the full blocks below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Block {
    pub(crate) level: u32,
    pub(crate) number: u32,
}

impl Block {
    /// Where a member counts.
    pub(crate) fn of(index: u32) -> Self {
        Self {
            level: 0,
            number: index / WIDTH,
        }
    }

    /// The place in its block.
    pub(crate) fn place(index: u32) -> i64 {
        (index % WIDTH).into()
    }

    /// How many places of the block a group of this size has.
    fn width(self, size: u32) -> u32 {
        units(self.level, size)
            .saturating_sub(self.number.saturating_mul(WIDTH))
            .min(WIDTH)
    }

    /// The block above, where this is not the root.
    pub(crate) fn above(self, size: u32) -> Option<Self> {
        (units(self.level, size) > WIDTH).then(|| Self {
            level: self.level + 1,
            number: self.number / WIDTH,
        })
    }

    fn key(self, group: &str) -> Key {
        let Self { level, number } = self;
        Key::State(
            format!("group#{group}#{level}#{number}"),
            "block".to_owned(),
        )
    }

    /// The first of the members that are counted here.
    pub(crate) fn first(self) -> u32 {
        self.number * WIDTH
    }

    /// The write that counts these places. It may be done twice. It is refused where an earlier group of this
    /// id has left a block that DynamoDB is late to remove: then these are to be written in its place.
    pub(crate) fn add(
        self,
        group: &str,
        done: &BTreeSet<i64>,
        failed: &BTreeSet<i64>,
        now: Timestamp,
    ) -> Write {
        let mut changes = vec![
            Change::AddToSet(block::DONE.into(), done.clone()),
            Change::Set(field::TTL.into(), (now + GUARD_FOR).as_secs().into()),
        ];
        if !failed.is_empty() {
            changes.push(Change::AddToSet(block::FAILED.into(), failed.clone()));
        }
        Write {
            key: self.key(group),
            op: Op::Update(changes),
            when: When::Not(Box::new(When::AtMost(
                field::TTL.into(),
                now.as_secs().into(),
            ))),
        }
    }
}

/// How many things a level counts: members, then blocks of the level below.
fn units(level: u32, size: u32) -> u32 {
    (0..level).fold(size, |units, _| units.div_ceil(WIDTH))
}

/// What a block says after a write that added to it.
pub(crate) struct Counted {
    pub(crate) full: bool,
    /// Whether one of its places has failed.
    pub(crate) failed: bool,
    /// Whether others had failed before, and none of these: then it isn't for these to tell of it.
    pub(crate) late: bool,
}

impl Counted {
    /// Of the item before and what was added.
    pub(crate) fn of(
        before: Option<&Item>,
        done: &BTreeSet<i64>,
        failed: &BTreeSet<i64>,
        block: Block,
        size: u32,
    ) -> Self {
        let width = block.width(size);
        let before = |name| before.map_or_else(BTreeSet::new, |item| places(item, name, width));
        let mut all = before(block::DONE);
        all.extend(done.range(0..width.into()));
        let failed_before = before(block::FAILED);
        Self {
            full: u32::try_from(all.len()).is_ok_and(|count| count >= width),
            failed: !failed_before.is_empty() || failed.range(0..width.into()).next().is_some(),
            late: !failed_before.is_empty() && failed_before.is_disjoint(failed),
        }
    }
}

/// The places of a block this wide. Others are nobody's: a message may name any.
fn places(item: &Item, name: &str, width: u32) -> BTreeSet<i64> {
    match item.get(name) {
        Some(Attribute::NumberSet(places)) => places.range(0..width.into()).copied().collect(),
        _ => BTreeSet::new(),
    }
}

/// The id of a group's member: of the group's, and its place.
pub(crate) fn member_id(group: &str, index: u32) -> String {
    id::derived(&[group, "member", &index.to_string()])
}

/// The id of the group of what a member adds to its own.
pub(crate) fn added_id(member: &str) -> String {
    id::derived(&[member, "added"])
}

/// What the record of a group says beyond a task's.
pub(crate) struct Header {
    pub(crate) item: Item,
    pub(crate) size: u32,
    /// The group's message, without its members.
    pub(crate) message: Message,
}

impl App {
    /// The group's record, if it has begun.
    ///
    /// # Errors
    /// As the store says; `Decode`, if it is damaged.
    pub(crate) async fn group(&self, id: &str) -> Result<Option<Header>> {
        let key = Key::Result(id.to_owned());
        let now = self.now();
        let item = self.ports().store.get(&key).await?;
        let Some(item) = item.filter(|item| !is_expired(item, now)) else {
            return Ok(None);
        };
        // Revoked or given up before it began, it has nothing but its end.
        let Some(kept) = item.get(field::GROUP).and_then(Attribute::as_text) else {
            return Ok(None);
        };
        let mut message = Message::decode(kept, id, now)?;
        // What stands for a task ends as that task does, and is told of by its name.
        let stands = message.fan_out.as_ref().map(|fan_out| fan_out.fails) == Some(Fails::Stands);
        if let Some(task) = item.get(field::TASK).and_then(Attribute::as_text)
            && stands
        {
            task.clone_into(&mut message.task);
        }
        Ok(Some(Header {
            size: count(&item, field::SIZE),
            message,
            item,
        }))
    }

    /// The record of a group with its result, which may be too long to stand in it.
    pub(crate) async fn whole(&self, mut record: Record) -> Result<Record> {
        if record.size.is_some()
            && record.status == State::Success
            && record.result.is_none()
            && let Some(header) = self.group(&record.id).await?
        {
            record.result = Some(self.results(&header).await?);
        }
        Ok(record)
    }

    /// How many members are done.
    pub(crate) async fn completed(&self, id: &str, size: u32) -> Result<u32> {
        let blocks = self.blocks(id, size).await?;
        let done: usize = blocks.iter().map(|(done, _)| done.len()).sum();
        Ok(u32::try_from(done).unwrap_or(u32::MAX))
    }

    /// The places whose members are counted, and those of them that have failed.
    pub(crate) async fn counted(
        &self,
        id: &str,
        size: u32,
    ) -> Result<(BTreeSet<u32>, BTreeSet<u32>)> {
        let (mut done, mut failed) = (BTreeSet::new(), BTreeSet::new());
        for (of_block, failed_there) in self.blocks(id, size).await? {
            done.extend(of_block);
            failed.extend(failed_there);
        }
        Ok((done, failed))
    }

    /// The first member that has failed.
    pub(crate) async fn first_failed(&self, id: &str, size: u32) -> Result<Option<u32>> {
        let blocks = self.blocks(id, size).await?;
        Ok(blocks
            .iter()
            .find_map(|(_, failed)| failed.first().copied()))
    }

    /// The same, block by block. One past its `ttl` is an earlier group's; a place that the group doesn't have
    /// is nobody's.
    async fn blocks(&self, id: &str, size: u32) -> Result<Vec<(BTreeSet<u32>, BTreeSet<u32>)>> {
        let blocks: Vec<Block> = blocks(size).collect();
        let keys: Vec<Key> = blocks.iter().map(|block| block.key(id)).collect();
        let items = self.ports().store.get_many(&keys).await?;
        let now = self.now();
        let members = |block: &Block, item: &Item, name| {
            let first = block.first();
            let places = places(item, name, block.width(size)).into_iter();
            let members = places.filter_map(|place| Some(first + u32::try_from(place).ok()?));
            members.collect()
        };
        let items = items.into_iter().map(Option::unwrap_or_default);
        let items = items.map(|item| match is_expired(&item, now) {
            true => Item::new(),
            false => item,
        });
        let blocks = blocks.iter().zip(items);
        let blocks = blocks.map(|(block, item)| {
            let done = members(block, &item, block::DONE);
            (done, members(block, &item, block::FAILED))
        });
        Ok(blocks.collect())
    }

    /// The results of a group's members, in order: a list, or of a group that collects a list of
    /// `{"ok": …}` and `{"error": …}`.
    ///
    /// # Errors
    /// As the store says; `NotFound` for a result that isn't there any more.
    pub(crate) async fn results(&self, header: &Header) -> Result<Value> {
        let results = self.results_up_to(usize::MAX, header).await?;
        Ok(results.unwrap_or_default())
    }

    /// The same; none, if there are more than so many in it or in a group in it.
    pub(crate) fn results_up_to<'a>(
        &'a self,
        most: usize,
        header: &'a Header,
    ) -> BoxFuture<'a, Result<Option<Value>>> {
        Box::pin(async move {
            let fan_out = header.message.fan_out.as_ref();
            let fails = fan_out.map(|fan_out| fan_out.fails).unwrap_or_default();
            let mut all = Vec::new();
            let fits = self.gather(header, fails, most, &mut all).await?;
            Ok(fits.then(|| match fails {
                Fails::Stands => all.pop().unwrap_or_default(),
                _ => Value::Array(all),
            }))
        })
    }

    /// Adds the results of a group's members to these: behind each member's those of what it has added to the
    /// group. False, if there are more than so many.
    fn gather<'a>(
        &'a self,
        header: &'a Header,
        fails: Fails,
        most: usize,
        results: &'a mut Vec<Value>,
    ) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let group = &header.message.id;
            let size = usize::try_from(header.size).unwrap_or(usize::MAX);
            if results.len().saturating_add(size) > most {
                return Ok(false);
            }
            let settled = |settled: std::result::Result<Value, Failure>| match (fails, settled) {
                (Fails::Collect, Ok(value)) => Some(json!({ "ok": value })),
                (Fails::Collect, Err(error)) => Some(json!({ "error": error })),
                (_, value) => value.ok(),
            };
            for record in self.members(group, header.size).await? {
                let value = match (record.status, record.result) {
                    (State::Success, None) if record.size.is_some() => {
                        let inner = self.group(&record.id).await?;
                        let inner = inner.ok_or_else(|| gone(group, &record.id))?;
                        let Some(inner) = self.results_up_to(most, &inner).await? else {
                            return Ok(false);
                        };
                        settled(Ok(inner))
                    }
                    (State::Success | State::Ignored, result) => {
                        settled(Ok(result.unwrap_or_default()))
                    }
                    (State::Failure | State::Revoked, _) => {
                        record.error.and_then(|error| settled(Err(error)))
                    }
                    // It was counted as failed, and is redriven since.
                    (State::Retry | State::Started, _) if record.generation > 0 => {
                        let error = record.error.unwrap_or_else(|| redriven(self.now()));
                        settled(Err(error))
                    }
                    _ => None,
                };
                results.push(value.ok_or_else(|| gone(group, &record.id))?);
                if !record.added {
                    continue;
                }
                let added = added_id(&record.id);
                let header = self.group(&added).await?;
                // All its members are done, but where it never began, was given up, or its own group has ended
                // before it: by who was redriven since.
                let is_whole = |header: &Header| match status(&header.item) {
                    Some(State::Success) => true,
                    Some(State::Failure) => {
                        let error = header.item.get(field::ERROR).and_then(failure);
                        error.is_some_and(|error| error.kind == CHORD_ERROR)
                    }
                    _ => false,
                };
                if let Some(header) = header.filter(is_whole) {
                    if !self.gather(&header, fails, most, results).await? {
                        return Ok(false);
                    }
                    continue;
                }
                let error = self.record(&added).await?.error;
                let error = error.unwrap_or_else(|| redriven(self.now()));
                results.push(settled(Err(error)).ok_or_else(|| gone(group, &added))?);
            }
            Ok(true)
        })
    }

    /// The records of a group's members, in order.
    pub(crate) async fn members(&self, group: &str, size: u32) -> Result<Vec<Record>> {
        self.members_at(group, 0..size).await
    }

    /// The records of some of a group's members.
    pub(crate) async fn members_at(
        &self,
        group: &str,
        places: impl IntoIterator<Item = u32>,
    ) -> Result<Vec<Record>> {
        let ids = places.into_iter().map(|index| member_id(group, index));
        let ids: Vec<String> = ids.collect();
        let keys: Vec<Key> = ids.iter().map(|id| Key::Result(id.clone())).collect();
        let items = self.ports().store.get_many(&keys).await?;
        let now = self.now();
        let records = ids.iter().zip(&items);
        records
            .map(|(id, item)| Record::read(id, item.as_ref(), now))
            .collect()
    }
}

/// The blocks that hold members.
pub(crate) fn blocks(size: u32) -> impl Iterator<Item = Block> {
    (0..units(1, size)).map(|number| Block { level: 0, number })
}

fn gone(group: &str, member: &str) -> Error {
    let what = format!("the result of member {member} of group {group} isn't there any more");
    Error::new(ErrorKind::NotFound, what)
}

/// What a group that collects has of a member whose failure a redrive has taken away.
fn redriven(at: Timestamp) -> Failure {
    Failure {
        kind: "Redriven".to_owned(),
        message: "it had failed, and was redriven before its group ended".to_owned(),
        causes: Vec::new(),
        retries: 0,
        at,
    }
}

/// The error of a group that failed, as Celery calls it.
pub(crate) const CHORD_ERROR: &str = "ChordError";

/// Celery's words for a group that failed by one of its members.
pub(crate) fn chord_error(member: &str, error: &Failure, at: Timestamp) -> Failure {
    Failure {
        kind: CHORD_ERROR.to_owned(),
        message: format!(
            "Dependency {member} raised {}({:?})",
            error.kind, error.message
        ),
        causes: vec![error.to_string()],
        retries: 0,
        at,
    }
}

/// The attributes that make a record a group's: its size, and its message without the members.
///
/// # Errors
/// `TooLarge`, for a body, callbacks or what the members are handed that would fill the record.
pub(crate) fn header_fields(message: &Message, size: usize) -> Result<Vec<(Field, Attribute)>> {
    let mut kept = message.clone();
    if let Some(fan_out) = &mut kept.fan_out {
        fan_out.members = Vec::new();
    }
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    let kept = kept.encode()?;
    if kept.len() > RECORDED {
        let bytes = kept.len();
        let what = format!(
            "what follows the group and what its members are handed have {bytes} bytes together; a record \
             holds {RECORDED}: give its tasks references in place of the data"
        );
        return Err(Error::new(ErrorKind::TooLarge, what));
    }
    Ok(vec![
        (field::SIZE.into(), size.into()),
        (field::GROUP.into(), kept.into()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The widths of the blocks of each level, root last.
    fn tree(size: u32) -> Vec<Vec<u32>> {
        let mut levels = vec![];
        let mut level = 0;
        loop {
            let blocks = units(level + 1, size);
            let widths = (0..blocks).map(|number| Block { level, number }.width(size));
            levels.push(widths.collect());
            if (Block { level, number: 0 }).above(size).is_none() {
                return levels;
            }
            level += 1;
        }
    }

    #[test]
    fn blocks_make_a_tree_with_one_root() {
        assert_eq!(tree(1), [[1]]);
        assert_eq!(tree(250), [[250]]);
        assert_eq!(tree(251), [vec![250, 1], vec![2]]);
        let large = tree(100_000);
        assert_eq!(large.iter().map(Vec::len).collect::<Vec<_>>(), [400, 2, 1]);
        assert_eq!(large[1], [250, 150]);
        assert_eq!(large[2], [2]);
    }

    #[test]
    fn a_full_block_is_one_write_unit() {
        let done: BTreeSet<i64> = (0..250).collect();
        let write = Block {
            level: 0,
            number: 399,
        }
        .add(
            "0197a3c4-9f1c-7d3e-8c1f-2b7a6f0e9d10",
            &done,
            &done,
            Timestamp::from_millis(1_772_366_400_000),
        );
        let Op::Update(changes) = write.op else {
            panic!()
        };
        let mut item: Item = changes
            .into_iter()
            .filter_map(|change| match change {
                Change::Set(name, value) => Some((name, value)),
                Change::AddToSet(name, places) => Some((name, Attribute::NumberSet(places))),
                _ => None,
            })
            .collect();
        item.remove(block::FAILED);
        for (name, value) in write.key.attributes() {
            item.insert(name.into(), value.into());
        }
        assert!(crate::ports::item_size(&item) <= 1024);
    }
}
