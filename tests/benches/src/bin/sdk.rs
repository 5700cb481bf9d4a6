//! The same on the bare SDK: one write a task, all at once, no engine. TLS, trust and the connection
//! opened at the start are as in Sedano, so that what is left is the SDK's own.

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region, StalledStreamProtectionConfig};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_types::SdkConfig;
use futures_util::future::try_join_all;
use lambda_runtime::{LambdaEvent, service_fn};
use sedano_benches::Result;
use sedano_benches::compare::{CONDITION, Event, Record, TABLE, all_done, run};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    lambda_runtime::tracing::init_default_subscriber();
    let client = &client()?;
    let nothing = client.get_item().table_name(TABLE);
    nothing
        .key("id", AttributeValue::S("-".to_owned()))
        .send()
        .await?;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| async move {
        let event: Event = serde_json::from_value(event.payload)?;
        try_join_all(event.records.iter().map(|record| work(client, record))).await?;
        Ok::<_, lambda_runtime::Error>(all_done())
    }))
    .await
}

async fn work(client: &Client, record: &Record) -> Result<()> {
    let sum = run(&record.body)?;
    client
        .put_item()
        .table_name(TABLE)
        .item("id", AttributeValue::S(sum.id))
        .item("task", AttributeValue::S("add".to_owned()))
        .item("status", AttributeValue::S("SUCCESS".to_owned()))
        .item("result", AttributeValue::S(sum.result.to_string()))
        .item("finished_at", AttributeValue::S(sum.finished_at))
        .item("ttl", AttributeValue::N(sum.ttl.to_string()))
        .condition_expression(CONDITION)
        .send()
        .await?;
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a program of its own: it has no other settings"
)]
fn client() -> Result<Client> {
    use std::env::var;

    let mut trust = TrustStore::empty();
    if let Ok(path) = var("AWS_CA_BUNDLE") {
        trust.add_pem_certificate(std::fs::read(path)?);
    }
    let http = Builder::new()
        .tls_provider(Provider::rustls(CryptoMode::Ring))
        .tls_context(TlsContext::builder().with_trust_store(trust).build()?)
        .build_https();
    let credentials = Credentials::new(
        var("AWS_ACCESS_KEY_ID")?,
        var("AWS_SECRET_ACCESS_KEY")?,
        var("AWS_SESSION_TOKEN").ok(),
        None,
        "environment",
    );
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(var("AWS_REGION")?))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(var("AWS_ENDPOINT_URL")?)
        .http_client(http)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build();
    Ok(Client::new(&config))
}
