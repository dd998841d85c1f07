//! What the array formats share: the bytes and the shape of `vectors`, and the small arrays that say
//! what each row is. No format is known here.

use super::spill::Spill;
use super::{Extras, Order, broken};
use crate::capture::precision::Ranges;
use crate::embeddings::{Header, Rows, TextEmbedding, TokenInfo};
use crate::error::Result;

/// The type of the numbers of a small array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    I64,
    F32,
    U8,
}

impl Number {
    pub(super) fn bytes(self) -> u64 {
        match self {
            Self::I64 => 8,
            Self::F32 => 4,
            Self::U8 => 1,
        }
    }
}

/// An array beside `vectors`, gathered while texts come.
pub(super) struct Small {
    pub(super) name: &'static str,
    pub(super) number: Number,
    /// Numbers of one entry of the first axis; `None` for an array of one axis.
    columns: Option<usize>,
    pub(super) bytes: Spill,
}

impl Small {
    /// The axes; as many entries of the first as there are bytes for.
    pub(super) fn shape(&self) -> Vec<u64> {
        let entry = self.number.bytes() * self.columns.unwrap_or(1) as u64;
        let count = self.bytes.len() / entry.max(1);
        [count].into_iter().chain(self.columns.map(|n| n as u64)).collect()
    }

    fn longs(&mut self, values: impl Iterator<Item = i64>) -> Result<()> {
        let bytes: Vec<u8> = values.flat_map(i64::to_le_bytes).collect();
        self.bytes.push(&bytes).map_err(broken)
    }
}

/// The arrays by their places in [`Arrays::small`].
struct Places {
    index: usize,
    text_tokens: usize,
    tokens_lost: usize,
    /// Of rows that are tokens or words.
    rows: Option<RowPlaces>,
}

struct RowPlaces {
    offsets: usize,
    spans: usize,
    text: usize,
    text_offsets: usize,
    word_offsets: usize,
    word_spans: usize,
    /// `token_ids` and `token_words`.
    tokens: Option<(usize, usize)>,
}

/// Collects what is not streamed.
pub(super) struct Arrays {
    pub(super) header: Header,
    order: Order,
    rows: u64,
    /// Words so far.
    words: u64,
    /// Bytes of the strings of rows so far.
    text: u64,
    small: Vec<Small>,
    places: Places,
}

impl Arrays {
    pub(super) fn new(header: Header, extras: &Extras) -> Result<Self> {
        let mut small = Vec::new();
        let mut add = |name, number, columns| {
            small.push(Small { name, number, columns, bytes: Spill::new(extras.scratch.clone()) });
            small.len() - 1
        };
        let rows = match header.rows {
            Rows::Texts => None,
            kind => {
                let is_tokens = kind == Rows::Tokens;
                let name = |token, word| if is_tokens { token } else { word };
                Some(RowPlaces {
                    offsets: add("offsets", Number::I64, None),
                    spans: add("spans", Number::I64, Some(2)),
                    word_offsets: add("word_offsets", Number::I64, None),
                    word_spans: add("word_spans", Number::I64, Some(2)),
                    text_offsets: add(
                        name("token_text_offsets", "word_text_offsets"),
                        Number::I64,
                        None,
                    ),
                    tokens: is_tokens.then(|| {
                        (add("token_ids", Number::I64, None), add("token_words", Number::I64, None))
                    }),
                    text: 0,
                })
            }
        };
        let mut places = Places {
            index: add("index", Number::I64, None),
            text_tokens: add("text_tokens", Number::I64, None),
            tokens_lost: add("tokens_lost", Number::I64, None),
            rows,
        };
        let layers = add("layers", Number::I64, None);
        let ranges = (!extras.ranges.is_empty()).then(|| {
            let width = Some(header.width);
            (add("int8_start", Number::F32, width), add("int8_step", Number::F32, width))
        });
        // Bytes come last, where they put nothing on an odd address.
        if let Some(rows) = &mut places.rows {
            let is_tokens = rows.tokens.is_some();
            rows.text = add(if is_tokens { "token_text" } else { "word_text" }, Number::U8, None);
        }
        small[layers].longs(header.layers.iter().map(|&layer| layer as i64))?;
        if let Some((start, step)) = ranges {
            for (place, of) in
                [(start, Ranges::starts as fn(&Ranges) -> &[f32]), (step, Ranges::steps)]
            {
                for range in &extras.ranges {
                    let bytes: Vec<u8> = of(range).iter().flat_map(|x| x.to_le_bytes()).collect();
                    small[place].bytes.push(&bytes).map_err(broken)?;
                }
            }
        }
        if let Some(rows) = &places.rows {
            for place in [rows.offsets, rows.word_offsets, rows.text_offsets] {
                small[place].longs([0].into_iter())?;
            }
        }
        Ok(Self { header, order: Order::new(extras), rows: 0, words: 0, text: 0, small, places })
    }

