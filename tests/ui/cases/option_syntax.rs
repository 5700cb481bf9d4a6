#![allow(dead_code, unused_variables)]

#[sedano::task(queue = "io", queue = "bulk")]
async fn fetch(url: String) {}

#[sedano::task(queue("io"))]
async fn render(page: u32) {}

#[sedano::task(queue: "io")]
async fn send(to: String) {}

fn main() {}
