//! Entries and ticks on memory, in virtual time: what a worker runs of them is what counts.

mod budget;
mod changes;
mod definition;
mod entries;
mod faults;
mod missed;
mod routing;
mod ticks;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::entropy::SeededEntropy;
use crate::memory::{Memory, TokioClock};
use crate::ports::{Item, Table};
use crate::{Config, Context, TaskError, Timestamp, Worker, task, tasks};

/// What ran, in seconds since the world began.
#[derive(Clone, Default)]
struct Ran(Arc<Mutex<Vec<(String, i64)>>>);

#[task]
async fn note(#[state] ran: &Ran, #[ctx] ctx: &Context, what: String) -> Result<(), TaskError> {
    let at = ctx.started_at().as_secs() - START.as_secs();
    ran.0.lock().unwrap().push((what, at));
    Ok(())
}

/// A full hour.
const START: Timestamp = Timestamp::from_millis(1_772_366_400_000);

struct World {
    memory: Memory,
    worker: Worker,
    ran: Ran,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(TokioClock::starting_at(START));
        let memory = Memory::with(&Config::memory(), clock, Arc::new(SeededEntropy::new(1)));
        let ran = Ran::default();
        let app = memory.app().tasks(tasks![note]);
        let worker = Worker::new(app).tasks(tasks![note]).state(ran.clone());
        Self {
            memory,
            worker,
            ran,
        }
    }

    fn app(&self) -> &App {
        self.worker.app()
    }

    fn entries(&self) -> Entries {
        Entries::of(self.app())
    }

    /// Lets the worker work for so many seconds, each second.
    async fn pass(&self, seconds: u64) {
        for _ in 0..seconds {
            self.worker.run_once().await.unwrap();
            self.wait(1).await;
        }
        self.worker.run_once().await.unwrap();
    }

    /// Lets time pass in which nothing is done.
    async fn wait(&self, seconds: u64) {
        let clock = &self.app().ports().clock;
        clock.sleep(Duration::from_secs(seconds)).await;
    }

    /// A tick now and each minute, so many in all, with the minute after the last.
    async fn minutes(&self, beat: &Beat, minutes: u64) {
        for _ in 0..minutes {
            beat.tick(self.app()).await.unwrap();
            self.pass(60).await;
        }
    }

    /// When the entry of this argument ran.
    fn ran(&self, what: &str) -> Vec<i64> {
        let ran = self.ran.0.lock().unwrap();
        let of = ran.iter().filter(|(of, _)| of == what);
        of.map(|(_, at)| *at).collect()
    }

    fn item(&self, name: &str) -> Option<Item> {
        let sk = format!("entry#{name}");
        let items = self.memory.store().items(Table::State);
        let is = |item: &Item| item.get("sk").and_then(|sk| sk.as_text()) == Some(&sk);
        items.into_iter().find(is)
    }
}

fn seconds(seconds: u64) -> Schedule {
    every(Duration::from_secs(seconds))
}

fn at(seconds: u64) -> Timestamp {
    START + Duration::from_secs(seconds)
}

/// An entry that notes its own name.
fn noting(name: &str, schedule: Schedule) -> Entry {
    Entry::new(name, schedule, note::s(name.to_owned()))
}

fn one(entry: Entry) -> Beat {
    Beat::new().with(entry)
}
