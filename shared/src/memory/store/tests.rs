//! Costs, time and what a batch leaves untold; the semantics that AWS shares are in
//! `tests/conformance`.

use std::time::Duration;

use super::*;
use crate::SeededEntropy;
use crate::config::Config;
use crate::memory::{Memory, TokioClock};
use crate::ports::{Change, When};
use crate::time::Timestamp;

fn memory() -> Memory {
    let clock = Arc::new(TokioClock::starting_at(Timestamp::from_millis(
        1_772_366_400_000,
    )));
    Memory::with(&Config::memory(), clock, Arc::new(SeededEntropy::new(1)))
}

fn key(id: &str) -> Key {
    Key::Result(id.to_owned())
}

fn insert(id: &str, bytes: usize) -> Write {
    let item = Item::from([("a".into(), Attribute::Text("x".repeat(bytes)))]);
    Write {
        key: key(id),
        op: Op::Put(item),
        when: When::Absent,
    }
}

fn update(id: &str, when: When) -> Write {
    let op = Op::Update(vec![Change::Set("a".into(), "y".into())]);
    Write {
        key: key(id),
        op,
        when,
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_costs_the_larger_of_before_and_after_and_a_refused_one_what_is_there() {
    let memory = memory();
    let store = memory.store();
    let units = |before: &crate::memory::Counts| memory.counts().since(before).write_units;

    // `a` and 2,000 bytes, `id` and one byte: 2,004.
    let before = memory.counts();
    store.write(insert("1", 2_000)).await.unwrap();
    assert_eq!(units(&before), 2);
    let before = memory.counts();
    store.write(insert("1", 10)).await.unwrap();
    assert_eq!(units(&before), 2, "refused: the item that is there");
    let before = memory.counts();
    store.write(update("1", When::Always)).await.unwrap();
    assert_eq!(units(&before), 2, "shrunk: the item as it was");
    let before = memory.counts();
    store.write(update("absent", When::Present)).await.unwrap();
    assert_eq!(units(&before), 1, "refused without an item: at least one");
}

#[tokio::test(start_paused = true)]
async fn calls_are_counted_as_the_service_would_see_them() {
    let memory = memory();
    let writes = (0..30)
        .map(|id| insert(&id.to_string(), 1))
        .chain([update("x", When::Always)]);
    memory.store().write_many(writes.collect()).await;
    memory.store().write_many(vec![insert("lone", 1)]).await;
    let counts = memory.counts();
    assert_eq!(
        counts.calls,
        BTreeMap::from([
            ("BatchExecuteStatement", 2),
            ("PutItem", 1),
            ("UpdateItem", 1),
        ])
    );
    assert_eq!(counts.write_units, 32);
}

#[tokio::test(start_paused = true)]
async fn a_batch_leaves_untold_what_the_service_leaves_untold() {
    let memory = memory();
    let store = memory.store();
    for id in ["1", "2", "3"] {
        store.write(insert(id, 1)).await.unwrap();
    }
    let is = |text: &str| When::Eq("a".into(), text.into());
    let outcomes = store
        .write_many(vec![
            insert("1", 1),
            update("2", is("x")),
            update("3", is("no")),
            update("4", is("x")),
        ])
        .await;
    let outcomes: Vec<Outcome> = outcomes.into_iter().map(Result::unwrap).collect();
    let third = Item::from([("id".into(), "3".into()), ("a".into(), "x".into())]);
    assert_eq!(
        outcomes,
        [
            Outcome::Refused(None),
            Outcome::Applied(None),
            Outcome::Refused(Some(third)),
            Outcome::Refused(None),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_statement_that_needs_an_absent_attribute_is_repeated_singly() {
    let memory = memory();
    let store = memory.store();
    for id in ["1", "2"] {
        store.write(insert(id, 1)).await.unwrap();
    }
    let add = |id: &str| Write {
        key: key(id),
        op: Op::Update(vec![Change::Add("n".into(), 1)]),
        when: When::Eq("a".into(), "x".into()),
    };
    let before = memory.counts();
    for outcome in store.write_many(vec![add("1"), add("2")]).await {
        assert!(matches!(outcome.unwrap(), Outcome::Applied(Some(_))));
    }
    let first = memory.counts().since(&before);
    assert_eq!(
        (first.of("BatchExecuteStatement"), first.of("UpdateItem")),
        (1, 2)
    );
    let before = memory.counts();
    for outcome in store.write_many(vec![add("1"), add("2")]).await {
        assert_eq!(outcome.unwrap(), Outcome::Applied(None));
    }
    let second = memory.counts().since(&before);
    assert_eq!(
        (second.of("BatchExecuteStatement"), second.of("UpdateItem")),
        (1, 0)
    );
    let item = store.get(&key("1")).await.unwrap().unwrap();
    assert_eq!(item["n"], Attribute::Number(2));
}

#[tokio::test(start_paused = true)]
async fn an_expired_item_stays_readable_until_it_is_swept() {
    let memory = memory();
    let store = memory.store();
    let ttl = memory.ports().clock.now() + Duration::from_secs(60);
    let item = Item::from([("ttl".into(), Attribute::Number(ttl.as_secs()))]);
    let put = |id: &str, item: Item| Write {
        key: key(id),
        op: Op::Put(item),
        when: When::Always,
    };
    store.write(put("1", item)).await.unwrap();
    store.write(put("2", Item::new())).await.unwrap();
    memory.ports().clock.sleep(Duration::from_secs(61)).await;
    assert!(store.get(&key("1")).await.unwrap().is_some());
    assert_eq!(store.sweep(), 1);
    assert_eq!(store.get(&key("1")).await.unwrap(), None);
    assert_eq!(store.items(Table::Results).len(), 1);
}
