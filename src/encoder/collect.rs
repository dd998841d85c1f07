//! From what arrives batch by batch to finished embeddings in the caller's order.

use std::ops::Range;

use super::wish::{Brought, Wish};
use crate::capture::reduce::Reduced;
use crate::embeddings::{Rows, TextEmbedding, TokenInfo, Values, WordInfo};
use crate::error::Result;
use crate::schedule::Output;
use crate::text::pack::PackedBatch;
use crate::text::{Text, Tokens, Word};

/// The readbacks of a batch, in the order they came.
pub type Arrived = Vec<(Output, Vec<f32>)>;

/// Gathers the results of one call.
pub struct Collector<'a> {
    tokens: &'a [Tokens],
    skip: usize,
    wish: &'a Wish<'a>,
    words: Vec<Vec<Word>>,
    done: Vec<Option<Reduced>>,
}

impl<'a> Collector<'a> {
    pub fn new(
        texts: &'a [Text<'a>],
        tokens: &'a [Tokens],
        skip: usize,
        wish: &'a Wish<'a>,
    ) -> Self {
        let words = match wish.rows() {
            Rows::Words => texts.iter().zip(tokens).map(|(text, t)| t.words(text)).collect(),
            _ => vec![Vec::new(); texts.len()],
        };
        Self { tokens, skip, wish, words, done: vec![None; texts.len()] }
    }

    /// Takes the readbacks of one batch, whose rows lie `stride` numbers apart, but for the
    /// sequences in `left_out`.
    pub fn take(
        &mut self,
        batch: &PackedBatch,
        stride: usize,
        arrived: &Arrived,
        left_out: &[usize],
    ) -> Result<()> {
        for (i, &text) in batch.order.iter().enumerate() {
            if left_out.binary_search(&i).is_ok() {
                continue;
            }
            let rows = batch.offsets[i] as usize..batch.offsets[i + 1] as usize;
            let brought = self.brought(i, batch.order.len(), rows, stride, arrived);
            let words: Vec<Range<usize>> =
                self.words[text].iter().map(|w| w.tokens.clone()).collect();
            self.done[text] = Some(self.wish.finish(&brought, &words, self.skip)?);
        }
        Ok(())
    }

    /// The part of text `i` of a batch, without the padding of its rows.
    fn brought(
        &self,
        i: usize,
        texts: usize,
        rows: Range<usize>,
        stride: usize,
        arrived: &Arrived,
    ) -> Brought {
        let width = self.wish.width();
        let compact = |numbers: &[f32], rows: Range<usize>| -> Vec<f32> {
            let rows = numbers[rows.start * stride..rows.end * stride].chunks_exact(stride);
            rows.flat_map(|row| &row[..width]).copied().collect()
        };
        for (output, numbers) in arrived {
            match output {
                Output::Combined => return Brought::Combined(compact(numbers, rows)),
                Output::Pooled => {
                    let parts = numbers.chunks_exact(texts * stride);
                    return Brought::Pooled(parts.flat_map(|p| compact(p, i..i + 1)).collect());
                }
                Output::State(_) | Output::Status => {}
            }
        }
        // States arrive in the order they are computed, and are wanted in the caller's.
        let state = |wanted: &usize| {
            let found = arrived.iter().find(|(output, _)| *output == Output::State(*wanted));
            found.map_or_else(Vec::new, |(_, numbers)| compact(numbers, rows.clone()))
        };
        Brought::States(self.wish.states.iter().map(state).collect())
    }

    /// Everything in the caller's order, as f32.
    pub fn finish(self) -> Vec<TextEmbedding> {
        let kind = self.wish.rows();
        let described = self.tokens.iter().zip(self.words);
        let done = self.done.into_iter().flatten().zip(described).enumerate();
        done.map(|(index, (reduced, (tokens, words)))| TextEmbedding {
            index,
            text_tokens: tokens.len(),
            lost: tokens.lost,
            rows: reduced.rows,
            values: Values::F32(reduced.values),
            tokens: if kind == Rows::Tokens { token_infos(tokens) } else { Vec::new() },
            words: words.into_iter().map(word_info).collect(),
        })
        .collect()
    }
}

fn word_info(word: Word) -> WordInfo {
    WordInfo { text: word.text, start: word.start as usize, end: word.end as usize }
}

fn token_infos(tokens: &Tokens) -> Vec<TokenInfo> {
    (0..tokens.len())
        .map(|i| TokenInfo {
            text: tokens.pieces[i].clone(),
            id: tokens.ids[i],
            start: tokens.spans[i][0] as usize,
            end: tokens.spans[i][1] as usize,
            word: tokens.words[i],
        })
        .collect()
}
