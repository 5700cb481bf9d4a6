//! Worlds of every kind of task, composed from the seed, behind every fault.
//!
//! `SEDANO_SIM_WORLDS` says how many mixed ones (200; of the others a share), `SEDANO_SIM_BASE` from which seed
//! on (0), and `SEDANO_SIM_SEED` runs one again and tells all its calls.

mod beat;
mod canvas;
mod coverage;
mod reports;
mod revoked;
mod rules;
mod samples;
mod time;
mod unique;
mod worlds;

use std::time::Duration;

use sedano::sim::Faults;

use worlds::{brief, forgotten, mixed, number, ordered, redriven, simulation, steps};

fn run(test: &'static str, faults: Faults, share: u64) {
    let simulation = simulation(test, faults, share);
    match number("SEDANO_SIM_SEED") {
        Some(seed) => simulation.replay(seed, mixed).unwrap(),
        None => simulation.run(mixed).unwrap(),
    }
}

#[test]
fn mixed_worlds_keep_every_promise() {
    let test = "mixed_worlds_keep_every_promise";
    let simulation = simulation(test, Faults::all(), 1);
    match number("SEDANO_SIM_SEED") {
        Some(seed) => simulation.replay(seed, mixed).unwrap(),
        None => {
            let report = simulation.run(mixed);
            if report.worlds >= 200 {
                coverage::every_fault_fired(&report, &Faults::all());
            }
            report.unwrap();
        }
    }
}

#[test]
fn without_faults_every_body_runs_once() {
    run("without_faults_every_body_runs_once", Faults::none(), 10);
}

const NONE: Faults = Faults::none();

/// Each fault in plenty, without others to hide it.
const ALONE: [(&str, Faults); 19] = [
    ("slow_alone", NONE.slow(0.1)),
    ("throttled_alone", NONE.throttled(0.05)),
    ("unreachable_alone", NONE.unreachable(0.05)),
    ("answer_lost_alone", NONE.answer_lost(0.05)),
    ("done_twice_alone", NONE.done_twice(0.3)),
    ("done_late_alone", NONE.done_late(1.0).died(0.1)),
    ("entry_failed_alone", NONE.entry_failed(0.1)),
    ("untold_alone", NONE.untold(1.0)),
    ("duplicated_alone", NONE.duplicated(0.5)),
    ("resurfaced_alone", NONE.resurfaced(0.3)),
    (
        "miscounted_alone",
        NONE.miscounted(1.0).duplicated(0.3).died(0.05),
    ),
    ("reordered_alone", NONE.reordered(1.0)),
    ("acknowledgement_lost_alone", NONE.acknowledgement_lost(0.1)),
    ("died_alone", NONE.died(0.15)),
    ("frozen_alone", NONE.frozen(0.3)),
    ("redeployed_alone", NONE.redeployed(1.0)),
    ("outage_alone", NONE.outage(1.0)),
    ("unstarted_alone", NONE.unstarted(1.0)),
    ("skew_alone", NONE.skew(Duration::from_millis(750))),
];

macro_rules! alone {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                let found = ALONE.iter().find(|(name, _)| *name == stringify!($name));
                let (name, faults) = found.expect("every fault is listed");
                run(name, *faults, 100);
            }
        )*

        #[test]
        fn every_fault_stands_alone_once() {
            let tested = [$(stringify!($name)),*];
            assert_eq!(ALONE.map(|(name, _)| name), tested);
        }
    };
}

alone! {
    slow_alone throttled_alone unreachable_alone answer_lost_alone done_twice_alone done_late_alone
    entry_failed_alone untold_alone duplicated_alone resurfaced_alone
    miscounted_alone reordered_alone acknowledgement_lost_alone died_alone frozen_alone redeployed_alone outage_alone unstarted_alone skew_alone
}

/// Records that live no longer than they must: what comes late finds none, or one past its time.
#[test]
fn short_lived_records_keep_every_promise() {
    let test = "short_lived_records_keep_every_promise";
    let faults = Faults::all()
        .late_ttl(1.0)
        .until(Duration::from_secs(60 * 3600));
    let simulation = brief(simulation(test, faults, 10));
    match number("SEDANO_SIM_SEED") {
        Some(seed) => simulation.replay(seed, forgotten).unwrap(),
        None => simulation.run(forgotten).unwrap(),
    }
}

/// What ended among the dead letters is redriven, as often as it comes back within a while.
#[test]
fn redriven_worlds_keep_every_promise() {
    let test = "redriven_worlds_keep_every_promise";
    let simulation = simulation(test, Faults::all(), 10);
    match number("SEDANO_SIM_SEED") {
        Some(seed) => simulation.replay(seed, redriven).unwrap(),
        None => simulation.run(redriven).unwrap(),
    }
}

/// Faults that end while tasks are still to come: what is due then begins soon.
#[test]
fn after_the_last_fault_what_is_due_begins_soon() {
    let test = "after_the_last_fault_what_is_due_begins_soon";
    run(test, Faults::all().until(Duration::from_secs(300)), 5);
}

/// Steps whose values lie in checkpoints, and writes that come late.
#[test]
fn stepwise_worlds_keep_every_promise() {
    let test = "stepwise_worlds_keep_every_promise";
    let simulation = simulation(test, Faults::all().slow(0.1).done_late(0.5), 10);
    match number("SEDANO_SIM_SEED") {
        Some(seed) => simulation.replay(seed, steps).unwrap(),
        None => simulation.run(steps).unwrap(),
    }
}

fn run_ordered(test: &'static str, faults: Faults) {
    let simulation = simulation(test, faults, 10).queue("orders.fifo");
    match number("SEDANO_SIM_SEED") {
        Some(seed) => simulation.replay(seed, ordered).unwrap(),
        None => simulation.run(ordered).unwrap(),
    }
}

#[test]
fn ordered_worlds_keep_every_promise() {
    let test = "ordered_worlds_keep_every_promise";
    run_ordered(test, Faults::all());
}

#[test]
fn ordered_worlds_without_faults_keep_every_promise() {
    let test = "ordered_worlds_without_faults_keep_every_promise";
    run_ordered(test, Faults::none());
}

#[test]
fn a_seed_gives_the_same_world_to_the_last_call() {
    let once = simulation("", Faults::all(), 20).run(mixed);
    let again = simulation("", Faults::all(), 20).run(mixed);
    assert_eq!(once.digest, again.digest);
    assert_eq!(once.calls, again.calls);
}
