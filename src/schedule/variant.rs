//! The kernels and the choices compiled into them.
//!
//! A [`Variant`] is the whole key of a pipeline: two dispatches with equal variants share one.

use std::fmt;

use crate::model::spec::Activation;

/// Storage type of the weights. Sums are in f32 whatever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Elem {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats, two in a u32, unpacked in the kernel.
    F16,
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

/// How a product is cut up. Every cut adds each number of C in one chain over k from 0, so they
/// give the same bits and the one that fits the shape may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
}

impl Tile {
    /// Every cut.
    pub const ALL: [Self; 5] = [Self::R, Self::S, Self::M, Self::L, Self::Broadcast];

    /// Rows and columns of C that one workgroup computes.
    pub fn size(self) -> (usize, usize) {
        match self {
            Self::R => (16, 32),
            Self::S => (32, 32),
            Self::M | Self::Broadcast => (64, 64),
            Self::L => (128, 128),
        }
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
    },
    /// Normalise each row.
    Norm,
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
    },
    /// softmax(Q Kᵀ / √d) V over each text and head.
    Attention {
        /// Where keys and values lie while they are used.
        staging: Staging,
        /// Numbers between two heads (head_dim rounded up to a multiple of 4).
        head_dim: u32,
    },
    /// Merge a state into the running combination of layers.
    Combine(Merge),
    /// One row a text.
    Pool(PoolMode),
}

impl Variant {
    /// Whether it runs on any WebGPU adapter; the others need what [`Variant`]'s choice asked for.
    pub fn is_portable(&self) -> bool {
        !matches!(
            self,
            Self::Matmul { tile: Tile::Broadcast, .. }
                | Self::Attention { staging: Staging::Broadcast, .. }
        )
    }

    /// Name of the kernel: its `.wgsl` file and its CPU function.
    pub fn kernel(&self) -> &'static str {
        match self {
            Self::Embed { .. } => "embed",
            Self::Norm => "norm",
            Self::Matmul { .. } => "matmul",
            Self::Attention { .. } => "attention",
            Self::Combine(_) => "combine",
            Self::Pool(_) => "pool",
        }
    }
}

impl fmt::Display for Elem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        })
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
        })
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kernel())?;
        match self {
            Self::Norm => Ok(()),
            Self::Embed { tables, gathered } => {
                if *tables == Elem::F16 {
                    f.write_str(".f16")?;
                }
                f.write_str(if *gathered { "+gathered" } else { "" })
            }
            Self::Matmul { tile, weights, activation, residual } => {
                write!(f, ".{tile}")?;
                if *weights == Elem::F16 {
                    f.write_str(".f16")?;
                }
                if *activation != Activation::Identity {
                    write!(f, "+{activation}")?;
                }
                f.write_str(if *residual { "+residual" } else { "" })
            }
            Self::Attention { staging, head_dim } => {
                if *staging == Staging::Broadcast {
                    f.write_str(".broadcast")?;
                }
                write!(f, ".d{head_dim}")
            }
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
