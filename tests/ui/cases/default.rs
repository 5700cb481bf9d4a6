#![allow(dead_code, unused_variables)]

#[sedano::task]
async fn fetch(#[default] depth: u8, url: String) {}

#[sedano::task]
async fn list(#[default(20)] limit: u32) {}

#[sedano::task]
async fn page(#[default = "20"] limit: u32) {}

fn main() {}
