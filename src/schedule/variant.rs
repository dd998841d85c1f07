//! The kernels and the choices compiled into them.
//!
//! A [`Variant`] is the whole key of a pipeline: two dispatches with equal variants share one. What
//! its choices mean is in `variant/`, what it is called in `variant/name.rs`.

mod adapter;
mod bindings;
mod elem;
mod name;
mod row;
mod tile;

pub use adapter::{AdapterFeatures, Class};
pub use bindings::Access;
pub use elem::{Elem, Narrow};
pub use row::{NormInput, RowCut, RowSum};
pub use tile::Tile;

use crate::math::activation::Activation;
use crate::math::norm::NormKind;
pub use crate::math::pool::PoolMode;

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

/// What becomes of the scores of attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scores {
    /// Nothing.
    Plain,
    /// Keys too far away do not count, and tiles of them are skipped.
    Window,
    /// A slope a head times the distance is taken off.
    Alibi,
    /// A table row of the distance is added.
    Relative,
    /// DeBERTa's two products with relative positions are added.
    Disentangled,
}

impl Scores {
    /// Every form.
    pub const ALL: [Self; 5] =
        [Self::Plain, Self::Window, Self::Alibi, Self::Relative, Self::Disentangled];
}

/// How the states of several layers become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Merge {
    /// Sum of factor × state.
    Linear,
    /// Largest number of each position.
    Max,
}

/// One kernel with what is compiled into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Variant {
    /// Gather, sum and normalise three table rows a token.
    Embed {
        /// Storage type of the tables.
        tables: Elem,
        /// Whether the word rows were gathered on the host, as f32.
        gathered: bool,
        /// How a row is shared.
        cut: RowCut,
        /// What is divided by.
        kind: NormKind,
    },
    /// Normalise each row.
    Norm {
        /// How a row is shared.
        cut: RowCut,
        /// What is divided by.
        kind: NormKind,
        /// What is added up first.
        input: NormInput,
    },
    /// C = act(A Wᵀ + b), or C = A Wᵀ + b + residual.
    Matmul {
        /// How the product is cut up.
        tile: Tile,
        /// Storage type of W.
        weights: Elem,
        /// Applied to the sum.
        activation: Activation,
        /// Whether a second array is added.
        residual: bool,
        /// Parts along k that are left for [`Variant::Norm`] to add up; 1 for none.
        splits: u32,
        /// Which of A and C is kept in 16 bits.
        narrow: Narrow,
    },
    /// softmax(Q Kᵀ / √d) V over each text and head.
    Attention {
        /// Where keys and values lie while they are used.
        staging: Staging,
        /// Numbers between two heads (head_dim rounded up to a multiple of 4).
        head_dim: u32,
        /// What becomes of the scores.
        scores: Scores,
        /// Whether queries, keys, values and the result are kept in 16 bits.
        narrow: bool,
    },
    /// Turn queries and keys by their positions, in place.
    Rope,
    /// act(gate) × up, element by element.
    Gate {
        /// Applied to the gate.
        activation: Activation,
        /// Whether both arrays are kept in 16 bits.
        narrow: bool,
    },
    /// The neighbours of each token side by side.
    Im2col,
    /// Normalise queries and keys over all their heads, in place.
    QkNorm,
    /// Which tokens go through which expert.
    Route,
    /// C = act(A Wᵀ) for the rows of one expert.
    Expert {
        /// Storage type of W.
        weights: Elem,
        /// Applied to the sum.
        activation: Activation,
        /// Whether a row is multiplied with its share.
        shared: bool,
    },
    /// Merge a state into the running combination of layers.
    Combine(Merge),
    /// One row a text.
    Pool(PoolMode),
}

impl Variant {
    /// Whether it runs on any WebGPU adapter; the others need what [`Variant`]'s choice asked for.
    pub fn is_portable(&self) -> bool {
        self.runs_on(&AdapterFeatures { class: Class::CpuAdapter, ..AdapterFeatures::default() })
    }

    /// Whether an adapter that `can` do so much runs it, and is of a kind that could be given it: what
    /// is made for processors has more in an invocation than a GPU has registers.
    pub fn runs_on(&self, can: &AdapterFeatures) -> bool {
        let eight = can.subgroups && can.class == Class::Software;
        let processor = can.class.is_processor();
        let summed = |sum| match sum {
            RowSum::Shared => true,
            RowSum::Few => processor,
            RowSum::Subgroup => can.subgroups,
            RowSum::Single => eight,
        };
        let stored = |elem| elem != Elem::NativeF16 || can.half;
        match self {
            Self::Matmul { tile, weights, .. } => {
                let cut = match tile {
                    Tile::Broadcast => eight,
                    Tile::Direct => processor,
                    // They read halves as such.
                    Tile::Coop8 | Tile::Coop16 => {
                        can.coop == Some(*tile) && *weights == Elem::NativeF16
                    }
                    _ => true,
                };
                cut && stored(*weights)
            }
            Self::Attention { staging, .. } => match staging {
                Staging::Workgroup => true,
                Staging::Broadcast => eight,
                Staging::Direct => processor,
            },
            Self::Norm { cut, .. } => summed(cut.sum),
            Self::Embed { cut, tables, .. } => summed(cut.sum) && stored(*tables),
            Self::Expert { weights, .. } => stored(*weights),
            Self::Im2col | Self::QkNorm | Self::Route => true,
            Self::Rope | Self::Gate { .. } | Self::Combine(_) | Self::Pool(_) => true,
        }
    }

    /// Whether the first array it reads is kept in 16 bits.
    pub fn reads_narrow(&self) -> bool {
        match self {
            Self::Matmul { narrow, .. } => *narrow == Narrow::A,
            Self::Attention { narrow, .. } | Self::Gate { narrow, .. } => *narrow,
            _ => false,
        }
    }

    /// Whether the array it writes is kept in 16 bits.
    pub fn writes_narrow(&self) -> bool {
        match self {
            Self::Matmul { narrow, .. } => *narrow == Narrow::C,
            _ => self.reads_narrow(),
        }
    }

    /// Name of the kernel: its `.wgsl` file and its CPU function.
    pub fn kernel(&self) -> &'static str {
        match self {
            Self::Embed { .. } => "embed",
            Self::Norm { .. } => "norm",
            Self::Matmul { .. } => "matmul",
            Self::Attention { .. } => "attention",
            Self::Rope => "rope",
            Self::Gate { .. } => "gate",
            Self::Im2col => "im2col",
            Self::QkNorm => "qk_norm",
            Self::Route => "route",
            Self::Expert { .. } => "expert",
            Self::Combine(_) => "combine",
            Self::Pool(_) => "pool",
        }
    }
}
