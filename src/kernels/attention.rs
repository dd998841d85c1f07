//! `attention`: each head of each text, with what its scores take in.

mod cut;
mod scores;

use std::f32::consts::LOG2_E;
use std::fmt;

use super::block::block;
use super::elem::narrow_suffix;
use super::needs::product;
use super::{
    Access, AdapterFeatures, Arrays, Call, Checked, Class, Kernel, Need, Sizes, Vendor, Wgsl,
};

pub use scores::Scores;

/// The largest heads of [`Staging::Direct`].
pub const DIRECT_HEAD_DIM: usize = 80;

/// Where attention keeps keys and values while it uses them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Staging {
    /// Workgroup memory.
    Workgroup,
    /// The registers of a subgroup of eight: [`Class::Software`].
    Broadcast,
    /// Nowhere, each invocation reads them: [`Class::CpuAdapter`].
    Direct,
}

impl Staging {
    /// Every place.
    pub const ALL: [Self; 3] = [Self::Workgroup, Self::Broadcast, Self::Direct];
}

/// softmax(Q Kᵀ / √d) V over each text and head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attention {
    /// Where keys and values lie while they are used.
    pub staging: Staging,
    /// Numbers between two heads (head_dim rounded up to a multiple of 4).
    pub head_dim: u32,
    /// What becomes of the scores.
    pub scores: Scores,
    /// Whether queries, keys, values and the result are kept in 16 bits.
    pub narrow: bool,
    /// Invocations that share a query row in workgroup memory: [`attention_parts`].
    pub parts: u32,
}

block! {
    /// The block of `shaders/attention.wgsl`.
    AttentionParams {
        /// Vectors in a row of queries, keys and values together.
        qkv4: u32,
        /// Vectors in a row of the result: heads × head stride.
        out4: u32,
        /// log₂(e) / √head_dim.
        scale: f32,
        /// Vectors from a key to its value: kv_heads × head stride.
        kv4: u32,
        /// Heads of queries that share one of keys and values.
        group: u32,
        /// How far a window reaches, or a table of distances.
        reach: u32,
        /// Numbers in a row of a table of distances.
        line: u32,
        /// Of the heads that this dispatch works on; how many they are is its grid's second number.
        first_head: u32,
    }
}

/// The heads of a layer.
#[derive(Debug, Clone, Copy)]
pub struct AttentionShape {
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and of values.
    pub kv_heads: usize,
    /// What a score is divided by the root of: head_dim, times the terms of a score.
    pub divisor: usize,
    /// How far a window reaches, or a table of distances; 0 without.
    pub reach: usize,
    /// Numbers in a row of a table of distances; 0 without.
    pub line: usize,
}

/// Invocations that share a query row of `attention.wgsl` on an adapter that `can` do so much, for heads
/// `head_dim` numbers apart: each holds some vectors of query and as many of the result in registers.
///
/// No bit follows from it: `attention_chains`. Ten vectors fit where registers are many (AMD's: 0.85 of
/// the arithmetic on navi21, `tools/shader-stats`); with more than four Intel's compiler spills, or hides
/// no load behind another.
pub fn attention_parts(can: &AdapterFeatures, head_dim: usize, scores: Scores) -> u32 {
    let registers = matches!(can.vendor, Vendor::Amd | Vendor::Nvidia);
    // Two terms of a score more want as many again.
    let many = can.class.is_processor() || (registers && scores != Scores::Disentangled);
    parts_of(head_dim, if many { MANY } else { FEW })
}

/// Sums that a score is added up of in `attention.wgsl`, always in the same order, however many invocations
/// share a row: as many as there are invocations at most.
fn attention_chains(head_dim: usize) -> u32 {
    parts_of(head_dim, FEW)
}

/// Vectors of a query that an invocation of a GPU with many registers holds at most.
const MANY: usize = 10;
/// Those of any other GPU.
const FEW: usize = 4;

