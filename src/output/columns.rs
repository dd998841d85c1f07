//! The table of results: a row a text, as Arrow holds it. What it is written into is the matter of
//! [`parquet`](super::parquet) and [`arrow`](super::arrow).

use std::sync::Arc;

use super::{Column, ColumnKind, Kept};
use crate::capture::Precision;
use crate::embeddings::{
    Embeddings, Header, Rows, Slice, TextEmbedding, TokenInfo, Values, WordInfo,
};
use crate::error::{Error, ErrorKind, Result, fail};
use arrow_array::{
    ArrayRef, BooleanArray, FixedSizeListArray, Float16Array, Float32Array, Float64Array,
    Int8Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray, UInt8Array,
    UInt64Array,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema};

/// A field of a list, as the parquet specification calls it.
fn element(of: DataType) -> Arc<Field> {
    Arc::new(Field::new("element", of, false))
}

fn number(precision: Precision) -> DataType {
    match precision {
        Precision::F32 => DataType::Float32,
        Precision::F16 => DataType::Float16,
        Precision::Int8 => DataType::Int8,
        Precision::Ubinary => DataType::UInt8,
    }
}

/// The table of `result`, as a Parquet file has it: a row a text with `index`, `text_tokens`,
/// `tokens_lost`, `vectors`, and `tokens` or `words` where those are its rows.
///
/// # Errors
///
/// `Io` where a row is missing.
pub fn table(result: &Embeddings) -> Result<RecordBatch> {
    let header = result.header();
    let schema = schema(header, &[]);
    let texts: Vec<_> = result.texts.iter().map(|text| (text.clone(), Vec::new())).collect();
    let arrays = arrays(header, &[], &schema, &texts)?;
    RecordBatch::try_new(Arc::new(schema), arrays).map_err(unfit)
}

/// The columns of a table.
pub fn schema(header: &Header, columns: &[Column]) -> Schema {
    let mut fields = vec![Field::new("index", DataType::Int64, false)];
    for Column { name, kind } in columns {
        let kind = match kind {
            ColumnKind::Bool => DataType::Boolean,
            ColumnKind::Int => DataType::Int64,
            ColumnKind::UInt => DataType::UInt64,
            ColumnKind::Float => DataType::Float64,
            ColumnKind::Text => DataType::Utf8,
            ColumnKind::Arrow(kind) => kind.data_type().clone(),
        };
        fields.push(Field::new(name, kind, true));
    }
    fields.push(Field::new("text_tokens", DataType::Int64, false));
    fields.push(Field::new("tokens_lost", DataType::Int64, false));
    let fixed = |of, size: usize| DataType::FixedSizeList(element(of), size as i32);
    let mut vectors = fixed(number(header.precision), header.width);
    if header.layer_axis != 1 {
        vectors = fixed(vectors, header.layer_axis);
    }
    if header.rows != Rows::Texts {
        vectors = DataType::List(element(vectors));
    }
    fields.push(Field::new("vectors", vectors, false));
    let list = |fields| DataType::List(element(DataType::Struct(fields)));
    match header.rows {
        Rows::Texts => {}
        Rows::Tokens => fields.push(Field::new("tokens", list(token_fields()), false)),
        Rows::Words => fields.push(Field::new("words", list(word_fields()), false)),
    }
    Schema::new(fields)
}

fn token_fields() -> Fields {
    Fields::from(vec![
        Field::new("text", DataType::Utf8, false),
        Field::new("id", DataType::Int64, false),
        Field::new("start", DataType::Int64, false),
        Field::new("end", DataType::Int64, false),
        Field::new("word", DataType::Int64, true),
    ])
}

fn word_fields() -> Fields {
    Fields::from(vec![
        Field::new("text", DataType::Utf8, false),
        Field::new("start", DataType::Int64, false),
        Field::new("end", DataType::Int64, false),
    ])
}

/// Texts with a value for each column that is carried along.
pub type TextRows = [(TextEmbedding, Vec<Kept>)];

/// The columns themselves; `schema` is what [`schema`] gave.
pub fn arrays(
    header: &Header,
    columns: &[Column],
    schema: &Schema,
    texts: &TextRows,
) -> Result<Vec<ArrayRef>> {
    let longs = |of: fn(&TextEmbedding) -> usize| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(texts.iter().map(|(text, _)| of(text) as i64)))
    };
    let mut all = vec![longs(|text| text.index)];
    for (i, column) in columns.iter().enumerate() {
        all.push(kept(column, texts.iter().map(|(_, kept)| kept.get(i)))?);
    }
    all.extend([longs(|text| text.text_tokens), longs(|text| text.lost)]);
    all.push(vectors(header, texts, schema.field_with_name("vectors").map_err(unfit)?)?);
    match header.rows {
        Rows::Texts => {}
        Rows::Tokens => all.push(tokens(texts.iter().map(|(text, _)| &text.tokens[..]))?),
        Rows::Words => all.push(words(texts.iter().map(|(text, _)| &text.words[..]))?),
    }
    Ok(all)
}

