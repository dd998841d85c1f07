//! The kernels, a file each: what a kernel is called, binds, reads from its uniform block, runs over,
//! costs and indexes, its variants and the WGSL that each is made of.
//!
//! The table at the end of this file makes [`Variant`] and [`Work`] of them. Everything else that
//! goes over kernels (the schedule's checks, executors, `doctor`, tests, `tools/shader-stats`) asks
//! these, so that a kernel is added here, in `shaders/` and in `cpu/kernels.rs`, and then used in
//! `schedule/forward/`. Pure: no device, no I/O.

mod adapter;
mod attention;
mod block;
mod combine;
mod digest;
mod elem;
mod embed;
mod expert;
mod gate;
pub mod grid;
mod im2col;
mod matmul;
mod needs;
mod norm;
mod pool;
mod qk_norm;
mod rope;
mod route;
mod row;
mod slice;
pub mod template;
mod tile;
mod vendor;
mod weigh;
mod wgsl;

use std::fmt;
use std::hash::Hash;

pub use adapter::{AdapterFeatures, Class};
pub use attention::{
    Attention, AttentionParams, AttentionShape, DIRECT_HEAD_DIM, Scores, Staging, attention_parts,
    attention_rows,
};
pub use block::Block;
pub use combine::{Combine, CombineParams, Merge};
pub use digest::{Digest, DigestParams, DigestShape};
pub use elem::{Elem, Narrow};
pub use embed::Embed;
pub use expert::{Expert, ExpertParams, ExpertShape};
pub use gate::{Gate, GateParams};
pub use im2col::{Im2col, Im2colParams};
pub use matmul::{Matmul, MatmulBlock, MatmulParams, matmul_grid};
pub use needs::{Arrays, Checked, Need};
pub use norm::{Norm, NormParams};
pub use pool::{Pool, PoolParams};
pub use qk_norm::{QkNorm, QkNormParams};
pub use rope::{Rope, RopeParams, RopeShape};
pub use route::{Route, RouteParams, RoutesLeft, route_words};
pub use row::{NormInput, RowCut, RowSum};
pub use slice::{Slice, SliceParams, SliceShape};
pub use tile::Tile;
pub use vendor::Vendor;
pub use weigh::{Weigh, WeighParams, WeighShape};
pub use wgsl::Wgsl;

/// How a storage binding is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`, and nothing is read that it did not write.
    Write,
    /// `var<storage, read_write>`: what was there before is read as well.
    Change,
}

impl Access {
    /// Whether it writes.
    pub fn writes(self) -> bool {
        self != Self::Read
    }
}

/// What variants are listed for: sizes that are compiled into some of them.
#[derive(Debug, Clone, Copy)]
pub struct Sizes<'a> {
    /// Numbers between two heads.
    pub head_dims: &'a [u32],
    /// Numbers between two rows of a hidden state.
    pub strides: &'a [usize],
}

/// A kernel with what is compiled into it. The only place that knows how its shader indexes.
pub trait Kernel: Copy + Eq + Hash + fmt::Debug + Into<Variant> {
    /// Its name: that of its `.wgsl` file, of its CPU function, and the first word of its variants'.
    const NAME: &'static str;
    /// Its uniform block.
    type Params: Block;

    /// Writes what was chosen, behind the name.
    ///
    /// # Errors
    ///
    /// Those of `f`.
    fn choices(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }

    /// The storage bindings, from binding 1 on; binding 0 is its uniform block.
    fn bindings(&self) -> &'static [Access];

