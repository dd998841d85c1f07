//! What of a [`Spec`] the forward pass computes: all else is refused by name, never passed over.
//!
//! `schedule/forward.rs` reads each optional field in one branch; a field that is set where no branch
//! reads it would be ignored, and a size of 0 or beyond all bounds would lead the schedule astray.

use super::{
    Attention, Bias, Block, Convolution, Disentangled, Experts, Linear, Norm, NormKind, Order, Spec,
};
use crate::error::{Result, fail};

/// The largest size there is, and the most numbers of one matrix or table: many times those of any
/// encoder.
const MAX_SIZE: usize = 1 << 24;
const MAX_NUMBERS: u64 = 1 << 36;
/// Layers at most.
const MAX_LAYERS: usize = 1 << 10;
/// The furthest that a window or a table of distances reaches.
const MAX_REACH: usize = 1 << 24;
/// Convolutions read so many neighbours at most.
const MAX_TAPS: usize = 1 << 10;

/// What is wrong with a part, said without its place.
type Said = std::result::Result<(), String>;

impl Spec {
    /// Refuses what no code computes: a combination that the forward pass does not read, a size of 0
    /// or out of all bounds.
    ///
    /// # Errors
    ///
    /// `Unsupported`, naming the block and the part.
    pub fn validate(&self) -> Result<()> {
        self.sizes().and_then(|()| self.ends()).map_err(|said| self.refused("", &said))?;
        for (i, block) in self.blocks.iter().enumerate() {
            let at = format!("block {}: ", i + 1);
            self.block(i, block).map_err(|said| self.refused(&at, &said))?;
        }
        Ok(())
    }

    fn refused(&self, at: &str, said: &str) -> crate::error::Error {
        fail!(Unsupported, "{}: {at}{said}, which is not computed here", self.family)
    }

    fn sizes(&self) -> Said {
        let sizes = [
            ("vocab", self.vocab),
            ("positions", self.positions),
            ("types", self.types),
            ("width", self.width),
            ("heads", self.heads),
            ("kv_heads", self.kv_heads),
            ("head_dim", self.head_dim),
            ("inner", self.inner),
            ("embedding width", self.embedding.width),
        ];
        for (name, size) in sizes {
            if size == 0 || size > MAX_SIZE {
                return Err(format!("{name} is {size}"));
            }
        }
        if self.blocks.len() > MAX_LAYERS {
            return Err(format!("there are {} blocks", self.blocks.len()));
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Err(format!("{} heads share {} of keys", self.heads, self.kv_heads));
        }
        let (heads, kv) = (self.heads as u64, self.kv_heads as u64);
        let head_dim = self.head_dim.next_multiple_of(4) as u64;
        let (width, inner) = (self.width as u64, self.inner as u64);
        let (table, joined) = (self.embedding.width as u64, heads * head_dim);
        if joined > MAX_SIZE as u64 {
            return Err(format!("{heads} heads of {head_dim} numbers"));
        }
        let products = [
            ("the word table", self.vocab as u64 * table),
            ("the projection", width * table),
            ("queries, keys and values", width * (joined + 2 * kv * head_dim)),
            ("the feed-forward layer", 2 * width * inner),
            ("the pooler", width * width),
        ];
        match products.iter().find(|(_, numbers)| *numbers > MAX_NUMBERS) {
            Some((name, numbers)) => Err(format!("{name} has {numbers} numbers")),
            None => Ok(()),
        }
    }

    /// What goes into the first block, and what comes after the last.
    fn ends(&self) -> Said {
        let e = &self.embedding;
        named(&e.word).map_err(|said| format!("the word table {said}"))?;
        norm(&e.norm).map_err(|said| format!("the embedding norm {said}"))?;
        if let Some(p) = &e.position {
            let first = p.padding.map_or(0, |padding| padding.saturating_add(1));
            if first >= p.rows || p.rows > MAX_SIZE {
                return Err(format!("a position table of {} rows counts from {first}", p.rows));
            }
        }
        match &e.projection {
            Some(projection) => {
                linear(projection, self.width, e.width)
                    .map_err(|said| format!("the projection {said}"))?;
            }
            None if e.width != self.width => {
                return Err(format!(
                    "embeddings of {} numbers go into blocks of {} without a projection",
                    e.width, self.width
                ));
            }
            None => {}
        }
        match &e.projected_norm {
            Some(_) if e.projection.is_none() => {
                return Err("a norm behind the projection, and no projection".to_owned());
            }
            Some(projected) => {
                norm(projected).map_err(|said| format!("the projected norm {said}"))?;
            }
            None => {}
        }
        let order = self.blocks.first().map(|block| block.order);
        if self.blocks.iter().any(|block| Some(block.order) != order) {
            return Err("pre-norm and post-norm blocks in one model".to_owned());
        }
        match (&self.final_norm, order) {
            (Some(last), Some(Order::Pre)) => {
                norm(last).map_err(|said| format!("the final norm {said}"))?;
            }
            (Some(_), _) => return Err("a final norm that no pre-norm block precedes".to_owned()),
            // Nothing would look for NaN and infinity in the last state.
            (None, Some(Order::Pre)) => {
                return Err("pre-norm blocks without a final norm".to_owned());
            }
            (None, _) => {}
        }
        match &self.pooler {
            Some(pooler) => {
                linear(pooler, self.width, self.width).map_err(|said| format!("the pooler {said}"))
            }
            None => Ok(()),
        }
    }

