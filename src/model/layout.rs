//! How the tensors of a checkpoint are laid side by side for the kernels: which tensor goes where
//! in which matrix, with every row padded to four numbers.
//!
//! Pure data made from a [`Spec`]; executors read the tensors and put them into their own memory
//! order. Padding lies inside a row (a width of 30 becomes 32, the two columns stay zero through
//! every kernel); tokens are never padded.

use super::spec::{Linear, Norm, Spec};

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
/// `offset + (i / size) * stride + i % size`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Groups {
    /// Where the first group starts.
    pub offset: usize,
    /// Entries in a group (a head).
    pub size: usize,
    /// Distance between the starts of two groups.
    pub stride: usize,
}

impl Groups {
    /// All entries one after the other from `offset`.
    pub fn whole(offset: usize, size: usize) -> Self {
        Self { offset, size, stride: size }
    }

    /// Where entry `i` lands.
    pub fn place(&self, i: usize) -> usize {
        self.offset + i / self.size * self.stride + i % self.size
    }
}

/// One tensor of the checkpoint and its place in a weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Names the tensor may have, in order of preference.
    pub names: Vec<String>,
    /// Shape in the checkpoint.
    pub shape: Vec<usize>,
    /// Where its rows land (a vector is one row).
    pub rows: Groups,
    /// Where its columns land.
    pub cols: Groups,
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
    pub parts: Vec<Part>,
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

/// The weights of one encoder layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockIds {
    /// Queries, keys and values in one product: (3 × heads × head stride, width).
    pub qkv: LinearIds,
    /// After the heads are joined.
    pub output: LinearIds,
    /// norm₁, (2, width).
    pub attention_norm: WeightId,
    /// First feed-forward product.
    pub up: LinearIds,
    /// Second feed-forward product.
    pub down: LinearIds,
    /// norm₂, (2, width).
    pub output_norm: WeightId,
}

/// Every weight of a model and where the forward pass finds it.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The weights, in the order they are loaded.
    pub weights: Vec<Weight>,
    /// Numbers between two rows of a hidden state.
    pub width: usize,
    /// Numbers between two heads in a row of queries, keys or values.
    pub head_dim: usize,
    /// Numbers between two rows of the feed-forward activations.
    pub inner: usize,
    /// Word table.
    pub word: WeightId,
    /// Position table.
    pub position: WeightId,
    /// Token-type table.
    pub token_type: WeightId,
    /// The embedding's normalisation.
    pub embedding_norm: WeightId,
    /// The encoder layers.
    pub blocks: Vec<BlockIds>,
    /// The pooler, where there is one.
    pub pooler: Option<LinearIds>,
}

