//! Items between our types and the SDK's.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;

use crate::error::{Error, ErrorKind, Result};
use crate::number;
use crate::ports::{Attribute, Item, Key};

/// An item as the SDK has it.
pub(crate) type SdkItem = HashMap<String, AttributeValue>;

/// The key alone.
pub(super) fn key(key: &Key) -> SdkItem {
    let attributes = key.attributes().into_iter();
    attributes
        .map(|(name, value)| (name.to_owned(), AttributeValue::S(value.to_owned())))
        .collect()
}

/// An item to send.
///
/// # Errors
/// As [`to_sdk`].
pub(crate) fn sdk_item(item: &Item) -> Result<SdkItem> {
    let attributes = item.iter();
    attributes
        .map(|(name, value)| Ok((name.to_string(), to_sdk(value)?)))
        .collect()
}

/// A value to send.
///
/// # Errors
/// `Invalid` for a number that DynamoDB can't hold.
pub(super) fn to_sdk(value: &Attribute) -> Result<AttributeValue> {
    Ok(match value {
        Attribute::Text(text) => AttributeValue::S(text.clone()),
        Attribute::Number(number) => AttributeValue::N(number.to_string()),
        Attribute::Decimal(number) => AttributeValue::N(number::text(*number)?),
        Attribute::Bool(value) => AttributeValue::Bool(*value),
        Attribute::Bytes(bytes) => AttributeValue::B(Blob::new(bytes.clone())),
        Attribute::List(list) => AttributeValue::L(list.iter().map(to_sdk).collect::<Result<_>>()?),
        Attribute::Map(map) => AttributeValue::M(
            map.iter()
                .map(|(name, value)| Ok((name.to_string(), to_sdk(value)?)))
                .collect::<Result<_>>()?,
        ),
        Attribute::TextSet(set) => AttributeValue::Ss(set.iter().cloned().collect()),
        Attribute::NumberSet(set) => {
            AttributeValue::Ns(set.iter().map(ToString::to_string).collect())
        }
        Attribute::Null => AttributeValue::Null(true),
    })
}

/// An item that was read.
///
/// # Errors
/// `Decode` for a value of a type that no port has: a set of bytes, a set of decimals.
pub(super) fn from_sdk(item: SdkItem) -> Result<Item> {
    item.into_iter()
        .map(|(name, value)| {
            let read = attribute(value).ok_or_else(|| {
                Error::new(
                    ErrorKind::Decode,
                    format!("the attribute `{name}` is of a type that Sedano doesn't write"),
                )
            })?;
            Ok((name.into(), read))
        })
        .collect()
}

fn attribute(value: AttributeValue) -> Option<Attribute> {
    Some(match value {
        AttributeValue::S(text) => Attribute::Text(text),
        AttributeValue::N(text) => number::parse(&text)?,
        AttributeValue::Bool(value) => Attribute::Bool(value),
        AttributeValue::B(bytes) => Attribute::Bytes(bytes.into_inner()),
        AttributeValue::L(list) => {
            Attribute::List(list.into_iter().map(attribute).collect::<Option<_>>()?)
        }
        AttributeValue::M(map) => Attribute::Map(
            map.into_iter()
                .map(|(name, value)| Some((name.into(), attribute(value)?)))
                .collect::<Option<BTreeMap<_, _>>>()?,
        ),
        AttributeValue::Ss(set) => Attribute::TextSet(set.into_iter().collect()),
        AttributeValue::Ns(set) => Attribute::NumberSet(
            set.iter()
                .map(|text| text.parse().ok())
                .collect::<Option<_>>()?,
        ),
        AttributeValue::Null(_) => Attribute::Null,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_that_no_port_has_is_named() {
        let item = SdkItem::from([("x".to_owned(), AttributeValue::Bs(vec![Blob::new("a")]))]);
        let error = from_sdk(item).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode);
        assert!(error.to_string().contains("`x`"));
    }
}
