//! EventBridge behind the [`Bus`] port.

use std::fmt;

use async_trait::async_trait;
use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::{self, RuleState};
use aws_types::SdkConfig;

use super::errors::call_failed;
use crate::error::Result;
use crate::ports::{Bus, Rule, Target};

/// A [`Bus`] over EventBridge's default bus, where scheduled rules live.
pub struct EventBridgeBus {
    client: Client,
}

impl EventBridgeBus {
    pub(super) fn new(config: &SdkConfig) -> Self {
        Self {
            client: Client::new(config),
        }
    }

    async fn targets(&self, rule: &str) -> Result<Vec<Target>> {
        let mut targets = Vec::new();
        let mut next = None;
        loop {
            let page = self
                .client
                .list_targets_by_rule()
                .rule(rule)
                .set_next_token(next)
                .send()
                .await
                .map_err(|error| call_failed(&format!("ListTargetsByRule of `{rule}`"), error))?;
            targets.extend(page.targets.unwrap_or_default().into_iter().map(target));
            next = page.next_token;
            if next.is_none() {
                return Ok(targets);
            }
        }
    }
}

#[async_trait]
impl Bus for EventBridgeBus {
    async fn rules(&self, prefix: &str) -> Result<Vec<Rule>> {
        let mut rules = Vec::new();
        let mut next = None;
        loop {
            let page = self
                .client
                .list_rules()
                // An empty prefix is refused.
                .set_name_prefix((!prefix.is_empty()).then(|| prefix.to_owned()))
                .set_next_token(next)
                .send()
                .await
                .map_err(|error| call_failed(&format!("ListRules from `{prefix}`"), error))?;
            for rule in page.rules.unwrap_or_default() {
                let name = rule.name.unwrap_or_default();
                rules.push(Rule {
                    targets: self.targets(&name).await?,
                    name,
                    schedule: rule.schedule_expression.filter(|text| !text.is_empty()),
                    enabled: !matches!(rule.state, Some(RuleState::Disabled)),
                    description: rule.description.filter(|text| !text.is_empty()),
                });
            }
            next = page.next_token;
            if next.is_none() {
                rules.sort_by(|one, other| one.name.cmp(&other.name));
                return Ok(rules);
            }
        }
    }
}

fn target(target: types::Target) -> Target {
    let template = target
        .input_transformer
        .map(|transformer| transformer.input_template);
    Target {
        id: target.id,
        arn: target.arn,
        input: target.input.or(template),
    }
}

impl fmt::Debug for EventBridgeBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventBridgeBus { .. }")
    }
}
