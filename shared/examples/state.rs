//! What a task is given beside its arguments: the run it is in, and values of its worker. And what
//! it can send: children, whose ids a repeated run would derive again.

use std::sync::Mutex;

use sedano::memory::Memory;
use sedano::{BoxError, Context, TaskError, Worker, task, tasks};

/// What would be a client or a pool of connections.
#[derive(Default)]
struct Stock(Mutex<Vec<String>>);

#[task]
async fn pack(#[state] stock: &Stock, #[ctx] ctx: &Context, item: String) {
    let line = format!("{item} for {:?}", ctx.headers().get("customer"));
    stock.0.lock().map(|mut lines| lines.push(line)).ok();
}

#[task]
async fn order(#[ctx] ctx: &Context, items: Vec<String>) -> Result<Vec<String>, TaskError> {
    let mut ids = Vec::new();
    for item in items {
        let child = pack::s(item).header("customer", "Ada");
        ids.push(ctx.send(child).await?.id().to_owned());
    }
    Ok(ids)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let worker = Worker::new(Memory::default().app()).tasks(tasks![order, pack]);
    let refusal = worker.check().map_err(|error| error.to_string());
    println!("{refusal:?}");
    assert!(refusal.is_err_and(|why| why.starts_with("task `pack` asks for state of type")));

    let worker = worker.state(Stock::default());
    worker.check()?;
    let sent = worker
        .app()
        .send(order::s(vec!["tea".into(), "pot".into()]))
        .await?;
    // Three: the children are in the queue before it is empty.
    assert_eq!(worker.run_once().await?, 3);

    for id in sent.get().await? {
        let child = worker.app().record(&id).await?;
        println!("{} {} of {:?}", child.id, child.status, child.parent_id);
        assert_eq!(child.parent_id.as_deref(), Some(sent.id()));
    }
    Ok(())
}

#[test]
fn it_runs() {
    main().unwrap();
}
