//! Which entries are kept by rules of EventBridge: noted where the tick reads it.

use async_trait::async_trait;

use crate::app::App;
use crate::error::Result;
use crate::ports::{Change, Key, Op, When, Write};

/// Where it is noted which entries are kept by rules.
#[async_trait]
pub trait Marks: Send + Sync {
    /// Notes that this rule keeps the entry, so that the tick leaves it out; or that none does, so that the tick
    /// sends it. Said again of entries for which it is noted already, and of some that the schedule doesn't have
    /// any more.
    async fn mark(&self, entry: &str, rule: Option<&str>) -> Result<()>;
}

/// Marks in the state table: the attribute `rule` of the item whose `pk` is `beat` and whose `sk` is
/// `entry#NAME`.
#[derive(Debug, Clone)]
pub struct StateMarks(App);

/// The rule that keeps an entry.
const RULE: &str = "rule";

impl StateMarks {
    /// Those of this application's state table.
    pub fn new(app: &App) -> Self {
        Self(app.clone())
    }
}

#[async_trait]
impl Marks for StateMarks {
    async fn mark(&self, entry: &str, rule: Option<&str>) -> Result<()> {
        let (change, when) = match rule {
            Some(rule) => (Change::Set(RULE.into(), rule.into()), When::Always),
            // An entry that has no item gets none.
            None => (Change::Remove(RULE.into()), When::Has(RULE.into())),
        };
        let key = Key::State("beat".to_owned(), format!("entry#{entry}"));
        let op = Op::Update(vec![change]);
        let write = Write { key, op, when };
        self.0.ports().store.write(write).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;

    #[tokio::test]
    async fn a_mark_comes_and_goes_and_makes_no_item_by_going() {
        let app = Memory::default().app();
        let marks = StateMarks::new(&app);
        let store = app.ports().store.clone();
        let key = Key::State("beat".to_owned(), "entry#e".to_owned());
        marks.mark("e", None).await.unwrap();
        assert_eq!(store.get(&key).await.unwrap(), None);
        for _ in 0..2 {
            marks.mark("e", Some("s-e")).await.unwrap();
            let item = store.get(&key).await.unwrap().unwrap();
            assert_eq!(item["rule"], "s-e".into());
        }
        for _ in 0..2 {
            marks.mark("e", None).await.unwrap();
            let item = store.get(&key).await.unwrap().unwrap();
            assert!(!item.contains_key("rule"));
        }
    }
}
