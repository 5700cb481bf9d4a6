#![allow(unused_must_use)]

use sedano::{TaskError, chord, group, task};

#[task]
async fn add(x: i64, y: i64) -> Result<i64, TaskError> {
    Ok(x + y)
}

#[task]
async fn shout(text: String) -> Result<String, TaskError> {
    Ok(text.to_uppercase())
}

#[task]
async fn xsum(numbers: Vec<i64>) -> Result<i64, TaskError> {
    Ok(numbers.iter().sum())
}

fn main() {
    // Members that yield different types: a tuple takes them, an array doesn't.
    group([add::s(1, 1), shout::s("a".into())]);
    // Members that need different things.
    group((add::s(1, 1), shout::partial()));
    // What is no member at all.
    group(add::s(1, 1));
    // A body that takes something else than the list of the results.
    chord([add::s(1, 1), add::s(2, 2)], add::partial(1));
    let _ = group([shout::s("a".into())]) | xsum::partial();
}
