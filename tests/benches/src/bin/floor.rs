//! The least a function on `lambda_runtime` costs: it takes the event and does nothing.

use lambda_runtime::{LambdaEvent, service_fn};
use sedano_benches::compare::all_done;
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda_runtime::tracing::init_default_subscriber();
    lambda_runtime::run(service_fn(|_: LambdaEvent<Value>| async {
        Ok::<_, lambda_runtime::Error>(all_done())
    }))
    .await
}
