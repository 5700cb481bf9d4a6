#![allow(dead_code, unused_variables)]

#[sedano::task]
fn add(x: i64, y: i64) -> Result<i64, String> {
    Ok(x + y)
}

fn main() {}
