//! Takes batches from SQS and runs their tasks.

use sedano::{App, Worker};
use sedano_tasks::Killer;

#[tokio::main(flavor = "current_thread")]
async fn main() -> sedano::Result<()> {
    let worker = Worker::new(App::from_env()?)
        .tasks(sedano_tasks::all())
        .state(Killer::of_the_process());
    sedano::lambda::run(worker).await
}
