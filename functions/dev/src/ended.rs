//! What has ended since one looked last: what is shown while a schedule is tried out.

use std::collections::BTreeSet;

use sedano::ports::Table;
use sedano::{Record, Result};

use crate::Stack;

/// Which ends have been told.
#[derive(Debug, Default)]
pub struct Ended(BTreeSet<String>);

impl Ended {
    /// The records that have become final since the last call, in the order in which they did. What is past its
    /// time is removed, so that a clock that runs through years doesn't fill the memory.
    ///
    /// # Errors
    /// As the stack's store says.
    pub async fn next(&mut self, stack: &Stack) -> Result<Vec<Record>> {
        let store = stack.memory().store();
        store.sweep();
        let items = store.items(Table::Results);
        let ids = items.iter().filter_map(|item| item.get("id")?.as_text());
        let ids: BTreeSet<String> = ids.map(str::to_owned).collect();
        self.0.retain(|id| ids.contains(id));
        let mut ended = Vec::new();
        for id in ids.difference(&self.0.clone()) {
            let record = stack.app().record(id).await?;
            if record.status.is_final() {
                self.0.insert(id.clone());
                ended.push(record);
            }
        }
        ended.sort_by_key(|record| record.finished_at);
        Ok(ended)
    }
}
