#![allow(dead_code, unused_variables)]

#[sedano::task]
async fn add(x: i64, y: i64) -> i64 {
    x + y
}

#[sedano::task]
async fn check(x: i64) -> Result<i64, i64> {
    Err(x)
}

fn main() {}
