//! What comes back: numbers with their shape, and what each row stands for.
//!
//! One [`TextEmbedding`] a text, (layer axis, rows, width), in the caller's order. Nothing here
//! computes a vector; writing them down is in [`output`](crate::output).

#[cfg(feature = "ndarray")]
mod arrays;
mod attention;
mod values;

use std::ops::Deref;

use crate::capture::precision::{Ranges, to_f16, ubinary};
use crate::capture::{Combine, Pool, Precision, Site};
use crate::error::{Error, Result, fail};

pub use attention::{Attention, AttentionHeader, TextAttention};
pub use values::{Slice, Values};

/// What a row of the result stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rows {
    /// A text; each has exactly one row.
    Texts,
    /// A token of a text, special tokens included.
    Tokens,
    /// A word of a text.
    Words,
}

impl From<Pool> for Rows {
    fn from(pool: Pool) -> Self {
        match pool {
            Pool::Tokens => Self::Tokens,
            Pool::Words(_) => Self::Words,
            _ => Self::Texts,
        }
    }
}

/// A token of a text: the row of the same number.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct TokenInfo {
    /// As the vocabulary writes it.
    pub text: String,
    /// In the vocabulary.
    pub id: u32,
    /// First character of the input text, counted in Unicode scalar values; 0 for special tokens.
    pub start: usize,
    /// One past the last character; 0 for special tokens.
    pub end: usize,
    /// Which word it belongs to; `None` for special tokens.
    pub word: Option<u32>,
}

/// A word of a text: the row of the same number.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct WordInfo {
    /// As it stands in the input text.
    pub text: String,
    /// First character of the input text, counted in Unicode scalar values.
    pub start: usize,
    /// One past the last character.
    pub end: usize,
}

impl TokenInfo {
    /// A token whose characters are those of `span`, the last excluded.
    pub fn new(text: impl Into<String>, id: u32, span: [usize; 2], word: Option<u32>) -> Self {
        let [start, end] = span;
        Self { text: text.into(), id, start, end, word }
    }
}

impl WordInfo {
    /// A word whose characters are those of `span`, the last excluded.
    pub fn new(text: impl Into<String>, span: [usize; 2]) -> Self {
        let [start, end] = span;
        Self { text: text.into(), start, end }
    }
}

/// What came of one text.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TextEmbedding {
    /// Which text of the call, from 0.
    pub index: usize,
    /// Tokens that went through the model, special ones included.
    pub text_tokens: usize,
    /// Tokens that were cut off because the text was too long.
    pub lost: usize,
    /// 1 for poolings of a text, else its tokens or words.
    pub rows: usize,
    /// (layer axis, `rows`, width)
    pub values: Values,
    /// One a row where rows are tokens, else none.
    pub tokens: Vec<TokenInfo>,
    /// One a row where rows are words, else none.
    pub words: Vec<WordInfo>,
}

/// What all texts of a call have in common; enough to begin writing before the first is done.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Header {
    /// The model, as a person would name it.
    pub model: String,
    /// Where it ran.
    pub device: String,
    /// What it computed in: `f32`, `f16`.
    pub dtype: String,
    /// Where in a block.
    pub site: Site,
    /// Heads of a row and numbers of a head, where the site has heads.
    pub heads: Option<[usize; 2]>,
    /// Whether the last state is that behind the final norm, where the model has one.
    pub final_norm: bool,
    /// The chosen layers, in the caller's order.
    pub layers: Vec<usize>,
    /// How they were combined.
    pub combine: Combine,
    /// How tokens became rows.
    pub pool: Pool,
    /// What a row stands for.
    pub rows: Rows,
    /// Layers kept apart; 1 where they were combined.
    pub layer_axis: usize,
    /// Stored numbers of a row: with [`Precision::Ubinary`], bytes.
    pub width: usize,
    /// The type of the numbers.
    pub precision: Precision,
}

/// The result of a call: the texts, and what they have in common; the fields of its [`Header`] are read
/// as its own (`result.width`).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Embeddings {
    header: Header,
    /// In the caller's order.
    pub texts: Vec<TextEmbedding>,
    /// With [`Precision::Int8`], what restores the numbers, for each row of the layer axis; else
    /// empty.
    pub int8: Vec<Ranges>,
    /// Texts whose numbers f16 did not hold.
    pub rerun: Option<Rerun>,
}

/// Texts whose numbers overflowed f16, and which were run again in f32.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rerun {
    /// The lowest state that was not finite in f16.
    pub state: usize,
    /// The numbers of the texts in the call, from 0, in order.
    pub texts: Vec<usize>,
}

