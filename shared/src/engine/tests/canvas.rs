//! Chains, groups and chords, as senders in other languages write them.

use std::sync::Mutex;

use super::*;

/// What callbacks and errbacks were told, in order.
#[derive(Clone, Default)]
pub(super) struct Told(Arc<Mutex<Vec<Value>>>);

impl Told {
    pub(super) fn all(&self) -> Vec<Value> {
        self.0.lock().unwrap().clone()
    }
}

#[task]
async fn mul(x: i64, y: i64) -> Result<i64, TaskError> {
    Ok(x * y)
}

#[task]
pub(super) async fn xsum(#[state] runs: &Runs, numbers: Vec<i64>) -> Result<i64, TaskError> {
    runs.begin();
    Ok(numbers.iter().sum())
}

#[task]
pub(super) async fn echo(value: Value) -> Result<Value, TaskError> {
    Ok(value)
}

#[task]
async fn tell(#[state] told: &Told, what: Value) -> Result<(), TaskError> {
    told.0.lock().unwrap().push(what);
    Ok(())
}

pub(super) fn world() -> (World, Told) {
    let mut world = World::new();
    let told = Told::default();
    world.worker = world
        .worker
        .tasks(tasks![mul, xsum, echo, tell])
        .state(told.clone());
    (world, told)
}

impl World {
    /// Works until nothing is left in the queue, delayed messages included.
    pub(super) async fn work_off(&self) {
        while !self.messages("default").is_empty() {
            if self.step("default").await.is_empty() {
                self.pass(1).await;
            }
        }
    }

    /// Sends a composition by hand and works it off: the record under its MessageId.
    async fn run(&self, canvas: Value) -> Record {
        let id = self.send_body("default", canvas.to_string()).await;
        self.work_off().await;
        let record = self.record(&id).await;
        self.app().whole(record).await.unwrap()
    }
}

pub(super) fn call(task: &str, args: Value) -> Value {
    json!({ "task": task, "args": args })
}

#[tokio::test(start_paused = true)]
async fn a_chain_hands_its_results_on() {
    let (world, _) = world();
    let chain = [
        call("add", json!([2, 2])),
        call("add", json!([4])),
        call("mul", json!([8])),
    ];
    let record = world.run(json!({ "chain": chain })).await;
    assert_eq!(
        (record.status, record.result),
        (State::Success, Some(json!(64)))
    );
    assert_eq!(record.task.as_deref(), Some("mul"));
    // The steps before are found on the way up.
    let before = world.record(&record.parent_id.unwrap()).await;
    assert_eq!(before.result, Some(json!(8)));
    assert_eq!(before.root_id, before.parent_id);
}

#[tokio::test(start_paused = true)]
async fn an_immutable_step_takes_nothing() {
    let (world, _) = world();
    let step = json!({ "task": "add", "args": [1, 1], "immutable": true });
    let record = world
        .run(json!({ "chain": [call("add", json!([2, 2])), step] }))
        .await;
    assert_eq!(record.result, Some(json!(2)));
}

#[tokio::test(start_paused = true)]
async fn a_group_s_results_are_in_order() {
    let (world, _) = world();
    let members: Vec<Value> = (0..25).map(|n| call("add", json!([n, n]))).collect();
    let record = world.run(json!({ "group": members })).await;
    let doubles: Vec<i64> = (0..25).map(|n| 2 * n).collect();
    assert_eq!(
        (record.status, record.result),
        (State::Success, Some(json!(doubles)))
    );
    assert_eq!(
        (record.task.as_deref(), record.size),
        (Some("sedano.group"), Some(25))
    );
}

