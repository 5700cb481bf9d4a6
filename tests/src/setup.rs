//! Queues, tables and rules on an emulator, made through the SDK.

use std::collections::HashMap;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use aws_sdk_eventbridge::types::{InputTransformer, RuleState, Tag, Target as SdkTarget};
use aws_sdk_sqs::types::QueueAttributeName;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_types::SdkConfig;
use sedano::memory::QueueSettings;
use sedano::ports::{Input, QueueName, Rule};
use sedano::{AwsCredentials, AwsSettings};

/// Whatever went wrong while setting up.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

const REGION: &str = "us-east-1";
const KEY: (&str, &str) = ("test", "test");

/// The settings by which the library's own adapters reach an emulator.
pub fn settings(url: &str) -> AwsSettings {
    let credentials = AwsCredentials {
        access_key_id: KEY.0.to_owned(),
        secret_access_key: KEY.1.to_owned(),
        session_token: None,
    };
    AwsSettings::new(REGION, credentials).with_endpoint(url)
}

/// Clients for setting up.
#[derive(Debug, Clone)]
pub struct Setup {
    sqs: aws_sdk_sqs::Client,
    dynamodb: aws_sdk_dynamodb::Client,
    events: aws_sdk_eventbridge::Client,
}

impl Setup {
    /// Clients for the emulator at this URL.
    pub fn new(url: &str) -> Self {
        let http = Builder::new()
            .tls_provider(Provider::rustls(CryptoMode::Ring))
            .build_https();
        let credentials = Credentials::new(KEY.0, KEY.1, None, None, "tests");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::from_static(REGION))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(http)
            .endpoint_url(url)
            .build();
        Self {
            sqs: aws_sdk_sqs::Client::new(&config),
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            events: aws_sdk_eventbridge::Client::new(&config),
        }
    }

    /// Makes a queue; its dead-letter queue must be in `known` already. Returns its URL.
    ///
    /// # Errors
    /// As the emulator says.
    pub async fn queue(
        &self,
        real_name: &str,
        settings: &QueueSettings,
        known: &HashMap<QueueName, String>,
    ) -> Result<String, Error> {
        let mut attributes = HashMap::from([(
            QueueAttributeName::VisibilityTimeout,
            settings.visibility_timeout.as_secs().to_string(),
        )]);
        if real_name.ends_with(".fifo") {
            let content = settings.content_deduplication.to_string();
            attributes.insert(QueueAttributeName::FifoQueue, "true".to_owned());
            attributes.insert(QueueAttributeName::ContentBasedDeduplication, content);
        }
        if let Some(dead_letters) = &settings.dead_letter_queue {
            let url = known
                .get(dead_letters)
                .ok_or("the dead-letter queue must come first")?;
            let policy = serde_json::json!({
                "deadLetterTargetArn": self.arn(url).await?,
                "maxReceiveCount": settings.max_receive_count,
            });
            attributes.insert(QueueAttributeName::RedrivePolicy, policy.to_string());
        }
        let call = self
            .sqs
            .create_queue()
            .queue_name(real_name)
            .set_attributes(Some(attributes));
        Ok(call
            .send()
            .await?
            .queue_url
            .ok_or("the new queue has no URL")?)
    }

    async fn arn(&self, url: &str) -> Result<String, Error> {
        let name = QueueAttributeName::QueueArn;
        let call = self
            .sqs
            .get_queue_attributes()
            .queue_url(url)
            .attribute_names(name.clone());
        let mut attributes = call.send().await?.attributes.unwrap_or_default();
        Ok(attributes.remove(&name).ok_or("the queue has no ARN")?)
    }

    /// Makes a table with these key attributes: the hash key, then the sort key if there is one.
    ///
    /// # Errors
    /// As the emulator says.
    pub async fn table(&self, name: &str, keys: &[&str]) -> Result<(), Error> {
        let mut call = self
            .dynamodb
            .create_table()
            .table_name(name)
            .billing_mode(BillingMode::PayPerRequest);
        for (key, kind) in keys.iter().zip([KeyType::Hash, KeyType::Range]) {
            let definition = AttributeDefinition::builder()
                .attribute_name(*key)
                .attribute_type(ScalarAttributeType::S)
                .build()?;
            let element = KeySchemaElement::builder()
                .attribute_name(*key)
                .key_type(kind)
                .build()?;
            call = call.attribute_definitions(definition).key_schema(element);
        }
        call.send().await?;
        Ok(())
    }

    /// Makes a rule with its targets and tags.
    ///
    /// # Errors
    /// As the emulator says.
    pub async fn rule(&self, rule: &Rule) -> Result<(), Error> {
        let state = if rule.enabled {
            RuleState::Enabled
        } else {
            RuleState::Disabled
        };
        let tags = rule
            .tags
            .iter()
            .map(|(key, value)| Tag::builder().key(key).value(value).build())
            .collect::<Result<Vec<_>, _>>()?;
        self.events
            .put_rule()
            .name(&rule.name)
            .set_schedule_expression(rule.schedule.clone())
            .set_description(rule.description.clone())
            .state(state)
            .set_tags((!tags.is_empty()).then_some(tags))
            .send()
            .await?;
        if rule.targets.is_empty() {
            return Ok(());
        }
        let mut call = self.events.put_targets().rule(&rule.name);
        for target in &rule.targets {
            let mut builder = SdkTarget::builder().id(&target.id).arn(&target.arn);
            match &target.input {
                Some(Input::Template { text, paths }) => {
                    let transformer = InputTransformer::builder()
                        .set_input_paths_map(Some(paths.clone().into_iter().collect()))
                        .input_template(text)
                        .build()?;
                    builder = builder.input_transformer(transformer);
                }
                Some(Input::Constant(text)) => builder = builder.input(text),
                None => {}
            }
            call = call.targets(builder.build()?);
        }
        call.send().await?;
        Ok(())
    }
}
