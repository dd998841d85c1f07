//! Cosines between the vectors of a result: layer by layer, token by token, text by text.

use everylayer::Embeddings;
use serde::Serialize;

/// Decimals that are written: a page shows three.
const DECIMALS: f64 = 1e4;

/// One text of the page.
#[derive(Serialize)]
pub struct TextSide {
    /// As it was given.
    text: String,
    /// The tokens that are shown, as the vocabulary writes them.
    pub tokens: Vec<String>,
    /// How many more went through the model.
    pub hidden: usize,
    /// How many the model could not take.
    lost: usize,
    /// (layers - 1, tokens): a token's state against the same token's next state.
    neighbours: Vec<Vec<f64>>,
    /// (layers, tokens * tokens)
    between: Vec<Vec<f64>>,
}

impl TextSide {
    /// The first `shown` tokens of the text `index`, `all` being tokens of every layer.
    pub fn of(all: &Embeddings, index: usize, texts: &[String], shown: usize) -> Self {
        let text = &all.texts[index];
        let count = text.rows.min(shown);
        let at = |layer, token| all.vector(index, layer, token).unwrap_or_default();
        let next = |layer| (0..count).map(|t| cosine(at(layer, t), at(layer + 1, t))).collect();
        Self {
            text: texts[index].clone(),
            tokens: text.tokens[..count].iter().map(|token| token.text.clone()).collect(),
            hidden: text.rows - count,
            lost: text.lost,
            neighbours: (1..all.layer_axis).map(|layer| next(layer - 1)).collect(),
            between: cross(all, [index, index], shown),
        }
    }
}

/// What two texts have in common.
#[derive(Serialize)]
pub struct Pair {
    /// (layers): the mean vectors of the texts.
    mean: Vec<f64>,
    /// (layers): their first tokens.
    cls: Vec<f64>,
    /// (layers, tokens of the first * tokens of the second)
    between: Vec<Vec<f64>>,
}

impl Pair {
    /// Texts 0 and 1 of a call, pooled in three ways.
    pub fn of(tokens: &Embeddings, mean: &Embeddings, cls: &Embeddings, shown: usize) -> Self {
        let pooled = |all: &Embeddings| {
            let at = |text, layer| all.vector(text, layer, 0).unwrap_or_default();
            (0..all.layer_axis).map(|layer| cosine(at(0, layer), at(1, layer))).collect()
        };
        Self { mean: pooled(mean), cls: pooled(cls), between: cross(tokens, [0, 1], shown) }
    }
}

/// Tokens of one text against tokens of the other, at each layer, the other's side by side.
fn cross(all: &Embeddings, texts: [usize; 2], shown: usize) -> Vec<Vec<f64>> {
    let [rows, columns] = texts.map(|text| all.texts[text].rows.min(shown));
    let at = |text: usize, layer, token| all.vector(text, layer, token).unwrap_or_default();
    let layer = |layer| {
        let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let cosines = places
            .map(|(row, column)| cosine(at(texts[0], layer, row), at(texts[1], layer, column)));
        cosines.collect()
    };
    (0..all.layer_axis).map(layer).collect()
}

/// The cosine of two vectors, rounded; 0 where one has no direction.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    };
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths > 0.0 {
        ((dot(a, b) / lengths).clamp(-1.0, 1.0) * DECIMALS).round() / DECIMALS
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines() {
        for (a, b, want) in [
            ([1.0, 0.0], [2.0, 0.0], 1.0),
            ([1.0, 0.0], [0.0, 3.0], 0.0),
            ([1.0, 0.0], [-1.0, 0.0], -1.0),
            ([1.0, 0.0], [3.0, 4.0], 0.6),
            ([0.0, 0.0], [1.0, 1.0], 0.0),
        ] {
            assert_eq!(cosine(&a, &b), want, "{a:?} {b:?}");
        }
    }
}
