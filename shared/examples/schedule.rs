//! Beat: what is due is sent ahead, to the second, and once, however often the clock ticks.

use std::sync::Arc;
use std::time::Duration;

use sedano::beat::{Beat, every};
use sedano::memory::{Memory, TokioClock};
use sedano::ports::QueueName;
use sedano::{BoxError, Config, SeededEntropy, Timestamp, Worker, task, tasks};

#[task]
async fn sweep() {}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), BoxError> {
    let clock = TokioClock::starting_at("2026-03-01T12:00:05Z".parse::<Timestamp>()?);
    let entropy = SeededEntropy::new(1);
    let memory = Memory::with(&Config::memory(), Arc::new(clock), Arc::new(entropy));
    let app = memory.app().tasks(tasks![sweep]);
    let beat = Beat::new().entry("sweep", every(Duration::from_secs(30)), sweep::s());
    beat.check(&app)?;

    // On AWS a rule calls this once a minute.
    let ticked = beat.tick(&app).await?;
    println!("{} sent, up to {}", ticked.sent, ticked.until);
    assert_eq!(ticked.sent, 2);
    assert_eq!(beat.tick(&app).await?.sent, 0);

    let queue = QueueName::new(QueueName::DEFAULT);
    let due: Vec<String> = memory
        .queue()
        .messages(&queue)
        .iter()
        .map(|message| message.visible_at.to_string())
        .collect();
    assert_eq!(
        due,
        ["2026-03-01T12:00:30.000Z", "2026-03-01T12:01:00.000Z"]
    );

    app.ports().clock.sleep(Duration::from_secs(60)).await;
    assert_eq!(Worker::new(app).run_once().await?, 2);
    Ok(())
}

#[test]
fn it_runs() {
    main().unwrap();
}