/// Where in a block numbers were taken, as outputs say it.
#[derive(serde::Serialize)]
pub(crate) struct SiteFields {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heads: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub final_norm: Option<bool>,
}

impl SiteFields {
    /// As names and words, of those that are said.
    pub fn words(self) -> impl Iterator<Item = (&'static str, String)> {
        let fields = [
            ("site", self.site.map(str::to_owned)),
            ("heads", self.heads.map(|n| n.to_string())),
            ("head_dim", self.head_dim.map(|n| n.to_string())),
            ("final_norm", self.final_norm.map(|on| on.to_string())),
        ];
        fields.into_iter().filter_map(|(name, word)| word.map(|word| (name, word)))
    }
}

impl Header {
    /// What results in f32 of `model` have in common, `width` being that of a row; where they ran is
    /// left empty.
    pub fn new(
        model: impl Into<String>,
        layers: Vec<usize>,
        combine: Combine,
        pool: Pool,
        width: usize,
    ) -> Self {
        Self {
            model: model.into(),
            device: String::new(),
            dtype: "f32".to_owned(),
            site: Site::Hidden,
            heads: None,
            final_norm: true,
            layer_axis: combine.layer_axis(layers.len()),
            layers,
            combine,
            pool,
            rows: pool.into(),
            width,
            precision: Precision::F32,
        }
    }

    /// What is said of where the numbers were taken: nothing of hidden states as they are.
    pub(crate) fn site_fields(&self) -> SiteFields {
        SiteFields {
            site: (self.site != Site::Hidden).then(|| self.site.name()),
            heads: self.heads.map(|[heads, _]| heads),
            head_dim: self.heads.map(|[_, head_dim]| head_dim),
            final_norm: (!self.final_norm).then_some(false),
        }
    }

    /// The same of f32 numbers that are stored as `precision`.
    #[must_use]
    pub fn stored(&self, precision: Precision) -> Self {
        Self { width: precision.stored(self.width), precision, ..self.clone() }
    }
}

impl Rerun {
    /// The `texts`, the lowest state that was not finite in any being `state`.
    pub fn new(state: usize, texts: Vec<usize>) -> Self {
        Self { state, texts }
    }
}

impl Deref for Embeddings {
    type Target = Header;

    fn deref(&self) -> &Header {
        &self.header
    }
}

impl Embeddings {
    /// The result made of `header` and `texts`.
    pub fn new(header: Header, texts: Vec<TextEmbedding>) -> Self {
        Self { header, texts, int8: Vec::new(), rerun: None }
    }

    /// What the texts have in common.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The `width` numbers of one row: of the text `text`, on row `layer` of the layer axis, row
    /// `row` of the text. `None` beyond any of them, or where the numbers are not
    /// [`Precision::F32`]; [`Embeddings::slice`] reads those.
    pub fn vector(&self, text: usize, layer: usize, row: usize) -> Option<&[f32]> {
        match self.slice(text, layer, row)? {
            Slice::F32(numbers) => Some(numbers),
            _ => None,
        }
    }

    /// Row `row` of text `text` in f32, of the first of the layer axis.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Gpu`](crate::ErrorKind::Gpu) where it is missing.
    #[cfg(feature = "server")]
    pub(crate) fn row(&self, text: usize, row: usize) -> Result<&[f32]> {
        self.vector(text, 0, row).ok_or_else(|| missing(text))
    }

    /// The one vector in f32 of each text.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Gpu`](crate::ErrorKind::Gpu) where one is missing.
    #[cfg(feature = "server")]
    pub(crate) fn vectors(&self) -> Result<Vec<&[f32]>> {
        (0..self.texts.len()).map(|text| self.row(text, 0)).collect()
    }

