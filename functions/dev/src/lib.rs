//! The local stack: the whole of Sedano in one process, on the memory ports.
//!
//! [`Stack`] is what `cargo dev` serves and what tests start: queues, workers with the sample tasks,
//! beat, and the HTTP API on a loopback address. The engine is the one that runs on Lambda; only
//! what it speaks to is in memory, and is gone with the process. [`sample`] is the workload that
//! `cargo dev` begins with; where the clock is moved instead, to try schedules out, [`ended`] tells what they did.

pub mod clock;
pub mod ended;
pub mod files;
pub mod progress;
pub mod report;
pub mod sample;
mod server;
mod stack;
mod workers;

pub use stack::{INVOCATION, Settings, Stack, VISIBILITY};
