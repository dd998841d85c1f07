//! Values of the input's Arrow columns, byte for byte, and columns of the same type made of them
//! again.
//!
//! A cell is the bytes of one value: of a number as they lie in memory, of a string or of binary
//! itself. A list is its length (u32) and, an element each, a byte that is 0 for null, else 1, a
//! length (u32) and the element's own bytes.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{
    Array, ArrayRef, BinaryArray, BinaryViewArray, BooleanArray, FixedSizeListArray,
    GenericListArray, LargeBinaryArray, LargeStringArray, OffsetSizeTrait, StringArray,
    StringViewArray, make_array,
};
use arrow_buffer::{MutableBuffer, NullBuffer, OffsetBuffer};
use arrow_data::ArrayData;
use arrow_schema::{DataType, FieldRef};

use super::Kept;
use super::columns::unfit;
use crate::error::{Result, fail};

/// Lists within lists at most.
const DEPTH: usize = 8;

/// The type of a column of the input that is carried along as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellKind(DataType);

impl CellKind {
    /// `None` for types whose values are not carried along: structs, maps, unions, intervals.
    pub fn new(kind: &DataType) -> Option<Self> {
        keeps(kind, DEPTH).then(|| Self(kind.clone()))
    }

    pub(super) fn data_type(&self) -> &DataType {
        &self.0
    }
}

fn keeps(kind: &DataType, depth: usize) -> bool {
    use DataType::{
        Binary, BinaryView, Boolean, Dictionary, FixedSizeList, Interval, LargeBinary, LargeList,
        LargeUtf8, List, Utf8, Utf8View,
    };
    match kind {
        Interval(_) => false,
        Boolean | Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView => true,
        Dictionary(_, values) => !matches!(**values, Dictionary(..)) && keeps(values, 0),
        List(field) | LargeList(field) | FixedSizeList(field, _) => {
            depth > 0 && keeps(field.data_type(), depth - 1)
        }
        other => width(other).is_some(),
    }
}

/// Bytes of a value, where all have as many.
fn width(kind: &DataType) -> Option<usize> {
    match kind {
        DataType::FixedSizeBinary(size) => usize::try_from(*size).ok(),
        other => other.primitive_width(),
    }
}

/// The value of `column` in `row`, of a type that [`CellKind::new`] takes.
pub fn cell(column: &dyn Array, row: usize) -> Kept {
    bytes(column, row).map_or(Kept::Null, Kept::Cell)
}

fn bytes(column: &dyn Array, row: usize) -> Option<Vec<u8>> {
    if column.is_null(row) {
        return None;
    }
    Some(match column.data_type() {
        DataType::Boolean => vec![column.as_boolean().value(row).into()],
        DataType::Utf8 => column.as_string::<i32>().value(row).into(),
        DataType::LargeUtf8 => column.as_string::<i64>().value(row).into(),
        DataType::Utf8View => column.as_string_view().value(row).into(),
        DataType::Binary => column.as_binary::<i32>().value(row).into(),
        DataType::LargeBinary => column.as_binary::<i64>().value(row).into(),
        DataType::BinaryView => column.as_binary_view().value(row).into(),
        DataType::Dictionary(..) => {
            let dictionary = column.as_any_dictionary();
            return bytes(dictionary.values().as_ref(), key(dictionary.keys(), row)?);
        }
        DataType::List(_) => list(column.as_list::<i32>().value(row).as_ref()),
        DataType::LargeList(_) => list(column.as_list::<i64>().value(row).as_ref()),
        DataType::FixedSizeList(..) => list(column.as_fixed_size_list().value(row).as_ref()),
        _ => fixed(column, row)?,
    })
}

fn fixed(column: &dyn Array, row: usize) -> Option<Vec<u8>> {
    let (data, width) = (column.to_data(), width(column.data_type())?);
    let start = (data.offset() + row) * width;
    Some(data.buffers().first()?.get(start..start + width)?.to_vec())
}

/// The value that the key in `row` is of.
pub fn key(keys: &dyn Array, row: usize) -> Option<usize> {
    let mut long = [0; 8];
    let key = fixed(keys, row)?;
    match cfg!(target_endian = "little") {
        true => long.get_mut(..key.len())?.copy_from_slice(&key),
        false => long.get_mut(8 - key.len()..)?.copy_from_slice(&key),
    }
    usize::try_from(u64::from_ne_bytes(long)).ok()
}

