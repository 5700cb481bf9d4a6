//! Members that are added to a group or chord by one of its members.

use super::canvas::{Told, call, world};
use super::stuck::{DAY, HOUR};
use super::*;
use crate::context::Context;
use crate::group::{added_id, member_id};
use crate::signature::Signature;

/// Adds these members, and then yields, fails or asks for more time.
#[task(max_retries = 1, default_retry_delay = secs(1))]
async fn grow(
    #[ctx] ctx: &Context,
    n: i64,
    #[default] add: Vec<Value>,
    #[default] end: String,
) -> Result<i64, TaskError> {
    for member in add {
        ctx.add_to_chord(Signature::<(), Value>::try_from(member)?)?;
    }
    match end.as_str() {
        "fail" => Err(TaskError::permanent("no luck")),
        "retry" if ctx.retries() == 0 => Err(TaskError::retry("once more")),
        "replace" => Err(ctx.replace(add::s(n, 0))),
        _ => Ok(n),
    }
}

/// The same, without a claim.
#[task(idempotent)]
async fn grow_again(
    #[ctx] ctx: &Context,
    n: i64,
    #[default] add: Vec<Value>,
) -> Result<i64, TaskError> {
    for member in add {
        ctx.add_to_chord(Signature::<(), Value>::try_from(member)?)?;
    }
    Ok(n)
}

#[task]
async fn gives_way(#[ctx] ctx: &Context, by: Value) -> Result<Value, TaskError> {
    Err(ctx.replace(Signature::<(), Value>::try_from(by)?))
}

fn growing() -> (World, Told) {
    let (mut world, told) = world();
    world.worker = world.worker.tasks(tasks![grow, grow_again, gives_way]);
    (world, told)
}

fn number(n: i64) -> Value {
    call("add", json!([n, 0]))
}

fn grown(n: i64, added: &[Value]) -> Value {
    call("grow", json!([n, added]))
}

fn ending(n: i64, added: &[Value], end: &str) -> Value {
    call("grow", json!([n, added, end]))
}

/// A chord whose body yields the list that it is given.
fn chord(members: &[Value]) -> Value {
    json!({ "chord": members, "body": call("echo", json!([])) })
}

