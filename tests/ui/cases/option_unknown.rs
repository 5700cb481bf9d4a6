#![allow(dead_code, unused_variables)]

#[sedano::task(queue = "io", max_retires = 5)]
async fn fetch(url: String) {}

fn main() {}