fn list(values: &dyn Array) -> Vec<u8> {
    let mut all = (values.len() as u32).to_le_bytes().to_vec();
    for row in 0..values.len() {
        match bytes(values, row) {
            None => all.push(0),
            Some(value) => {
                all.push(1);
                all.extend((value.len() as u32).to_le_bytes());
                all.extend(value);
            }
        }
    }
    all
}

/// The elements of a cell that is a list.
fn elements(mut cell: &[u8]) -> Option<Vec<Option<&[u8]>>> {
    let mut take = |count: usize| {
        let (taken, rest) = cell.split_at_checked(count)?;
        cell = rest;
        Some(taken)
    };
    let length = |bytes: &[u8]| Some(u32::from_le_bytes(*bytes.first_chunk()?) as usize);
    let count = length(take(4)?)?;
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(match take(1)? {
            [0] => None,
            _ => {
                let size = length(take(4)?)?;
                Some(take(size)?)
            }
        });
    }
    Some(all)
}

/// A column of `kind` with `cells`, null where there is none.
///
/// # Errors
/// [`Usage`](crate::ErrorKind::Usage) where they are of another type, or too many for a dictionary's keys.
pub(super) fn column(kind: &DataType, cells: &[Option<&[u8]>]) -> Result<ArrayRef> {
    let nulls = || NullBuffer::from_iter(cells.iter().map(Option::is_some));
    let odd = || fail!(Usage, "a value of the input is not of type {kind}");
    let text = || {
        let all = cells.iter().map(|c| c.map(std::str::from_utf8).transpose());
        all.collect::<std::result::Result<Vec<_>, _>>().map_err(|_| odd())
    };
    Ok(match kind {
        DataType::Boolean => {
            let values = cells.iter().map(|cell| cell.map(|cell| cell == [1]));
            Arc::new(values.collect::<BooleanArray>())
        }
        DataType::Utf8 => Arc::new(StringArray::from(text()?)),
        DataType::LargeUtf8 => Arc::new(LargeStringArray::from(text()?)),
        DataType::Utf8View => Arc::new(StringViewArray::from(text()?)),
        DataType::Binary => Arc::new(BinaryArray::from(cells.to_vec())),
        DataType::LargeBinary => Arc::new(LargeBinaryArray::from(cells.to_vec())),
        DataType::BinaryView => Arc::new(BinaryViewArray::from(cells.to_vec())),
        DataType::Dictionary(keys, values) => dictionary(kind, keys, values, cells)?,
        DataType::List(field) => lists::<i32>(field, cells, nulls())?,
        DataType::LargeList(field) => lists::<i64>(field, cells, nulls())?,
        DataType::FixedSizeList(field, size) => {
            let length = usize::try_from(*size).map_err(|_| odd())?;
            // What stands for the elements of a list that is null.
            let zero = vec![0; width(field.data_type()).unwrap_or(1)];
            let blank = if field.is_nullable() { None } else { Some(&zero[..]) };
            let mut all = Vec::new();
            for cell in cells {
                let found = cell.map_or_else(|| Some(vec![blank; length]), elements);
                all.extend(found.filter(|found| found.len() == length).ok_or_else(odd)?);
            }
            let values = column(field.data_type(), &all)?;
            let list = FixedSizeListArray::try_new(Arc::clone(field), *size, values, Some(nulls()));
            Arc::new(list.map_err(unfit)?)
        }
        _ => {
            let width = width(kind).ok_or_else(odd)?;
            let mut values = MutableBuffer::new(cells.len() * width);
            for cell in cells {
                match cell {
                    Some(cell) if cell.len() == width => values.extend_from_slice(cell),
                    Some(_) => return Err(odd()),
                    None => values.extend_zeros(width),
                }
            }
            let data = ArrayData::builder(kind.clone()).len(cells.len()).nulls(Some(nulls()));
            make_array(data.add_buffer(values.into()).build().map_err(unfit)?)
        }
    })
}

