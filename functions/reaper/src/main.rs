//! Takes what SQS gave up: records that its task failed, and keeps the message as a dead letter.

use sedano::App;

#[tokio::main(flavor = "current_thread")]
async fn main() -> sedano::Result<()> {
    sedano::lambda::run_reaper(App::from_env()?).await
}
