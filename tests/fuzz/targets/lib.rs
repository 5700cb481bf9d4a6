//! What the targets share: a system in memory, in virtual time, with tasks to call.

use std::future::Future;
use std::sync::Arc;

use sedano::memory::{Memory, TokioClock};
use sedano::{App, Config, Context, Param, SeededEntropy, Task, TaskError, Timestamp, tasks};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// When everything begins: the same in every run.
pub const NOW: Timestamp = Timestamp::from_millis(1_772_366_400_000);

/// Runs the future in virtual time, where waiting takes none.
pub fn in_virtual_time<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(future),
        Err(error) => panic!("no runtime: {error}"),
    }
}

/// An empty system and an application that knows [`Add`] and [`Echo`]. Inside a runtime only.
pub fn system() -> (Memory, App) {
    let clock = Arc::new(TokioClock::starting_at(NOW));
    let memory = Memory::with(&Config::memory(), clock, Arc::new(SeededEntropy::new(1)));
    let app = memory.app().tasks(tasks![Add, Echo]);
    (memory, app)
}

/// A task of two whole numbers.
#[derive(Serialize, Deserialize)]
pub struct Add {
    x: i64,
    y: i64,
}

impl Task for Add {
    const NAME: &'static str = "add";
    const PARAMS: &'static [Param] = &[Param::required("x"), Param::required("y")];
    type Output = i64;
    async fn run(self, _: &Context) -> Result<i64, TaskError> {
        self.x
            .checked_add(self.y)
            .ok_or_else(|| TaskError::permanent("beyond 64 bits"))
    }
}

/// A task of anything, which it returns.
#[derive(Serialize, Deserialize)]
pub struct Echo {
    #[serde(default)]
    value: Value,
}

impl Task for Echo {
    const NAME: &'static str = "echo";
    const PARAMS: &'static [Param] = &[Param::optional("value")];
    type Output = Value;
    async fn run(self, _: &Context) -> Result<Value, TaskError> {
        Ok(self.value)
    }
}
