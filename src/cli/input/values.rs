//! A value of an Arrow column in a form that JSON has: a number, text that restores it, a list.

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType,
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_schema::{DataType, TimeUnit};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use everylayer::output::{Kept, cells};

/// The value in `row`. Dates and times are text as in ISO 8601, those with a zone in UTC; decimals are
/// text with their digits; durations are whole numbers of their unit; binary is base64.
pub fn value(column: &dyn Array, row: usize) -> Kept {
    if column.is_null(row) {
        return Kept::Null;
    }
    macro_rules! number {
        ($kind:ty, $kept:path) => {
            $kept(column.as_primitive::<$kind>().value(row).into())
        };
    }
    macro_rules! digits {
        ($kind:ty) => {
            Kept::Text(column.as_primitive::<$kind>().value_as_string(row))
        };
    }
    // Beyond the years that a calendar has, the number itself.
    macro_rules! moment {
        ($kind:ty, $of:ident, $end:expr) => {
            match column.as_primitive::<$kind>().$of(row) {
                Some(moment) => Kept::Text(format!("{moment:?}{}", $end)),
                None => number!($kind, Kept::Int),
            }
        };
    }
    let binary = |bytes: &[u8]| Kept::Text(BASE64_STANDARD.encode(bytes));
    match column.data_type() {
        DataType::Utf8 => Kept::Text(column.as_string::<i32>().value(row).into()),
        DataType::LargeUtf8 => Kept::Text(column.as_string::<i64>().value(row).into()),
        DataType::Utf8View => Kept::Text(column.as_string_view().value(row).into()),
        DataType::Boolean => Kept::Bool(column.as_boolean().value(row)),
        DataType::Int8 => number!(Int8Type, Kept::Int),
        DataType::Int16 => number!(Int16Type, Kept::Int),
        DataType::Int32 => number!(Int32Type, Kept::Int),
        DataType::Int64 => number!(Int64Type, Kept::Int),
        DataType::UInt8 => number!(UInt8Type, Kept::UInt),
        DataType::UInt16 => number!(UInt16Type, Kept::UInt),
        DataType::UInt32 => number!(UInt32Type, Kept::UInt),
        DataType::UInt64 => number!(UInt64Type, Kept::UInt),
        DataType::Float16 => number!(Float16Type, Kept::Float),
        DataType::Float32 => number!(Float32Type, Kept::Float),
        DataType::Float64 => number!(Float64Type, Kept::Float),
        DataType::Decimal32(..) => digits!(Decimal32Type),
        DataType::Decimal64(..) => digits!(Decimal64Type),
        DataType::Decimal128(..) => digits!(Decimal128Type),
        DataType::Decimal256(..) => digits!(Decimal256Type),
        DataType::Date32 => moment!(Date32Type, value_as_date, ""),
        DataType::Date64 => moment!(Date64Type, value_as_date, ""),
        DataType::Time32(TimeUnit::Second) => moment!(Time32SecondType, value_as_time, ""),
        DataType::Time32(_) => moment!(Time32MillisecondType, value_as_time, ""),
        DataType::Time64(TimeUnit::Microsecond) => {
            moment!(Time64MicrosecondType, value_as_time, "")
        }
        DataType::Time64(_) => moment!(Time64NanosecondType, value_as_time, ""),
        DataType::Timestamp(unit, zone) => {
            let end = if zone.is_some() { "Z" } else { "" };
            match unit {
                TimeUnit::Second => moment!(TimestampSecondType, value_as_datetime, end),
                TimeUnit::Millisecond => moment!(TimestampMillisecondType, value_as_datetime, end),
                TimeUnit::Microsecond => moment!(TimestampMicrosecondType, value_as_datetime, end),
                TimeUnit::Nanosecond => moment!(TimestampNanosecondType, value_as_datetime, end),
            }
        }
        DataType::Duration(unit) => match unit {
            TimeUnit::Second => number!(DurationSecondType, Kept::Int),
            TimeUnit::Millisecond => number!(DurationMillisecondType, Kept::Int),
            TimeUnit::Microsecond => number!(DurationMicrosecondType, Kept::Int),
            TimeUnit::Nanosecond => number!(DurationNanosecondType, Kept::Int),
        },
        DataType::Binary => binary(column.as_binary::<i32>().value(row)),
        DataType::LargeBinary => binary(column.as_binary::<i64>().value(row)),
        DataType::BinaryView => binary(column.as_binary_view().value(row)),
        DataType::FixedSizeBinary(_) => binary(column.as_fixed_size_binary().value(row)),
        DataType::List(_) => list(column.as_list::<i32>().value(row).as_ref()),
        DataType::LargeList(_) => list(column.as_list::<i64>().value(row).as_ref()),
        DataType::FixedSizeList(..) => list(column.as_fixed_size_list().value(row).as_ref()),
        DataType::Dictionary(..) => {
            let dictionary = column.as_any_dictionary();
            let key = cells::key(dictionary.keys(), row);
            key.map_or(Kept::Null, |key| value(dictionary.values().as_ref(), key))
        }
        _ => Kept::Null,
    }
}

