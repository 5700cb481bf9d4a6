//! Independent writes at once, on both of the store's write paths.

use sedano::ErrorKind;
use sedano::ports::{Attribute, Change, Item, Key, Op, Outcome, Store, When, Write};

use crate::runner::cases;
use crate::store::{NAMES, full, item, put, result, state, update};
use crate::world::World;

cases![
    none_is_nothing,
    a_lone_write_tells_the_old_item,
    each_has_its_own_outcome,
    more_than_one_batch_in_order,
    inserts_and_fenced_updates,
    any_name_will_do,
    every_type_of_value,
    an_addition_to_a_number_that_is_there,
    an_addition_to_a_number_that_is_not_there,
    an_append,
    every_other_kind_of_write_goes_along,
    one_that_is_too_large_costs_no_other,
    one_that_is_invalid_costs_no_other,
    two_writes_of_one_key_are_refused,
    an_unknown_table_is_not_found,
];

fn insert(key: Key, item: Item) -> Write {
    put(key, item, When::Absent)
}

fn set(name: &'static str, value: impl Into<Attribute>) -> Change {
    Change::Set(name.into(), value.into())
}

fn eq(name: &'static str, value: impl Into<Attribute>) -> When {
    When::Eq(name.into(), value.into())
}

fn owned(owner: &str) -> Item {
    item([
        ("owner", owner.into()),
        ("status", "STARTED".into()),
        ("attempt", 0_i64.into()),
    ])
}

async fn all_applied(store: &dyn Store, writes: Vec<Write>) {
    all_tell(store, writes, None).await;
}

/// All are applied; and tell the item as it was, or don't, where that is certain.
async fn all_tell(store: &dyn Store, writes: Vec<Write>, told: Option<bool>) {
    for (number, outcome) in store.write_many(writes).await.into_iter().enumerate() {
        match outcome {
            Ok(Outcome::Applied(before)) => {
                let is_as_wanted = told.is_none_or(|told| told == before.is_some());
                assert!(is_as_wanted, "write {number} tells {before:?}");
            }
            other => panic!("write {number}: {other:?}"),
        }
    }
}

fn ids(count: usize) -> impl Iterator<Item = Key> {
    (0..count).map(|number| result(&format!("id-{number}")))
}

async fn none_is_nothing(world: World) {
    assert!(world.store().await.write_many(Vec::new()).await.is_empty());
}

async fn a_lone_write_tells_the_old_item(world: World) {
    let store = world.store().await;
    all_applied(&*store, vec![insert(result("1"), owned("me"))]).await;
    let mut outcomes = store
        .write_many(vec![insert(result("1"), owned("you"))])
        .await;
    let is = full(&result("1"), owned("me"));
    assert_eq!(outcomes.remove(0).unwrap(), Outcome::Refused(Some(is)));
}

/// The old item may be left untold, but if it is told it must be the right one.
fn is_refused(outcome: &Outcome, item: Option<&Item>) -> bool {
    match outcome {
        Outcome::Refused(None) => true,
        Outcome::Refused(told) => told.as_ref() == item,
        Outcome::Applied(_) => false,
    }
}

async fn each_has_its_own_outcome(world: World) {
    let store = world.store().await;
    let (mine, yours) = (result("mine"), result("yours"));
    all_applied(
        &*store,
        vec![
            insert(mine.clone(), owned("me")),
            insert(yours.clone(), owned("you")),
        ],
    )
    .await;
    let finish = |key: &Key| {
        let changes = vec![set("status", "SUCCESS"), set("result", 5_i64)];
        let fence = When::All(vec![
            eq("owner", "me"),
            eq("attempt", 0_i64),
            eq("status", "STARTED"),
        ]);
        update(key.clone(), changes, fence)
    };
    let new = state("new", "1");
    let outcomes = store
        .write_many(vec![
            finish(&mine),
            finish(&yours),
            finish(&result("none")),
            insert(new.clone(), owned("me")),
        ])
        .await;
    let outcomes: Vec<Outcome> = outcomes.into_iter().map(Result::unwrap).collect();
    assert!(matches!(outcomes[0], Outcome::Applied(_)), "{outcomes:?}");
    assert!(
        is_refused(&outcomes[1], Some(&full(&yours, owned("you")))),
        "{outcomes:?}"
    );
    assert_eq!(outcomes[2], Outcome::Refused(None));
    assert!(
        matches!(outcomes[3], Outcome::Applied(None)),
        "{outcomes:?}"
    );

    let mut finished = full(&mine, owned("me"));
    finished.insert("status".into(), "SUCCESS".into());
    finished.insert("result".into(), 5_i64.into());
    assert_eq!(store.get(&mine).await.unwrap(), Some(finished));
    assert_eq!(
        store.get(&yours).await.unwrap(),
        Some(full(&yours, owned("you")))
    );
    assert_eq!(
        store.get(&result("none")).await.unwrap(),
        None,
        "an update under a fence creates nothing"
    );
    assert_eq!(
        store.get(&new).await.unwrap(),
        Some(full(&new, owned("me")))
    );
}

