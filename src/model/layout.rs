//! How the tensors of a checkpoint are laid side by side for the kernels: which tensor goes where
//! in which matrix, with every row padded to four numbers.
//!
//! Pure data made from a [`Spec`]; executors read the tensors and put them into their own memory
//! order. Padding lies inside a row (a width of 30 becomes 32, the two columns stay zero through
//! every kernel); tokens are never padded.

use std::ops::Range;

use super::spec::{Bias, Block, Linear, Norm, Spec};

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
    /// Which entries of its first axis are taken.
    pub take: Range<usize>,
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

/// The weights of one encoder layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockIds {
    /// Queries, keys and values in one product: ((heads + 2 kv_heads) × head stride, width).
    pub qkv: LinearIds,
    /// What the scores get.
    pub bias: BiasIds,
    /// After the heads are joined.
    pub output: LinearIds,
    /// norm₁, (2, width).
    pub attention_norm: Option<WeightId>,
    /// First feed-forward product; with a gate, its rows after those of `up`.
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
    /// Numbers between two rows of an embedding table.
    pub embedding: usize,
    /// Numbers between two heads in a row of queries, keys or values.
    pub head_dim: usize,
    /// Numbers between two rows of the feed-forward activations.
    pub inner: usize,
    /// Word table.
    pub word: WeightId,
    /// Position table; one row of zeros where the family has none.
    pub position: WeightId,
    /// Token-type table; one row of zeros where the family has none.
    pub token_type: WeightId,
    /// The embedding's normalisation.
    pub embedding_norm: WeightId,
    /// From an embedding to a hidden state.
    pub projection: Option<LinearIds>,
    /// The normalisation behind it.
    pub projected_norm: Option<WeightId>,
    /// The encoder layers.
    pub blocks: Vec<BlockIds>,
    /// The normalisation after the last block.
    pub final_norm: Option<WeightId>,
    /// The pooler, where there is one.
    pub pooler: Option<LinearIds>,
}

