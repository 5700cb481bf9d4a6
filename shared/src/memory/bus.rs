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

    /// Adds a rule, or replaces the one of its name.
    pub fn put_rule(&self, rule: Rule) {
        self.lock().insert(rule.name.clone(), rule);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Rule>> {
        // One insert is all that happens under the lock, so a poisoned one is as good.
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
        }
        Ok(rules)
    }
}
