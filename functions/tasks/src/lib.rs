//! The sample tasks.
//!
//! They show how tasks are written, they are what `cargo dev` runs, and the tests drive the system
//! with them: some compute, some fail in every way a task can, some cost less, one reads files. Two are
//! worked schedules, with rows of their own: [`refunds`] and [`report`].
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
pub mod refunds;
pub mod report;
pub mod rows;
pub mod time;
pub mod words;

pub use killer::Killer;
pub use rows::Rows;

use std::time::Duration;

use sedano::beat::{Beat, crontab, every};
use sedano::{Tasks, tasks};

/// Every task here. `crash` needs a [`Killer`] as the worker's state, and the worked schedules need [`Rows`].
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
        refunds::cancel_open_refunds,
        refunds::open_refund,
        report::end_of_day_report,
        report::record_finished,
        time::limited,
        time::sleep,
        words::count_words,
        words::top_words,
    ]
}

/// Where the worked schedules' days begin and end.
pub(crate) const KYIV: &str = "Europe/Kyiv";

/// What beat sends, and when.
pub fn schedule() -> Beat {
    schedule_with(Duration::from_secs(300))
}

/// The same with `add` every so often: for a deployment of which one wants to see more.
pub fn schedule_with(add_every: Duration) -> Beat {
    let evening = crontab("0 18 * * *").in_tz(KYIV);
    // Not at midnight: the last callbacks of the day are still under way.
    let night = crontab("15 0 * * *").in_tz(KYIV);
    Beat::new()
        .entry("add", every(add_every), arithmetic::add::s(2, 2))
        .entry("refunds", evening, refunds::cancel_open_refunds::s())
        .entry("report", night, report::end_of_day_report::s())
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
                "cancel_open_refunds",
                "count_words",
                "crash",
                "echo",
                "end_of_day_report",
                "fail",
                "flaky",
                "idempotent_add",
                "limited",
                "mul",
                "open_refund",
                "panic",
                "quiet_add",
                "record_finished",
                "retry_thrice",
                "sleep",
                "top_words",
                "xsum",
            ]
        );
    }
}
