//! Conditions: each kind, on an item and on none, and what a refusal tells.

use sedano::ErrorKind;
use sedano::ports::{Attribute, Change, Item, Key, Op, Outcome, Store, When, Write};

use crate::runner::cases;
use crate::store::{full, item, put, result, state, update};
use crate::world::World;

cases![
    on_an_item,
    on_no_item,
    text_is_compared_by_its_bytes,
    numbers_and_bytes_are_compared_by_their_size,
    null_is_a_value_and_not_the_lack_of_one,
    another_type_is_not_equal,
    another_type_is_not_smaller,
    what_has_no_order_cannot_be_smaller,
    a_refusal_tells_the_item_as_it_is,
    a_fence_lets_its_owner_through_and_no_other,
    one_of_many_inserts_wins,
];

fn there() -> Item {
    item([
        ("status", "STARTED".into()),
        ("owner", "me".into()),
        ("n", Attribute::Number(5)),
        ("done", Attribute::NumberSet([1, 2].into())),
        ("list", Attribute::List(vec![Attribute::Number(1)])),
        ("map", Attribute::Map(item([("x", Attribute::Number(1))]))),
        ("null", Attribute::Null),
    ])
}

fn eq(name: &'static str, value: impl Into<Attribute>) -> When {
    When::Eq(name.into(), value.into())
}

fn not(when: When) -> When {
    When::Not(Box::new(when))
}

/// Every kind of condition; whether it holds of [`there`], and of no item.
fn conditions() -> Vec<(When, bool, bool)> {
    let (yes, no) = (|| eq("n", 5_i64), || eq("n", 6_i64));
    vec![
        (When::Always, true, true),
        (not(When::Always), false, false),
        (When::Absent, false, true),
        (When::Present, true, false),
        (When::Has("null".into()), true, false),
        (When::Has("nothing".into()), false, false),
        (not(When::Has("nothing".into())), true, true),
        (eq("status", "STARTED"), true, false),
        (eq("status", "started"), false, false),
        (eq("nothing", "x"), false, false),
        (not(eq("status", "STARTED")), false, true),
        (not(eq("nothing", "x")), true, true),
        (eq("done", Attribute::NumberSet([2, 1].into())), true, false),
        (
            eq("list", Attribute::List(vec![Attribute::Number(1)])),
            true,
            false,
        ),
        (
            eq("map", Attribute::Map(item([("x", Attribute::Number(1))]))),
            true,
            false,
        ),
        (
            eq("map", Attribute::Map(item([("x", Attribute::Number(2))]))),
            false,
            false,
        ),
        (When::Below("n".into(), 6_i64.into()), true, false),
        (When::Below("n".into(), 5_i64.into()), false, false),
        (When::Below("nothing".into(), 5_i64.into()), false, false),
        (not(When::Below("n".into(), 5_i64.into())), true, true),
        (When::AtMost("n".into(), 5_i64.into()), true, false),
        (When::AtMost("n".into(), 4_i64.into()), false, false),
        (When::AtMost("nothing".into(), 4_i64.into()), false, false),
        (not(When::AtMost("n".into(), 4_i64.into())), true, true),
        (not(When::AtMost("n".into(), 5_i64.into())), false, true),
        (When::Contains("done".into(), 2), true, false),
        (When::Contains("done".into(), 3), false, false),
        (When::Contains("nothing".into(), 2), false, false),
        (not(When::Contains("done".into(), 3)), true, true),
        (When::All(vec![]), true, true),
        (When::All(vec![yes(), eq("owner", "me")]), true, false),
        (When::All(vec![yes(), no()]), false, false),
        (When::All(vec![yes()]), true, false),
        (When::Any(vec![]), false, false),
        (When::Any(vec![no(), yes()]), true, false),
        (When::Any(vec![no(), no()]), false, false),
        (When::Any(vec![When::Absent, no()]), false, true),
        (not(When::Any(vec![no(), eq("owner", "you")])), true, true),
        (not(When::All(vec![yes(), no()])), true, true),
        (not(not(yes())), true, false),
        // Neither AND nor OR goes before what is written.
        (
            When::Any(vec![yes(), When::All(vec![no(), no()])]),
            true,
            false,
        ),
        (
            When::All(vec![When::Any(vec![yes(), no()]), no()]),
            false,
            false,
        ),
        (
            When::All(vec![When::Any(vec![yes(), no()]), not(no()), When::Always]),
            true,
            false,
        ),
        (
            not(When::All(vec![When::Any(vec![When::Absent, no()]), yes()])),
            true,
            true,
        ),
    ]
}

