//! Takes batches from SQS and runs their tasks.

use sedano::aws::Aws;
use sedano::{App, AwsSettings, Config, Error, ErrorKind, Worker};
use sedano_tasks::{Killer, Rows};

#[tokio::main(flavor = "current_thread")]
async fn main() -> sedano::Result<()> {
    let worker = Worker::new(App::from_env()?)
        .tasks(sedano_tasks::all())
        .state(Killer::of_the_process())
        .state(rows()?);
    sedano::lambda::run(worker).await
}

/// The sample tasks' own rows, in the table that `APP_TABLE` names: there in the place of the library's state.
fn rows() -> sedano::Result<Rows> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a setting of the sample tasks: the library has none of them"
    )]
    let table = std::env::var("APP_TABLE").map_err(|_| {
        let what = "APP_TABLE is not set: it must be the name of a DynamoDB table for the sample tasks' rows";
        Error::new(ErrorKind::Config, what)
    })?;
    let mut config = Config::from_env()?;
    config.state_table = table;
    let aws = Aws::new(&config, &AwsSettings::from_env()?)?;
    Ok(Rows::new(aws.ports().store))
}
