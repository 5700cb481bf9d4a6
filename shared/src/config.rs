//! Every setting, its environment variable and its default.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::ports::QueueName;
use crate::routes::Routes;

/// The settings of an application or a worker.
///
/// | variable | what it says | default |
/// |---|---|---|
/// | `SEDANO_QUEUES` | JSON object: queue name → URL; `default` must exist, `quarantine`, `undelivered` and `dead-letters` should | required |
/// | `SEDANO_RESULTS_TABLE` | the table of results | required |
/// | `SEDANO_STATE_TABLE` | the table of bookkeeping | required |
/// | `SEDANO_RESULT_EXPIRES` | seconds a final record is kept | 86400 |
/// | `SEDANO_UNKNOWN_TASK_GRACE` | seconds a message of an unknown task waits for a worker that knows it, at most 3600 | 300 |
/// | `SEDANO_VISIBILITY_TIMEOUT` | the queue's visibility timeout in seconds, where the worker should shorten it | unset |
/// | `SEDANO_ROUTES` | JSON object: task's name or pattern → queue; see [`Routes`] | none |
/// | `SEDANO_REVOCATIONS` | `on` or `off`: whether workers look for what is revoked by group, root, stamp or name | on |
/// | `SEDANO_STORE_WRITES` | `batch` (PartiQL batches) or `single` (one call a write, at once) | batch |
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Queue URLs by name.
    pub queues: BTreeMap<QueueName, String>,
    /// The table of results.
    pub results_table: String,
    /// The table of bookkeeping.
    pub state_table: String,
    /// How long a final record is kept.
    pub result_expires: Duration,
    /// How long a message of an unknown task waits for a worker that knows it.
    pub unknown_task_grace: Duration,
    /// The queues' visibility timeout, where known.
    pub visibility_timeout: Option<Duration>,
    /// Where calls go that don't say it themselves: asked before the routes of the program.
    pub routes: Routes,
    /// Whether workers look for what is revoked by group, root, stamp or name: one query in five seconds.
    pub revocations: bool,
    /// How the store writes.
    pub store_writes: StoreWrites,
}

/// How the DynamoDB adapter sends independent writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StoreWrites {
    /// Up to 25 in one `BatchExecuteStatement`.
    #[default]
    Batch,
    /// One call each, all at once.
    Single,
}

impl Config {
    /// Settings for ports in memory: the four queues and the defaults.
    pub fn memory() -> Self {
        let queues = [
            QueueName::DEFAULT,
            QueueName::QUARANTINE,
            QueueName::UNDELIVERED,
            QueueName::DEAD_LETTERS,
        ];
        Self {
            queues: queues
                .map(|name| (name.into(), format!("memory:{name}")))
                .into(),
            results_table: "results".to_owned(),
            state_table: "state".to_owned(),
            result_expires: Duration::from_secs(86_400),
            unknown_task_grace: Duration::from_secs(300),
            visibility_timeout: None,
            routes: Routes::new(),
            revocations: true,
            store_writes: StoreWrites::Batch,
        }
    }

    /// The queue with this ARN: its last part is the last part of the queue's URL too.
    #[cfg(feature = "aws")]
    pub(crate) fn queue_by_arn(&self, arn: &str) -> Option<&QueueName> {
        let wanted = arn.rsplit(':').next();
        let mut queues = self.queues.iter();
        queues
            .find(|(_, url)| url.rsplit('/').next() == wanted)
            .map(|(name, _)| name)
    }

    /// The settings in the process's environment.
    ///
    /// # Errors
    /// `Config`, with the variable's name and what it should hold.
    pub fn from_env() -> Result<Self> {
        Self::from_lookup(environment)
    }