async fn more_than_one_batch_in_order(world: World) {
    let store = world.store().await;
    let taken: Vec<Key> = ids(53).step_by(7).collect();
    all_applied(
        &*store,
        taken
            .iter()
            .map(|key| insert(key.clone(), owned("first")))
            .collect(),
    )
    .await;
    let writes: Vec<Write> = ids(53).map(|key| insert(key, owned("second"))).collect();
    let outcomes = store.write_many(writes).await;
    assert_eq!(outcomes.len(), 53);
    for (key, outcome) in ids(53).zip(outcomes) {
        let refused = matches!(outcome.unwrap(), Outcome::Refused(_));
        assert_eq!(refused, taken.contains(&key), "{key:?}");
    }
}

async fn inserts_and_fenced_updates(world: World) {
    let store = world.store().await;
    all_applied(
        &*store,
        ids(10).map(|key| insert(key, owned("me"))).collect(),
    )
    .await;
    let finish = |key| {
        let changes = vec![
            set("status", "SUCCESS"),
            set("result", Attribute::Map(item([("sum", 5_i64.into())]))),
            Change::Remove("owner".into()),
        ];
        update(
            key,
            changes,
            When::All(vec![eq("owner", "me"), eq("status", "STARTED")]),
        )
    };
    // By what it tells one can see that it went as a statement, or didn't.
    let told = Some(!world.is_batching());
    all_tell(&*store, ids(10).map(finish).collect(), told).await;
    let wanted = item([
        ("status", "SUCCESS".into()),
        ("attempt", 0_i64.into()),
        ("result", Attribute::Map(item([("sum", 5_i64.into())]))),
    ]);
    for key in ids(10) {
        assert_eq!(
            store.get(&key).await.unwrap(),
            Some(full(&key, wanted.clone()))
        );
    }
    // The same again is refused by its own success.
    for outcome in store.write_many(ids(10).map(finish).collect()).await {
        assert!(matches!(outcome.unwrap(), Outcome::Refused(_)));
    }
}

async fn any_name_will_do(world: World) {
    let store = world.store().await;
    let keys = || {
        NAMES
            .iter()
            .enumerate()
            .map(|(number, name)| (state("n", &number.to_string()), *name))
    };
    let inserts = keys().map(|(key, name)| insert(key, item([(name, 1_i64.into())])));
    all_applied(&*store, inserts.collect()).await;
    let updates = keys().map(|(key, name)| update(key, vec![set(name, 2_i64)], eq(name, 1_i64)));
    all_applied(&*store, updates.collect()).await;
    for (key, name) in keys() {
        let read = store.get(&key).await.unwrap();
        assert_eq!(
            read,
            Some(full(&key, item([(name, 2_i64.into())]))),
            "{name}"
        );
    }
    let removals =
        keys().map(|(key, name)| update(key, vec![Change::Remove(name.into())], eq(name, 2_i64)));
    all_applied(&*store, removals.collect()).await;
    for (key, name) in keys() {
        assert_eq!(
            store.get(&key).await.unwrap(),
            Some(full(&key, Item::new())),
            "{name}"
        );
    }
}

fn values() -> Vec<Attribute> {
    vec![
        "grüße 'quoted' \"twice\" ?".into(),
        "".into(),
        Attribute::Number(i64::MIN),
        Attribute::Decimal(0.1),
        Attribute::Bool(false),
        Attribute::Bytes(vec![0, 255]),
        Attribute::Null,
        Attribute::TextSet(["a".to_owned(), "b".to_owned()].into()),
        Attribute::NumberSet([1, 2].into()),
        Attribute::List(vec![Attribute::List(vec![]), Attribute::Map(Item::new())]),
        Attribute::Map(item([("x", Attribute::List(vec![Attribute::Null]))])),
    ]
}

async fn every_type_of_value(world: World) {
    let store = world.store().await;
    let keys = || ids(values().len()).zip(values());
    let with = |value: Attribute| item([("a", value)]);
    all_applied(
        &*store,
        keys()
            .map(|(key, value)| insert(key, with(value)))
            .collect(),
    )
    .await;
    let copies =
        keys().map(|(key, value)| update(key, vec![set("b", value.clone())], eq("a", value)));
    all_applied(&*store, copies.collect()).await;
    for (key, value) in keys() {
        let wanted = item([("a", value.clone()), ("b", value)]);
        assert_eq!(store.get(&key).await.unwrap(), Some(full(&key, wanted)));
    }
}

/// Adds to a number that each of three items has or hasn't.
async fn additions(world: &World, before: Item, told: bool) {
    let store = world.store().await;
    let inserts = ids(3).map(|key| insert(key, before.clone()));
    all_applied(&*store, inserts.collect()).await;
    let updates = ids(3).map(|key| {
        let changes = vec![Change::Add("n".into(), 2), set("a", "x")];
        update(key, changes, eq("owner", "me"))
    });
    all_tell(&*store, updates.collect(), Some(told)).await;
    let number = before.get("n").and_then(Attribute::as_number).unwrap_or(0) + 2;
    for key in ids(3) {
        let read = store.get(&key).await.unwrap().unwrap();
        assert_eq!(read["n"], number.into());
        assert_eq!(read["a"], "x".into());
    }
}