fn lists<O: OffsetSizeTrait>(
    field: &FieldRef,
    cells: &[Option<&[u8]>],
    nulls: NullBuffer,
) -> Result<ArrayRef> {
    let (mut all, mut lengths) = (Vec::new(), Vec::new());
    for cell in cells {
        let found = cell.map_or_else(|| Some(Vec::new()), elements);
        let found = found.ok_or_else(|| fail!(Usage, "a value of the input is not a list"))?;
        lengths.push(found.len());
        all.extend(found);
    }
    let values = column(field.data_type(), &all)?;
    let offsets = OffsetBuffer::<O>::from_lengths(lengths);
    let list = GenericListArray::try_new(Arc::clone(field), offsets, values, Some(nulls));
    Ok(Arc::new(list.map_err(unfit)?))
}

fn dictionary(
    kind: &DataType,
    keys: &DataType,
    values: &DataType,
    cells: &[Option<&[u8]>],
) -> Result<ArrayRef> {
    let (mut known, mut all) = (HashMap::new(), Vec::new());
    let numbers = cells.iter().map(|cell| {
        let cell = (*cell)?;
        Some(*known.entry(cell).or_insert_with(|| {
            all.push(Some(cell));
            all.len() as u64 - 1
        }))
    });
    let numbers: Vec<Option<u64>> = numbers.collect();
    let width = keys.primitive_width().unwrap_or(8);
    let most = u64::MAX >> (65 - 8 * width as u32 - u32::from(keys.is_unsigned_integer()));
    if all.len() as u64 > most.saturating_add(1) {
        return Err(fail!(Usage, "more distinct values than keys of {kind} can number"));
    }
    let mut buffer = MutableBuffer::new(cells.len() * width);
    for number in &numbers {
        let number = number.unwrap_or(0).to_ne_bytes();
        let start = if cfg!(target_endian = "little") { 0 } else { 8 - width };
        buffer.extend_from_slice(&number[start..start + width]);
    }
    let nulls = NullBuffer::from_iter(numbers.iter().map(Option::is_some));
    let values = column(values, &all)?;
    let data = ArrayData::builder(kind.clone()).len(cells.len()).nulls(Some(nulls));
    let data = data.add_buffer(buffer.into()).add_child_data(values.to_data());
    Ok(make_array(data.build().map_err(unfit)?))
}

#[cfg(test)]
mod tests {
    use arrow_array::builder::{
        FixedSizeListBuilder, Int32Builder, ListBuilder, StringBuilder, StringDictionaryBuilder,
    };
    use arrow_array::types::{Int8Type, UInt16Type};
    use arrow_array::{
        Date32Array, Date64Array, Decimal128Array, Decimal256Array, FixedSizeBinaryArray,
        Float16Array, Float32Array, Int8Array, Time64NanosecondArray, TimestampMicrosecondArray,
        UInt64Array,
    };
    use arrow_buffer::i256;
    use half::f16;

    use super::*;

