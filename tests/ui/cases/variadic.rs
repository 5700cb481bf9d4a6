#![allow(dead_code, unused_variables)]

#[sedano::task]
async fn sum(numbers: ...) {}

fn main() {}
