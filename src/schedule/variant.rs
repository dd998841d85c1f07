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

/// How a product, or attention, is cut up. Which one a device takes depends on the device alone, never on the
/// shape, so that a text's bits do not depend on its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Tile {
    /// Tiles in workgroup memory: GPUs, and every browser.
    #[default]
    Workgroup,
    /// Rows handed round subgroups of eight: software Vulkan.
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
        tile: Tile,
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
                | Self::Attention { tile: Tile::Broadcast, .. }
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
                if *tile == Tile::Broadcast {
                    f.write_str(".broadcast")?;
                }
                if *weights == Elem::F16 {
                    f.write_str(".f16")?;
                }
                if *activation != Activation::Identity {
                    write!(f, "+{activation}")?;
                }
                f.write_str(if *residual { "+residual" } else { "" })
            }
            Self::Attention { tile, head_dim } => {
                if *tile == Tile::Broadcast {
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
