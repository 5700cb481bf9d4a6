#![allow(dead_code, unused_variables)]

use sedano::Context;

#[sedano::task]
async fn greet(name: &str, all: Vec<&'static str>, rest: std::borrow::Cow<'_, str>) {}

#[sedano::task]
async fn unmarked(ctx: &Context, x: i64) {}

fn main() {}
