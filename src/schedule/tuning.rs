//! Which cut of a product was fastest on an adapter, as it was measured there.
//!
//! Pure: the measurement is in `gpu/tune.rs`. Every cut gives the same bits, so a tuned device and
//! an untuned one agree.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::kernels::{Elem, Tile};

/// Rows that are timed, and stand for fewer: a short text, a few, a batch. The last stands for
/// more as well.
pub const ROWS: [usize; 5] = [16, 64, 256, 1024, 4096];

/// A product as far as its speed goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Product {
    /// Columns of the result.
    pub n: usize,
    /// Depth.
    pub k: usize,
    /// Parts along k.
    pub splits: usize,
    /// Bytes of a weight.
    pub weight_bytes: u64,
    /// Rows, rounded up to one of [`ROWS`].
    pub rows: usize,
}

impl Product {
    /// The product of `m` rows with a weight of n columns and depth k.
    pub fn new(m: usize, n: usize, k: usize, splits: usize, weights: Elem) -> Self {
        let [.., most] = ROWS;
        let rows = ROWS.into_iter().find(|rows| *rows >= m).unwrap_or(most);
        Self { n, k, splits, weight_bytes: weights.bytes(), rows }
    }
}

/// The winners of one adapter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tuning(BTreeMap<Product, Tile>);

impl Tuning {
    /// Nothing measured: the table of defaults holds.
    pub const fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes that `tile` won.
    pub fn insert(&mut self, product: Product, tile: Tile) {
        self.0.insert(product, tile);
    }

    /// The winner for `product`, if it was measured.
    pub fn get(&self, product: &Product) -> Option<Tile> {
        self.0.get(product).copied()
    }

    /// Every winner.
    pub fn iter(&self) -> impl Iterator<Item = (&Product, &Tile)> {
        self.0.iter()
    }
}

impl FromIterator<(Product, Tile)> for Tuning {
    fn from_iter<T: IntoIterator<Item = (Product, Tile)>>(winners: T) -> Self {
        Self(winners.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_for_fewer() {
        let of = |m| Product::new(m, 384, 1536, 1, Elem::F32);
        assert_eq!(of(257), of(1024));
        assert_ne!(of(256), of(257));
        assert_eq!(of(0), of(16));
        assert_eq!(of(9000), of(4096));
        let tuning: Tuning = [(of(1024), Tile::T32x32)].into_iter().collect();
        assert_eq!(tuning.get(&of(600)), Some(Tile::T32x32));
        assert_eq!(tuning.get(&of(200)), None);
        assert_eq!(tuning.get(&Product::new(600, 384, 1536, 1, Elem::PackedF16)), None);
    }
}
