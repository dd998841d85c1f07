//! What leaves the device: captured states, combined and pooled, and the flags of every row.

use super::Pass;
use crate::model::spec::{Activation, Order};
use crate::schedule::params::{CombineParams, Params, PoolParams};
use crate::schedule::recording::{Bind, BufferId, Output};
use crate::schedule::tiles;
use crate::schedule::variant::{Merge, Variant};

impl Pass<'_> {
    /// Where the last state that is computed was not normalised, nothing has looked for NaN and
    /// infinity in it: the normalisation of the next block does.
    pub(super) fn look_over(&mut self, state: usize, x: BufferId) {
        let next = self.spec.blocks.get(state).zip(self.layout.blocks.get(state));
        if let Some((block, ids)) = next
            && block.order == Order::Pre
            && let Some(norm) = block.attention_norm.as_ref().zip(ids.attention_norm)
        {
            self.norm(format!("look over state {state}"), x, norm, state);
        }
    }

    /// Sends a state on its way out, where it was chosen.
    pub(super) fn capture(&mut self, state: usize, x: BufferId) {
        let exit = self.exit;
        let Some(place) = exit.states.iter().position(|&s| s == state) else { return };
        if let Some(combination) = &exit.combine {
            self.combine(state, x, combination.merge, combination.factors[place]);
            if state == exit.deepest() {
                let merged = self.merged.expect("combine has made it");
                match exit.pool {
                    Some(_) => self.pool(0, merged),
                    None => self.recorder.read(Output::Combined, merged),
                }
            }
        } else if exit.pool.is_some() {
            self.pool(place, x);
        } else {
            self.recorder.read(Output::State(state), x);
        }
    }

    fn combine(&mut self, state: usize, x: BufferId, merge: Merge, factor: f32) {
        let first = self.merged.is_none();
        let shape = [self.tokens, self.layout.width];
        let merged = match self.merged {
            Some(id) => id,
            None => self.recorder.buffer("merged", &shape),
        };
        self.merged = Some(merged);
        let vectors = self.tokens * self.layout.width / 4;
        let (grid, row) = tiles::flat_grid(vectors);
        let params =
            CombineParams { vectors: vectors as u32, row, factor, first: u32::from(first) };
        let binds = [Bind::Buffer(x), Bind::Buffer(merged)];
        let label = format!("combine state {state}");
        self.recorder.dispatch(
            label,
            Variant::Combine(merge),
            Params::Combine(params),
            &binds,
            grid,
            0,
        );
    }

    /// Pools the array at `place` of the exit's order into its parts of the result.
    fn pool(&mut self, place: usize, x: BufferId) {
        let Some(pooling) = &self.exit.pool else { return };
        let ranges = self.ranges.expect("uploaded with the pooling");
        let shape = [self.exit.parts(), self.texts, self.layout.width];
        let pooled = match self.pooled {
            Some(id) => id,
            None => self.recorder.buffer("pooled", &shape),
        };
        self.pooled = Some(pooled);
        let stride4 = self.layout.width / 4;
        for (i, &reduce) in pooling.reduces.iter().enumerate() {
            let part = place * pooling.reduces.len() + i;
            let params = PoolParams {
                stride4: stride4 as u32,
                out4: stride4 as u32,
                start4: (part * self.texts * stride4) as u32,
                pad: 0,
            };
            let binds = [Bind::Buffer(x), Bind::Buffer(ranges), Bind::Buffer(pooled)];
            let grid = [self.texts as u32, stride4.div_ceil(tiles::INVOCATIONS) as u32];
            self.recorder.dispatch(
                format!("pool part {part}"),
                Variant::Pool(reduce),
                Params::Pool(params),
                &binds,
                grid,
                0,
            );
        }
    }

    /// The pooler where it was asked for, then the last readbacks.
    pub(super) fn leave(&mut self) {
        if let (Some(pooled), Some(pooling)) = (self.pooled, &self.exit.pool) {
            let out = match (pooling.pooler, self.layout.pooler) {
                (true, Some(pooler)) => self.matmul(
                    "pooler".into(),
                    "pooler",
                    pooled,
                    pooler,
                    Activation::Tanh,
                    self.texts,
                ),
                _ => pooled,
            };
            self.recorder.read(Output::Pooled, out);
        }
        self.recorder.read(Output::Status, self.status);
    }
}