    /// Whether rows are tokens or words, of which texts have different numbers.
    pub(super) fn ragged(&self) -> bool {
        self.header.rows != Rows::Texts
    }

    /// The bytes of the next text, (rows, layer axis, width), little-endian.
    pub(super) fn push(&mut self, text: &TextEmbedding) -> Result<Vec<u8>> {
        self.order.check(&self.header, text)?;
        self.rows += text.rows as u64;
        let Self { small, places, .. } = self;
        small[places.index].longs([text.index as i64].into_iter())?;
        small[places.text_tokens].longs([text.text_tokens as i64].into_iter())?;
        small[places.tokens_lost].longs([text.lost as i64].into_iter())?;
        if let Some(rows) = &places.rows {
            small[rows.offsets].longs([self.rows as i64].into_iter())?;
            let tokens = text.tokens.iter().map(|t| (t.text.as_str(), [t.start, t.end]));
            let words = text.words.iter().map(|w| (w.text.as_str(), [w.start, w.end]));
            let described: Vec<_> = match rows.tokens {
                Some(_) => tokens.collect(),
                None => words.collect(),
            };
            let spans = described.iter().flat_map(|(_, span)| span.map(|place| place as i64));
            small[rows.spans].longs(spans)?;
            let words = match rows.tokens {
                Some(_) => spans_of_words(&text.tokens),
                None => described.iter().map(|(_, span)| *span).collect(),
            };
            self.words += words.len() as u64;
            small[rows.word_offsets].longs([self.words as i64].into_iter())?;
            small[rows.word_spans].longs(words.iter().flatten().map(|&place| place as i64))?;
            let mut ends = Vec::with_capacity(described.len());
            for (spelt, _) in &described {
                self.text += spelt.len() as u64;
                ends.push(self.text as i64);
                small[rows.text].bytes.push(spelt.as_bytes()).map_err(broken)?;
            }
            small[rows.text_offsets].longs(ends.into_iter())?;
            if let Some((ids, words)) = rows.tokens {
                small[ids].longs(text.tokens.iter().map(|token| token.id.into()))?;
                let word = |word: Option<u32>| word.map_or(-1, i64::from);
                small[words].longs(text.tokens.iter().map(|token| word(token.word)))?;
            }
        }
        let mut bytes = Vec::with_capacity(text.values.len() * self.header.precision.bytes());
        for row in 0..text.rows {
            for layer in 0..self.header.layer_axis {
                if let Some(numbers) = text.row(layer, row, self.header.width) {
                    numbers.put_le(&mut bytes);
                }
            }
        }
        Ok(bytes)
    }

    /// Counts a row that is written without a text.
    pub(super) fn skip(&mut self) {
        self.rows += 1;
    }

    /// (texts or rows, layers?, width): the layer axis is dropped where it is one.
    pub(super) fn shape(&self) -> Vec<u64> {
        let mut shape = vec![self.rows];
        if self.header.layer_axis != 1 {
            shape.push(self.header.layer_axis as u64);
        }
        shape.push(self.header.width as u64);
        shape
    }

    /// Bytes of one row of `vectors`.
    pub(super) fn row_bytes(&self) -> usize {
        self.header.layer_axis * self.header.width * self.header.precision.bytes()
    }

    /// The arrays beside `vectors`: those of whole numbers first, those of bytes last.
    pub(super) fn small(&self) -> &[Small] {
        &self.small
    }

    /// The same, to be written.
    pub(super) fn into_small(self) -> Vec<Small> {
        self.small
    }
}

/// The characters of each word, by its number, from its first token's to its last's.
fn spans_of_words(tokens: &[TokenInfo]) -> Vec<[usize; 2]> {
    let mut words: Vec<[usize; 2]> = Vec::new();
    for token in tokens {
        let Some(word) = token.word.map(|word| word as usize) else { continue };
        if word >= words.len() {
            words.resize(word + 1, [0, 0]);
        }
        let [start, end] = &mut words[word];
        if *end == 0 {
            *start = token.start;
        }
        *end = token.end.max(*end);
    }
    words
}

/// What all files say of themselves: the header's words and `more`.
pub(super) fn metadata(header: &Header, more: &[(String, String)]) -> Vec<(String, String)> {
    let layers: Vec<String> = header.layers.iter().map(usize::to_string).collect();
    let own = [
        ("model", header.model.clone()),
        ("device", header.device.clone()),
        ("dtype", header.dtype.clone()),
        ("layers", layers.join(",")),
        ("combine", header.combine.to_string()),
        ("pool", header.pool.to_string()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let own = own.into_iter().chain(header.site_fields().words());
    let own = own.map(|(key, value)| (key.to_owned(), value));
    own.chain(more.iter().cloned()).collect()
}
