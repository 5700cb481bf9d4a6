#![allow(dead_code, unused_variables)]

const NAME: &str = "billing.charge";

#[sedano::task(name = NAME)]
async fn charge() {}

#[sedano::task("billing.charge")]
async fn charge_unnamed() {}

#[sedano::task(name = "")]
async fn charge_empty() {}

#[sedano::task(name)]
async fn charge_bare() {}

#[sedano::task(alias = ["pay", 5])]
async fn charge_number() {}

#[sedano::task(alias = ["pay", "pay"])]
async fn charge_alias() {}

fn main() {}
