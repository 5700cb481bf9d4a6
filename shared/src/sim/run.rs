//! Many worlds: seeds spread over threads, and the report of those that broke something.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;

use super::Blueprint;
use super::check::{Invariant, Rules, Violation, check};
use super::world::World;
use super::{Branch, Faults};
use crate::failure::BoxError;
use crate::ports::QueueName;

/// What came of a simulation's worlds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a report that nobody looks at finds nothing: `.unwrap()` it"]
#[non_exhaustive]
pub struct Report {
    /// How many worlds there were.
    pub worlds: u64,
    /// How many calls were made in them.
    pub calls: u64,
    /// A digest over every call of every world: the same seeds, the same digest.
    pub digest: u64,
    /// How often each thing went wrong, by the name of its rate in [`Faults`].
    pub faults: BTreeMap<&'static str, u64>,
    /// How often the engine came through each of its seldom taken branches.
    pub branches: BTreeMap<Branch, u64>,
    /// The worlds in which something was broken, by seed; those of the first are told in full.
    pub failures: Vec<Failure>,
}

/// A world in which something was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// What doesn't hold.
    pub violations: Vec<Violation>,
    /// The calls of the world, oldest first; of a [`replay`](super::Simulation::replay) all.
    pub calls: Vec<String>,
    /// The command that runs this world again.
    pub replay: Option<String>,
}

/// How many failures are told with their calls.
const TOLD: usize = 3;
/// How many calls of a failure are told.
const LAST: usize = 50;

impl Report {
    /// Whether all held in every world.
    pub fn is_ok(&self) -> bool {
        self.failures.is_empty()
    }

