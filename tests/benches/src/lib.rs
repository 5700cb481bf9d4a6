//! What a task costs, measured on the real consumer: the binary that is deployed runs against a
//! Lambda Runtime API and an AWS endpoint of our own, which count its calls and read its CPU time.
//!
//! Beside it run, in the same minutes on the same cores, a loop written by hand, the bare
//! `lambda_runtime` and the bare SDK (`src/bin`). Seconds of a shared machine say little; ratios do.

pub mod compare;
pub mod endpoint;
pub mod function;
pub mod http;
pub mod load;
pub mod runtime_api;

/// Whatever goes wrong ends the measurement.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
