//! Items and single writes.

use std::collections::BTreeMap;

use sedano::ErrorKind;
use sedano::ports::{
    Attribute, Change, ITEM_BYTES, Item, Key, Op, Outcome, Store, When, Write, item_size,
};

use crate::runner::cases;
use crate::world::World;

cases![
    nothing_is_read_where_nothing_is,
    an_item_of_every_type_is_read_as_it_was_written,
    whole_decimals_are_read_as_whole_numbers,
    the_key_is_part_of_the_item,
    any_name_will_do,
    a_put_replaces_the_whole_item,
    an_update_creates_and_changes,
    an_update_without_changes_creates_the_bare_item,
    a_delete_removes,
    set_gives_a_value,
    add_counts_from_zero,
    add_to_set_starts_with_the_empty_set,
    append_starts_with_the_empty_list,
    remove_takes_away_what_may_not_be_there,
    changes_of_one_write_are_made_together,
    adding_to_a_text_is_refused,
    adding_members_to_a_text_is_refused,
    appending_to_a_text_is_refused,
    a_change_of_the_key_is_refused,
    two_changes_of_one_attribute_are_refused,
    an_empty_set_is_refused,
    an_item_over_the_limit_is_refused,
    an_empty_key_is_refused,
    an_unknown_table_is_not_found,
];

pub(crate) fn result(id: &str) -> Key {
    Key::Result(id.to_owned())
}

pub(crate) fn state(pk: &str, sk: &str) -> Key {
    Key::State(pk.to_owned(), sk.to_owned())
}

