//! `qk_norm`: queries and keys normalised, each over all heads of a token.

use super::Access::{Change, Read};
use super::block::block;
use super::needs::{numbers, product};
use super::{Access, Call, Kernel, Need, Sizes};

/// Normalises queries and keys over all their heads, in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct QkNorm;

block! {
    /// The block of `shaders/qk_norm.wgsl`.
    QkNormParams {
        /// Vectors in a row of queries, keys and values together.
        qkv4: u32,
        /// Vectors in a row of queries.
        joined4: u32,
        /// Vectors from a head to the next.
        head4: u32,
        /// Numbers in a head, padding left out.
        head_dim: u32,
        /// Numbers in a row of queries, padding left out.
        width: u32,
        /// ε.
        eps: f32,
        /// Tokens.
        rows: u32,
    }
}

impl QkNorm {
    /// Of `rows` tokens with `heads` heads of `head_dim` numbers, `stride` apart. Binds γ and β of
    /// queries and of keys, then queries, keys and values.
    pub fn over(
        self,
        rows: usize,
        (heads, head_dim, stride): (usize, usize, usize),
        eps: f32,
    ) -> Call {
        let joined = heads * stride;
        let params = QkNormParams {
            qkv4: (3 * joined / 4) as u32,
            joined4: (joined / 4) as u32,
            head4: (stride / 4) as u32,
            head_dim: head_dim as u32,
            width: (heads * head_dim) as u32,
            eps,
            rows: rows as u32,
        };
        Call::new(self, params, [rows as u32, 2], 0)
    }
}

impl Kernel for QkNorm {
    const NAME: &'static str = "qk_norm";
    type Params = QkNormParams;

    fn bindings(&self) -> &'static [Access] {
        &[Read, Change]
    }

    fn variants(_: Sizes<'_>) -> Vec<Self> {
        vec![Self]
    }

    fn needs(&self, p: &QkNormParams, grid: [u32; 2]) -> Option<Vec<Need>> {
        let inside = product(&[2, p.joined4]) <= u128::from(p.qkv4)
            && p.joined4 > 0
            && p.joined4.checked_rem(p.head4)? == 0
            && p.head_dim > 0
            && u128::from(p.head_dim) <= product(&[4, p.head4])
            && p.width > 0;
        let needs = vec![numbers(&[16, p.joined4]), numbers(&[4, p.rows, p.qkv4])];
        (inside && grid == [p.rows, 2]).then_some(needs)
    }
}
