//! Scheduled rules with the semantics of EventBridge.

use async_trait::async_trait;

use crate::error::Result;

/// Scheduled rules with the semantics of EventBridge.
#[async_trait]
pub trait Bus: Send + Sync {
    /// Every rule whose name begins with `prefix`, with its targets, by name.
    async fn rules(&self, prefix: &str) -> Result<Vec<Rule>>;
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
    /// Where it sends to.
    pub targets: Vec<Target>,
}

/// Where a rule sends to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Target {
    /// Its id within the rule.
    pub id: String,
    /// The ARN of the queue or function.
    pub arn: String,
    /// The constant text or the template that is sent, if it isn't the event itself.
    pub input: Option<String>,
}
