#![allow(dead_code, unused_variables)]

use sedano::Context;

#[sedano::task]
async fn owned(#[ctx] ctx: Context) {}

#[sedano::task]
async fn exclusive(#[ctx] ctx: &mut Context) {}

#[sedano::task]
async fn twice(#[ctx] one: &Context, #[ctx] two: &Context) {}

#[sedano::task]
async fn other(#[ctx] ctx: &String) {}

fn main() {}