    /// Every variant that a recording may hold.
    fn variants(sizes: Sizes<'_>) -> Vec<Self>;

    /// Whether an adapter that `can` do so much runs it, and is of a kind that could be given it: what
    /// is made for processors has more in an invocation than a GPU has registers.
    fn runs_on(&self, _: &AdapterFeatures) -> bool {
        true
    }

    /// How the matrix or tables that it reads are stored.
    fn weights(&self) -> Elem {
        Elem::F32
    }

    /// Whether the first array it reads is kept in 16 bits.
    fn reads_narrow(&self) -> bool {
        false
    }

    /// Whether the array it writes is kept in 16 bits.
    fn writes_narrow(&self) -> bool {
        self.reads_narrow()
    }

    /// Its constants and the files of `shaders/` it is put together of, with `unroll` steps in the
    /// body of its innermost loop.
    fn wgsl(&self, _unroll: usize) -> Wgsl {
        Wgsl::of(Self::NAME)
    }

    /// Steps in the body of its innermost loop.
    fn unroll(&self) -> usize {
        1
    }

    /// Multiply-adds an invocation does in one such body; `None` where it does little arithmetic or
    /// cannot be unrolled further.
    fn fmas(&self, _unroll: usize) -> Option<usize> {
        None
    }

    /// What each binding has to be, by its `.wgsl`; `None` where block and grid contradict the
    /// variant or each other.
    fn needs(&self, p: &Self::Params, grid: [u32; 2]) -> Option<Vec<Need>>;

    /// Every index that it takes from data is inside what it indexes.
    ///
    /// # Errors
    ///
    /// What is outside.
    fn indices(&self, _: &Self::Params, _grid: [u32; 2], _: &mut dyn Arrays) -> Checked {
        Ok(())
    }

    /// Whether what it changes need not have been there: it is written first.
    fn starts(&self, _: &Self::Params) -> bool {
        false
    }

    /// What it leaves behind, where that is lists of rows for [`Expert`].
    fn leaves(&self, _: &Self::Params) -> Option<RoutesLeft> {
        None
    }
}

/// One kernel over its grid: a dispatch but for its arrays. Each kernel's file has what makes one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Call {
    /// The kernel and its uniform block.
    pub work: Work,
    /// Workgroups in x and y.
    pub grid: [u32; 2],
    /// Floating-point operations, two a multiply-add; 0 for elementwise work.
    pub flops: u64,
}

impl Call {
    /// `kernel` over `grid` with `params`.
    pub fn new<K: Kernel>(kernel: K, params: K::Params, grid: [u32; 2], flops: u64) -> Self
    where
        Work: From<(K, K::Params)>,
    {
        Self { work: (kernel, params).into(), grid, flops }
    }
}