fn parts_of(head_dim: usize, most: usize) -> u32 {
    let vectors = head_dim.div_ceil(4);
    [1u32, 2, 4, 8]
        .into_iter()
        .find(|&parts| vectors.div_ceil(parts as usize) <= most)
        .unwrap_or(16)
}

/// Rows of one text a workgroup of attention works on where `parts` share one: 256 invocations at most.
pub fn attention_rows(parts: u32) -> usize {
    (256 / parts.max(1) as usize).min(64)
}

impl Attention {
    /// Over `tiles` tiles, by `heads` of them from number `first` on; `flops` is the work of one head.
    /// Binds queries, keys and values, tiles, the result, then what [`Scores`] reads: slopes, a table
    /// of distances, or places and the place of each distance.
    pub fn over(
        self,
        shape: AttentionShape,
        tiles: usize,
        (first, heads): (usize, usize),
        flops: u64,
    ) -> Call {
        let AttentionShape { kv_heads, divisor, reach, line, .. } = shape;
        let stride = self.head_dim as usize;
        let (joined, kv) = (shape.heads * stride, kv_heads * stride);
        let params = AttentionParams {
            qkv4: ((joined + 2 * kv) / 4) as u32,
            out4: (joined / 4) as u32,
            scale: LOG2_E / (divisor as f32).sqrt(),
            kv4: (kv / 4) as u32,
            group: (shape.heads / kv_heads) as u32,
            reach: reach as u32,
            line: line as u32,
            first_head: first as u32,
        };
        Call::new(self, params, [tiles as u32, heads as u32], flops * heads as u64)
    }
}

impl Kernel for Attention {
    const NAME: &'static str = "attention";
    type Params = AttentionParams;

