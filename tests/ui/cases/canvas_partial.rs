#![allow(unused_must_use)]

use sedano::{App, TaskError, task};

#[task]
async fn add(x: i64, y: i64) -> Result<i64, TaskError> {
    Ok(x + y)
}

async fn send(app: &App) {
    // Their first arguments are missing.
    app.send(add::partial(4)).await;
    add::partial(4).send(app).await;
    app.send(add::partial(4) | add::partial(8)).await;
}

fn main() {}
