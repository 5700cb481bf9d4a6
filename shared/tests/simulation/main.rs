//! Worlds of every kind of task, composed from the seed, behind every fault.
//!
//! `SEDANO_SIM_WORLDS` says how many mixed ones (200; of the others a share), `SEDANO_SIM_BASE` from which seed
//! on (0), and
//! `SEDANO_SIM_SEED` runs one again and tells all its calls.

mod rules;
mod worlds;

use std::time::Duration;

use sedano::sim::Faults;

use worlds::{mixed, number, ordered, simulation};

fn run(test: &'static str, faults: Faults, share: u64) {
    let simulation = simulation(test, faults, share);
    match number("SEDANO_SIM_SEED") {
        Some(seed) => simulation.replay(seed, mixed).unwrap(),
        None => simulation.run(mixed).unwrap(),
    }
}

#[test]
fn mixed_worlds_keep_every_promise() {
    run("mixed_worlds_keep_every_promise", Faults::all(), 1);
}

#[test]
fn without_faults_every_body_runs_once() {
    run("without_faults_every_body_runs_once", Faults::none(), 10);
}

/// What only a fault in plenty shows, without others to hide it.
#[test]
fn one_fault_alone_breaks_nothing() {
    const NONE: Faults = Faults::none();
    let alone = [
        NONE.slow(0.1),
        NONE.throttled(0.05),
        NONE.unreachable(0.05),
        NONE.answer_lost(0.05),
        NONE.done_twice(0.3),
        NONE.done_late(1.0).died(0.1),
        NONE.entry_failed(0.1),
        NONE.untold(1.0),
        NONE.duplicated(0.5),
        NONE.reordered(1.0),
        NONE.acknowledgement_lost(0.1),
        NONE.died(0.15),
        NONE.frozen(0.3),
        NONE.redeployed(1.0),
        NONE.skew(Duration::from_millis(750)),
    ];
    for faults in alone {
        let report = simulation("", faults, 100).run(mixed);
        assert!(report.is_ok(), "with {faults:?} alone: {report}");
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
