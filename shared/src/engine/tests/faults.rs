//! Calls that fail, and calls that were done though their answer was lost.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::*;
use crate::tests::faulty::{Call, Fault, faulty};

/// A world in which the next writes go wrong as told.
fn world(faults: &[Fault]) -> World {
    let mut world = World::new();
    let faults = Mutex::new(VecDeque::from(faults.to_vec()));
    let ports = faulty(world.app().ports(), move |call| match call {
        Call::Write => faults.lock().unwrap().pop_front().unwrap_or(Fault::None),
        _ => Fault::None,
    });
    let app = App::new(ports, Config::memory());
    world.worker = Worker::new(app)
        .tasks(tasks![add, flaky, slow])
        .state(world.runs.clone());
    world
}

#[tokio::test(start_paused = true)]
async fn a_throttled_finish_is_tried_again_and_the_body_is_not() {
    let world = world(&[
        Fault::None,
        Fault::Throttled,
        Fault::Throttled,
        Fault::Throttled,
    ]);
    let id = world.send("add", json!([2, 3])).await;
    assert_eq!(world.step("default").await, [Disposition::Done]);
    assert_eq!(world.status(&id).await, State::Success);
    assert_eq!(world.runs.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_finish_whose_answer_was_lost_is_recognised() {
    for fault in [Fault::AnswerLost, Fault::DoneTwice] {
        let world = world(&[Fault::None, fault]);
        let id = world.send("add", json!([2, 3])).await;
        assert_eq!(world.step("default").await, [Disposition::Done]);
        assert_eq!(world.record(&id).await.result, Some(json!(5)));
        assert_eq!(world.runs.count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_whose_record_was_written_twice_is_sent_once() {
    let world = world(&[Fault::None, Fault::DoneTwice]);
    let id = world.send("flaky", json!([1])).await;
    assert_eq!(world.step("default").await, [Disposition::Done]);
    assert_eq!(world.status(&id).await, State::Retry);
    assert_eq!(world.messages("default").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_answer_was_lost_is_recognised() {
    let world = world(&[Fault::DoneTwice]);
    let id = world.send("add", json!([2, 3])).await;
    assert_eq!(world.step("default").await, [Disposition::Done]);
    assert_eq!(world.status(&id).await, State::Success);
    assert_eq!(world.record(&id).await.attempts.len(), 1);
    assert_eq!(world.runs.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_was_done_though_its_call_failed_is_gone_on_with() {
    let world = world(&[Fault::AnswerLost]);
    let id = world.send("add", json!([2, 3])).await;
    assert_eq!(world.step("default").await, [Disposition::Done]);
    assert_eq!(world.status(&id).await, State::Success);
    assert_eq!(world.record(&id).await.attempts.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_claim_in_quarantine_whose_answer_was_lost_is_no_death() {
    // Its process dies, it goes to quarantine, and there the second write is the claim.
    let answers = [Fault::None, Fault::None, Fault::None, Fault::AnswerLost];
    let world = world(&answers);
    let id = world.send("slow", json!([2])).await;
    world.die("default", Duration::from_secs(1)).await;
    world.pass(95).await;
    assert_eq!(world.step("default").await, [Disposition::Done]);
    assert_eq!(world.step("quarantine").await, [Disposition::Done]);
    assert_eq!(world.status(&id).await, State::Success);
    assert_eq!(world.item(&id)["crashes"].as_number(), Some(1), "one claim");
}

#[tokio::test(start_paused = true)]
async fn a_first_claim_in_quarantine_that_is_given_up_is_no_death() {
    // There the batch's call is refused by the dead claim, and four more are done and never answered.
    let mut answers = [Fault::AnswerLost; 7];
    answers[..3].fill(Fault::None);
    let world = world(&answers);
    let id = world.send("slow", json!([2])).await;
    world.die("default", Duration::from_secs(1)).await;
    world.pass(95).await;
    assert_eq!(world.step("default").await, [Disposition::Done]);
    assert_eq!(world.step("quarantine").await, [Disposition::Returned]);
    assert_eq!(world.status(&id).await, State::Retry, "nobody holds it");
    assert_eq!(world.item(&id)["crashes"].as_number(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_first_claim_that_is_given_up_has_counted_nothing() {
    // Alone in its batch, in a deployment without quarantine: every claim but the first would count.
    let world = world(&[Fault::AnswerLost; 5]);
    let id = world.send("add", json!([2, 3])).await;
    assert_eq!(world.step("default").await, [Disposition::Returned]);
    assert!(!world.item(&id).contains_key("crashes"));
}

/// The memory store removes nothing by itself, as DynamoDB may for days.
#[tokio::test(start_paused = true)]
async fn a_claim_that_failed_leaves_nothing_in_place_of_an_expired_record() {
    let world = world(&[Fault::None, Fault::None, Fault::Throttled]);
    let body = json!({"id": "again", "task": "add", "args": [2, 3]}).to_string();
    world.send_body("default", body.clone()).await;
    assert_eq!(world.step("default").await, [Disposition::Done]);
    world.pass(86_400 * 15).await;
    world.send_body("default", body).await;
    assert_eq!(world.step("default").await, [Disposition::Returned]);
    world.pass(6).await;
    assert_eq!(world.step("default").await, [Disposition::Done]);
    assert_eq!(world.status("again").await, State::Success);
    assert_eq!(world.runs.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_took_long_costs_a_task_with_a_limit_no_outcome() {
    let world = world(&[Fault::Slow(25)]);
    let body = json!({"id": "s", "task": "slow", "args": [35], "time_limit": 40});
    world.send_body("default", body.to_string()).await;
    assert_eq!(world.step("default").await, [Disposition::Done]);
    assert_eq!(
        world.status("s").await,
        State::Retry,
        "it had 33.5 s of its 40"
    );
    world.pass(1).await;
    assert_eq!(world.step("default").await, [Disposition::Done]);
    assert_eq!(world.status("s").await, State::Success);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_claim_hands_the_message_back_soon() {
    let world = world(&[Fault::Throttled]);
    let id = world.send("add", json!([2, 3])).await;
    assert_eq!(world.step("default").await, [Disposition::Returned]);
    assert_eq!(world.runs.count(), 0);
    world.pass(6).await;
    assert_eq!(world.step("default").await, [Disposition::Done]);
    assert_eq!(world.status(&id).await, State::Success);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_stays_in_doubt_is_given_up() {
    // The batch's call and four more: each was done, none was answered.
    let world = world(&[Fault::AnswerLost; 5]);
    let id = world.send("add", json!([2, 3])).await;
    assert_eq!(world.step("default").await, [Disposition::Returned]);
    assert_eq!(world.status(&id).await, State::Retry, "nobody holds it");
    world.pass(6).await;
    assert_eq!(world.step("default").await, [Disposition::Done]);
    assert_eq!(world.status(&id).await, State::Success);
    assert_eq!(world.runs.count(), 1);
    assert!(world.messages("quarantine").is_empty(), "nobody died");
}
