//! What leaves the device: captured states, combined and pooled, and the flags of every row.

use super::{ExitState, Pass};
use crate::kernels::{Combine, Merge, Pool, Slice, SliceShape};
use crate::model::layout::WeightId;
use crate::model::spec::{Activation, Order};
use crate::schedule::plan::Exit;
use crate::schedule::recording::{Bind, BufferId, Output};
use crate::schedule::site::Site;

/// Where the numbers of a site lie in an array.
pub(super) struct Found {
    buffer: BufferId,
    /// Numbers of a row.
    line: usize,
    /// The first of those that are the site's.
    first: usize,
    /// Arrays that are still to be added up, and their bias.
    parts: Option<(usize, WeightId)>,
}

impl Found {
    /// The array, whose rows have `line` numbers.
    pub(super) fn whole(buffer: BufferId, line: usize) -> Self {
        Self { buffer, line, first: 0, parts: None }
    }

    /// The sum of so many arrays and a bias.
    pub(super) fn in_parts(buffer: BufferId, line: usize, count: usize, bias: WeightId) -> Self {
        Self { parts: Some((count, bias)), ..Self::whole(buffer, line) }
    }
}

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
        let (spec, is_last) = (self.spec, state == self.spec.depth());
        let is_taken =
            |exit: &Exit| exit.site == Site::Hidden && !(is_last && exit.is_unnormed(spec));
        self.send(is_taken, Output::State(state), state, x);
    }

    /// Sends `x`, which the final norm will read, on its way out.
    pub(super) fn capture_unnormed(&mut self, x: BufferId) {
        let spec = self.spec;
        self.send(|exit| exit.is_unnormed(spec), Output::Unnormed, spec.depth(), x);
    }

    /// Sends what was found at a site of a block on its way out.
    pub(super) fn capture_at(&mut self, (site, state): (Site, usize), found: Found) {
        if !self.wants(site, state) {
            return;
        }
        let Found { buffer, line, first, parts } = found;
        let columns = site.row(self.spec).line();
        let narrow = self.recorder.is_narrow(buffer);
        let x = if line == columns && parts.is_none() && !narrow {
            buffer
        } else {
            let y = self.recorder.buffer(site.name(), &[self.tokens, columns]);
            let (count, bias) = parts.map_or((1, None), |(count, bias)| (count, Some(bias)));
            let mut binds = vec![Bind::Buffer(buffer), Bind::Buffer(y)];
            binds.extend(bias.map(Bind::Weight));
            let shape = SliceShape { rows: self.tokens, line, first, columns, parts: count };
            let call = Slice { narrow, parts: bias.is_some() }.over(shape);
            self.recorder.dispatch(format!("block {state} {site}"), call, &binds);
            y
        };
        self.send(|exit| exit.site == site, Output::Site(site, state), state, x);
    }

    /// Sends queries, keys and values as the product left them on their way out.
    pub(super) fn capture_heads(&mut self, state: usize, qkv: BufferId) {
        let [q, k, v] = [Site::Q, Site::K, Site::V].map(|site| (site, self.line_of(site)));
        let line = q.1 + k.1 + v.1;
        for ((site, _), first) in [q, k, v].into_iter().zip([0, q.1, q.1 + k.1]) {
            self.capture_at((site, state), Found { first, ..Found::whole(qkv, line) });
        }
    }

    /// Numbers between two rows of a site.
    fn line_of(&self, site: Site) -> usize {
        site.row(self.spec).line()
    }

    /// Whether an exit has chosen a site of a block.
    pub(super) fn wants(&self, site: Site, state: usize) -> bool {
        self.exits.iter().any(|e| e.exit.site == site && e.exit.states.contains(&state))
    }

    /// Sends `x` on its way out, by each exit that has chosen the state and takes it here.
    fn send(&mut self, takes: impl Fn(&Exit) -> bool, output: Output, state: usize, x: BufferId) {
        // A state that leaves as it is leaves once, whoever asks for it.
        let mut left = false;
        for number in 0..self.exits.len() {
            let exit = self.exits[number].exit;
            let Some(place) = exit.states.iter().position(|&s| s == state) else { continue };
            if !takes(exit) {
                continue;
            }
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
                self.recorder.read(output, x);
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
        let shape = [self.tokens, self.line_of(self.exits[number].exit.site)];
        let merged = match self.exits[number].merged {
            Some(id) => id,
            None => self.recorder.buffer("merged", &shape),
        };
        self.exits[number].merged = Some(merged);
        let binds = [Bind::Buffer(x), Bind::Buffer(merged)];
        let call = Combine(merge).over(shape[0] * shape[1], factor, first);
        self.recorder.dispatch(format!("combine state {state}"), call, &binds);
        merged
    }

    /// Pools the array at `place` of the order of exit number `number` into its parts of the result.
    fn pool(&mut self, number: usize, place: usize, x: BufferId) {
        let ExitState { exit, pooled, .. } = self.exits[number];
        let Some((pooling, ranges)) = exit.pool.as_ref().zip(self.ranges) else { return };
        let (texts, width) = (self.texts, self.line_of(exit.site));
        let shape = [exit.parts(), texts, width];
        let pooled = match pooled {
            Some(id) => id,
            None => self.recorder.buffer("pooled", &shape),
        };
        self.exits[number].pooled = Some(pooled);
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
