//! Conditions and changes as DynamoDB's expressions, for single writes.
//!
//! Every name is an alias: `status`, `result`, `owner`, `error`, `ttl`, `group` and `state` are
//! reserved words. Parentheses stand only where they must: DynamoDB refuses redundant ones.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::value::to_sdk;
use crate::error::Result;
use crate::ports::{Attribute, Change, Key, When};

/// The aliases of one write.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    names: Vec<String>,
    values: Vec<AttributeValue>,
}

impl Aliases {
    fn name(&mut self, name: &str) -> String {
        let index = self
            .names
            .iter()
            .position(|known| known == name)
            .unwrap_or_else(|| {
                self.names.push(name.to_owned());
                self.names.len() - 1
            });
        format!("#{index}")
    }

    fn value(&mut self, value: &Attribute) -> Result<String> {
        self.values.push(to_sdk(value)?);
        Ok(format!(":{}", self.values.len() - 1))
    }

    /// Alias → name; none where there is none, as DynamoDB wants it.
    pub(super) fn names(&self) -> Option<HashMap<String, String>> {
        let names = self.names.iter().enumerate();
        let names: HashMap<_, _> = names
            .map(|(index, name)| (format!("#{index}"), name.clone()))
            .collect();
        (!names.is_empty()).then_some(names)
    }

    /// Alias → value; none where there is none.
    pub(super) fn values(&self) -> Option<HashMap<String, AttributeValue>> {
        let values = self.values.iter().enumerate();
        let values: HashMap<_, _> = values
            .map(|(index, value)| (format!(":{index}"), value.clone()))
            .collect();
        (!values.is_empty()).then_some(values)
    }
}

/// The key condition of a query: the items of a partition, those after a sort key if one is given.
pub(super) fn of_partition(pk: &str, after: Option<&str>, aliases: &mut Aliases) -> Result<String> {
    let mut text = format!("{} = {}", aliases.name("pk"), aliases.value(&pk.into())?);
    if let Some(after) = after {
        let after = aliases.value(&after.into())?;
        text = format!("{text} AND {} > {after}", aliases.name("sk"));
    }
    Ok(text)
}

/// The condition; none where it always holds.
pub(super) fn condition(when: &When, key: &Key, aliases: &mut Aliases) -> Result<Option<String>> {
    let name = key.attributes().first().map_or("", |(name, _)| *name);
    let part = part(when, name, aliases)?;
    Ok(match part {
        Part::True => None,
        // There is no literal for it.
        Part::False => {
            let name = aliases.name(name);
            Some(format!(
                "attribute_exists({name}) AND attribute_not_exists({name})"
            ))
        }
        other => Some(print(&other)),
    })
}

/// A condition without the constants inside.
enum Part {
    True,
    False,
    Test(String),
    Not(Box<Part>),
    All(Vec<Part>),
    Any(Vec<Part>),
}

fn part(when: &When, key: &str, aliases: &mut Aliases) -> Result<Part> {
    let compare = |field: &str, sign: &str, value: &Attribute, aliases: &mut Aliases| {
        Ok(Part::Test(format!(
            "{} {sign} {}",
            aliases.name(field),
            aliases.value(value)?
        )))
    };
    match when {
        When::Always => Ok(Part::True),
        When::Absent => Ok(Part::Test(format!(
            "attribute_not_exists({})",
            aliases.name(key)
        ))),
        When::Present => Ok(Part::Test(format!(
            "attribute_exists({})",
            aliases.name(key)
        ))),
        When::Has(field) => Ok(Part::Test(format!(
            "attribute_exists({})",
            aliases.name(field)
        ))),
        When::Eq(field, value) => compare(field, "=", value, aliases),
        When::Below(field, value) => compare(field, "<", value, aliases),
        When::AtMost(field, value) => compare(field, "<=", value, aliases),
        When::Contains(field, number) => {
            let field = aliases.name(field);
            let number = aliases.value(&Attribute::Number(*number))?;
            Ok(Part::Test(format!("contains({field}, {number})")))
        }
        When::Not(when) => Ok(match part(when, key, aliases)? {
            Part::True => Part::False,
            Part::False => Part::True,
            Part::Not(inner) => *inner,
            other => Part::Not(Box::new(other)),
        }),
        When::All(list) => {
            let mut parts = Vec::new();
            for when in list {
                match part(when, key, aliases)? {
                    Part::True => {}
                    Part::All(inner) => parts.extend(inner),
                    other => parts.push(other),
                }
            }
            Ok(joined(
                parts,
                |part| matches!(part, Part::False),
                Part::False,
                Part::True,
                Part::All,
            ))
        }
        When::Any(list) => {
            let mut parts = Vec::new();
            for when in list {
                match part(when, key, aliases)? {
                    Part::False => {}
                    Part::Any(inner) => parts.extend(inner),
                    other => parts.push(other),
                }
            }
            Ok(joined(
                parts,
                |part| matches!(part, Part::True),
                Part::True,
                Part::False,
                Part::Any,
            ))
        }
    }
}

