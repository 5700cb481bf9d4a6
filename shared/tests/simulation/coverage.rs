//! What the worlds came through: a fault that never fires and a branch that no world reaches are not tested.

use std::collections::BTreeMap;

use sedano::sim::{Branch, Faults, Report, Simulation};

use crate::beat::{kept, scheduled};
use crate::reports::reporting_worlds;
use crate::revoked::revoked;
use crate::rules::COPIED;
use crate::unique::lonely_worlds;
use crate::worlds::{brief, forgotten, mixed, ordered, redriven, simulation, steps};

/// So many worlds of a kind.
fn worlds(faults: Faults, worlds: u64) -> Simulation {
    simulation("", faults, 1).seeds(0..worlds)
}

/// Each kind of thing that may go wrong has.
pub(crate) fn every_fault_fired(report: &Report, faults: &Faults) {
    let mut rates = faults.rates();
    rates.push(("skew", faults.skew.as_secs_f64()));
    let fired = |name: &str| report.faults.get(name).copied().unwrap_or_default();
    for (name, rate) in rates {
        println!("{name}: {}", fired(name));
        assert_eq!(
            rate > 0.0,
            fired(name) > 0,
            "{name} at a rate of {rate} in {} worlds",
            report.worlds
        );
    }
}

#[test]
fn every_branch_is_reached() {
    let all = Faults::all();
    let reports = [
        worlds(all, 300).run(mixed),
        worlds(all.slow(0.2).done_late(0.5), 40).run(steps),
        worlds(all, 20).run(reporting_worlds),
        worlds(all, 100).run(revoked),
        worlds(all, 100).queue("orders.fifo").run(ordered),
        worlds(COPIED.died(0.2), 100).run(redriven),
        brief(worlds(all.late_ttl(1.0), 50)).run(forgotten),
        kept(worlds(all, 50)).run(scheduled),
        worlds(all, 50).run(lonely_worlds),
    ];
    let mut sums: BTreeMap<Branch, u64> = BTreeMap::new();
    for (branch, count) in reports.iter().flat_map(|report| &report.branches) {
        *sums.entry(*branch).or_default() += count;
    }
    let count = |branch| sums.get(branch).copied().unwrap_or_default();
    for branch in Branch::ALL {
        println!("{branch:?}: {}", count(branch));
    }
    let missed: Vec<_> = Branch::ALL
        .iter()
        .filter(|branch| count(branch) == 0)
        .collect();
    assert!(missed.is_empty(), "no world came through {missed:?}");
    for report in reports {
        report.unwrap();
    }
}
