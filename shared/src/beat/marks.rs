//! Which entries are kept by rules of EventBridge: noted where the tick reads it.

use async_trait::async_trait;

use super::stored::{field, key};
use crate::app::App;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Change, Op, Outcome, When, Write};

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

impl StateMarks {
    /// Those of this application's state table.
    pub fn new(app: &App) -> Self {
        Self(app.clone())
    }
}

#[async_trait]
impl Marks for StateMarks {
    async fn mark(&self, entry: &str, rule: Option<&str>) -> Result<()> {
        let (changes, when) = match rule {
            Some(rule) => {
                let kept = Change::Set(field::RULE.into(), rule.into());
                (vec![kept], When::Present)
            }
            None => {
                let given_back = Change::Remove(field::RULE.into());
                // What was due before was the rule's.
                let since_now = Change::Set(field::AFTER.into(), self.0.now().into());
                // An entry that has gone gets no item.
                (vec![given_back, since_now], When::Has(field::RULE.into()))
            }
        };
        let op = Op::Update(changes);
        let write = Write {
            key: key(entry),
            op,
            when,
        };
        match (rule, self.0.ports().store.write(write).await?) {
            (Some(_), Outcome::Refused(_)) => {
                let what = format!("beat has no entry `{entry}` any more: run this again");
                Err(Error::new(ErrorKind::Conflict, what))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::beat::{Entries, Entry, every};
    use crate::memory::Memory;

    #[tokio::test]
    async fn a_mark_comes_and_goes_with_its_entry() {
        let app = Memory::default().app();
        let marks = StateMarks::new(&app);
        marks.mark("e", None).await.unwrap();
        let error = marks.mark("e", Some("s-e")).await.unwrap_err().to_string();
        assert_eq!(error, "beat has no entry `e` any more: run this again");
        let store = app.ports().store.clone();
        assert_eq!(store.get(&key("e")).await.unwrap(), None);
        let call = crate::Signature::<(), ()>::named("ping");
        let hourly = every(std::time::Duration::from_secs(3600));
        let entries = Entries::of(&app);
        entries.add(Entry::new("e", hourly, call)).await.unwrap();
        for rule in [Some("s-e"), Some("s-e"), None, None] {
            marks.mark("e", rule).await.unwrap();
            assert_eq!(entries.get("e").await.unwrap().rule.as_deref(), rule);
        }
    }
}
