#![allow(dead_code, unused_variables)]

#[sedano::task(max_retries = "many")]
async fn fetch(url: String) {}

#[sedano::task(time_limit = 30)]
async fn render(page: u32) {}

#[sedano::task(queue)]
async fn send(to: String) {}

fn main() {}
