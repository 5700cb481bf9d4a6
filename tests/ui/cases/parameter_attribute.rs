#![allow(dead_code, unused_variables)]

#[sedano::task]
async fn fetch(#[serde(rename = "address")] url: String) {}

fn main() {}