/// The parts as one: `decided` if one of them decides, `empty` if there is none, itself if it is one.
fn joined(
    mut parts: Vec<Part>,
    decides: impl Fn(&Part) -> bool,
    decided: Part,
    empty: Part,
    several: impl FnOnce(Vec<Part>) -> Part,
) -> Part {
    if parts.iter().any(decides) {
        return decided;
    }
    match parts.len() {
        0 => empty,
        1 => parts.remove(0),
        _ => several(parts),
    }
}

fn print(part: &Part) -> String {
    match part {
        // Only at the top, where `condition` says it.
        Part::True | Part::False => String::new(),
        Part::Test(text) => text.clone(),
        Part::Not(inner) => match **inner {
            Part::Test(ref text) => format!("NOT {text}"),
            ref other => format!("NOT ({})", print(other)),
        },
        // AND binds tighter than OR.
        Part::All(parts) => join(parts, " AND ", |part| matches!(part, Part::Any(_))),
        Part::Any(parts) => join(parts, " OR ", |_| false),
    }
}

fn join(parts: &[Part], with: &str, needs_parentheses: impl Fn(&Part) -> bool) -> String {
    let texts = parts.iter().map(|part| {
        if needs_parentheses(part) {
            format!("({})", print(part))
        } else {
            print(part)
        }
    });
    texts.collect::<Vec<_>>().join(with)
}

