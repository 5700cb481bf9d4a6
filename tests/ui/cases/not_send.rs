#![allow(dead_code, unused_variables)]

use std::rc::Rc;

#[sedano::task]
async fn hold(x: i64) {
    let held = Rc::new(x);
    std::future::ready(()).await;
    drop(held);
}

fn main() {}
