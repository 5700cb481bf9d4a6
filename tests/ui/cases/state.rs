#![allow(dead_code, unused_variables)]

struct Db;

#[sedano::task]
async fn owned(#[state] db: Db) {}

#[sedano::task]
async fn exclusive(#[state] db: &mut Db) {}

#[sedano::task]
async fn both(#[ctx] #[state] db: &Db) {}

#[sedano::task]
async fn left_out(#[state] #[default] db: &Db) {}

#[sedano::task]
async fn configured(#[state = 5] db: &Db) {}

fn main() {}
