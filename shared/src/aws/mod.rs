//! The ports over AWS: SQS, DynamoDB, EventBridge.
//!
//! The adapters print what the ports say as API calls and read the answers; they decide nothing.
//! No type of the SDK is in their public API. All services share one HTTP client, and so one TLS
//! set-up; clients are built from plain [`AwsSettings`], never by a search through profiles and
//! metadata services. The SDK retries twice, soon: within an invocation it is better to hand a
//! message back than to wait long.

mod clock;
mod dynamodb;
mod errors;
#[cfg(feature = "eventbridge")]
mod eventbridge;
mod outbox;
mod sqs;
mod trust;

use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region, StalledStreamProtectionConfig};
use aws_types::SdkConfig;

pub use clock::SystemClock;
pub use dynamodb::DynamoStore;
#[cfg(feature = "eventbridge")]
pub use eventbridge::EventBridgeBus;
pub use sqs::SqsQueue;

use crate::config::{AwsSettings, Config};
use crate::entropy::OsEntropy;
use crate::error::Result;
use crate::ports::{Bus, Ports};

/// The ports over AWS.
///
/// ```no_run
/// # async fn run() -> sedano::Result<()> {
/// use sedano::aws::Aws;
/// use sedano::{AwsSettings, Config};
///
/// let aws = Aws::new(&Config::from_env()?, &AwsSettings::from_env()?)?;
/// let ports = aws.ports();
/// ports.warm_results().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Aws {
    queue: Arc<SqsQueue>,
    store: Arc<DynamoStore>,
    bus: Arc<dyn Bus>,
}

/// How often a call is tried in all.
const ATTEMPTS: u32 = 3;
/// The most that is waited before the first repetition of a throttled call; it doubles, and the
/// wait is drawn between zero and it.
const BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long one try of a call may take; a receive that waits gets its wait besides.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

impl Aws {
    /// Clients for the queues and tables of the config. Nothing is called yet.
    ///
    /// # Errors
    /// `Config` when `AWS_CA_BUNDLE` can't be used.
    pub fn new(config: &Config, settings: &AwsSettings) -> Result<Self> {
        let shared = shared_config(settings)?;
        let at = |endpoint: &Option<String>| {
            let mut builder = shared.to_builder();
            builder.set_endpoint_url(endpoint.clone());
            builder.build()
        };
        let queue = SqsQueue::new(config, &at(&settings.sqs_endpoint));
        let store = DynamoStore::new(config, &at(&settings.dynamodb_endpoint));
        #[cfg(feature = "eventbridge")]
        let bus = EventBridgeBus::new(&at(&settings.eventbridge_endpoint));
        #[cfg(not(feature = "eventbridge"))]
        let bus = NoBus;
        Ok(Self {
            queue: Arc::new(queue),
            store: Arc::new(store),
            bus: Arc::new(bus),
        })
    }

    /// The ports, as the engine takes them.
    pub fn ports(&self) -> Ports {
        Ports::new(
            self.queue.clone(),
            self.store.clone(),
            self.bus.clone(),
            Arc::new(SystemClock),
            Arc::new(OsEntropy),
        )
    }
}

impl std::fmt::Debug for Aws {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Aws { .. }")
    }
}

/// What a program has that was built without EventBridge.
#[cfg(not(feature = "eventbridge"))]
struct NoBus;

#[cfg(not(feature = "eventbridge"))]
#[async_trait::async_trait]
impl Bus for NoBus {
    async fn rules(&self, _: &str) -> Result<Vec<crate::ports::Rule>> {
        Err(no_bus())
    }

    async fn put(&self, _: &crate::ports::Rule) -> Result<()> {
        Err(no_bus())
    }

    async fn remove(&self, _: &str) -> Result<()> {
        Err(no_bus())
    }
}

#[cfg(not(feature = "eventbridge"))]
fn no_bus() -> crate::Error {
    crate::Error::new(
        crate::ErrorKind::Config,
        "this program was built without EventBridge: turn on the feature `eventbridge` of sedano",
    )
}

fn shared_config(settings: &AwsSettings) -> Result<SdkConfig> {
    let credentials = &settings.credentials;
    let credentials = Credentials::new(
        &credentials.access_key_id,
        &credentials.secret_access_key,
        credentials.session_token.clone(),
        None,
        "sedano",
    );
    let retries = RetryConfig::standard()
        .with_max_attempts(ATTEMPTS)
        .with_initial_backoff(BACKOFF)
        .with_max_backoff(MAX_BACKOFF);
    // The same for every service: the HTTP client keeps one pool for each pair of connect and read
    // timeouts, and would set up TLS for each.
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .build();
    Ok(SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(settings.region.clone()))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(trust::http_client(settings)?)
        .retry_config(retries)
        .timeout_config(timeouts)
        // For streams of unknown length; ours are small and have a timeout.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build())
}
