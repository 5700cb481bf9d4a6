//! The end of a group is told once and followed up, whoever dies meanwhile.

use super::super::mortal::{Mortal, survives};
use super::super::stuck::HOUR;
use super::*;
use crate::beat::Beat;
use crate::record;

/// One of the members of a group that fails at once, with somebody to be told.
fn fails_at_once(members: usize) -> Value {
    let members = vec![call("fail", json!(["no luck"])); members];
    let body = json!({ "task": "xsum", "id": "b", "link_error": call("tell", json!([])) });
    json!({ "chord": members, "body": body, "on_failure": "fast" })
}

fn is_told(world: &World) -> bool {
    let messages = world.messages("default");
    messages.iter().any(|one| one.body.contains("tell"))
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_group_that_fails_at_once_is_told_by_the_first() {
    let (world, told) = world();
    let fails = fails_at_once(40).to_string();
    world.send_body("default", fails).await;
    for _ in 0..5 {
        world.step("default").await;
    }
    let waiting = world.messages("default");
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    assert_eq!(world.status("b").await, State::Failure);
    world.work_off().await;
    assert_eq!(told.all().len(), 1);
}

/// Whoever ended it may have died before it told anybody; others that fail meanwhile don't.
#[tokio::test(start_paused = true)]
async fn the_end_of_a_group_is_told_though_its_teller_dies() {
    let mut told_later = 0;
    for calls in 0..12 {
        let (world, told) = world();
        let fails = fails_at_once(3).to_string();
        world.send_body("default", fails).await;
        world.step("default").await;
        let deliveries = world.receive("default").await;
        let mortal = Worker::new(Mortal::app(&world, calls)).tasks(tasks![fail]);
        let invocation = world.invocation();
        let first = mortal.handle(&deliveries[..1], &invocation);
        let survived = survives(&world, first).await.is_some();
        let others = &deliveries[1..];
        let done = world.worker.handle(others, &world.invocation()).await;
        world.acknowledge(others, &done).await;
        let told_at_once = is_told(&world);
        told_later += usize::from(!told_at_once);
        assert!(told_at_once || !survived);
        world.pass(100).await;
        while !world.messages("default").is_empty() || !world.messages("quarantine").is_empty() {
            world.step("default").await;
            world.step("quarantine").await;
            world.pass(10).await;
        }
        assert_eq!(told.all().len(), 1, "{calls} calls");
        assert_eq!(world.status("b").await, State::Failure, "{calls} calls");
    }
    assert!(told_later > 0, "nobody died in between");
}

/// A look that dies after it has ended a group comes again.
#[tokio::test(start_paused = true)]
async fn the_end_of_a_group_is_told_though_the_look_dies_that_ended_it() {
    let mut ended_untold = 0;
    for calls in 0..14 {
        let (world, told) = world();
        let members = [call("add", json!([1, 1]))];
        let group = json!({ "group": members, "id": "g", "link_error": call("tell", json!([])) });
        world.send_body("default", group.to_string()).await;
        world.step("default").await;
        let member = member_id("g", 0);
        world.app().revoke(&member).await.unwrap();
        world.lose_messages(&member);
        world.send_check("g").await;
        let deliveries = world.receive("default").await;
        let mortal = Worker::new(Mortal::app(&world, calls)).tasks(tasks![add]);
        let invocation = world.invocation();
        survives(&world, mortal.handle(&deliveries, &invocation)).await;
        let has_ended = world.status("g").await == State::Failure;
        ended_untold += usize::from(has_ended && !is_told(&world));
        world.pass(100).await;
        world.work_off().await;
        assert_eq!(world.status("g").await, State::Failure, "{calls} calls");
        assert_eq!(told.all().len(), 1, "{calls} calls");
    }
    assert!(ended_untold > 0, "no look died in between");
}

/// Whoever ended an empty group may have died before its body was sent, and nobody take its message any more.
#[tokio::test(start_paused = true)]
async fn the_end_of_a_group_is_followed_up_when_its_message_is_given_up() {
    let mut ended_alone = 0;
    for calls in 0..10 {
        let (world, told) = world();
        let chord = json!({ "chord": [], "body": call("xsum", json!([])) });
        let id = world.send_body("default", chord.to_string()).await;
        let deliveries = world.receive("default").await;
        let mortal = Worker::new(Mortal::app(&world, calls)).tasks(tasks![add]);
        let mortal = mortal.state(told);
        let invocation = world.invocation();
        let first = mortal.handle(&deliveries, &invocation);
        if survives(&world, first).await.is_some() {
            break;
        }
        let groups = world.memory.store().items(Table::Results);
        let ended = groups
            .iter()
            .any(|item| record::status(item) == Some(State::Success));
        ended_alone += usize::from(ended && world.messages("default").len() == 1);
        for _ in 0..10 {
            world.pass(91).await;
            drop(world.receive("default").await);
        }
        world.pass(91).await;
        world.step("undelivered").await;
        world.work_off().await;
        let expected = if ended {
            State::Success
        } else {
            State::Failure
        };
        assert_eq!(world.status(&id).await, expected, "{calls} calls");
    }
    assert!(ended_alone > 0, "nobody died in between");
}

/// A sender whose answer was lost has sent it again: one dead letter for a group is enough.
#[tokio::test(start_paused = true)]
async fn of_a_group_that_is_given_up_twice_there_is_one_dead_letter() {
    let (world, _) = world();
    let group =
        json!({ "v": 1, "id": "g", "group_id": "g", "group": [call("add", json!([1, 1]))] });
    for _ in 0..2 {
        world.send_body("undelivered", group.to_string()).await;
    }
    assert_eq!(world.step("undelivered").await, [Disposition::Done; 2]);
    assert_eq!(world.status("g").await, State::Failure);
    assert_eq!(world.messages("dead-letters").len(), 1);
    // Its parts are a letter each, whichever comes first.
    for (id, places) in [("h", [0, 1]), ("i", [1, 0])] {
        for first in places {
            let mut part = group.clone();
            part["id"] = json!(id);
            part["group_id"] = json!(id);
            part["part"] = json!({ "first": first, "size": 2 });
            world.send_body("undelivered", part.to_string()).await;
        }
    }
    world.step("undelivered").await;
    assert_eq!(world.messages("dead-letters").len(), 5);
}

/// Whoever tells of a group's failure may die midway, and its message be lost.
#[tokio::test(start_paused = true)]
async fn the_failure_of_a_group_is_told_to_the_last_step() {
    let mut told_in_part = 0;
    for calls in 0..14 {
        let (world, told) = world();
        Beat::new().tick(world.app()).await.unwrap();
        let body = json!({ "task": "xsum", "link_error": call("tell", json!([])) });
        let chain = [
            json!({ "group": [call("fail", json!(["no luck"]))] }),
            body,
            call("echo", json!([])),
        ];
        let id = world
            .send_body("default", json!({ "chain": chain }).to_string())
            .await;
        world.step("default").await;
        let deliveries = world.receive("default").await;
        let mortal = Worker::new(Mortal::app(&world, calls)).tasks(tasks![fail]);
        let invocation = world.invocation();
        let member = mortal.handle(&deliveries, &invocation);
        if survives(&world, member).await.is_some() {
            break;
        }
        if world.status(&world.group()).await != State::Failure {
            continue;
        }
        told_in_part += u32::from(!world.status(&id).await.is_final());
        world.lose_those(|body| body == deliveries[0].body);
        world.live(4 * HOUR).await;
        assert_eq!(world.status(&id).await, State::Failure, "{calls} calls");
        assert_eq!(told.all().len(), 1, "{calls} calls");
    }
    assert!(told_in_part > 0, "nobody died in between");
}