    /// The settings that `lookup` finds by the variables' names.
    ///
    /// ```
    /// use sedano::Config;
    ///
    /// let error = Config::from_lookup(|_| None).unwrap_err();
    /// assert!(error.to_string().starts_with("SEDANO_QUEUES is not set"));
    /// ```
    ///
    /// # Errors
    /// As [`from_env`](Config::from_env).
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let settings = Settings(&lookup);
        let queues_text = settings.text("SEDANO_QUEUES", QUEUES)?;
        let by_name: BTreeMap<String, String> = serde_json::from_str(&queues_text)
            .map_err(|error| wrong("SEDANO_QUEUES", QUEUES).caused_by(error))?;
        let queues: BTreeMap<QueueName, String> = by_name
            .into_iter()
            .map(|(name, url)| (QueueName::new(name), url))
            .collect();
        if !queues.contains_key(&QueueName::new(QueueName::DEFAULT)) {
            return Err(Error::new(
                ErrorKind::Config,
                "SEDANO_QUEUES has no queue named `default`",
            ));
        }
        let mut config = Self {
            queues,
            results_table: settings.text("SEDANO_RESULTS_TABLE", "the name of a DynamoDB table")?,
            state_table: settings.text("SEDANO_STATE_TABLE", "the name of a DynamoDB table")?,
            result_expires: settings.seconds("SEDANO_RESULT_EXPIRES")?.unwrap_or(DAY),
            unknown_task_grace: settings.unknown_task_grace()?,
            visibility_timeout: settings.seconds("SEDANO_VISIBILITY_TIMEOUT")?,
            revocations: match lookup("SEDANO_REVOCATIONS").as_deref() {
                None | Some("" | "on") => true,
                Some("off") => false,
                Some(_) => return Err(wrong("SEDANO_REVOCATIONS", "`on` or `off`")),
            },
            store_writes: match lookup("SEDANO_STORE_WRITES").as_deref() {
                None | Some("" | "batch") => StoreWrites::Batch,
                Some("single") => StoreWrites::Single,
                Some(_) => return Err(wrong("SEDANO_STORE_WRITES", "`batch` or `single`")),
            },
            routes: Routes::new(),
        };
        if let Some(text) = lookup(ROUTES).filter(|text| !text.is_empty()) {
            let routes: Result<Routes> = text.parse();
            let checked = routes.and_then(|routes| routes.check(&config).map(|()| routes));
            config.routes = checked.map_err(|error| {
                let what = format!("{ROUTES}: {error}");
                Error::new(ErrorKind::Config, what).caused_by(error)
            })?;
        }
        Ok(config)
    }
}

/// How to reach AWS: the part of the settings that is AWS's own, from its standard variables.
///
/// | variable | what it says | default |
/// |---|---|---|
/// | `AWS_REGION`, `AWS_DEFAULT_REGION` | the region; the first that is set | required |
/// | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` | the credentials | required |
/// | `AWS_SESSION_TOKEN` | the session of temporary credentials | none |
/// | `AWS_ENDPOINT_URL` | another address for every service | the region's |
/// | `AWS_ENDPOINT_URL_SQS`, `…_DYNAMODB`, `…_EVENTBRIDGE` | another address for one service | `AWS_ENDPOINT_URL` |
/// | `AWS_IGNORE_CONFIGURED_ENDPOINT_URLS` | `true`: the four above don't count | false |
/// | `AWS_CA_BUNDLE` | a file of PEM certificates to trust, and no others | Amazon's roots |
/// | `SSL_CERT_FILE`, `SSL_CERT_DIR` | where set, the system's trust store is used, which they name | Amazon's roots |
///
/// Other sources (profiles, SSO, instance roles) are left to the caller, who can resolve them and
/// hand the result to [`new`](AwsSettings::new).
#[cfg(feature = "aws")]
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AwsSettings {
    /// The region, such as `eu-central-1`.
    pub region: String,
    /// Who calls.
    pub credentials: AwsCredentials,
    /// Another address for SQS.
    pub sqs_endpoint: Option<String>,
    /// Another address for DynamoDB.
    pub dynamodb_endpoint: Option<String>,
    /// Another address for EventBridge.
    pub eventbridge_endpoint: Option<String>,
    /// A file of PEM certificates to trust, and no others.
    pub ca_bundle: Option<std::path::PathBuf>,
    /// Whether to trust what the system trusts, instead of Amazon's roots alone.
    pub system_roots: bool,
}

/// An access key of AWS. `Debug` shows the key's id and no secret.
#[cfg(feature = "aws")]
#[derive(Clone, PartialEq, Eq)]
pub struct AwsCredentials {
    /// The key's id.
    pub access_key_id: String,
    /// The key's secret.
    pub secret_access_key: String,
    /// The session, with temporary credentials.
    pub session_token: Option<String>,
}

