//! Random items, writes and conditions: the interpreter in memory keeps the laws of logic, and a write that
//! isn't applied changes nothing.

#![no_main]

use std::collections::BTreeSet;

use arbitrary::{Result as Drawn, Unstructured};
use libfuzzer_sys::fuzz_target;
use sedano::memory::MemoryStore;
use sedano::ports::{Attribute, Change, Field, Item, Key, Op, Outcome, Store as _, When, Write};
use sedano::{ErrorKind, Result};
use sedano_fuzz::{in_virtual_time, system};

fuzz_target!(|data: &[u8]| {
    in_virtual_time(async {
        if let Ok(case) = Case::draw(&mut Unstructured::new(data)) {
            let (memory, _) = system();
            case.logic(memory.store()).await;
            case.writes(memory.store()).await;
        }
    });
});

struct Case {
    key: Key,
    first: Option<Item>,
    when: When,
    other: When,
    op: Op,
}

/// What a condition answers.
type Answer = Result<bool, ErrorKind>;

impl Case {
    fn draw(u: &mut Unstructured<'_>) -> Drawn<Self> {
        let key = match u.ratio(1, 8)? {
            true => Key::Result(u.arbitrary()?),
            false => Key::Result("1".to_owned()),
        };
        Ok(Self {
            key,
            first: match u.arbitrary()? {
                true => Some(item(u, 0)?),
                false => None,
            },
            when: when(u, 0)?,
            other: when(u, 0)?,
            op: op(u)?,
        })
    }

    fn write(&self, op: Op, when: When) -> Write {
        let key = self.key.clone();
        Write { key, op, when }
    }

    /// Whether the condition holds of the first item: a deletion under it tells, in a store that holds
    /// nothing else.
    async fn holds(&self, store: &MemoryStore, when: &When) -> Answer {
        let _ = store.write(self.write(Op::Delete, When::Always)).await;
        if let Some(item) = &self.first {
            let _ = store
                .write(self.write(Op::Put(item.clone()), When::Always))
                .await;
        }
        let deletion = self.write(Op::Delete, when.clone());
        match store.write(deletion).await {
            Ok(Outcome::Applied(_)) => Ok(true),
            Ok(Outcome::Refused(_)) => Ok(false),
            Err(error) => {
                assert!(error.to_string().len() < 5_000);
                Err(error.kind())
            }
        }
    }

    async fn logic(&self, store: &MemoryStore) {
        let (a, b) = (&self.when, &self.other);
        let not = |when: &When| When::Not(Box::new(when.clone()));
        let all = |parts: &[When]| When::All(parts.to_vec());
        let any = |parts: &[When]| When::Any(parts.to_vec());
        let is_a = self.holds(store, a).await;
        let is_b = self.holds(store, b).await;
        let both = match (is_a, is_b) {
            (Ok(a), Ok(b)) => Ok((a, b)),
            (Err(kind), _) | (_, Err(kind)) => Err(kind),
        };
        assert_eq!(self.holds(store, &not(a)).await, is_a.map(|is| !is));
        assert_eq!(self.holds(store, &all(std::slice::from_ref(a))).await, is_a);
        assert_eq!(self.holds(store, &any(std::slice::from_ref(a))).await, is_a);
        let parts = [a.clone(), b.clone()];
        assert_eq!(
            self.holds(store, &all(&parts)).await,
            both.map(|(a, b)| a && b)
        );
        assert_eq!(
            self.holds(store, &any(&parts)).await,
            both.map(|(a, b)| a || b)
        );
        let neither = all(&[not(a), not(b)]);
        assert_eq!(
            self.holds(store, &not(&any(&parts))).await,
            self.holds(store, &neither).await
        );
        if let When::AtMost(name, value) = a {
            let parts = [
                When::Below(name.clone(), value.clone()),
                When::Eq(name.clone(), value.clone()),
            ];
            assert_eq!(self.holds(store, &any(&parts)).await, is_a);
        }
    }

    async fn writes(&self, aside: &MemoryStore) {
        let (memory, _) = system();
        let store = memory.store();
        if let Some(item) = &self.first {
            let put = self.write(Op::Put(item.clone()), When::Always);
            if store.write(put).await.is_ok() {
                self.read_back(store, aside).await;
            }
        }
        let Ok(before) = store.get(&self.key).await else {
            return;
        };
        let outcome = store
            .write(self.write(self.op.clone(), self.when.clone()))
            .await;
        let after = match store.get(&self.key).await {
            Ok(after) => after,
            Err(error) => panic!("{error}"),
        };
        match outcome {
            Ok(Outcome::Applied(old)) => {
                assert_eq!(old, before);
                assert_eq!(self.holds(aside, &self.when).await, Ok(true));
                assert!(self.op != Op::Delete || after.is_none());
            }
            Ok(Outcome::Refused(old)) => {
                assert_eq!(old, before);
                assert_eq!(after, before);
                assert_eq!(self.holds(aside, &self.when).await, Ok(false));
            }
            Err(_) => assert_eq!(after, before),
        }
        self.in_a_batch(after).await;
    }

