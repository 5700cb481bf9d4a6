//! Ticks that come doubled, beside each other, late, and from programs with other code.

use super::*;
use crate::ports::{Key, Op, When, Write};

#[tokio::test(start_paused = true)]
async fn each_due_time_runs_once_and_to_the_second() {
    let world = World::new();
    let beat = one(noting("a", seconds(30)));
    world.minutes(&beat, 3).await;
    assert_eq!(world.ran("a"), [30, 60, 90, 120, 150, 180]);
}

#[tokio::test(start_paused = true)]
async fn ticks_doubled_and_beside_each_other_send_the_same() {
    let world = World::new();
    let beat = one(noting("a", seconds(20)));
    for _ in 0..3 {
        let app = world.app();
        let (one, two, three) = tokio::join!(beat.tick(app), beat.tick(app), beat.tick(app));
        one.and(two).and(three).unwrap();
        world.pass(7).await;
        beat.tick(app).await.unwrap();
        world.pass(53).await;
    }
    assert_eq!(world.ran("a"), [20, 40, 60, 80, 100, 120, 140, 160, 180]);
}

#[tokio::test(start_paused = true)]
async fn what_was_told_before_the_first_tick_is_due_since_then() {
    let world = World::new();
    let entry = noting("a", seconds(10));
    world.entries().add(entry).await.unwrap();
    world.wait(45).await;
    Beat::new().tick(world.app()).await.unwrap();
    world.pass(15).await;
    // Late, for no tick was there; but none of them was missed.
    assert_eq!(world.ran("a"), [45, 45, 45, 45, 50, 60]);
    assert!(!world.item("a").unwrap().contains_key("after"));
}

#[tokio::test(start_paused = true)]
async fn the_code_wins_by_name() {
    let world = World::new();
    let mine = Entry::new("a", seconds(10), note::s("mine".to_owned()));
    world.entries().add(mine).await.unwrap();
    let beat = one(noting("a", seconds(30)));
    world.minutes(&beat, 1).await;
    assert_eq!(world.entries().get("a").await.unwrap().source, Source::Code);
    assert!(world.ran("mine").is_empty());
    assert_eq!(world.ran("a"), [30, 60]);
}

