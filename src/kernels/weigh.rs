//! `weigh`: the weights of attention, in memory.

use std::f32::consts::LOG2_E;
use std::fmt;

use super::attention::AttentionShape;
use super::block::block;
use super::elem::narrow_suffix;
use super::needs::product;
use super::{Access, Arrays, Call, Checked, Kernel, Need, Scores, Sizes, Wgsl};

/// softmax(Q Kᵀ / √d) of some rows and heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Weigh {
    /// What becomes of the scores.
    pub scores: Scores,
    /// Whether queries and keys are kept in 16 bits.
    pub narrow: bool,
}

block! {
    /// The block of `shaders/weigh.wgsl`.
    WeighParams {
        /// Vectors in a row of queries, keys and values together.
        qkv4: u32,
        /// Vectors in all heads of a query.
        out4: u32,
        /// log₂(e) / √head_dim.
        scale: f32,
        /// Heads of queries that share one of keys.
        group: u32,
        /// How far a window reaches, or a table of distances.
        reach: u32,
        /// Numbers in a row of a table of distances.
        line: u32,
        /// Of the heads that this dispatch works on; how many they are is its grid's second number.
        first_head: u32,
        /// Vectors between two heads.
        head4: u32,
        /// Of the rows that this dispatch works on; how many they are is its grid's first number.
        first_row: u32,
        /// Vectors in a row of the result: as many keys as the longest text has.
        keys4: u32,
        /// Place in the result of the first head.
        to: u32,
    }
}

/// Which weights.
#[derive(Debug, Clone, Copy)]
pub struct WeighShape {
    /// The heads of the layer.
    pub of: AttentionShape,
    /// Numbers between two heads.
    pub head_dim: usize,
    /// Rows, from the first to the one past the last.
    pub rows: (usize, usize),
    /// Heads, from the first to the one past the last.
    pub heads: (usize, usize),
    /// Numbers in a row of the result.
    pub keys: usize,
    /// Place in the result of the first head.
    pub to: usize,
}

impl Weigh {
    /// Over `shape`; `flops` is the work. Binds queries, keys and values, the line of each row, the
    /// result, then what [`Scores`] reads.
    pub fn over(self, shape: WeighShape, flops: u64) -> Call {
        let WeighShape { of, head_dim, rows, heads, keys, to } = shape;
        let (joined, kv) = (of.heads * head_dim, of.kv_heads * head_dim);
        let params = WeighParams {
            qkv4: ((joined + 2 * kv) / 4) as u32,
            out4: (joined / 4) as u32,
            scale: LOG2_E / (of.divisor as f32).sqrt(),
            group: (of.heads / of.kv_heads) as u32,
            reach: of.reach as u32,
            line: of.line as u32,
            first_head: heads.0 as u32,
            head4: (head_dim / 4) as u32,
            first_row: rows.0 as u32,
            keys4: (keys / 4) as u32,
            to: to as u32,
        };
        Call::new(self, params, [(rows.1 - rows.0) as u32, (heads.1 - heads.0) as u32], flops)
    }
}

impl Kernel for Weigh {
    const NAME: &'static str = "weigh";
    type Params = WeighParams;

    fn choices(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ".{}{}", self.scores, narrow_suffix(self.narrow))
    }

    fn bindings(&self) -> &'static [Access] {
        self.scores.bindings()
    }

    fn variants(_: Sizes<'_>) -> Vec<Self> {
        let of = |scores| [false, true].map(|narrow| Self { scores, narrow });
        Scores::ALL.into_iter().flat_map(of).collect()
    }

    fn reads_narrow(&self) -> bool {
        self.narrow
    }

    fn writes_narrow(&self) -> bool {
        false
    }

    fn wgsl(&self, _: usize) -> Wgsl {
        let text = Wgsl::of(Self::NAME).activations(self.narrow, false);
        match self.scores {
            Scores::Disentangled => text.lib("weigh_disentangled"),
            scores => text.choice("attention", scores).lib("weigh_scored"),
        }
    }

    fn needs(&self, p: &WeighParams, grid: [u32; 2]) -> Option<Vec<Need>> {
        let heads = u128::from(p.first_head) + u128::from(grid[1]);
        let shared = heads.checked_sub(1)?.checked_div(u128::from(p.group))? + 1;
        let (head, out) = (u128::from(p.head4), u128::from(p.out4));
        let inside = head > 0
            && grid[0] > 0
            && heads * head <= out
            && out + 2 * shared * head <= u128::from(p.qkv4);
        let alone = self.scores.needs((p.reach, p.line), (p.group, p.out4), heads)?;
        let rows = u128::from(p.first_row) + u128::from(grid[0]);
        let read = Need::Stored { numbers: 4 * rows * u128::from(p.qkv4), narrow: self.narrow };
        let to = u128::from(p.to) + u128::from(grid[1]);
        let written = Need::Numbers(to * product(&[4, grid[0], p.keys4]));
        let mut needs = vec![read, Need::Words(4 * rows), written];
        needs.extend(alone);
        inside.then_some(needs)
    }

    fn indices(&self, p: &WeighParams, grid: [u32; 2], arrays: &mut dyn Arrays) -> Checked {
        let rows = arrays.rows(0, 4 * u128::from(p.qkv4));
        are_lines(arrays.words(1)?, rows, 4 * u128::from(p.keys4))?;
        let end = u128::from(p.first_row) + u128::from(grid[0]);
        if arrays.words(1)?.len() as u128 / 4 < end {
            return Err("a row has no line");
        }
        self.scores.check_places(p.out4, arrays)
    }
}

/// Whether `lines` are those of rows of at most `rows` rows, no text of which has more than `keys`.
pub(super) fn are_lines(lines: &[u32], rows: u128, keys: u128) -> Checked {
    let (lines, rest) = lines.as_chunks::<4>();
    let is_right = |(row, &[first, length, place, keys_of]): (usize, &[u32; 4])| {
        let end = u128::from(first) + u128::from(length);
        row as u128 == u128::from(first) + u128::from(place)
            && place < length
            && end <= rows
            && end <= lines.len() as u128
            && (1..=length).contains(&keys_of)
            && u128::from(length) <= keys
    };
    match rest.is_empty() && lines.iter().enumerate().all(is_right) {
        true => Ok(()),
        false => Err("the line of a row is outside of its text"),
    }
}
