//! Handles of groups: their members, and revoking all of them.

use super::canvas::{call, world};
use super::*;
use crate::result::AsyncResult;

fn sums(members: i64) -> Value {
    let members: Vec<Value> = (0..members).map(|n| call("add", json!([n, 0]))).collect();
    json!({ "group": members })
}

#[tokio::test(start_paused = true)]
async fn members_that_have_not_started_are_revoked_together() {
    let (world, _) = world();
    let id = world.send_body("default", sums(30).to_string()).await;
    world.step("default").await;
    world.step("default").await;
    let group: AsyncResult<Vec<i64>> = world.app().result_of(id);
    assert_eq!(group.completed().await.unwrap(), 10);
    assert_eq!(group.revoke_members().await.unwrap(), 20);
    assert_eq!(group.revoke_members().await.unwrap(), 20, "once more");
    world.work_off().await;
    assert_eq!(world.runs.count(), 10);
    assert_eq!(group.completed().await.unwrap(), 30);
    let error = group.record().await.unwrap().error.unwrap();
    assert!(error.message.contains("raised Revoked("), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_group_that_has_not_begun_is_revoked_whole() {
    let (world, _) = world();
    // So large that one delivery doesn't send all of it.
    let id = world.send_body("default", sums(700).to_string()).await;
    let group: AsyncResult<Vec<i64>> = world.app().result_of(id);
    assert_eq!(group.revoke_members().await.unwrap(), 0);
    world.work_off().await;
    assert_eq!(group.state().await.unwrap(), State::Revoked);
    assert_eq!(world.runs.count(), 0);
}

/// Those that no message was sent for yet are revoked like the others.
#[tokio::test(start_paused = true)]
async fn a_large_group_is_revoked_while_it_is_sent() {
    let (world, _) = world();
    let id = world.send_body("default", sums(700).to_string()).await;
    world.step("default").await;
    let group: AsyncResult<Vec<i64>> = world.app().result_of(id);
    assert_eq!(group.revoke_members().await.unwrap(), 700);
    world.work_off().await;
    assert_eq!(group.state().await.unwrap(), State::Failure);
    assert_eq!(world.runs.count(), 0);
}
