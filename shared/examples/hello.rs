//! A task, sent and worked on: `cargo run -p sedano --no-default-features --example hello`.

use sedano::memory::Memory;
use sedano::{BoxError, TaskError, Worker, task, tasks};

/// Adds two numbers.
#[task]
async fn add(x: i64, y: i64) -> Result<i64, TaskError> {
    Ok(x + y)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    // On AWS: `App::from_env()?`.
    let app = Memory::default().app().tasks(tasks![add]);

    let sum = app.send(add::s(2, 3)).await?;
    println!("{} is {}", sum.id(), sum.state().await?);

    // On AWS: `sedano::lambda::run(worker)` in a function of its own.
    Worker::new(app).run_once().await?;

    let value = sum.get().await?;
    println!("{} is {}: {value}", sum.id(), sum.state().await?);
    assert_eq!(value, 5);
    Ok(())
}

#[test]
fn it_runs() {
    main().unwrap();
}
