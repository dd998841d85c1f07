//! What leaves the device: captured states, combined and pooled, and the flags of every row.

use super::{ExitState, Pass};
use crate::kernels::{Combine, Merge, Pool};
use crate::model::spec::{Activation, Order};
use crate::schedule::recording::{Bind, BufferId, Output};

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

    /// Sends a state on its way out, by each exit that has chosen it.
    pub(super) fn capture(&mut self, state: usize, x: BufferId) {
        // A state that leaves as it is leaves once, whoever asks for it.
        let mut left = false;
        for number in 0..self.exits.len() {
            let exit = self.exits[number].exit;
            let Some(place) = exit.states.iter().position(|&s| s == state) else { continue };
            if let Some(combination) = &exit.combine {
                let factor = combination.factors[place];
                let merged = self.combine(number, (state, x), combination.merge, factor);
                if state == exit.deepest() {
                    match exit.pool {
                        Some(_) => self.pool(number, 0, merged),
                        None => self.recorder.read(Output::Combined(number), merged),
                    }
                }
            } else if exit.pool.is_some() {
                self.pool(number, place, x);
            } else if !left {
                self.recorder.read(Output::State(state), x);
                left = true;
            }
        }
    }

    /// Adds a state to what exit number `number` merges, which is given back.
    fn combine(
        &mut self,
        number: usize,
        (state, x): (usize, BufferId),
        merge: Merge,
        factor: f32,
    ) -> BufferId {
        let first = self.exits[number].merged.is_none();
        let shape = [self.tokens, self.layout.width];
        let merged = match self.exits[number].merged {
            Some(id) => id,
            None => self.recorder.buffer("merged", &shape),
        };
        self.exits[number].merged = Some(merged);
        let binds = [Bind::Buffer(x), Bind::Buffer(merged)];
        let call = Combine(merge).over(self.tokens * self.layout.width, factor, first);
        self.recorder.dispatch(format!("combine state {state}"), call, &binds);
        merged
    }

    /// Pools the array at `place` of the order of exit number `number` into its parts of the result.
    fn pool(&mut self, number: usize, place: usize, x: BufferId) {
        let ExitState { exit, pooled, .. } = self.exits[number];
        let Some((pooling, ranges)) = exit.pool.as_ref().zip(self.ranges) else { return };
        let shape = [exit.parts(), self.texts, self.layout.width];
        let pooled = match pooled {
            Some(id) => id,
            None => self.recorder.buffer("pooled", &shape),
        };
        self.exits[number].pooled = Some(pooled);
        let (texts, width) = (self.texts, self.layout.width);
        for (i, &reduce) in pooling.reduces.iter().enumerate() {
            let part = place * pooling.reduces.len() + i;
            let binds = [Bind::Buffer(x), Bind::Buffer(ranges), Bind::Buffer(pooled)];
            let call = Pool(reduce).over(texts, width, part * texts, width);
            self.recorder.dispatch(format!("pool part {part}"), call, &binds);
        }
    }

    /// The pooler where it was asked for, then the last readbacks.
    pub(super) fn leave(&mut self) {
        for number in 0..self.exits.len() {
            let ExitState { exit, pooled, .. } = self.exits[number];
            let Some((pooled, pooling)) = pooled.zip(exit.pool.as_ref()) else { continue };
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
            self.recorder.read(Output::Pooled(number), out);
        }
        self.recorder.read(Output::Status, self.status);
    }
}