    /// What is stored is stored again as it is, and equals itself.
    async fn read_back(&self, store: &MemoryStore, aside: &MemoryStore) {
        let Ok(Some(item)) = store.get(&self.key).await else {
            panic!("written and not there");
        };
        for (name, value) in &item {
            let is = When::Eq(name.clone(), value.clone());
            assert_eq!(self.holds(aside, &is).await, Ok(true), "{name}: {value:?}");
        }
        let put = self.write(Op::Put(item.clone()), When::Present);
        let again = store.write(put).await;
        assert!(
            matches!(&again, Ok(Outcome::Applied(Some(old))) if *old == item),
            "{again:?}"
        );
        let now = store.get(&self.key).await;
        assert!(matches!(&now, Ok(Some(now)) if *now == item), "{now:?}");
    }

    /// The same write among others leaves the same.
    async fn in_a_batch(&self, alone: Option<Item>) {
        let (memory, _) = system();
        let store = memory.store();
        if let Some(item) = &self.first {
            let _ = store
                .write(self.write(Op::Put(item.clone()), When::Always))
                .await;
        }
        let beside = Write {
            key: Key::Result("beside".to_owned()),
            op: Op::Put(Item::new()),
            when: When::Always,
        };
        let writes = vec![self.write(self.op.clone(), self.when.clone()), beside];
        let outcomes = store.write_many(writes).await;
        assert_eq!(outcomes.len(), 2);
        if self.key != Key::Result("beside".to_owned()) {
            assert!(matches!(outcomes[1], Ok(Outcome::Applied(_))));
            assert_eq!(store.get(&self.key).await.ok().flatten(), alone);
        }
    }
}

/// Few names, so that conditions meet what is there.
fn name(u: &mut Unstructured<'_>) -> Drawn<Field> {
    Ok(Field::from(*u.choose(&["a", "b", "c", "id", "ttl"])?))
}

fn text(u: &mut Unstructured<'_>) -> Drawn<String> {
    match u.ratio(1, 4)? {
        true => u.arbitrary(),
        false => Ok((*u.choose(&["", "a", "b", "\u{ffff}"])?).to_owned()),
    }
}

fn number(u: &mut Unstructured<'_>) -> Drawn<i64> {
    match u.arbitrary()? {
        true => u.arbitrary(),
        false => Ok(*u.choose(&[0, 1, -1, i64::MAX, i64::MIN])?),
    }
}

fn numbers(u: &mut Unstructured<'_>) -> Drawn<BTreeSet<i64>> {
    (0..u.int_in_range(0..=3)?).map(|_| number(u)).collect()
}

fn item(u: &mut Unstructured<'_>, depth: usize) -> Drawn<Item> {
    let mut item = Item::new();
    for _ in 0..u.int_in_range(0..=4)? {
        item.insert(name(u)?, attribute(u, depth + 1)?);
    }
    Ok(item)
}

fn attribute(u: &mut Unstructured<'_>, depth: usize) -> Drawn<Attribute> {
    // As deep as DynamoDB takes, and deeper.
    let sorts = if depth > 40 { 7 } else { 10 };
    Ok(match u.int_in_range(0..=sorts)? {
        0 => Attribute::Text(text(u)?),
        1 => Attribute::Number(number(u)?),
        2 => Attribute::Decimal(u.arbitrary()?),
        3 => Attribute::Bool(u.arbitrary()?),
        4 => Attribute::Bytes(u.arbitrary()?),
        5 => Attribute::TextSet(u.arbitrary()?),
        6 => Attribute::NumberSet(numbers(u)?),
        7 => Attribute::Null,
        8 => Attribute::Map(item(u, depth)?),
        9 => Attribute::List(list(u, depth)?),
        _ => Attribute::List(vec![attribute(u, depth + 1)?]),
    })
}

fn list(u: &mut Unstructured<'_>, depth: usize) -> Drawn<Vec<Attribute>> {
    (0..u.int_in_range(0..=3)?)
        .map(|_| attribute(u, depth + 1))
        .collect()
}

fn when(u: &mut Unstructured<'_>, depth: usize) -> Drawn<When> {
    let sorts = if depth > 6 { 7 } else { 10 };
    Ok(match u.int_in_range(0..=sorts)? {
        0 => When::Always,
        1 => When::Absent,
        2 => When::Present,
        3 => When::Has(name(u)?),
        4 => When::Eq(name(u)?, attribute(u, 0)?),
        5 => When::Below(name(u)?, attribute(u, 0)?),
        6 => When::AtMost(name(u)?, attribute(u, 0)?),
        7 => When::Contains(name(u)?, number(u)?),
        8 => When::Not(Box::new(when(u, depth + 1)?)),
        9 => When::All(parts(u, depth)?),
        _ => When::Any(parts(u, depth)?),
    })
}

fn parts(u: &mut Unstructured<'_>, depth: usize) -> Drawn<Vec<When>> {
    (0..u.int_in_range(0..=3)?)
        .map(|_| when(u, depth + 1))
        .collect()
}

fn op(u: &mut Unstructured<'_>) -> Drawn<Op> {
    Ok(match u.int_in_range(0..=3)? {
        0 => Op::Put(item(u, 0)?),
        1 => Op::Delete,
        _ => Op::Update(
            (0..u.int_in_range(0..=3)?)
                .map(|_| change(u))
                .collect::<Drawn<_>>()?,
        ),
    })
}

fn change(u: &mut Unstructured<'_>) -> Drawn<Change> {
    Ok(match u.int_in_range(0..=4)? {
        0 => Change::Set(name(u)?, attribute(u, 0)?),
        1 => Change::Add(name(u)?, number(u)?),
        2 => Change::AddToSet(name(u)?, numbers(u)?),
        3 => Change::Append(name(u)?, list(u, 0)?),
        _ => Change::Remove(name(u)?),
    })
}
