//! The ports' contract, case by case, against every adapter: memory, and AWS through each emulator.
//!
//! A case is an async function over a [`World`](world::World); it panics where the contract is
//! broken. Memory runs in virtual time. What an emulator is known to do otherwise than AWS's
//! documentation says is listed in [`differences`], and printed by name when it is skipped.
//!
//! `cargo test -p sedano-tests --test conformance -- WORD…` runs the cases whose line contains all
//! the words.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is how a case fails"
)]

mod bus;
mod clock;
mod delivery;
mod differences;
mod fifo;
mod queue;
mod reads;
mod runner;
mod store;
mod store_conditions;
mod warm;
mod world;
mod write_many;

fn main() -> std::process::ExitCode {
    if std::env::args().any(|word| word == "--list") {
        // A runner that wants each case in a process of its own, nextest, gets none: `cargo test` runs them.
        return std::process::ExitCode::SUCCESS;
    }
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let groups = [
        runner::Group {
            name: "queue",
            cases: queue::CASES,
            paths: runner::Paths::One,
        },
        runner::Group {
            name: "delivery",
            cases: delivery::CASES,
            paths: runner::Paths::One,
        },
        runner::Group {
            name: "fifo",
            cases: fifo::CASES,
            paths: runner::Paths::One,
        },
        runner::Group {
            name: "store",
            cases: store::CASES,
            paths: runner::Paths::One,
        },
        runner::Group {
            name: "reads",
            cases: reads::CASES,
            paths: runner::Paths::One,
        },
        runner::Group {
            name: "condition",
            cases: store_conditions::CASES,
            paths: runner::Paths::One,
        },
        runner::Group {
            name: "write_many",
            cases: write_many::CASES,
            paths: runner::Paths::Both,
        },
        runner::Group {
            name: "bus",
            cases: bus::CASES,
            paths: runner::Paths::One,
        },
        runner::Group {
            name: "clock",
            cases: clock::CASES,
            paths: runner::Paths::One,
        },
        runner::Group {
            name: "warm",
            cases: warm::CASES,
            paths: runner::Paths::One,
        },
    ];
    runner::run(&groups, &words)
}