    fn columns() -> Vec<ArrayRef> {
        let mut lists = ListBuilder::new(StringBuilder::new());
        lists.append_value([Some("a"), None, Some("")]);
        lists.append_null();
        lists.append_value([None::<&str>; 0]);
        let mut nested = ListBuilder::new(ListBuilder::new(Int32Builder::new()));
        nested.append_value([Some([Some(1), None]), None]);
        nested.append_null();
        nested.append_value([Some([Some(-1), Some(i32::MAX)])]);
        let mut fixed = FixedSizeListBuilder::new(Int32Builder::new(), 2);
        for (value, valid) in [(1, true), (0, false), (i32::MIN, true)] {
            fixed.values().append_slice(&[value, value]);
            fixed.append(valid);
        }
        let mut short = StringDictionaryBuilder::<Int8Type>::new();
        let mut wide = StringDictionaryBuilder::<UInt16Type>::new();
        for text in [Some("b"), None, Some("a")] {
            short.append_option(text);
            wide.append_option(text);
        }
        let wide_number = i256::from_parts(u128::MAX, -5);
        vec![
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
            Arc::new(Int8Array::from(vec![Some(i8::MIN), None, Some(7)])),
            Arc::new(UInt64Array::from(vec![Some(u64::MAX), None, Some(0)])),
            Arc::new(Float16Array::from(vec![Some(f16::INFINITY), None, Some(f16::MIN)])),
            Arc::new(Float32Array::from(vec![Some(f32::NAN), None, Some(0.1)])),
            Arc::new(Date32Array::from(vec![Some(-1), None, Some(20_000)])),
            Arc::new(Date64Array::from(vec![Some(-86_400_000), None, Some(0)])),
            Arc::new(Time64NanosecondArray::from(vec![Some(1), None, Some(86_399_999_999_999)])),
            Arc::new(
                TimestampMicrosecondArray::from(vec![Some(-1), None, Some(1 << 50)])
                    .with_timezone("Europe/Berlin"),
            ),
            Arc::new(
                Decimal128Array::from(vec![Some(-12_345), None, Some(1)])
                    .with_precision_and_scale(20, 3)
                    .unwrap(),
            ),
            Arc::new(
                Decimal256Array::from(vec![Some(wide_number), None, Some(i256::ONE)])
                    .with_precision_and_scale(76, 0)
                    .unwrap(),
            ),
            Arc::new(StringArray::from(vec![Some("ä"), None, Some("")])),
            Arc::new(LargeStringArray::from(vec![Some("ä"), None, Some("")])),
            Arc::new(StringViewArray::from(vec![Some("longer than twelve"), None, Some("")])),
            Arc::new(BinaryArray::from(vec![Some(&b"\xff\0"[..]), None, Some(b"")])),
            Arc::new(LargeBinaryArray::from(vec![Some(&b"\xff\0"[..]), None, Some(b"")])),
            Arc::new(BinaryViewArray::from(vec![Some(&b"\xff\0"[..]), None, Some(b"")])),
            Arc::new(
                FixedSizeBinaryArray::try_from_sparse_iter_with_size(
                    [Some(b"abc"), None, Some(b"\0\xff\0")].into_iter(),
                    3,
                )
                .unwrap(),
            ),
            Arc::new(short.finish()),
            Arc::new(wide.finish()),
            Arc::new(lists.finish()),
            Arc::new(nested.finish()),
            Arc::new(fixed.finish()),
        ]
    }

    #[test]
    fn columns_of_every_type_come_back() {
        for whole in columns() {
            // A slice has its values at an offset.
            for part in [whole.clone(), whole.slice(1, 2)] {
                let kind = CellKind::new(part.data_type()).unwrap();
                let cells: Vec<Kept> =
                    (0..part.len()).map(|row| cell(part.as_ref(), row)).collect();
                let text = serde_json::to_string(&cells).unwrap();
                let cells: Vec<Kept> = serde_json::from_str(&text).unwrap();
                let cells: Vec<_> = cells
                    .iter()
                    .map(|cell| if let Kept::Cell(bytes) = cell { Some(&bytes[..]) } else { None })
                    .collect();
                let made = column(kind.data_type(), &cells).unwrap();
                assert_eq!(made.data_type(), part.data_type());
                match part.data_type() {
                    // NaN is not equal to itself.
                    DataType::Float32 => assert_eq!(format!("{made:?}"), format!("{part:?}")),
                    _ => assert_eq!(&made, &part),
                }
            }
        }
    }

    #[test]
    fn what_is_not_carried() {
        use arrow_schema::{Field, Fields, IntervalUnit};
        let record = DataType::Struct(Fields::from(vec![Field::new("a", DataType::Int8, true)]));
        let list = DataType::List(Arc::new(Field::new("item", record.clone(), true)));
        for kind in [record, list, DataType::Interval(IntervalUnit::DayTime), DataType::Null] {
            assert_eq!(CellKind::new(&kind), None, "{kind}");
        }
        let mut texts = StringDictionaryBuilder::<UInt16Type>::new();
        (0..129).for_each(|i| texts.append_value(format!("{i}")));
        let texts = texts.finish();
        let cells: Vec<_> = (0..129).map(|row| bytes(&texts, row)).collect();
        let cells: Vec<_> = cells.iter().map(Option::as_deref).collect();
        let short = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
        assert!(column(&short, &cells[..128]).is_ok());
        assert!(column(&short, &cells).is_err());
        let bytes = DataType::Dictionary(Box::new(DataType::UInt8), Box::new(DataType::Utf8));
        assert_eq!(column(&bytes, &cells).unwrap().len(), 129);
        assert!(column(&DataType::Int64, &[Some(b"abc")]).is_err());
        assert!(column(&DataType::Utf8, &[Some(b"\xff")]).is_err());
    }
}
