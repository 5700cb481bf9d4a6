//! The sample tasks' own rows, in a table of their own.
//!
//! What an application keeps is no business of the library's: its tables are bookkeeping, and results are gone
//! after a day. Where a team has its database, these tasks have the library's port to DynamoDB over another
//! table, and the worker is given it as it would be given a pool of connections. So the tasks run on
//! memory in tests and in `cargo dev`, and on `AppTable` in the deployment, as they stand.

use std::fmt;
use std::sync::Arc;

use sedano::TaskError;
use sedano::memory::Memory;
use sedano::ports::{Item, Key, Op, Outcome, Store, When, Write};

/// Rows in parts, each under a name within its part. Part of the worker's state; clones share the rows.
#[derive(Clone)]
pub struct Rows(Arc<dyn Store>);

impl Rows {
    /// The rows that a store has in its state table. Its keys are text, `pk` for the part and `sk` for the name.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self(store)
    }

    /// Rows that are gone with the process.
    pub fn in_memory() -> Self {
        Self::new(Memory::default().ports().store)
    }

    /// Every row of a part, by name.
    ///
    /// # Errors
    /// To be retried or not, as the store says.
    pub async fn part(&self, part: &str) -> Result<Vec<Item>, TaskError> {
        const PAGE: u32 = 1000;
        let (mut rows, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = self.0.query(part, after.as_deref(), PAGE).await;
            let page = page.map_err(classified)?;
            rows.extend(page.items);
            after = page.next;
            if after.is_none() {
                return Ok(rows);
            }
        }
    }

    /// Writes one row, if the condition holds of it as it is.
    ///
    /// # Errors
    /// To be retried or not, as the store says.
    pub async fn write(
        &self,
        part: &str,
        name: &str,
        op: Op,
        when: When,
    ) -> Result<Outcome, TaskError> {
        let key = Key::State(part.to_owned(), name.to_owned());
        let written = self.0.write(Write { key, op, when }).await;
        written.map_err(classified)
    }
}

/// A table that doesn't answer may do so in a while; a row that is too large stays so.
fn classified(error: sedano::Error) -> TaskError {
    if error.is_retryable() {
        TaskError::retry(error)
    } else {
        TaskError::permanent(error)
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rows")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sedano::Class;
    use sedano::ports::ITEM_BYTES;

    #[tokio::test]
    async fn a_part_is_read_to_its_end_and_no_further() {
        let rows = Rows::in_memory();
        for number in 0..1001 {
            let name = format!("{number:04}");
            let empty = Op::Put(Item::new());
            rows.write("part", &name, empty.clone(), When::Absent)
                .await
                .unwrap();
            rows.write("parts", &name, empty, When::Absent)
                .await
                .unwrap();
        }
        let read = rows.part("part").await.unwrap();
        assert_eq!(read.len(), 1001);
        assert_eq!(read[1000]["sk"].as_text(), Some("1000"));
        assert_eq!(rows.part("none").await.unwrap(), []);
    }

    #[tokio::test]
    async fn what_no_repetition_mends_is_not_repeated() {
        let text = "x".repeat(ITEM_BYTES).into();
        let large = Op::Put(Item::from([("text".into(), text)]));
        let refused = Rows::in_memory()
            .write("part", "name", large, When::Always)
            .await;
        assert_eq!(refused.unwrap_err().class(), Class::Permanent);
    }
}