    fn choices(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.staging {
            Staging::Workgroup => "",
            Staging::Broadcast => ".broadcast",
            Staging::Direct => ".direct",
        })?;
        write!(f, ".d{}", self.head_dim)?;
        if self.staging == Staging::Workgroup
            && self.parts != attention_chains(self.head_dim as usize)
        {
            write!(f, ".p{}", self.parts)?;
        }
        if self.scores != Scores::Plain {
            write!(f, "+{}", self.scores)?;
        }
        f.write_str(narrow_suffix(self.narrow))
    }

    fn bindings(&self) -> &'static [Access] {
        self.scores.bindings()
    }

    fn variants(sizes: Sizes<'_>) -> Vec<Self> {
        let mut all = Vec::new();
        for (staging, scores) in
            Staging::ALL.into_iter().flat_map(|staging| Scores::ALL.map(|scores| (staging, scores)))
        {
            // DeBERTa's has one form for every processor.
            let disentangled = scores == Scores::Disentangled;
            if disentangled && staging == Staging::Broadcast {
                continue;
            }
            for narrow in [false, true] {
                // Software Vulkan keeps activations in f32.
                if narrow && staging == Staging::Broadcast {
                    continue;
                }
                for &head_dim in sizes.head_dims {
                    let dim = head_dim as usize;
                    if staging == Staging::Direct && dim > DIRECT_HEAD_DIM && !disentangled {
                        continue;
                    }
                    let (few, many) = (parts_of(dim, FEW), parts_of(dim, MANY));
                    let parts: &[u32] = match staging {
                        Staging::Workgroup if disentangled => &[few],
                        Staging::Workgroup if few != many => &[few, many],
                        _ => &[many],
                    };
                    let of = |&parts| Self { staging, head_dim, scores, narrow, parts };
                    all.extend(parts.iter().map(of));
                }
            }
        }
        all
    }

    fn runs_on(&self, can: &AdapterFeatures) -> bool {
        let staged = match self.staging {
            Staging::Workgroup => true,
            Staging::Broadcast => can.subgroups && can.class == Class::Software,
            Staging::Direct => can.class.is_processor(),
        };
        staged && self.parts == attention_parts(can, self.head_dim as usize, self.scores)
    }

    fn reads_narrow(&self) -> bool {
        self.narrow
    }

    fn wgsl(&self, unroll: usize) -> Wgsl {
        let scores = self.scores;
        let text = match (scores, self.staging) {
            (Scores::Disentangled, Staging::Direct) => Wgsl::of("attention_disentangled"),
            (_, Staging::Broadcast) => Wgsl::of("attention_broadcast"),
            (_, Staging::Direct) => Wgsl::of("attention_direct"),
            (_, Staging::Workgroup) => Wgsl::of("attention"),
        };
        let mut text = text.with(self.constants(unroll)).lib("attention_io");
        if (scores, self.staging) != (Scores::Disentangled, Staging::Direct) {
            text = text.choice("attention", scores);
            // The file of a window says which keys it reaches.
            if scores != Scores::Window {
                text = text.lib("attention_whole");
            }
        }
        text.activations(self.narrow, self.narrow)
    }

    fn fmas(&self, unroll: usize) -> Option<usize> {
        (self.staging == Staging::Workgroup).then(|| unroll * self.fmas_of_eight())
    }

    fn needs(&self, p: &AttentionParams, grid: [u32; 2]) -> Option<Vec<Need>> {
        let Self { staging, head_dim, scores, narrow, .. } = *self;
        let head4 = head_dim / 4;
        let heads = u128::from(p.first_head) + u128::from(grid[1]);
        let shared = heads.checked_sub(1)?.checked_div(u128::from(p.group))? + 1;
        let (head, out, kv) = (u128::from(head4), u128::from(p.out4), u128::from(p.kv4));
        let inside = head_dim % 4 == 0
            && head4 > 0
            && heads * head <= out
            && shared * head <= kv
            && out + 2 * kv <= u128::from(p.qkv4);
        let alone = scores.needs((p.reach, p.line), (p.group, p.out4), heads)?;
        let stored = |row4: u32| Need::Stored { numbers: product(&[4, row4]), narrow };
        let mut needs = vec![stored(p.qkv4), Need::Words(product(&[4, grid[0]])), stored(p.out4)];
        needs.extend(alone);
        // What software Vulkan runs reads words of 32 bits.
        let read = !(narrow && staging == Staging::Broadcast);
        (inside && read).then_some(needs)
    }

    fn indices(&self, p: &AttentionParams, grid: [u32; 2], arrays: &mut dyn Arrays) -> Checked {
        let read = arrays.rows(0, 4 * u128::from(p.qkv4));
        let written = arrays.rows(2, 4 * u128::from(p.out4));
        are_tiles(arrays.words(1)?, grid[0], self.parts, read.min(written))?;
        self.scores.check_places(p.out4, arrays)
    }
}

/// Whether `tiles` are those of texts of at most `rows` rows, each row shared by `parts`: each text from
/// its first query on, in tiles that lie side by side, and no row in two texts, since both would write it.
fn are_tiles(tiles: &[u32], count: u32, parts: u32, rows: u128) -> Checked {
    let (lines, rest) = tiles.as_chunks::<4>();
    let step = attention_rows(parts) as u32;
    if !rest.is_empty() || lines.len() != count as usize {
        return Err("its grid has not a workgroup for each tile");
    }
    let end = |first: u32, length: u32| u128::from(first) + u128::from(length);
    // What the next tile has to be, where the text is not done.
    let mut next: Option<[u32; 4]> = None;
    // Where the text before ends.
    let mut free = 0;
    for &line in lines {
        let [first, length, query, hidden] = line;
        let inside = hidden < length && end(first, length) <= rows;
        if query == 0 {
            if u128::from(first) < free {
                return Err("two texts share a row");
            }
            free = end(first, length);
        }
        if !inside || next.map_or(query != 0, |next| next != line) {
            return Err("a tile is outside of the rows of its text");
        }
        let after = query.checked_add(step).filter(|after| *after < length);
        next = after.map(|query| [first, length, query, hidden]);
    }
    match next {
        None => Ok(()),
        Some(_) => Err("a text has queries without a tile"),
    }
}
