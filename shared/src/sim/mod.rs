//! Worlds of tasks behind seeded faults, in virtual time.
//!
//! A [`Simulation`] makes a world for each seed: your tasks on the ports in memory, functions that
//! receive and run them as Lambda would, and in between whatever [`Faults`] says: calls that fail, or
//! are done while their answer is lost; messages that come twice, late, in another order; processes
//! that die at any moment or freeze; clocks that are off; deployments that don't know a task yet. Your
//! scenario sends tasks, lets the world [settle](World::settle) and asserts what it likes; after it
//! the [invariants](Invariant) are checked that hold of every world. A day takes milliseconds, and a
//! seed gives the same world each time, to the last call.
//!
//! ```
//! use sedano::sim::{Faults, Simulation};
//! use sedano::{task, tasks, Context, ResultExt, TaskError};
//!
//! #[task]
//! async fn add(x: i64, y: i64) -> Result<i64, TaskError> {
//!     Ok(x + y)
//! }
//!
//! #[task(max_retries = 5, backoff = exponential(secs(2)))]
//! async fn flaky(#[ctx] ctx: &Context, failures: u32) -> Result<u32, TaskError> {
//!     if ctx.retries() < failures {
//!         Err(std::io::Error::other("disk")).retry()?;
//!     }
//!     Ok(ctx.retries())
//! }
//!
//! Simulation::new(|| tasks![add, flaky])
//!     .faults(Faults::all())
//!     .seeds(0..20)
//!     .run(async |world| {
//!         let sum = world.send(add::s(1, 2)).await;
//!         let third = world.send(flaky::s(2)).await;
//!         world.settle().await;
//!         assert_eq!(sum.try_get().await?, Some(3));
//!         assert_eq!(third.try_get().await?, Some(2));
//!         Ok(())
//!     })
//!     .unwrap();
//! ```
//!
//! # What makes a world repeatable
//!
//! One thread, tokio's paused clock, and randomness from the seed alone, in a stream of its own for
//! each concern. Every call of a port takes a drawn time, and those times are the scheduler: there is
//! no other. Tasks under test must keep to that: no `tokio::select!` without `biased`, no iteration
//! over a `HashMap`, no thread, no time but [`Context`](crate::Context)'s clock or `tokio::time`.
//!
//! # Where things are
//!
//! | file | |
//! |---|---|
//! | `faults` | what goes wrong, and how often |
//! | `process`, `body` | a process: its clock, its calls, the bodies it runs |
//! | `queue`, `store` | the ports as a process sees them |
//! | `mapping`, `lambda` | event source mappings; invocations, deaths |
//! | `world` | what a scenario holds |
//! | `history`, `check` | what happened, and what must hold of it |
//! | `run` | many seeds, and the report |

mod beat;
mod body;
mod check;
mod clock;
mod faults;
mod history;
mod lambda;
mod mapping;
mod process;
mod queue;
mod random;
mod run;
mod store;
#[cfg(test)]
mod tests;
mod world;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::beat::Beat;
use crate::config::Config;
use crate::context::StateMap;
use crate::failure::BoxError;
use crate::ports::QueueName;
use crate::task::Tasks;
use crate::worker::Worker;

pub use crate::engine::{Branch, Rule};
pub use body::die;
pub(crate) use body::{reached, recorded, stepped};
pub use check::{Invariant, Violation};
pub use faults::Faults;
pub use random::Random;
pub use run::{Failure, Report};
pub use world::World;

/// Worlds to be run: which tasks, which faults, which seeds.
#[must_use = "a simulation does nothing until it is run"]
pub struct Simulation {
    blueprint: Blueprint,
    seeds: Range<u64>,
}

/// Puts a value for tasks into the state of a new world.
type MakeState = Box<dyn Fn(&mut StateMap) + Send + Sync>;

type MakeBeat = Box<dyn Fn() -> Beat + Send + Sync>;

/// What all worlds of a simulation have in common.
struct Blueprint {
    /// How each deployment's task set is made; the first is what is deployed at the beginning and at
    /// the end.
    deployments: Vec<Box<dyn Fn() -> Tasks + Send + Sync>>,
    faults: Faults,
    config: Config,
    /// What a worker is given beside its tasks; new for each world, shared by its workers.
    states: Vec<MakeState>,
    /// How long an invocation may take.
    timeout: Duration,
    /// How many batches of a queue are at work at a time.
    pollers: u64,
    replay: Option<Box<dyn Fn(u64) -> String + Send + Sync>>,
    without: Option<Rule>,
    beat: Option<MakeBeat>,
}

impl Blueprint {
    fn tasks(&self, deployment: usize) -> Tasks {
        let deployment = self.deployments.get(deployment);
        deployment.map(|tasks| tasks()).unwrap_or_default()
    }

