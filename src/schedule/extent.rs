//! What a dispatch reads and writes of each of its arrays, by its parameters and its grid.
//!
//! One row a kernel, as its `.wgsl` indexes. Sums are in `u128`: no product of four parameters
//! overflows it.

use super::params::Params;
use super::recording::Dispatch;
use super::tiles;
use super::variant::{Elem, Merge, Narrow, NormInput, RowCut, Scores, Staging, Tile, Variant};
use crate::model::spec::Activation;

/// Vectors that an invocation of a row may hold: rows of 65,536 numbers, 64 lanes a row, hold 256.
const MAX_HELD: u32 = 2048;
/// The largest whole number up to which f32 holds every one: slots of experts are counted in it.
const MAX_SLOTS: u128 = 1 << 24;
/// The furthest that a window or a table of distances reaches.
const MAX_REACH: u32 = 1 << 30;

/// What a binding has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// So many numbers of 32 bits: an array, or a weight that is read whole.
    Numbers(u128),
    /// So many numbers of an array that keeps them in 16 bits, or in 32.
    Stored { numbers: u128, narrow: bool },
    /// A table with rows of `stride` numbers.
    Table { stride: u128, elem: Elem },
    /// A matrix of n columns and depth k.
    Matrix { n: u128, k: u128, elem: Elem },
    /// So many words that were uploaded and not changed since: what is in them is an index.
    Words(u128),
    /// What `route` left for so many experts and tokens.
    Routes { experts: u32, tokens: u32 },
}

