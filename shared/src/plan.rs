//! How independent writes go to DynamoDB: which together in one `BatchExecuteStatement`, which
//! alone.
//!
//! The AWS adapter acts on the plan; the memory adapter counts calls and leaves old items untold by
//! it, so that a budget measured in memory is the one that ships.

use std::collections::BTreeSet;

use crate::config::StoreWrites;
use crate::error::{Error, ErrorKind};
use crate::ports::{Attribute, BATCH_WRITES, Change, Field, Key, Op, When, Write};

/// What becomes of each write, by its place in the list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Each the members of one batch call: two at least, [`BATCH_WRITES`] at most.
    pub(crate) batches: Vec<Vec<usize>>,
    /// One call each.
    pub(crate) single: Vec<usize>,
    /// A second write of a key that the list has already.
    pub(crate) repeated: Vec<usize>,
}

impl Plan {
    /// The plan for these writes.
    pub(crate) fn new(writes: &[Write], mode: StoreWrites) -> Self {
        let mut plan = Self::default();
        let mut keys: BTreeSet<&Key> = BTreeSet::new();
        let mut together = Vec::new();
        for (index, write) in writes.iter().enumerate() {
            if !keys.insert(&write.key) {
                plan.repeated.push(index);
            } else if mode == StoreWrites::Batch && is_batchable(write) {
                together.push(index);
            } else {
                plan.single.push(index);
            }
        }
        for chunk in together.chunks(BATCH_WRITES) {
            match chunk {
                // A lone write goes singly: it costs the same and tells the old item.
                [lone] => plan.single.push(*lone),
                several => plan.batches.push(several.to_vec()),
            }
        }
        plan.single.sort_unstable();
        plan
    }
}

/// The error of a [`repeated`](Plan::repeated) write.
pub(crate) fn repeated(write: &Write) -> Error {
    Error::new(
        ErrorKind::Invalid,
        format!(
            "two of the writes given at once are for {:?}: write one after the other",
            write.key
        ),
    )
}

/// Whether PartiQL says the same as the write. `INSERT` is a put where nothing is; `UPDATE` never
/// creates, so the condition must need the item.
fn is_batchable(write: &Write) -> bool {
    match (&write.op, &write.when) {
        (Op::Put(_), When::Absent) => true,
        // An addition to an absent number fails as a statement; the adapter then repeats it singly.
        // Appending goes singly at once: DynamoDB documents LIST_APPEND, but what it does could not
        // be tried on any emulator. So does adding to a set, which may be absent without an error.
        (Op::Update(changes), when) => {
            let can_be_said = |change: &Change| {
                matches!(
                    change,
                    Change::Set(..) | Change::Remove(_) | Change::Add(..)
                )
            };
            !changes.is_empty()
                && changes.iter().all(can_be_said)
                && equalities(when).is_some_and(|list| !list.is_empty())
        }
        _ => false,
    }
}

/// The condition as a list of equalities that must all hold, if it is that.
pub(crate) fn equalities(when: &When) -> Option<Vec<(&Field, &Attribute)>> {
    match when {
        When::Eq(field, value) => Some(vec![(field, value)]),
        When::All(list) => {
            let lists: Option<Vec<_>> = list.iter().map(equalities).collect();
            Some(lists?.concat())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Item;

    fn insert(id: usize) -> Write {
        Write {
            key: Key::Result(id.to_string()),
            op: Op::Put(Item::new()),
            when: When::Absent,
        }
    }

    fn update(id: usize, when: When) -> Write {
        let changes = vec![Change::Set("a".into(), 1_i64.into())];
        Write {
            key: Key::Result(id.to_string()),
            op: Op::Update(changes),
            when,
        }
    }

    fn eq(name: &'static str) -> When {
        When::Eq(name.into(), 1_i64.into())
    }

    #[test]
    fn batches_are_of_25_and_a_lone_write_goes_singly() {
        let writes: Vec<Write> = (0..51).map(insert).collect();
        let plan = Plan::new(&writes, StoreWrites::Batch);
        assert_eq!(
            plan.batches.iter().map(Vec::len).collect::<Vec<_>>(),
            [25, 25]
        );
        assert_eq!(plan.single, [50]);
        let plan = Plan::new(&writes[..2], StoreWrites::Single);
        assert_eq!(
            plan,
            Plan {
                single: vec![0, 1],
                ..Plan::default()
            }
        );
    }

    #[test]
    fn only_what_partiql_says_alike_is_batched() {
        let writes = [
            update(0, eq("a")),
            update(1, When::All(vec![eq("a"), When::All(vec![eq("b")])])),
            update(2, When::All(vec![])),
            update(3, When::Always),
            update(4, When::Any(vec![eq("a")])),
            Write {
                when: When::Always,
                ..insert(5)
            },
            Write {
                op: Op::Delete,
                ..update(6, eq("a"))
            },
            Write {
                op: Op::Update(vec![Change::AddToSet("n".into(), [1].into())]),
                ..update(7, eq("a"))
            },
            insert(0),
        ];
        let plan = Plan::new(&writes, StoreWrites::Batch);
        assert_eq!(plan.batches, [vec![0, 1]]);
        assert_eq!(plan.single, [2, 3, 4, 5, 6, 7]);
        assert_eq!(plan.repeated, [8]);
    }
}
