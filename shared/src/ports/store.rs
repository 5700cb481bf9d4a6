//! The result backend: items and conditional writes with the semantics of DynamoDB.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use crate::error::Result;
use crate::time::Timestamp;

/// The most bytes of one DynamoDB item, names included.
pub const ITEM_BYTES: usize = 400 * 1024;
/// The most items that one call reads.
pub const BATCH_READS: usize = 100;
/// How many bytes of items end a page of a query.
pub const PAGE_BYTES: usize = 1024 * 1024;
/// The most statements in one batch of writes.
pub const BATCH_WRITES: usize = 25;

/// A result backend with the semantics of DynamoDB: items, conditional writes, late TTL.
///
/// Errors: `TooLarge` over [`ITEM_BYTES`], `NotFound` for an unknown table, `Throttled`,
/// `Unavailable`. A refused condition is no error but an [`Outcome`].
#[async_trait]
pub trait Store: Send + Sync {
    /// Reads an item, strongly consistent. An item past its `ttl` may still be there: filter.
    async fn get(&self, key: &Key) -> Result<Option<Item>>;

    /// Reads many items, strongly consistent, in the order of their keys. Any number; an error is of them all.
    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Item>>>;

    /// Reads the items of one partition of the state table in the order of their sort keys, which are
    /// compared by their bytes; strongly consistent. Those after the sort key `after`, if one is given, at
    /// most `limit` (0 is taken for 1). A page ends early where its items would come to more than 1 MB.
    async fn query(&self, pk: &str, after: Option<&str>, limit: u32) -> Result<Page>;

    /// One conditional write. The outcome tells the item as it was before.
    async fn write(&self, write: Write) -> Result<Outcome>;

    /// Independent conditional writes, each with its own outcome, in order. Any number; at most one
    /// for each key. The item as it was may be left untold (`None`) where the service doesn't say;
    /// whoever needs it repeats the write by [`write`](Store::write).
    async fn write_many(&self, writes: Vec<Write>) -> Vec<Result<Outcome>>;
}

/// One of the two tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// One record a task; hash key `id`.
    Results,
    /// All bookkeeping; hash key `pk`, sort key `sk`.
    State,
}

/// Where an item is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// In the results table, under `id`.
    Result(String),
    /// In the state table, under `pk` and `sk`.
    State(String, String),
}

impl Key {
    /// The table the key belongs to.
    pub fn table(&self) -> Table {
        match self {
            Key::Result(_) => Table::Results,
            Key::State(..) => Table::State,
        }
    }

    /// The key's attributes with their values: they are part of every item.
    pub fn attributes(&self) -> Vec<(&'static str, &str)> {
        match self {
            Key::Result(id) => vec![("id", id)],
            Key::State(pk, sk) => vec![("pk", pk), ("sk", sk)],
        }
    }
}

/// An attribute's name.
pub type Field = Cow<'static, str>;

/// An item: attributes by name. The key's own attributes are in it when it is read, and are added
/// by the store when it is written.
pub type Item = BTreeMap<Field, Attribute>;

/// Some of a partition's items.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Page {
    /// In the order of their sort keys.
    pub items: Vec<Item>,
    /// The sort key to go on after. There may be nothing after it; without one there is nothing.
    pub next: Option<String>,
}

/// An attribute's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// `S`
    Text(String),
    /// `N`, a whole number.
    Number(i64),
    /// `N` with decimals.
    Decimal(f64),
    /// `BOOL`
    Bool(bool),
    /// `B`
    Bytes(Vec<u8>),
    /// `L`
    List(Vec<Attribute>),
    /// `M`
    Map(Item),
    /// `SS`; never empty.
    TextSet(BTreeSet<String>),
    /// `NS`, whole numbers; never empty.
    NumberSet(BTreeSet<i64>),
    /// `NULL`
    Null,
}

impl Attribute {
    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        if let Attribute::Text(text) = self {
            Some(text)
        } else {
            None
        }
    }

    /// The whole number, if it is one.
    pub fn as_number(&self) -> Option<i64> {
        if let Attribute::Number(number) = self {
            Some(*number)
        } else {
            None
        }
    }
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        Attribute::Text(text.to_owned())
    }
}

