//! What the simulation finds when a rule of the protocol is switched off. A check that can't fail proves
//! nothing, and a rule whose absence nobody would notice is none.

use std::collections::BTreeSet;

use sedano::sim::{Faults, Invariant, Rule};

use crate::worlds::{mixed, number, ordered, simulation};

/// A rule, what goes wrong around it, within how many seeds its absence is found, and which invariant,
/// among others maybe, is broken by it.
struct Switched {
    rule: Rule,
    faults: Faults,
    seeds: u64,
    breaks: Invariant,
}

const fn off(rule: Rule, faults: Faults, seeds: u64, breaks: Invariant) -> Switched {
    Switched {
        rule,
        faults,
        seeds,
        breaks,
    }
}

const SWITCHED: [Switched; 17] = [
    off(
        Rule::AcknowledgeLast,
        Faults::all(),
        20,
        Invariant::NothingLost,
    ),
    off(
        Rule::ClaimBeforeRun,
        Faults::all(),
        20,
        Invariant::OneRunner,
    ),
    off(
        Rule::LeaseOutlivesInvocation,
        Faults::all(),
        20,
        Invariant::OneRunner,
    ),
    off(
        Rule::HideWhileHeld,
        Faults::all(),
        100,
        Invariant::NothingLost,
    ),
    off(
        Rule::AskAgainInDoubt,
        Faults::all(),
        1000,
        Invariant::Neighbours,
    ),
    off(
        Rule::FenceFinish,
        Faults::all(),
        1000,
        Invariant::OneFinalState,
    ),
    off(
        Rule::RecordRetryFirst,
        Faults::all(),
        1000,
        Invariant::OneRunner,
    ),
    off(Rule::HelpStale, Faults::all(), 100, Invariant::NothingLost),
    off(
        Rule::FollowAgain,
        Faults::all(),
        1000,
        Invariant::DeadLetters,
    ),
    off(
        Rule::SingleOut,
        Faults::all().died(0.3),
        1000,
        Invariant::Neighbours,
    ),
    off(Rule::CountDeaths, Faults::all(), 20, Invariant::Neighbours),
    off(Rule::WaitUntilDue, Faults::all(), 20, Invariant::OnTime),
    off(Rule::RevokeExpired, Faults::all(), 20, Invariant::OnTime),
    off(
        Rule::WaitForDeployment,
        Faults::all(),
        100,
        Invariant::Neighbours,
    ),
    off(
        Rule::DeriveChildIds,
        Faults::all(),
        100,
        Invariant::ChildrenOnce,
    ),
    off(
        Rule::OutlastOutage,
        Faults::none().outage(1.0),
        100,
        Invariant::Neighbours,
    ),
    off(Rule::KeepOrder, Faults::all(), 20, Invariant::Order),
];

#[test]
fn the_guide_lists_the_switches() {
    let guide = include_str!("../../docs/promises.md");
    let rows: Vec<Vec<&str>> = guide
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let listed: Vec<[String; 3]> = rows
        .iter()
        .map(|row| {
            [
                row[0].trim_matches('`').into(),
                row[2].into(),
                row[3].into(),
            ]
        })
        .collect();
    let switched = SWITCHED.iter().map(|switched| {
        let Switched {
            rule,
            seeds,
            breaks,
            ..
        } = switched;
        [
            format!("{rule:?}"),
            seeds.to_string(),
            format!("{breaks:?}"),
        ]
    });
    assert_eq!(listed, switched.collect::<Vec<_>>());
}

/// The first seed in which the switch is found, and all that was broken by then.
fn found(switched: &Switched) -> (Option<u64>, BTreeSet<Invariant>) {
    let base = number("SEDANO_SIM_BASE").unwrap_or(0);
    let mut broken = BTreeSet::new();
    let mut start = base;
    while start < base + switched.seeds {
        let seeds = start..(start + 20).min(base + switched.seeds);
        start = seeds.end;
        let worlds = simulation("", switched.faults, 1)
            .without(switched.rule)
            .seeds(seeds);
        let report = match switched.rule {
            Rule::KeepOrder => worlds.queue("orders.fifo").run(ordered),
            _ => worlds.run(mixed),
        };
        let mut first = None;
        for failure in &report.failures {
            let invariants = failure
                .violations
                .iter()
                .map(|violation| violation.invariant);
            broken.extend(invariants.clone());
            if invariants
                .into_iter()
                .any(|invariant| invariant == switched.breaks)
            {
                first = Some(first.map_or(failure.seed, |seed: u64| seed.min(failure.seed)));
            }
        }
        if first.is_some() {
            return (first, broken);
        }
    }
    (None, broken)
}

#[test]
fn without_a_rule_its_promise_is_seen_to_break() {
    let listed: BTreeSet<Rule> = SWITCHED.iter().map(|switched| switched.rule).collect();
    assert_eq!(
        listed,
        Rule::ALL.iter().copied().collect(),
        "every rule has a switch"
    );
    let mut unnoticed = Vec::new();
    for switched in &SWITCHED {
        let (seed, broken) = found(switched);
        println!(
            "{:?}: {:?} at seed {seed:?}; {broken:?}",
            switched.rule, switched.breaks
        );
        if seed.is_none() {
            unnoticed.push((switched.rule, switched.seeds, broken));
        }
    }
    assert!(
        unnoticed.is_empty(),
        "not found within so many seeds: {unnoticed:?}"
    );
}
