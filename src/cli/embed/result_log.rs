//! Finished texts on their way to a file: records of a log, read from the start when the last text is
//! in. The head of a record is JSON, its body the numbers, little-endian.

use std::io;
use std::path::Path;

use everylayer::TextEmbedding;
use everylayer::capture::Precision;
use everylayer::embeddings::{TokenInfo, Values, WordInfo};
use everylayer::output::Kept;
use half::f16;
use serde::{Deserialize, Serialize};

use super::log::{Log, Mark, Record, Records};

/// All of a text but its numbers, and what the record's mark says.
#[derive(Serialize, Deserialize)]
struct RecordHead {
    text_tokens: usize,
    tokens: Vec<(String, u32, usize, usize, Option<u32>)>,
    words: Vec<(String, usize, usize)>,
    kept: Vec<Kept>,
}

/// Appends `text`, and what is `kept` of its row, to `log`.
pub fn push(log: &mut Log, text: &TextEmbedding, kept: Vec<Kept>) -> io::Result<()> {
    let token = |t: &TokenInfo| (t.text.clone(), t.id, t.start, t.end, t.word);
    let head = RecordHead {
        text_tokens: text.text_tokens,
        tokens: text.tokens.iter().map(token).collect(),
        words: text.words.iter().map(|w| (w.text.clone(), w.start, w.end)).collect(),
        kept,
    };
    let vectors = u32::try_from(text.rows).map_err(io::Error::other)?;
    let mark = Mark { row: text.index as u64, vectors, lost: text.lost as u64 };
    let mut numbers = Vec::new();
    if let Some(all) = text.values.get(0..text.values.len()) {
        all.put_le(&mut numbers);
    }
    log.push(mark, &serde_json::to_vec(&head)?, &numbers)
}

/// The texts of a log from its start.
pub struct LogReader {
    records: Records,
    precision: Precision,
}

impl LogReader {
    /// Reads the first `bytes` of the log at `path`, whose numbers are of `precision`.
    pub fn open(path: &Path, bytes: u64, precision: Precision) -> io::Result<Self> {
        Ok(Self { records: Records::open(path, bytes)?, precision })
    }

    fn text(&self, record: Record) -> io::Result<(TextEmbedding, Vec<Kept>)> {
        let Record { mark, head, body } = record;
        let RecordHead { text_tokens, tokens, words, kept } = serde_json::from_slice(&head)?;
        let values = match self.precision {
            Precision::F32 => {
                Values::F32(body.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
            }
            Precision::F16 => {
                Values::F16(body.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b)).collect())
            }
            Precision::Int8 => Values::I8(body.iter().map(|b| *b as i8).collect()),
            Precision::Ubinary => Values::U8(body),
        };
        let tokens = tokens.into_iter();
        let tokens = tokens
            .map(|(text, id, start, end, word)| TokenInfo::new(text, id, [start, end], word))
            .collect();
        let words = words.into_iter().map(|(text, start, end)| WordInfo::new(text, [start, end]));
        let size = |n: u64| usize::try_from(n).map_err(io::Error::other);
        let mut text = TextEmbedding::new(size(mark.row)?, size(mark.vectors.into())?, values);
        (text.text_tokens, text.lost) = (text_tokens, size(mark.lost)?);
        (text.tokens, text.words) = (tokens, words.collect());
        Ok((text, kept))
    }
}

impl Iterator for LogReader {
    type Item = io::Result<(TextEmbedding, Vec<Kept>)>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.records.next()?.and_then(|record| self.text(record)))
    }
}