    /// Nothing, if all held in every world.
    ///
    /// # Panics
    /// With the report, if something didn't.
    #[track_caller]
    pub fn unwrap(self) {
        #[expect(clippy::panic, reason = "see the panics section above")]
        if !self.is_ok() {
            panic!("{self}");
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (worlds, broken) = (self.worlds, self.failures.len());
        writeln!(f, "{broken} of {worlds} worlds broke an invariant")?;
        for failure in &self.failures {
            write!(f, "\n{failure}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        for violation in &self.violations {
            writeln!(f, "  {violation}")?;
        }
        if !self.calls.is_empty() {
            writeln!(f, "  the last {} calls:", self.calls.len())?;
        }
        for call in &self.calls {
            writeln!(f, "    {call}")?;
        }
        match &self.replay {
            Some(command) => writeln!(f, "  again: {command}"),
            None => writeln!(f, "  again: `.replay({})` in place of `.run(…)`", self.seed),
        }
    }
}

/// What one world came to.
struct Outcome {
    violations: Vec<Violation>,
    calls: u64,
    digest: u64,
    lines: Vec<String>,
    faults: BTreeMap<&'static str, u64>,
    branches: BTreeMap<Branch, u64>,
}

/// Runs a world for each seed, on as many threads as there are processors.
pub(super) fn run<F>(blueprint: &Arc<Blueprint>, seeds: Range<u64>, scenario: &F) -> Report
where
    F: AsyncFn(&World) -> Result<(), BoxError> + Sync,
{
    let next = AtomicU64::new(seeds.start);
    let report = Mutex::new(Report {
        worlds: 0,
        calls: 0,
        digest: 0,
        faults: BTreeMap::new(),
        branches: BTreeMap::new(),
        failures: Vec::new(),
    });
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let outcome = world(blueprint, seed, scenario, false);
            let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
            report.worlds += 1;
            report.calls += outcome.calls;
            // A sum, for the threads finish in any order.
            report.digest = report.digest.wrapping_add(outcome.digest ^ seed);
            add(&mut report.faults, &outcome.faults);
            add(&mut report.branches, &outcome.branches);
            if !outcome.violations.is_empty() {
                report.failures.push(Failure {
                    seed,
                    violations: outcome.violations,
                    calls: Vec::new(),
                    replay: blueprint.replay.as_ref().map(|command| command(seed)),
                });
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    let mut report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.failures.sort_by_key(|failure| failure.seed);
    for failure in report.failures.iter_mut().take(TOLD) {
        let mut lines = world(blueprint, failure.seed, scenario, true).lines;
        failure.calls = lines.split_off(lines.len().saturating_sub(LAST));
    }
    report
}

/// Runs one world and tells all of it.
pub(super) fn replay<F>(blueprint: &Arc<Blueprint>, seed: u64, scenario: &F) -> Report
where
    F: AsyncFn(&World) -> Result<(), BoxError> + Sync,
{
    let outcome = world(blueprint, seed, scenario, true);
    let failure = Failure {
        seed,
        violations: outcome.violations,
        calls: outcome.lines,
        replay: blueprint.replay.as_ref().map(|command| command(seed)),
    };
    Report {
        worlds: 1,
        calls: outcome.calls,
        digest: outcome.digest ^ seed,
        faults: outcome.faults,
        branches: outcome.branches,
        failures: if failure.violations.is_empty() {
            Vec::new()
        } else {
            vec![failure]
        },
    }
}

fn add<K: Ord + Copy>(sums: &mut BTreeMap<K, u64>, counts: &BTreeMap<K, u64>) {
    for (key, count) in counts {
        *sums.entry(*key).or_default() += count;
    }
}

fn world<F>(blueprint: &Arc<Blueprint>, seed: u64, scenario: &F, told: bool) -> Outcome
where
    F: AsyncFn(&World) -> Result<(), BoxError> + Sync,
{
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = match builder.enable_time().start_paused(true).build() {
        Ok(runtime) => runtime,
        Err(error) => return Outcome::without_world(&error),
    };
    runtime.block_on(async {
        let world = World::new(seed, blueprint, told);
        let acted = AssertUnwindSafe(world.act(scenario(&world)));
        let acted = acted.catch_unwind().await;
        let complaint = match acted {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(panic) => Some(format!("it panicked: {}", text(&*panic))),
        };
        let history = world.end().await;
        let mut violations = check(&history, &blueprint.rules());
        violations.extend(complaint.map(|what| Violation {
            invariant: Invariant::Scenario,
            what,
        }));
        Outcome {
            violations,
            calls: history.log.calls,
            digest: history.log.digest(),
            lines: history.log.lines.unwrap_or_default(),
            faults: history.faults,
            branches: history.branches,
        }
    })
}

impl Outcome {
    fn without_world(error: &std::io::Error) -> Self {
        Self {
            violations: vec![Violation {
                invariant: Invariant::Scenario,
                what: format!("there is no runtime for the world: {error}"),
            }],
            calls: 0,
            digest: 0,
            lines: Vec::new(),
            faults: BTreeMap::new(),
            branches: BTreeMap::new(),
        }
    }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "with a value that is no text",
    }
}

/// How soon something due begins in a world where nothing goes wrong but tasks that kill their process: a
/// visibility timeout, 90 s, until what died with one comes again, what is left of a lease, 62 s, the wait
/// of who met that, and as much for a queue that others stand in.
const SOON: Duration = Duration::from_secs(300);
/// And after the last fault: the longest that a message is put off, 900 s, in an outage, comes first.
const SOON_AFTER_FAULTS: Duration = Duration::from_secs(1200);

impl Blueprint {
    fn rules(&self) -> Rules {
        let sets: Vec<_> = (0..self.deployments.len())
            .map(|set| self.tasks(set))
            .collect();
        let all: Vec<_> = sets.iter().flat_map(|set| set.iter().copied()).collect();
        let names = all.iter().map(|task| task.name);
        let knows = |name| sets.iter().all(|set| set.find(name).is_some());
        Rules {
            sometimes: names.filter(|name| !knows(name)).collect(),
            tasks: crate::Tasks::new(all),
            unknown_task_grace: self.config.unknown_task_grace,
            timeout: self.timeout,
            soon: match self.faults == Faults::none() {
                true => SOON,
                false => SOON_AFTER_FAULTS,
            },
            // The slowest of them, done twice.
            call: match self.faults.slow > 0.0 {
                true => Duration::from_secs(17),
                false => Duration::from_secs(1),
            },
            quarantine: self
                .config
                .queues
                .contains_key(&QueueName::new(QueueName::QUARANTINE)),
            dead: &crate::engine::DEAD,
            only_outages: Faults {
                outage: 0.0,
                ..self.faults
            } == Faults::none(),
        }
    }
}
