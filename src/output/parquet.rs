//! `parquet`: a row a text with `index`, the columns that are carried along, `text_tokens`,
//! `tokens_lost`, and `vectors`, whose last axes are Arrow lists of fixed size.
//!
//! `vectors` is (layers?, width); where rows are tokens or words it is a list of them, beside
//! `tokens` or `words`. Row groups end as they fill, at rows and bytes that follow from the texts
//! alone. The header's words and the [`Extras::metadata`] are the file's metadata.

use std::io::Write;
use std::sync::Arc;

use super::array::metadata;
use super::columns::{arrays, schema, unfit};
use super::{Column, Extras, Kept, Order, Sink};
use crate::capture::precision::Ranges;
use crate::embeddings::{Header, Rows, TextEmbedding};
use crate::error::{Error, Result, fail};
use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::Compression;
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::WriterProperties;
use ::parquet::schema::types::ColumnPath;
use arrow_array::RecordBatch;
use arrow_schema::Schema;

/// Bytes of vectors that end a row group, and texts.
const GROUP: (usize, usize) = (16 << 20, 1 << 16);
/// Bytes of vectors that are handed on at a time, and texts.
const BATCH: (usize, usize) = (2 << 20, 1 << 10);

/// Gathers texts into batches and batches into row groups.
pub struct ParquetWriter<W: Write + Send> {
    writer: ArrowWriter<W>,
    header: Header,
    order: Order,
    columns: Vec<Column>,
    schema: Arc<Schema>,
    texts: Vec<(TextEmbedding, Vec<Kept>)>,
    /// Bytes and texts waiting here, and in the row group with them.
    waiting: (usize, usize),
    group: (usize, usize),
}

impl<W: Write + Send> ParquetWriter<W> {
    /// Begins the file.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) where writing failed.
    pub fn start(out: W, header: Header, extras: &Extras) -> Result<Self> {
        let schema = Arc::new(schema(&header, &extras.columns));
        let metadata = metadata(&header, &extras.metadata).into_iter();
        let ranges = (!extras.ranges.is_empty()).then(|| Ranges::to_json(&extras.ranges));
        let ranges = ranges.map(|ranges| ("int8".to_owned(), ranges.to_string()));
        let metadata =
            metadata.chain(ranges).map(|(key, value)| KeyValue::new(key, value)).collect();
        let mut properties = WriterProperties::builder()
            .set_created_by(concat!("everylayer ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::SNAPPY)
            .set_key_value_metadata(Some(metadata));
        // Numbers that look random: neither a dictionary nor a compressor finds anything in them.
        let ragged = header.rows != Rows::Texts;
        for depth in 1..=1 + usize::from(header.layer_axis != 1) + usize::from(ragged) {
            let mut path = vec!["vectors".to_owned()];
            (0..depth).for_each(|_| path.extend(["list".to_owned(), "element".to_owned()]));
            let path = ColumnPath::new(path);
            properties = properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_compression(path, Compression::UNCOMPRESSED);
        }
        let writer = ArrowWriter::try_new(out, Arc::clone(&schema), Some(properties.build()));
        Ok(Self {
            writer: writer.map_err(broken)?,
            header,
            order: Order::new(extras),
            columns: extras.columns.clone(),
            schema,
            texts: Vec::new(),
            waiting: (0, 0),
            group: (0, 0),
        })
    }

    fn write(&mut self) -> Result<()> {
        let texts = std::mem::take(&mut self.texts);
        self.waiting = (0, 0);
        let columns = arrays(&self.header, &self.columns, &self.schema, &texts)?;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(unfit)?;
        self.writer.write(&batch).map_err(broken)
    }
}

impl<W: Write + Send> Sink<W> for ParquetWriter<W> {
    fn push(&mut self, text: TextEmbedding) -> Result<()> {
        self.push_kept(text, Vec::new())
    }

    fn push_kept(&mut self, text: TextEmbedding, kept: Vec<Kept>) -> Result<()> {
        self.order.check(&self.header, &text)?;
        let bytes = text.values.len() * self.header.precision.bytes();
        for count in [&mut self.waiting, &mut self.group] {
            count.0 += bytes;
            count.1 += 1;
        }
        self.texts.push((text, kept));
        let full =
            |count: (usize, usize), most: (usize, usize)| count.0 >= most.0 || count.1 >= most.1;
        let ends = full(self.group, GROUP);
        if ends || full(self.waiting, BATCH) {
            self.write()?;
        }
        if ends {
            self.group = (0, 0);
            self.writer.flush().map_err(broken)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<W> {
        if !self.texts.is_empty() {
            self.write()?;
        }
        let mut out = self.writer.into_inner().map_err(broken)?;
        out.flush().map_err(super::broken)?;
        Ok(out)
    }
}

/// A failure of the file below.
fn broken(source: ParquetError) -> Error {
    fail!(Io, "the results could not be written: {source}").with_source(source)
}