impl World {
    async fn compose(&self, canvas: Value) -> Record {
        let id = self.send_body("default", canvas.to_string()).await;
        self.work_off().await;
        self.app().whole(self.record(&id).await).await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn the_body_has_what_was_added_behind_who_added_it() {
    let (world, _) = growing();
    let inner = grown(3, &[number(4), number(5)]);
    let members = [number(1), grown(2, &[inner, number(6)]), number(7)];
    let record = world.compose(chord(&members)).await;
    assert_eq!(record.result, Some(json!([1, 2, 3, 4, 5, 6, 7])));
    let record = world.compose(json!({ "group": members })).await;
    assert_eq!(record.result, Some(json!([1, 2, 3, 4, 5, 6, 7])));
    // Who adds is done at once; its group isn't.
    let adder = world.record(&member_id(&record.id, 1)).await;
    assert_eq!(
        (adder.status, adder.result),
        (State::Success, Some(json!(2)))
    );
    assert_eq!(adder.children, [added_id(&adder.id)]);
    // An idempotent one, a group, and a chain whose last step adds.
    let again = call("grow_again", json!([2, [number(3)]]));
    let last = json!({ "task": "grow", "kwargs": { "add": [json!({ "group": [number(5)] })] } });
    let chain = json!({ "chain": [number(4), last] });
    let record = world.compose(chord(&[number(1), again, chain])).await;
    assert_eq!(record.result, Some(json!([1, 2, 3, 4, [5]])));
}

/// A thousand that one adds and each of these one more; each is counted in a tree of its own.
#[tokio::test(start_paused = true)]
async fn a_chord_grows_far_beyond_its_size() {
    let (world, _) = growing();
    let added: Vec<Value> = (0..1000).map(|n| grown(n, &[number(n)])).collect();
    let body = call("xsum", json!([]));
    let chord = json!({ "chord": [grown(0, &added)], "body": body });
    let record = world.compose(chord).await;
    assert_eq!(record.result, Some(json!(1000 * 999)));
}

#[tokio::test(start_paused = true)]
async fn callbacks_of_who_adds_have_its_own_result() {
    let (world, told) = growing();
    let member = json!({
        "task": "grow", "args": [1, [number(2)]], "link": call("tell", json!([])),
    });
    let record = world.compose(chord(&[member])).await;
    assert_eq!(record.result, Some(json!([1, 2])));
    assert_eq!(told.all(), [json!(1)]);
}

#[tokio::test(start_paused = true)]
async fn only_a_run_that_succeeds_adds() {
    let (world, _) = growing();
    let retried = ending(2, &[number(3)], "retry");
    let record = world.compose(chord(&[number(1), retried])).await;
    assert_eq!(record.result, Some(json!([1, 2, 3])));
    let runs = world.runs.count();
    let failed = ending(2, &[number(3)], "fail");
    let record = world.compose(chord(&[number(1), failed])).await;
    assert_eq!(record.status, State::Failure);
    assert_eq!(world.runs.count(), runs + 1);
}

#[tokio::test(start_paused = true)]
async fn what_fails_of_what_was_added_fails_the_chord() {
    let (world, _) = growing();
    let fails = call("fail", json!(["no luck"]));
    let members = [number(1), grown(2, &[number(3), fails])];
    let mut chord = chord(&members);
    let error = world.compose(chord.clone()).await.error.unwrap();
    assert!(
        error.message.ends_with("raised TaskError(\"no luck\")"),
        "{error}"
    );
    assert!(!error.message.contains("ChordError"), "{error}");
    chord["on_failure"] = json!("collect");
    let collected = world.compose(chord.clone()).await.result.unwrap();
    assert_eq!(collected[2], json!({ "ok": 3 }));
    assert_eq!(collected[3]["error"]["message"], "no luck");
    assert_eq!(collected.as_array().unwrap().len(), 4);
    // At once: one that isn't due for an hour is not waited for.
    chord["on_failure"] = json!("fast");
    let late = json!({ "task": "add", "args": [3, 0], "countdown": 600 });
    chord["chord"][1]["args"][1][0] = late;
    let id = world.send_body("default", chord.to_string()).await;
    for _ in 0..20 {
        world.step("default").await;
    }
    assert_eq!(world.status(&id).await, State::Failure);
}

#[tokio::test(start_paused = true)]
async fn who_can_t_add_is_told_why() {
    let (world, _) = growing();
    let adds = grown(1, &[number(2)]);
    let chain = json!({ "chain": [adds, call("echo", json!([]))] });
    let stands = call("gives_way", json!([adds]));
    let both = ending(1, &[number(2)], "replace");
    let unknown = grown(
        1,
        &[json!({ "task": "add", "args": [1, 1], "queue": "defualt" })],
    );
    let large = grown(1, &[call("echo", json!(["x".repeat(400_000)]))]);
    for (canvas, words) in [
        (adds, "it is no member of one"),
        (
            json!({ "group": [chain] }),
            "it isn't the last step of its member",
        ),
        (
            json!({ "group": [stands] }),
            "it stands for a task that was replaced",
        ),
        (
            json!({ "group": [both] }),
            "adds members to its chord or is replaced, not both",
        ),
        (json!({ "group": [unknown] }), "did you mean `default`?"),
        (
            json!({ "group": [large] }),
            "have one of them add the others",
        ),
    ] {
        let record = world.compose(canvas).await;
        let error = record.error.unwrap();
        let said = error.message.replace("\\\"", "\"");
        assert!(said.contains(words), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn copies_of_who_adds_add_nothing_more() {
    let (world, _) = growing();
    let members = [number(1), grown(2, &[number(3), grown(4, &[number(5)])])];
    let id = world
        .send_body("default", chord(&members).to_string())
        .await;
    let mut seen = Vec::new();
    while !world.messages("default").is_empty() {
        let deliveries = world.receive("default").await;
        for _ in 0..2 {
            let done = world.worker.handle(&deliveries, &world.invocation()).await;
            world.acknowledge(&deliveries, &done).await;
        }
        seen.extend(deliveries);
    }
    let runs = world.runs.count();
    for delivery in seen {
        world.worker.handle(&[delivery], &world.invocation()).await;
    }
    world.work_off().await;
    assert_eq!(world.record(&id).await.result, Some(json!([1, 2, 3, 4, 5])));
    assert_eq!(world.runs.count(), runs);
}

/// A look doesn't take who has added others for done, and makes their loss good.
#[tokio::test(start_paused = true)]
async fn what_was_added_and_lost_is_sent_again() {
    let (world, _) = growing();
    let id = world.open(&chord(&[grown(1, &[number(2)])])).await;
    world.step("default").await;
    assert_eq!(world.lose_those(|body| body.contains("\"group\":[")), 1);
    let adder = member_id(&world.group(), 0);
    assert_eq!(world.status(&adder).await, State::Success);
    world.live(4 * HOUR).await;
    assert_eq!(world.record(&id).await.result, Some(json!([1, 2])));
    // One of the added members is lost: its own group is looked after.
    let id = world.open(&chord(&[grown(1, &[number(2)])])).await;
    world.step("default").await;
    world.step("default").await;
    assert_eq!(world.lose_those(|body| body.contains("\"member\"")), 1);
    world.live(4 * HOUR).await;
    assert_eq!(world.record(&id).await.result, Some(json!([1, 2])));
}

/// What is lost for good fails the chord, with its reason.
#[tokio::test(start_paused = true)]
async fn what_was_added_and_lost_for_good_is_given_up() {
    let (world, _) = growing();
    let id = world.open(&chord(&[grown(1, &[number(2)])])).await;
    world.step("default").await;
    let adder = member_id(&world.group(), 0);
    world.live_among_purges(&id, 15 * DAY).await;
    let added = world.record(&added_id(&adder)).await;
    assert_eq!(added.error.unwrap().kind, "Lost");
    let error = world.record(&id).await.error.unwrap();
    assert!(error.message.contains("Lost"), "{error}");
}
