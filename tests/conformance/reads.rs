//! Reads of many items: by their keys, and of a partition in its order.

use sedano::ErrorKind;
use sedano::ports::{Attribute, Change, Item, Key, Outcome, Store, When};

use crate::runner::cases;
use crate::store::{full, item, put, result, state, update};
use crate::world::World;

cases![
    many_are_read_in_the_order_of_their_keys,
    what_is_not_there_is_none,
    a_key_may_be_asked_for_twice,
    more_than_one_call_s_worth_is_read,
    many_large_items_are_read,
    no_keys_are_no_items,
    of_an_unknown_table_nothing_is_read,
    a_partition_is_read_in_the_order_of_its_sort_keys,
    a_page_has_so_many_items_and_the_next_goes_on,
    a_page_begins_after_a_sort_key_that_need_not_be_there,
    a_page_of_large_items_ends_early,
    an_empty_partition_has_an_empty_page,
    what_was_removed_is_not_in_the_page,
    of_an_unknown_table_no_page_is_read,
    adding_to_a_set_tells_the_item_as_it_was,
];

fn numbered(number: i64) -> Item {
    item([("number", Attribute::Number(number))])
}

async fn store_all(store: &dyn Store, keys: impl IntoIterator<Item = Key>) {
    let writes = keys.into_iter().zip(0..);
    let writes = writes.map(|(key, number)| put(key, numbered(number), When::Always));
    for outcome in store.write_many(writes.collect()).await {
        assert!(matches!(outcome.unwrap(), Outcome::Applied(_)));
    }
}

/// The sort keys of a page, and where the next begins.
async fn page(
    store: &dyn Store,
    pk: &str,
    after: Option<&str>,
    limit: u32,
) -> (Vec<String>, Option<String>) {
    let page = store.query(pk, after, limit).await.unwrap();
    let keys = page.items.iter().map(|item| {
        assert_eq!(item["pk"].as_text(), Some(pk));
        item["sk"].as_text().unwrap().to_owned()
    });
    (keys.collect(), page.next)
}

async fn many_are_read_in_the_order_of_their_keys(world: World) {
    let store = world.store().await;
    let keys = [
        state("p", "2"),
        result("b"),
        state("p", "1"),
        result("a"),
        state("o", "2"),
    ];
    store_all(&*store, keys.clone()).await;
    let wanted = keys.iter().zip(0..);
    let wanted: Vec<Option<Item>> = wanted
        .map(|(key, number)| Some(full(key, numbered(number))))
        .collect();
    assert_eq!(store.get_many(&keys).await.unwrap(), wanted);
}

async fn what_is_not_there_is_none(world: World) {
    let store = world.store().await;
    store_all(&*store, [result("a")]).await;
    let keys = [result("none"), result("a"), state("a", "a")];
    let items = store.get_many(&keys).await.unwrap();
    assert_eq!(items, [None, Some(full(&keys[1], numbered(0))), None]);
}

async fn a_key_may_be_asked_for_twice(world: World) {
    let store = world.store().await;
    store_all(&*store, [result("a"), result("b")]).await;
    let keys = [
        result("a"),
        result("b"),
        result("a"),
        result("no"),
        result("no"),
    ];
    let items = store.get_many(&keys).await.unwrap();
    let (a, b) = (full(&keys[0], numbered(0)), full(&keys[1], numbered(1)));
    assert_eq!(items, [Some(a.clone()), Some(b), Some(a), None, None]);
}

async fn more_than_one_call_s_worth_is_read(world: World) {
    let store = world.store().await;
    let keys: Vec<Key> = (0..250).map(|n| result(&format!("task-{n}"))).collect();
    store_all(&*store, keys.iter().take(230).cloned()).await;
    let items = store.get_many(&keys).await.unwrap();
    assert_eq!(items.len(), 250);
    for (place, item) in items.into_iter().enumerate() {
        let wanted = (place < 230).then(|| full(&keys[place], numbered(place as i64)));
        assert_eq!(item, wanted, "{place}");
    }
}

/// A call reads 16 MB at most, and leaves out the rest.
async fn many_large_items_are_read(world: World) {
    let store = world.store().await;
    let keys: Vec<Key> = (0..45).map(|n| result(&format!("large-{n}"))).collect();
    let text = Attribute::Text("x".repeat(390 * 1024));
    for key in &keys {
        let item = item([("text", text.clone())]);
        store
            .write(put(key.clone(), item, When::Always))
            .await
            .unwrap();
    }
    let items = store.get_many(&keys).await.unwrap();
    for (key, item) in keys.iter().zip(items) {
        assert!(item.is_some_and(|item| item["text"] == text), "{key:?}");
    }
}

async fn no_keys_are_no_items(world: World) {
    let store = world.store().await;
    assert_eq!(store.get_many(&[]).await.unwrap(), []);
}

