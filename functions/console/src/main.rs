//! Reads and controls: records of tasks, revocation, queue depths, dead letters, beat's entries, the OpenAPI
//! document and a page for people, all through API Gateway.
//!
//! It receives from the dead letters only, and sends only what it takes from there and entries that are run by hand.

use sedano::App;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), sedano::Error> {
    sedano::lambda::run_console(App::from_env()?.tasks(sedano_tasks::all())).await
}