    fn block(&self, i: usize, block: &Block) -> Said {
        let is_pre = block.order == Order::Pre;
        self.attention(&block.attention)?;
        match &block.attention_norm {
            Some(first) => norm(first).map_err(|said| format!("the attention norm {said}"))?,
            None if is_pre && i == 0 => {}
            // A later one looks for NaN and infinity in the state before.
            None => return Err("no attention norm".to_owned()),
        }
        match &block.second_norm {
            Some(_) if is_pre => return Err("a second norm in a pre-norm block".to_owned()),
            Some(second) => norm(second).map_err(|said| format!("the second norm {said}"))?,
            None => {}
        }
        norm(&block.output_norm).map_err(|said| format!("the output norm {said}"))?;
        linear(&block.up, self.inner, self.width)
            .map_err(|said| format!("the up product {said}"))?;
        linear(&block.down, self.width, self.inner)
            .map_err(|said| format!("the down product {said}"))?;
        if let Some(gate) = &block.gate {
            linear(gate, self.inner, self.width).map_err(|said| format!("the gate {said}"))?;
        }
        if let Some(experts) = &block.experts {
            self.experts(block, experts)?;
        }
        match &block.convolution {
            Some(_) if is_pre => Err("a convolution in a pre-norm block".to_owned()),
            Some(_) if block.experts.is_some() => {
                Err("a convolution beside a mixture of experts".to_owned())
            }
            Some(convolution) => self.convolution(convolution),
            None => Ok(()),
        }
    }

    fn attention(&self, attention: &Attention) -> Said {
        let joined = self.heads * self.head_dim;
        let kv = self.kv_heads * self.head_dim;
        let products = [
            ("queries", &attention.query, joined, self.width),
            ("keys", &attention.key, kv, self.width),
            ("values", &attention.value, kv, self.width),
            ("attention output", &attention.output, self.width, joined),
        ];
        for (name, product, outputs, inputs) in products {
            linear(product, outputs, inputs)
                .map_err(|said| format!("the product of {name} {said}"))?;
        }
        if let Some(norms) = &attention.query_key_norms {
            if self.heads != self.kv_heads {
                return Err("norms of queries and keys with grouped heads".to_owned());
            }
            for one in norms {
                norm(one).map_err(|said| format!("a norm of queries or keys {said}"))?;
                if one.kind != NormKind::Layer {
                    return Err("a norm of queries or keys that is no layer norm".to_owned());
                }
            }
            if norms[0].eps != norms[1].eps {
                return Err("norms of queries and of keys with two epsilons".to_owned());
            }
        }
        if let Some(rope) = &attention.rope {
            let pairs = rope.angles.len();
            let is_finite = rope.angles.iter().all(|angle| angle.is_finite());
            if pairs == 0 || 2 * pairs > self.head_dim || !is_finite {
                return Err(format!(
                    "{pairs} rotary angles for heads of {} numbers",
                    self.head_dim
                ));
            }
        }
        self.bias(&attention.bias)
    }

