//! What people are told: lists, the next due times, what became of the last.

use super::*;
use crate::State;

#[tokio::test(start_paused = true)]
async fn the_next_due_times_are_told_in_utc_and_on_the_local_clock() {
    let world = World::new();
    let evening = crontab("0 18 * * *").in_tz("Europe/Kyiv");
    let entries = world.entries();
    let added = entries.add(noting("a", evening.clone())).await.unwrap();
    assert_eq!(added.schedule.as_deref(), Some("0 18 * * * (Europe/Kyiv)"));
    let next = entries.next("a", 40).await.unwrap();
    assert_eq!(next.len(), 40);
    assert_eq!(Some(&next[0]), added.next.as_ref());
    // The clock is put forward on 29 March.
    let told: Vec<_> = next[27..29]
        .iter()
        .map(|coming| {
            (
                coming.due.to_string(),
                coming.local.as_str(),
                coming.tz.as_str(),
            )
        })
        .collect();
    let zone = "Europe/Kyiv";
    assert_eq!(
        told,
        [
            (
                "2026-03-28T16:00:00.000Z".to_owned(),
                "2026-03-28T18:00:00+02:00",
                zone
            ),
            (
                "2026-03-29T15:00:00.000Z".to_owned(),
                "2026-03-29T18:00:00+03:00",
                zone
            ),
        ]
    );
    let limited = noting("b", evening).max_runs(3).ending(at(2 * 86_400));
    entries.add(limited).await.unwrap();
    assert_eq!(entries.next("b", 40).await.unwrap().len(), 2);
    let names: Vec<_> = entries.list().await.unwrap();
    let names: Vec<_> = names.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn max_runs_bounds_what_is_told_with_what_was_handed_out() {
    let world = World::new();
    let entries = world.entries();
    entries
        .add(noting("a", seconds(30)).max_runs(3))
        .await
        .unwrap();
    assert_eq!(entries.next("a", 9).await.unwrap().len(), 3);
    Beat::new().tick(world.app()).await.unwrap();
    assert_eq!(entries.next("a", 9).await.unwrap().len(), 3);
    world.pass(40).await;
    assert_eq!(entries.next("a", 9).await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn history_goes_back_over_revisions_and_has_what_was_asked_for() {
    let world = World::new();
    let entries = world.entries();
    entries.add(noting("a", seconds(30))).await.unwrap();
    world.minutes(&Beat::new(), 1).await;
    entries.edit(noting("a", seconds(20))).await.unwrap();
    world.minutes(&Beat::new(), 1).await;
    entries.pause("a").await.unwrap();
    let id = entries.run_now("a").await.unwrap();
    world.minutes(&Beat::new(), 1).await;
    let past = entries.history("a", 10).await.unwrap();
    let told: Vec<_> = past
        .iter()
        .map(|past| {
            (
                past.due.as_secs() - START.as_secs(),
                past.status,
                past.by_hand,
            )
        })
        .collect();
    let success = |at, by_hand| (at, State::Success, by_hand);
    assert_eq!(
        told,
        [
            success(120, true),
            success(120, false),
            success(100, false),
            success(80, false),
            success(60, false),
            success(30, false),
        ]
    );
    assert_eq!(past[0].id, id);
    assert_eq!(entries.history("a", 2).await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_list_of_runs_by_hand_stays_short() {
    let world = World::new();
    let entries = world.entries();
    entries.add(noting("a", seconds(86_400))).await.unwrap();
    for _ in 0..35 {
        entries.run_now("a").await.unwrap();
    }
    let stored = tick::load(world.app(), "a").await.unwrap().unwrap();
    assert!(
        (10..=20).contains(&stored.run_now.len()),
        "{}",
        stored.run_now.len()
    );
    assert_eq!(entries.history("a", 50).await.unwrap().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_or_is_there_already_is_told() {
    let world = World::new();
    let entries = world.entries();
    let error = entries.get("a").await.unwrap_err();
    assert_eq!(error.to_string(), "there is no beat entry `a`");
    entries.add(noting("a", seconds(30))).await.unwrap();
    let error = entries.add(noting("a", seconds(60))).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is a beat entry `a` already: edit it, or choose another name"
    );
}