    /// As [`Embeddings::vector`], of any precision.
    pub fn slice(&self, text: usize, layer: usize, row: usize) -> Option<Slice<'_>> {
        self.texts.get(text)?.row(layer, row, self.width)
    }

    /// Every number as f32, texts after one another, each (layer axis, rows, width).
    pub fn to_vec(&self) -> Vec<f32> {
        self.texts.iter().flat_map(|text| text.values.to_f32()).collect()
    }

    /// How many texts were cut.
    pub fn truncated(&self) -> usize {
        self.texts.iter().filter(|text| text.lost > 0).count()
    }

    /// How many tokens were cut off, of all texts.
    pub fn lost(&self) -> usize {
        self.texts.iter().map(|text| text.lost).sum()
    }

    /// Quantises f32 numbers. int8 takes the range of each coordinate from all rows of the call,
    /// each row of the layer axis by itself, as `quantize_embeddings` called once a layer.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) where int8 has one row only, or the numbers
    /// are quantised already; [`ErrorKind::NotFinite`](crate::ErrorKind::NotFinite) for a number
    /// that 16 bits cannot hold, naming the text.
    pub fn quantize(mut self, precision: Precision) -> Result<Self> {
        if self.precision != Precision::F32 {
            return Err(fail!(
                Usage,
                "the vectors are {} already and cannot become {precision}",
                self.precision
            ));
        }
        if precision == Precision::Int8 {
            self.int8()?;
        } else {
            for text in &mut self.texts {
                text.quantize(precision, self.header.width)?;
            }
        }
        self.header = self.header.stored(precision);
        Ok(self)
    }

    /// What int8 makes of these f32 numbers, for each row of the layer axis: the range of each
    /// coordinate over all rows of the call. None for no rows at all.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) for one row only: it has no range.
    pub fn ranges(&self) -> Result<Vec<Ranges>> {
        if self.texts.iter().all(|text| text.rows == 0) {
            return Ok(Vec::new());
        }
        let of = |layer| {
            let texts = self.texts.iter().enumerate();
            let places = texts.flat_map(|(t, text)| (0..text.rows).map(move |row| (t, row)));
            let vector = |(t, row)| self.vector(t, layer, row).ok_or_else(|| missing(t));
            Ranges::of(places.map(vector).collect::<Result<Vec<_>>>()?.into_iter())
        };
        (0..self.layer_axis).map(of).collect()
    }

    fn int8(&mut self) -> Result<()> {
        let width = self.width;
        if self.texts.iter().all(|text| text.rows == 0) {
            self.texts.iter_mut().for_each(|text| text.values = Values::I8(Vec::new()));
            return Ok(());
        }
        let mut done: Vec<Vec<i8>> =
            self.texts.iter().map(|text| Vec::with_capacity(text.values.len())).collect();
        let all = self.ranges()?;
        for (layer, ranges) in all.iter().enumerate() {
            for (t, out) in done.iter_mut().enumerate() {
                for row in 0..self.texts[t].rows {
                    match self.texts[t].row(layer, row, width) {
                        Some(Slice::F32(row)) => ranges.int8(row, out),
                        _ => return Err(missing(t)),
                    }
                }
            }
        }
        self.texts.iter_mut().zip(done).for_each(|(text, values)| text.values = Values::I8(values));
        self.int8 = all;
        Ok(())
    }
}

/// The error where a result has not all of its rows.
fn missing(text: usize) -> Error {
    fail!(Gpu, "text {text}: a row of the result is missing; this is a bug: please report it")
}

impl TextEmbedding {
    /// The text of this number, whose `values` are (layer axis, `rows`, width); as many tokens as
    /// rows, none of them lost.
    pub fn new(index: usize, rows: usize, values: Values) -> Self {
        let (tokens, words) = (Vec::new(), Vec::new());
        Self { index, text_tokens: rows, lost: 0, rows, values, tokens, words }
    }

    /// The `width` numbers on row `layer` of the layer axis, row `row` of the text.
    pub fn row(&self, layer: usize, row: usize, width: usize) -> Option<Slice<'_>> {
        if row >= self.rows {
            return None;
        }
        let start = layer.checked_mul(self.rows)?.checked_add(row)?.checked_mul(width)?;
        self.values.get(start..start.checked_add(width)?)
    }

    /// Quantises the f32 numbers of this text, whose rows are `width` wide, where that needs no
    /// other text: everything but int8, for which see [`Embeddings::quantize`].
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) for int8, or numbers that are quantised
    /// already; [`ErrorKind::NotFinite`](crate::ErrorKind::NotFinite) for a number that 16 bits
    /// cannot hold.
    pub fn quantize(&mut self, precision: Precision, width: usize) -> Result<()> {
        let Values::F32(values) = &self.values else {
            return Err(fail!(Usage, "text {}: its vectors are quantised already", self.index));
        };
        self.values = match precision {
            Precision::F32 => return Ok(()),
            Precision::F16 => Values::F16(
                to_f16(values).map_err(|error| error.at(format_args!("text {}", self.index)))?,
            ),
            Precision::Ubinary => {
                let mut bytes = Vec::with_capacity(values.len().div_ceil(8));
                values.chunks(width.max(1)).for_each(|row| ubinary(row, &mut bytes));
                Values::U8(bytes)
            }
            Precision::Int8 => {
                return Err(fail!(
                    Usage,
                    "precision int8 takes its range from all vectors of the call and is not \
                     available text by text"
                ));
            }
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests;
