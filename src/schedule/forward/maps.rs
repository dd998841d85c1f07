//! The weights of a block's attention on their way out.

use super::attend::Scored;
use super::{BatchTexts, Pass};
use crate::kernels::{Digest, DigestShape, Weigh, WeighShape};
use crate::schedule::maps::{MapExit, Reduce, keys_of};
use crate::schedule::recording::{Bind, BufferId, Fill, Output};
use crate::schedule::tiles;
use crate::text::pack::PackedBatch;

/// What is asked of attention, and what its kernels read beside queries and keys.
pub(super) struct MapPass<'a> {
    exit: &'a MapExit,
    /// A line a token.
    lines: BufferId,
    /// Tokens whose weights are added up.
    marks: Option<BufferId>,
    tiles: Vec<(usize, usize)>,
    keys: usize,
}

impl<'a> Pass<'a> {
    /// Uploads what the kernels of `exit` read.
    pub(super) fn prepare_maps(&mut self, exit: &'a MapExit, batch: &PackedBatch) {
        let tokens = self.tokens;
        let lines = Fill::Words(tiles::token_lines(batch));
        let lines = self.recorder.upload("lines", &[tokens, 4], lines);
        let is_marked = |token: usize| match exit.reduce {
            Reduce::First => batch.offsets.binary_search(&(token as u32)).is_ok(),
            _ => exit.special[token],
        };
        let marks = matches!(exit.reduce, Reduce::First | Reduce::Special).then(|| {
            let marks = (0..tokens).map(|token| f32::from(u8::from(is_marked(token))).to_bits());
            let marks = Fill::Words(marks.collect());
            self.recorder.upload("marks", &[tokens], marks)
        });
        let tiles = exit.tiles(batch, self.caps);
        self.maps = Some(MapPass { exit, lines, marks, tiles, keys: keys_of(batch) });
    }

    /// Brings what is asked of the attention of a block, a tile of rows at a time.
    pub(super) fn weights(
        &mut self,
        state: usize,
        qkv: BufferId,
        texts: &BatchTexts<'_>,
        scored: &Scored,
    ) {
        let Some(maps) = self.maps.take() else { return };
        if maps.exit.layers.contains(&state) {
            let (heads, tokens) = (maps.exit.heads.len(), self.tokens);
            let result = match maps.exit.reduce {
                Reduce::Full | Reduce::Rollout => None,
                Reduce::Top(most) => Some(vec![heads, tokens, 2, most]),
                _ => Some(vec![heads, tokens]),
            };
            let result = result.map(|shape| self.recorder.buffer("digested", &shape));
            for &rows in &maps.tiles {
                let tile = self.weigh(state, qkv, (&maps, rows), texts, scored);
                self.digest(state, (&maps, rows), tile, result);
            }
            if let Some(result) = result {
                self.recorder.read(Output::Map(state), result);
            }
        }
        self.maps = Some(maps);
    }

    /// The weights of some rows.  // (heads, rows, keys)
    fn weigh(
        &mut self,
        state: usize,
        qkv: BufferId,
        (maps, rows): (&MapPass<'_>, (usize, usize)),
        texts: &BatchTexts<'_>,
        scored: &Scored,
    ) -> BufferId {
        let heads = &maps.exit.heads;
        let shape = [heads.len(), rows.1 - rows.0, maps.keys];
        let tile = self.recorder.buffer("weights", &shape);
        let mut binds = vec![Bind::Buffer(qkv), Bind::Buffer(maps.lines), Bind::Buffer(tile)];
        binds.extend(&scored.rest);
        let kernel = Weigh { scores: scored.scores, narrow: self.recorder.is_narrow(qkv) };
        // Heads side by side are one dispatch.
        let mut to = 0;
        for run in heads.chunk_by(|a, b| a + 1 == *b) {
            let of = WeighShape {
                of: scored.shape,
                head_dim: self.layout.head_dim,
                rows,
                heads: (run[0], run[0] + run.len()),
                keys: maps.keys,
                to,
            };
            // No more than the part of the rows in all pairs.
            let pairs = texts.pairs(None) / self.tokens as u64 * shape[1] as u64;
            let flops = 2 * pairs * (run.len() * self.layout.head_dim) as u64;
            let label = format!("block {state} weights {}..{}", rows.0, rows.1);
            self.recorder.dispatch(label, kernel.over(of, flops), &binds);
            to += run.len();
        }
        tile
    }

    /// What becomes of the weights of some rows.
    fn digest(
        &mut self,
        state: usize,
        (maps, rows): (&MapPass<'_>, (usize, usize)),
        tile: BufferId,
        result: Option<BufferId>,
    ) {
        let (kind, top) = match maps.exit.reduce {
            Reduce::Full => return self.recorder.read(Output::Map(state), tile),
            Reduce::Received => (Digest::Received, 0),
            Reduce::Entropy => (Digest::Entropy, 0),
            Reduce::First | Reduce::Special => (Digest::Marked, 0),
            Reduce::Distance => (Digest::Distance, 0),
            Reduce::Top(most) => (Digest::Top, most),
            Reduce::Rollout => (Digest::Mean, 0),
        };
        let (tokens, keys) = (self.tokens, maps.keys);
        let mean = || self.recorder.buffer("mean", &[rows.1 - rows.0, keys]);
        let to = result.unwrap_or_else(mean);
        let mut binds = vec![Bind::Buffer(tile), Bind::Buffer(maps.lines), Bind::Buffer(to)];
        binds.extend(maps.marks.map(Bind::Buffer));
        let shape = DigestShape { heads: maps.exit.heads.len(), rows, keys, tokens, top };
        let label = format!("block {state} {} {}..{}", maps.exit.reduce, rows.0, rows.1);
        self.recorder.dispatch(label, kind.over(shape), &binds);
        if kind == Digest::Mean {
            self.recorder.read(Output::Map(state), to);
        }
    }
}