#[cfg(feature = "aws")]
impl std::fmt::Debug for AwsCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AwsCredentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "aws")]
impl AwsSettings {
    /// The region's own endpoints and Amazon's roots, for these credentials.
    pub fn new(region: impl Into<String>, credentials: AwsCredentials) -> Self {
        Self {
            region: region.into(),
            credentials,
            sqs_endpoint: None,
            dynamodb_endpoint: None,
            eventbridge_endpoint: None,
            ca_bundle: None,
            system_roots: false,
        }
    }

    /// The same with this address for all services.
    #[must_use]
    pub fn with_endpoint(mut self, url: impl Into<String>) -> Self {
        let url = url.into();
        self.sqs_endpoint = Some(url.clone());
        self.dynamodb_endpoint = Some(url.clone());
        self.eventbridge_endpoint = Some(url);
        self
    }

    /// The settings in the process's environment.
    ///
    /// # Errors
    /// `Config`, with the variable's name and what it should hold.
    pub fn from_env() -> Result<Self> {
        Self::from_lookup(environment)
    }

    /// The settings that `lookup` finds by the variables' names.
    ///
    /// # Errors
    /// As [`from_env`](AwsSettings::from_env).
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let settings = Settings(&lookup);
        let region = match settings.optional("AWS_REGION") {
            Some(region) => region,
            None => settings.optional("AWS_DEFAULT_REGION").ok_or_else(|| {
                Error::new(
                    ErrorKind::Config,
                    "neither AWS_REGION nor AWS_DEFAULT_REGION is set: it must be a region such as \
                     `eu-central-1`",
                )
            })?,
        };
        let credentials = AwsCredentials {
            access_key_id: settings.text("AWS_ACCESS_KEY_ID", "the id of an access key")?,
            secret_access_key: settings
                .text("AWS_SECRET_ACCESS_KEY", "the secret of AWS_ACCESS_KEY_ID")?,
            session_token: settings.optional("AWS_SESSION_TOKEN"),
        };
        let system_roots = ["SSL_CERT_FILE", "SSL_CERT_DIR"]
            .iter()
            .any(|name| settings.optional(name).is_some());
        Ok(Self {
            sqs_endpoint: settings.endpoint("AWS_ENDPOINT_URL_SQS")?,
            dynamodb_endpoint: settings.endpoint("AWS_ENDPOINT_URL_DYNAMODB")?,
            eventbridge_endpoint: settings.endpoint("AWS_ENDPOINT_URL_EVENTBRIDGE")?,
            ca_bundle: settings.optional("AWS_CA_BUNDLE").map(Into::into),
            system_roots,
            ..Self::new(region, credentials)
        })
    }
}

/// How a function's logging is configured: Lambda's own variables.
#[cfg(feature = "lambda")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogSettings {
    /// `AWS_LAMBDA_LOG_LEVEL`, else `RUST_LOG`; the least severe level that is written.
    pub(crate) level: tracing::level_filters::LevelFilter,
    /// Whether `AWS_LAMBDA_LOG_FORMAT` is `JSON`.
    pub(crate) json: bool,
}

#[cfg(feature = "lambda")]
impl LogSettings {
    pub(crate) fn from_env() -> Self {
        Self::from_lookup(environment)
    }

    /// A level that is none is INFO: logging is no reason not to start.
    fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let settings = Settings(&lookup);
        let level = settings
            .optional("AWS_LAMBDA_LOG_LEVEL")
            .or_else(|| settings.optional("RUST_LOG"))
            .map(|level| level.to_ascii_lowercase())
            // Lambda's name for the most severe level.
            .map(|level| {
                if level == "fatal" {
                    "error".to_owned()
                } else {
                    level
                }
            });
        Self {
            level: level
                .and_then(|level| level.parse().ok())
                .unwrap_or(tracing::level_filters::LevelFilter::INFO),
            json: settings
                .optional("AWS_LAMBDA_LOG_FORMAT")
                .is_some_and(|format| format.eq_ignore_ascii_case("json")),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this module is where settings are read"
)]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

const ROUTES: &str = "SEDANO_ROUTES";
const DAY: Duration = Duration::from_secs(86_400);
const QUEUES: &str =
    r#"a JSON object of queue names and URLs such as {"default": "https://sqs.…"}"#;

struct Settings<'a, F>(&'a F);

