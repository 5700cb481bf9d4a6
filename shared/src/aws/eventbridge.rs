//! EventBridge behind the [`Bus`] port.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use async_trait::async_trait;
use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::error::BuildError;
use aws_sdk_eventbridge::types::{
    self, DeadLetterConfig, InputTransformer, RetryPolicy, RuleState, Tag,
};
use aws_types::SdkConfig;

use super::errors::{call_failed, said_no};
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Bus, Input, Retry, Rule, Target};

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
                // In whatever order the service has them.
                targets.sort_by(|one, other| one.id.cmp(&other.id));
                return Ok(targets);
            }
        }
    }

    async fn tags(&self, rule: &str, arn: &str) -> Result<BTreeMap<String, String>> {
        let call = self.client.list_tags_for_resource().resource_arn(arn);
        let answer = call.send().await;
        let what = || format!("ListTagsForResource of rule `{rule}`");
        let answer = answer.map_err(|error| call_failed(&what(), error))?;
        let tags = answer.tags.unwrap_or_default().into_iter();
        Ok(tags.map(|tag| (tag.key, tag.value)).collect())
    }

    /// PutRule gives tags to a new rule only.
    async fn add_tags(&self, rule: &Rule, arn: &str) -> Result<()> {
        let has = self.tags(&rule.name, arn).await?;
        let missing = rule
            .tags
            .iter()
            .filter(|(key, value)| has.get(*key) != Some(value));
        let missing = missing.map(tag).collect::<Result<Vec<_>>>()?;
        if missing.is_empty() {
            return Ok(());
        }
        let call = self.client.tag_resource().resource_arn(arn);
        let answer = call.set_tags(Some(missing)).send().await;
        answer
            .map(drop)
            .map_err(|error| call_failed(&format!("TagResource of rule `{}`", rule.name), error))
    }

    async fn remove_targets(&self, rule: &str, ids: Vec<String>) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let what = format!("RemoveTargets of rule `{rule}`");
        let call = self.client.remove_targets().rule(rule).set_ids(Some(ids));
        let answer = call.send().await;
        let answer = answer.map_err(|error| call_failed(&what, error))?;
        // Told with a status of 200.
        match answer.failed_entries.unwrap_or_default().into_iter().next() {
            None => Ok(()),
            Some(entry) => Err(entry_failed(&what, entry.error_code, entry.error_message)),
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
                let targets = self.targets(&name).await;
                let tags = self.tags(&name, &rule.arn.unwrap_or_default()).await;
                if let (Err(error), _) | (_, Err(error)) = (&targets, &tags)
                    && is_gone(error)
                {
                    // Removed since it was listed.
                    continue;
                }
                rules.push(Rule {
                    name,
                    targets: targets?,
                    tags: tags?,
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

    async fn put(&self, rule: &Rule) -> Result<()> {
        let name = &rule.name;
        let tags = rule.tags.iter().map(tag).collect::<Result<Vec<_>>>()?;
        let targets = rule.targets.iter().map(sdk_target);
        let targets = targets.collect::<Result<Vec<_>, _>>().map_err(unwritten)?;
        let state = match rule.enabled {
            true => RuleState::Enabled,
            false => RuleState::Disabled,
        };
        let call = self
            .client
            .put_rule()
            .name(name)
            .set_schedule_expression(rule.schedule.clone())
            .set_description(rule.description.clone())
            .state(state)
            .set_tags((!tags.is_empty()).then_some(tags));
        let what = format!("PutRule of `{name}`");
        let answer = call.send().await;
        let arn = answer.map_err(|error| call_failed(&what, error))?.rule_arn;
        if !targets.is_empty() {
            let what = format!("PutTargets of rule `{name}`");
            let call = self.client.put_targets().rule(name);
            let answer = call.set_targets(Some(targets)).send().await;
            let answer = answer.map_err(|error| call_failed(&what, error))?;
            // Told with a status of 200.
            if let Some(entry) = answer.failed_entries.unwrap_or_default().into_iter().next() {
                return Err(entry_failed(&what, entry.error_code, entry.error_message));
            }
        }
        let wanted = |id: &String| rule.targets.iter().any(|target| target.id == *id);
        let there = self.targets(name).await?.into_iter();
        let surplus = there.map(|target| target.id).filter(|id| !wanted(id));
        self.remove_targets(name, surplus.collect()).await?;
        self.add_tags(rule, &arn.unwrap_or_default()).await
    }

    async fn remove(&self, name: &str) -> Result<()> {
        let targets = match self.targets(name).await {
            Err(error) if is_gone(&error) => return Ok(()),
            targets => targets?,
        };
        // DeleteRule refuses a rule that has any.
        let ids = targets.into_iter().map(|target| target.id).collect();
        match self.remove_targets(name, ids).await {
            Err(error) if is_gone(&error) => return Ok(()),
            removed => removed?,
        }
        let answer = self.client.delete_rule().name(name).send().await;
        match answer.map_err(|error| call_failed(&format!("DeleteRule of `{name}`"), error)) {
            Err(error) if !is_gone(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

fn is_gone(error: &Error) -> bool {
    error.kind() == ErrorKind::NotFound
}

fn target(target: types::Target) -> Target {
    let template = target.input_transformer.map(|transformer| Input::Template {
        text: transformer.input_template,
        paths: transformer
            .input_paths_map
            .unwrap_or_default()
            .into_iter()
            .collect(),
    });
    let retry = target.retry_policy.and_then(|policy| {
        Some(Retry {
            seconds: policy.maximum_event_age_in_seconds?,
            times: policy.maximum_retry_attempts?,
        })
    });
    Target {
        id: target.id,
        arn: target.arn,
        input: target.input.map(Input::Constant).or(template),
        dead_letters: target.dead_letter_config.and_then(|config| config.arn),
        retry,
    }
}

fn sdk_target(target: &Target) -> Result<types::Target, BuildError> {
    let mut builder = types::Target::builder().id(&target.id).arn(&target.arn);
    match &target.input {
        None => {}
        Some(Input::Constant(text)) => builder = builder.input(text),
        Some(Input::Template { text, paths }) => {
            let paths: HashMap<String, String> = paths.clone().into_iter().collect();
            let transformer = InputTransformer::builder()
                .set_input_paths_map((!paths.is_empty()).then_some(paths))
                .input_template(text);
            builder = builder.input_transformer(transformer.build()?);
        }
    }
    if let Some(arn) = &target.dead_letters {
        builder = builder.dead_letter_config(DeadLetterConfig::builder().arn(arn).build());
    }
    if let Some(retry) = target.retry {
        let policy = RetryPolicy::builder()
            .maximum_event_age_in_seconds(retry.seconds)
            .maximum_retry_attempts(retry.times);
        builder = builder.retry_policy(policy.build());
    }
    builder.build()
}

fn tag((key, value): (&String, &String)) -> Result<Tag> {
    let tag = Tag::builder().key(key).value(value).build();
    tag.map_err(unwritten)
}

fn unwritten(error: BuildError) -> Error {
    Error::new(ErrorKind::Invalid, "the rule can't be written as a call").caused_by(error)
}

fn entry_failed(what: &str, code: Option<String>, said: Option<String>) -> Error {
    let code = code.unwrap_or_else(|| "without a code".to_owned());
    said_no(what, &code, &said.unwrap_or_default(), None)
}

impl fmt::Debug for EventBridgeBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventBridgeBus { .. }")
    }
}