async fn applies(store: &dyn Store, key: &Key, when: &When) -> bool {
    let changes = vec![Change::Set("mark".into(), "x".into())];
    match store
        .write(update(key.clone(), changes, when.clone()))
        .await
    {
        Ok(Outcome::Applied(_)) => true,
        Ok(Outcome::Refused(_)) => false,
        Err(error) => panic!("{when:?}: {error:?}"),
    }
}

async fn on_an_item(world: World) {
    let store = world.store().await;
    for (number, (when, wanted, _)) in conditions().into_iter().enumerate() {
        let key = state("there", &number.to_string());
        store
            .write(put(key.clone(), there(), When::Always))
            .await
            .unwrap();
        assert_eq!(applies(&*store, &key, &when).await, wanted, "{when:?}");
    }
}

async fn on_no_item(world: World) {
    let store = world.store().await;
    for (number, (when, _, wanted)) in conditions().into_iter().enumerate() {
        let key = state("nothing", &number.to_string());
        assert_eq!(applies(&*store, &key, &when).await, wanted, "{when:?}");
        assert_eq!(store.get(&key).await.unwrap().is_some(), wanted, "{when:?}");
    }
}

/// Whether an attribute of this value is below that one.
async fn is_below(store: &dyn Store, is: Attribute, value: Attribute) -> bool {
    let key = result("compared");
    store
        .write(put(key.clone(), item([("a", is)]), When::Always))
        .await
        .unwrap();
    applies(store, &key, &When::Below("a".into(), value)).await
}

async fn text_is_compared_by_its_bytes(world: World) {
    let store = world.store().await;
    let sorted = [
        "",
        "10",
        "2026-03-01T12:00:00.000Z",
        "2026-03-01T12:00:00.001Z",
        "2026-11-01T00:00:00.000Z",
        "9",
        "Z",
        "a",
        "aa",
        "b",
        "é",
        "\u{ffff}",
        "\u{10000}",
    ];
    for pair in sorted.windows(2) {
        assert!(
            is_below(&*store, pair[0].into(), pair[1].into()).await,
            "{pair:?}"
        );
        assert!(
            !is_below(&*store, pair[1].into(), pair[0].into()).await,
            "{pair:?}"
        );
    }
    assert!(!is_below(&*store, "a".into(), "a".into()).await);
}

async fn numbers_and_bytes_are_compared_by_their_size(world: World) {
    let store = world.store().await;
    let numbers = [
        Attribute::Decimal(-1e30),
        Attribute::Number(i64::MIN),
        Attribute::Number(-10),
        Attribute::Number(-9),
        Attribute::Decimal(-0.5),
        Attribute::Number(0),
        Attribute::Number(9),
        Attribute::Decimal(9.5),
        Attribute::Number(10),
        Attribute::Number(i64::MAX - 1),
        Attribute::Number(i64::MAX),
    ];
    let bytes =
        [&[0_u8][..], &[0, 0], &[1], &[128], &[255, 0]].map(|b| Attribute::Bytes(b.to_vec()));
    for pair in numbers.windows(2).chain(bytes.windows(2)) {
        assert!(
            is_below(&*store, pair[0].clone(), pair[1].clone()).await,
            "{pair:?}"
        );
        assert!(
            !is_below(&*store, pair[1].clone(), pair[0].clone()).await,
            "{pair:?}"
        );
    }
}

async fn null_is_a_value_and_not_the_lack_of_one(world: World) {
    let store = world.store().await;
    let key = state("null", "1");
    store
        .write(put(key.clone(), there(), When::Always))
        .await
        .unwrap();
    assert!(applies(&*store, &key, &eq("null", Attribute::Null)).await);
    assert!(!applies(&*store, &key, &eq("nothing", Attribute::Null)).await);
    assert!(!applies(&*store, &state("null", "2"), &eq("null", Attribute::Null)).await);
}

async fn typed(store: &dyn Store) -> Key {
    let key = result("typed");
    let typed = item([("text", "5".into()), ("number", 5_i64.into())]);
    store
        .write(put(key.clone(), typed, When::Always))
        .await
        .unwrap();
    key
}

