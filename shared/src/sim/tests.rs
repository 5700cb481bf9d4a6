//! Each fault does what it says, and nothing else goes wrong with it.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::record::State;
use crate::{Context, ResultExt, TaskError, task, tasks};

#[task]
async fn add(x: i64, y: i64) -> Result<i64, TaskError> {
    Ok(x + y)
}

#[task(max_retries = 3, default_retry_delay = secs(2))]
async fn flaky(#[ctx] ctx: &Context) -> Result<u32, TaskError> {
    if ctx.retries() < 1 {
        Err(std::io::Error::other("disk")).retry()?;
    }
    Ok(ctx.retries())
}

#[task]
async fn sleeps(#[ctx] ctx: &Context) {
    ctx.app().ports().clock.sleep(Duration::from_secs(20)).await;
}

#[task]
async fn counts(#[state] count: &AtomicU32) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// Five tasks that all succeed whatever goes wrong; all calls of a few worlds as text.
fn calls(faults: Faults) -> String {
    let simulation = || {
        Simulation::new(|| tasks![add, flaky, sleeps])
            .redeploy(|| tasks![add])
            .faults(faults)
    };
    let texts = std::sync::Mutex::new(String::new());
    for seed in 0..12 {
        let scenario = async |world: &World| {
            let mut sums = Vec::new();
            for x in 0..3 {
                sums.push(world.send(add::s(x, 1)).await);
            }
            let flaky = world.send(flaky::s()).await;
            let sleeps = world.send(sleeps::s()).await;
            world.settle().await;
            for sum in &sums {
                assert_eq!(sum.state().await?, State::Success);
            }
            assert_eq!(flaky.state().await?, State::Success);
            assert_eq!(sleeps.state().await?, State::Success);
            texts.lock().unwrap().push_str(&world.told());
            Ok(())
        };
        simulation().replay(seed, scenario).unwrap();
    }
    texts.into_inner().unwrap()
}

#[test]
fn without_faults_nothing_goes_wrong() {
    let calls = calls(Faults::none());
    for trouble in [
        "not done",
        "Lost",
        "(again)",
        "once more",
        "killed",
        "freezes",
        "failed",
        "nothing",
    ] {
        assert!(!calls.contains(trouble), "{trouble}");
    }
}

#[test]
fn each_fault_does_what_it_says() {
    let none = Faults::none();
    let expected = [
        (none.throttled(0.2), "not done: slow down"),
        (none.unreachable(0.2), "not done: no connection"),
        (none.answer_lost(0.2), "(AnswerLost)"),
        (none.done_twice(0.2), "(again)"),
        (none.duplicated(0.5), "once more"),
        (none.acknowledgement_lost(0.3), "deletes nothing"),
        (none.died(0.3), "killed"),
        (none.frozen(0.5), "freezes until"),
        (none.entry_failed(0.4), "this write failed"),
    ];
    for (faults, trace) in expected {
        assert!(calls(faults).contains(trace), "{trace}");
    }
}

#[test]
fn faults_end() {
    let calls = calls(Faults::all().until(Duration::ZERO).redeployed(0.0));
    assert!(!calls.contains("not done") && !calls.contains("killed"));
}

#[test]
fn a_deployment_that_lacks_a_task_makes_it_wait() {
    let calls = calls(Faults::none().redeployed(1.0));
    assert!(calls.contains("Hide"));
}

#[test]
fn a_call_may_be_done_after_the_death_of_who_made_it() {
    let late = Faults::none().died(0.25).slow(0.3).done_late(1.0);
    let calls = calls(late);
    let mut dead = std::collections::BTreeSet::new();
    let mut posthumous = 0;
    for line in calls.lines() {
        let Some((_, rest)) = line.split_once(" invocation ") else {
            // Another world begins with its sender.
            if line.contains("T12:00:00.") {
                dead.clear();
            }
            continue;
        };
        let (who, what) = rest.split_once(": ").unwrap();
        if what == "killed" {
            dead.insert(who.to_owned());
        } else if dead.contains(who) && what.starts_with("Write") {
            posthumous += 1;
        }
    }
    assert!(posthumous > 0);
}

#[test]
fn items_past_their_ttl_stay_as_long_as_said() {
    for (faults, there) in [
        (Faults::none(), false),
        (Faults::none().late_ttl(1.0), true),
    ] {
        let simulation = Simulation::new(|| tasks![add]).faults(faults).seeds(0..2);
        let scenario = async |world: &World| {
            world.send(add::s(1, 1)).await;
            world.settle().await;
            world.sleep(Duration::from_secs(86_400 + 7_200)).await;
            let items = world.memory().store().items(crate::ports::Table::Results);
            assert_eq!(items.len() == 1, there);
            Ok(())
        };
        simulation.run(scenario).unwrap();
    }
}

#[test]
fn clocks_differ_by_what_is_allowed() {
    let simulation = Simulation::new(|| tasks![add]).faults(Faults::none().skew(Duration::MAX));
    let scenario = async |world: &World| {
        let off = world.app().now().as_millis() - world.observer().now().as_millis();
        assert!((-750..=750).contains(&off), "{off}");
        Ok(())
    };
    simulation.seeds(0..20).run(scenario).unwrap();
}

#[test]
fn state_is_of_one_world_and_of_all_its_workers() {
    let simulation = Simulation::new(|| tasks![counts]).state(|| AtomicU32::new(0));
    let scenario = async |world: &World| {
        for _ in 0..5 {
            world.send(counts::s()).await;
        }
        world.settle().await;
        let count = world.state::<AtomicU32>().ok_or("no state")?;
        assert_eq!(count.load(Ordering::Relaxed), 5);
        Ok(())
    };
    simulation.seeds(0..5).run(scenario).unwrap();
}

#[test]
fn a_failure_is_told_with_its_seed_its_calls_and_how_to_see_it_again() {
    let simulation = Simulation::new(|| tasks![add])
        .seeds(3..5)
        .replay_with(|seed| format!("again {seed}"));
    let report = simulation.run(async |world| {
        let sum = world.send(add::s(1, 1)).await;
        world.settle().await;
        Err(format!("expected 3 of {:?}", sum.try_get().await?).into())
    });
    assert_eq!(report.failures.len(), 2);
    let text = report.to_string();
    for part in [
        "2 of 2 worlds",
        "seed 3",
        "what the scenario asserts",
        "expected 3 of Some(2)",
        "again 4",
        "sender: Send(",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_scenario_that_panics_is_a_failure() {
    let simulation = Simulation::new(|| tasks![add]).seeds(0..1);
    let report = simulation.run(async |_| std::panic::resume_unwind(Box::new("oh")));
    let [failure] = &report.failures[..] else {
        panic!("one failure: {report}");
    };
    assert_eq!(failure.violations[0].invariant, Invariant::Scenario);
    assert_eq!(failure.violations[0].what, "it panicked: oh");
}

#[test]
fn a_world_that_never_ends_is_found() {
    // A queue that nobody reads but its pollers, and a worker that hands everything back.
    let report = Simulation::new(|| tasks![add])
        .config(|config| config.unknown_task_grace = Duration::from_secs(86_400 * 30))
        .queue("orders.fifo")
        .seeds(0..1)
        .run(async |world| {
            world
                .send_body("orders.fifo", "{\"task\": \"unknown\"}")
                .await;
            Ok(())
        });
    assert!(!report.is_ok());
}
