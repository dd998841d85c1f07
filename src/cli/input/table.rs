//! Parquet: the text in one column, others carried along.

use std::fmt::Display;
use std::io::Read;
use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Fields};
use bytes::Bytes;
use everylayer::output::cells::{CellKind, cell};
use everylayer::output::{ColumnKind, Kept};
use everylayer::quote::quote;
use everylayer::{Error, ErrorKind, Result};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, Length};

use super::bad::{Bad, wrong};
use super::guard::guard;
use super::lines::{MOST, TOO_LONG};
use super::pages;
use super::seen::Again;
use super::values::value;
use super::{InputText, Rows};

type Builder = ParquetRecordBatchReaderBuilder<Again>;

fn broken(name: &str, e: impl Display) -> Error {
    let said = format!("{name}: {e}: write it again, or use .jsonl or .csv");
    Error::new(ErrorKind::Text, said)
}

fn open(name: &str, file: Again) -> Result<Builder> {
    pages::footer(&file).map_err(|e| broken(name, e))?;
    let builder = guard(|| Builder::try_new(file));
    builder.map_err(|e| broken(name, e))?.map_err(|e| broken(name, e))
}

/// The column `wanted` of the file `name`: its number and its type.
fn find<'a>(name: &str, fields: &'a Fields, wanted: &str) -> Result<(usize, &'a DataType)> {
    match fields.find(wanted) {
        Some((root, field)) => Ok((root, field.data_type())),
        None => {
            let known: Vec<_> = fields.iter().map(|field| field.name().as_str()).collect();
            let known = quote(known.join(", "));
            Err(wrong(format!(
                "{name}: no column `{wanted}`: it has {known}; name one with --field or --keep"
            )))
        }
    }
}

fn cell_kind(name: &str, column: &str, kind: &DataType) -> Result<CellKind> {
    CellKind::new(kind).ok_or_else(|| {
        let said = format!(
            "{name}: column `{column}` holds {kind}, which --keep does not support: cast it to \
             text, a \
             number or a list",
            kind = quote(kind)
        );
        Error::new(ErrorKind::Unsupported, said)
    })
}

/// The types of the columns `keep` of `file`, for an output that has them too.
///
/// # Errors
/// As [`rows`].
pub fn kinds(name: &str, file: Again, keep: &[String]) -> Result<Vec<ColumnKind>> {
    let builder = open(name, file)?;
    let fields = builder.schema().fields();
    let kind = |column: &String| {
        let (_, kind) = find(name, fields, column)?;
        cell_kind(name, column, kind).map(ColumnKind::Arrow)
    };
    keep.iter().map(kind).collect()
}

/// The rows of `file`, which errors call `name`; where they are `exact`, the columns `keep` are cells.
///
/// # Errors
/// `Text` for a file that is not parquet and for a column that is not there or holds no text,
/// `Unsupported` for a column that cannot be carried along.
pub fn rows(name: &str, file: Again, field: &str, keep: &[String], exact: bool) -> Result<Rows> {
    let name = name.to_owned();
    let broken = |e: &dyn Display| broken(&name, e);
    let again = Arc::new(file.again(0).map_err(|e| broken(&e))?);
    let builder = open(&name, file)?;
    let fields = builder.schema().fields();
    let (root, kind) = find(&name, fields, field)?;
    if !is_text(plain(kind)) {
        let kind = quote(kind);
        let said =
            format!("{name}: column `{field}` holds {kind}, not text: choose another column");
        return Err(wrong(said));
    }
    let mut roots = vec![root];
    for column in keep {
        let (root, kind) = find(&name, fields, column)?;
        cell_kind(&name, column, kind)?;
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
                let items = items(&name, &batch, &field, (&keep, exact), line);
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
            format!("{name}: after row {line}: {said}: write it again, or use .jsonl or .csv");
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
    (keep, exact): (&[String], bool),
    before: u64,
) -> Vec<Result<InputText, Bad>> {
    let of = |column: &str, row, value: fn(&dyn Array, usize) -> Kept| {
        batch.column_by_name(column).map_or(Kept::Null, |column| value(column.as_ref(), row))
    };
    let item = |row: usize| {
        let line = before + row as u64 + 1;
        let off = |said: &str| Err(Bad::row(wrong(format!("{name}: row {line}: {said}")), None));
        match of(field, row, value) {
            Kept::Text(text) if text.len() > MOST => off(TOO_LONG),
            Kept::Text(text) => {
                let value = if exact { cell } else { value };
                let kept = keep.iter().map(|column| of(column, row, value)).collect();
                Ok(InputText { text: text.into(), line, row: 0, kept })
            }
            _ => off(&format!("column `{field}` is null, not a string")),
        }
    };
    (0..batch.num_rows()).map(item).collect()
}
