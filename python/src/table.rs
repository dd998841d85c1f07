//! A result as an Arrow table, by the PyCapsule interface: the table that a Parquet file has.

use arrow_array_of_engine::ffi::to_ffi;
use arrow_array_of_engine::ffi_stream::FFI_ArrowArrayStream;
use arrow_array_of_engine::{Array, RecordBatch, RecordBatchIterator, StructArray};
use everylayer::capture::Precision;
use everylayer::embeddings::{Rows, TextEmbedding, TokenInfo, Values, WordInfo};
use everylayer::{Embeddings, Error, ErrorKind, Result};
use half::f16;
use numpy::{Element, PyArray1, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::errors::{exception, made};
use crate::reply::Reply;

/// The PyCapsules of the schema and of the array of a table.
pub fn array_capsules<'py>(
    py: Python<'py>,
    reply: &Reply,
) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
    let table = StructArray::from(reply.table(py)?);
    let (array, schema) = to_ffi(&table.to_data()).map_err(|e| unfit(py, &e))?;
    let schema = PyCapsule::new_with_value(py, schema, c"arrow_schema")?;
    Ok((schema, PyCapsule::new_with_value(py, array, c"arrow_array")?))
}

/// The PyCapsule of a stream of one array.
pub fn stream_capsule<'py>(py: Python<'py>, reply: &Reply) -> PyResult<Bound<'py, PyCapsule>> {
    let table = reply.table(py)?;
    let schema = table.schema();
    let stream = RecordBatchIterator::new([Ok(table)], schema);
    let stream = FFI_ArrowArrayStream::new(Box::new(stream));
    PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
}

fn unfit(py: Python<'_>, error: &dyn std::fmt::Display) -> PyErr {
    made(py, "other", &format!("the results do not form an Arrow table: {error}"))
}

impl Reply {
    /// A copy of the numbers as the engine's table.
    fn table(&self, py: Python<'_>) -> PyResult<RecordBatch> {
        let all = match self.header.precision {
            Precision::F32 => self.embeddings::<f32>(py, Values::F32),
            Precision::F16 => self.embeddings::<f16>(py, Values::F16),
            Precision::Int8 => self.embeddings::<i8>(py, Values::I8),
            Precision::Ubinary => self.embeddings::<u8>(py, Values::U8),
        }?;
        py.detach(|| everylayer::output::table(&all)).map_err(|error| exception(py, &error))
    }

    /// What the engine gave, its numbers copied out of the array of `T`.
    fn embeddings<T: Element + Copy>(
        &self,
        py: Python<'_>,
        values: fn(Vec<T>) -> Values,
    ) -> PyResult<Embeddings> {
        let numbers = self.vectors.bind(py).cast::<PyArray1<T>>()?.try_readonly()?;
        let long = |array: &Py<PyArray1<i64>>| array.bind(py).to_vec();
        let (offsets, text_tokens, lost) =
            (long(&self.offsets)?, long(&self.text_tokens)?, long(&self.lost)?);
        let (spans, ids, word_ids) = (long(&self.spans)?, long(&self.ids)?, long(&self.word_ids)?);
        let span = |row: usize| [spans[2 * row] as usize, spans[2 * row + 1] as usize];
        let (numbers, labels) = (numbers.as_slice()?, self.labels.as_slice());
        let text = |i: usize| -> Result<TextEmbedding> {
            let (from, to) = (offsets[i] as usize, offsets[i + 1] as usize);
            let block = self.header.layer_axis * self.header.width;
            let part = numbers.get(from * block..to * block).ok_or_else(missing)?;
            let mut text = TextEmbedding::new(i, to - from, values(self.layers_before_rows(part)));
            text.text_tokens = text_tokens[i] as usize;
            text.lost = lost[i] as usize;
            match self.header.rows {
                Rows::Texts => {}
                Rows::Tokens => {
                    let token = |row: usize| {
                        let word = u32::try_from(word_ids[row]).ok();
                        TokenInfo::new(labels[row].as_str(), ids[row] as u32, span(row), word)
                    };
                    text.tokens = (from..to).map(token).collect();
                }
                Rows::Words => {
                    let word = |row: usize| WordInfo::new(labels[row].as_str(), span(row));
                    text.words = (from..to).map(word).collect();
                }
            }
            Ok(text)
        };
        let texts: Result<Vec<_>> = (0..text_tokens.len()).map(text).collect();
        Ok(Embeddings::new(self.header.clone(), texts.map_err(|error| exception(py, &error))?))
    }

    /// The numbers of a text as the engine has them, (layer axis, rows, width).
    fn layers_before_rows<T: Copy>(&self, numbers: &[T]) -> Vec<T> {
        if self.layers_first {
            return numbers.to_vec();
        }
        let (axis, width) = (self.header.layer_axis, self.header.width);
        let rows = |layer: usize| numbers.chunks(width).skip(layer).step_by(axis);
        (0..axis).flat_map(|layer| rows(layer).flatten().copied()).collect()
    }
}

fn missing() -> Error {
    Error::new(ErrorKind::Gpu, "a row of the result is missing; this is a bug: please report it")
}
