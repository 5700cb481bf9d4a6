//! Reads and controls: records of tasks, revocation, queue depths, the OpenAPI document and a page for
//! people, all through API Gateway.
//!
//! It can't send to a queue nor receive from one.

use sedano::App;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), sedano::Error> {
    sedano::lambda::run_console(App::from_env()?.tasks(sedano_tasks::all())).await
}
