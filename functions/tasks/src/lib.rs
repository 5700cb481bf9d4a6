//! The sample tasks.
//!
//! They show how tasks are written, they are what `cargo dev` runs, and the tests drive the system
//! with them: some compute, some fail in every way a task can, some cost less, one reads files.
//!
//! A task is a plain async function, and can be called as one:
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use sedano_tasks::arithmetic::add;
//!
//! assert_eq!(add(2, 3).await?, 5);
//! let call = add::s(2, 3); // to be sent: by position
//! let call = add { x: 2, y: 3 }; // or by name
//! # Ok::<(), sedano::TaskError>(()) }).unwrap();
//! ```

pub mod arithmetic;
pub mod cheap;
pub mod echo;
pub mod failing;
pub mod killer;
pub mod time;
pub mod words;

pub use killer::Killer;

use std::time::Duration;

use sedano::beat::{Beat, every};
use sedano::{Tasks, tasks};

/// Every task here. `crash` needs a [`Killer`] as the worker's state.
pub fn all() -> Tasks {
    tasks![
        arithmetic::add,
        arithmetic::mul,
        arithmetic::xsum,
        cheap::idempotent_add,
        cheap::quiet_add,
        echo::echo,
        failing::crash,
        failing::fail,
        failing::flaky,
        failing::panic,
        failing::retry_thrice,
        time::limited,
        time::sleep,
        words::count_words,
        words::top_words,
    ]
}

/// What beat sends, and when.
pub fn schedule() -> Beat {
    Beat::new().entry(
        "add",
        every(Duration::from_secs(300)),
        arithmetic::add::s(2, 2),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_names_tasks_that_there_are() {
        let app = sedano::memory::Memory::default().app().tasks(all());
        schedule().check(&app).unwrap();
    }

    /// Senders outside this repository write these names.
    #[test]
    fn names_on_the_wire() {
        all().check().unwrap();
        let mut names: Vec<_> = all().iter().map(|task| task.name).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "add",
                "count_words",
                "crash",
                "echo",
                "fail",
                "flaky",
                "idempotent_add",
                "limited",
                "mul",
                "panic",
                "quiet_add",
                "retry_thrice",
                "sleep",
                "top_words",
                "xsum",
            ]
        );
    }
}
