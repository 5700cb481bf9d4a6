//! Called once a minute: sends what is due until the next call.

use sedano::App;

#[tokio::main(flavor = "current_thread")]
async fn main() -> sedano::Result<()> {
    let app = App::from_env()?.tasks(sedano_tasks::all());
    sedano::lambda::run_beat(sedano_tasks::schedule(), app).await
}
