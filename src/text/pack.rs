//! Batches without padding: sequences laid end to end, up to a number of tokens.
//!
//! Texts of like length go together, longest first, so that the memory of the first batch is enough
//! for all. Only ids, positions and types are laid out; what is done with them is not known here.

use std::ops::Range;

use crate::text::Tokens;

/// What goes through a model by itself: a text, or a window of one.
#[derive(Debug, Clone)]
pub struct Sequence<'a> {
    /// The tokens of the text.
    pub tokens: &'a Tokens,
    /// The rows of them that are meant, joined in this order.
    pub rows: [Range<usize>; 3],
}

impl Sequence<'_> {
    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.rows.iter().map(ExactSizeIterator::len).sum()
    }

    /// Whether there is no token at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Row of each token in the vocabulary.
    pub fn ids(&self) -> impl Iterator<Item = u32> {
        self.rows.iter().flat_map(|rows| within(&self.tokens.ids, rows)).copied()
    }

    fn types(&self) -> impl Iterator<Item = u32> {
        self.rows.iter().flat_map(|rows| within(&self.tokens.types, rows)).copied()
    }
}

/// These rows; none where the tokens do not have all of them, which makes a batch that is refused.
fn within<'a>(all: &'a [u32], rows: &Range<usize>) -> &'a [u32] {
    all.get(rows.clone()).unwrap_or_default()
}

impl<'a> From<&'a Tokens> for Sequence<'a> {
    fn from(tokens: &'a Tokens) -> Self {
        Self { tokens, rows: [0..tokens.len(), 0..0, 0..0] }
    }
}

/// Sequences laid end to end: sequence `i` is the rows `offsets[i]..offsets[i + 1]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PackedBatch {
    /// Row of each token in the vocabulary. // (tokens)
    pub ids: Vec<u32>,
    /// Place of each token in its own sequence, from 0. // (tokens)
    pub positions: Vec<u32>,
    /// Token type of each token. // (tokens)
    pub types: Vec<u32>,
    /// First row of each sequence, then the number of rows. // (sequences + 1)
    pub offsets: Vec<u32>,
    /// Sequence `i` is the one that the caller numbers `order[i]`. // (sequences)
    pub order: Vec<usize>,
    /// Rows at the end of each sequence that look at the others and are not looked at; none at all
    /// where it is empty. // (sequences)
    pub hidden: Vec<u32>,
}

impl PackedBatch {
    fn with_capacity(tokens: usize) -> Self {
        Self {
            ids: Vec::with_capacity(tokens),
            positions: Vec::with_capacity(tokens),
            types: Vec::with_capacity(tokens),
            offsets: vec![0],
            order: Vec::new(),
            hidden: Vec::new(),
        }
    }

    fn push(&mut self, index: usize, sequence: &Sequence<'_>) {
        self.ids.extend(sequence.ids());
        self.types.extend(sequence.types());
        self.positions.extend((0_u32..).take(sequence.len()));
        // A batch is held to u32::MAX rows, and one text has spans counted in u32.
        self.offsets.push(self.ids.len() as u32);
        self.order.push(index);
    }

    /// The sequences, by their place, that `rows` (in order) lie in.
    pub fn sequences_of(&self, rows: &[usize]) -> Vec<usize> {
        let before = |&row: &usize| self.offsets.partition_point(|&o| o as usize <= row);
        let of = |row: &usize| before(row).saturating_sub(1);
        let mut sequences: Vec<usize> = rows.iter().map(of).collect();
        sequences.dedup();
        sequences
    }

