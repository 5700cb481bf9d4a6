//! What holds of every message and of whatever comes in its place: laws by random values, and a table of
//! hostile input. `tests/fuzz` searches for more of it.

mod canvas;
pub(crate) mod documented;
pub(crate) mod faulty;
mod hostile;
mod properties;
