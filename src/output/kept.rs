//! Values of the input that stand beside the results, without loss.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use super::ColumnKind;
use crate::error::{Result, Setting, fail};

/// A value of a column that is carried along, as it was in the input.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub enum Kept {
    /// No value.
    Null,
    /// true or false
    Bool(bool),
    /// A whole number of 64 bits with a sign.
    Int(i64),
    /// A whole number of 64 bits without a sign.
    UInt(u64),
    /// Any other number, NaN and infinity among them.
    Float(#[serde(with = "bits")] f64),
    /// A string.
    Text(String),
    /// JSON of another kind: a list, an object, a whole number of more than 64 bits.
    Json(String),
    /// The bytes of a value of an Arrow column, from Parquet to Parquet alone.
    Cell(#[serde(with = "hex")] Vec<u8>),
}

/// Bytes as two digits each.
mod hex {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&text(bytes))
    }

    pub fn text(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digits = |byte: &u8| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
        bytes.iter().flat_map(digits).map(char::from).collect()
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (pairs, rest) = text.as_bytes().as_chunks();
        let digit = |digit: u8| char::from(digit).to_digit(16);
        let byte = |[high, low]: &[u8; 2]| Some((digit(*high)? * 16 + digit(*low)?) as u8);
        let bytes = pairs.iter().map(byte).collect::<Option<_>>().filter(|_| rest.is_empty());
        bytes.ok_or_else(|| D::Error::custom("digits in pairs were expected"))
    }
}

/// A float by its bits: JSON has no NaN.
mod bits {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(x: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        x.to_bits().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        u64::deserialize(deserializer).map(f64::from_bits)
    }
}

impl Kept {
    /// As a string: of a string itself, of anything else its JSON.
    pub fn into_text(self) -> Option<String> {
        Some(match self {
            Self::Null => return None,
            Self::Bool(x) => x.to_string(),
            Self::Int(x) => x.to_string(),
            Self::UInt(x) => x.to_string(),
            Self::Float(x) if x.is_finite() => {
                serde_json::Number::from_f64(x).map_or_else(|| x.to_string(), |n| n.to_string())
            }
            Self::Float(x) => x.to_string(),
            Self::Text(x) | Self::Json(x) => x,
            Self::Cell(x) => hex::text(&x),
        })
    }

    #[cfg(feature = "parquet")]
    pub(super) fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(x) = self { Some(*x) } else { None }
    }

    #[cfg(feature = "parquet")]
    pub(super) fn as_int(&self) -> Option<i64> {
        if let Self::Int(x) = self { Some(*x) } else { None }
    }

    #[cfg(feature = "parquet")]
    pub(super) fn as_uint(&self) -> Option<u64> {
        match self {
            Self::UInt(x) => Some(*x),
            Self::Int(x) => u64::try_from(*x).ok(),
            _ => None,
        }
    }

    #[cfg(feature = "parquet")]
    pub(super) fn as_cell(&self) -> Option<&[u8]> {
        if let Self::Cell(x) = self { Some(x) } else { None }
    }

    #[cfg(feature = "parquet")]
    pub(super) fn as_float(&self) -> Option<f64> {
        match self {
            Self::Float(x) => Some(*x),
            // [`Kinds`] gives no float to a column with larger ones.
            Self::Int(x) => Some(*x as f64),
            _ => None,
        }
    }
}

/// The columns of one row, as fields of a JSON object.
pub(super) struct KeptFields<'a> {
    names: &'a [String],
    values: &'a [Kept],
}

impl<'a> KeptFields<'a> {
    /// # Errors
    /// [`NotFinite`](crate::ErrorKind::NotFinite) for infinity, which JSON has not; NaN becomes
    /// null.
    pub(super) fn new(names: &'a [String], values: &'a [Kept], index: usize) -> Result<Self> {
        let bad = |(_, value): &(_, &Kept)| matches!(value, Kept::Float(x) if x.is_infinite());
        match names.iter().zip(values).find(bad) {
            None => Ok(Self { names, values }),
            Some((name, _)) => Err(fail!(
                NotFinite,
                "text {index}: column `{name}` holds infinity, which JSON cannot represent: use \
                 parquet, or leave the column out"
            )
            .about(&[Setting::Columns])),
        }
    }
}