/// The changes as an update expression; none where there are none.
pub(super) fn update(changes: &[Change], aliases: &mut Aliases) -> Result<Option<String>> {
    let (mut set, mut add, mut remove) = (Vec::new(), Vec::new(), Vec::new());
    for change in changes {
        match change {
            Change::Set(field, value) => {
                set.push(format!(
                    "{} = {}",
                    aliases.name(field),
                    aliases.value(value)?
                ));
            }
            Change::Append(field, values) => {
                let field = aliases.name(field);
                let empty = aliases.value(&Attribute::List(Vec::new()))?;
                let values = aliases.value(&Attribute::List(values.clone()))?;
                set.push(format!(
                    "{field} = list_append(if_not_exists({field}, {empty}), {values})"
                ));
            }
            Change::Add(field, number) => {
                let number = aliases.value(&Attribute::Number(*number))?;
                add.push(format!("{} {number}", aliases.name(field)));
            }
            Change::AddToSet(field, numbers) => {
                let numbers = aliases.value(&Attribute::NumberSet(numbers.clone()))?;
                add.push(format!("{} {numbers}", aliases.name(field)));
            }
            Change::Remove(field) => remove.push(aliases.name(field)),
        }
    }
    let clauses = [("SET", set), ("ADD", add), ("REMOVE", remove)];
    let clauses: Vec<String> = clauses
        .into_iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(word, list)| format!("{word} {}", list.join(", ")))
        .collect();
    Ok((!clauses.is_empty()).then(|| clauses.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eq(name: &'static str) -> When {
        When::Eq(name.into(), 1_i64.into())
    }

    fn printed(when: &When) -> String {
        let key = Key::State("p".into(), "s".into());
        let mut aliases = Aliases::default();
        let text = condition(when, &key, &mut aliases)
            .unwrap()
            .unwrap_or_else(|| "-".into());
        // With the names in place, and every one of them through an alias.
        let mut names: Vec<_> = aliases.names().unwrap_or_default().into_iter().collect();
        names.sort_by_key(|(alias, _)| std::cmp::Reverse(alias.len()));
        names.iter().fold(text, |text, (alias, name)| {
            text.replace(alias, &format!("#{name}"))
        })
    }

    #[test]
    fn partitions() {
        let mut aliases = Aliases::default();
        let all = of_partition("p", None, &mut aliases).unwrap();
        assert_eq!(all, "#0 = :0");
        let mut aliases = Aliases::default();
        let rest = of_partition("p", Some("s"), &mut aliases).unwrap();
        assert_eq!(rest, "#0 = :0 AND #1 > :1");
        let names = HashMap::from([("#0".into(), "pk".into()), ("#1".into(), "sk".into())]);
        assert_eq!(aliases.names(), Some(names));
    }

    #[test]
    fn conditions() {
        let not = |when| When::Not(Box::new(when));
        for (when, wanted) in [
            (When::Always, "-"),
            (When::Absent, "attribute_not_exists(#pk)"),
            (When::Present, "attribute_exists(#pk)"),
            (When::Has("ttl".into()), "attribute_exists(#ttl)"),
            (eq("status"), "#status = :0"),
            (When::Below("group".into(), "x".into()), "#group < :0"),
            (When::AtMost("state".into(), "x".into()), "#state <= :0"),
            (When::Contains("done".into(), 7), "contains(#done, :0)"),
            (not(eq("owner")), "NOT #owner = :0"),
            (not(not(eq("owner"))), "#owner = :0"),
            (When::All(vec![eq("a"), eq("b")]), "#a = :0 AND #b = :1"),
            (
                When::All(vec![eq("a"), When::Any(vec![eq("b"), eq("c")])]),
                "#a = :0 AND (#b = :1 OR #c = :2)",
            ),
            (
                When::Any(vec![eq("a"), When::All(vec![eq("b"), eq("c")])]),
                "#a = :0 OR #b = :1 AND #c = :2",
            ),
            (
                not(When::Any(vec![eq("a"), eq("b")])),
                "NOT (#a = :0 OR #b = :1)",
            ),
            (
                When::All(vec![When::All(vec![eq("a")]), When::Always]),
                "#a = :0",
            ),
            (When::All(vec![]), "-"),
            (not(When::Any(vec![])), "-"),
            (
                When::Any(vec![]),
                "attribute_exists(#pk) AND attribute_not_exists(#pk)",
            ),
            (
                not(When::Always),
                "attribute_exists(#pk) AND attribute_not_exists(#pk)",
            ),
        ] {
            assert_eq!(printed(&when), wanted, "{when:?}");
        }
    }

    #[test]
    fn changes() {
        let mut aliases = Aliases::default();
        let changes = [
            Change::Remove("error".into()),
            Change::Set("status".into(), "SUCCESS".into()),
            Change::Add("retries".into(), 1),
            Change::Append("attempts".into(), vec![Attribute::Null]),
            Change::AddToSet("done".into(), [1, 2].into()),
        ];
        let text = update(&changes, &mut aliases).unwrap().unwrap();
        assert_eq!(
            text,
            "SET #1 = :0, #3 = list_append(if_not_exists(#3, :2), :3) ADD #2 :1, #4 :4 REMOVE #0"
        );
        let names = aliases.names().unwrap();
        assert_eq!(
            (names["#0"].as_str(), names["#1"].as_str()),
            ("error", "status")
        );
        assert_eq!(
            aliases.values().unwrap()[":4"],
            AttributeValue::Ns(vec!["1".into(), "2".into()])
        );
        assert_eq!(update(&[], &mut Aliases::default()).unwrap(), None);
    }

    #[test]
    fn a_name_has_one_alias_in_condition_and_change() {
        let mut aliases = Aliases::default();
        condition(&eq("status"), &Key::Result("1".into()), &mut aliases).unwrap();
        let text = update(&[Change::Set("status".into(), "x".into())], &mut aliases).unwrap();
        assert_eq!(text.as_deref(), Some("SET #0 = :1"));
        assert_eq!(aliases.names().unwrap().len(), 1);
    }
}
