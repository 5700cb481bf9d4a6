//! Numbers as DynamoDB takes them and gives them back: as text.

use crate::error::{Error, ErrorKind, Result};
use crate::ports::Attribute;

/// The text of a number.
///
/// # Errors
/// `Invalid` for what DynamoDB can't hold.
pub(crate) fn text(number: f64) -> Result<String> {
    let size = number.abs();
    if !number.is_finite() || size >= 1e126 || (size > 0.0 && size < 1e-130) {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("the number {number} is outside DynamoDB's range of 1E-130 to 9.9E+125"),
        ));
    }
    // Minus zero is zero there. A whole number is written to its last digit: as a decimal it would have
    // zeros in place of what a double doesn't need to be told from its neighbours.
    const BEYOND_64_BITS: f64 = 9_223_372_036_854_775_808.0;
    Ok(if size == 0.0 {
        "0".to_owned()
    } else if size < BEYOND_64_BITS && number.fract() == 0.0 {
        format!("{number:.0}")
    } else {
        number.to_string()
    })
}

/// The number that a text says: whole where it fits 64 bits, else the nearest decimal.
pub(crate) fn parse(text: &str) -> Option<Attribute> {
    if let Ok(number) = text.parse() {
        return Some(Attribute::Number(number));
    }
    text.parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
        .map(Attribute::Decimal)
}

/// A decimal as it is read back.
///
/// # Errors
/// As [`text`].
pub(crate) fn read_back(number: f64) -> Result<Attribute> {
    Ok(parse(&text(number)?).unwrap_or(Attribute::Decimal(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_decimals_come_back_as_whole_numbers() {
        assert_eq!(read_back(5.0).unwrap(), Attribute::Number(5));
        assert_eq!(read_back(-0.0).unwrap(), Attribute::Number(0));
        let exact = 281_398_290_564_541_088;
        assert_eq!(read_back(exact as f64).unwrap(), Attribute::Number(exact));
        assert_eq!(read_back(0.1).unwrap(), Attribute::Decimal(0.1));
        assert_eq!(read_back(1e30).unwrap(), Attribute::Decimal(1e30));
        assert_eq!(read_back(f64::NAN).unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(read_back(1e126).unwrap_err().kind(), ErrorKind::Invalid);
    }
}