impl From<String> for Attribute {
    fn from(text: String) -> Self {
        Attribute::Text(text)
    }
}

impl From<i64> for Attribute {
    fn from(number: i64) -> Self {
        Attribute::Number(number)
    }
}

impl From<u32> for Attribute {
    fn from(number: u32) -> Self {
        Attribute::Number(number.into())
    }
}

impl From<Timestamp> for Attribute {
    fn from(instant: Timestamp) -> Self {
        Attribute::Text(instant.to_string())
    }
}

/// A conditional write of one item.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// Which item.
    pub key: Key,
    /// What to do.
    pub op: Op,
    /// Only if this holds of the item as it is.
    pub when: When,
}

/// What a write does.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// Replaces the whole item.
    Put(Item),
    /// Changes attributes; creates the item where there is none.
    Update(Vec<Change>),
    /// Removes the item; nothing happens where there is none.
    Delete,
}

/// A change of one attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Gives it this value.
    Set(Field, Attribute),
    /// Adds to a number; an absent one counts as 0.
    Add(Field, i64),
    /// Adds members to a number set; an absent one counts as empty.
    AddToSet(Field, BTreeSet<i64>),
    /// Appends to a list; an absent one counts as empty.
    Append(Field, Vec<Attribute>),
    /// Takes the attribute away, if it is there.
    Remove(Field),
}

/// A condition on the item as it is. A comparison with an absent attribute is false.
#[derive(Debug, Clone, PartialEq)]
pub enum When {
    /// True.
    Always,
    /// There is no item.
    Absent,
    /// There is an item.
    Present,
    /// The attribute is there.
    Has(Field),
    /// The attribute equals the value.
    Eq(Field, Attribute),
    /// The attribute is smaller; text by its bytes.
    Below(Field, Attribute),
    /// The attribute is smaller or equal.
    AtMost(Field, Attribute),
    /// The number set contains the number.
    Contains(Field, i64),
    /// Not so.
    Not(Box<When>),
    /// Each of them; of none, true.
    All(Vec<When>),
    /// One of them at least; of none, false.
    Any(Vec<When>),
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It was done; the item as it was before, where the store tells.
    Applied(Option<Item>),
    /// The condition didn't hold; the item as it is, where the store tells. A write whose answer was
    /// lost and which was tried again may be refused by its own first success: compare.
    Refused(Option<Item>),
}

/// An item's size in bytes by DynamoDB's rules: names and values, a number by its digits.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>
pub fn item_size(item: &Item) -> usize {
    item.iter()
        .map(|(name, value)| name.len() + attribute_size(value))
        .sum()
}

/// The write units of writing an item of this many bytes: one for each KB begun, at least one.
pub fn write_units(bytes: usize) -> usize {
    bytes.div_ceil(1024).max(1)
}

fn attribute_size(value: &Attribute) -> usize {
    const CONTAINER: usize = 3;
    const ELEMENT: usize = 1;
    match value {
        Attribute::Text(text) => text.len(),
        Attribute::Number(number) => number_size(&number.unsigned_abs().to_string(), *number < 0),
        Attribute::Decimal(number) => {
            let digits = number.abs().to_string().replace('.', "");
            number_size(digits.trim_start_matches('0'), *number < 0.0)
        }
        Attribute::Bool(_) | Attribute::Null => 1,
        Attribute::Bytes(bytes) => bytes.len(),
        Attribute::List(list) => {
            CONTAINER
                + list
                    .iter()
                    .map(|value| ELEMENT + attribute_size(value))
                    .sum::<usize>()
        }
        Attribute::Map(map) => {
            CONTAINER
                + map
                    .iter()
                    .map(|(name, value)| ELEMENT + name.len() + attribute_size(value))
                    .sum::<usize>()
        }
        Attribute::TextSet(set) => set.iter().map(String::len).sum(),
        Attribute::NumberSet(set) => set
            .iter()
            .map(|number| number_size(&number.unsigned_abs().to_string(), *number < 0))
            .sum(),
    }
}

/// Two significant digits a byte, and one byte more; one more again for a minus sign.
fn number_size(digits: &str, negative: bool) -> usize {
    let significant = digits.trim_end_matches('0').len();
    significant.div_ceil(2) + 1 + usize::from(negative)
}
