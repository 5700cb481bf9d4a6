//! Watched groups: which are to be looked at and when, and what would be sent again.
//!
//! Whoever opens a group writes a watch in the state table, under the ten minutes in which the group was
//! opened. Beat comes by those ten minutes again and again, at the ages of [`LOOKS`], and has a worker look
//! at each group that still has its watch there. So a watch is written once and removed once, by the first
//! look that finds the group's end; and a look whose message is lost is made up for by the next.

use std::time::Duration;

use serde_json::Value;

use crate::app::{App, GUARD_FOR};
use crate::error::Result;
use crate::message::{FanOut, compress, decompress};
use crate::ports::{Attribute, ITEM_BYTES, Item, Key, Op, When, Write};
use crate::record::{field, is_expired};
use crate::time::Timestamp;

const fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

const fn days(days: u64) -> Duration {
    hours(days * 24)
}

/// The groups opened within so long lie together.
pub(crate) const SPAN: Duration = Duration::from_secs(600);
/// How many partitions they are spread over: each takes a thousand writes a second.
pub(crate) const SHARDS: u64 = 4;

/// How old a group is when it is looked at.
pub(crate) const LOOKS: [Duration; 19] = [
    Duration::from_secs(15 * 60),
    hours(1),
    hours(3),
    hours(6),
    hours(12),
    days(1),
    days(2),
    days(3),
    days(4),
    days(5),
    days(6),
    days(7),
    days(8),
    days(9),
    days(10),
    days(11),
    days(12),
    LONGEST,
    // For that look's message may be lost like any other.
    hours(13 * 24 + 6),
];

/// Of what was heard of for so long nothing waits in a queue any more: SQS keeps a message of ours for four
/// days.
pub(crate) const GONE: Duration = days(5);
/// What is still missing at this age of its group is given up: its record, its counts and the results of
/// its members are kept for a day longer.
pub(crate) const LONGEST: Duration = days(13);
/// A message that wasn't heard of for so long may be sent again.
pub(crate) const PATIENCE: Duration = hours(1);
/// The same, where nothing tells how long messages wait.
pub(crate) const BLIND_PATIENCE: Duration = hours(12);

/// The beginning of the ten minutes.
pub(crate) fn span(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(number(at, SPAN) * millis(SPAN))
}

/// The spans whose groups come to one of the ages after `after`, and not after `until`.
pub(crate) fn due(after: Timestamp, until: Timestamp) -> impl Iterator<Item = Timestamp> {
    LOOKS.into_iter().flat_map(move |age| {
        // The last of its groups is of that age.
        let (span, age) = (millis(SPAN), millis(age + SPAN));
        let ended = |at: Timestamp| (at.as_millis() - age).div_euclid(span);
        (ended(after) + 1..=ended(until)).map(move |number| Timestamp::from_millis(number * span))
    })
}

/// Which of the spans of this length an instant is in.
pub(crate) fn number(at: Timestamp, span: Duration) -> i64 {
    at.as_millis().div_euclid(millis(span))
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The partitions in which the watches of a span are.
pub(crate) fn partitions(span: Timestamp) -> impl Iterator<Item = String> {
    (0..SHARDS).map(move |shard| partition(span, shard))
}

fn partition(span: Timestamp, shard: u64) -> String {
    format!("groups#{span}#{shard}")
}

/// Which of the partitions an id is in.
pub(crate) fn shard(id: &str) -> u64 {
    // FNV-1a: ids that somebody chose need not be spread.
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash >> 32) % SHARDS
}

fn watch(group: &str, span: Timestamp) -> Key {
    Key::State(partition(span, shard(group)), group.to_owned())
}

/// Writes that a group which was opened then is watched, and what its members are. They may be done twice.
pub(crate) fn begin(group: &str, fan_out: &FanOut, opened: Timestamp) -> Vec<Write> {
    let ttl = || Attribute::from((opened + GUARD_FOR).as_secs());
    let put = |key, mut item: Item, when| {
        item.insert(field::TTL.into(), ttl());
        Write {
            key,
            op: Op::Put(item),
            when,
        }
    };
    // DynamoDB is late to remove those of an earlier group of this id.
    let is_old = || When::AtMost(field::TTL.into(), opened.as_secs().into());
    let is_new = || When::Any(vec![When::Absent, is_old()]);
    let mut writes = vec![put(watch(group, span(opened)), Item::new(), When::Absent)];
    let before = usize::try_from(fan_out.first()).unwrap_or(usize::MAX);
    for (place, members) in pieces(&fan_out.members) {
        let first = before.saturating_add(place);
        let kept = compress(&Value::from(members.to_vec()).to_string());
        if kept.len() > ITEM_BYTES - 1024 {
            let bytes = kept.len();
            tracing::warn!(
                task_id = group,
                first,
                bytes,
                "too large to be sent again if it is lost"
            );
            continue;
        }
        let item = Item::from([(MEMBERS.into(), Attribute::Bytes(kept))]);
        let key = Key::State(kept_under(group), format!("{first:08}"));
        writes.push(put(key, item, is_new()));
    }
    writes
}

/// A write that ends the watch.
pub(crate) fn end(group: &str, span: Timestamp) -> Write {
    Write {
        key: watch(group, span),
        op: Op::Delete,
        when: When::Always,
    }
}

const MEMBERS: &str = "members";

fn kept_under(group: &str) -> String {
    format!("group#{group}#members")
}

