//! Every setting, its environment variable and its default.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::ports::QueueName;

/// The settings of an application or a worker.
///
/// | variable | what it says | default |
/// |---|---|---|
/// | `SEDANO_QUEUES` | JSON object: queue name → URL; `default` must exist, `quarantine` and `dead-letters` should | required |
/// | `SEDANO_RESULTS_TABLE` | the table of results | required |
/// | `SEDANO_STATE_TABLE` | the table of bookkeeping | required |
/// | `SEDANO_RESULT_EXPIRES` | seconds a final record is kept | 86400 |
/// | `SEDANO_UNKNOWN_TASK_GRACE` | seconds a message of an unknown task waits for a worker that knows it | 300 |
/// | `SEDANO_VISIBILITY_TIMEOUT` | the queue's visibility timeout in seconds, where the worker should shorten it | unset |
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
    /// Settings for ports in memory: the three queues and the defaults.
    pub fn memory() -> Self {
        let queues = [
            QueueName::DEFAULT,
            QueueName::QUARANTINE,
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
            store_writes: StoreWrites::Batch,
        }
    }

    /// The settings in the process's environment.
    ///
    /// # Errors
    /// `Config`, with the variable's name and what it should hold.
    pub fn from_env() -> Result<Self> {
        #[expect(
            clippy::disallowed_methods,
            reason = "this module is where settings are read"
        )]
        Self::from_lookup(|name| std::env::var(name).ok())
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
        Ok(Self {
            queues,
            results_table: settings.text("SEDANO_RESULTS_TABLE", "the name of a DynamoDB table")?,
            state_table: settings.text("SEDANO_STATE_TABLE", "the name of a DynamoDB table")?,
            result_expires: settings.seconds("SEDANO_RESULT_EXPIRES")?.unwrap_or(DAY),
            unknown_task_grace: settings
                .seconds("SEDANO_UNKNOWN_TASK_GRACE")?
                .unwrap_or(Duration::from_secs(300)),
            visibility_timeout: settings.seconds("SEDANO_VISIBILITY_TIMEOUT")?,
            store_writes: match lookup("SEDANO_STORE_WRITES").as_deref() {
                None | Some("" | "batch") => StoreWrites::Batch,
                Some("single") => StoreWrites::Single,
                Some(_) => return Err(wrong("SEDANO_STORE_WRITES", "`batch` or `single`")),
            },
        })
    }
}

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

    fn config(pairs: &[(&str, &str)]) -> Result<Config, String> {
        let lookup = |name: &str| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        Config::from_lookup(lookup).map_err(|error| error.to_string())
    }

    const LEAST: [(&str, &str); 3] = [
        ("SEDANO_QUEUES", r#"{"default": "http://q"}"#),
        ("SEDANO_RESULTS_TABLE", "r"),
        ("SEDANO_STATE_TABLE", "s"),
    ];

    #[test]
    fn the_least_is_enough() {
        let config = config(&LEAST).unwrap();
        assert_eq!(config.queues[&QueueName::new("default")], "http://q");
        assert_eq!(config.result_expires, DAY);
        assert_eq!(config.store_writes, StoreWrites::Batch);
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
            with(("SEDANO_STORE_WRITES", "x")),
            "SEDANO_STORE_WRITES must be `batch` or `single`"
        );
        let queues = [("SEDANO_QUEUES", r#"{"other": "u"}"#), LEAST[1], LEAST[2]];
        assert_eq!(
            config(&queues).unwrap_err(),
            "SEDANO_QUEUES has no queue named `default`"
        );
    }
}
