//! How the tensors of a checkpoint are laid side by side for the kernels: which tensor goes where
//! in which matrix, with every row padded to four numbers.
//!
//! Pure data made from a [`Spec`]; executors read the tensors and put them into their own memory
//! order. Padding lies inside a row (a width of 30 becomes 32, the two columns stay zero through
//! every kernel); tokens are never padded.

mod builder;

use std::ops::Range;

use super::spec::Spec;
use crate::error::Result;
use builder::LayoutBuilder;

/// Rounds up to whole vectors of four numbers, the unit in which kernels read and write.
pub const fn align4(n: usize) -> usize {
    n.div_ceil(4) * 4
}

/// Index of a weight in [`Layout::weights`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WeightId(pub usize);

/// What a weight is used as, which decides the memory order an executor gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Rows that are looked up: (rows, stride), row-major.
    Table,
    /// The right side of a product: (n, k), one row an output, row-major before packing.
    Matrix,
    /// Read whole by a kernel: biases (1, n), or a normalisation's γ over β (2, stride).
    Vector,
}

/// A run of equal groups inside an axis: entry i of the tensor lands at
/// `offset + (i / size) * stride + (i % size) * step`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Groups {
    /// Where the first group starts.
    pub offset: usize,
    /// Entries in a group (a head).
    pub size: usize,
    /// Distance between the starts of two groups.
    pub stride: usize,
    /// Distance between two entries of a group.
    pub step: usize,
}

impl Groups {
    /// All entries one after the other from `offset`.
    pub fn whole(offset: usize, size: usize) -> Self {
        Self { offset, size, stride: size, step: 1 }
    }

    /// Groups of `size` entries, each group one run, their starts `stride` apart.
    pub fn spaced(offset: usize, size: usize, stride: usize) -> Self {
        Self { offset, size, stride, step: 1 }
    }

    /// Where entry `i` lands.
    pub fn place(&self, i: usize) -> usize {
        self.offset + i / self.size * self.stride + i % self.size * self.step
    }
}

/// One tensor of the checkpoint and its place in a weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightPart {
    /// Names the tensor may have, in order of preference.
    pub names: Vec<String>,
    /// Shape in the checkpoint.
    pub shape: Vec<usize>,
    /// Which entries of its first axis are taken.
    pub take: Range<usize>,
    /// Where its rows land (a vector is one row; axes behind the second are columns as well).
    pub rows: Groups,
    /// Where its columns land.
    pub cols: Groups,
    /// Whether its rows are the columns of the weight: `rows` then places its columns, `cols` its
    /// rows.
    pub transposed: bool,
}

impl WeightPart {
    /// Rows and columns of what is taken of the tensor.
    pub fn size(&self) -> (usize, usize) {
        match self.shape[..] {
            [_, ref rest @ ..] if !rest.is_empty() => (self.take.len(), rest.iter().product()),
            // A vector is one row of its weight.
            _ => (1, self.take.len()),
        }
    }
}

/// One weight as the kernels see it: (rows, cols) numbers, zero where no part lands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weight {
    /// For messages and plans: `block 3 qkv`.
    pub label: String,
    /// What it is used as.
    pub usage: Use,
    /// Rows, padding included.
    pub rows: usize,
    /// Numbers in a row, padding included.
    pub cols: usize,
    /// The tensors in it.
    pub parts: Vec<WeightPart>,
}

/// A matrix and its bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinearIds {
    /// (n, k).
    pub matrix: WeightId,
    /// (1, n); zeros where the family has none.
    pub bias: WeightId,
    /// Outputs, padding included.
    pub n: usize,
    /// Inputs, padding included.
    pub k: usize,
}

/// What the bias of attention reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BiasIds {
    /// Nothing that is a weight.
    None,
    /// A row a distance from −reach to reach, (2 reach + 1, heads).
    Relative(WeightId),
    /// DeBERTa's.
    Disentangled {
        /// Relative positions, (2 span, width).
        table: WeightId,
        /// Their normalisation, (2, width).
        norm: WeightId,
        /// Their queries and keys in one product, (2 × heads × head stride, width).
        product: LinearIds,
    },
}

/// The weights of a mixture of experts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpertIds {
    /// What chooses, (experts, width).
    pub router: LinearIds,
    /// First product of each.
    pub up: Vec<LinearIds>,
    /// Second product of each; the bias of the first one is that of their sum.
    pub down: Vec<LinearIds>,
}

/// The weights of one encoder layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockIds {
    /// Queries, keys and values in one product: ((heads + 2 kv_heads) × head stride, width).
    pub qkv: LinearIds,
    /// γ and β of queries over those of keys, (4, heads × head stride).
    pub query_key_norms: Option<WeightId>,
    /// What the scores get.
    pub bias: BiasIds,
    /// After the heads are joined.
    pub output: LinearIds,
    /// norm₁, (2, width).
    pub attention_norm: Option<WeightId>,
    /// A norm more behind it, (2, width).
    pub second_norm: Option<WeightId>,
    /// First feed-forward product; with a gate, its rows after those of `up`.
    pub up: LinearIds,
    /// Second feed-forward product.
    pub down: LinearIds,
    /// norm₂, (2, width).
    pub output_norm: WeightId,
    /// Experts, of which `up` and `down` are the first.
    pub experts: Option<ExpertIds>,
    /// A convolution, (width, taps × width), and its normalisation.
    pub convolution: Option<(LinearIds, WeightId)>,
}

