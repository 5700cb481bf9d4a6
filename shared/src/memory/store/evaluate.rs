//! What DynamoDB's expressions mean: conditions, changes, and which values it takes.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use crate::error::{Error, ErrorKind, Result};
use crate::number;
use crate::ports::{Attribute, Change, Field, Item, Key, When};

/// The deepest nesting of lists and maps.
const DEPTH: usize = 32;
/// The most bytes of a partition key and of a sort key.
const PARTITION_KEY: usize = 2048;
const SORT_KEY: usize = 1024;

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

/// Whether a key is one.
pub(super) fn check_key(key: &Key) -> Result<()> {
    for (index, (name, value)) in key.attributes().into_iter().enumerate() {
        let most = if index == 0 { PARTITION_KEY } else { SORT_KEY };
        if value.is_empty() || value.len() > most {
            return Err(invalid(format!(
                "the key attribute `{name}` has {} bytes: DynamoDB takes 1 to {most}",
                value.len()
            )));
        }
    }
    Ok(())
}

/// The item as DynamoDB would store it under the key.
pub(super) fn stored(key: &Key, item: &Item) -> Result<Item> {
    let mut stored = Item::new();
    for (name, value) in item {
        stored.insert(name.clone(), normal(value)?);
    }
    for (name, value) in key.attributes() {
        stored.insert(name.into(), value.into());
    }
    Ok(stored)
}

/// A value as it is read back: whole numbers as such, whatever they were written as.
fn normal(value: &Attribute) -> Result<Attribute> {
    normal_at(value, 0)
}

fn normal_at(value: &Attribute, depth: usize) -> Result<Attribute> {
    if depth > DEPTH {
        return Err(invalid(format!(
            "a value is nested deeper than DynamoDB's {DEPTH} levels"
        )));
    }
    Ok(match value {
        Attribute::Decimal(number) => number::read_back(*number)?,
        Attribute::List(list) => Attribute::List(
            list.iter()
                .map(|value| normal_at(value, depth + 1))
                .collect::<Result<_>>()?,
        ),
        Attribute::Map(map) => Attribute::Map(
            map.iter()
                .map(|(name, value)| Ok((name.clone(), normal_at(value, depth + 1)?)))
                .collect::<Result<_>>()?,
        ),
        Attribute::TextSet(set) if set.is_empty() => return Err(empty_set()),
        Attribute::NumberSet(set) if set.is_empty() => return Err(empty_set()),
        other => other.clone(),
    })
}

fn empty_set() -> Error {
    invalid("a set is empty, which DynamoDB refuses: leave the attribute away")
}

/// Whether the condition holds of the item.
pub(super) fn holds(when: &When, item: Option<&Item>) -> Result<bool> {
    let field = |name: &Field| item.and_then(|item| item.get(name));
    Ok(match when {
        When::Always => true,
        When::Absent => item.is_none(),
        When::Present => item.is_some(),
        When::Has(name) => field(name).is_some(),
        When::Eq(name, value) => {
            let value = normal(value)?;
            field(name).is_some_and(|is| equal(is, &value))
        }
        When::Below(name, value) => compare(field(name), value)? == Some(Ordering::Less),
        When::AtMost(name, value) => {
            matches!(
                compare(field(name), value)?,
                Some(Ordering::Less | Ordering::Equal)
            )
        }
        When::Contains(name, number) => match field(name) {
            Some(Attribute::NumberSet(set)) => set.contains(number),
            Some(Attribute::List(list)) => list.contains(&Attribute::Number(*number)),
            _ => false,
        },
        When::Not(when) => !holds(when, item)?,
        // Every part is looked at, so that a bad one is an error whatever the others say.
        When::All(list) => {
            let parts: Vec<bool> = list
                .iter()
                .map(|when| holds(when, item))
                .collect::<Result<_>>()?;
            parts.into_iter().all(|holds| holds)
        }
        When::Any(list) => {
            let parts: Vec<bool> = list
                .iter()
                .map(|when| holds(when, item))
                .collect::<Result<_>>()?;
            parts.into_iter().any(|holds| holds)
        }
    })
}

fn equal(one: &Attribute, other: &Attribute) -> bool {
    match numbers(one, other) {
        Some(ordering) => ordering == Ordering::Equal,
        None => one == other,
    }
}

