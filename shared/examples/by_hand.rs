//! What a sender without Rust writes, and where its results lie: plain JSON in, readable attributes
//! out, and a dead letter that says what was wrong.

use sedano::memory::Memory;
use sedano::ports::{Attribute, Outgoing, QueueName, Table};
use sedano::{BoxError, TaskError, Worker, task, tasks};

#[task]
async fn add(x: i64, y: i64) -> Result<i64, TaskError> {
    Ok(x + y)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let memory = Memory::default();
    let queue = QueueName::new(QueueName::DEFAULT);
    let bodies = [
        r#"{"task": "add", "args": [2], "kwargs": {"y": 3}}"#,
        "add 2, 3",
    ];
    let sent = memory
        .ports()
        .queue
        .send(&queue, bodies.map(Outgoing::new).into())
        .await?;
    let mut ids = Vec::new();
    for message in sent {
        ids.push(message?.message_id);
    }

    Worker::new(memory.app())
        .tasks(tasks![add])
        .run_once()
        .await?;

    // A message that names no id has its MessageId as the task's.
    let items = memory.store().items(Table::Results);
    println!("{:#?}", items[0]);
    assert_eq!(items[0]["id"], Attribute::Text(ids[0].clone()));
    assert_eq!(items[0]["status"], Attribute::from("SUCCESS"));
    assert_eq!(items[0]["result"], Attribute::from("5"));

    let dead = memory.queue().messages(&QueueName::new("dead-letters"));
    println!("{:#?}", dead[0].attributes);
    assert_eq!(dead[0].attributes["sedano-reason"], "Undecodable");
    assert_eq!(dead[0].attributes["sedano-message-id"], ids[1]);
    Ok(())
}

#[test]
fn it_runs() {
    main().unwrap();
}