/// Makes [`Variant`] and [`Work`] of kernels.
macro_rules! kernels {
    ($($kernel:ident),+ $(,)?) => {
        /// One kernel with what is compiled into it: the whole key of a pipeline, so that two
        /// dispatches with equal variants share one.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "one a kernel, named like it")]
        pub enum Variant {
            $($kernel($kernel)),+
        }

        /// A kernel and the uniform block of one dispatch.
        #[derive(Debug, Clone, Copy, PartialEq)]
        #[expect(missing_docs, reason = "one a kernel, named like it")]
        pub enum Work {
            $($kernel($kernel, <$kernel as Kernel>::Params)),+
        }

        $(impl From<$kernel> for Variant {
            fn from(kernel: $kernel) -> Self {
                Self::$kernel(kernel)
            }
        }

        impl From<($kernel, <$kernel as Kernel>::Params)> for Work {
            fn from((kernel, params): ($kernel, <$kernel as Kernel>::Params)) -> Self {
                Self::$kernel(kernel, params)
            }
        })+

        impl Variant {
            /// The names of all kernels.
            pub const KERNELS: &'static [&'static str] = &[$($kernel::NAME),+];

            /// Every variant of every kernel that a recording may hold.
            pub fn all(sizes: Sizes<'_>) -> Vec<Self> {
                let mut all = Vec::new();
                $(all.extend($kernel::variants(sizes).into_iter().map(Self::$kernel));)+
                all
            }

            /// See [`Kernel::NAME`].
            pub fn kernel(&self) -> &'static str {
                match self { $(Self::$kernel(_) => $kernel::NAME),+ }
            }

            /// See [`Kernel::bindings`].
            pub fn bindings(&self) -> &'static [Access] {
                match self { $(Self::$kernel(kernel) => kernel.bindings()),+ }
            }

            /// See [`Kernel::runs_on`].
            pub fn runs_on(&self, can: &AdapterFeatures) -> bool {
                match self { $(Self::$kernel(kernel) => kernel.runs_on(can)),+ }
            }

            /// See [`Kernel::weights`].
            pub fn weights(&self) -> Elem {
                match self { $(Self::$kernel(kernel) => kernel.weights()),+ }
            }

            /// See [`Kernel::reads_narrow`].
            pub fn reads_narrow(&self) -> bool {
                match self { $(Self::$kernel(kernel) => kernel.reads_narrow()),+ }
            }

            /// See [`Kernel::writes_narrow`].
            pub fn writes_narrow(&self) -> bool {
                match self { $(Self::$kernel(kernel) => kernel.writes_narrow()),+ }
            }

            /// See [`Kernel::wgsl`].
            pub fn wgsl(&self, unroll: usize) -> Wgsl {
                match self { $(Self::$kernel(kernel) => kernel.wgsl(unroll)),+ }
            }

            /// See [`Kernel::unroll`].
            pub fn unroll(&self) -> usize {
                match self { $(Self::$kernel(kernel) => kernel.unroll()),+ }
            }

            /// See [`Kernel::fmas`].
            pub fn fmas(&self, unroll: usize) -> Option<usize> {
                match self { $(Self::$kernel(kernel) => kernel.fmas(unroll)),+ }
            }

            /// The members of the uniform block and their offsets in bytes.
            pub fn block(&self) -> &'static [(&'static str, usize)] {
                match self { $(Self::$kernel(_) => <$kernel as Kernel>::Params::MEMBERS),+ }
            }
        }

        impl fmt::Display for Variant {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.kernel())?;
                match self { $(Self::$kernel(kernel) => kernel.choices(f)),+ }
            }
        }

        impl Work {
            /// The kernel.
            pub fn variant(&self) -> Variant {
                match self { $(Self::$kernel(kernel, _) => Variant::$kernel(*kernel)),+ }
            }

            /// The bytes of the uniform block.
            pub fn bytes(&self) -> &[u8] {
                match self { $(Self::$kernel(_, params) => bytemuck::bytes_of(params)),+ }
            }

            /// See [`Kernel::starts`].
            pub fn starts(&self) -> bool {
                match self { $(Self::$kernel(kernel, params) => kernel.starts(params)),+ }
            }

            /// See [`Kernel::leaves`].
            pub fn leaves(&self) -> Option<RoutesLeft> {
                match self { $(Self::$kernel(kernel, params) => kernel.leaves(params)),+ }
            }
        }

        impl Call {
            /// See [`Kernel::needs`].
            pub fn needs(&self) -> Option<Vec<Need>> {
                match &self.work {
                    $(Work::$kernel(kernel, params) => kernel.needs(params, self.grid)),+
                }
            }

            /// See [`Kernel::indices`].
            ///
            /// # Errors
            ///
            /// What is outside.
            pub fn indices(&self, arrays: &mut dyn Arrays) -> Checked {
                match &self.work {
                    $(Work::$kernel(kernel, params) => kernel.indices(params, self.grid, arrays)),+
                }
            }
        }
    };
}

impl Variant {
    /// Whether it runs on any WebGPU adapter; the others need what [`Variant`]'s choice asked for.
    pub fn is_portable(&self) -> bool {
        self.can_run_on(&AdapterFeatures::default())
    }

    /// Whether an adapter that `can` do so much runs it, whatever it was made for.
    pub fn can_run_on(&self, can: &AdapterFeatures) -> bool {
        let classes = [can.class, Class::CpuAdapter, Class::Small].into_iter();
        let mut all = classes.flat_map(|class| Vendor::ALL.map(|vendor| (class, vendor)));
        all.any(|(class, vendor)| self.runs_on(&AdapterFeatures { class, vendor, ..*can }))
    }

    /// Whether it multiplies on cooperative matrices, which a device has to be opened for.
    pub fn is_coop(&self) -> bool {
        matches!(self, Self::Matmul(matmul) if matmul.tile.is_coop())
    }
}

// In the order of the forward pass.
kernels! {
    Embed,
    Norm,
    Matmul,
    Attention,
    Rope,
    Gate,
    Im2col,
    QkNorm,
    Route,
    Expert,
    Weigh,
    Digest,
    Slice,
    Combine,
    Pool,
}