async fn an_addition_to_a_number_that_is_there(world: World) {
    let before = item([("owner", "me".into()), ("n", 40_i64.into())]);
    additions(&world, before, !world.is_batching()).await;
}

async fn an_addition_to_a_number_that_is_not_there(world: World) {
    // As statements they fail and are repeated singly, and so tell.
    additions(&world, item([("owner", "me".into())]), true).await;
}

async fn an_append(world: World) {
    let store = world.store().await;
    let inserts = ids(2).map(|key| insert(key, owned("me")));
    all_applied(&*store, inserts.collect()).await;
    for round in 1..=2 {
        let updates = ids(2).map(|key| {
            let changes = vec![Change::Append("l".into(), vec![Attribute::Number(round)])];
            update(key, changes, eq("owner", "me"))
        });
        all_applied(&*store, updates.collect()).await;
    }
    let list = Attribute::List(vec![Attribute::Number(1), Attribute::Number(2)]);
    for key in ids(2) {
        assert_eq!(store.get(&key).await.unwrap().unwrap()["l"], list);
    }
}

async fn every_other_kind_of_write_goes_along(world: World) {
    let store = world.store().await;
    let keys: Vec<Key> = ids(6).collect();
    all_applied(
        &*store,
        keys[..4]
            .iter()
            .map(|key| insert(key.clone(), owned("me")))
            .collect(),
    )
    .await;
    let writes = vec![
        Write {
            key: keys[0].clone(),
            op: Op::Delete,
            when: eq("owner", "me"),
        },
        put(keys[1].clone(), item([("a", "new".into())]), When::Always),
        update(
            keys[2].clone(),
            vec![Change::AddToSet("done".into(), [1].into())],
            When::Not(Box::new(When::Contains("done".into(), 1))),
        ),
        update(
            keys[3].clone(),
            vec![set("a", "x")],
            When::Below("attempt".into(), 0_i64.into()),
        ),
        update(keys[4].clone(), vec![set("a", "created")], When::Always),
        insert(keys[5].clone(), owned("you")),
    ];
    let outcomes: Vec<bool> = store
        .write_many(writes)
        .await
        .into_iter()
        .map(|outcome| matches!(outcome.unwrap(), Outcome::Applied(_)))
        .collect();
    assert_eq!(outcomes, [true, true, true, false, true, true]);
    assert_eq!(store.get(&keys[0]).await.unwrap(), None);
    assert_eq!(
        store.get(&keys[1]).await.unwrap().unwrap()["a"],
        "new".into()
    );
    let done = Attribute::NumberSet([1].into());
    assert_eq!(store.get(&keys[2]).await.unwrap().unwrap()["done"], done);
    assert_eq!(
        store.get(&keys[4]).await.unwrap().unwrap()["a"],
        "created".into()
    );
    assert_eq!(
        store.get(&keys[5]).await.unwrap().unwrap()["owner"],
        "you".into()
    );
}

/// The outcomes of one bad write between two good ones: the kind of the bad one's error.
async fn between_good_ones(store: &dyn Store, bad: Write) -> ErrorKind {
    let good = |id: &str| insert(result(id), owned("me"));
    let mut outcomes = store
        .write_many(vec![good("before"), bad, good("after")])
        .await;
    let kind = outcomes.remove(1).unwrap_err().kind();
    for outcome in outcomes {
        assert_eq!(outcome.unwrap(), Outcome::Applied(None));
    }
    kind
}

async fn one_that_is_too_large_costs_no_other(world: World) {
    let store = world.store().await;
    let big = item([("a", Attribute::Text("x".repeat(410_000)))]);
    let kind = between_good_ones(&*store, insert(result("big"), big)).await;
    assert_eq!(kind, ErrorKind::TooLarge);
    assert_eq!(store.get(&result("big")).await.unwrap(), None);
}

async fn one_that_is_invalid_costs_no_other(world: World) {
    let store = world.store().await;
    let kind = between_good_ones(&*store, insert(state("", "s"), Item::new())).await;
    assert_eq!(kind, ErrorKind::Invalid);
}

async fn two_writes_of_one_key_are_refused(world: World) {
    let store = world.store().await;
    let twice = vec![
        insert(result("1"), owned("first")),
        insert(result("1"), owned("second")),
    ];
    let mut outcomes = store.write_many(twice).await;
    assert_eq!(outcomes.remove(1).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(outcomes.remove(0).unwrap(), Outcome::Applied(None));
    assert_eq!(
        store.get(&result("1")).await.unwrap().unwrap()["owner"],
        "first".into()
    );
}

async fn an_unknown_table_is_not_found(world: World) {
    let store = world.vanished_store().expect("memory is skipped");
    for outcome in store
        .write_many(ids(3).map(|key| insert(key, Item::new())).collect())
        .await
    {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
        assert!(
            error.to_string().contains(world.prefix()),
            "it names the table: {error}"
        );
    }
}