/// What each binding of `dispatch` has to be; `None` where variant, parameters and grid contradict
/// each other, or the kernel does not compute what they say.
pub fn needs(dispatch: &Dispatch) -> Option<Vec<Need>> {
    let grid = dispatch.grid;
    let product = |factors: &[u32]| factors.iter().map(|&f| u128::from(f)).product::<u128>();
    let numbers = |factors: &[u32]| Need::Numbers(product(factors));
    let flat = |elements: u32, row: u32| (grid, row) == tiles::flat_grid(elements as usize);
    let rows_of = |rows: u32| grid == tiles::row_grid(rows as usize);
    match (dispatch.variant, dispatch.params) {
        (Variant::Embed { tables, gathered, cut, .. }, Params::Embed(p)) => {
            let row = row(p.stride4, p.width, cut)?;
            let flags = Need::Numbers(flags(p.rows, p.state));
            let table = Need::Table { stride: row, elem: tables };
            let words = if gathered { Need::Numbers(row) } else { table };
            let lines = Need::Words(product(&[4, p.rows]));
            let (weight, x) = (Need::Numbers(2 * row), Need::Numbers(row * u128::from(p.rows)));
            (p.parts == 1 && rows_of(p.rows))
                .then(|| vec![lines, words, table, table, weight, x, flags])
        }
        (Variant::Norm { cut, input, .. }, Params::Norm(p)) => {
            let row = row(p.stride4, p.width, cut)?;
            let all = row * u128::from(p.rows);
            let flags = Need::Numbers(flags(p.rows, p.state));
            let parts = p.parts == 1 || (input == NormInput::Parts && p.parts > 0);
            let x = Need::Numbers(all * u128::from(p.parts));
            let mut needs = vec![x, Need::Numbers(2 * row), Need::Numbers(all), flags];
            match dispatch.variant.bindings().len() {
                5 => needs.push(Need::Numbers(all)),
                6 => needs.extend([Need::Numbers(row), Need::Numbers(all)]),
                _ => {}
            }
            (parts && rows_of(p.rows)).then_some(needs)
        }
        (
            Variant::Matmul { tile, weights, activation, residual, splits, narrow },
            Params::Matmul(p),
        ) => {
            let (m, n, k) = (p.m, 4 * u128::from(p.n4), 4 * u128::from(p.k4));
            let steps = k.div_ceil(tiles::MATMUL_K as u128) == u128::from(p.k_steps);
            // A part along k is a bare sum, and what software Vulkan runs reads words of 32 bits.
            let whole = splits == 1 || (activation == Activation::Identity && !residual);
            let words = tile != Tile::Broadcast || (splits == 1 && narrow == Narrow::Neither);
            let sizes = [p.m, p.n4, p.k4, splits].iter().all(|&size| size > 0);
            let fits = sizes && {
                let columns = usize::try_from(n).ok()?;
                let parts = splits as usize;
                grid == checked_grid(tile, m as usize, columns, parts)?
            };
            let a = k * u128::from(m);
            let c = n * u128::from(m);
            let mut needs = vec![
                Need::Stored { numbers: a, narrow: narrow == Narrow::A },
                Need::Matrix { n, k, elem: weights },
                Need::Numbers(n),
                Need::Stored { numbers: c * u128::from(splits), narrow: narrow == Narrow::C },
            ];
            needs.extend(residual.then_some(Need::Numbers(c)));
            (steps && whole && words && fits).then_some(needs)
        }
        (Variant::Attention { staging, head_dim, scores, narrow }, Params::Attention(p)) => {
            let head4 = head_dim / 4;
            let heads = u128::from(p.first_head) + u128::from(grid[1]);
            let shared = heads.checked_sub(1)?.checked_div(u128::from(p.group))? + 1;
            let (head, out, kv) = (u128::from(head4), u128::from(p.out4), u128::from(p.kv4));
            let inside = head_dim % 4 == 0
                && head4 > 0
                && heads * head <= out
                && shared * head <= kv
                && out + 2 * kv <= u128::from(p.qkv4)
                && p.reach <= MAX_REACH;
            let distances = 2 * u128::from(p.reach) + 1;
            let alone = match scores {
                Scores::Plain | Scores::Window => vec![],
                Scores::Alibi => vec![Need::Numbers(heads)],
                Scores::Relative if u128::from(p.line) >= heads => {
                    vec![Need::Numbers(distances * u128::from(p.line))]
                }
                // A row of places, which are as wide as all heads: their keys are not shared.
                Scores::Disentangled if p.group == 1 => {
                    vec![numbers(&[8, p.out4]), Need::Words(distances)]
                }
                Scores::Relative | Scores::Disentangled => return None,
            };
            let stored = |row4: u32| Need::Stored { numbers: product(&[4, row4]), narrow };
            let mut needs =
                vec![stored(p.qkv4), Need::Words(product(&[4, grid[0]])), stored(p.out4)];
            needs.extend(alone);
            // What software Vulkan runs reads words of 32 bits.
            let read = !(narrow && staging == Staging::Broadcast);
            (inside && read).then_some(needs)
        }
        (Variant::Rope, Params::Rope(p)) => {
            let pairs = p.heads.checked_mul(p.half)?;
            let rows = p.pairs.checked_div(pairs)?;
            let inside = p.pairs % pairs == 0
                && product(&[2, p.half]) <= u128::from(p.head_dim)
                && product(&[p.heads, p.head_dim]) <= u128::from(p.stride);
            let qkv = numbers(&[rows, p.stride]);
            let needs = vec![Need::Words(product(&[4, rows])), numbers(&[2, p.half]), qkv];
            (inside && flat(p.pairs, p.row)).then_some(needs)
        }
        (Variant::Gate { narrow, .. }, Params::Gate(p)) => {
            let rows = p.vectors.checked_rem(p.inner4)? == 0;
            let stored = |arrays: u32| {
                let numbers = product(&[4, arrays, p.vectors]);
                Need::Stored { numbers, narrow }
            };
            (rows && flat(p.vectors, p.row)).then(|| vec![stored(2), stored(1)])
        }
        (Variant::Im2col, Params::Im2col(p)) => {
            let row = p.stride4.checked_mul(p.taps)?;
            let rows = p.vectors.checked_div(row)?;
            let whole = p.vectors % row == 0 && flat(p.vectors, p.row);
            let x = numbers(&[4, rows, p.stride4]);
            let needs = vec![Need::Words(product(&[4, rows])), x, numbers(&[4, p.vectors])];
            whole.then_some(needs)
        }
        (Variant::QkNorm, Params::QkNorm(p)) => {
            let inside = product(&[2, p.joined4]) <= u128::from(p.qkv4)
                && p.joined4 > 0
                && p.joined4.checked_rem(p.head4)? == 0
                && p.head_dim > 0
                && u128::from(p.head_dim) <= product(&[4, p.head4])
                && p.width > 0;
            let needs = vec![numbers(&[16, p.joined4]), numbers(&[4, p.rows, p.qkv4])];
            (inside && grid == [p.rows, 2]).then_some(needs)
        }
        (Variant::Route, Params::Route(p)) => {
            let slots = product(&[p.chosen, p.tokens]);
            let inside = (1..=p.experts).contains(&p.chosen) && p.experts <= p.line;
            let lists = u128::from(p.experts) * (1 + u128::from(p.tokens));
            let needs = vec![numbers(&[p.tokens, p.line]), Need::Numbers(lists + slots)];
            (inside && slots <= MAX_SLOTS && grid == [p.experts, 1]).then_some(needs)
        }
        (Variant::Expert { weights, .. }, Params::Expert(p)) => {
            let (n, k) = (4 * u128::from(p.n4), 4 * u128::from(p.k4));
            let inside = p.expert < p.experts
                && p.a_rows > 0
                && p.n4 > 0
                && p.k4 > 0
                && k.div_ceil(tiles::MATMUL_K as u128) == u128::from(p.k_steps)
                && grid == tiles::expert_grid(p.tokens as usize, usize::try_from(n).ok()?);
            let routes = Need::Routes { experts: p.experts, tokens: p.tokens };
            let a = Need::Numbers(k * u128::from(p.a_rows));
            let needs = vec![a, Need::Matrix { n, k, elem: weights }, routes, Need::Numbers(n)];
            inside.then_some(needs)
        }
        (Variant::Combine(Merge::Linear | Merge::Max), Params::Combine(p)) => {
            let all = numbers(&[4, p.vectors]);
            flat(p.vectors, p.row).then(|| vec![all, all])
        }
        (Variant::Pool(_), Params::Pool(p)) => {
            let [texts, columns] = grid;
            let wide = p.stride4 > 0
                && p.stride4 <= p.out4
                && columns as usize == (p.stride4 as usize).div_ceil(tiles::INVOCATIONS);
            let last = u128::from(p.start4) + product(&[texts.checked_sub(1)?, p.out4]);
            let pooled = Need::Numbers(4 * (last + u128::from(p.stride4)));
            wide.then(|| vec![numbers(&[4, p.stride4]), Need::Words(product(&[2, texts])), pooled])
        }
        _ => None,
    }
}

/// Numbers in a row that is normalised, where the invocations that share it hold all of it.
fn row(stride4: u32, width: u32, cut: RowCut) -> Option<u128> {
    let (stride, lanes) = (4 * u128::from(stride4), cut.sum.lanes() as u128);
    let held = cut.held <= MAX_HELD && lanes * u128::from(cut.held) >= u128::from(stride4);
    (held && width > 0 && u128::from(width) <= stride).then_some(stride)
}

/// Words of the flags of `rows` rows up to `state`.
fn flags(rows: u32, state: u32) -> u128 {
    u128::from(rows).div_ceil(32) + u128::from(state) + 1
}

/// [`tiles::matmul_grid`], where a grid can be so large.
fn checked_grid(tile: Tile, m: usize, n: usize, splits: usize) -> Option<[u32; 2]> {
    let down = m.div_ceil(tile.size().0).checked_mul(splits)?;
    (down <= tiles::MAX_GROUPS).then(|| tiles::matmul_grid(tile, m, n, splits))
}
