#![allow(dead_code, unused_variables)]

#[sedano::task]
struct Add {
    x: i64,
}

fn main() {}
