#![allow(dead_code, unused_variables)]

use std::cell::Cell;

#[sedano::task]
async fn count(#[state] counter: &Cell<u32>) {}

fn main() {}
