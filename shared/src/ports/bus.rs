//! Scheduled rules with the semantics of EventBridge.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::error::Result;

/// Scheduled rules with the semantics of EventBridge.
///
/// Errors: `Denied`, `Throttled` and `Unavailable` as the service says, `Invalid` for a rule that it refuses.
#[async_trait]
pub trait Bus: Send + Sync {
    /// Every rule whose name begins with `prefix`, with its targets and tags, by name.
    async fn rules(&self, prefix: &str) -> Result<Vec<Rule>>;

    /// Makes the rule, or makes the one of its name like it: whatever its schedule, state, description and
    /// targets were is replaced. Tags are added, and none is taken away.
    ///
    /// Several calls: a rule that is new has its tags from the first of them on, and its targets from a later one.
    async fn put(&self, rule: &Rule) -> Result<()>;

    /// Removes the rule of this name with its targets. One that isn't there is no error.
    async fn remove(&self, name: &str) -> Result<()>;
}

/// A scheduled rule.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Rule {
    /// At most 64 letters, digits, `.`, `-` and `_`.
    pub name: String,
    /// `rate(…)` or `cron(…)`; none on a rule that matches events.
    pub schedule: Option<String>,
    /// Whether it fires.
    pub enabled: bool,
    /// What it is for, in its author's words.
    pub description: Option<String>,
    /// Where it sends to: at most five.
    pub targets: Vec<Target>,
    /// Whose it is, and whatever else somebody noted.
    pub tags: BTreeMap<String, String>,
}

/// Where a rule sends to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Target {
    /// Its id within the rule.
    pub id: String,
    /// The ARN of the queue or function.
    pub arn: String,
    /// What is sent, if it isn't the event itself.
    pub input: Option<Input>,
    /// The ARN of the queue for what can't be delivered; without one it is gone.
    pub dead_letters: Option<String>,
    /// How long it is tried; as the service has it, if nothing is said.
    pub retry: Option<Retry>,
}

/// What a rule sends in place of the event.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Always this text, which is JSON.
    Constant(String),
    /// A text with `<names>` in it, each of which stands for what lies in the event at that path; put in as it
    /// is, without being escaped.
    Template {
        /// The text: at most 8192 characters.
        text: String,
        /// Paths such as `$.time`, by name.
        paths: BTreeMap<String, String>,
    },
}

/// How long a target is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Retry {
    /// For how many seconds: 60 to 86400.
    pub seconds: i32,
    /// How many times: 0 to 185.
    pub times: i32,
}