/// A list as JSON. NaN is null in it; infinity makes it infinite, which JSON refuses by the column's name.
fn list(values: &dyn Array) -> Kept {
    let mut all = Vec::new();
    for row in 0..values.len() {
        let value = value(values, row);
        match &value {
            Kept::Float(x) if x.is_infinite() => return value,
            Kept::Text(text) => all.push(serde_json::Value::from(text.as_str()).to_string()),
            Kept::Float(x) if x.is_nan() => all.push("null".to_owned()),
            _ => all.push(value.into_text().unwrap_or_else(|| "null".to_owned())),
        }
    }
    Kept::Json(format!("[{}]", all.join(",")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::builder::{
        Float64Builder, ListBuilder, StringBuilder, StringDictionaryBuilder,
    };
    use arrow_array::{
        ArrayRef, BinaryArray, Date32Array, Decimal128Array, Time64MicrosecondArray,
        TimestampMicrosecondArray, TimestampSecondArray,
    };

    use super::*;

    #[test]
    fn values_that_json_has() {
        let mut texts = ListBuilder::new(StringBuilder::new());
        texts.append_value([Some("a \"b\""), None]);
        let mut numbers = ListBuilder::new(Float64Builder::new());
        numbers.append_value([Some(0.5), Some(f64::NAN), None]);
        numbers.append_value([Some(f64::NEG_INFINITY)]);
        let mut dictionary = StringDictionaryBuilder::<Int8Type>::new();
        ["x", "y", "x"].into_iter().for_each(|text| dictionary.append_value(text));
        let numbers: ArrayRef = Arc::new(numbers.finish());
        let text = |text: &str| Kept::Text(text.to_owned());
        let decimal = Decimal128Array::from(vec![-12_345]).with_precision_and_scale(9, 3).unwrap();
        let zoned = TimestampMicrosecondArray::from(vec![1_500_000]).with_timezone("Asia/Tokyo");
        for (column, row, want) in [
            (Arc::new(Date32Array::from(vec![19_753])) as ArrayRef, 0, text("2024-01-31")),
            (Arc::new(Date32Array::from(vec![i32::MAX])), 0, Kept::Int(i32::MAX.into())),
            (Arc::new(zoned), 0, text("1970-01-01T00:00:01.500Z")),
            (Arc::new(TimestampSecondArray::from(vec![-1])), 0, text("1969-12-31T23:59:59")),
            (Arc::new(Time64MicrosecondArray::from(vec![1])), 0, text("00:00:00.000001")),
            (Arc::new(decimal), 0, text("-12.345")),
            (Arc::new(BinaryArray::from(vec![&b"\xff\0"[..]])), 0, text("/wA=")),
            (Arc::new(dictionary.finish()), 2, text("x")),
            (Arc::new(texts.finish()), 0, Kept::Json(r#"["a \"b\"",null]"#.to_owned())),
            (Arc::clone(&numbers), 0, Kept::Json("[0.5,null,null]".to_owned())),
            (numbers, 1, Kept::Float(f64::NEG_INFINITY)),
        ] {
            assert_eq!(value(column.as_ref(), row), want);
        }
    }
}
