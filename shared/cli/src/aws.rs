//! An AWS account: credentials and region by AWS's usual search, and the outputs of stacks.
//!
//! The library itself takes plain settings and searches nowhere; the search (variables, profiles,
//! single sign-on, roles) is a matter of terminals and lives here.

use std::sync::Arc;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_cloudformation::config::{Credentials, ProvideCredentials};
use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use sedano::aws::Aws;
use sedano::{App, AwsSettings, Config};

use crate::args::TargetArgs;
use crate::clock::AwsClock;
use crate::failure::{Exit, Failure, Result, with_causes};
use crate::mappings::Mappings;
use crate::target::environment;

/// Who calls, and where.
pub(crate) struct Account {
    sdk: SdkConfig,
    credentials: Credentials,
    /// Right as soon as a stack was looked up.
    clock: AwsClock,
}

/// Which output of the stack is the value of which variable.
const OUTPUTS: [(&str, &str); 3] = [
    ("SEDANO_QUEUES", "Queues"),
    ("SEDANO_RESULTS_TABLE", "ResultsTableName"),
    ("SEDANO_STATE_TABLE", "StateTableName"),
];

impl Account {
    /// Searches as AWS's other tools do.
    pub(crate) async fn find(args: &TargetArgs) -> Result<Self> {
        let http_client = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::rustls(CryptoMode::Ring))
            .build_https();
        let mut search = aws_config::defaults(BehaviorVersion::latest()).http_client(http_client);
        if let Some(profile) = &args.profile {
            search = search.profile_name(profile);
        }
        if let Some(region) = &args.region {
            search = search.region(Region::new(region.clone()));
        }
        let sdk = search.load().await;
        if sdk.region().is_none_or(|region| region.as_ref().is_empty()) {
            return Err(Failure::usage(
                "no AWS region is set: say one with --region, AWS_REGION or in the profile",
            ));
        }
        // Asked for first of all: every later error would only hide that there are none.
        let credentials = match sdk.credentials_provider() {
            Some(provider) => provider.provide_credentials().await,
            None => Err(CredentialsError::not_loaded("no provider")),
        };
        let credentials = credentials.map_err(|error| {
            let what = "no AWS credentials were found: set AWS_PROFILE or --profile, or sign in with \
                        `aws sso login`";
            let why = with_causes(&error);
            Failure::new(Exit::Other, format!("{what}\n  caused by: {why}"))
        })?;
        Ok(Self {
            sdk,
            credentials,
            clock: AwsClock::default(),
        })
    }

    /// The queues and tables of a stack.
    pub(crate) async fn stack(&self, name: &str) -> Result<Config> {
        let config = aws_sdk_cloudformation::config::Builder::from(&self.sdk);
        let config = config.interceptor(self.clock.clone()).build();
        let client = aws_sdk_cloudformation::Client::from_conf(config);
        let answer = client.describe_stacks().stack_name(name).send().await;
        let answer = answer.map_err(|error| match error.code() {
            Some("ValidationError") => Failure::new(
                Exit::NotFound,
                format!(
                    "there is no stack named `{name}` in {} for these credentials",
                    self.region()
                ),
            ),
            _ => Failure::new(
                Exit::Other,
                format!(
                    "CloudFormation didn't tell the stack `{name}`: {}",
                    with_causes(&error)
                ),
            ),
        })?;
        let outputs = answer.stacks().first().map(|stack| stack.outputs());
        let outputs = outputs.unwrap_or_default();
        let output = |wanted: &str| {
            outputs
                .iter()
                .find(|output| output.output_key() == Some(wanted))
                .and_then(|output| output.output_value())
                .map(str::to_owned)
        };
        if let Some((_, missing)) = OUTPUTS.iter().find(|(_, name)| output(name).is_none()) {
            return Err(Failure::new(
                Exit::NotFound,
                format!("the stack `{name}` has no output `{missing}`: it isn't one of Sedano's"),
            ));
        }
        let lookup = |variable: &str| match OUTPUTS.iter().find(|(name, _)| *name == variable) {
            Some((_, name)) => output(name),
            // What only workers read keeps its default.
            None => None,
        };
        Ok(Config::from_lookup(lookup)?)
    }

    /// The event source mappings of its functions.
    pub(crate) fn mappings(&self) -> Mappings {
        Mappings::of(&self.sdk)
    }

    /// The application over these queues and tables.
    pub(crate) fn app(&self, config: Config) -> Result<App> {
        let settings = self.settings()?;
        let mut ports = Aws::new(&config, &settings)?.ports();
        ports.clock = Arc::new(self.clock.clone());
        Ok(App::new(ports, config))
    }

    /// What was found, as plain settings. The rest of them (endpoints, certificates) comes from the
    /// environment, as in the functions.
    fn settings(&self) -> Result<AwsSettings> {
        let credentials = &self.credentials;
        let found = |name: &str| match name {
            "AWS_REGION" => Some(self.region().to_owned()),
            "AWS_ACCESS_KEY_ID" => Some(credentials.access_key_id().to_owned()),
            "AWS_SECRET_ACCESS_KEY" => Some(credentials.secret_access_key().to_owned()),
            "AWS_SESSION_TOKEN" => credentials.session_token().map(str::to_owned),
            // A profile may name one, too.
            "AWS_ENDPOINT_URL" => self.sdk.endpoint_url().map(str::to_owned),
            name => environment(name),
        };
        Ok(AwsSettings::from_lookup(found)?)
    }

    /// Where the calls go.
    pub(crate) fn region(&self) -> &str {
        self.sdk.region().map_or("", Region::as_ref)
    }
}
