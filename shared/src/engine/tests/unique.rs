//! Unique tasks: who takes a key, what is said to who comes meanwhile, and who gives it back.

use std::sync::Mutex;

use super::*;
use crate::dead_letters::Edit;
use crate::memory::Counts;
use crate::ports::{Key, Op, When, Write};
use crate::tests::documented::costs;
use crate::tests::faulty::{Call, Fault, faulty};
use crate::{ErrorKind, Signature, group};

#[task(unique, max_retries = 1, default_retry_delay = secs(5))]
async fn sync_up(
    #[state] runs: &Runs,
    #[ctx] ctx: &Context,
    user: u32,
    #[default = 7] days: u32,
    #[default] end: String,
) -> Result<u32, TaskError> {
    runs.begin();
    match end.as_str() {
        "retry" if ctx.retries() == 0 => Err(TaskError::retry("later")),
        "fail" => Err(TaskError::permanent("no more")),
        "reject" => Err(TaskError::reject("poison")),
        "ignore" => Err(TaskError::ignore()),
        "replace" => Err(ctx.replace(add::s(1, 2))),
        "sleep" => {
            let clock = &ctx.app().ports().clock;
            clock.sleep(Duration::from_secs(days.into())).await;
            Ok(user)
        }
        _ => Ok(user),
    }
}

#[task(unique_for = mins(10), unique_by = "user")]
async fn greets(#[state] runs: &Runs, user: u32, words: String) -> Result<String, TaskError> {
    runs.begin();
    Ok(format!("{words} {user}"))
}

#[task(unique, idempotent, ignore_result)]
async fn lightly(#[state] runs: &Runs, x: u32) {
    let _ = x;
    runs.begin();
}

fn world() -> World {
    let mut world = World::new();
    let tasks = tasks![sync_up, greets, lightly];
    world.worker = world.worker.tasks(tasks);
    world
}

fn ends(user: u32, end: &str) -> Signature<(), u32> {
    sync_up::s(user, 7, end.to_owned())
}

impl World {
    /// A sender that has the tasks.
    fn sender(&self) -> App {
        self.worker.app().clone()
    }

    async fn sent(&self, call: impl Into<Signature<(), u32>>) -> String {
        self.sender().send(call).await.unwrap().id().to_owned()
    }