async fn of_an_unknown_table_nothing_is_read(world: World) {
    let store = world.vanished_store().unwrap();
    let error = store
        .get_many(&[result("a"), result("b")])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

async fn a_partition_is_read_in_the_order_of_its_sort_keys(world: World) {
    let store = world.store().await;
    // By their bytes: capitals first, and no numbers.
    let order = [
        "10",
        "9",
        "B",
        "a",
        "a#1",
        "b",
        "é",
        "\u{ffff}x",
        "\u{10000}",
    ];
    let keys = order.iter().rev().map(|sk| state("p", sk));
    store_all(&*store, keys).await;
    store_all(
        &*store,
        [state("o", "z"), state("q", "0"), state("p#", "1")],
    )
    .await;
    assert_eq!(
        page(&*store, "p", None, 100).await,
        (order.map(str::to_owned).into(), None)
    );
    let items = store.query("p", None, 1).await.unwrap().items;
    assert_eq!(items, [full(&state("p", "10"), numbered(8))]);
}

async fn a_page_has_so_many_items_and_the_next_goes_on(world: World) {
    let store = world.store().await;
    let all: Vec<String> = (0..7).map(|n| format!("item-{n}")).collect();
    store_all(&*store, all.iter().map(|sk| state("p", sk))).await;
    let (mut read, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let (keys, next) = page(&*store, "p", after.as_deref(), 3).await;
        assert!(keys.len() <= 3);
        assert!(next.is_none() || next.as_ref() == keys.last());
        read.extend(keys);
        pages += 1;
        match next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!((read, pages), (all, 3));
}

async fn a_page_begins_after_a_sort_key_that_need_not_be_there(world: World) {
    let store = world.store().await;
    store_all(&*store, ["a", "c", "e"].map(|sk| state("p", sk))).await;
    let after = async |sk| page(&*store, "p", Some(sk), 100).await;
    assert_eq!(after("a").await, (vec!["c".into(), "e".into()], None));
    assert_eq!(after("b").await, (vec!["c".into(), "e".into()], None));
    assert_eq!(after("e").await, (vec![], None));
}

async fn a_page_of_large_items_ends_early(world: World) {
    let store = world.store().await;
    let all: Vec<String> = (0..5).map(|n| format!("large-{n}")).collect();
    for sk in &all {
        let item = item([("text", Attribute::Text("x".repeat(300 * 1024)))]);
        let write = put(state("p", sk), item, When::Always);
        store.write(write).await.unwrap();
    }
    let (first, next) = page(&*store, "p", None, 100).await;
    assert!((3..5).contains(&first.len()), "{first:?}");
    let (rest, last) = page(&*store, "p", next.as_deref(), 100).await;
    assert_eq!(([first, rest].concat(), last), (all, None));
}

async fn an_empty_partition_has_an_empty_page(world: World) {
    let store = world.store().await;
    assert_eq!(page(&*store, "none", None, 10).await, (vec![], None));
    assert_eq!(page(&*store, "none", Some("x"), 10).await, (vec![], None));
}

async fn what_was_removed_is_not_in_the_page(world: World) {
    let store = world.store().await;
    store_all(&*store, ["a", "b"].map(|sk| state("p", sk))).await;
    let delete = sedano::ports::Write {
        key: state("p", "a"),
        op: sedano::ports::Op::Delete,
        when: When::Always,
    };
    store.write(delete).await.unwrap();
    assert_eq!(page(&*store, "p", None, 10).await, (vec!["b".into()], None));
}

async fn of_an_unknown_table_no_page_is_read(world: World) {
    let store = world.vanished_store().unwrap();
    let error = store.query("p", None, 10).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

/// Whoever adds the last member of a set knows it by this.
async fn adding_to_a_set_tells_the_item_as_it_was(world: World) {
    let store = world.store().await;
    let key = state("group", "block");
    let add = async |members: &[i64]| {
        let members = members.iter().copied().collect();
        let changes = vec![
            Change::AddToSet("done".into(), members),
            Change::Set("ttl".into(), Attribute::Number(7)),
        ];
        let outcome = store
            .write(update(key.clone(), changes, When::Always))
            .await;
        outcome.unwrap()
    };
    let was = |members: &[i64]| {
        let done = Attribute::NumberSet(members.iter().copied().collect());
        let was = item([("done", done), ("ttl", Attribute::Number(7))]);
        Outcome::Applied(Some(full(&key, was)))
    };
    assert_eq!(add(&[1, 2]).await, Outcome::Applied(None));
    assert_eq!(add(&[2, 3]).await, was(&[1, 2]));
    // Once more: whoever lost the answer learns that it was full before.
    assert_eq!(add(&[2, 3]).await, was(&[1, 2, 3]));
}
