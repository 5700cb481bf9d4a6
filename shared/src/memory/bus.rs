//! Rules in memory: they are held, not fired.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::counts::Counter;
use crate::error::Result;
use crate::ports::{Bus, Rule};

/// A [`Bus`] that holds the rules it is given.
#[derive(Debug)]
pub struct MemoryBus {
    rules: Mutex<BTreeMap<String, Rule>>,
    counter: Arc<Counter>,
}

impl MemoryBus {
    pub(super) fn new(counter: Arc<Counter>) -> Self {
        Self {
            rules: Mutex::default(),
            counter,
        }
    }

    /// Adds a rule, or replaces the one of its name, tags and all: as somebody else would.
    pub fn put_rule(&self, rule: Rule) {
        self.lock().insert(rule.name.clone(), rule);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Rule>> {
        // One change is all that happens under the lock, so a poisoned one is as good.
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Bus for MemoryBus {
    async fn rules(&self, prefix: &str) -> Result<Vec<Rule>> {
        let rules: Vec<Rule> = self
            .lock()
            .values()
            .filter(|rule| rule.name.starts_with(prefix))
            .cloned()
            .collect();
        self.counter.call("ListRules");
        for _ in &rules {
            self.counter.call("ListTargetsByRule");
            self.counter.call("ListTagsForResource");
        }
        Ok(rules)
    }

    async fn put(&self, rule: &Rule) -> Result<()> {
        for operation in ["PutRule", "ListTargetsByRule", "ListTagsForResource"] {
            self.counter.call(operation);
        }
        if !rule.targets.is_empty() {
            self.counter.call("PutTargets");
        }
        let mut rule = rule.clone();
        rule.targets.sort_by(|one, other| one.id.cmp(&other.id));
        let mut rules = self.lock();
        if let Some(old) = rules.get(&rule.name) {
            let ids = |target: &crate::ports::Target| target.id.clone();
            let kept: Vec<String> = rule.targets.iter().map(ids).collect();
            if old.targets.iter().any(|target| !kept.contains(&target.id)) {
                self.counter.call("RemoveTargets");
            }
            let mut tags = old.tags.clone();
            tags.extend(rule.tags);
            if tags != old.tags {
                self.counter.call("TagResource");
            }
            rule.tags = tags;
        }
        rules.insert(rule.name.clone(), rule);
        Ok(())
    }

    async fn remove(&self, name: &str) -> Result<()> {
        self.counter.call("ListTargetsByRule");
        let removed = self.lock().remove(name);
        if removed.is_some_and(|rule| !rule.targets.is_empty()) {
            self.counter.call("RemoveTargets");
        }
        self.counter.call("DeleteRule");
        Ok(())
    }
}
