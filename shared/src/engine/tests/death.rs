//! Processes that die.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_crash_in_company_is_singled_out_and_costs_the_others_nothing() {
    let world = World::new();
    let crash = world.send("crash", json!([])).await;
    let mut others = Vec::new();
    for n in 0..9 {
        others.push(world.send("add", json!([n, 1])).await);
    }
    assert_eq!(world.die("default", Duration::from_secs(50)).await, 10);
    world.pass(42).await;

    // Everything comes again: what had finished is acknowledged, the one that was running is suspect.
    assert_eq!(world.step("default").await, [Disposition::Done; 10]);
    assert_eq!(world.runs.count(), 1 + 9);
    for id in &others {
        assert_eq!(world.status(id).await, State::Success);
    }
    for deaths in 1..=3 {
        assert_eq!(world.status(&crash).await, State::Started);
        assert_eq!(world.die("quarantine", Duration::from_secs(50)).await, 1);
        assert_eq!(world.runs.count(), 1 + 9 + deaths);
        world.pass(91).await;
    }
    assert_eq!(world.step("quarantine").await, [Disposition::Done]);
    let record = world.record(&crash).await;
    assert_eq!(record.status, State::Failure);
    assert_eq!(record.error.unwrap().kind, "WorkerLost");
    assert_eq!(record.queue.as_deref(), Some("default"));
    assert_eq!(world.runs.count(), 1 + 9 + 3, "not run a fifth time");
    let dead = world.memory.queue().dead_letters();
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].attributes["sedano-reason"], "WorkerLost");
    assert!(world.messages("default").is_empty() && world.messages("quarantine").is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_innocent_that_was_running_succeeds_in_quarantine() {
    let world = World::new();
    let innocent = world.send("slow", json!([30])).await;
    world.send("crash", json!([])).await;
    world.die("default", Duration::from_secs(10)).await;
    world.pass(81).await;
    world.step("default").await;
    assert_eq!(world.messages("quarantine").len(), 2);
    assert_eq!(world.step("quarantine").await, [Disposition::Done]);
    let record = world.record(&innocent).await;
    assert_eq!(record.status, State::Success);
    assert_eq!(record.attempts.len(), 2);
    assert_eq!(record.attempts[0].end, None, "its process died");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_back_while_the_lease_lives_waits_for_its_end() {
    let world = World::new();
    world.send("crash", json!([])).await;
    world.die("default", Duration::from_secs(1)).await;
    // Visible after 90 s, though the lease of this invocation reaches further.
    let deliveries = {
        world.pass(90).await;
        world.receive("default").await
    };
    let long = Invocation {
        id: "long".into(),
        deadline: world.app().now() + Duration::from_secs(600),
    };
    let dispositions = world.worker.handle(&deliveries, &long).await;
    assert_eq!(
        dispositions,
        [Disposition::Done],
        "abandoned: on to quarantine"
    );
    let quarantined = world.receive("quarantine").await;
    tokio::select! {
        biased;
        _ = world.worker.handle(&quarantined, &long) => panic!("crash never returns"),
        () = async { world.pass(95).await } => {}
    }
    assert_eq!(
        world.step("quarantine").await,
        [Disposition::Returned],
        "its lease is alive"
    );
    let hidden = world.messages("quarantine")[0].visible_at;
    assert!(hidden >= long.deadline + Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn an_idempotent_task_that_kills_is_found_too() {
    let world = World::new();
    // Its first run leaves no claim; the second delivery claims.
    let id = world.send("add_again", json!([1, 1])).await;
    let deliveries = world.receive("default").await;
    drop(deliveries);
    world.pass(91).await;
    world.step("default").await;
    assert_eq!(world.status(&id).await, State::Success);
    assert_eq!(world.record(&id).await.attempts.len(), 1);
    assert!(
        world.item(&id).contains_key("lease_until"),
        "claimed at the second delivery"
    );
}