#[tokio::test(start_paused = true)]
async fn what_the_code_changes_or_drops_takes_what_was_handed_out_along() {
    let world = World::new();
    let (a, b) = (noting("a", seconds(20)), noting("b", seconds(20)));
    Beat::new().with(a).with(b).tick(world.app()).await.unwrap();
    world.pass(30).await;
    // The next deployment: one entry is slower, one is gone.
    let beat = one(noting("a", seconds(45)));
    world.minutes(&beat, 2).await;
    assert_eq!(world.ran("a"), [20, 45, 90, 135]);
    assert_eq!(world.ran("b"), [20]);
    assert_eq!(world.item("b"), None);
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_was_paused_stays_so_over_deployments() {
    let world = World::new();
    one(noting("a", seconds(20)))
        .tick(world.app())
        .await
        .unwrap();
    world.entries().pause("a").await.unwrap();
    let beat = one(noting("a", seconds(15)));
    world.minutes(&beat, 2).await;
    assert!(world.ran("a").is_empty());
    world.entries().resume("a").await.unwrap();
    world.minutes(&beat, 1).await;
    assert_eq!(world.ran("a"), [135, 150, 165, 180]);
}

#[tokio::test(start_paused = true)]
async fn one_bad_entry_stops_none_of_the_others() {
    let world = World::new();
    let by_hand = |name: &str, entry: &str| Write {
        key: Key::State("beat".to_owned(), format!("entry#{name}")),
        op: Op::Put(Item::from([("entry".into(), entry.into())])),
        when: When::Always,
    };
    let unknown = r#"{"name":"unknown","schedule":{"every":30},"task":{"task":"nobody"}}"#;
    let store = &world.app().ports().store;
    for write in [by_hand("unread", "{"), by_hand("unknown", unknown)] {
        store.write(write).await.unwrap();
    }
    let beat = one(noting("a", seconds(30)));
    let ticked = beat.tick(world.app()).await.unwrap();
    assert_eq!((ticked.sent, ticked.left_out), (2, 2));
    world.pass(60).await;
    assert_eq!(world.ran("a"), [30, 60]);
    let listed = world.entries().list().await.unwrap();
    let problem = listed.iter().find_map(|entry| entry.problem.as_deref());
    assert!(
        problem
            .unwrap()
            .starts_with("beat entry `unread` is no JSON"),
        "{problem:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_is_kept_as_a_rule_is_left_to_it() {
    let world = World::new();
    let entry = noting("a", seconds(30));
    world.entries().add(entry.clone()).await.unwrap();
    let write = Write {
        key: Key::State("beat".to_owned(), "entry#a".to_owned()),
        op: Op::Update(vec![crate::ports::Change::Set("rule".into(), "s-a".into())]),
        when: When::Present,
    };
    world.app().ports().store.write(write).await.unwrap();
    world.minutes(&Beat::new(), 1).await;
    assert!(world.ran("a").is_empty());
    let refused = world.entries().edit(entry).await.unwrap_err();
    assert!(
        refused.to_string().contains("EventBridge rule `s-a`"),
        "{refused}"
    );
}

#[tokio::test(start_paused = true)]
async fn no_more_runs_than_allowed_however_many_ticks() {
    let world = World::new();
    let beat = one(noting("a", seconds(7)).max_runs(5));
    let app = world.app();
    beat.tick(app).await.unwrap();
    for _ in 0..12 {
        let (one, two) = tokio::join!(beat.tick(app), beat.tick(app));
        one.and(two).unwrap();
        world.pass(11).await;
    }
    assert_eq!(world.ran("a"), [7, 14, 21, 28, 35]);
    assert_eq!(world.entries().get("a").await.unwrap().runs, Some(5));
    assert!(world.entries().next("a", 5).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_edit_gives_back_the_runs_it_revokes() {
    let world = World::new();
    let entry = noting("a", seconds(20)).max_runs(4);
    world.entries().add(entry).await.unwrap();
    Beat::new().tick(world.app()).await.unwrap();
    world.pass(25).await;
    world
        .entries()
        .edit(noting("a", seconds(15)).max_runs(4))
        .await
        .unwrap();
    assert_eq!(world.entries().get("a").await.unwrap().runs, Some(1));
    world.minutes(&Beat::new(), 2).await;
    assert_eq!(world.ran("a"), [20, 30, 45, 60]);
}

#[tokio::test(start_paused = true)]
async fn jitter_is_the_same_for_every_tick_and_within_its_bounds() {
    let world = World::new();
    let beat = one(noting("a", seconds(60)).jitter(Duration::from_secs(20)));
    for _ in 0..20 {
        beat.tick(world.app()).await.unwrap();
        world.pass(30).await;
        beat.tick(world.app()).await.unwrap();
        world.pass(30).await;
    }
    world.pass(20).await;
    let ran = world.ran("a");
    let late: Vec<i64> = ran
        .iter()
        .zip(1..)
        .map(|(at, turn)| at - turn * 60)
        .collect();
    assert!(late.iter().all(|late| (0..=20).contains(late)), "{late:?}");
    assert_eq!(ran.len(), 20);
    assert!(late.iter().any(|one| *one != late[0]), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn expiry_counts_from_the_due_time() {
    let world = World::new();
    let hurried = note::s("a".to_owned()).expires(Duration::from_secs(5));
    let beat = Beat::new().entry("a", seconds(50), hurried);
    world.minutes(&beat, 1).await;
    assert_eq!(world.ran("a"), [50]);
}

#[tokio::test(start_paused = true)]
async fn due_between_its_start_and_its_end() {
    let world = World::new();
    let beat = one(noting("a", seconds(20)).between(at(40), at(100)));
    world.minutes(&beat, 3).await;
    assert_eq!(world.ran("a"), [40, 60, 80, 100]);
}

#[tokio::test(start_paused = true)]
async fn a_tick_where_nothing_is_due_reads_once_and_writes_once() {
    let world = World::new();
    let beat = one(noting("a", seconds(3600)));
    world.minutes(&beat, 2).await;
    let before = world.memory.counts();
    beat.tick(world.app()).await.unwrap();
    let tick = world.memory.counts().since(&before);
    assert_eq!((tick.of("GetItem"), tick.of("UpdateItem")), (0, 1));
    assert_eq!((tick.of("PutItem"), tick.of("SendMessageBatch")), (0, 0));
}