impl<F: Fn(&str) -> Option<String>> Settings<'_, F> {
    fn text(&self, name: &str, wanted: &str) -> Result<String> {
        self.0(name).filter(|text| !text.is_empty()).ok_or_else(|| {
            Error::new(
                ErrorKind::Config,
                format!("{name} is not set: it must be {wanted}"),
            )
        })
    }

    #[cfg(feature = "aws")]
    fn optional(&self, name: &str) -> Option<String> {
        self.0(name).filter(|text| !text.is_empty())
    }

    #[cfg(feature = "aws")]
    fn endpoint(&self, name: &str) -> Result<Option<String>> {
        if self
            .optional("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
            .is_some_and(|text| text == "true")
        {
            return Ok(None);
        }
        for name in [name, "AWS_ENDPOINT_URL"] {
            if let Some(url) = self.optional(name) {
                if !url.starts_with("http://") && !url.starts_with("https://") {
                    return Err(wrong(
                        name,
                        "a URL that begins with `http://` or `https://`",
                    ));
                }
                return Ok(Some(url));
            }
        }
        Ok(None)
    }

    fn unknown_task_grace(&self) -> Result<Duration> {
        // Its waits double and each counts as a receive: after ten, SQS takes the message away.
        const MOST: Duration = Duration::from_secs(3600);
        const NAME: &str = "SEDANO_UNKNOWN_TASK_GRACE";
        match self.seconds(NAME)? {
            Some(grace) if grace > MOST => Err(wrong(NAME, "3600 seconds at most")),
            grace => Ok(grace.unwrap_or(Duration::from_secs(300))),
        }
    }

    fn seconds(&self, name: &str) -> Result<Option<Duration>> {
        match self.0(name).filter(|text| !text.is_empty()) {
            None => Ok(None),
            Some(text) => match text.parse() {
                Ok(seconds) => Ok(Some(Duration::from_secs(seconds))),
                Err(_) => Err(wrong(name, "a whole number of seconds")),
            },
        }
    }
}

