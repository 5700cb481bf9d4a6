//! Changes at run time: they take effect on what was handed out already.

use super::*;
use crate::error::ErrorKind;

/// A world with the entry `a`, due every 20 s, of which 40 and 60 lie in the queue at 25 s.
async fn handed_out() -> World {
    let world = World::new();
    world.entries().add(noting("a", seconds(20))).await.unwrap();
    Beat::new().tick(world.app()).await.unwrap();
    world.pass(25).await;
    assert_eq!(world.ran("a"), [20]);
    world
}

#[tokio::test(start_paused = true)]
async fn what_is_paused_doesnt_run_and_goes_on_when_it_is_resumed() {
    let world = handed_out().await;
    assert!(world.entries().pause("a").await.unwrap().paused);
    world.minutes(&Beat::new(), 1).await;
    assert_eq!(world.ran("a"), [20]);
    world.entries().resume("a").await.unwrap();
    world.minutes(&Beat::new(), 1).await;
    assert_eq!(world.ran("a"), [20, 100, 120, 140]);
}

/// A first delivery of it isn't claimed elsewhere, and so wouldn't see that it was revoked.
#[tokio::test(start_paused = true)]
async fn what_is_idempotent_is_taken_back_too() {
    #[task(idempotent)]
    async fn again(#[state] ran: &Ran) {
        ran.0.lock().unwrap().push(("again".to_owned(), 0));
    }
    let mut world = World::new();
    let app = world.app().clone();
    world.worker = Worker::new(app)
        .tasks(tasks![again])
        .state(world.ran.clone());
    let entry = Entry::new("a", seconds(20), again::s());
    world.entries().add(entry).await.unwrap();
    Beat::new().tick(world.app()).await.unwrap();
    world.pass(25).await;
    world.entries().pause("a").await.unwrap();
    world.pass(60).await;
    assert_eq!(world.ran("again"), [0]);
}

#[tokio::test(start_paused = true)]
async fn paused_and_resumed_at_once_it_runs_as_if_nothing_had_been() {
    let world = handed_out().await;
    world.entries().pause("a").await.unwrap();
    world.entries().resume("a").await.unwrap();
    world.minutes(&Beat::new(), 1).await;
    assert_eq!(world.ran("a"), [20, 40, 60, 80]);
}

#[tokio::test(start_paused = true)]
async fn an_edit_holds_for_what_was_handed_out() {
    let world = handed_out().await;
    let other = Entry::new("a", seconds(30), note::s("b".to_owned()));
    world.entries().edit(other).await.unwrap();
    world.minutes(&Beat::new(), 1).await;
    assert_eq!(world.ran("a"), [20]);
    assert_eq!(world.ran("b"), [30, 60]);
}

#[tokio::test(start_paused = true)]
async fn a_disabled_definition_is_due_again_when_it_says_so() {
    let world = handed_out().await;
    let entry = noting("a", seconds(20));
    world
        .entries()
        .edit(entry.clone().disabled())
        .await
        .unwrap();
    world.minutes(&Beat::new(), 1).await;
    assert_eq!(world.ran("a"), [20]);
    world.entries().edit(entry).await.unwrap();
    world.minutes(&Beat::new(), 1).await;
    assert_eq!(world.ran("a"), [20, 100, 120, 140]);
}

#[tokio::test(start_paused = true)]
async fn what_is_removed_is_gone_and_can_be_added_anew() {
    let world = handed_out().await;
    world.entries().remove("a").await.unwrap();
    assert_eq!(world.item("a"), None);
    world.pass(10).await;
    world.entries().add(noting("a", seconds(20))).await.unwrap();
    world.minutes(&Beat::new(), 1).await;
    assert_eq!(world.ran("a"), [20, 40, 60, 80]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_its_jitter_is_taken_back_by_a_pause_and_kept_by_an_edit() {
    for pauses in [true, false] {
        let world = World::new();
        let entry = noting("a", seconds(60)).jitter(Duration::from_secs(3000));
        world.entries().add(entry).await.unwrap();
        world.minutes(&Beat::new(), 5).await;
        let before = world.ran("a").len();
        if pauses {
            world.entries().pause("a").await.unwrap();
        } else {
            let never = noting("a", seconds(86_400)).jitter(Duration::from_secs(3000));
            world.entries().edit(never).await.unwrap();
        }
        // What waits longest was parked.
        world.minutes(&Beat::new(), 55).await;
        let due = if pauses { before } else { 5 };
        assert_eq!(world.ran("a").len(), due, "{:?}", world.ran("a"));
        assert!(before < 5, "some have to wait");
    }
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_was_handed_out_doesnt_begin() {
    let world = World::new();
    let chain = note::s("one".to_owned()) | note::s("two".to_owned()).immutable();
    world
        .entries()
        .add(Entry::new("a", seconds(20), chain))
        .await
        .unwrap();
    Beat::new().tick(world.app()).await.unwrap();
    world.pass(25).await;
    world.entries().remove("a").await.unwrap();
    world.pass(60).await;
    assert_eq!((world.ran("one"), world.ran("two")), (vec![20], vec![20]));
}

#[tokio::test(start_paused = true)]
async fn what_stands_in_the_code_is_changed_there() {
    let world = World::new();
    let entry = noting("a", seconds(20));
    one(entry.clone()).tick(world.app()).await.unwrap();
    let entries = world.entries();
    let refusals = [
        entries.edit(entry.clone().disabled()).await.map(drop),
        entries.remove("a").await,
    ];
    for refused in refusals {
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        let what = "beat entry `a` stands in the code: change it there, or pause it";
        assert_eq!(refused.to_string(), what);
    }
    entries.pause("a").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn of_two_who_change_one_entry_the_second_is_told() {
    let world = handed_out().await;
    let old = tick::load(world.app(), "a").await.unwrap().unwrap();
    world.entries().pause("a").await.unwrap();
    let to = change::To {
        removed: true,
        ..change::To::as_is(&old)
    };
    assert!(
        change::change(world.app(), &old, to)
            .await
            .unwrap()
            .is_none()
    );
    assert!(world.item("a").is_some());
}