impl Serialize for KeptFields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.names.len()))?;
        for (name, value) in self.names.iter().zip(self.values) {
            match value {
                Kept::Null => map.serialize_entry(name, &())?,
                Kept::Bool(x) => map.serialize_entry(name, x)?,
                Kept::Int(x) => map.serialize_entry(name, x)?,
                Kept::UInt(x) => map.serialize_entry(name, x)?,
                Kept::Float(x) => map.serialize_entry(name, x)?,
                Kept::Text(x) => map.serialize_entry(name, x)?,
                Kept::Json(x) => {
                    let raw =
                        RawValue::from_string(x.clone()).map_err(serde::ser::Error::custom)?;
                    map.serialize_entry(name, &raw)?;
                }
                Kept::Cell(x) => map.serialize_entry(name, &hex::text(x))?,
            }
        }
        map.end()
    }
}

/// Finds the one kind that holds all values of a column.
#[derive(Debug, Clone, Copy, Default)]
pub struct Kinds {
    bools: bool,
    negative: bool,
    ints: bool,
    /// Whole numbers that a float does not hold exactly.
    wide: bool,
    unsigned: bool,
    floats: bool,
    others: bool,
}

impl Kinds {
    /// Adds a value.
    pub fn add(&mut self, value: &Kept) {
        const EXACT: u64 = 1 << 53;
        match value {
            Kept::Null => {}
            Kept::Bool(_) => self.bools = true,
            Kept::Int(x) => {
                self.ints = true;
                self.negative |= *x < 0;
                self.wide |= x.unsigned_abs() > EXACT;
            }
            Kept::UInt(x) => {
                self.unsigned = true;
                self.wide |= *x > EXACT;
            }
            Kept::Float(_) => self.floats = true,
            Kept::Text(_) | Kept::Json(_) | Kept::Cell(_) => self.others = true,
        }
    }

    /// The kind.
    pub fn kind(self) -> ColumnKind {
        let numbers = self.ints || self.unsigned || self.floats;
        match self {
            Self { others: true, .. } => ColumnKind::Text,
            Self { bools: true, .. } if numbers => ColumnKind::Text,
            Self { bools: true, .. } => ColumnKind::Bool,
            Self { floats: true, wide: true, .. } => ColumnKind::Text,
            Self { floats: true, .. } => ColumnKind::Float,
            Self { unsigned: true, negative: true, .. } => ColumnKind::Text,
            Self { unsigned: true, .. } => ColumnKind::UInt,
            Self { ints: true, .. } => ColumnKind::Int,
            _ => ColumnKind::Text,
        }
    }

    /// Whether values of more than one kind became text.
    pub fn is_mixed(self) -> bool {
        let plain = self.bools || self.ints || self.unsigned || self.floats;
        self.kind() == ColumnKind::Text && plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_kind_holds_all_values() {
        use Kept::{Bool, Float, Int, Json, Null, Text, UInt};
        let big = 1 << 60;
        for (values, kind, mixed) in [
            (vec![Null], ColumnKind::Text, false),
            (vec![Bool(true), Null], ColumnKind::Bool, false),
            (vec![Int(-1), Int(big)], ColumnKind::Int, false),
            (vec![Int(1), UInt(u64::MAX)], ColumnKind::UInt, false),
            (vec![Int(-1), UInt(u64::MAX)], ColumnKind::Text, true),
            (vec![Int(1), Float(0.5)], ColumnKind::Float, false),
            (vec![Int(big + 1), Float(0.5)], ColumnKind::Text, true),
            (vec![Bool(true), Int(1)], ColumnKind::Text, true),
            (vec![Int(1), Text("a".into())], ColumnKind::Text, true),
            (vec![Json("123456789012345678901234567890".into())], ColumnKind::Text, false),
        ] {
            let mut kinds = Kinds::default();
            values.iter().for_each(|value| kinds.add(value));
            assert_eq!((kinds.kind(), kinds.is_mixed()), (kind, mixed), "{values:?}");
        }
    }

    #[test]
    fn values_keep_their_digits() {
        let names = ["a", "b", "c", "d"].map(str::to_owned);
        let values = [
            Kept::UInt(u64::MAX),
            Kept::Json("123456789012345678901234567890".into()),
            Kept::Float(0.1),
            Kept::Float(f64::NAN),
        ];
        let fields = KeptFields::new(&names, &values, 0).unwrap();
        assert_eq!(
            serde_json::to_string(&fields).unwrap(),
            r#"{"a":18446744073709551615,"b":123456789012345678901234567890,"c":0.1,"d":null}"#
        );
        let kept: Vec<Kept> =
            serde_json::from_slice(&serde_json::to_vec(&values).unwrap()).unwrap();
        assert_eq!(kept[..3], values[..3]);
        assert!(matches!(kept[3], Kept::Float(x) if x.is_nan()));
        assert!(KeptFields::new(&names, &[Kept::Float(f64::INFINITY)], 0).is_err());
    }
}
