//! From what arrives batch by batch to finished embeddings in the caller's order.

use std::collections::HashMap;
use std::ops::Range;

use super::feed::{Feed, Part};
use super::wish::{Brought, Wish};
use crate::embeddings::{Rows, TextEmbedding, TokenInfo, Values, WordInfo};
use crate::error::{Error, Result, fail};
use crate::schedule::Output;
use crate::text::pack::PackedBatch;
use crate::text::{Tokens, Word};

/// The readbacks of a batch, in the order they came.
pub type Arrived = Vec<(Output, Vec<f32>)>;

/// The states of a text in windows, of which some have landed.
#[derive(Debug)]
pub struct Assembly {
    /// Windows that have not.
    missing: usize,
    /// Whether one was left out: the text will be run again.
    spoiled: bool,
    /// One a state that is brought, (tokens of the text, width).
    states: Vec<Vec<f32>>,
    width: usize,
}

impl Assembly {
    /// None of `windows` of a text of `tokens` has landed.
    pub fn new(wish: &Wish<'_>, windows: usize, tokens: usize) -> Self {
        let width = wish.width();
        let states = vec![vec![0.0; tokens * width]; wish.states.len()];
        Self { missing: windows, spoiled: false, states, width }
    }

    /// Takes the rows `keep` of the text from one window; `None` where it is left out.
    ///
    /// # Errors
    ///
    /// `Gpu` where a state or a row of it is missing.
    pub fn take(&mut self, keep: &Range<usize>, states: Option<Vec<Vec<f32>>>) -> Result<()> {
        self.missing = self.missing.checked_sub(1).ok_or_else(missing)?;
        match states {
            Some(states) if !self.spoiled => {
                if states.len() != self.states.len() {
                    return Err(missing());
                }
                let rows = keep.start * self.width..keep.end * self.width;
                for (all, part) in self.states.iter_mut().zip(states) {
                    let rows = all.get_mut(rows.clone()).filter(|rows| rows.len() == part.len());
                    rows.ok_or_else(missing)?.copy_from_slice(&part);
                }
            }
            _ => {
                self.spoiled = true;
                self.states = Vec::new();
            }
        }
        Ok(())
    }

    /// Whether all windows have landed.
    pub fn is_whole(&self) -> bool {
        self.missing == 0
    }

    /// The states of the whole text, unless a window was left out.
    pub fn finish(self) -> Option<Vec<Vec<f32>>> {
        (!self.spoiled).then_some(self.states)
    }
}

/// Gathers the results of one call.
pub struct Collector<'a> {
    skip: usize,
    wish: &'a Wish<'a>,
    /// In the caller's order, as f32.
    done: Vec<Option<TextEmbedding>>,
    /// Texts of which a window is under way, by their number.
    assemblies: HashMap<usize, Assembly>,
}

impl<'a> Collector<'a> {
    pub fn new(texts: usize, skip: usize, wish: &'a Wish<'a>) -> Self {
        Self { skip, wish, done: vec![None; texts], assemblies: HashMap::new() }
    }

    /// Takes the readbacks of one batch, whose rows lie `stride` numbers apart, but for the
    /// sequences in `left_out`.
    pub fn take(
        &mut self,
        feed: &Feed<'_>,
        batch: &PackedBatch,
        stride: usize,
        arrived: &Arrived,
        left_out: &[usize],
    ) -> Result<()> {
        for (i, &number) in batch.order.iter().enumerate() {
            let whole = left_out.binary_search(&i).is_err();
            let rows = batch.offsets[i] as usize..batch.offsets[i + 1] as usize;
            let Part { text, window } = feed.part(number);
            let brought = match window {
                None if whole => {
                    brought(self.wish, Some(0), (i, batch.order.len(), rows), stride, arrived)?
                }
                None => continue,
                Some((window, count)) => {
                    let kept = window.kept();
                    let rows = rows.start + kept.start..rows.start + kept.end;
                    let states = whole.then(|| states(self.wish, &rows, stride, arrived));
                    let states = states.transpose()?;
                    let length = feed.tokens()[*text].len();
                    let done = self.assemble(*text, length, *count, &window.keep, states)?;
                    let Some(states) = done else { continue };
                    Brought::States(states)
                }
            };
            self.finish_text(feed, *text, &brought)?;
        }
        Ok(())
    }

    /// Takes the states of one of `count` windows, the rows `keep` of a text of `length` tokens;
    /// `None` where they are left out. The states of the whole text, where this was the last.
    fn assemble(
        &mut self,
        text: usize,
        length: usize,
        count: usize,
        keep: &Range<usize>,
        states: Option<Vec<Vec<f32>>>,
    ) -> Result<Option<Vec<Vec<f32>>>> {
        let new = || Assembly::new(self.wish, count, length);
        let assembly = self.assemblies.entry(text).or_insert_with(new);
        assembly.take(keep, states)?;
        if !assembly.is_whole() {
            return Ok(None);
        }
        Ok(self.assemblies.remove(&text).and_then(Assembly::finish))
    }

