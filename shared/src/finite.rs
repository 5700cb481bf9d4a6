//! Whether a value can be written as JSON and read back. `serde_json` writes NaN and infinities as `null`, and
//! whoever reads that finds no number, and no reason; it writes deeper than it reads, and whole numbers longer.

use std::fmt;

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

/// Looks through a value for numbers that JSON doesn't have, and for more than `levels` lists and objects
/// inside each other.
///
/// # Errors
/// Says which of them it is.
pub(crate) fn check(value: &impl Serialize, levels: usize) -> Result<(), Unfit> {
    match value.serialize(Finite {
        levels,
        left: levels,
    }) {
        // What else is wrong with the value is told where it is written.
        Err(Unfit::Other) | Ok(()) => Ok(()),
        Err(found) => Err(found),
    }
}

/// What JSON doesn't take.
#[derive(Debug, PartialEq)]
pub(crate) enum Unfit {
    /// NaN or an infinity.
    Number(f64),
    /// A whole number that would be read as a double.
    Whole,
    /// Deeper than this.
    Deeper(usize),
    /// The value's own error.
    Other,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::Number(number) => {
                write!(f, "JSON has no {number}: write null (None), or a text")
            }
            Unfit::Whole => {
                f.write_str("a whole number is beyond 64 bits, and would be rounded: write a text")
            }
            Unfit::Deeper(levels) => write!(
                f,
                "it is nested deeper than {levels} levels: flatten it, or write the inner part as text"
            ),
            Unfit::Other => f.write_str("it can't be written"),
        }
    }
}

impl std::error::Error for Unfit {}

impl serde::ser::Error for Unfit {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Unfit::Other
    }
}

type Checked = Result<(), Unfit>;

#[derive(Clone, Copy)]
struct Finite {
    levels: usize,
    left: usize,
}

impl Finite {
    fn inside(self, levels: usize) -> Result<Self, Unfit> {
        let left = self.left.checked_sub(levels);
        let left = left.ok_or(Unfit::Deeper(self.levels))?;
        Ok(Self { left, ..self })
    }
}

/// Of these there is nothing to check.
macro_rules! fine {
    ($($name:ident($type:ty))*) => {
        $(fn $name(self, _: $type) -> Checked { Ok(()) })*
    };
}