fn wrong(name: &str, wanted: &str) -> Error {
    Error::new(ErrorKind::Config, format!("{name} must be {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    fn within(pairs: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        |name| {
            let pair = pairs.iter().find(|(key, _)| *key == name);
            pair.map(|(_, value)| (*value).to_owned())
        }
    }

    fn config(pairs: &[(&str, &str)]) -> Result<Config, String> {
        Config::from_lookup(within(pairs)).map_err(|error| error.to_string())
    }

    const LEAST: [(&str, &str); 3] = [
        ("SEDANO_QUEUES", r#"{"default": "http://q"}"#),
        ("SEDANO_RESULTS_TABLE", "r"),
        ("SEDANO_STATE_TABLE", "s"),
    ];

    #[cfg(feature = "lambda")]
    #[test]
    fn logs_are_as_lambda_is_told() {
        use tracing::level_filters::LevelFilter;
        let settings = |level: &str, format: &str| {
            LogSettings::from_lookup(|name| match name {
                "AWS_LAMBDA_LOG_LEVEL" => Some(level.to_owned()),
                "AWS_LAMBDA_LOG_FORMAT" => Some(format.to_owned()),
                _ => None,
            })
        };
        assert_eq!(settings("", "").level, LevelFilter::INFO);
        assert_eq!(settings("DEBUG", "").level, LevelFilter::DEBUG);
        assert_eq!(settings("FATAL", "").level, LevelFilter::ERROR);
        assert_eq!(settings("loud", "").level, LevelFilter::INFO);
        assert!(settings("", "JSON").json && !settings("", "Text").json);
    }

    #[test]
    fn the_least_is_enough() {
        let config = config(&LEAST).unwrap();
        assert_eq!(config.queues[&QueueName::new("default")], "http://q");
        assert_eq!(config.result_expires, DAY);
        assert_eq!(config.store_writes, StoreWrites::Batch);
        assert_eq!(config.routes, Routes::new());
    }

    #[test]
    fn routes_are_read_and_an_empty_text_is_none() {
        let with = |text| config(&[LEAST.as_slice(), &[("SEDANO_ROUTES", text)]].concat());
        let routes = with(r#"{"a.*": "default"}"#).unwrap().routes;
        assert_eq!(routes, Routes::new().glob("a.*", "default"));
        assert_eq!(with("").unwrap().routes, Routes::new());
    }

    #[test]
    fn the_documents_name_every_variable_that_is_read_and_no_other() {
        let read = RefCell::new(BTreeSet::new());
        let lookup = |name: &str| {
            read.borrow_mut().insert(name.to_owned());
            within(&LEAST)(name)
        };
        Config::from_lookup(lookup).unwrap();
        let named = |text: &str| -> BTreeSet<String> {
            let words = text.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
            let words = words.filter(|word| word.starts_with("SEDANO_"));
            words.map(str::to_owned).collect()
        };
        let own = include_str!("config.rs");
        let (own_docs, _) = own.split_once("pub struct Config {").unwrap();
        for docs in [own_docs, include_str!("../docs/deploy.md")] {
            assert_eq!(named(docs), *read.borrow());
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for missing in 0..LEAST.len() {
            let mut pairs = LEAST.to_vec();
            let (name, _) = pairs.remove(missing);
            assert!(
                config(&pairs)
                    .unwrap_err()
                    .starts_with(&format!("{name} is not set"))
            );
        }
        let with = |extra| config(&[LEAST.as_slice(), &[extra]].concat()).unwrap_err();
        assert_eq!(
            with(("SEDANO_RESULT_EXPIRES", "soon")),
            "SEDANO_RESULT_EXPIRES must be a whole number of seconds"
        );
        assert_eq!(
            with(("SEDANO_UNKNOWN_TASK_GRACE", "3601")),
            "SEDANO_UNKNOWN_TASK_GRACE must be 3600 seconds at most"
        );
        assert_eq!(
            with(("SEDANO_REVOCATIONS", "no")),
            "SEDANO_REVOCATIONS must be `on` or `off`"
        );
        assert_eq!(
            with(("SEDANO_STORE_WRITES", "x")),
            "SEDANO_STORE_WRITES must be `batch` or `single`"
        );
        assert_eq!(
            with(("SEDANO_ROUTES", r#"{"refund": "hihg"}"#)),
            "SEDANO_ROUTES: route `refund` goes to queue `hihg`, which SEDANO_QUEUES doesn't have; it has `default`"
        );
        assert_eq!(
            with(("SEDANO_ROUTES", "{\n  \"refund\": high\n}")),
            "SEDANO_ROUTES: the text is no JSON at line 2, column 13: expected value"
        );
        let queues = [("SEDANO_QUEUES", r#"{"other": "u"}"#), LEAST[1], LEAST[2]];
        assert_eq!(
            config(&queues).unwrap_err(),
            "SEDANO_QUEUES has no queue named `default`"
        );
    }

    #[cfg(feature = "aws")]
    fn aws(pairs: &[(&str, &str)]) -> Result<AwsSettings, String> {
        AwsSettings::from_lookup(within(pairs)).map_err(|error| error.to_string())
    }

    #[cfg(feature = "aws")]
    const AWS_LEAST: [(&str, &str); 3] = [
        ("AWS_DEFAULT_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_SECRET_ACCESS_KEY", "hush"),
    ];

    #[test]
    #[cfg(feature = "aws")]
    fn an_endpoint_of_one_service_goes_before_that_of_all() {
        let endpoints = [
            ("AWS_ENDPOINT_URL", "http://all"),
            ("AWS_ENDPOINT_URL_SQS", "http://sqs"),
        ];
        let settings = aws(&[AWS_LEAST.as_slice(), &endpoints].concat()).unwrap();
        assert_eq!(settings.region, "eu-west-1");
        assert_eq!(settings.sqs_endpoint.as_deref(), Some("http://sqs"));
        assert_eq!(settings.dynamodb_endpoint.as_deref(), Some("http://all"));
        let ignore = [("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")];
        let settings = aws(&[AWS_LEAST.as_slice(), &endpoints, &ignore].concat()).unwrap();
        assert_eq!(settings.sqs_endpoint, None);
    }

    #[test]
    #[cfg(feature = "aws")]
    fn what_aws_needs_is_named_and_its_secret_is_not_shown() {
        for missing in 0..AWS_LEAST.len() {
            let mut pairs = AWS_LEAST.to_vec();
            let (name, _) = pairs.remove(missing);
            assert!(aws(&pairs).unwrap_err().contains(name), "{name}");
        }
        let wrong = [AWS_LEAST.as_slice(), &[("AWS_ENDPOINT_URL", "localhost")]].concat();
        assert!(
            aws(&wrong)
                .unwrap_err()
                .starts_with("AWS_ENDPOINT_URL must be a URL")
        );
        assert!(!format!("{:?}", aws(&AWS_LEAST).unwrap()).contains("hush"));
    }
}
