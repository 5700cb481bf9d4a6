#![allow(unused_must_use)]

use sedano::{Failure, TaskError, group, task};

#[task]
async fn add(x: i64, y: i64) -> Result<i64, TaskError> {
    Ok(x + y)
}

#[task]
async fn shout(text: String) -> Result<String, TaskError> {
    Ok(text.to_uppercase())
}

#[task]
async fn alert(failure: Failure) {
    println!("{failure}");
}

fn main() {
    // A callback is given the result.
    add::s(1, 1).link(shout::partial());
    group([add::s(1, 1)]).link(add::partial(1));
    add::s(1, 1).link(alert::partial());
    // An errback is given the failure.
    add::s(1, 1).link_error(add::partial(1));
    add::s(1, 1).on_error(shout::s("failed".into()));
}