    /// Number of sequences.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is no sequence.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

/// Packs `texts` into batches of at most `budget` tokens and `most` texts. Texts are taken longest
/// first (equal lengths in the caller's order), and a batch is closed by the first that does not fit;
/// a text of more than `budget` tokens gets a batch of its own. No texts give no batches.
pub fn pack(texts: &[Tokens], budget: usize, most: usize) -> Vec<PackedBatch> {
    pack_some(|index| (&texts[index]).into(), (0..texts.len()).collect(), budget, most)
}

/// [`pack`] of those sequences alone whose numbers are in `order`; `of` gives the one of a number.
pub fn pack_some<'a>(
    of: impl Fn(usize) -> Sequence<'a>,
    mut order: Vec<usize>,
    budget: usize,
    most: usize,
) -> Vec<PackedBatch> {
    let budget = budget.min(u32::MAX as usize);
    order.sort_by_key(|&index| std::cmp::Reverse(of(index).len()));

    let mut batches = Vec::new();
    let mut rest = order.as_slice();
    while let Some((&longest, _)) = rest.split_first() {
        let mut rows = of(longest).len();
        let mut count = 1;
        for &index in &rest[1..] {
            let with = rows + of(index).len();
            if with > budget || count >= most {
                break;
            }
            rows = with;
            count += 1;
        }
        let (taken, left) = rest.split_at(count);
        let mut batch = PackedBatch::with_capacity(rows);
        taken.iter().for_each(|&index| batch.push(index, &of(index)));
        batches.push(batch);
        rest = left;
    }
    batches
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(text: usize, length: usize) -> Tokens {
        // Each token says which one it is, so that a batch can be traced back.
        let ids = (0..length).map(|i| (text * 1000 + i) as u32).collect();
        let types = (0..length).map(|i| (i % 2) as u32).collect();
        Tokens { ids, types, ..Tokens::default() }
    }

    fn all(lengths: &[usize]) -> Vec<Tokens> {
        lengths.iter().enumerate().map(|(i, &length)| tokens(i, length)).collect()
    }

    #[test]
    fn longest_first_and_ties_in_order() {
        let batches = pack(&all(&[2, 5, 2, 3]), 6, 9);
        let orders: Vec<_> = batches.iter().map(|b| b.order.clone()).collect();
        assert_eq!(orders, [vec![1], vec![3, 0], vec![2]]);
        assert_eq!(batches[1].offsets, [0, 3, 5]);
        assert_eq!(batches[1].positions, [0, 1, 2, 0, 1]);
        assert_eq!(batches[1].types, [0, 1, 0, 0, 1]);
    }

    #[test]
    fn nothing_gives_nothing() {
        assert!(pack(&[], 100, 1).is_empty());
        let texts = all(&[3]);
        assert!(pack_some(|i| (&texts[i]).into(), vec![], 100, 1).is_empty());
    }

    #[test]
    fn some_of_the_texts_keep_their_numbers() {
        let texts = all(&[2, 5, 2, 3]);
        let batches = pack_some(|i| (&texts[i]).into(), vec![0, 3], 100, 9);
        assert_eq!(batches.len(), 1);
        assert_eq!(batches[0].order, [3, 0]);
    }

    #[test]
    fn rows_lie_in_sequences() {
        let batch = &pack(&all(&[3, 2, 1]), 100, 9)[0];
        assert_eq!(batch.sequences_of(&[]), [0; 0]);
        assert_eq!(batch.sequences_of(&[0, 2]), [0]);
        assert_eq!(batch.sequences_of(&[2, 3, 5]), [0, 1, 2]);
        assert_eq!(batch.sequences_of(&[4]), [1]);
    }

    proptest! {
        #[test]
        fn every_token_once(
            lengths in prop::collection::vec(0_usize..60, 0..40),
            budget in 0_usize..100,
            most in 1_usize..9,
        ) {
            let texts = all(&lengths);
            let batches = pack(&texts, budget, most);
            let mut seen = vec![false; texts.len()];
            let mut last = usize::MAX;
            for batch in &batches {
                prop_assert!(batch.ids.len() <= budget || batch.len() == 1);
                prop_assert!(batch.len() <= most);
                prop_assert_eq!(batch.offsets.len(), batch.order.len() + 1);
                prop_assert_eq!(*batch.offsets.last().unwrap() as usize, batch.ids.len());
                prop_assert_eq!(batch.positions.len(), batch.ids.len());
                for (i, &index) in batch.order.iter().enumerate() {
                    let rows = batch.offsets[i] as usize..batch.offsets[i + 1] as usize;
                    prop_assert!(!std::mem::replace(&mut seen[index], true));
                    prop_assert!(rows.len() <= last);
                    last = rows.len();
                    prop_assert_eq!(&batch.ids[rows.clone()], &texts[index].ids[..]);
                    prop_assert_eq!(&batch.types[rows.clone()], &texts[index].types[..]);
                    let positions: Vec<u32> = (0..rows.len() as u32).collect();
                    prop_assert_eq!(&batch.positions[rows], &positions[..]);
                }
            }
            prop_assert!(seen.into_iter().all(|once| once));
            let out: usize = batches.iter().map(|b| b.ids.len()).sum();
            prop_assert_eq!(out, lengths.iter().sum::<usize>());
        }
    }
}
