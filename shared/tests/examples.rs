//! The examples, run: they assert what they print.

#[path = "../examples/by_hand.rs"]
mod by_hand;
#[path = "../examples/hello.rs"]
mod hello;
#[path = "../examples/retries.rs"]
mod retries;
#[path = "../examples/schedule.rs"]
mod schedule;
#[path = "../examples/state.rs"]
mod state;
