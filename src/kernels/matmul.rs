//! `matmul`: products, in every cut.

mod cut;

pub use cut::MatmulBlock;

use std::fmt;
use std::ops::Range;

use super::Access::{Read, Write};
use super::block::block;
use super::grid::{MATMUL_K, MAX_GROUPS};
use super::{
    Access, AdapterFeatures, Call, Class, Elem, Kernel, Narrow, Need, Sizes, Tile, Vendor, Wgsl,
};
use crate::math::activation::Activation;

/// C = act(A Wᵀ + b), or C = A Wᵀ + b + residual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Matmul {
    /// How the product is cut up.
    pub tile: Tile,
    /// Storage type of W.
    pub weights: Elem,
    /// Applied to the sum.
    pub activation: Activation,
    /// Whether a second array is added.
    pub residual: bool,
    /// Parts along k that are left for [`Norm`](super::Norm) to add up; 1 for none.
    pub splits: u32,
    /// Which of A and C is kept in 16 bits.
    pub narrow: Narrow,
    /// What an invocation does of it at a time.
    pub block: MatmulBlock,
}

block! {
    /// The block of `shaders/matmul.wgsl`.
    MatmulParams {
        /// Rows of A and C.
        m: u32,
        /// Vectors in a row of C.
        n4: u32,
        /// Vectors in a row of A.
        k4: u32,
        /// Steps of the K tile, the last one padded with zeros.
        k_steps: u32,
        /// Of the rows that this dispatch works on, a multiple of its tile's; how many they are is its grid's
        /// second number.
        first_row: u32,
    }
}

impl MatmulParams {
    /// Of `m` rows, `n` columns and depth `k`.
    pub fn new(m: usize, n: usize, k: usize) -> Self {
        let (m, n4, k4) = (m as u32, (n / 4) as u32, (k / 4) as u32);
        Self { m, n4, k4, k_steps: k.div_ceil(MATMUL_K) as u32, first_row: 0 }
    }
}

/// Workgroups of a product with `m` rows and `n` columns, cut into `tile` and `splits` parts along k.
pub fn matmul_grid(tile: Tile, m: usize, n: usize, splits: usize) -> [u32; 2] {
    let (rows, columns) = tile.size();
    [n.div_ceil(columns) as u32, (m.div_ceil(rows) * splits) as u32]
}

/// [`matmul_grid`], where a grid can be so large.
fn checked_grid(tile: Tile, m: usize, n: usize, splits: usize) -> Option<[u32; 2]> {
    let down = m.div_ceil(tile.size().0).checked_mul(splits)?;
    (down <= MAX_GROUPS).then(|| matmul_grid(tile, m, n, splits))
}

impl Matmul {
    /// A bare product of f32 activations in the block that fits any GPU, to be varied.
    pub fn bare(tile: Tile, weights: Elem) -> Self {
        let (activation, narrow) = (Activation::Identity, Narrow::Neither);
        let block = MatmulBlock::of(tile, Vendor::Portable);
        Self { tile, weights, activation, residual: false, splits: 1, narrow, block }
    }

    /// Of `m` rows, `n` columns and depth `k`. Binds A, W, b, C, and the residual where there is one.
    pub fn over(self, m: usize, n: usize, k: usize) -> Call {
        self.over_rows(0..m, (m, n, k))
    }

    /// Some `rows` of it, from the first of a tile to the end of one or of C.
    pub fn over_rows(self, rows: Range<usize>, (m, n, k): (usize, usize, usize)) -> Call {
        let params = MatmulParams { first_row: rows.start as u32, ..MatmulParams::new(m, n, k) };
        let grid = matmul_grid(self.tile, rows.len(), n, self.splits as usize);
        Call::new(self, params, grid, 2 * (rows.len() * n * k) as u64)
    }

    /// The rows of C that a dispatch over `grid` works on; `None` where they are not some of its tiles.
    pub fn rows(&self, p: &MatmulParams, grid: [u32; 2]) -> Option<Range<usize>> {
        let (first, m, tall) = (p.first_row as usize, p.m as usize, self.tile.size().0);
        let down = (grid[1] as usize).checked_div(self.splits as usize)?;
        let end = first.checked_add(down.checked_mul(tall)?)?;
        let inside = first.is_multiple_of(tall) && first < m && end < m + tall;
        (inside && down * self.splits as usize == grid[1] as usize).then_some(first..end.min(m))
    }

    /// Every product in one cut, with weights stored as `weights`.
    fn all_of(tile: Tile, block: MatmulBlock, weights: Elem) -> Vec<Self> {
        let bare = Self { block, ..Self::bare(tile, weights) };
        let ends = |narrow| {
            Activation::ALL.into_iter().map(move |activation| Self { activation, narrow, ..bare })
        };
        // A residual follows a bare product, and the parts of a product that is split have no end.
        let added = |narrow| Self { residual: true, narrow, ..bare };
        let parts = |narrow| [2, 4].map(|splits| Self { splits, narrow, ..bare });
        let mut products: Vec<_> = ends(Narrow::Neither).collect();
        products.push(added(Narrow::Neither));
        // Software Vulkan splits nothing and keeps activations in f32.
        if tile != Tile::Broadcast {
            products.extend(parts(Narrow::Neither));
            if weights != Elem::F32 {
                products.extend(ends(Narrow::C));
                products.extend([Self { narrow: Narrow::A, ..bare }, added(Narrow::A)]);
                products.extend(parts(Narrow::A));
            }
        }
        products
    }
}

impl Kernel for Matmul {
    const NAME: &'static str = "matmul";
    type Params = MatmulParams;

