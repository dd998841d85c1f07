//! Builds a layout: each weight of a [`Spec`] with the tensors in it.

use super::{
    BiasIds, BlockIds, ExpertIds, Groups, LinearIds, Use, Weight, WeightId, WeightPart, align4,
};
use crate::model::spec::{Bias, Block, Convolution, Experts, Linear, Norm, Share, Spec};

/// A layout that is being built.
pub struct LayoutBuilder<'a> {
    spec: &'a Spec,
    pub weights: Vec<Weight>,
    /// Numbers between two rows of a hidden state.
    pub width: usize,
}

impl<'a> LayoutBuilder<'a> {
    /// Nothing laid out yet.
    pub fn new(spec: &'a Spec) -> Self {
        Self { spec, weights: Vec::new(), width: align4(spec.width) }
    }

    fn push(&mut self, weight: Weight) -> WeightId {
        self.weights.push(weight);
        WeightId(self.weights.len() - 1)
    }

    /// A table of `rows` by `cols` numbers; zeros where it has no name.
    pub fn table(
        &mut self,
        label: &str,
        names: &[String],
        (rows, cols): (usize, usize),
    ) -> WeightId {
        let part = WeightPart {
            names: names.to_vec(),
            shape: vec![rows, cols],
            take: 0..rows,
            rows: Groups::whole(0, rows),
            cols: Groups::whole(0, cols),
            transposed: false,
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
    pub fn norm(&mut self, label: String, norm: &Norm, width: usize) -> WeightId {
        let part = |(row, names): (usize, &Vec<String>)| WeightPart {
            names: names.clone(),
            shape: vec![width],
            take: 0..width,
            rows: Groups::whole(row, 1),
            cols: Groups::whole(0, width),
            transposed: false,
        };
        let parts = [&norm.weight, &norm.bias].into_iter().enumerate();
        let parts = parts.filter(|(_, names)| !names.is_empty()).map(part).collect();
        self.push(Weight { label, usage: Use::Vector, rows: 2, cols: align4(width), parts })
    }

    pub fn block(&mut self, i: usize, block: &Block) -> BlockIds {
        let at = |what: &str| format!("block {} {what}", i + 1);
        let spec = self.spec;
        let (d, width) = (spec.width, self.width);
        let stride = align4(spec.head_dim);
        let (joined, inner) = (spec.heads * stride, align4(spec.inner));
        let kv = spec.kv_heads * stride;
        let hidden = (d, Groups::whole(0, d));
        // A head keeps its place when head_dim is padded.
        let heads = |at| Groups::spaced(at, spec.head_dim, stride);
        let (of_q, of_kv) = (spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim);
        let a = &block.attention;
        let qkv = [
            (&a.query, of_q, heads(0)),
            (&a.key, of_kv, heads(joined)),
            (&a.value, of_kv, heads(joined + kv)),
        ];
        let qkv = self.linear(at("qkv"), &qkv, (joined + 2 * kv, width), hidden);
        let query_key_norms = a.query_key_norms.as_ref();
        let query_key_norms = query_key_norms.map(|n| self.head_norms(at("q and k norms"), n));
        let bias = self.bias(&at("relative positions"), &a.bias);
        let side = [(&a.output, d, hidden.1)];
        let output = self.linear(at("output"), &side, (width, joined), (of_q, heads(0)));
        let attention_norm = block.attention_norm.as_ref();
        let attention_norm = attention_norm.map(|n| self.norm(at("attention norm"), n, d));
        let second_norm = block.second_norm.as_ref();
        let second_norm = second_norm.map(|n| self.norm(at("second norm"), n, d));
        let mut up = vec![(&block.up, spec.inner, Groups::whole(0, spec.inner))];
        up.extend(block.gate.as_ref().map(|g| (g, spec.inner, Groups::whole(inner, spec.inner))));
        let up = self.linear(at("up"), &up, (up.len() * inner, width), hidden);
        let between = (spec.inner, Groups::whole(0, spec.inner));
        let down = self.linear(at("down"), &[(&block.down, d, hidden.1)], (width, inner), between);
        let output_norm = self.norm(at("output norm"), &block.output_norm, d);
        let experts = block.experts.as_ref();
        let experts = experts.map(|e| self.experts(i, block, e, (up, down)));
        let convolution = block.convolution.as_ref();
        let convolution = convolution.map(|c| self.convolution(&at("convolution"), c));
        BlockIds {
            qkv,
            query_key_norms,
            bias,
            output,
            attention_norm,
            second_norm,
            up,
            down,
            output_norm,
            experts,
            convolution,
        }
    }

    /// γ and β of queries, then of keys, a head where its numbers are in their products.
    fn head_norms(&mut self, label: String, norms: &[Norm; 2]) -> WeightId {
        let stride = align4(self.spec.head_dim);
        let width = self.spec.heads * self.spec.head_dim;
        let names = norms.iter().flat_map(|norm| [&norm.weight, &norm.bias]);
        let part = |(row, names): (usize, &Vec<String>)| WeightPart {
            names: names.clone(),
            shape: vec![width],
            take: 0..width,
            rows: Groups::whole(row, 1),
            cols: Groups::spaced(0, self.spec.head_dim, stride),
            transposed: false,
        };
        let parts = names.enumerate().filter(|(_, names)| !names.is_empty()).map(part).collect();
        let cols = self.spec.heads * stride;
        self.push(Weight { label, usage: Use::Vector, rows: 4, cols, parts })
    }

    /// The router and the experts behind `first`, each some rows further down in its tensors.
    fn experts(
        &mut self,
        i: usize,
        block: &Block,
        experts: &Experts,
        first: (LinearIds, LinearIds),
    ) -> ExpertIds {
        let (spec, width, inner) = (self.spec, self.width, align4(self.spec.inner));
        let hidden = Groups::whole(0, spec.width);
        let between = Groups::whole(0, spec.inner);
        let side = [(&experts.router, experts.count, Groups::whole(0, experts.count))];
        let shape = (align4(experts.count), width);
        let label = format!("block {} router", i + 1);
        let router = self.linear(label, &side, shape, (spec.width, hidden));
        let (mut up, mut down) = (vec![first.0], vec![first.1]);
        for e in 1..experts.count {
            let at = |what: &str| format!("block {} expert {} {what}", i + 1, e + 1);
            let below = |linear: &Linear| Linear {
                bias: None,
                share: linear
                    .share
                    .map(|share| Share { first: share.first + e * spec.inner, of: share.of }),
                ..linear.clone()
            };
            let (of_up, of_down) = (below(&block.up), below(&block.down));
            let side = [(&of_up, spec.inner, between)];
            up.push(self.linear(at("up"), &side, (inner, width), (spec.width, hidden)));
            let side = [(&of_down, spec.width, hidden)];
            down.push(self.linear(at("down"), &side, (width, inner), (spec.inner, between)));
        }
        ExpertIds { router, up, down }
    }

    /// (width, taps × width): the neighbours of a token one after the other.
    fn convolution(&mut self, label: &str, c: &Convolution) -> (LinearIds, WeightId) {
        let (d, width) = (self.spec.width, self.width);
        let taps = Groups { offset: 0, size: c.taps, stride: 1, step: width };
        let side = [(&c.product, d, Groups::whole(0, d))];
        let product = self.linear(label.to_owned(), &side, (width, c.taps * width), (d, taps));
        let matrix = &mut self.weights[product.matrix.0];
        matrix.parts.iter_mut().for_each(|part| part.shape.push(c.taps));
        (product, self.norm(format!("{label} norm"), &c.norm, d))
    }

    fn bias(&mut self, label: &str, bias: &Bias) -> BiasIds {
        let (spec, width) = (self.spec, self.width);
        match bias {
            Bias::None | Bias::Window(_) | Bias::Alibi(_) => BiasIds::None,
            Bias::Relative { table, buckets, rows } => {
                // Every distance gets a copy of its bucket's row.
                let part = |(to, &from): (usize, &usize)| WeightPart {
                    names: vec![table.clone()],
                    shape: vec![*buckets, spec.heads],
                    take: from..from + 1,
                    rows: Groups::whole(to, 1),
                    cols: Groups::whole(0, spec.heads),
                    transposed: false,
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
                let heads = |at| Groups::spaced(at, spec.head_dim, stride);
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
    pub fn linear(
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
            // A transposed one has its inputs on the first axis, and they are what is shared.
            let side = if l.transposed { inputs } else { *outputs };
            let (all, take) = of(l, side);
            let shape = vec![all, if l.transposed { *outputs } else { inputs }];
            WeightPart {
                names: l.weight.clone(),
                shape,
                take,
                rows: *rows,
                cols,
                transposed: l.transposed,
            }
        });
        let bias = sides.iter().filter_map(|(l, outputs, rows)| {
            let names = l.bias.clone()?;
            // The bias of a transposed one is not shared.
            let (all, take) = if l.transposed { (*outputs, 0..*outputs) } else { of(l, *outputs) };
            let one = Groups::whole(0, 1);
            Some(WeightPart {
                names,
                shape: vec![all],
                take,
                rows: one,
                cols: *rows,
                transposed: false,
            })
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
