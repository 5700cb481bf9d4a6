#![allow(dead_code, unused_variables)]

#[sedano::task]
async unsafe fn peek(address: u64) {}

#[sedano::task]
const async fn fold(x: u64) {}

#[sedano::task]
async extern "C" fn call(x: u64) {}

fn main() {}
