//! What the simulation finds when a rule of the protocol is switched off. A check that can't fail proves
//! nothing, and a rule whose absence nobody would notice is none.

use std::collections::BTreeSet;

use sedano::sim::{Faults, Invariant, Rule};

use crate::beat::{kept, scheduled};
use crate::reports::reporting_worlds;
use crate::revoked::revoked;
use crate::time::parked;
use crate::unique::lonely_worlds;
use crate::worlds::{brief, forgotten, mixed, number, ordered, redriven, simulation, steps};

/// A rule, the worlds in which its absence is found, within how many seeds, and which invariant, among others
/// maybe, is broken by it.
struct Switched {
    rule: Rule,
    worlds: Worlds,
    faults: Faults,
    seeds: u64,
    breaks: Invariant,
}

/// What happens in a world.
enum Worlds {
    Mixed,
    Steps,
    Reporting,
    Revoked,
    Ordered,
    Redriven,
    Forgotten,
    Parked,
    Scheduled,
    Unique,
}

const fn off(
    rule: Rule,
    worlds: Worlds,
    faults: Faults,
    seeds: u64,
    breaks: Invariant,
) -> Switched {
    Switched {
        rule,
        worlds,
        faults,
        seeds,
        breaks,
    }
}

/// Records that are past their time, and still there.
const FORGETFUL: Faults = Faults::all().late_ttl(1.0);

/// Functions that don't start until SQS gives up.
const GIVEN_UP: Faults = Faults::none().unstarted(1.0);
/// Writes that are done long after whoever wanted them is gone.
const LATE: Faults = Faults::none().slow(0.5).done_late(1.0);
/// Everything, and this above all.
const BELATED: Faults = Faults::all().slow(0.3).done_late(1.0).frozen(0.5);
/// Messages that come again long after they were deleted.
pub(crate) const COPIED: Faults = Faults::all().resurfaced(0.3).acknowledgement_lost(0.3);

#[rustfmt::skip]
const SWITCHED: [Switched; 39] = [
    off(Rule::AcknowledgeLast, Worlds::Mixed, Faults::all(), 20, Invariant::NothingLost),
    off(Rule::ClaimBeforeRun, Worlds::Mixed, Faults::all(), 20, Invariant::OneRunner),
    off(Rule::LeaseOutlivesInvocation, Worlds::Mixed, Faults::all(), 20, Invariant::OneRunner),
    off(Rule::HideWhileHeld, Worlds::Mixed, Faults::all(), 100, Invariant::NothingLost),
    off(Rule::AskAgainInDoubt, Worlds::Mixed, Faults::all(), 1000, Invariant::Neighbours),
    off(Rule::FenceFinish, Worlds::Mixed, BELATED, 1000, Invariant::OneFinalState),
    off(Rule::RecordRetryFirst, Worlds::Mixed, Faults::all(), 1000, Invariant::OneRunner),
    off(Rule::HelpStale, Worlds::Mixed, Faults::all(), 100, Invariant::NothingLost),
    off(Rule::FollowAgain, Worlds::Mixed, Faults::all(), 1000, Invariant::DeadLetters),
    off(Rule::SingleOut, Worlds::Mixed, Faults::all().died(0.3), 1000, Invariant::Neighbours),
    off(Rule::CountDeaths, Worlds::Mixed, Faults::all(), 100, Invariant::Neighbours),
    off(Rule::WaitUntilDue, Worlds::Mixed, Faults::all(), 20, Invariant::OnTime),
    off(Rule::RevokeExpired, Worlds::Mixed, Faults::all(), 100, Invariant::OnTime),
    off(Rule::WaitForDeployment, Worlds::Mixed, Faults::all(), 1000, Invariant::Neighbours),
    off(Rule::DeriveChildIds, Worlds::Mixed, Faults::all(), 100, Invariant::ChildrenOnce),
    off(Rule::OutlastOutage, Worlds::Mixed, Faults::none().outage(1.0), 100, Invariant::Neighbours),
    off(Rule::KeepOrder, Worlds::Ordered, Faults::all(), 20, Invariant::Order),
    off(Rule::InsistOnFinish, Worlds::Mixed, Faults::all(), 100, Invariant::OneRunner),
    off(Rule::HandBackLate, Worlds::Ordered, Faults::all(), 1000, Invariant::Neighbours),
    off(Rule::ContainPanics, Worlds::Mixed, Faults::all(), 20, Invariant::Neighbours),
    off(Rule::StopAtLimit, Worlds::Mixed, Faults::all(), 20, Invariant::Neighbours),
    off(Rule::KeepUndecodable, Worlds::Mixed, Faults::all(), 20, Invariant::DeadLetters),
    off(Rule::RecordUndelivered, Worlds::Mixed, GIVEN_UP, 100, Invariant::NothingLost),
    off(Rule::RecordGenerationFirst, Worlds::Redriven, Faults::all(), 1000, Invariant::NothingLeft),
    off(Rule::RemoveLetterLast, Worlds::Redriven, Faults::all(), 1000, Invariant::NothingLeft),
    off(Rule::Supersede, Worlds::Redriven, COPIED, 1000, Invariant::OneFinalState),
    off(Rule::CapHops, Worlds::Mixed, Faults::all(), 100, Invariant::Retries),
    off(Rule::FenceCheckpoints, Worlds::Steps, LATE, 1000, Invariant::StepsOnce),
    off(Rule::FenceReports, Worlds::Reporting, LATE, 100, Invariant::Reports),
    off(Rule::HonourRequests, Worlds::Revoked, Faults::all(), 100, Invariant::Revocations),
    off(Rule::HonourRevocations, Worlds::Revoked, Faults::all(), 20, Invariant::Revocations),
    off(Rule::ForgetExpired, Worlds::Forgotten, FORGETFUL, 20, Invariant::NothingLost),
    off(Rule::EnterParked, Worlds::Parked, Faults::all(), 20, Invariant::NothingLost),
    off(Rule::AwaitMoves, Worlds::Parked, Faults::all(), 100, Invariant::OnTime),
    off(Rule::KeepApart, Worlds::Scheduled, Faults::all(), 20, Invariant::Scenario),
    off(Rule::HoldKeys, Worlds::Unique, Faults::all(), 20, Invariant::Unique),
    off(Rule::SendForHolder, Worlds::Unique, Faults::all(), 100, Invariant::Scenario),
    off(Rule::FreeKeys, Worlds::Unique, Faults::none(), 20, Invariant::NothingLeft),
    off(Rule::FenceKeys, Worlds::Unique, Faults::all(), 100, Invariant::Unique),
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
        // Reading them beside the claims leaves less time for others to come between.
        let worlds = match switched.worlds {
            Worlds::Revoked => worlds,
            _ => worlds.config(|config| config.revocations = false),
        };
        let report = match switched.worlds {
            Worlds::Mixed => worlds.run(mixed),
            Worlds::Steps => worlds.run(steps),
            Worlds::Revoked => worlds.run(revoked),
            Worlds::Reporting => worlds.run(reporting_worlds),
            Worlds::Ordered => worlds.queue("orders.fifo").run(ordered),
            Worlds::Redriven => worlds.run(redriven),
            Worlds::Forgotten => brief(worlds).run(forgotten),
            Worlds::Parked => worlds.run(parked),
            Worlds::Scheduled => kept(worlds).run(scheduled),
            Worlds::Unique => worlds.run(lonely_worlds),
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
