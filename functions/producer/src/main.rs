//! Sends tasks: what API Gateway forwards of the HTTP API, and what other functions, Step Functions
//! or the AWS CLI invoke it with, such as `{"task": "add", "args": [2, 3]}`.
//!
//! It has the right to send to the default queue, and to ask for that queue's depth, by which it opens its
//! connection at start. It knows the tasks, so that a wrong name or
//! wrong arguments are refused here and not found in the dead-letter queue.

use sedano::App;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), sedano::Error> {
    sedano::lambda::run_producer(App::from_env()?.tasks(sedano_tasks::all())).await
}
