//! Writes as PartiQL statements, for batches.
//!
//! Every name is quoted, every value is a parameter. Only what [`crate::plan`] calls batchable is
//! printed.

use std::fmt::{self, Write as _};

use aws_sdk_dynamodb::types::AttributeValue;

use super::value::to_sdk;
use crate::error::Result;
use crate::plan::equalities;
use crate::ports::{Attribute, Change, Item, Key, Op, Write};

/// The longest statement DynamoDB takes.
const STATEMENT: usize = 8192;

/// A statement with the values of its question marks.
#[derive(Debug, PartialEq)]
pub(super) struct Statement {
    pub(super) text: String,
    pub(super) parameters: Vec<AttributeValue>,
}

/// The write as a statement; none where PartiQL can't say it.
///
/// # Errors
/// As [`to_sdk`].
pub(super) fn statement(table: &str, write: &Write) -> Result<Option<Statement>> {
    let statement = match &write.op {
        Op::Put(item) => Some(insert(table, &write.key, item)?),
        Op::Update(changes) => match equalities(&write.when) {
            Some(conditions) => update(table, &write.key, changes, &conditions)?,
            None => None,
        },
        Op::Delete => None,
    };
    Ok(statement.filter(|statement| statement.text.len() <= STATEMENT))
}

fn insert(table: &str, key: &Key, item: &Item) -> Result<Statement> {
    let mut text = format!("INSERT INTO {} VALUE {{", quoted(table, '"'));
    let mut parameters = Vec::with_capacity(item.len() + 2);
    let keys = key.attributes();
    // Writing to a string never fails.
    let mut member = |name, value| {
        let comma = if parameters.is_empty() { "" } else { ", " };
        let _ = write!(text, "{comma}{}: ?", quoted(name, '\''));
        parameters.push(value);
    };
    for (name, value) in &keys {
        member(name, AttributeValue::S((*value).to_owned()));
    }
    for (name, value) in item
        .iter()
        .filter(|(name, _)| keys.iter().all(|(key, _)| key != name))
    {
        member(name, to_sdk(value)?);
    }
    text.push('}');
    Ok(Statement { text, parameters })
}

fn update(
    table: &str,
    key: &Key,
    changes: &[Change],
    conditions: &[(&crate::ports::Field, &Attribute)],
) -> Result<Option<Statement>> {
    let mut text = format!("UPDATE {}", quoted(table, '"'));
    let mut parameters = Vec::new();
    let mut removed = String::new();
    // Writing to a string never fails.
    for change in changes {
        let value = match change {
            Change::Set(name, value) => {
                let _ = write!(text, " SET {} = ?", quoted(name, '"'));
                to_sdk(value)?
            }
            Change::Add(name, number) => {
                let name = quoted(name, '"');
                let _ = write!(text, " SET {name} = {name} + ?");
                AttributeValue::N(number.to_string())
            }
            // Not batchable: see the plan.
            Change::Append(..) | Change::AddToSet(..) => return Ok(None),
            Change::Remove(name) => {
                let _ = write!(removed, " REMOVE {}", quoted(name, '"'));
                continue;
            }
        };
        parameters.push(value);
    }
    text.push_str(&removed);
    let mut word = "WHERE";
    for (name, value) in key.attributes() {
        let _ = write!(text, " {word} {} = ?", quoted(name, '"'));
        parameters.push(AttributeValue::S(value.to_owned()));
        word = "AND";
    }
    for (name, value) in conditions {
        let _ = write!(text, " {word} {} = ?", quoted(name, '"'));
        parameters.push(to_sdk(value)?);
    }
    Ok(Some(Statement { text, parameters }))
}

fn quoted(name: &str, mark: char) -> Quoted<'_> {
    Quoted { name, mark }
}

/// A name in quotation marks, those within it doubled. Printed many times a batch, so straight into
/// the statement.
struct Quoted<'a> {
    name: &'a str,
    mark: char,
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char(self.mark)?;
        for (place, part) in self.name.split(self.mark).enumerate() {
            if place > 0 {
                f.write_char(self.mark)?;
                f.write_char(self.mark)?;
            }
            f.write_str(part)?;
        }
        f.write_char(self.mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::When;

    fn text(text: &str) -> AttributeValue {
        AttributeValue::S(text.to_owned())
    }

    #[test]
    fn a_put_where_nothing_is_inserts() {
        let item = Item::from([
            ("status".into(), "STARTED".into()),
            ("it's".into(), Attribute::Bool(true)),
            // The key given wins over an attribute of its name.
            ("id".into(), "other".into()),
        ]);
        let write = Write {
            key: Key::Result("t1".into()),
            op: Op::Put(item),
            when: When::Absent,
        };
        let printed = statement("my-results", &write).unwrap().unwrap();
        assert_eq!(
            printed.text,
            r#"INSERT INTO "my-results" VALUE {'id': ?, 'it''s': ?, 'status': ?}"#
        );
        assert_eq!(
            printed.parameters,
            [text("t1"), AttributeValue::Bool(true), text("STARTED")]
        );
    }

    #[test]
    fn an_update_where_all_is_equal_updates() {
        let eq = |name: &'static str, value: &str| When::Eq(name.into(), value.into());
        let write = Write {
            key: Key::State("p".into(), "s".into()),
            op: Op::Update(vec![
                Change::Remove("message".into()),
                Change::Set("status".into(), "SUCCESS".into()),
                Change::Set("attempts".into(), Attribute::List(vec![1_i64.into()])),
                Change::Add("retries".into(), 2),
                Change::Remove("owner".into()),
            ]),
            when: When::All(vec![eq("owner", "me"), eq("status", "STARTED")]),
        };
        let printed = statement("state", &write).unwrap().unwrap();
        assert_eq!(
            printed.text,
            "UPDATE \"state\" SET \"status\" = ? SET \"attempts\" = ? \
             SET \"retries\" = \"retries\" + ? REMOVE \"message\" REMOVE \"owner\" \
             WHERE \"pk\" = ? AND \"sk\" = ? AND \"owner\" = ? AND \"status\" = ?"
        );
        let one = AttributeValue::L(vec![AttributeValue::N("1".into())]);
        let two = AttributeValue::N("2".into());
        assert_eq!(
            printed.parameters,
            [
                text("SUCCESS"),
                one,
                two,
                text("p"),
                text("s"),
                text("me"),
                text("STARTED")
            ]
        );
    }

    #[test]
    fn what_is_too_long_is_not_printed() {
        let item = (0..1000)
            .map(|n| (format!("attribute-{n}").into(), Attribute::Null))
            .collect();
        let write = Write {
            key: Key::Result("t1".into()),
            op: Op::Put(item),
            when: When::Absent,
        };
        assert_eq!(statement("results", &write).unwrap(), None);
    }
}