    fn choices(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ".{}", self.tile)?;
        if self.block != MatmulBlock::of(self.tile, Vendor::Portable) {
            write!(f, ".{}", self.block)?;
        }
        f.write_str(self.weights.suffix())?;
        if self.activation != Activation::Identity {
            write!(f, "+{}", self.activation)?;
        }
        if self.splits > 1 {
            write!(f, "+part{}", self.splits)?;
        }
        f.write_str(if self.residual { "+residual" } else { "" })?;
        f.write_str(self.narrow.suffix())
    }

    fn bindings(&self) -> &'static [Access] {
        match self.residual {
            false => &[Read, Read, Read, Write],
            true => &[Read, Read, Read, Write, Read],
        }
    }

    fn variants(_: Sizes<'_>) -> Vec<Self> {
        let mut all = Vec::new();
        for weights in Elem::ALL {
            // Cooperative matrices read halves as such.
            let cuts = Tile::ALL.into_iter();
            let cuts = cuts.filter(|tile| !tile.is_coop() || weights == Elem::NativeF16);
            for tile in cuts {
                let blocks = MatmulBlock::all(tile).into_iter();
                all.extend(blocks.flat_map(|block| Self::all_of(tile, block, weights)));
            }
        }
        all
    }

    fn runs_on(&self, can: &AdapterFeatures) -> bool {
        let cut = match self.tile {
            Tile::Broadcast => can.subgroups && can.class == Class::Software,
            Tile::Direct => can.class.is_processor(),
            // They read halves as such.
            Tile::Coop8 | Tile::Coop16 => {
                can.coop == Some(self.tile) && self.weights == Elem::NativeF16
            }
            tile => can.class.is_processor() || tile.is_for(can.vendor),
        };
        let fits = self.block == MatmulBlock::of(self.tile, can.vendor);
        cut && fits && self.weights.runs_on(can)
    }

    fn weights(&self) -> Elem {
        self.weights
    }

    fn reads_narrow(&self) -> bool {
        self.narrow == Narrow::A
    }

    fn writes_narrow(&self) -> bool {
        self.narrow == Narrow::C
    }

    fn wgsl(&self, unroll: usize) -> Wgsl {
        let Self { tile, weights, activation, residual, .. } = *self;
        let constants = cut::constants(tile, self.block, unroll);
        if tile == Tile::Broadcast {
            let half = if weights == Elem::NativeF16 { "enable f16;\n" } else { "" };
            let words = if weights == Elem::F32 { "words_f32" } else { "words_f16" };
            return Wgsl::of("matmul_broadcast")
                .with(constants)
                .enable(half)
                .lib("matmul_sums")
                .lib("matmul_starts")
                .lib("words")
                .lib(words)
                .choice("act", activation)
                .lib(if residual { "words_residual_add" } else { "residual_none" });
        }
        let constants = match self.splits {
            0 | 1 => constants,
            splits => constants.number("SPLITS", splits as usize),
        };
        let text = match tile {
            Tile::Coop8 | Tile::Coop16 => Wgsl::of("matmul_coop"),
            Tile::Direct => {
                Wgsl::of("matmul_direct").lib("matmul_sums").lib("matmul_starts").lib("matmul_put")
            }
            _ => Wgsl::of("matmul").lib("matmul_sums").lib("matmul_put"),
        };
        let text = text.with(constants).lib("matmul_io").elem(weights).choice("act", activation);
        let text = text.lib(if residual { "residual_add" } else { "residual_none" });
        let text = text.lib(match (tile.is_coop(), self.splits > 1) {
            (false, false) => "matmul_whole",
            (false, true) => "matmul_part",
            (true, false) => "coop_whole",
            (true, true) => "coop_part",
        });
        let text = text.activations(self.reads_narrow(), self.writes_narrow());
        match tile.is_coop() {
            true => text.enable("enable f16;\nenable wgpu_cooperative_matrix;\n"),
            false => text,
        }
    }

    fn unroll(&self) -> usize {
        self.block.steps as usize
    }

    fn fmas(&self, unroll: usize) -> Option<usize> {
        match self.tile {
            Tile::Broadcast | Tile::Direct | Tile::Coop8 | Tile::Coop16 => None,
            _ => Some(self.block.fmas(unroll)),
        }
    }

    fn needs(&self, p: &MatmulParams, grid: [u32; 2]) -> Option<Vec<Need>> {
        let Self { tile, weights, activation, residual, splits, narrow, .. } = *self;
        let (m, n, k) = (p.m, 4 * u128::from(p.n4), 4 * u128::from(p.k4));
        let steps = k.div_ceil(MATMUL_K as u128) == u128::from(p.k_steps);
        // A part along k is a bare sum, and what software Vulkan runs reads words of 32 bits.
        let whole = splits == 1 || (activation == Activation::Identity && !residual);
        let words = tile != Tile::Broadcast || (splits == 1 && narrow == Narrow::Neither);
        let sizes = [p.m, p.n4, p.k4, splits].iter().all(|&size| size > 0);
        let fits = sizes && {
            let columns = usize::try_from(n).ok()?;
            let rows = self.rows(p, grid)?;
            grid == checked_grid(tile, rows.len(), columns, splits as usize)?
        };
        let (a, c) = (k * u128::from(m), n * u128::from(m));
        let mut needs = vec![
            Need::Stored { numbers: a, narrow: narrow == Narrow::A },
            Need::Matrix { n, k, elem: weights },
            Need::Numbers(n),
            Need::Stored { numbers: c * u128::from(splits), narrow: narrow == Narrow::C },
        ];
        needs.extend(residual.then_some(Need::Numbers(c)));
        (steps && whole && words && fits).then_some(needs)
    }
}