/// Every weight of a model and where the forward pass finds it.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The weights, in the order they are loaded.
    pub(crate) weights: Vec<Weight>,
    /// Numbers between two rows of a hidden state.
    pub(crate) width: usize,
    /// Numbers between two rows of an embedding table.
    pub(crate) embedding: usize,
    /// Numbers between two heads in a row of queries, keys or values.
    pub(crate) head_dim: usize,
    /// Numbers between two rows of the feed-forward activations.
    pub(crate) inner: usize,
    /// Word table.
    pub(crate) word: WeightId,
    /// Position table; one row of zeros where the family has none.
    pub(crate) position: WeightId,
    /// Token-type table; one row of zeros where the family has none.
    pub(crate) token_type: WeightId,
    /// The embedding's normalisation.
    pub(crate) embedding_norm: WeightId,
    /// From an embedding to a hidden state.
    pub(crate) projection: Option<LinearIds>,
    /// The normalisation behind it.
    pub(crate) projected_norm: Option<WeightId>,
    /// The encoder layers.
    pub(crate) blocks: Vec<BlockIds>,
    /// The normalisation after the last block.
    pub(crate) final_norm: Option<WeightId>,
    /// The pooler, where there is one.
    pub(crate) pooler: Option<LinearIds>,
    /// The encoder it is of; none for weights of any shape that are not of one.
    pub(crate) spec: Option<Box<Spec>>,
}

impl Layout {
    /// Lays out the tensors of `spec`. Blocks that are equal share their weights.
    ///
    /// # Errors
    ///
    /// Those of [`Spec::validate`].
    pub fn new(spec: &Spec) -> Result<Self> {
        spec.validate()?;
        let mut builder = LayoutBuilder::new(spec);
        let e = &spec.embedding;
        let embedding = align4(e.width);
        let word = builder.table("word table", &e.word, (spec.vocab, e.width));
        let position = match &e.position {
            Some(p) => {
                builder.table("position table", std::slice::from_ref(&p.table), (p.rows, e.width))
            }
            None => builder.table("position table", &[], (1, e.width)),
        };
        let token_type = match &e.token_type {
            Some(t) => {
                builder.table("token-type table", std::slice::from_ref(t), (spec.types, e.width))
            }
            None => builder.table("token-type table", &[], (1, e.width)),
        };
        let embedding_norm = builder.norm("embedding norm".to_owned(), &e.norm, e.width);
        let hidden = Groups::whole(0, spec.width);
        let projection = e.projection.as_ref().map(|l| {
            let side = [(l, spec.width, hidden)];
            let inputs = (e.width, Groups::whole(0, e.width));
            builder.linear("projection".to_owned(), &side, (builder.width, embedding), inputs)
        });
        let projected_norm = e.projected_norm.as_ref();
        let projected_norm =
            projected_norm.map(|n| builder.norm("projected norm".to_owned(), n, spec.width));
        let mut blocks: Vec<BlockIds> = Vec::new();
        for (i, block) in spec.blocks.iter().enumerate() {
            let twin = spec.blocks[..i].iter().position(|b| b == block);
            let ids = twin.map_or_else(|| builder.block(i, block), |twin| blocks[twin].clone());
            blocks.push(ids);
        }
        let final_norm = spec.final_norm.as_ref();
        let final_norm = final_norm.map(|n| builder.norm("final norm".to_owned(), n, spec.width));
        let pooler = spec.pooler.as_ref().map(|l| {
            let side = [(l, spec.width, hidden)];
            let shape = (builder.width, builder.width);
            builder.linear("pooler".to_owned(), &side, shape, (spec.width, hidden))
        });
        Ok(Self {
            spec: Some(Box::new(spec.clone())),
            width: builder.width,
            embedding,
            head_dim: align4(spec.head_dim),
            inner: align4(spec.inner),
            weights: builder.weights,
            word,
            position,
            token_type,
            embedding_norm,
            projection,
            projected_norm,
            blocks,
            final_norm,
            pooler,
        })
    }

    /// Whether it is that of `spec`.
    pub fn is_of(&self, spec: &Spec) -> bool {
        self.spec.as_deref() == Some(spec)
    }

    /// The weights, in the order they are loaded.
    pub fn weights(&self) -> &[Weight] {
        &self.weights
    }

    /// Numbers between two rows of a hidden state.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Numbers between two heads in a row of queries, keys or values.
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// The embedding's normalisation.
    pub fn embedding_norm(&self) -> WeightId {
        self.embedding_norm
    }

    /// The encoder layers.
    pub fn blocks(&self) -> &[BlockIds] {
        &self.blocks
    }

    /// The pooler, where there is one.
    pub fn pooler(&self) -> Option<LinearIds> {
        self.pooler
    }

    /// The weight `id`, which is one of this layout.
    pub fn weight(&self, id: WeightId) -> &Weight {
        &self.weights[id.0]
    }

    /// Numbers in all weights, padding included.
    pub fn numbers(&self) -> u64 {
        self.weights.iter().map(|w| (w.rows * w.cols) as u64).sum()
    }
}