/// How the attribute compares with the value; none if it is absent or of another type.
fn compare(is: Option<&Attribute>, value: &Attribute) -> Result<Option<Ordering>> {
    let value = normal(value)?;
    if !matches!(
        value,
        Attribute::Text(_) | Attribute::Number(_) | Attribute::Decimal(_) | Attribute::Bytes(_)
    ) {
        return Err(invalid(
            "only texts, numbers and bytes can be compared as smaller or larger",
        ));
    }
    Ok(match (is, &value) {
        (Some(Attribute::Text(is)), Attribute::Text(value)) => {
            Some(is.as_bytes().cmp(value.as_bytes()))
        }
        (Some(Attribute::Bytes(is)), Attribute::Bytes(value)) => Some(is.cmp(value)),
        (Some(is), value) => numbers(is, value),
        (None, _) => None,
    })
}

/// How two numbers compare; none if one isn't a number.
fn numbers(one: &Attribute, other: &Attribute) -> Option<Ordering> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a decimal is beside it: both are as near as f64 is"
    )]
    match (one, other) {
        (Attribute::Number(one), Attribute::Number(other)) => Some(one.cmp(other)),
        (Attribute::Number(one), Attribute::Decimal(other)) => (*one as f64).partial_cmp(other),
        (Attribute::Decimal(one), Attribute::Number(other)) => one.partial_cmp(&(*other as f64)),
        (Attribute::Decimal(one), Attribute::Decimal(other)) => one.partial_cmp(other),
        _ => None,
    }
}

/// The item after the changes; each of them sees the item as it was before all.
pub(super) fn changed(changes: &[Change], key: &Key, item: Option<&Item>) -> Result<Item> {
    check_targets(changes, key)?;
    let mut after = item.cloned().unwrap_or_default();
    for change in changes {
        match change {
            Change::Set(name, value) => {
                after.insert(name.clone(), normal(value)?);
            }
            Change::Remove(name) => {
                after.remove(name);
            }
            Change::Add(name, number) => {
                let sum = add(name, after.get(name), *number)?;
                after.insert(name.clone(), sum);
            }
            Change::AddToSet(name, numbers) => {
                if numbers.is_empty() {
                    return Err(empty_set());
                }
                let mut set = match after.remove(name) {
                    None => BTreeSet::new(),
                    Some(Attribute::NumberSet(set)) => set,
                    Some(_) => return Err(wrong_type(name, "a number set")),
                };
                set.extend(numbers);
                after.insert(name.clone(), Attribute::NumberSet(set));
            }
            Change::Append(name, values) => {
                let mut list = match after.remove(name) {
                    None => Vec::new(),
                    Some(Attribute::List(list)) => list,
                    Some(_) => return Err(wrong_type(name, "a list")),
                };
                for value in values {
                    list.push(normal_at(value, 1)?);
                }
                after.insert(name.clone(), Attribute::List(list));
            }
        }
    }
    stored(key, &after)
}

fn add(name: &Field, before: Option<&Attribute>, number: i64) -> Result<Attribute> {
    match before {
        None => Ok(Attribute::Number(number)),
        Some(Attribute::Number(before)) => before
            .checked_add(number)
            .map(Attribute::Number)
            .ok_or_else(|| invalid(format!("adding {number} to `{name}` goes beyond 64 bits"))),
        #[expect(
            clippy::cast_precision_loss,
            reason = "a sum with a decimal is as near as f64 is"
        )]
        Some(Attribute::Decimal(before)) => number::read_back(before + number as f64),
        Some(_) => Err(wrong_type(name, "a number")),
    }
}

fn wrong_type(name: &Field, wanted: &str) -> Error {
    invalid(format!(
        "the attribute `{name}` is not {wanted}, so it can't be added to"
    ))
}

/// DynamoDB refuses two changes of one attribute, and any of a key's.
fn check_targets(changes: &[Change], key: &Key) -> Result<()> {
    let keys = key.attributes();
    let mut names = BTreeSet::new();
    for change in changes {
        let (Change::Set(name, _)
        | Change::Add(name, _)
        | Change::AddToSet(name, _)
        | Change::Append(name, _)
        | Change::Remove(name)) = change;
        if keys.iter().any(|(key, _)| key == name) {
            return Err(invalid(format!(
                "`{name}` is part of the key, which can't be changed"
            )));
        }
        if !names.insert(name) {
            return Err(invalid(format!(
                "one write changes the attribute `{name}` twice"
            )));
        }
    }
    Ok(())
}