#[tokio::test(start_paused = true)]
async fn a_chord_s_body_has_the_results_once() {
    let (world, _) = world();
    let members: Vec<Value> = (0..10).map(|n| call("mul", json!([n, n]))).collect();
    let record = world
        .run(json!({ "chord": members, "body": call("xsum", json!([])) }))
        .await;
    assert_eq!(
        (record.status, record.result),
        (State::Success, Some(json!(285)))
    );
    assert_eq!(world.runs.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_something_follows_is_a_chord() {
    let (world, _) = world();
    let group = json!({ "group": [call("add", json!([1])), call("mul", json!([10]))] });
    let chain = [
        call("add", json!([2, 2])),
        group,
        call("xsum", json!([])),
        call("mul", json!([2])),
    ];
    let record = world.run(json!({ "chain": chain })).await;
    // (4 + 1) + (4 * 10), and twice that.
    assert_eq!(record.result, Some(json!(90)));
}

#[tokio::test(start_paused = true)]
async fn compositions_nest() {
    let (world, _) = world();
    let sum = |members: Value| json!({ "chord": members, "body": call("xsum", json!([])) });
    let inner = sum(json!([
        call("add", json!([1, 2])),
        call("add", json!([3, 4]))
    ]));
    let chain = json!({ "chain": [call("add", json!([1, 1])), call("mul", json!([100]))] });
    let deeper = sum(json!([inner, inner, call("add", json!([0, 1]))]));
    let group = json!({ "group": [call("add", json!([5, 5])), call("add", json!([6, 6]))] });
    let outer = json!({
        "chord": [inner, chain, deeper, group],
        "body": call("echo", json!([])),
    });
    let record = world.run(outer).await;
    assert_eq!(record.result, Some(json!([10, 200, 21, [10, 12]])));
}

#[tokio::test(start_paused = true)]
async fn a_large_group_is_sent_and_counted_in_parts() {
    let (world, _) = world();
    let members: Vec<Value> = (0..1300).map(|n| call("add", json!([n, 0]))).collect();
    let body = json!({ "chain": [call("xsum", json!([])), call("mul", json!([2]))] });
    let record = world.run(json!({ "chord": members, "body": body })).await;
    assert_eq!(record.result, Some(json!(1299 * 1300)));
    assert_eq!(world.runs.count(), 1300 + 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_in_a_group_is_done_at_once() {
    let (world, _) = world();
    assert_eq!(
        world.run(json!({ "group": [] })).await.result,
        Some(json!([]))
    );
    let empty = json!({ "chord": [], "body": call("xsum", json!([])) });
    assert_eq!(world.run(empty).await.result, Some(json!(0)));
    let one = json!({ "chord": [call("add", json!([2, 3]))], "body": call("xsum", json!([])) });
    assert_eq!(world.run(one).await.result, Some(json!(5)));
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_fails_ends_for_whoever_waits() {
    let (world, told) = world();
    let chain = [
        call("add", json!([2, 2])),
        json!({ "task": "fail", "args": ["no luck"], "immutable": true }),
        call("mul", json!([8])),
        call("mul", json!([9])),
    ];
    let errback = call("tell", json!([]));
    let record = world
        .run(json!({ "chain": chain, "link_error": errback }))
        .await;
    let error = record.error.unwrap();
    assert_eq!(
        (record.status, error.kind.as_str(), error.message.as_str()),
        (State::Failure, "TaskError", "no luck")
    );
    let told = told.all();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (&told[0]["message"], &told[0]["task"]),
        (&json!("no luck"), &json!("fail"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_member_that_fails_fails_its_chord_and_nobody_else() {
    let (world, told) = world();
    let members = json!([
        call("add", json!([1, 1])),
        call("fail", json!(["no luck"])),
        call("fail", json!(["worse"])),
        call("add", json!([2, 2])),
    ]);
    let body = json!({
        "chain": [call("xsum", json!([])), call("mul", json!([2]))],
        "link_error": [call("tell", json!([]))],
    });
    let record = world.run(json!({ "chord": members, "body": body })).await;
    let error = record.error.unwrap();
    assert_eq!(
        (record.status, error.kind.as_str()),
        (State::Failure, "ChordError")
    );
    assert!(
        error.message.starts_with("Dependency ")
            && error.message.ends_with(r#" raised TaskError("no luck")"#),
        "{error}"
    );
    let told = told.all();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["type"], "ChordError");
    assert_eq!(world.runs.count(), 2, "both others ran, the body didn't");
}

#[tokio::test(start_paused = true)]
async fn a_chord_may_collect_its_failures() {
    let (world, _) = world();
    let members = json!([call("add", json!([1, 1])), call("fail", json!(["no luck"]))]);
    let chord =
        json!({ "chord": members, "body": call("echo", json!([])), "on_failure": "collect" });
    let result = world.run(chord).await.result.unwrap();
    assert_eq!(result[0], json!({ "ok": 2 }));
    assert_eq!(result[1]["error"]["message"], "no luck");
}

#[tokio::test(start_paused = true)]
async fn a_chord_may_fail_at_once() {
    let (world, told) = world();
    let members = json!([
        call("fail", json!(["no luck"])),
        json!({ "task": "add", "args": [1, 1], "countdown": 500 }),
    ]);
    let body = json!({ "task": "xsum", "link_error": call("tell", json!([])) });
    let chord = json!({ "chord": members, "body": body, "on_failure": "fast" });
    let id = world.send_body("default", chord.to_string()).await;
    for _ in 0..3 {
        world.step("default").await;
    }
    let record = world.record(&id).await;
    assert_eq!(record.status, State::Failure);
    world.work_off().await;
    assert_eq!(told.all().len(), 1);
    assert_eq!(world.record(&id).await, record);
}

#[tokio::test(start_paused = true)]
async fn callbacks_have_the_result() {
    let (world, told) = world();
    let record = world
        .run(json!({ "task": "add", "args": [2, 3], "link": [call("tell", json!([])), call("tell", json!([]))] }))
        .await;
    assert_eq!(record.result, Some(json!(5)));
    assert_eq!(told.all(), [json!(5), json!(5)]);
    let group = json!({ "group": [call("add", json!([1, 1]))], "link": call("tell", json!([])) });
    world.run(group).await;
    assert_eq!(told.all().last(), Some(&json!([2])));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_revoked_takes_along_what_follows() {
    let (world, _) = world();
    let chain = [
        json!({ "task": "add", "args": [2, 2], "id": "first", "countdown": 60 }),
        call("mul", json!([8])),
    ];
    let id = world
        .send_body("default", json!({ "chain": chain }).to_string())
        .await;
    world.app().revoke("first").await.unwrap();
    world.work_off().await;
    assert_eq!(world.status(&id).await, State::Revoked);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_ignored_counts_with_null() {
    let (world, _) = world();
    let members = json!([
        call("answer", json!(["ignore"])),
        call("add", json!([1, 1]))
    ]);
    let record = world
        .run(json!({ "chord": members, "body": call("echo", json!([])) }))
        .await;
    assert_eq!(record.result, Some(json!([null, 2])));
}

#[tokio::test(start_paused = true)]
async fn a_retry_takes_what_follows_along() {
    let (world, _) = world();
    let members = json!([call("flaky", json!([2])), call("add_again", json!([1, 1]))]);
    let record = world
        .run(json!({ "chord": members, "body": call("xsum", json!([])) }))
        .await;
    assert_eq!(record.result, Some(json!(4)));
}

#[tokio::test(start_paused = true)]
async fn a_chain_without_end_comes_to_one() {
    let (world, _) = world();
    let last = json!({ "task": "echo", "id": "last" });
    let chain = [call("echo", json!([])), call("echo", json!([])), last];
    let first = json!({ "task": "echo", "args": [1], "hops": 999, "chain": chain });
    let record = world.run(first).await;
    assert_eq!(record.status, State::Success);
    let record = world.record("last").await;
    let error = record.error.unwrap();
    assert_eq!(record.status, State::Failure);
    assert!(error.message.contains("1000 are allowed"), "{error}");
}

/// A task that asks for no result has one all the same, if something follows from it.
#[tokio::test(start_paused = true)]
async fn what_something_follows_from_keeps_its_result() {
    let (world, _) = world();
    let quiet = call("add_quietly", json!([2, 3]));
    let record = world
        .run(json!({ "chain": [quiet, call("mul", json!([2]))] }))
        .await;
    assert_eq!(record.result, Some(json!(10)));
    let chord = json!({ "chord": [quiet, quiet], "body": call("xsum", json!([])) });
    assert_eq!(world.run(chord).await.result, Some(json!(10)));
}

/// Whatever comes twice, even after its end, is done once.
#[tokio::test(start_paused = true)]
async fn copies_change_nothing() {
    let (world, told) = world();
    let members: Vec<Value> = (0..12).map(|n| call("add", json!([n, n]))).collect();
    let body = json!({ "task": "xsum", "link": call("tell", json!([])) });
    let id = world
        .send_body(
            "default",
            json!({ "chord": members, "body": body }).to_string(),
        )
        .await;
    let mut seen = Vec::new();
    while !world.messages("default").is_empty() {
        let deliveries = world.receive("default").await;
        if deliveries.is_empty() {
            world.pass(1).await;
            continue;
        }
        for _ in 0..2 {
            let invocation = world.invocation();
            let done = world.worker.handle(&deliveries, &invocation).await;
            world.acknowledge(&deliveries, &done).await;
        }
        seen.extend(deliveries);
    }
    let runs = world.runs.count();
    for delivery in seen {
        let invocation = world.invocation();
        world.worker.handle(&[delivery], &invocation).await;
    }
    world.work_off().await;
    assert_eq!(world.record(&id).await.result, Some(json!(132)));
    assert_eq!(world.runs.count(), runs);
    assert_eq!(told.all(), [json!(132)]);
}

#[tokio::test(start_paused = true)]
async fn map_and_starmap_call_a_task_for_each_item() {
    let (world, _) = world();
    let map = |kind: &str, task: &str, items: Value| {
        let kwargs = json!({ "task": task, "items": items });
        json!({ "task": format!("sedano.{kind}"), "kwargs": kwargs })
    };
    let record = world.run(map("map", "xsum", json!([[1, 2], [3]]))).await;
    assert_eq!(record.result, Some(json!([3, 3])));
    let record = world
        .run(map("starmap", "add", json!([[1, 2], [3, 4]])))
        .await;
    assert_eq!(record.result, Some(json!([3, 7])));
    // Its retries are the called task's.
    let record = world.run(map("map", "flaky", json!([0, 2]))).await;
    assert_eq!((record.retries, record.result), (2, Some(json!([2, 2]))));
    let record = world.run(map("map", "flaky", json!([9]))).await;
    assert_eq!((record.status, record.retries), (State::Failure, 3));
    let record = world.run(map("map", "fail", json!(["no luck"]))).await;
    assert_eq!(record.error.unwrap().message, "no luck");
    let record = world.run(map("map", "nobody", json!([1]))).await;
    assert_eq!(record.error.unwrap().kind, "NotRegistered");
}

#[task]
pub(super) async fn replaced(#[ctx] ctx: &Context, x: i64, how: String) -> Result<i64, TaskError> {
    let parts: Vec<_> = (0..3).map(|n| add::s(x, n)).collect();
    Err(match how.as_str() {
        "task" => ctx.replace(mul::s(x, 10)),
        "chain" => ctx.replace(mul::s(x, 10) | mul::partial(10)),
        "chord" => ctx.replace(crate::group(parts) | xsum::partial()),
        "group" => ctx.replace(crate::group(parts)),
        "again" => ctx.replace(replaced::s(x + 1, "chain".into())),
        "failure" => ctx.replace(fail::s("no luck".into())),
        _ => ctx.replace(replaced::s(x, "for ever".into())),
    })
}

/// A task that answers with others: its result is theirs, and what follows it waits for them.
#[tokio::test(start_paused = true)]
async fn a_task_may_be_replaced() {
    let (mut world, told) = world();
    world.worker = world.worker.tasks(tasks![replaced]);
    for (how, result) in [
        ("task", json!(20)),
        ("chain", json!(200)),
        ("chord", json!(9)),
        ("group", json!([2, 3, 4])),
        ("again", json!(300)),
    ] {
        let alone = call("replaced", json!([2, how]));
        let record = world.run(alone).await;
        assert_eq!(
            (record.status, &record.result),
            (State::Success, &Some(result.clone()))
        );
        assert_eq!(record.task.as_deref(), Some("replaced"));
        let step = json!({ "task": "replaced", "kwargs": { "how": how } });
        let chord = json!({
            "chord": [json!({ "chain": [call("add", json!([1, 1])), step] }), call("add", json!([1, 1]))],
            "body": call("echo", json!([])),
        });
        assert_eq!(
            world.run(chord).await.result,
            Some(json!([result, 2])),
            "{how}"
        );
    }
    let linked = json!({
        "task": "replaced", "args": [2, "failure"], "link_error": call("tell", json!([])),
    });
    let record = world.run(linked).await;
    assert_eq!(record.error.unwrap().message, "no luck");
    assert_eq!(told.all().len(), 1);
    assert_eq!(told.all()[0]["task"], "replaced");
    let record = world.run(call("replaced", json!([2, "for ever"]))).await;
    let error = record.error.unwrap();
    assert!(error.message.contains("1000 are allowed"), "{error}");
}

/// A copy of what was replaced doesn't run again, and sends what stands for it once more.
#[tokio::test(start_paused = true)]
async fn a_copy_of_what_was_replaced_makes_its_sends_good() {
    let (mut world, _) = world();
    world.worker = world.worker.tasks(tasks![replaced]);
    let body = json!({ "task": "replaced", "args": [2, "task"], "id": "once" }).to_string();
    world.send_body("default", body.clone()).await;
    world.step("default").await;
    let queue = &world.app().ports().queue;
    for lost in world.receive("default").await {
        let receipts = vec![lost.receipt.clone()];
        queue.delete_many(&lost.queue, receipts).await.unwrap();
    }
    assert_eq!(world.status("once").await, State::Started);
    world.send_body("default", body).await;
    world.work_off().await;
    let record = world.record("once").await;
    assert_eq!(
        (record.status, record.result),
        (State::Success, Some(json!(20)))
    );
    assert_eq!(record.attempts.len(), 1);
}

/// What follows a group may be sent again by whoever looks after it, for as long as its record says so.
#[tokio::test(start_paused = true)]
async fn what_follows_a_group_is_guarded_by_its_record() {
    let (world, _) = world();
    let members = json!([call("add", json!([1, 1])), call("add", json!([2, 2]))]);
    let id = world
        .run(json!({ "chord": members, "body": call("xsum", json!([])) }))
        .await
        .id;
    let ttl = world.item(&id)["ttl"].as_number().unwrap();
    let days = (ttl - world.app().now().as_secs()) / 86_400;
    assert!(days >= 13, "{days}");
    let handle = world.app().result_of::<i64>(&id);
    handle.forget().await.unwrap();
    let record = handle.record().await.unwrap();
    assert_eq!((record.status, record.result), (State::Success, None));
    assert!(record.attempts.is_empty());
}

/// What has no claim says as well in whose tree it is, and so what a group has sent isn't forgotten altogether.
#[tokio::test(start_paused = true)]
async fn an_idempotent_task_and_one_that_never_began_know_who_sent_them() {
    let (world, _) = world();
    let again = json!({ "task": "add_again", "args": [1, 1] });
    let expired = json!({ "task": "add", "args": [1, 1], "expires": "2020-01-01T00:00:00Z" });
    let group = world.run(json!({ "group": [again, expired] })).await;
    for (index, status) in [(0, State::Success), (1, State::Revoked)] {
        let id = crate::group::member_id(&group.id, index);
        let handle = world.app().result_of::<i64>(&id);
        let record = handle.record().await.unwrap();
        assert_eq!(record.parent_id.as_ref(), Some(&group.id));
        assert_eq!(record.root_id.as_ref(), Some(&group.id));
        handle.forget().await.unwrap();
        assert_eq!(handle.record().await.unwrap().status, status);
    }
}

/// Each list of errbacks has its own; whoever is told is told whose failure it is.
#[tokio::test(start_paused = true)]
async fn errbacks_of_a_header_and_of_its_body_are_different_tasks() {
    let (world, told) = world();
    let chord = json!({
        "chord": [call("fail", json!(["no luck"]))],
        "body": { "task": "xsum", "link_error": call("tell", json!([])) },
        "header_link_error": call("tell", json!([])),
    });
    world.run(chord).await;
    assert_eq!(told.all().len(), 2, "{:?}", told.all());
}

/// The counting is a tenth of a write for each member, when they come in batches of ten.
#[tokio::test(start_paused = true)]
async fn a_member_costs_two_write_units_and_a_little() {
    let (world, _) = world();
    let members: Vec<Value> = (0..250).map(|n| call("add", json!([n, n]))).collect();
    let chord = json!({ "chord": members, "body": call("xsum", json!([])) });
    world.send_body("default", chord.to_string()).await;
    world.step("default").await;
    let before = world.memory.counts().write_units;
    for _ in 0..25 {
        world.step("default").await;
    }
    let units = world.memory.counts().write_units - before;
    let per_member = units as f64 / 250.0;
    assert!(per_member <= 2.2, "{per_member}");
}