impl Serializer for Finite {
    type Ok = ();
    type Error = Unfit;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    fine! {
        serialize_bool(bool) serialize_char(char) serialize_str(&str) serialize_bytes(&[u8])
        serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64)
        serialize_unit_struct(&'static str)
    }
    fn serialize_i128(self, number: i128) -> Checked {
        match i64::try_from(number).is_ok() || u64::try_from(number).is_ok() {
            true => Ok(()),
            false => Err(Unfit::Whole),
        }
    }
    fn serialize_u128(self, number: u128) -> Checked {
        u64::try_from(number).map(drop).map_err(|_| Unfit::Whole)
    }
    fn serialize_f32(self, number: f32) -> Checked {
        self.serialize_f64(number.into())
    }
    fn serialize_f64(self, number: f64) -> Checked {
        match number.is_finite() {
            true => Ok(()),
            false => Err(Unfit::Number(number)),
        }
    }
    fn serialize_none(self) -> Checked {
        Ok(())
    }
    fn serialize_unit(self) -> Checked {
        Ok(())
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Checked {
        Ok(())
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Checked {
        value.serialize(self)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Checked {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Checked {
        value.serialize(self.inside(1)?)
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Unfit> {
        self.inside(1)
    }
    fn serialize_tuple(self, _: usize) -> Result<Self, Unfit> {
        self.inside(1)
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Unfit> {
        self.inside(1)
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Unfit> {
        self.inside(2)
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Self, Unfit> {
        self.inside(1)
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Unfit> {
        self.inside(1)
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Unfit> {
        self.inside(2)
    }
    /// Text made on the way is not looked at, and so not made.
    fn collect_str<T: fmt::Display + ?Sized>(self, _: &T) -> Checked {
        Ok(())
    }
}

/// Compound values: each of their parts is looked at.
macro_rules! parts {
    ($($kind:ident { $element:ident($($name:ty)?) })*) => {
        $(impl $kind for Finite {
            type Ok = ();
            type Error = Unfit;
            fn $element<T: Serialize + ?Sized>(&mut self, $(_: $name,)? value: &T) -> Checked {
                value.serialize(*self)
            }
            fn end(self) -> Checked {
                Ok(())
            }
        })*
    };
}

parts! {
    SerializeSeq { serialize_element() }
    SerializeTuple { serialize_element() }
    SerializeTupleStruct { serialize_field() }
    SerializeTupleVariant { serialize_field() }
    SerializeStruct { serialize_field(&'static str) }
    SerializeStructVariant { serialize_field(&'static str) }
}

impl SerializeMap for Finite {
    type Ok = ();
    type Error = Unfit;
    /// JSON's keys are texts: a number among them is told where it is written.
    fn serialize_key<T: Serialize + ?Sized>(&mut self, _: &T) -> Checked {
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Checked {
        value.serialize(*self)
    }
    fn end(self) -> Checked {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(serde::Serialize)]
    enum Shape {
        Point,
        Circle(f64),
        Box { width: f32 },
        Line(f64, f64),
    }

    const LEVELS: usize = 9;

    #[test]
    fn a_number_that_json_lacks_is_found_anywhere() {
        let nan = f64::NAN;
        let said = |number| check(&number, LEVELS).unwrap_err().to_string();
        assert_eq!(said(nan), "JSON has no NaN: write null (None), or a text");
        assert!(said(f64::NEG_INFINITY).starts_with("JSON has no -inf"));
        assert!(check(&f32::INFINITY, LEVELS).is_err());
        assert!(check(&(1, [Some(nan)]), LEVELS).is_err());
        assert!(check(&BTreeMap::from([("a", vec![0.0, nan])]), LEVELS).is_err());
        for whole in [i128::from(i64::MIN) - 1, i128::from(u64::MAX) + 1] {
            assert_eq!(check(&whole, LEVELS), Err(Unfit::Whole));
        }
        assert_eq!(check(&u128::MAX, LEVELS), Err(Unfit::Whole));
        assert!(check(&Shape::Circle(nan), LEVELS).is_err());
        assert!(check(&Shape::Line(0.0, nan), LEVELS).is_err());
        assert!(check(&Shape::Box { width: f32::NAN }, LEVELS).is_err());
    }

    #[test]
    fn everything_else_passes() {
        let odd = (
            f64::MAX,
            f64::MIN_POSITIVE,
            -0.0,
            i128::from(u64::MAX),
            'a',
            "b",
            (),
        );
        assert_eq!(check(&odd, LEVELS), Ok(()));
        assert_eq!(check(&[Shape::Point, Shape::Circle(1.0)], LEVELS), Ok(()));
        assert_eq!(
            check(&serde_json::json!({"a": [1.5, null]}), LEVELS),
            Ok(())
        );
    }

    /// Levels are counted as they are written.
    #[test]
    fn depth_is_that_of_the_text() {
        fn depth(value: &impl Serialize) -> usize {
            (0..).find(|levels| check(value, *levels).is_ok()).unwrap()
        }
        fn written(value: &impl Serialize) -> usize {
            let text = serde_json::to_string(value).unwrap();
            let opened = text
                .find(|c| !"[{\"ABCLabcdefghijklmnopqrstuvwxyz:".contains(c))
                .unwrap();
            text[..opened].matches(['[', '{']).count()
        }
        assert_eq!(depth(&1), 0);
        for shape in [
            Shape::Circle(1.0),
            Shape::Line(1.0, 2.0),
            Shape::Box { width: 1.0 },
        ] {
            assert_eq!(depth(&shape), written(&shape));
            assert_eq!(depth(&Some([(&shape,)])), written(&[(&shape,)]));
        }
        assert_eq!(depth(&BTreeMap::from([("a", [1])])), 2);
        let said = check(&[[1]], 1).unwrap_err().to_string();
        assert!(
            said.starts_with("it is nested deeper than 1 levels: flatten it"),
            "{said}"
        );
    }
}