/// Members that are kept together, with the place of the first: some 256 KB, which fit into an item
/// whatever they are.
fn pieces(members: &[Value]) -> Vec<(usize, &[Value])> {
    const PIECE: usize = 256 * 1024;
    let (mut pieces, mut first, mut bytes) = (Vec::new(), 0, 0);
    for (place, member) in members.iter().enumerate() {
        let more = member.to_string().len() + 1;
        if bytes + more > PIECE && place > first {
            pieces.extend(members.get(first..place).map(|piece| (first, piece)));
            (first, bytes) = (place, 0);
        }
        bytes += more;
    }
    let last = members.get(first..).filter(|piece| !piece.is_empty());
    pieces.extend(last.map(|piece| (first, piece)));
    pieces
}

impl App {
    /// What a group's members are, by their places; those that were too large to be kept are missing.
    ///
    /// # Errors
    /// As the store says.
    pub(crate) async fn kept_members(&self, group: &str, size: u32) -> Result<Vec<Option<Value>>> {
        let mut kept: Vec<Option<Value>> = (0..size).map(|_| None).collect();
        let (pk, now, mut after) = (kept_under(group), self.now(), None);
        loop {
            let page = self.ports().store.query(&pk, after.as_deref(), 100).await?;
            for item in page.items.iter().filter(|item| !is_expired(item, now)) {
                let Some((first, members)) = piece(item) else {
                    tracing::error!(task_id = group, "what is kept of its members can't be read");
                    continue;
                };
                let places = kept.iter_mut().skip(first);
                places
                    .zip(members)
                    .for_each(|(place, member)| *place = Some(member));
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(kept),
            }
        }
    }

    /// The groups that are watched in a partition, or the tasks that are entered in one, page by page: those
    /// after `after`, and after which to go on.
    ///
    /// # Errors
    /// As the store says.
    pub(crate) async fn listed(
        &self,
        partition: &str,
        after: Option<&str>,
    ) -> Result<(Vec<String>, Option<String>)> {
        const PAGE: u32 = 1000;
        let now = self.now();
        let page = self.ports().store.query(partition, after, PAGE).await?;
        let live = page.items.iter().filter(|item| !is_expired(item, now));
        let groups = live.filter_map(|item| item.get("sk")?.as_text().map(str::to_owned));
        Ok((groups.collect(), page.next))
    }
}

fn piece(item: &Item) -> Option<(usize, Vec<Value>)> {
    let first = item.get("sk")?.as_text()?.parse().ok()?;
    let Some(Attribute::Bytes(kept)) = item.get(MEMBERS) else {
        return None;
    };
    let text = decompress(kept)?;
    Some((first, serde_json::from_str(&text).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn looks_grow_rare_and_end_before_the_records_do() {
        assert!(LOOKS.is_sorted_by(|one, other| one < other));
        assert_eq!(LOOKS[0], Duration::from_secs(900));
        assert_eq!(LOOKS[4..6], [hours(12), days(1)]);
        // Twice what is missing then is given up, with time enough for the message of the last look to wait.
        let last = LOOKS.into_iter().filter(|age| *age >= LONGEST);
        assert_eq!(last.collect::<Vec<_>>(), [LONGEST, LONGEST + hours(6)]);
        assert!(LONGEST + hours(6) + SPAN + hours(12) < GUARD_FOR);
    }

    #[test]
    fn each_span_is_due_once_at_each_age() {
        let opened = at("2026-03-01T12:07:00Z");
        let span = span(opened);
        assert_eq!(span, at("2026-03-01T12:00:00Z"));
        let (mut now, mut seen) = (opened, Vec::new());
        while now < opened + days(15) {
            // As a tick comes: about each minute, and sometimes it doesn't.
            let next = now + Duration::from_secs(if seen.len() == 2 { 3000 } else { 61 });
            let due = due(now, next).filter(|one| *one == span).count();
            seen.extend((0..due).map(|_| next.since(span)));
            now = next;
        }
        assert_eq!(seen.len(), LOOKS.len());
        for (seen, age) in seen.into_iter().zip(LOOKS) {
            assert!(
                seen >= age + SPAN && seen < age + SPAN + hours(1),
                "{seen:?} {age:?}"
            );
        }
    }

    #[test]
    fn no_more_is_read_back_than_a_message_holds() {
        let item = |text: String| {
            let bytes = compress(&format!("[\"{text}\"]"));
            Item::from([
                ("sk".into(), "00000003".into()),
                (MEMBERS.into(), Attribute::Bytes(bytes)),
            ])
        };
        let (first, members) = piece(&item("x".repeat(1_000_000))).unwrap();
        assert_eq!((first, members.len()), (3, 1));
        assert_eq!(piece(&item("x".repeat(30_000_000))), None);
    }

    #[test]
    fn members_are_kept_in_pieces_that_fit() {
        let small: Vec<Value> = (0..1000).map(|n| format!("member {n}").into()).collect();
        assert_eq!(pieces(&small), [(0, &small[..])]);
        assert_eq!(pieces(&[]), []);
        let large: Vec<Value> = (0..5).map(|_| "x".repeat(100_000).into()).collect();
        let firsts: Vec<usize> = pieces(&large).iter().map(|(first, _)| *first).collect();
        assert_eq!(firsts, [0, 2, 4]);
        let huge = ["x".repeat(300_000).into(), Value::Null];
        let firsts: Vec<usize> = pieces(&huge).iter().map(|(first, _)| *first).collect();
        assert_eq!(firsts, [0, 1]);
    }
}