impl Layout {
    /// Lays out the tensors of `spec`.
    pub fn new(spec: &Spec) -> Self {
        let mut weights = Vec::new();
        let width = align4(spec.width);
        let head_dim = align4(spec.head_dim);
        let joined = spec.heads * head_dim;
        let inner = align4(spec.inner);
        // A head keeps its place when head_dim is padded.
        let heads = |at| Groups { offset: at, size: spec.head_dim, stride: head_dim };
        let hidden = Groups::whole(0, spec.width);
        let between = Groups::whole(0, spec.inner);

        let mut push = |weight: Weight| {
            weights.push(weight);
            WeightId(weights.len() - 1)
        };
        let table = |label: &str, name: &str, rows: usize| Weight {
            label: label.to_owned(),
            usage: Use::Table,
            rows,
            cols: width,
            parts: vec![Part {
                names: vec![name.to_owned()],
                shape: vec![rows, spec.width],
                rows: Groups::whole(0, rows),
                cols: hidden,
            }],
        };
        let norm = |label: String, norm: &Norm| {
            let part = |names: &[String], row| Part {
                names: names.to_vec(),
                shape: vec![spec.width],
                rows: Groups::whole(row, 1),
                cols: hidden,
            };
            Weight {
                label,
                usage: Use::Vector,
                rows: 2,
                cols: width,
                parts: vec![part(&norm.weight, 0), part(&norm.bias, 1)],
            }
        };

        let e = &spec.embedding;
        let word = push(table("word table", &e.word, spec.vocab));
        let position = push(table("position table", &e.position, spec.positions));
        let token_type = push(table("token-type table", &e.token_type, spec.types));
        let embedding_norm = push(norm("embedding norm".to_owned(), &e.norm));

        let blocks = spec
            .blocks
            .iter()
            .enumerate()
            .map(|(i, block)| {
                let at = |what| format!("block {} {what}", i + 1);
                let a = &block.attention;
                let out_of_heads = spec.heads * spec.head_dim;
                let qkv = [&a.query, &a.key, &a.value]
                    .map(|l| (l, out_of_heads))
                    .into_iter()
                    .enumerate()
                    .map(|(j, (l, n))| (l, n, heads(j * joined)))
                    .collect::<Vec<_>>();
                let d = spec.width;
                BlockIds {
                    qkv: linear(&mut push, at("qkv"), &qkv, (3 * joined, width), (d, hidden)),
                    output: linear(
                        &mut push,
                        at("output"),
                        &[(&a.output, d, hidden)],
                        (width, joined),
                        (out_of_heads, heads(0)),
                    ),
                    attention_norm: push(norm(at("attention norm"), &block.attention_norm)),
                    up: linear(
                        &mut push,
                        at("up"),
                        &[(&block.up, spec.inner, between)],
                        (inner, width),
                        (d, hidden),
                    ),
                    down: linear(
                        &mut push,
                        at("down"),
                        &[(&block.down, d, hidden)],
                        (width, inner),
                        (spec.inner, between),
                    ),
                    output_norm: push(norm(at("output norm"), &block.output_norm)),
                }
            })
            .collect();
        let pooler = spec.pooler.as_ref().map(|l| {
            linear(
                &mut push,
                "pooler".to_owned(),
                &[(l, spec.width, hidden)],
                (width, width),
                (spec.width, hidden),
            )
        });
        Self {
            weights,
            width,
            head_dim,
            inner,
            word,
            position,
            token_type,
            embedding_norm,
            blocks,
            pooler,
        }
    }

    /// The weight `id`.
    pub fn weight(&self, id: WeightId) -> &Weight {
        &self.weights[id.0]
    }

    /// Numbers in all weights, padding included.
    pub fn numbers(&self) -> u64 {
        self.weights.iter().map(|w| (w.rows * w.cols) as u64).sum()
    }
}

/// Adds the matrix and the bias of the products `sides` (tensor, outputs, where they land), which
/// share their input: `inputs` numbers that land at `cols`.
fn linear(
    push: &mut impl FnMut(Weight) -> WeightId,
    label: String,
    sides: &[(&Linear, usize, Groups)],
    (n, k): (usize, usize),
    (inputs, cols): (usize, Groups),
) -> LinearIds {
    let matrix = Weight {
        label: label.clone(),
        usage: Use::Matrix,
        rows: n,
        cols: k,
        parts: sides
            .iter()
            .map(|(l, outputs, rows)| Part {
                names: vec![l.weight.clone()],
                shape: vec![*outputs, inputs],
                rows: *rows,
                cols,
            })
            .collect(),
    };
    let bias = Weight {
        label: format!("{label} bias"),
        usage: Use::Vector,
        rows: 1,
        cols: n,
        parts: sides
            .iter()
            .filter_map(|(l, outputs, rows)| {
                Some(Part {
                    names: vec![l.bias.clone()?],
                    shape: vec![*outputs],
                    rows: Groups::whole(0, 1),
                    cols: *rows,
                })
            })
            .collect(),
    };
    LinearIds { matrix: push(matrix), bias: push(bias), n, k }
}