async fn another_type_is_not_equal(world: World) {
    let store = world.store().await;
    let key = typed(&*store).await;
    for when in [
        eq("text", 5_i64),
        eq("number", "5"),
        When::Contains("number".into(), 5),
    ] {
        assert!(!applies(&*store, &key, &when).await, "{when:?}");
    }
    // A decimal and a whole number are of one type.
    assert!(applies(&*store, &key, &eq("number", Attribute::Decimal(5.0))).await);
}

async fn another_type_is_not_smaller(world: World) {
    let store = world.store().await;
    let key = typed(&*store).await;
    for when in [
        When::Below("text".into(), 6_i64.into()),
        When::AtMost("number".into(), "6".into()),
    ] {
        assert!(!applies(&*store, &key, &when).await, "{when:?}");
    }
}

async fn what_has_no_order_cannot_be_smaller(world: World) {
    let store = world.store().await;
    for value in [
        Attribute::Bool(true),
        Attribute::Null,
        Attribute::List(vec![]),
    ] {
        let write = put(result("1"), Item::new(), When::Below("a".into(), value));
        assert_eq!(
            store.write(write).await.unwrap_err().kind(),
            ErrorKind::Invalid
        );
    }
}

async fn a_refusal_tells_the_item_as_it_is(world: World) {
    let store = world.store().await;
    let key = result("told");
    store
        .write(put(key.clone(), there(), When::Always))
        .await
        .unwrap();
    let is = Outcome::Refused(Some(full(&key, there())));
    let change = vec![Change::Set("n".into(), 6_i64.into())];
    for op in [Op::Put(Item::new()), Op::Update(change), Op::Delete] {
        let write = Write {
            key: key.clone(),
            op,
            when: eq("owner", "you"),
        };
        assert_eq!(store.write(write.clone()).await.unwrap(), is, "{write:?}");
        let elsewhere = Write {
            key: result("none"),
            ..write
        };
        assert_eq!(
            store.write(elsewhere).await.unwrap(),
            Outcome::Refused(None)
        );
    }
    assert_eq!(store.get(&key).await.unwrap(), Some(full(&key, there())));
    assert_eq!(store.get(&result("none")).await.unwrap(), None);
}

async fn a_fence_lets_its_owner_through_and_no_other(world: World) {
    let store = world.store().await;
    let key = result("fenced");
    store
        .write(put(key.clone(), there(), When::Absent))
        .await
        .unwrap();
    let finish = |owner: &str| {
        let changes = vec![
            Change::Set("status".into(), "SUCCESS".into()),
            Change::Set("result".into(), owner.into()),
        ];
        let fence = When::All(vec![
            eq("owner", owner),
            eq("n", 5_i64),
            eq("status", "STARTED"),
        ]);
        update(key.clone(), changes, fence)
    };
    assert!(matches!(
        store.write(finish("you")).await.unwrap(),
        Outcome::Refused(Some(_))
    ));
    assert!(matches!(
        store.write(finish("me")).await.unwrap(),
        Outcome::Applied(Some(_))
    ));
    // The same again is refused by its own success, which the item told shows.
    match store.write(finish("me")).await.unwrap() {
        Outcome::Refused(Some(item)) => assert_eq!(item["result"], "me".into()),
        other => panic!("{other:?}"),
    }
}

async fn one_of_many_inserts_wins(world: World) {
    let store = world.store().await;
    let insert = |owner: i64| {
        store.write(put(
            result("race"),
            item([("owner", owner.into())]),
            When::Absent,
        ))
    };
    let (a, b, c, d) = tokio::join!(insert(1), insert(2), insert(3), insert(4));
    let outcomes = [a, b, c, d].map(Result::unwrap);
    let winners: Vec<i64> = (1..)
        .zip(&outcomes)
        .filter(|(_, outcome)| matches!(outcome, Outcome::Applied(None)))
        .map(|(owner, _)| owner)
        .collect();
    assert_eq!(winners.len(), 1, "{outcomes:?}");
    let read = store.get(&result("race")).await.unwrap().unwrap();
    assert_eq!(read["owner"], winners[0].into());
    for outcome in outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Outcome::Refused(_)))
    {
        assert_eq!(*outcome, Outcome::Refused(Some(read.clone())));
    }
}
