//! Parquet: the text in one column, others carried along.

use std::io::Read;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use bytes::Bytes;
use everylayer::output::Kept;
use everylayer::{Error, ErrorKind, Result};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, Length};

use super::bad::{Bad, wrong};
use super::guard::guard;
use super::pages;
use super::seen::Again;
use super::{Item, Rows};

/// The rows of `file`, which errors call `name`.
///
/// # Errors
/// `Text` for a file that is not parquet and for a column that is not there or holds no text,
/// `Unsupported` for a column that cannot be carried along.
pub fn rows(name: &str, file: Again, field: &str, keep: &[String]) -> Result<Rows> {
    let name = name.to_owned();
    let broken = |e: &dyn std::fmt::Display| {
        let said = format!("{name}: {e}: write it anew, or use .jsonl or .csv");
        Error::new(ErrorKind::Text, said)
    };
    pages::footer(&file).map_err(|e| broken(&e))?;
    let again = Arc::new(file.again(0).map_err(|e| broken(&e))?);
    let builder = guard(|| ParquetRecordBatchReaderBuilder::try_new(file));
    let builder = builder.map_err(|e| broken(&e))?.map_err(|e| broken(&e))?;
    let fields = builder.schema().fields();
    let known = fields.iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ");
    let mut roots = Vec::new();
    for wanted in std::iter::once(field).chain(keep.iter().map(String::as_str)) {
        let Some((root, column)) = fields.find(wanted) else {
            let said = format!(
                "{name}: no column `{wanted}`: it has {known}; name one with --field or --keep"
            );
            return Err(wrong(said));
        };
        let kind = plain(column.data_type());
        if roots.is_empty() && !is_text(kind) {
            let said = format!("{name}: column `{wanted}` holds {kind}, not text: name another");
            return Err(wrong(said));
        }
        if !is_text(kind) && *kind != DataType::Boolean && !kind.is_numeric()
            || matches!(kind, DataType::Decimal128(..) | DataType::Decimal256(..))
            || matches!(kind, DataType::Decimal32(..) | DataType::Decimal64(..))
        {
            let said = format!(
                "{name}: column `{wanted}` holds {kind}, which is not carried along: cast it to \
                 text or a number"
            );
            return Err(Error::new(ErrorKind::Unsupported, said));
        }
        roots.push(root);
    }
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let metadata = Arc::clone(builder.metadata());
    let largest = guard(|| largest(&again, &metadata, &mask)).and_then(|largest| largest);
    let largest = largest.map_err(|e| broken(&e))?;
    let total = metadata.file_metadata().num_rows();
    let reader = builder.with_projection(mask).with_batch_size(pages::batch(largest));
    let reader = guard(|| reader.build()).map_err(|e| broken(&e))?;
    let mut reader = reader.map_err(|e| broken(&e))?;
    let (field, keep) = (field.to_owned(), keep.to_vec());
    let mut line = 0;
    let mut failed = false;
    let mut next = move || guard(|| reader.next().transpose());
    let batches = std::iter::from_fn(move || {
        if failed {
            return None;
        }
        let said = match next() {
            Ok(Ok(Some(batch))) => {
                let items = items(&name, &batch, &field, &keep, line);
                line += batch.num_rows() as u64;
                return Some(items);
            }
            Ok(Ok(None)) if i64::try_from(line) == Ok(total) => return None,
            Ok(Ok(None)) => format!("its metadata says that there are {total} rows"),
            Ok(Err(e)) => e.to_string(),
            Err(panic) => format!("it is damaged ({panic})"),
        };
        failed = true;
        let said =
            format!("{name}: after row {line}: {said}: write it anew, or use .jsonl or .csv");
        Some(vec![Err(Bad::from(Error::new(ErrorKind::Text, said)))])
    });
    Ok(Box::new(batches.flatten()))
}

/// Looks over the columns in `mask`; the bytes of the largest page.
fn largest(
    file: &Arc<Again>,
    metadata: &ParquetMetaData,
    mask: &ProjectionMask,
) -> Result<u64, String> {
    let mut largest = 0;
    for group in metadata.row_groups() {
        for (i, chunk) in group.columns().iter().enumerate() {
            if mask.leaf_included(i) {
                largest = largest.max(pages::chunk(file, chunk, group.num_rows())?);
            }
        }
    }
    Ok(largest)
}

impl Length for Again {
    fn len(&self) -> u64 {
        self.size()
    }
}

impl ChunkReader for Again {
    type T = Self;

    fn get_read(&self, start: u64) -> ParquetResult<Self> {
        Ok(self.again(start)?)
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        // Held against the file before memory is taken: a damaged file asks for any length.
        if start.checked_add(length as u64).is_none_or(|end| end > self.size()) {
            return Err(ParquetError::EOF(format!(
                "{length} bytes at {start} of a file of {}",
                self.size()
            )));
        }
        let mut bytes = vec![0; length];
        self.again(start)?.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// What the values of a dictionary are.
fn plain(kind: &DataType) -> &DataType {
    match kind {
        DataType::Dictionary(_, values) => values,
        other => other,
    }
}

fn is_text(kind: &DataType) -> bool {
    matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn items(
    name: &str,
    batch: &RecordBatch,
    field: &str,
    keep: &[String],
    before: u64,
) -> Vec<Result<Item, Bad>> {
    let value = |column: &str, row| {
        batch.column_by_name(column).map_or(Kept::Null, |column| value(column.as_ref(), row))
    };
    let item = |row: usize| {
        let line = before + row as u64 + 1;
        match value(field, row) {
            Kept::Text(text) => {
                let kept = keep.iter().map(|column| value(column, row)).collect();
                Ok(Item { text: text.into(), line, row: 0, kept })
            }
            _ => {
                let said = format!("{name}: row {line}: column `{field}` is null, not a string");
                Err(Bad::row(wrong(said), None))
            }
        }
    };
    (0..batch.num_rows()).map(item).collect()
}

fn value(column: &dyn Array, row: usize) -> Kept {
    if column.is_null(row) {
        return Kept::Null;
    }
    macro_rules! number {
        ($kind:ty, $kept:path) => {
            $kept(column.as_primitive::<$kind>().value(row).into())
        };
    }
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
        DataType::Dictionary(..) => {
            let dictionary = column.as_any_dictionary();
            match dictionary.normalized_keys().get(row) {
                Some(&key) => value(dictionary.values().as_ref(), key),
                None => Kept::Null,
            }
        }
        _ => Kept::Null,
    }
}