    fn state(&self) -> StateMap {
        let mut state = StateMap::default();
        for make in &self.states {
            make(&mut state);
        }
        state
    }

    /// A worker as a process starts it.
    fn worker(&self, app: App, deployment: usize, state: &StateMap) -> Worker {
        Worker::new(app.without(self.without))
            .tasks(self.tasks(deployment))
            .with_state(state.clone())
    }
}

impl Simulation {
    /// Worlds whose workers know these tasks, without faults, for the seeds 0 to 99.
    pub fn new(tasks: impl Fn() -> Tasks + Send + Sync + 'static) -> Self {
        let blueprint = Blueprint {
            deployments: vec![Box::new(tasks)],
            faults: Faults::none(),
            config: Config::memory(),
            states: Vec::new(),
            timeout: Duration::from_secs(60),
            pollers: 3,
            replay: None,
            without: None,
            beat: None,
        };
        Self {
            blueprint,
            seeds: 0..100,
        }
    }

    /// What goes wrong.
    pub fn faults(mut self, faults: Faults) -> Self {
        self.blueprint.faults = faults;
        self
    }

    /// Another deployment, which is there for some minutes in worlds that
    /// [`Faults::redeployed`] picks: lacking a task, say, that is new.
    pub fn redeploy(mut self, tasks: impl Fn() -> Tasks + Send + Sync + 'static) -> Self {
        self.blueprint.deployments.push(Box::new(tasks));
        self
    }

    /// A value for the tasks that ask for its type with `#[state]`: one for each world, shared by all
    /// its workers, so that what tasks did can be counted. See [`World::state`].
    pub fn state<S: Send + Sync + 'static>(
        mut self,
        make: impl Fn() -> S + Send + Sync + 'static,
    ) -> Self {
        let insert = move |state: &mut StateMap| state.insert(make());
        self.blueprint.states.push(Box::new(insert));
        self
    }

    /// A schedule, which beat keeps in each world: called every minute, or as [`Faults`] have it. Without one beat
    /// only looks after tasks that are due in more than a quarter of an hour.
    pub fn beat(mut self, schedule: impl Fn() -> Beat + Send + Sync + 'static) -> Self {
        self.blueprint.beat = Some(Box::new(schedule));
        self
    }

    /// One more queue, with workers.
    pub fn queue(mut self, name: &str) -> Self {
        let queues = &mut self.blueprint.config.queues;
        let name = QueueName::new(name);
        if name.is_fifo() {
            for beside in [QueueName::UNDELIVERED, QueueName::DEAD_LETTERS] {
                let beside = format!("{beside}.fifo");
                queues.insert(QueueName::new(&beside), format!("memory:{beside}"));
            }
        }
        queues.insert(name.clone(), format!("memory:{name}"));
        self
    }

    /// Other settings for workers and senders.
    pub fn config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.blueprint.config);
        self
    }

    /// How long an invocation may take before it is killed: 60 s unless told otherwise.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.blueprint.timeout = timeout;
        self
    }

    /// How many batches of a queue are at work at a time: 3 unless told otherwise.
    pub fn pollers(mut self, pollers: u64) -> Self {
        self.blueprint.pollers = pollers;
        self
    }

    /// Which worlds: one for each seed.
    pub fn seeds(mut self, seeds: Range<u64>) -> Self {
        self.seeds = seeds;
        self
    }

    /// Without one of the protocol's rules: a simulation that then finds nothing checks nothing.
    pub fn without(mut self, rule: Rule) -> Self {
        self.blueprint.without = Some(rule);
        self
    }

    /// The command that runs one seed again, for reports.
    pub fn replay_with(mut self, command: impl Fn(u64) -> String + Send + Sync + 'static) -> Self {
        self.blueprint.replay = Some(Box::new(command));
        self
    }

    /// Runs every world, on all processors.
    pub fn run<F>(self, scenario: F) -> Report
    where
        F: AsyncFn(&World) -> Result<(), BoxError> + Sync,
    {
        run::run(&Arc::new(self.blueprint), self.seeds, &scenario)
    }

    /// Runs the world of one seed, and keeps all its calls if something is broken.
    pub fn replay<F>(self, seed: u64, scenario: F) -> Report
    where
        F: AsyncFn(&World) -> Result<(), BoxError> + Sync,
    {
        run::replay(&Arc::new(self.blueprint), seed, &scenario)
    }
}

impl std::fmt::Debug for Simulation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulation")
            .field("seeds", &self.seeds)
            .field("faults", &self.blueprint.faults)
            .finish_non_exhaustive()
    }
}