    fn bias(&self, bias: &Bias) -> Said {
        match bias {
            Bias::None => Ok(()),
            Bias::Window(reach) if *reach <= MAX_REACH => Ok(()),
            Bias::Window(reach) => Err(format!("a window that reaches {reach} tokens")),
            Bias::Alibi(slopes) => {
                let is_finite = slopes.iter().all(|slope| slope.is_finite());
                if slopes.len() == self.heads && is_finite {
                    Ok(())
                } else {
                    Err(format!("{} ALiBi slopes for {} heads", slopes.len(), self.heads))
                }
            }
            Bias::Relative { buckets, rows, .. } => distances("relative positions", rows, *buckets),
            Bias::Disentangled(positions) => {
                if self.heads != self.kv_heads {
                    return Err("disentangled attention with grouped heads".to_owned());
                }
                distances("relative positions", &positions.rows, 2 * positions.span.min(MAX_SIZE))?;
                norm(&positions.norm)
                    .map_err(|said| format!("the norm of relative positions {said}"))?;
                let joined = self.heads * self.head_dim;
                for side in [&positions.query, &positions.key].into_iter().flatten() {
                    linear(side, joined, self.width)
                        .map_err(|said| format!("a product of relative positions {said}"))?;
                }
                // They are normalised once a pass.
                let mut others =
                    self.blocks.iter().filter_map(|block| match &block.attention.bias {
                        Bias::Disentangled(other) => Some(other),
                        _ => None,
                    });
                let same = |other: &Disentangled| {
                    other.table == positions.table
                        && other.norm == positions.norm
                        && other.span == positions.span
                };
                match others.all(|other| same(other)) {
                    true => Ok(()),
                    false => Err("relative positions of its own in a block".to_owned()),
                }
            }
        }
    }

    fn experts(&self, block: &Block, experts: &Experts) -> Said {
        if block.order == Order::Pre {
            return Err("a mixture of experts in a pre-norm block".to_owned());
        }
        if block.gate.is_some() {
            return Err("a gate in a mixture of experts".to_owned());
        }
        if block.up.bias.is_some() {
            return Err("a bias of the up products in a mixture of experts".to_owned());
        }
        let Experts { router, count, chosen } = experts;
        if *chosen == 0 || chosen > count || *count > MAX_SIZE / self.inner {
            return Err(format!("{chosen} of {count} experts for a token"));
        }
        linear(router, *count, self.width).map_err(|said| format!("the router {said}"))?;
        // They lie one below the other in one tensor.
        let fits = |linear: &Linear| {
            let rows = linear.share.map(|share| (share.first + count * self.inner, share.of));
            rows.is_some_and(|(last, of)| last <= of)
        };
        match fits(&block.up) && fits(&block.down) {
            true => Ok(()),
            false => Err(format!("{count} experts that do not lie in one tensor")),
        }
    }

    fn convolution(&self, convolution: &Convolution) -> Said {
        let Convolution { product, taps, norm: normed, .. } = convolution;
        if taps % 2 == 0 || *taps > MAX_TAPS {
            return Err(format!("a convolution over {taps} tokens"));
        }
        if product.share.is_some() || product.transposed {
            return Err("a convolution whose weights are a part of a tensor".to_owned());
        }
        linear(product, self.width, self.width)
            .map_err(|said| format!("the convolution {said}"))?;
        norm(normed).map_err(|said| format!("the convolution norm {said}"))
    }
}

fn named(names: &[String]) -> Said {
    if names.is_empty() { Err("has no tensor".to_owned()) } else { Ok(()) }
}

/// A product of `inputs` numbers that gives `outputs`.
fn linear(linear: &Linear, outputs: usize, inputs: usize) -> Said {
    named(&linear.weight)?;
    if linear.bias.as_ref().is_some_and(Vec::is_empty) {
        return Err("has a bias without a tensor".to_owned());
    }
    // A transposed one has its inputs on the first axis.
    let side = if linear.transposed { inputs } else { outputs };
    match linear.share {
        Some(share) if share.of > MAX_SIZE || share.first.saturating_add(side) > share.of => {
            Err(format!("has rows from {} on of a tensor of {}", share.first, share.of))
        }
        _ => Ok(()),
    }
}

fn norm(norm: &Norm) -> Said {
    let named = (!norm.weight.is_empty(), !norm.bias.is_empty());
    match (norm.kind, named) {
        (NormKind::None, (false, false)) => return Ok(()),
        (NormKind::None, _) => return Err("is none, and has weights".to_owned()),
        (_, (false, _)) => return Err("has no weights".to_owned()),
        _ => {}
    }
    if norm.eps.is_finite() && norm.eps >= 0.0 {
        Ok(())
    } else {
        Err(format!("has an epsilon of {}", norm.eps))
    }
}

/// A row of each distance from −reach to reach, of a table of `count`.
fn distances(name: &str, rows: &[usize], count: usize) -> Said {
    let outside = rows.iter().find(|row| **row >= count);
    if let Some(row) = outside {
        return Err(format!("{name} in row {row} of {count}"));
    }
    if rows.len().is_multiple_of(2) || rows.len() / 2 > MAX_REACH || count > MAX_SIZE * 2 {
        return Err(format!("{name} of {} distances", rows.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
