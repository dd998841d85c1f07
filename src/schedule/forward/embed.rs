//! Into block 1: the rows of the tables added up and normalised.

use super::Pass;
use crate::kernels::{Embed, NormParams, RowCut};
use crate::model::spec::Activation;
use crate::schedule::recording::{Bind, BufferId, Fill};
use crate::schedule::tiles;
use crate::text::pack::PackedBatch;

impl Pass<'_> {
    /// x₀ = W norm(word[id] + position[p] + type[t])  // (tokens, width)
    /// `positions` are the tokens' rows of the position table.
    pub(super) fn embed(
        &mut self,
        batch: &PackedBatch,
        positions: &[u32],
        on_host: bool,
    ) -> BufferId {
        let l = self.layout;
        // Gathered rows are numbered in the order of their first use.
        let (words, rows) =
            if on_host { number_rows(&batch.ids) } else { (batch.ids.clone(), vec![]) };
        let typed = u32::from(self.spec.embedding.token_type.is_some());
        let lines = words.iter().zip(positions).zip(&batch.types).zip(&batch.positions);
        let lines = lines.flat_map(|(((&w, &p), &t), &place)| [w, p, t * typed, place]).collect();
        let tokens = self.recorder.upload("tokens", &[self.tokens, 4], Fill::Words(lines));
        self.rows = tokens;
        let word = if on_host {
            let shape = [rows.len(), l.embedding];
            let fill = Fill::Rows { table: l.word, rows };
            Bind::Buffer(self.recorder.upload("words", &shape, fill))
        } else {
            Bind::Weight(l.word)
        };
        let name = if l.projection.is_some() { "embedding" } else { "x" };
        let x = self.recorder.buffer(name, &[self.tokens, l.embedding]);
        let embedding = &self.spec.embedding;
        let (width, eps) = (embedding.width, embedding.norm.eps);
        let params = NormParams::new(self.tokens, l.embedding, width, eps, 0);
        let binds = [
            Bind::Buffer(tokens),
            word,
            Bind::Weight(l.position),
            Bind::Weight(l.token_type),
            Bind::Weight(l.embedding_norm),
            Bind::Buffer(x),
            Bind::Buffer(self.status),
        ];
        let embed = Embed {
            tables: self.elem,
            gathered: on_host,
            cut: RowCut::new(tiles::embed_sum(&self.can), l.embedding),
            kind: self.spec.embedding.norm.kind,
        };
        self.recorder.dispatch("embed".into(), embed.over(params), &binds);
        match l.projection {
            Some(weight) => {
                let identity = Activation::Identity;
                let x = self.matmul("projection".into(), "x", x, weight, identity, self.tokens);
                let norm = self.spec.embedding.projected_norm.as_ref().zip(l.projected_norm);
                norm.map_or(x, |norm| self.norm("projected norm".into(), x, norm, 0))
            }
            None => x,
        }
    }
}

/// Numbers the distinct `ids` in the order of their first use: (number of each id, the ids).
fn number_rows(ids: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let mut numbers = std::collections::HashMap::new();
    let mut rows = Vec::new();
    let numbered = ids
        .iter()
        .map(|&id| {
            *numbers.entry(id).or_insert_with(|| {
                rows.push(id);
                rows.len() as u32 - 1
            })
        })
        .collect();
    (numbered, rows)
}