    /// Makes the result of text `index` of what was brought for all of its tokens.
    fn finish_text(&mut self, feed: &Feed<'_>, index: usize, brought: &Brought) -> Result<()> {
        let tokens = &feed.tokens()[index];
        let words = match self.wish.rows() {
            Rows::Words => tokens.words(&feed.texts()[index]),
            _ => Vec::new(),
        };
        let ranges: Vec<Range<usize>> = words.iter().map(|w| w.tokens.clone()).collect();
        let reduced = self.wish.finish(brought, &ranges, self.skip)?;
        self.done[index] = Some(TextEmbedding {
            index,
            text_tokens: tokens.len(),
            lost: tokens.lost,
            rows: reduced.rows,
            values: Values::F32(reduced.values),
            tokens: match self.wish.rows() {
                Rows::Tokens => token_infos(tokens),
                _ => Vec::new(),
            },
            words: words.into_iter().map(word_info).collect(),
        });
        Ok(())
    }

    /// Everything in the caller's order, as f32.
    ///
    /// # Errors
    ///
    /// `Gpu` for a text of which nothing came.
    pub fn finish(self) -> Result<Vec<TextEmbedding>> {
        let texts = self.done.into_iter().enumerate();
        let of = |(i, text): (usize, Option<_>)| {
            text.ok_or_else(|| missing().at(format_args!("text {i}")))
        };
        texts.map(of).collect()
    }
}

/// The error where a device did not bring what it was asked for.
pub fn missing() -> Error {
    fail!(Gpu, "the device did not bring all that was asked of it; this is a bug: please report it")
}

/// These rows of an array whose rows lie `stride` numbers apart, `width` numbers of each.
fn compact(
    numbers: &[f32],
    rows: &Range<usize>,
    (stride, width): (usize, usize),
) -> Result<Vec<f32>> {
    let rows = numbers.get(rows.start * stride..rows.end * stride).ok_or_else(missing)?;
    Ok(rows.chunks_exact(stride).flat_map(|row| &row[..width]).copied().collect())
}

/// The part of one text of a batch, without the padding of its rows. `exit` is the number of the
/// wish's own way off the device, where it has one beside plain states; `place` is the text's number
/// in the batch, the number of texts, and the text's rows.
pub fn brought(
    wish: &Wish<'_>,
    exit: Option<usize>,
    (i, texts, rows): (usize, usize, Range<usize>),
    stride: usize,
    arrived: &Arrived,
) -> Result<Brought> {
    let line = (stride, wish.width());
    for (output, numbers) in arrived {
        match output {
            Output::Combined(number) if Some(*number) == exit => {
                return Ok(Brought::Combined(compact(numbers, &rows, line)?));
            }
            Output::Pooled(number) if Some(*number) == exit => {
                if numbers.len() != wish.exit.parts() * texts * stride {
                    return Err(missing());
                }
                let parts = numbers.chunks_exact(texts * stride);
                let rows = parts.map(|part| compact(part, &(i..i + 1), line));
                return Ok(Brought::Pooled(rows.collect::<Result<Vec<_>>>()?.concat()));
            }
            _ => {}
        }
    }
    Ok(Brought::States(states(wish, &rows, stride, arrived)?))
}

/// These rows of a batch of every state that is brought. States arrive in the order they are
/// computed, and are wanted in the caller's.
pub fn states(
    wish: &Wish<'_>,
    rows: &Range<usize>,
    stride: usize,
    arrived: &Arrived,
) -> Result<Vec<Vec<f32>>> {
    let state = |wanted: &usize| {
        let found = arrived.iter().find(|(output, _)| *output == Output::State(*wanted));
        let (_, numbers) = found.ok_or_else(missing)?;
        compact(numbers, rows, (stride, wish.width()))
    };
    wish.states.iter().map(state).collect()
}

/// What is told of a word.
pub fn word_info(word: Word) -> WordInfo {
    WordInfo { text: word.text, start: word.start as usize, end: word.end as usize }
}

/// What is told of each token.
pub fn token_infos(tokens: &Tokens) -> Vec<TokenInfo> {
    (0..tokens.len())
        .map(|i| TokenInfo {
            text: tokens.pieces[i].to_owned(),
            id: tokens.ids[i],
            start: tokens.spans[i][0] as usize,
            end: tokens.spans[i][1] as usize,
            word: tokens.words[i],
        })
        .collect()
}
