#![allow(unused_must_use)]

use sedano::{TaskError, task};

#[task]
async fn add(x: i64, y: i64) -> Result<i64, TaskError> {
    Ok(x + y)
}

#[task]
async fn shout(text: String) -> Result<String, TaskError> {
    Ok(text.to_uppercase())
}

fn main() {
    // A step that takes something else.
    let _ = add::s(2, 2) | shout::partial();
    add::s(2, 2).then(shout::partial());
    // One that has all its arguments: the result would be one too many.
    let _ = add::s(2, 2) | add::s(1, 1);
    add::s(2, 2).then(add::s(1, 1));
}
