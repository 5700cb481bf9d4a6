//! Ticks that didn't come: what is made up for.

use super::*;
use crate::beat::due::Chosen;

/// A world in which beat was away for 20 minutes after its first, and is back for two.
async fn away(entry: Entry) -> Vec<i64> {
    let world = World::new();
    let beat = one(entry);
    world.minutes(&beat, 1).await;
    world.pass(20 * 60).await;
    world.minutes(&beat, 2).await;
    world.ran("a")
}

/// Seconds from the world's beginning to beat's return.
const BACK: i64 = 21 * 60;

#[tokio::test(start_paused = true)]
async fn of_what_was_missed_the_last_is_sent() {
    let ran = away(noting("a", seconds(300))).await;
    assert_eq!(ran, [BACK]);
    let ran = away(noting("a", seconds(240))).await;
    assert_eq!(ran, [BACK]);
    let ran = away(noting("a", seconds(50))).await;
    // The first minute's; the last that was missed; and those that are due.
    assert_eq!(ran, [50, BACK, 1300, 1350]);
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_is_skipped() {
    let entry = || noting("a", seconds(240)).catch_up(CatchUp::Skip);
    // The last is a minute ago, which is as late as may be where nothing is said.
    assert_eq!(away(entry()).await, [BACK]);
    let ran = away(entry().grace(Duration::from_secs(59))).await;
    assert_eq!(ran, [0; 0]);
    let ran = away(entry().grace(Duration::from_secs(300))).await;
    assert_eq!(ran, [BACK, BACK]);
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_is_sent_in_full() {
    let entry = || noting("a", seconds(240)).catch_up(CatchUp::All);
    assert_eq!(away(entry()).await, [BACK; 5]);
    assert_eq!(
        away(entry().grace(Duration::from_secs(600))).await,
        [BACK; 3]
    );
}

#[tokio::test(start_paused = true)]
async fn a_long_list_of_missed_ones_is_sent_in_parts_and_in_order() {
    let world = World::new();
    let beat = one(noting("a", seconds(1)).catch_up(CatchUp::All));
    beat.tick(world.app()).await.unwrap();
    world.wait(2400).await;
    let mut sent = Vec::new();
    for _ in 0..4 {
        sent.push(beat.tick(world.app()).await.unwrap().sent);
        world.pass(60).await;
    }
    assert_eq!(sent, [1000, 1000, 450 + 70, 60]);
    assert_eq!(world.ran("a").len(), 2640);
    assert!(!world.item("a").unwrap().contains_key("after"));
}

#[test]
fn a_year_of_seconds_is_bounded_work() {
    let year = Duration::from_secs(365 * 86_400);
    let now = START + year;
    let until = now + AHEAD;
    let due = |catch_up| {
        let entry = noting("a", seconds(1)).catch_up(catch_up);
        entry.choose(START, false, now, until)
    };
    let once = due(CatchUp::Once);
    assert_eq!((once.due.len(), once.due[0], once.rest), (71, now, None));
    let all = due(CatchUp::All);
    assert_eq!((all.due.len(), all.rest), (1000, Some(at(1000))));
    assert_eq!(due(CatchUp::Skip).due.len(), 61 + 70);
}

#[test]
fn the_last_missed_is_found_in_every_kind_of_schedule() {
    let year = Duration::from_secs(365 * 86_400);
    let now = START + year;
    for schedule in [
        crontab("* * * * *"),
        crontab("*/7 3 29 2 *"),
        crontab("30 18 * * fri").in_tz("Europe/Kyiv"),
        crontab("* * 1 1 *"),
        solar(crate::schedule::Event::Sunset, 69.65, 18.96),
        crate::schedule::at(START + year / 3),
        seconds(86_400),
    ] {
        let entry = noting("a", schedule);
        let chosen = entry.choose(START, false, now, now);
        let last = entry.schedule.due(START, now).last();
        assert_eq!(
            chosen,
            Chosen {
                due: last.into_iter().collect(),
                rest: None
            },
            "{}",
            entry.schedule
        );
    }
}
