//! `json`: one object, a result a line, the totals before the results.
//!
//! The shape of `vectors` depends on the request alone: a layer axis of one is dropped, the row
//! axis is there for tokens and words and not for poolings of a text.

use std::io::Write;

use serde::ser::{Serialize, SerializeSeq, Serializer};

use super::kept::KeptFields;
use super::spill::Spill;
use super::{Extras, Kept, Order, Sink, broken};
use crate::capture::precision::Ranges;
use crate::embeddings::{
    Embeddings, Header, Rows, SiteFields, Slice, TextEmbedding, TokenInfo, Values, WordInfo,
};
use crate::error::{Result, fail};

/// Holds the results until it is finished, since how many were cut stands before them.
pub struct JsonWriter<W> {
    out: W,
    header: Header,
    order: Order,
    columns: Vec<String>,
    /// What restores int8.
    int8: Option<serde_json::Value>,
    /// Result objects, each after a newline and parted by commas.
    results: Spill,
    truncated: usize,
    tokens_lost: usize,
}

impl<W: Write> JsonWriter<W> {
    /// Begins; nothing is written before the end.
    pub fn start(out: W, header: Header, extras: &Extras) -> Self {
        let (order, columns) = (Order::new(extras), extras.names());
        let results = Spill::new(extras.scratch.clone());
        let int8 = (!extras.ranges.is_empty()).then(|| Ranges::to_json(&extras.ranges));
        Self { out, header, order, columns, int8, results, truncated: 0, tokens_lost: 0 }
    }
}

impl<W: Write> Sink<W> for JsonWriter<W> {
    fn push(&mut self, text: TextEmbedding) -> Result<()> {
        self.push_kept(text, Vec::new())
    }

    fn push_kept(&mut self, text: TextEmbedding, kept: Vec<Kept>) -> Result<()> {
        self.order.check(&self.header, &text)?;
        finite(&text)?;
        let first = self.results.len() == 0;
        self.results.push(if first { b"\n" } else { b",\n" }).map_err(broken)?;
        let line = result(&self.header, &text, &self.columns, &kept)?;
        self.results.push(&line).map_err(broken)?;
        self.truncated += usize::from(text.lost > 0);
        self.tokens_lost += text.lost;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<W> {
        let none = self.results.len() == 0;
        let head = head(&self.header, self.int8.as_ref(), self.truncated, self.tokens_lost)?;
        self.out.write_all(&head).map_err(broken)?;
        let Self { mut out, results, .. } = *self;
        results.drain(|piece| out.write_all(piece)).map_err(broken)?;
        out.write_all(if none { b"]}\n" } else { b"\n]}\n" }).map_err(broken)?;
        out.flush().map_err(broken)?;
        Ok(out)
    }
}

/// The object as a string, with its newline.
///
/// # Errors
/// [`ErrorKind::NotFinite`](crate::ErrorKind::NotFinite) for NaN or infinity, which JSON has not.
pub fn to_string(embeddings: &Embeddings) -> Result<String> {
    let extras = Extras { ranges: embeddings.int8.clone(), ..Extras::default() };
    let mut writer = Box::new(JsonWriter::start(Vec::new(), embeddings.header().clone(), &extras));
    embeddings.texts.iter().try_for_each(|text| writer.push(text.clone()))?;
    let out = writer.finish()?;
    String::from_utf8(out)
        .map_err(|error| fail!(Text, "the results are not UTF-8").with_source(error))
}

/// Holds that JSON can say every number.
///
/// # Errors
/// [`ErrorKind::NotFinite`](crate::ErrorKind::NotFinite) for NaN or infinity.
#[cfg(feature = "server")]
pub(crate) fn check(embeddings: &Embeddings) -> Result<()> {
    embeddings.texts.iter().try_for_each(finite)
}

/// Writes the object of [`to_string`] but for its opening brace, without a copy of the results; they
/// were held by [`check`].
///
/// # Errors
/// `Io`, where nothing more can be written.
#[cfg(feature = "server")]
pub(crate) fn write_fields(embeddings: &Embeddings, out: &mut dyn Write) -> Result<()> {
    let header = embeddings.header();
    let int8 = (!embeddings.int8.is_empty()).then(|| Ranges::to_json(&embeddings.int8));
    let truncated = embeddings.texts.iter().filter(|text| text.lost > 0).count();
    let lost = embeddings.texts.iter().map(|text| text.lost).sum();
    let head = head(header, int8.as_ref(), truncated, lost)?;
    out.write_all(&head[1..]).map_err(broken)?;
    for (i, text) in embeddings.texts.iter().enumerate() {
        out.write_all(if i == 0 { b"\n" } else { b",\n" }).map_err(broken)?;
        write_result(&mut *out, header, text, &[], &[])?;
    }
    out.write_all(if embeddings.texts.is_empty() { b"]}\n" } else { b"\n]}\n" }).map_err(broken)
}

/// The fields before `results`, in their order.
#[derive(serde::Serialize)]
struct Opening<'a> {
    model: &'a str,
    device: &'a str,
    dtype: &'a str,
    layers: &'a [usize],
    combine: String,
    pool: String,
    #[serde(flatten)]
    site: SiteFields,
    width: usize,
    truncated: usize,
    tokens_lost: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    int8: Option<&'a serde_json::Value>,
}