pub(crate) fn item<const N: usize>(attributes: [(&'static str, Attribute); N]) -> Item {
    attributes
        .into_iter()
        .map(|(name, value)| (name.into(), value))
        .collect()
}

/// The item with its key.
pub(crate) fn full(key: &Key, mut item: Item) -> Item {
    for (name, value) in key.attributes() {
        item.insert(name.into(), value.into());
    }
    item
}

pub(crate) fn put(key: Key, item: Item, when: When) -> Write {
    Write {
        key,
        op: Op::Put(item),
        when,
    }
}

pub(crate) fn update(key: Key, changes: Vec<Change>, when: When) -> Write {
    Write {
        key,
        op: Op::Update(changes),
        when,
    }
}

async fn done(store: &dyn Store, write: Write) -> Option<Item> {
    match store.write(write).await.unwrap() {
        Outcome::Applied(before) => before,
        refused => panic!("the write was refused: {refused:?}"),
    }
}

/// What an update of this item by these changes makes of it.
async fn changed(store: &dyn Store, before: Option<Item>, changes: Vec<Change>) -> Item {
    let key = state("changed", "item");
    done(
        store,
        Write {
            key: key.clone(),
            op: Op::Delete,
            when: When::Always,
        },
    )
    .await;
    if let Some(before) = before {
        done(store, put(key.clone(), before, When::Always)).await;
    }
    done(store, update(key.clone(), changes, When::Always)).await;
    let mut after = store.get(&key).await.unwrap().unwrap();
    after.retain(|name, _| name != "pk" && name != "sk");
    after
}

async fn kind_of(store: &dyn Store, write: Write) -> ErrorKind {
    store.write(write).await.unwrap_err().kind()
}

async fn nothing_is_read_where_nothing_is(world: World) {
    let store = world.store().await;
    assert_eq!(store.get(&result("none")).await.unwrap(), None);
    assert_eq!(store.get(&state("none", "none")).await.unwrap(), None);
}

async fn an_item_of_every_type_is_read_as_it_was_written(world: World) {
    let store = world.store().await;
    let inner = item([
        ("text", "deep".into()),
        ("empty list", Attribute::List(vec![])),
        ("empty map", Attribute::Map(Item::new())),
        ("set", Attribute::NumberSet([-1, 0, 300].into())),
    ]);
    let written = item([
        ("text", "grüße \u{10ffff} \u{1}".into()),
        ("no text", "".into()),
        ("zero", Attribute::Number(0)),
        ("least", Attribute::Number(i64::MIN)),
        ("most", Attribute::Number(i64::MAX)),
        ("tenth", Attribute::Decimal(0.1)),
        ("tiny", Attribute::Decimal(-1.25e-30)),
        ("huge", Attribute::Decimal(6.02e23)),
        ("yes", Attribute::Bool(true)),
        ("no", Attribute::Bool(false)),
        ("bytes", Attribute::Bytes(vec![0, 1, 254, 255])),
        ("no bytes", Attribute::Bytes(vec![])),
        ("null", Attribute::Null),
        (
            "texts",
            Attribute::TextSet(["b".to_owned(), "a".to_owned()].into()),
        ),
        ("numbers", Attribute::NumberSet((0..256).collect())),
        (
            "list",
            Attribute::List(vec![
                1_i64.into(),
                Attribute::Map(inner.clone()),
                Attribute::Null,
            ]),
        ),
        ("map", Attribute::Map(inner)),
    ]);
    for key in [result("all"), state("all", "types")] {
        assert_eq!(
            done(&*store, put(key.clone(), written.clone(), When::Always)).await,
            None
        );
        assert_eq!(
            store.get(&key).await.unwrap(),
            Some(full(&key, written.clone()))
        );
    }
}

async fn whole_decimals_are_read_as_whole_numbers(world: World) {
    let store = world.store().await;
    let key = result("whole");
    let written = item([
        ("five", Attribute::Decimal(5.0)),
        ("minus zero", Attribute::Decimal(-0.0)),
    ]);
    done(&*store, put(key.clone(), written, When::Always)).await;
    let read = store.get(&key).await.unwrap().unwrap();
    assert_eq!(read["five"], Attribute::Number(5));
    assert_eq!(read["minus zero"], Attribute::Number(0));
}

async fn the_key_is_part_of_the_item(world: World) {
    let store = world.store().await;
    let key = state("p", "s");
    // An attribute of the key's name doesn't move the item.
    done(
        &*store,
        put(key.clone(), item([("pk", "other".into())]), When::Always),
    )
    .await;
    let read = store.get(&key).await.unwrap().unwrap();
    assert_eq!(read, item([("pk", "p".into()), ("sk", "s".into())]));
    // Two items of one partition are two items.
    assert_eq!(store.get(&state("p", "t")).await.unwrap(), None);
}

/// Reserved words, and names that an expression can't have bare.
pub(crate) const NAMES: [&str; 16] = [
    "status",
    "result",
    "owner",
    "error",
    "ttl",
    "group",
    "state",
    "name",
    "a.b",
    "a b",
    "it's",
    "#x",
    ":y",
    "[0]",
    "ünïcode",
    "9",
];

async fn any_name_will_do(world: World) {
    let store = world.store().await;
    for (number, name) in NAMES.into_iter().enumerate() {
        let key = result(&format!("name-{number}"));
        done(
            &*store,
            put(key.clone(), item([(name, 1_i64.into())]), When::Absent),
        )
        .await;
        let is = |value: i64| When::Eq(name.into(), value.into());
        let set = vec![Change::Set(name.into(), 2_i64.into())];
        done(&*store, update(key.clone(), set, is(1))).await;
        done(
            &*store,
            update(key.clone(), vec![Change::Add(name.into(), 1)], is(2)),
        )
        .await;
        done(
            &*store,
            update(key.clone(), vec![Change::Remove(name.into())], is(3)),
        )
        .await;
        assert_eq!(
            store.get(&key).await.unwrap(),
            Some(full(&key, Item::new())),
            "{name}"
        );
    }
}

async fn a_put_replaces_the_whole_item(world: World) {
    let store = world.store().await;
    let key = result("1");
    let (one, two) = (item([("a", "1".into())]), item([("b", "2".into())]));
    assert_eq!(
        done(&*store, put(key.clone(), one.clone(), When::Always)).await,
        None
    );
    let before = done(&*store, put(key.clone(), two.clone(), When::Always)).await;
    assert_eq!(before, Some(full(&key, one)));
    assert_eq!(store.get(&key).await.unwrap(), Some(full(&key, two)));
}

async fn an_update_creates_and_changes(world: World) {
    let store = world.store().await;
    let key = state("u", "1");
    let set = |name: &'static str| vec![Change::Set(name.into(), name.into())];
    assert_eq!(
        done(&*store, update(key.clone(), set("a"), When::Always)).await,
        None
    );
    let first = full(&key, item([("a", "a".into())]));
    assert_eq!(store.get(&key).await.unwrap(), Some(first.clone()));
    assert_eq!(
        done(&*store, update(key.clone(), set("b"), When::Always)).await,
        Some(first)
    );
    let both = full(&key, item([("a", "a".into()), ("b", "b".into())]));
    assert_eq!(store.get(&key).await.unwrap(), Some(both));
}

async fn an_update_without_changes_creates_the_bare_item(world: World) {
    let store = world.store().await;
    let key = result("bare");
    assert_eq!(
        done(&*store, update(key.clone(), vec![], When::Always)).await,
        None
    );
    assert_eq!(
        store.get(&key).await.unwrap(),
        Some(full(&key, Item::new()))
    );
}

async fn a_delete_removes(world: World) {
    let store = world.store().await;
    let key = result("1");
    let delete = |when| Write {
        key: key.clone(),
        op: Op::Delete,
        when,
    };
    assert_eq!(
        done(&*store, delete(When::Always)).await,
        None,
        "nothing is there: nothing happens"
    );
    let written = item([("a", 1_i64.into())]);
    done(&*store, put(key.clone(), written.clone(), When::Always)).await;
    let refused = store
        .write(delete(When::Eq("a".into(), 2_i64.into())))
        .await
        .unwrap();
    let there = Some(full(&key, written));
    assert_eq!(refused, Outcome::Refused(there.clone()));
    assert_eq!(done(&*store, delete(When::Present)).await, there);
    assert_eq!(store.get(&key).await.unwrap(), None);
    assert_eq!(
        store.write(delete(When::Present)).await.unwrap(),
        Outcome::Refused(None)
    );
}

async fn set_gives_a_value(world: World) {
    let store = world.store().await;
    let set = |value: Attribute| vec![Change::Set("a".into(), value)];
    let wanted = item([("a", "new".into())]);
    assert_eq!(changed(&*store, None, set("new".into())).await, wanted);
    let before = item([("a", Attribute::List(vec![]))]);
    assert_eq!(
        changed(&*store, Some(before), set("new".into())).await,
        wanted
    );
}

async fn add_counts_from_zero(world: World) {
    let store = world.store().await;
    let add = |number| vec![Change::Add("n".into(), number)];
    assert_eq!(
        changed(&*store, None, add(-3)).await,
        item([("n", Attribute::Number(-3))])
    );
    let before = item([("n", Attribute::Number(40))]);
    assert_eq!(
        changed(&*store, Some(before), add(2)).await,
        item([("n", Attribute::Number(42))])
    );
    let before = item([("n", Attribute::Decimal(0.5))]);
    assert_eq!(
        changed(&*store, Some(before), add(1)).await,
        item([("n", Attribute::Decimal(1.5))])
    );
}

async fn add_to_set_starts_with_the_empty_set(world: World) {
    let store = world.store().await;
    let add = |numbers: &[i64]| {
        vec![Change::AddToSet(
            "s".into(),
            numbers.iter().copied().collect(),
        )]
    };
    let set =
        |numbers: &[i64]| item([("s", Attribute::NumberSet(numbers.iter().copied().collect()))]);
    assert_eq!(changed(&*store, None, add(&[2, 1])).await, set(&[1, 2]));
    assert_eq!(
        changed(&*store, Some(set(&[1, 5])), add(&[5, 7])).await,
        set(&[1, 5, 7])
    );
}

async fn append_starts_with_the_empty_list(world: World) {
    let store = world.store().await;
    let list = |numbers: &[i64]| {
        Attribute::List(
            numbers
                .iter()
                .map(|number| Attribute::Number(*number))
                .collect(),
        )
    };
    let append = |numbers: &[i64]| {
        let values = numbers
            .iter()
            .map(|number| Attribute::Number(*number))
            .collect();
        vec![Change::Append("l".into(), values)]
    };
    assert_eq!(
        changed(&*store, None, append(&[2, 1])).await,
        item([("l", list(&[2, 1]))])
    );
    let before = item([("l", list(&[9]))]);
    assert_eq!(
        changed(&*store, Some(before), append(&[9, 8])).await,
        item([("l", list(&[9, 9, 8]))])
    );
    let before = item([("l", list(&[9]))]);
    assert_eq!(
        changed(&*store, Some(before), append(&[])).await,
        item([("l", list(&[9]))])
    );
}

async fn remove_takes_away_what_may_not_be_there(world: World) {
    let store = world.store().await;
    let remove = || vec![Change::Remove("a".into())];
    assert_eq!(changed(&*store, None, remove()).await, Item::new());
    let before = item([("a", "1".into()), ("b", "2".into())]);
    assert_eq!(
        changed(&*store, Some(before), remove()).await,
        item([("b", "2".into())])
    );
}

async fn changes_of_one_write_are_made_together(world: World) {
    let store = world.store().await;
    let before = item([
        ("status", "STARTED".into()),
        ("owner", "me".into()),
        ("n", 1_i64.into()),
    ]);
    let changes = vec![
        Change::Set("status".into(), "SUCCESS".into()),
        Change::Set("result".into(), Attribute::Map(item([("x", 5_i64.into())]))),
        Change::Remove("owner".into()),
        Change::Add("n".into(), 1),
        Change::AddToSet("done".into(), [1].into()),
        Change::Append("attempts".into(), vec!["first".into()]),
    ];
    let after = item([
        ("status", "SUCCESS".into()),
        ("result", Attribute::Map(item([("x", 5_i64.into())]))),
        ("n", 2_i64.into()),
        ("done", Attribute::NumberSet([1].into())),
        ("attempts", Attribute::List(vec!["first".into()])),
    ]);
    assert_eq!(changed(&*store, Some(before), changes).await, after);
}

async fn refused_on_a_text(world: World, change: Change) {
    let store = world.store().await;
    let key = result("typed");
    done(
        &*store,
        put(key.clone(), item([("a", "text".into())]), When::Always),
    )
    .await;
    let write = update(key.clone(), vec![change], When::Always);
    assert_eq!(kind_of(&*store, write).await, ErrorKind::Invalid);
    let there = full(&key, item([("a", "text".into())]));
    assert_eq!(store.get(&key).await.unwrap(), Some(there));
}

async fn adding_to_a_text_is_refused(world: World) {
    refused_on_a_text(world, Change::Add("a".into(), 1)).await;
}

async fn adding_members_to_a_text_is_refused(world: World) {
    refused_on_a_text(world, Change::AddToSet("a".into(), [1].into())).await;
}

async fn appending_to_a_text_is_refused(world: World) {
    refused_on_a_text(world, Change::Append("a".into(), vec![Attribute::Null])).await;
}

async fn a_change_of_the_key_is_refused(world: World) {
    let store = world.store().await;
    let write = update(
        state("p", "s"),
        vec![Change::Set("sk".into(), "t".into())],
        When::Always,
    );
    assert_eq!(kind_of(&*store, write).await, ErrorKind::Invalid);
}

async fn two_changes_of_one_attribute_are_refused(world: World) {
    let store = world.store().await;
    let changes = vec![
        Change::Set("a".into(), "1".into()),
        Change::Remove("a".into()),
    ];
    let write = update(result("twice"), changes, When::Always);
    assert_eq!(kind_of(&*store, write).await, ErrorKind::Invalid);
}

async fn an_empty_set_is_refused(world: World) {
    let store = world.store().await;
    for set in [
        Attribute::NumberSet([].into()),
        Attribute::TextSet([].into()),
    ] {
        let write = put(result("set"), item([("s", set)]), When::Always);
        assert_eq!(kind_of(&*store, write).await, ErrorKind::Invalid);
    }
}

async fn an_item_over_the_limit_is_refused(world: World) {
    let store = world.store().await;
    let key = result("big");
    let sized = |bytes: usize| {
        let rest = item_size(&full(&key, item([("a", "".into())])));
        item([("a", Attribute::Text("x".repeat(bytes - rest)))])
    };
    let over = put(key.clone(), sized(ITEM_BYTES + 1), When::Always);
    assert_eq!(kind_of(&*store, over).await, ErrorKind::TooLarge);
    assert_eq!(store.get(&key).await.unwrap(), None);
    done(&*store, put(key.clone(), sized(ITEM_BYTES), When::Always)).await;
    // It grows over the limit.
    let grow = update(
        key.clone(),
        vec![Change::Set("b".into(), "1".into())],
        When::Always,
    );
    assert_eq!(kind_of(&*store, grow).await, ErrorKind::TooLarge);
    assert_eq!(
        store.get(&key).await.unwrap(),
        Some(full(&key, sized(ITEM_BYTES)))
    );
}

async fn an_empty_key_is_refused(world: World) {
    let store = world.store().await;
    let write = put(state("p", ""), BTreeMap::new(), When::Always);
    assert_eq!(kind_of(&*store, write).await, ErrorKind::Invalid);
}

async fn an_unknown_table_is_not_found(world: World) {
    let store = world.vanished_store().expect("memory is skipped");
    let write = || put(result("1"), Item::new(), When::Absent);
    assert_eq!(
        store.get(&result("1")).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let error = store.write(write()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    assert!(
        error.to_string().contains(world.prefix()),
        "it names the table: {error}"
    );
}
