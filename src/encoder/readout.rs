//! From what a batch brings to the host to the part of each text.

use std::ops::Range;

pub use super::resolve::Brought;
use super::resolve::{Epilogue, Resolved};
use crate::embeddings::{TokenInfo, WordInfo};
use crate::error::{Error, Result, fail};
use crate::schedule::{Exit, Output, SiteRow};
use crate::text::{Tokens, Word};

/// The readbacks of a batch, in the order they came.
pub type Arrived = Vec<(Output, Vec<f32>)>;

/// The states of a text in windows, of which some have landed.
#[derive(Debug)]
pub struct Assembly {
    /// Windows that have not.
    missing: usize,
    /// Whether one was left out: the text will be run again.
    overflowed: bool,
    /// One a state that is brought, (tokens of the text, width).
    states: Vec<Vec<f32>>,
    width: usize,
}

impl Assembly {
    /// None of `windows` of a text of `tokens` has landed.
    pub fn new(epilogue: &Epilogue<'_>, windows: usize, tokens: usize) -> Self {
        let width = epilogue.width();
        let states = vec![vec![0.0; tokens * width]; epilogue.states.len()];
        Self { missing: windows, overflowed: false, states, width }
    }

    /// Takes the rows `keep` of the text from one window; `None` where it is left out.
    ///
    /// # Errors
    ///
    /// `Gpu` where a state or a row of it is missing.
    pub fn take(&mut self, keep: &Range<usize>, states: Option<Vec<Vec<f32>>>) -> Result<()> {
        self.missing = self.missing.checked_sub(1).ok_or_else(missing)?;
        match states {
            Some(states) if !self.overflowed => {
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
                self.overflowed = true;
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
        (!self.overflowed).then_some(self.states)
    }
}

/// The error where a device did not bring what it was asked for.
pub fn missing() -> Error {
    fail!(Gpu, "the device did not bring all that was asked of it; this is a bug: please report it")
}

/// These rows of an array, without their padding.
fn compact(numbers: &[f32], rows: &Range<usize>, row: SiteRow) -> Result<Vec<f32>> {
    let line = row.line();
    let rows = numbers.get(rows.start * line..rows.end * line).ok_or_else(missing)?;
    Ok(row.compact(rows).collect())
}

/// What a batch brought, and which of it is a text's: its number, the number of texts, its rows.
pub struct OfBatch<'a> {
    pub place: (usize, usize, Range<usize>),
    pub arrived: &'a Arrived,
}

impl OfBatch<'_> {
    /// What came of one text for `resolved`, without the padding of its rows; `exits` are those of the
    /// batch.
    ///
    /// # Errors
    ///
    /// `Gpu` where something of it is missing.
    pub fn brought(&self, resolved: &Resolved<'_>, exits: &[Exit]) -> Result<Brought> {
        let exit = exits.iter().position(|exit| *exit == resolved.exit);
        let ((i, texts, rows), row) = (&self.place, resolved.epilogue.row());
        let stride = row.line();
        for (output, numbers) in self.arrived {
            match output {
                Output::Combined(number) if Some(*number) == exit => {
                    return Ok(Brought::Combined(compact(numbers, rows, row)?));
                }
                Output::Pooled(number) if Some(*number) == exit => {
                    if numbers.len() != resolved.exit.parts() * texts * stride {
                        return Err(missing());
                    }
                    let parts = numbers.chunks_exact(texts * stride);
                    let rows = parts.map(|part| compact(part, &(*i..i + 1), row));
                    return Ok(Brought::Pooled(rows.collect::<Result<Vec<_>>>()?.concat()));
                }
                _ => {}
            }
        }
        Ok(Brought::States(self.states(&resolved.epilogue, &(0..rows.len()))?))
    }

    /// These rows, counted from the text's first, of every state that is brought. States arrive in
    /// the order they are computed, and are wanted in the caller's.
    ///
    /// # Errors
    ///
    /// `Gpu` where a state is missing.
    pub fn states(&self, epilogue: &Epilogue<'_>, kept: &Range<usize>) -> Result<Vec<Vec<f32>>> {
        let start = self.place.2.start;
        let rows = start + kept.start..start + kept.end;
        let state = |wanted: &usize| {
            let mut arrived = self.arrived.iter();
            let wanted = epilogue.output(*wanted);
            let found = arrived.find(|(output, _)| *output == wanted);
            let (_, numbers) = found.ok_or_else(missing)?;
            compact(numbers, &rows, epilogue.row())
        };
        epilogue.states.iter().map(state).collect()
    }
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
