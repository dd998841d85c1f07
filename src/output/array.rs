//! What the array formats share: the bytes and the shape of `vectors`, and where texts and
//! characters begin. No format is known here.

use crate::embeddings::{Header, Rows, TextEmbedding};
use crate::error::Result;

/// Collects what is not streamed: `offsets` and `spans`.
pub(super) struct Arrays {
    pub(super) header: Header,
    texts: usize,
    rows: u64,
    offsets: Vec<i64>,
    spans: Vec<i64>,
}

impl Arrays {
    pub(super) fn new(header: Header) -> Self {
        Self { header, texts: 0, rows: 0, offsets: vec![0], spans: Vec::new() }
    }

    /// Whether there are `offsets` and `spans` at all.
    pub(super) fn ragged(&self) -> bool {
        self.header.rows != Rows::Texts
    }

    /// The bytes of the next text, (rows, layer axis, width), little-endian.
    pub(super) fn push(&mut self, text: &TextEmbedding) -> Result<Vec<u8>> {
        super::check(&self.header, text, self.texts)?;
        self.texts += 1;
        self.rows += text.rows as u64;
        if self.ragged() {
            self.offsets.push(self.rows as i64);
            let tokens = text.tokens.iter().map(|token| (token.start, token.end));
            let words = text.words.iter().map(|word| (word.start, word.end));
            match self.header.rows {
                Rows::Tokens => self.spans.extend(tokens.flat_map(|(a, b)| [a as i64, b as i64])),
                _ => self.spans.extend(words.flat_map(|(a, b)| [a as i64, b as i64])),
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

    /// Where each text begins among the rows, and the end: (texts + 1), int64, little-endian.
    pub(super) fn offsets(&self) -> (Vec<u64>, Vec<u8>) {
        (vec![self.offsets.len() as u64], bytes(&self.offsets))
    }

    /// First character of a row and one past its last: (rows, 2), int64, little-endian.
    pub(super) fn spans(&self) -> (Vec<u64>, Vec<u8>) {
        (vec![self.rows, 2], bytes(&self.spans))
    }
}

fn bytes(numbers: &[i64]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
}