    /// The ids that hold keys.
    fn holders(&self) -> Vec<String> {
        let items = self.memory.store().items(Table::State);
        let keys = items.into_iter().filter(|item| {
            let pk = item["pk"].as_text().unwrap();
            pk.starts_with("unique#")
        });
        keys.filter_map(|item| Some(item.get("holder")?.as_text()?.to_owned()))
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn one_is_at_work_and_the_others_are_told_of_it() {
    let world = world();
    let first = world.sent(ends(1, "")).await;
    assert_eq!(world.sent(ends(1, "")).await, first);
    assert_eq!(world.sent(ends(1, "")).await, first);
    let other = world.sent(ends(2, "")).await;
    assert_ne!(other, first);
    // The second has sent it once more, for it can't know; the third hasn't.
    assert_eq!(world.messages("default").len(), 3);
    world.step("default").await;
    world.pass(90).await;
    world.step("default").await;
    assert_eq!(world.runs.count(), 2);
    assert_eq!(world.status(&first).await, State::Success);
    assert_eq!(world.holders(), Vec::<String>::new());
    assert_ne!(world.sent(ends(1, "")).await, first, "it is done");
}

#[tokio::test(start_paused = true)]
async fn however_the_arguments_are_given_the_same_are_the_same() {
    let world = world();
    let app = world.sender();
    let first = world.sent(ends(1, "")).await;
    let calls: [Signature<(), u32>; 4] = [
        Signature::named("sync_up").arg(1),
        Signature::named("sync_up").arg(1).kwarg("days", 7),
        Signature::named("sync_up")
            .kwarg("end", "")
            .kwarg("user", 1),
        Signature::named("sync_up").arg(1).arg(7).arg(""),
    ];
    for same in calls {
        assert_eq!(app.send(same).await.unwrap().id(), first);
    }
    let other: Signature<(), u32> = Signature::named("sync_up").arg(1).arg(8);
    assert_ne!(app.send(other).await.unwrap().id(), first);
}

#[tokio::test(start_paused = true)]
async fn a_call_chooses_for_itself() {
    let world = world();
    let app = world.sender();
    let first = world.sent(ends(1, "")).await;
    assert_ne!(world.sent(ends(1, "").unique(false)).await, first);
    let keyed = world.sent(ends(1, "").unique_key("k")).await;
    assert_ne!(keyed, first);
    assert_eq!(world.sent(ends(2, "").unique_key("k")).await, keyed);
    // A task that isn't unique by itself.
    let add = || add::s(1, 2);
    let plain = app.send(add()).await.unwrap();
    assert_ne!(app.send(add()).await.unwrap().id(), plain.id());
    let once = app.send(add().unique(true)).await.unwrap();
    assert_eq!(app.send(add().unique(true)).await.unwrap().id(), once.id());
    for wrong in [
        add().unique_for(Duration::from_millis(999)),
        add().unique_key(""),
        add().unique_key("x".repeat(513)),
    ] {
        let error = app.send(wrong).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_period_lasts_from_the_send_whatever_becomes_of_the_task() {
    let world = world();
    let app = world.sender();
    let say = |words: &str| greets::s(1, words.to_owned());
    let first = app.send(say("hello")).await.unwrap();
    world.step("default").await;
    assert_eq!(first.state().await.unwrap(), State::Success);
    world.pass(599).await;
    let again = app.send(say("good evening")).await.unwrap();
    assert_eq!(again.id(), first.id());
    assert_eq!(again.get().await.unwrap(), "hello 1");
    world.pass(2).await;
    assert_ne!(app.send(say("hello")).await.unwrap().id(), first.id());
}

#[tokio::test(start_paused = true)]
async fn every_end_gives_the_key_back() {
    for (end, state) in [
        ("", State::Success),
        ("fail", State::Failure),
        ("reject", State::Failure),
        ("ignore", State::Ignored),
        ("replace", State::Success),
    ] {
        let world = world();
        let id = world.sent(ends(1, end)).await;
        assert_eq!(world.holders(), std::slice::from_ref(&id));
        world.step("default").await;
        world.step("default").await;
        world.step("default").await;
        assert_eq!(world.status(&id).await, state, "{end}");
        assert_eq!(world.holders(), Vec::<String>::new(), "{end}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_keeps_the_key() {
    let world = world();
    let id = world.sent(ends(1, "retry")).await;
    world.step("default").await;
    assert_eq!(world.status(&id).await, State::Retry);
    assert_eq!(world.sent(ends(1, "retry")).await, id);
    world.pass(6).await;
    world.step("default").await;
    assert_eq!(world.status(&id).await, State::Success);
    assert_eq!((world.runs.count(), world.holders().len()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_replaced_keeps_it_until_the_other_is_done() {
    let world = world();
    let id = world.sent(ends(1, "replace")).await;
    world.step("default").await;
    assert_eq!(world.status(&id).await, State::Started);
    assert_eq!(world.holders(), std::slice::from_ref(&id));
    assert_eq!(world.sent(ends(1, "replace")).await, id);
}

#[tokio::test(start_paused = true)]
async fn what_expires_is_revoked_or_given_up_gives_it_back() {
    let world = world();
    let expired = world
        .sent(ends(1, "").expires(Duration::from_secs(5)))
        .await;
    let revoked = world.sent(ends(2, "")).await;
    world.app().revoke(&revoked).await.unwrap();
    // Its key is anybody's, though its message hasn't come yet.
    let next = world.sent(ends(2, "")).await;
    assert_ne!(next, revoked);
    world.pass(6).await;
    world.step("default").await;
    assert_eq!(world.status(&expired).await, State::Revoked);
    assert_eq!(world.status(&next).await, State::Success);
    assert_eq!(world.holders(), Vec::<String>::new());

    let given_up = world.sent(ends(3, "")).await;
    let body = world.messages("default")[0].body.clone();
    world.send_body("undelivered", body).await;
    world.step("undelivered").await;
    assert_eq!(world.status(&given_up).await, State::Failure);
    assert_eq!(world.holders(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_dies_after_the_end_is_made_up_for() {
    let world = world();
    let id = world.sent(ends(1, "")).await;
    let writes = Arc::new(Mutex::new(0));
    let ports = faulty(world.app().ports(), move |call| match call {
        Call::Write => {
            let mut writes = writes.lock().unwrap();
            *writes += 1;
            // The claim, the end, and then the key.
            if *writes == 3 {
                Fault::Throttled
            } else {
                Fault::None
            }
        }
        _ => Fault::None,
    });
    let frail = Worker::new(App::new(ports, Config::memory()))
        .tasks(tasks![sync_up, greets, lightly])
        .state(world.runs.clone());
    let deliveries = world.receive("default").await;
    let dispositions = frail.handle(&deliveries, &world.invocation()).await;
    assert_eq!(dispositions, [Disposition::Returned]);
    assert_eq!(world.status(&id).await, State::Success);
    assert_eq!(world.holders(), [id]);
    world.pass(120).await;
    assert_eq!(world.step("default").await, [Disposition::Done]);
    assert_eq!((world.runs.count(), world.holders().len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_dies_after_the_key_is_made_up_for() {
    let world = world();
    let due = Duration::from_secs(60);
    // The key is taken, and then nothing is heard: no message.
    let ports = faulty(world.app().ports(), |call| match call {
        Call::Write => Fault::AnswerLost,
        _ => Fault::None,
    });
    let frail = App::new(ports, Config::memory());
    let call = sync_up::s(1, 7, String::new());
    let lost = frail.send(call.clone().countdown(due)).await.unwrap_err();
    assert!(lost.is_retryable(), "{lost}");
    let [first] = &world.holders()[..] else {
        panic!()
    };
    assert_eq!(world.messages("default").len(), 0);

    // The next is told of it, and sends it: as it was meant.
    assert_eq!(&world.sent(call).await, first);
    assert_eq!(world.messages("default").len(), 1);
    assert_eq!(world.step("default").await, []);
    world.pass(61).await;
    world.step("default").await;
    assert_eq!(world.status(first).await, State::Success);
    assert_eq!(world.holders(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn foreign_messages_take_their_keys_at_a_worker() {
    let world = world();
    let first = world.send("sync_up", json!([1, 3, "sleep"])).await;
    let second = world.send("sync_up", json!([1, 3, "sleep"])).await;
    world.step("default").await;
    assert_eq!(world.status(&first).await, State::Success);
    let record = world.record(&second).await;
    assert_eq!((record.status, world.runs.count()), (State::Ignored, 1));
    let error = record.error.unwrap();
    assert_eq!(error.kind, "Duplicate");
    assert_eq!(
        error.message,
        format!("left out: it is unique, and task {first} is the same")
    );
    assert_eq!(world.holders(), Vec::<String>::new());

    // A copy of either changes nothing.
    let body = json!({"id": first, "task": "sync_up", "args": [1, 3, "sleep"]});
    world.send_body("default", body.to_string()).await;
    world.step("default").await;
    assert_eq!((world.runs.count(), world.holders().len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_sender_is_told_of_a_foreign_one() {
    let world = world();
    let first = world.send("sync_up", json!([1, 30, "sleep"])).await;
    let deliveries = world.receive("default").await;
    let invocation = world.invocation();
    let working = world.worker.handle(&deliveries, &invocation);
    let meanwhile = async {
        world.pass(5).await;
        world.sent(sync_up::s(1, 30, "sleep".to_owned())).await
    };
    let (_, second) = tokio::join!(biased; working, meanwhile);
    assert_eq!(second, first);
    assert_eq!((world.runs.count(), world.holders().len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_the_process_died_with_keeps_its_key() {
    let world = world();
    let id = world.send("sync_up", json!([1, 40, "sleep"])).await;
    world.die("default", Duration::from_secs(1)).await;
    assert_eq!(world.holders(), std::slice::from_ref(&id));
    assert_eq!(world.sent(sync_up::s(1, 40, "sleep".to_owned())).await, id);
    world.pass(90).await;
    world.step("default").await;
    world.step("quarantine").await;
    assert_eq!(world.status(&id).await, State::Success);
    assert_eq!(world.holders(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn without_a_claim_it_would_end_without_a_trace() {
    let world = world();
    let app = world.sender();
    let first = app.send(lightly::s(1)).await.unwrap();
    assert_eq!(app.send(lightly::s(1)).await.unwrap().id(), first.id());
    world.step("default").await;
    assert_eq!(world.runs.count(), 1);
    assert_eq!(first.state().await.unwrap(), State::Success);
    assert_eq!(world.holders(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn members_that_are_the_same_run_once_and_steps_end_there() {
    let world = world();
    let app = world.sender();
    // All three are received at one moment.
    let both = group([
        sync_up::s(1, 3, "sleep".to_owned()),
        sync_up::s(1, 3, "sleep".to_owned()),
        sync_up::s(2, 3, "sleep".to_owned()),
    ]);
    let all = app.send(both).await.unwrap();
    world.step("default").await;
    world.step("default").await;
    let results: Vec<Value> = app.result_of(all.id()).get().await.unwrap();
    assert_eq!(world.runs.count(), 2);
    let mut results = results;
    results.sort_by_key(|value| value.as_u64());
    assert_eq!(results, [json!(null), json!(1), json!(2)]);

    // A step that is the same as one at work ends its chain.
    let held = world
        .sent(ends(9, "").countdown(Duration::from_secs(600)))
        .await;
    let steps = ends(9, "") | Signature::<u32, Value>::named("add").arg(1);
    let last = app.send(steps).await.unwrap();
    world.step("default").await;
    let record = last.record().await.unwrap();
    assert_eq!(record.status, State::Revoked);
    let why = record.error.unwrap().message;
    assert!(why.ends_with("was ignored"), "{why}");
    assert_eq!(world.holders(), [held]);
}

#[tokio::test(start_paused = true)]
async fn a_task_redriven_by_hand_takes_its_key_again() {
    let world = world();
    let id = world.sent(ends(1, "reject")).await;
    world.step("default").await;
    let next = world
        .sent(ends(1, "reject").countdown(Duration::from_secs(60)))
        .await;
    assert_ne!(next, id);
    let letter = world.messages("dead-letters")[0].message_id.clone();
    let (letters, as_is) = (world.app().dead_letters(), Edit::default());
    let redriven = letters.redrive(&letter, &as_is).await;
    assert!(redriven.unwrap().unwrap().sent);
    world.step("default").await;
    let record = world.record(&id).await;
    assert_eq!(record.status, State::Ignored);
    assert!(record.error.unwrap().message.contains(&next));
    assert_eq!(world.holders(), [next]);
}

#[tokio::test(start_paused = true)]
async fn a_sender_without_rights_leaves_it_to_the_worker() {
    let world = world();
    let ports = faulty(world.app().ports(), |_| Fault::Denied);
    let app = App::new(ports, Config::memory()).tasks(tasks![sync_up]);
    let first = app.send(ends(1, "")).await.unwrap();
    let both = app.send_many([ends(1, ""), ends(2, "")]).await;
    assert!(both.iter().all(Result::is_ok));
    let deliveries = world.receive("default").await;
    assert!(!deliveries[0].body.contains("unique_held"));
    let second = both.into_iter().next().unwrap().unwrap();
    let dispositions = world.worker.handle(&deliveries, &world.invocation()).await;
    assert_eq!(dispositions, vec![Disposition::Done; 3]);
    assert_eq!(world.status(first.id()).await, State::Success);
    assert_eq!(world.status(second.id()).await, State::Ignored);
    assert_eq!((world.runs.count(), world.holders().len()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn many_at_once_share_calls_and_the_same_among_them_are_one() {
    let world = world();
    let app = world.sender();
    let before = world.memory.counts();
    let sent = app.send_many((0..10).map(|user| ends(user, ""))).await;
    assert!(sent.iter().all(Result::is_ok));
    let counts = world.memory.counts().since(&before);
    costs("ten unique tasks, sent by `send_many`", &counts);
    let same = app
        .send_many([ends(20, ""), ends(20, ""), ends(3, "")])
        .await;
    let ids: Vec<_> = same.iter().map(|one| one.as_ref().unwrap().id()).collect();
    assert_eq!(ids[0], ids[1]);
    assert_eq!(ids[2], sent[3].as_ref().unwrap().id());
}

#[tokio::test(start_paused = true)]
async fn what_a_key_costs() {
    async fn cost(world: &World, what: &str, act: impl Future<Output = ()>) -> Counts {
        // Read once in five seconds, whatever there is to do.
        world.worker.revocations().read(world.app()).await.unwrap();
        let before = world.memory.counts();
        act.await;
        let counts = world.memory.counts().since(&before);
        costs(what, &counts);
        counts
    }
    let world = world();
    let send = async || drop(world.sent(ends(1, "")).await);
    cost(&world, "one, sent", send()).await;
    cost(&world, "the same again, the first time", send()).await;
    cost(&world, "and each time after that", send()).await;
    for message in world.messages("default").len()..11 {
        world
            .sent(ends(100 + u32::try_from(message).unwrap(), ""))
            .await;
    }
    let deliveries = world.receive("default").await;
    let invocation = world.invocation();
    let worked = async { drop(world.worker.handle(&deliveries[2..], &invocation).await) };
    cost(&world, "eight of a batch, worked on", worked).await;

    let world = self::world();
    for user in 0..10 {
        world.send("sync_up", json!([user])).await;
    }
    let deliveries = world.receive("default").await;
    let invocation = world.invocation();
    let worked = async { drop(world.worker.handle(&deliveries, &invocation).await) };
    cost(&world, "ten that foreign senders sent, worked on", worked).await;
}

#[tokio::test(start_paused = true)]
async fn a_key_that_nobody_gives_back_is_anybodys_after_two_weeks() {
    let world = world();
    let first = world.sent(ends(1, "")).await;
    world.pass(14 * 86_400 + 1).await;
    assert_ne!(world.sent(ends(1, "")).await, first);
    // What isn't due for longer has it for longer.
    let month = Duration::from_secs(30 * 86_400);
    let later = world.sent(ends(2, "").countdown(month)).await;
    world.pass(29 * 86_400).await;
    assert_eq!(world.sent(ends(2, "")).await, later);
}

#[tokio::test(start_paused = true)]
async fn one_id_sent_twice_runs_once() {
    let world = world();
    let app = world.sender();
    for n in 1..=2 {
        let sent = app.send(add::s(n, n).id("order-17")).await.unwrap();
        assert_eq!(sent.id(), "order-17");
    }
    world.step("default").await;
    assert_eq!(world.runs.count(), 1);
    let record = world.record("order-17").await;
    // Which of them ran is the queue's choice.
    assert!([Some(json!(2)), Some(json!(4))].contains(&record.result));
    world.pass(13 * 86_400).await;
    app.send(add::s(3, 3).id("order-17")).await.unwrap();
    world.step("default").await;
    assert_eq!(world.runs.count(), 1, "for two weeks nothing runs under it");
}

#[tokio::test(start_paused = true)]
async fn another_takes_over_what_was_not_given_back() {
    let world = world();
    let first = world.sent(ends(1, "")).await;
    // Its end is recorded by hand, say.
    let done = Write {
        key: Key::Result(first.clone()),
        op: Op::Put(Item::from([("status".into(), State::Success.into())])),
        when: When::Absent,
    };
    world.app().ports().store.write(done).await.unwrap();
    let second = world.sent(ends(1, "")).await;
    assert_ne!(second, first);
    assert_eq!(world.holders(), [second]);
}

#[test]
fn a_task_unique_by_what_it_does_not_have_is_an_error_at_start() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Charge {
        order: String,
    }
    impl crate::Task for Charge {
        const NAME: &'static str = "charge";
        const PARAMS: &'static [crate::Param] = &[crate::Param::required("order")];
        const OPTIONS: crate::Options = crate::Options::new().unique_by(&["ordr"]);
        type Output = ();
        async fn run(self, _: &Context) -> Result<(), TaskError> {
            Ok(())
        }
    }
    let worker = Worker::new(Memory::default().app()).tasks(tasks![Charge]);
    assert_eq!(
        worker.check().unwrap_err().to_string(),
        "task `charge` is unique by `ordr`, which is no parameter of it; did you mean `order`?"
    );
}