impl Layout {
    /// Lays out the tensors of `spec`. Blocks that are equal share their weights.
    pub fn new(spec: &Spec) -> Self {
        let mut made = Made { spec, weights: Vec::new(), width: align4(spec.width) };
        let e = &spec.embedding;
        let embedding = align4(e.width);
        let word = made.table("word table", &e.word, (spec.vocab, e.width));
        let position = match &e.position {
            Some(p) => {
                made.table("position table", std::slice::from_ref(&p.table), (p.rows, e.width))
            }
            None => made.table("position table", &[], (1, e.width)),
        };
        let token_type = match &e.token_type {
            Some(t) => {
                made.table("token-type table", std::slice::from_ref(t), (spec.types, e.width))
            }
            None => made.table("token-type table", &[], (1, e.width)),
        };
        let embedding_norm = made.norm("embedding norm".to_owned(), &e.norm, e.width);
        let hidden = Groups::whole(0, spec.width);
        let projection = e.projection.as_ref().map(|l| {
            let side = [(l, spec.width, hidden)];
            let inputs = (e.width, Groups::whole(0, e.width));
            made.linear("projection".to_owned(), &side, (made.width, embedding), inputs)
        });
        let projected_norm = e.projected_norm.as_ref();
        let projected_norm =
            projected_norm.map(|n| made.norm("projected norm".to_owned(), n, spec.width));
        let mut blocks: Vec<BlockIds> = Vec::new();
        for (i, block) in spec.blocks.iter().enumerate() {
            let twin = spec.blocks[..i].iter().position(|b| b == block);
            let ids = twin.map_or_else(|| made.block(i, block), |twin| blocks[twin]);
            blocks.push(ids);
        }
        let final_norm = spec.final_norm.as_ref();
        let final_norm = final_norm.map(|n| made.norm("final norm".to_owned(), n, spec.width));
        let pooler = spec.pooler.as_ref().map(|l| {
            let side = [(l, spec.width, hidden)];
            let shape = (made.width, made.width);
            made.linear("pooler".to_owned(), &side, shape, (spec.width, hidden))
        });
        Self {
            width: made.width,
            embedding,
            head_dim: align4(spec.head_dim),
            inner: align4(spec.inner),
            weights: made.weights,
            word,
            position,
            token_type,
            embedding_norm,
            projection,
            projected_norm,
            blocks,
            final_norm,
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

/// A layout in the making.
struct Made<'a> {
    spec: &'a Spec,
    weights: Vec<Weight>,
    /// Numbers between two rows of a hidden state.
    width: usize,
}

impl Made<'_> {
    fn push(&mut self, weight: Weight) -> WeightId {
        self.weights.push(weight);
        WeightId(self.weights.len() - 1)
    }

    /// A table of `rows` by `cols` numbers; zeros where it has no name.
    fn table(&mut self, label: &str, names: &[String], (rows, cols): (usize, usize)) -> WeightId {
        let part = Part {
            names: names.to_vec(),
            shape: vec![rows, cols],
            take: 0..rows,
            rows: Groups::whole(0, rows),
            cols: Groups::whole(0, cols),
        };
        self.push(Weight {
            label: label.to_owned(),
            usage: Use::Table,
            rows,
            cols: align4(cols),
            parts: if names.is_empty() { Vec::new() } else { vec![part] },
        })
    }

    /// γ over β of `width` numbers each; zeros for one that has no name.
    fn norm(&mut self, label: String, norm: &Norm, width: usize) -> WeightId {
        let part = |(row, names): (usize, &Vec<String>)| Part {
            names: names.clone(),
            shape: vec![width],
            take: 0..width,
            rows: Groups::whole(row, 1),
            cols: Groups::whole(0, width),
        };
        let parts = [&norm.weight, &norm.bias].into_iter().enumerate();
        let parts = parts.filter(|(_, names)| !names.is_empty()).map(part).collect();
        self.push(Weight { label, usage: Use::Vector, rows: 2, cols: align4(width), parts })
    }

    fn block(&mut self, i: usize, block: &Block) -> BlockIds {
        let at = |what: &str| format!("block {} {what}", i + 1);
        let spec = self.spec;
        let (d, width) = (spec.width, self.width);
        let stride = align4(spec.head_dim);
        let (joined, inner) = (spec.heads * stride, align4(spec.inner));
        let kv = spec.kv_heads * stride;
        let hidden = (d, Groups::whole(0, d));
        // A head keeps its place when head_dim is padded.
        let heads = |at| Groups { offset: at, size: spec.head_dim, stride };
        let (of_q, of_kv) = (spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim);
        let a = &block.attention;
        let qkv = [
            (&a.query, of_q, heads(0)),
            (&a.key, of_kv, heads(joined)),
            (&a.value, of_kv, heads(joined + kv)),
        ];
        let qkv = self.linear(at("qkv"), &qkv, (joined + 2 * kv, width), hidden);
        let bias = self.bias(&at("relative positions"), &a.bias);
        let side = [(&a.output, d, hidden.1)];
        let output = self.linear(at("output"), &side, (width, joined), (of_q, heads(0)));
        let attention_norm = block.attention_norm.as_ref();
        let attention_norm = attention_norm.map(|n| self.norm(at("attention norm"), n, d));
        let mut up = vec![(&block.up, spec.inner, Groups::whole(0, spec.inner))];
        up.extend(block.gate.as_ref().map(|g| (g, spec.inner, Groups::whole(inner, spec.inner))));
        let up = self.linear(at("up"), &up, (up.len() * inner, width), hidden);
        let between = (spec.inner, Groups::whole(0, spec.inner));
        let down = self.linear(at("down"), &[(&block.down, d, hidden.1)], (width, inner), between);
        let output_norm = self.norm(at("output norm"), &block.output_norm, d);
        BlockIds { qkv, bias, output, attention_norm, up, down, output_norm }
    }

    fn bias(&mut self, label: &str, bias: &Bias) -> BiasIds {
        let (spec, width) = (self.spec, self.width);
        match bias {
            Bias::None | Bias::Window(_) | Bias::Alibi(_) => BiasIds::None,
            Bias::Relative { table, buckets, rows } => {
                // Every distance gets a copy of its bucket's row.
                let part = |(to, &from): (usize, &usize)| Part {
                    names: vec![table.clone()],
                    shape: vec![*buckets, spec.heads],
                    take: from..from + 1,
                    rows: Groups::whole(to, 1),
                    cols: Groups::whole(0, spec.heads),
                };
                let parts: Vec<_> = rows.iter().enumerate().map(part).collect();
                let weight = Weight {
                    label: label.to_owned(),
                    usage: Use::Vector,
                    rows: rows.len(),
                    cols: align4(spec.heads),
                    parts,
                };
                // One for all blocks.
                let same = |w: &Weight| w.usage == Use::Vector && w.parts == weight.parts;
                let twin = self.weights.iter().position(same).map(WeightId);
                BiasIds::Relative(twin.unwrap_or_else(|| self.push(weight)))
            }
            Bias::Disentangled(p) => {
                let names = std::slice::from_ref(&p.table);
                let shape = (2 * p.span, spec.width);
                let twin = |w: &Weight| w.parts.first().is_some_and(|part| part.names == names);
                let twin = self.weights.iter().position(twin).map(WeightId);
                let (table, norm) = match twin {
                    Some(table) => (table, WeightId(table.0 + 1)),
                    None => {
                        let table = self.table("relative positions", names, shape);
                        self.weights[table.0].usage = Use::Vector;
                        (
                            table,
                            self.norm("relative positions norm".to_owned(), &p.norm, spec.width),
                        )
                    }
                };
                let stride = align4(spec.head_dim);
                let joined = spec.heads * stride;
                let n = spec.heads * spec.head_dim;
                let heads = |at| Groups { offset: at, size: spec.head_dim, stride };
                let sides = [(&p.query, 0), (&p.key, joined)].into_iter();
                let sides = sides.filter_map(|(l, at)| Some((l.as_ref()?, n, heads(at))));
                let sides: Vec<_> = sides.collect();
                let hidden = (spec.width, Groups::whole(0, spec.width));
                let product = self.linear(label.to_owned(), &sides, (2 * joined, width), hidden);
                BiasIds::Disentangled { table, norm, product }
            }
        }
    }

    /// Adds the matrix and the bias of the products `sides` (tensor, outputs, where they land), which
    /// share their input: `inputs` numbers that land at `cols`.
    fn linear(
        &mut self,
        label: String,
        sides: &[(&Linear, usize, Groups)],
        (n, k): (usize, usize),
        (inputs, cols): (usize, Groups),
    ) -> LinearIds {
        let of = |l: &Linear, outputs: usize| match l.share {
            Some(share) => (share.of, share.first..share.first + outputs),
            None => (outputs, 0..outputs),
        };
        let matrix = sides.iter().map(|(l, outputs, rows)| {
            let (all, take) = of(l, *outputs);
            Part { names: l.weight.clone(), shape: vec![all, inputs], take, rows: *rows, cols }
        });
        let bias = sides.iter().filter_map(|(l, outputs, rows)| {
            let (all, take) = of(l, *outputs);
            let names = l.bias.clone()?;
            Some(Part { names, shape: vec![all], take, rows: Groups::whole(0, 1), cols: *rows })
        });
        let bias = Weight {
            label: format!("{label} bias"),
            usage: Use::Vector,
            rows: 1,
            cols: n,
            parts: bias.collect(),
        };
        let matrix =
            Weight { label, usage: Use::Matrix, rows: n, cols: k, parts: matrix.collect() };
        LinearIds { matrix: self.push(matrix), bias: self.push(bias), n, k }
    }
}
