//! Called once a minute: sends what is due until the next call.

use std::time::Duration;

use sedano::{App, Error, ErrorKind};

#[tokio::main(flavor = "current_thread")]
async fn main() -> sedano::Result<()> {
    let app = App::from_env()?.tasks(sedano_tasks::all());
    let schedule = match add_every()? {
        Some(period) => sedano_tasks::schedule_with(period),
        None => sedano_tasks::schedule(),
    };
    sedano::lambda::run_beat(schedule, app).await
}

/// How often the sample entry `add` is due, where `ADD_EVERY` says it in seconds.
fn add_every() -> sedano::Result<Option<Duration>> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a setting of the sample schedule: the library has none of it"
    )]
    let Ok(seconds) = std::env::var("ADD_EVERY") else {
        return Ok(None);
    };
    let period = seconds.parse().map(Duration::from_secs).map_err(|_| {
        let what = "ADD_EVERY must be a whole number of seconds";
        Error::new(ErrorKind::Config, what)
    })?;
    Ok(Some(period))
}
