//! The kernels and the choices compiled into them.
//!
//! A [`Variant`] is the whole key of a pipeline: two dispatches with equal variants share one.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::spec::{Activation, NormKind};

/// Storage type of the weights. Sums are in f32 whatever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Elem {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats, two in a u32, unpacked in the kernel: any adapter.
    F16,
    /// 16-bit floats, read as such: adapters with `shader-f16`. The same bytes as [`Elem::F16`].
    Half,
}

impl Elem {
    /// Every storage type.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Half];

    /// Bytes of a number.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Half => 2,
        }
    }

    /// What a variant's name says of it.
    fn suffix(self) -> &'static str {
        match self {
            Self::F32 => "",
            Self::F16 => ".f16",
            Self::Half => ".half",
        }
    }
}

/// What an adapter can do that kernels are chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Abilities {
    /// What products and attention are cut up for.
    pub class: Class,
    /// Whether invocations may exchange values across a subgroup of at least eight.
    pub subgroups: bool,
    /// Whether shaders may use 16-bit floats (`shader-f16`).
    pub half: bool,
    /// The cut of products on cooperative matrices, where the device was opened for them.
    pub coop: Option<Tile>,
}

/// What kind of adapter the work is cut up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Class {
    /// Software Vulkan whose subgroups are eight wide: no workgroup memory, values are handed round.
    Software,
    /// Few compute units: integrated and mobile GPUs, browsers that do not say, other software.
    #[default]
    Small,
    /// A discrete GPU, which wants hundreds of workgroups.
    Large,
}

/// How a product is cut up. Every cut but those on cooperative matrices adds each number of C in one
/// chain over k from 0, so they give the same bits and the one that fits the shape may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tile {
    /// 16 x 32 in workgroup memory: a handful of rows.
    R,
    /// 32 x 32 in workgroup memory: too few tiles of the next to fill the adapter.
    S,
    /// 64 x 64 in workgroup memory.
    M,
    /// 128 x 128 in workgroup memory: large products on large GPUs.
    L,
    /// Rows handed round subgroups of eight: [`Class::Software`].
    Broadcast,
    /// 128 x 64 on cooperative matrices of 8 x 8, A rounded to f16: only where asked for, and then for
    /// every product, since its bits are its own.
    Coop8,
    /// The same on cooperative matrices of 16 x 16.
    Coop16,
}

impl Tile {
    /// Every cut.
    pub const ALL: [Self; 7] =
        [Self::R, Self::S, Self::M, Self::L, Self::Broadcast, Self::Coop8, Self::Coop16];

    /// The cuts of `matmul.wgsl`, which any adapter runs.
    pub const PORTABLE: [Self; 4] = [Self::R, Self::S, Self::M, Self::L];

    /// Whether it is one on cooperative matrices.
    pub fn is_coop(self) -> bool {
        matches!(self, Self::Coop8 | Self::Coop16)
    }

    /// Rows and columns of C that one workgroup computes.
    pub fn size(self) -> (usize, usize) {
        match self {
            Self::R => (16, 32),
            Self::S => (32, 32),
            Self::M | Self::Broadcast => (64, 64),
            Self::L => (128, 128),
            Self::Coop8 | Self::Coop16 => (128, 64),
        }
    }
}

/// How the invocations of a row add up their parts, in normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowSum {
    /// 64 of them, through workgroup memory: any adapter.
    Shared,
    /// 64 of them, across subgroups first.
    Subgroup,
    /// 8 of them, which are a subgroup: [`Class::Software`].
    Single,
}

impl RowSum {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::Shared, Self::Subgroup, Self::Single];

    /// Invocations that share a row.
    pub fn lanes(self) -> usize {
        match self {
            Self::Shared | Self::Subgroup => 64,
            Self::Single => 8,
        }
    }
}

/// What a normalisation reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NormInput {
    /// Rows as they are.
    Whole,
    /// Rows and a residual.
    Residual,
    /// So many parts of a product along k, its bias and a residual.
    Parts(u32),
}

impl NormInput {
    /// Every form, with the parts that the schedule uses.
    pub const ALL: [Self; 4] = [Self::Whole, Self::Residual, Self::Parts(2), Self::Parts(4)];

    /// Arrays of rows in the first binding.
    pub fn parts(self) -> u32 {
        match self {
            Self::Whole | Self::Residual => 1,
            Self::Parts(parts) => parts,
        }
    }
}

/// The cut of a row between invocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowCut {
    /// How they add up.
    pub sum: RowSum,
    /// Vectors of four numbers that each holds.
    pub held: u32,
}

impl RowCut {
    /// The cut of rows `stride` numbers apart.
    pub fn new(sum: RowSum, stride: usize) -> Self {
        Self { sum, held: stride.div_ceil(4 * sum.lanes()).max(1) as u32 }
    }
}

/// Where attention keeps keys and values while it uses them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Staging {
    /// Workgroup memory.
    Workgroup,
    /// The registers of a subgroup of eight: [`Class::Software`].
    Broadcast,
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