/// The object up to its first result.
fn head(
    header: &Header,
    int8: Option<&serde_json::Value>,
    truncated: usize,
    tokens_lost: usize,
) -> Result<Vec<u8>> {
    let mut head = encode(&Opening {
        model: &header.model,
        device: &header.device,
        dtype: &header.dtype,
        layers: &header.layers,
        combine: header.combine.to_string(),
        pool: header.pool.to_string(),
        site: header.site_fields(),
        width: header.width,
        truncated,
        tokens_lost,
        int8,
    })?;
    head.pop(); // The closing brace comes after the results.
    head.extend_from_slice(b",\"results\":[");
    Ok(head)
}

/// One result object, without a newline; what was `kept` of the input comes after `index`.
pub(super) fn result(
    header: &Header,
    text: &TextEmbedding,
    columns: &[String],
    kept: &[Kept],
) -> Result<Vec<u8>> {
    let mut line = Vec::new();
    write_result(&mut line, header, text, columns, kept)?;
    Ok(line)
}

fn write_result(
    out: impl Write,
    header: &Header,
    text: &TextEmbedding,
    columns: &[String],
    kept: &[Kept],
) -> Result<()> {
    #[derive(serde::Serialize)]
    struct One<'a> {
        index: usize,
        #[serde(flatten)]
        kept: KeptFields<'a>,
        text_tokens: usize,
        /// Only where tokens were cut off: a stream has no totals that could say it.
        #[serde(skip_serializing_if = "Option::is_none")]
        tokens_lost: Option<usize>,
        vectors: Vectors<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        tokens: Option<&'a [TokenInfo]>,
        #[serde(skip_serializing_if = "Option::is_none")]
        words: Option<&'a [WordInfo]>,
    }
    let one = One {
        index: text.index,
        kept: KeptFields::new(columns, kept, text.index)?,
        text_tokens: text.text_tokens,
        tokens_lost: (text.lost > 0).then_some(text.lost),
        vectors: Vectors { header, text },
        tokens: (header.rows == Rows::Tokens).then_some(&text.tokens),
        words: (header.rows == Rows::Words).then_some(&text.words),
    };
    serde_json::to_writer(out, &one).map_err(|error| {
        fail!(Text, "the results cannot be written as JSON: {error}").with_source(error)
    })
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| {
        fail!(Text, "the results cannot be written as JSON: {error}").with_source(error)
    })
}

/// NaN and infinity would become `null` without a word.
pub(super) fn finite(text: &TextEmbedding) -> Result<()> {
    let all = match &text.values {
        Values::F32(values) => values.iter().all(|x| x.is_finite()),
        Values::F16(values) => values.iter().all(|x| x.is_finite()),
        Values::I8(_) | Values::U8(_) => true,
    };
    if all {
        return Ok(());
    }
    Err(fail!(
        NotFinite,
        "text {}: its vectors hold NaN or infinity, which JSON cannot represent; npy, npz and \
         safetensors can",
        text.index
    ))
}

/// \[layer\]\[row\]\[width\], with the axes that the request has.
struct Vectors<'a> {
    header: &'a Header,
    text: &'a TextEmbedding,
}

/// \[row\]\[width\]
struct Layer<'a>(&'a Vectors<'a>, usize);

/// \[width\]
struct VectorJson<'a>(Slice<'a>);

impl Serialize for Vectors<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.header.layer_axis {
            1 => Layer(self, 0).serialize(serializer),
            layers => serializer.collect_seq((0..layers).map(|layer| Layer(self, layer))),
        }
    }
}

impl Serialize for Layer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(Vectors { header, text }, layer) = *self;
        let row = |row| {
            let missing = || {
                let said = format!("text {}: row {row} of the result is missing", text.index);
                serde::ser::Error::custom(said)
            };
            text.row(layer, row, header.width).map(VectorJson).ok_or_else(missing)
        };
        match header.rows {
            Rows::Texts => row(0)?.serialize(serializer),
            Rows::Tokens | Rows::Words => {
                let mut list = serializer.serialize_seq(Some(text.rows))?;
                for number in 0..text.rows {
                    list.serialize_element(&row(number)?)?;
                }
                list.end()
            }
        }
    }
}

impl Serialize for VectorJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Slice::F32(row) => serializer.collect_seq(row),
            Slice::F16(row) => serializer.collect_seq(row.iter().map(|x| x.to_f32())),
            Slice::I8(row) => serializer.collect_seq(row),
            Slice::U8(row) => serializer.collect_seq(row),
        }
    }
}

#[cfg(test)]
mod tests;