fn kept<'a>(column: &Column, values: impl Iterator<Item = Option<&'a Kept>>) -> Result<ArrayRef> {
    Ok(match &column.kind {
        ColumnKind::Bool => Arc::new(values.map(|v| v?.as_bool()).collect::<BooleanArray>()),
        ColumnKind::Int => Arc::new(values.map(|v| v?.as_int()).collect::<Int64Array>()),
        ColumnKind::UInt => Arc::new(values.map(|v| v?.as_uint()).collect::<UInt64Array>()),
        ColumnKind::Float => Arc::new(values.map(|v| v?.as_float()).collect::<Float64Array>()),
        ColumnKind::Text => {
            Arc::new(values.map(|v| v.cloned()?.into_text()).collect::<StringArray>())
        }
        ColumnKind::Arrow(kind) => {
            let cells: Vec<_> = values.map(|v| v?.as_cell()).collect();
            let array = super::cells::column(kind.data_type(), &cells);
            array.map_err(|e| e.at(format_args!("column `{}`", column.name)))?
        }
    })
}

/// Numbers in the order (text, row, layer, width), in the lists of `field`.
fn vectors(header: &Header, texts: &TextRows, field: &Field) -> Result<ArrayRef> {
    let (mut f32s, mut f16s, mut i8s, mut u8s) = (vec![], vec![], vec![], vec![]);
    for (text, _) in texts {
        match &text.values {
            // One row: the layers lie as they are wanted.
            Values::F32(values) if text.rows == 1 => f32s.extend_from_slice(values),
            _ => {
                let places = (0..text.rows)
                    .flat_map(|row| (0..header.layer_axis).map(move |layer| (layer, row)));
                for (layer, row) in places {
                    let slice = text.row(layer, row, header.width).ok_or_else(|| {
                        fail!(Io, "text {}: row {row} of the result is missing", text.index)
                    })?;
                    match slice {
                        Slice::F32(row) => f32s.extend_from_slice(row),
                        Slice::F16(row) => f16s.extend_from_slice(row),
                        Slice::I8(row) => i8s.extend_from_slice(row),
                        Slice::U8(row) => u8s.extend_from_slice(row),
                    }
                }
            }
        }
    }
    let numbers: ArrayRef = match header.precision {
        Precision::F32 => Arc::new(Float32Array::from(f32s)),
        Precision::F16 => Arc::new(Float16Array::from(f16s)),
        Precision::Int8 => Arc::new(Int8Array::from(i8s)),
        Precision::Ubinary => Arc::new(UInt8Array::from(u8s)),
    };
    nested(field.data_type(), numbers, texts)
}

/// `numbers` in the lists of `kind`, innermost first.
fn nested(kind: &DataType, numbers: ArrayRef, texts: &TextRows) -> Result<ArrayRef> {
    Ok(match kind {
        DataType::List(inner) => {
            let values = nested(inner.data_type(), numbers, texts)?;
            let offsets = OffsetBuffer::from_lengths(texts.iter().map(|(text, _)| text.rows));
            Arc::new(ListArray::try_new(Arc::clone(inner), offsets, values, None).map_err(unfit)?)
        }
        DataType::FixedSizeList(inner, size) => {
            let values = nested(inner.data_type(), numbers, texts)?;
            let list = FixedSizeListArray::try_new(Arc::clone(inner), *size, values, None);
            Arc::new(list.map_err(unfit)?)
        }
        _ => numbers,
    })
}

/// The tokens of each text.
pub fn tokens<'a>(texts: impl Iterator<Item = &'a [TokenInfo]> + Clone) -> Result<ArrayRef> {
    let all = || texts.clone().flatten();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(all().map(|token| &token.text))),
        Arc::new(Int64Array::from_iter_values(all().map(|token| token.id.into()))),
        Arc::new(Int64Array::from_iter_values(all().map(|token| token.start as i64))),
        Arc::new(Int64Array::from_iter_values(all().map(|token| token.end as i64))),
        Arc::new(all().map(|token| token.word.map(i64::from)).collect::<Int64Array>()),
    ];
    structs(token_fields(), columns, texts.map(<[TokenInfo]>::len))
}

/// The words of each text.
pub fn words<'a>(texts: impl Iterator<Item = &'a [WordInfo]> + Clone) -> Result<ArrayRef> {
    let all = || texts.clone().flatten();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(all().map(|word| &word.text))),
        Arc::new(Int64Array::from_iter_values(all().map(|word| word.start as i64))),
        Arc::new(Int64Array::from_iter_values(all().map(|word| word.end as i64))),
    ];
    structs(word_fields(), columns, texts.map(<[WordInfo]>::len))
}

fn structs(
    fields: Fields,
    columns: Vec<ArrayRef>,
    lengths: impl Iterator<Item = usize>,
) -> Result<ArrayRef> {
    let values = StructArray::try_new(fields.clone(), columns, None).map_err(unfit)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    let list =
        ListArray::try_new(element(DataType::Struct(fields)), offsets, Arc::new(values), None);
    Ok(Arc::new(list.map_err(unfit)?))
}

/// Columns that do not make a table.
pub fn unfit(source: ArrowError) -> Error {
    Error::new(ErrorKind::Usage, format!("the results do not form a table: {source}"))
        .with_source(source)
}