/// How a text's rows become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PoolMode {
    /// Mean of the rows.
    Mean,
    /// Row 0.
    Cls,
    /// The last row.
    Last,
    /// Largest number of each column.
    Max,
    /// Sum of the rows / √n.
    MeanSqrt,
    /// Mean with weights 1..=n.
    WeightedMean,
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
    },
    /// softmax(Q Kᵀ / √d) V over each text and head.
    Attention {
        /// Where keys and values lie while they are used.
        staging: Staging,
        /// Numbers between two heads (head_dim rounded up to a multiple of 4).
        head_dim: u32,
        /// What becomes of the scores.
        scores: Scores,
    },
    /// Turn queries and keys by their positions, in place.
    Rope,
    /// act(gate) × up, element by element.
    Gate(Activation),
    /// The neighbours of each token side by side.
    Unfold,
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
        self.runs_on(&Abilities::default())
    }

    /// Whether an adapter that `can` do so much runs it.
    pub fn runs_on(&self, can: &Abilities) -> bool {
        let eight = can.subgroups && can.class == Class::Software;
        let summed = |sum| match sum {
            RowSum::Shared => true,
            RowSum::Subgroup => can.subgroups,
            RowSum::Single => eight,
        };
        let stored = |elem| elem != Elem::Half || can.half;
        match self {
            Self::Matmul { tile, weights, .. } => {
                let cut = match tile {
                    Tile::Broadcast => eight,
                    // They read halves as such.
                    Tile::Coop8 | Tile::Coop16 => can.coop == Some(*tile) && *weights == Elem::Half,
                    _ => true,
                };
                cut && stored(*weights)
            }
            Self::Attention { staging, .. } => *staging != Staging::Broadcast || eight,
            Self::Norm { cut, .. } => summed(cut.sum),
            Self::Embed { cut, tables, .. } => summed(cut.sum) && stored(*tables),
            Self::Expert { weights, .. } => stored(*weights),
            Self::Rope | Self::Gate(_) | Self::Combine(_) | Self::Pool(_) => true,
            Self::Unfold | Self::QkNorm | Self::Route => true,
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
            Self::Gate(_) => "gate",
            Self::Unfold => "unfold",
            Self::QkNorm => "qk_norm",
            Self::Route => "route",
            Self::Expert { .. } => "expert",
            Self::Combine(_) => "combine",
            Self::Pool(_) => "pool",
        }
    }
}

impl fmt::Display for Elem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 | Self::Half => "f16",
        })
    }
}

impl fmt::Display for RowCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = match self.sum {
            RowSum::Shared => "shared",
            RowSum::Subgroup => "subgroup",
            RowSum::Single => "single",
        };
        write!(f, "{sum}.x{}", self.held)
    }
}

/// What a variant's name says of its normalisation.
fn kind_suffix(kind: NormKind) -> &'static str {
    match kind {
        NormKind::Layer => "",
        NormKind::Rms => ".rms",
        NormKind::None => ".none",
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::R => "r",
            Self::S => "s",
            Self::M => "m",
            Self::L => "l",
            Self::Broadcast => "broadcast",
            Self::Coop8 => "coop8",
            Self::Coop16 => "coop16",
        })
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kernel())?;
        match self {
            Self::Norm { cut, input, kind } => {
                write!(f, ".{cut}")?;
                f.write_str(kind_suffix(*kind))?;
                match input {
                    NormInput::Whole => Ok(()),
                    NormInput::Residual => f.write_str("+residual"),
                    NormInput::Parts(parts) => write!(f, "+parts{parts}"),
                }
            }
            Self::Embed { tables, gathered, cut, kind } => {
                write!(f, ".{cut}")?;
                f.write_str(kind_suffix(*kind))?;
                f.write_str(tables.suffix())?;
                f.write_str(if *gathered { "+gathered" } else { "" })
            }
            Self::Matmul { tile, weights, activation, residual, splits } => {
                write!(f, ".{tile}")?;
                f.write_str(weights.suffix())?;
                if *activation != Activation::Identity {
                    write!(f, "+{activation}")?;
                }
                if *splits > 1 {
                    write!(f, "+part{splits}")?;
                }
                f.write_str(if *residual { "+residual" } else { "" })
            }
            Self::Attention { staging, head_dim, scores } => {
                if *staging == Staging::Broadcast {
                    f.write_str(".broadcast")?;
                }
                write!(f, ".d{head_dim}")?;
                f.write_str(match scores {
                    Scores::Plain => "",
                    Scores::Window => "+window",
                    Scores::Alibi => "+alibi",
                    Scores::Relative => "+relative",
                    Scores::Disentangled => "+disentangled",
                })
            }
            Self::Rope | Self::Unfold | Self::QkNorm | Self::Route => Ok(()),
            Self::Expert { weights, activation, shared } => {
                f.write_str(weights.suffix())?;
                if *activation != Activation::Identity {
                    write!(f, "+{activation}")?;
                }
                f.write_str(if *shared { "+shared" } else { "" })
            }
            Self::Gate(activation) => write!(f, ".{activation}"),
            Self::Combine(Merge::Linear) => f.write_str(".linear"),
            Self::Combine(Merge::Max) => f.write_str(".max"),
            Self::Pool(mode) => write!(f, ".{mode}"),
        }
    }
}

impl fmt::Display for PoolMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mean => "mean",
            Self::Cls => "cls",
            Self::Last => "last",
            Self::Max => "max",
            Self::MeanSqrt => "mean-sqrt",
            Self::WeightedMean => "weighted-mean",
        })
    }
}
