//! Times every cut of a model's products on the adapter at hand.

use std::time::Duration;

use super::GpuExecutor;
use crate::error::{Result, fail};
use crate::kernels::{Matmul, MatmulBlock};
use crate::model::layout::LinearIds;
use crate::schedule::draft::Draft;
use crate::schedule::recording::{Bind, Fill, Recording};
use crate::schedule::tuning::{Product, ROWS, Tuning};
use crate::schedule::{Class, Elem, Narrow, Tile, tiles};

/// Rounds that count, after one that does not; in each, every cut has its turn, so that a clock
/// that drifts meets all of them alike.
const ROUNDS: usize = 7;
/// Rows of the product that the speed of a device is told by.
const CALIBRATED_ROWS: usize = 256;
/// What a submit should take: Windows' watchdog wakes after two seconds, and a desktop on the same
/// GPU wants its turn.
const SUBMIT: Duration = Duration::from_millis(100);
/// Bounds of the work of a submit, whatever was timed.
const LEAST_FLOPS: u64 = 2_000_000_000;
/// Bounds of the work of a submit, whatever was timed.
const MOST_FLOPS: u64 = 1_000_000_000_000;
/// A cut has to be this much faster than the default to replace it: less is noise.
const MARGIN: f64 = 0.97;

/// One product and what each cut took.
#[derive(Debug, Clone)]
pub struct Timed {
    /// The product.
    pub product: Product,
    /// Median of each cut, in the order they were tried.
    pub times: Vec<(Tile, Duration)>,
    /// The cut of the table of defaults.
    pub default: Tile,
    /// The one to take.
    pub winner: Tile,
}

impl GpuExecutor {
    /// The products that [`GpuExecutor::tune`] times: each shape of weight of the model by each
    /// number of rows. None on software adapters, whose kernels are known.
    pub fn products(&self) -> Vec<(Product, usize)> {
        if self.caps.can.class == Class::Software {
            return Vec::new();
        }
        let most = (self.caps.max_binding / 4) as usize;
        let mut products = Vec::new();
        for (linear, splits, _) in self.linears() {
            for m in ROWS.into_iter().filter(|m| m * linear.k.max(linear.n * splits) <= most) {
                let product = Product::new(m, linear.n, linear.k, splits, self.caps.elem);
                if !products.iter().any(|(p, _)| *p == product) {
                    products.push((product, m));
                }
            }
        }
        products
    }

    /// Every product of a layer, its parts along k, and what of it is kept in 16 bits.
    fn linears(&self) -> impl Iterator<Item = (LinearIds, usize, Narrow)> + '_ {
        let class = self.caps.can.class;
        let of = |narrow| if self.caps.narrow { narrow } else { Narrow::Neither };
        let (to, from) = (of(Narrow::C), of(Narrow::A));
        let split = move |w: LinearIds| (w, tiles::matmul_splits(class, w.n, w.k), from);
        let blocks = self.layout.blocks.iter();
        blocks.flat_map(move |b| [(b.qkv, 1, to), split(b.output), (b.up, 1, to), split(b.down)])
    }

    /// Times every cut of `product` with `m` rows.
    ///
    /// # Errors
    ///
    /// Those of the device; `Usage` for a product the model does not have.
    pub async fn tune(&self, product: Product, m: usize) -> Result<Timed> {
        let same = |(linear, splits, _): &(LinearIds, usize, Narrow)| {
            Product::new(m, linear.n, linear.k, *splits, self.caps.elem) == product
        };
        let (linear, splits, narrow) = self
            .linears()
            .find(same)
            .ok_or_else(|| fail!(Usage, "the model has no product {product:?}"))?;
        let tiles = Tile::candidates(&self.caps.can);
        let recording = self.rounds(linear, splits, narrow, m, tiles, ROUNDS);
        let times = self.times(&recording).await?;
        let median = |i: usize| {
            let mut turns: Vec<_> =
                times.iter().skip(tiles.len() + i).step_by(tiles.len()).collect();
            turns.sort_unstable();
            turns.get(turns.len() / 2).map_or(Duration::MAX, |time| **time)
        };
        let times: Vec<_> = tiles.iter().enumerate().map(|(i, tile)| (*tile, median(i))).collect();
        let default = tiles::matmul_tile(&self.caps.can, m, linear.n, splits);
        let of = |tile| times.iter().find(|(t, _)| *t == tile).map_or(Duration::MAX, |(_, d)| *d);
        let fastest = times.iter().min_by_key(|(_, time)| *time).map_or(default, |(tile, _)| *tile);
        let wins = of(fastest).as_secs_f64() < MARGIN * of(default).as_secs_f64();
        Ok(Timed { product, times, default, winner: if wins { fastest } else { default } })
    }

    /// Times a product of the model and bounds the work of a submit by it, so that none is long
    /// enough to wake a watchdog. Software Vulkan has none, and keeps the bound it has.
    ///
    /// # Errors
    ///
    /// Those of the device.
    pub async fn calibrate(&mut self) -> Result<()> {
        let first = self.linears().next();
        let Some((linear, splits, narrow)) =
            first.filter(|_| self.caps.can.class != Class::Software)
        else {
            return Ok(());
        };
        let m = CALIBRATED_ROWS;
        let default = || tiles::matmul_tile(&self.caps.can, m, linear.n, splits);
        let tile = self.caps.can.coop.unwrap_or_else(default);
        let times = self.times(&self.rounds(linear, splits, narrow, m, &[tile], 2)).await?;
        // The first compiles.
        let best = times.iter().skip(1).min().filter(|best| !best.is_zero());
        if let Some(best) = best {
            let rate = 2.0 * (m * linear.n * linear.k) as f64 / best.as_secs_f64();
            let bounded = (rate * SUBMIT.as_secs_f64()) as u64;
            self.caps.submit_flops = bounded.clamp(LEAST_FLOPS, MOST_FLOPS);
        }
        Ok(())
    }

    /// Takes the cuts of `tuning` from now on. Software adapters keep their own.
    pub fn set_tuning(&mut self, tuning: Tuning) {
        if self.caps.can.class != Class::Software {
            self.caps.tuning = tuning;
        }
    }

    /// One warming round and `rounds` more of every cut, a dispatch each.
    fn rounds(
        &self,
        linear: LinearIds,
        splits: usize,
        narrow: Narrow,
        m: usize,
        cuts: &[Tile],
        rounds: usize,
    ) -> Recording {
        let elem = |narrowed| if narrow == narrowed { Elem::PackedF16 } else { Elem::F32 };
        let mut draft = Draft::new(m, 1);
        let a = draft.array("a", &[m, linear.k], elem(Narrow::A));
        let c = draft.array("c", &[m * splits, linear.n], elem(Narrow::C));
        // Ones.
        let (word, words) = match narrow {
            Narrow::A => (0x3c00_3c00, m * linear.k / 2),
            _ => (1f32.to_bits(), m * linear.k),
        };
        draft.fill(a, Fill::Words(vec![word; words]));
        let weights = [linear.matrix, linear.bias].map(Bind::Weight);
        for round in 0..=rounds {
            // A submit each round: none is long.
            if round > 0 {
                draft.close();
            }
            for &tile in cuts {
                let bare = Matmul::bare(tile, self.caps.elem);
                let block = MatmulBlock::of(tile, self.caps.can.vendor);
                let matmul = Matmul { splits: splits as u32, narrow, block, ..bare };
                let binds = vec![Bind::Buffer(a), weights[0], weights[1], Bind::Buffer(c)];
                draft.dispatch(matmul.over(m, linear.n, linear.k), binds);
            }
        }
        draft.finish()
    }
}
