//! What the array formats share: the bytes and the shape of `vectors`, and where texts and
//! characters begin. No format is known here.

use super::spill::Spill;
use super::{Extras, Order, broken};
use crate::embeddings::{Header, Rows, TextEmbedding};
use crate::error::Result;

/// Collects what is not streamed: `offsets` and `spans`.
pub(super) struct Arrays {
    pub(super) header: Header,
    order: Order,
    texts: u64,
    rows: u64,
    /// (texts), int64: the end of each text; 0 stands before them.
    offsets: Spill,
    /// (rows, 2), int64
    spans: Spill,
}

impl Arrays {
    pub(super) fn new(header: Header, extras: &Extras) -> Result<Self> {
        let spill = || Spill::new(extras.scratch.clone());
        let (mut offsets, spans, order) = (spill(), spill(), Order::new(extras));
        offsets.push(&0i64.to_le_bytes()).map_err(broken)?;
        Ok(Self { header, order, texts: 0, rows: 0, offsets, spans })
    }

    /// Whether there are `offsets` and `spans` at all.
    pub(super) fn ragged(&self) -> bool {
        self.header.rows != Rows::Texts
    }

    /// The bytes of the next text, (rows, layer axis, width), little-endian.
    pub(super) fn push(&mut self, text: &TextEmbedding) -> Result<Vec<u8>> {
        self.order.check(&self.header, text)?;
        self.texts += 1;
        self.rows += text.rows as u64;
        if self.ragged() {
            self.offsets.push(&(self.rows as i64).to_le_bytes()).map_err(broken)?;
            let tokens = text.tokens.iter().map(|token| (token.start, token.end));
            let words = text.words.iter().map(|word| (word.start, word.end));
            let spans: Vec<u8> = match self.header.rows {
                Rows::Tokens => tokens.flat_map(span).collect(),
                _ => words.flat_map(span).collect(),
            };
            self.spans.push(&spans).map_err(broken)?;
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

    /// Shapes of where each text begins among the rows, and the end, (texts + 1), and of the first
    /// character of a row and one past its last, (rows, 2); both int64, little-endian.
    pub(super) fn ragged_shapes(&self) -> [(&'static str, Vec<u64>); 2] {
        [("offsets", vec![self.texts + 1]), ("spans", vec![self.rows, 2])]
    }

    /// The bytes of those two.
    pub(super) fn ragged_bytes(self) -> [Spill; 2] {
        [self.offsets, self.spans]
    }
}

fn span((start, end): (usize, usize)) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&(start as i64).to_le_bytes());
    bytes[8..].copy_from_slice(&(end as i64).to_le_bytes());
    bytes
}
