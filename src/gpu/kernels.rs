//! The kernel table: which `.wgsl` files make a variant, with which constants and bindings. The
//! only place that includes shader text.

use super::template::Constants;
use super::{attention, matmul};
use crate::model::spec::{Activation, NormKind};
use crate::schedule::tiles::{DIRECT_HEAD_DIM, attention_parts};
use crate::schedule::variant::{
    Elem, Merge, Narrow, NormInput, PoolMode, RowCut, RowSum, Scores, Staging, Tile, Variant,
};

/// The whole WGSL of a variant: a prelude with its constants, the kernel's file, the lib files it
/// uses. WGSL looks names up module-wide, so the order does not matter.
pub fn source(variant: Variant) -> String {
    let unroll = match variant {
        Variant::Matmul { .. } => matmul::UNROLL,
        _ => 1,
    };
    text(variant, unroll)
}

/// A kernel with the body of its innermost arithmetic loop repeated.
#[derive(Debug, Clone)]
pub struct Unrolled {
    /// The whole WGSL.
    pub source: String,
    /// Multiply-adds an invocation does in one such body.
    pub fmas: u32,
}

/// [`source`] with `unroll` steps in the body of the innermost loop, for static statistics; `None`
/// where a kernel does little arithmetic or cannot be unrolled further.
pub fn unrolled(variant: Variant, unroll: u32) -> Option<Unrolled> {
    match variant {
        Variant::Matmul {
            tile: tile @ (Tile::T16x32 | Tile::T32x32 | Tile::T64x64 | Tile::T128x128),
            ..
        } => Some(Unrolled {
            source: text(variant, unroll as usize),
            fmas: matmul::fmas(tile, unroll as usize) as u32,
        }),
        Variant::Attention { staging, head_dim, scores, .. }
            if staging == Staging::Workgroup && scores != Scores::Disentangled =>
        {
            Some(Unrolled {
                source: text(variant, unroll as usize),
                fmas: unroll * attention::fmas(head_dim as usize) as u32,
            })
        }
        _ => None,
    }
}

fn text(variant: Variant, unroll: usize) -> String {
    let (constants, files) = parts(variant, unroll);
    let half = match variant {
        Variant::Matmul { weights, .. } => weights == Elem::NativeF16,
        Variant::Embed { tables, .. } => tables == Elem::NativeF16,
        Variant::Expert { weights, .. } => weights == Elem::NativeF16,
        _ => false,
    };
    let enable = match variant {
        Variant::Matmul { tile, .. } if tile.is_coop() => {
            "enable f16;\nenable wgpu_cooperative_matrix;\n"
        }
        _ if half => "enable f16;\n",
        _ => "",
    };
    let mut text = format!("// {variant}\n{enable}{}", constants.wgsl());
    for file in files.into_iter().chain(storage(variant)) {
        text.push('\n');
        match constants.expand(file) {
            Ok(lines) => text.push_str(&lines),
            // The kernels' own files have none, which tests/shaders.rs shows; WGSL refuses this line.
            Err(e) => text.push_str(&e),
        }
    }
    text
}

/// A file of `shaders/`, as `build.rs` leaves it.
macro_rules! kernel {
    ($name:literal) => {
        include_str!(concat!(env!("OUT_DIR"), "/shaders/", $name, ".wgsl"))
    };
}

/// A file of `shaders/lib/`.
macro_rules! lib {
    ($name:literal) => {
        include_str!(concat!(env!("OUT_DIR"), "/shaders/lib/", $name, ".wgsl"))
    };
}

/// How the activations of a kernel are stored, where it has a choice.
fn storage(variant: Variant) -> Vec<&'static str> {
    let input = if variant.reads_narrow() { lib!("in_f16") } else { lib!("in_f32") };
    let output = if variant.writes_narrow() { lib!("out_f16") } else { lib!("out_f32") };
    match variant {
        // Software Vulkan's reads and writes words.
        Variant::Matmul { tile: Tile::Broadcast, .. } => vec![],
        Variant::Matmul { .. } | Variant::Attention { .. } | Variant::Gate { .. } => {
            vec![input, output]
        }
        _ => vec![],
    }
}

fn parts(variant: Variant, unroll: usize) -> (Constants, Vec<&'static str>) {
    match variant {
        Variant::Embed { tables, gathered, cut, kind } => (
            row_of(cut, kind),
            vec![
                kernel!("embed"),
                lib!("row"),
                row_sum(cut.sum),
                elem(tables),
                if gathered { lib!("word_rows") } else { lib!("word_table") },
            ],
        ),
        Variant::Norm { cut, input, kind } => (
            row_of(cut, kind),
            vec![
                kernel!("norm"),
                lib!("row"),
                row_sum(cut.sum),
                match input {
                    NormInput::Whole => lib!("norm_whole"),
                    NormInput::Residual => lib!("norm_residual"),
                    NormInput::Parts => lib!("norm_parts"),
                },
            ],
        ),
        Variant::Matmul { tile: Tile::Broadcast, weights, activation, residual, .. } => (
            matmul::constants(Tile::Broadcast, unroll),
            vec![
                kernel!("matmul_broadcast"),
                lib!("matmul_sums"),
                lib!("matmul_starts"),
                lib!("words"),
                match weights {
                    Elem::F32 => lib!("words_f32"),
                    Elem::PackedF16 | Elem::NativeF16 => lib!("words_f16"),
                },
                activate(activation),
                if residual { lib!("words_residual_add") } else { lib!("residual_none") },
            ],
        ),
        Variant::Matmul { tile, weights, activation, residual, splits, .. } => {
            let constants = matmul::constants(tile, unroll);
            let mut files = match tile {
                Tile::Coop8 | Tile::Coop16 => vec![kernel!("matmul_coop")],
                Tile::Direct => vec![
                    kernel!("matmul_direct"),
                    lib!("matmul_sums"),
                    lib!("matmul_starts"),
                    lib!("matmul_put"),
                ],
                _ => vec![kernel!("matmul"), lib!("matmul_sums"), lib!("matmul_put")],
            };
            files.extend([
                lib!("matmul_io"),
                elem(weights),
                activate(activation),
                if residual { lib!("residual_add") } else { lib!("residual_none") },
                match (tile.is_coop(), splits > 1) {
                    (false, false) => lib!("matmul_whole"),
                    (false, true) => lib!("matmul_part"),
                    (true, false) => lib!("coop_whole"),
                    (true, true) => lib!("coop_part"),
                },
            ]);
            match splits {
                0 | 1 => (constants, files),
                _ => (constants.number("SPLITS", splits as usize), files),
            }
        }
        Variant::Attention { head_dim, scores: Scores::Disentangled, .. } => (
            attention::constants(head_dim as usize, unroll),
            vec![kernel!("attention_disentangled"), lib!("attention_io")],
        ),
        Variant::Attention { staging, head_dim, scores, .. } => (
            attention::constants(head_dim as usize, unroll),
            match staging {
                Staging::Broadcast => vec![
                    kernel!("attention_broadcast"),
                    lib!("attention_io"),
                    adjusted(scores),
                    reached(scores),
                ],
                Staging::Direct => vec![
                    kernel!("attention_direct"),
                    lib!("attention_io"),
                    adjusted(scores),
                    reached(scores),
                ],
                Staging::Workgroup => vec![
                    kernel!("attention"),
                    lib!("attention_io"),
                    adjusted(scores),
                    reached(scores),
                    match attention_parts(head_dim as usize) {
                        1 => lib!("attention_one"),
                        8 => lib!("attention_overlay"),
                        _ => lib!("attention_shared"),
                    },
                ],
            },
        ),
        Variant::Rope => (Constants::default(), vec![kernel!("rope")]),
        Variant::Gate { activation, .. } => {
            (Constants::default(), vec![kernel!("gate"), activate(activation)])
        }
        Variant::Im2col => (Constants::default(), vec![kernel!("im2col")]),
        Variant::QkNorm => (Constants::default(), vec![kernel!("qk_norm")]),
        Variant::Route => (Constants::default(), vec![kernel!("route")]),
        Variant::Expert { weights, activation, shared } => (
            Constants::default().flag("SHARED", shared),
            vec![kernel!("expert"), elem(weights), activate(activation)],
        ),
        Variant::Combine(merge) => (
            Constants::default(),
            vec![
                kernel!("combine"),
                match merge {
                    Merge::Linear => lib!("merge_linear"),
                    Merge::Max => lib!("merge_max"),
                },
            ],
        ),
        Variant::Pool(reduce) => {
            let mut files = vec![kernel!("pool")];
            files.extend_from_slice(match reduce {
                PoolMode::Mean => &[lib!("pool_mean"), lib!("pool_sum")],
                PoolMode::MeanSqrt => &[lib!("pool_mean_sqrt"), lib!("pool_sum")],
                PoolMode::WeightedMean => &[lib!("pool_weighted_mean"), lib!("pool_sum")],
                PoolMode::Cls => &[lib!("pool_cls")],
                PoolMode::Last => &[lib!("pool_last")],
                PoolMode::Max => &[lib!("pool_max")],
            });
            (Constants::default(), files)
        }
    }
}

/// The constants of a kernel on rows that are shared as `cut`.
fn row_of(cut: RowCut, kind: NormKind) -> Constants {
    Constants::default()
        .number("LANES", cut.sum.lanes())
        .number("HELD", cut.held as usize)
        .flag("SUBGROUPS", cut.sum == RowSum::Subgroup)
        .flag("CENTERED", kind == NormKind::Layer)
        .flag("SCALED", kind != NormKind::None)
}

fn adjusted(scores: Scores) -> &'static str {
    match scores {
        Scores::Plain | Scores::Disentangled => lib!("attention_plain"),
        Scores::Window => lib!("attention_window"),
        Scores::Alibi => lib!("attention_alibi"),
        Scores::Relative => lib!("attention_relative"),
    }
}

fn reached(scores: Scores) -> &'static str {
    match scores {
        // Its file says which keys it reaches.
        Scores::Window => "",
        _ => lib!("attention_whole"),
    }
}

fn row_sum(sum: RowSum) -> &'static str {
    match sum {
        RowSum::Shared | RowSum::Few => lib!("sum_shared"),
        RowSum::Subgroup => lib!("sum_subgroup"),
        RowSum::Single => lib!("sum_single"),
    }
}

fn elem(elem: Elem) -> &'static str {
    match elem {
        Elem::F32 => lib!("elem_f32"),
        Elem::PackedF16 => lib!("elem_f16"),
        Elem::NativeF16 => lib!("elem_half"),
    }
}

fn activate(activation: Activation) -> &'static str {
    match activation {
        Activation::Identity => lib!("act_identity"),
        Activation::Gelu => lib!("act_gelu"),
        Activation::GeluTanh => lib!("act_gelu_tanh"),
        Activation::Relu => lib!("act_relu"),
        Activation::Silu => lib!("act_silu"),
        Activation::Tanh => lib!("act_tanh"),
    }
}

/// Every variant of every kernel that a recording may hold, for tests and `doctor`: with heads
/// `head_dims` numbers apart and rows of as many numbers as `strides`.
pub fn variants(head_dims: &[u32], strides: &[usize]) -> Vec<Variant> {
    let reduces = [
        PoolMode::Mean,
        PoolMode::Cls,
        PoolMode::Last,
        PoolMode::Max,
        PoolMode::MeanSqrt,
        PoolMode::WeightedMean,
    ];
    let mut all = Vec::new();
    let mut cuts: Vec<RowCut> = RowSum::ALL
        .iter()
        .flat_map(|&sum| strides.iter().map(move |&stride| RowCut::new(sum, stride)))
        .collect();
    cuts.dedup();
    for cut in cuts {
        for kind in NormKind::ALL {
            all.extend(NormInput::ALL.map(|input| Variant::Norm { cut, input, kind }));
            for tables in Elem::ALL {
                let embed = |gathered| Variant::Embed { tables, gathered, cut, kind };
                all.extend([false, true].map(embed));
            }
        }
    }
    for weights in Elem::ALL {
        // Cooperative matrices read halves as such.
        for tile in
            Tile::ALL.into_iter().filter(|tile| !tile.is_coop() || weights == Elem::NativeF16)
        {
            all.extend(products(tile, weights));
        }
    }
    for staging in [Staging::Workgroup, Staging::Broadcast, Staging::Direct] {
        for scores in Scores::ALL {
            // Disentangled attention stages nothing.
            if scores == Scores::Disentangled && staging != Staging::Workgroup {
                continue;
            }
            for narrow in [false, true] {
                // Software Vulkan keeps activations in f32.
                if narrow && staging == Staging::Broadcast {
                    continue;
                }
                let attention =
                    |&head_dim| Variant::Attention { staging, head_dim, scores, narrow };
                let small =
                    |dim: u32| staging != Staging::Direct || dim as usize <= DIRECT_HEAD_DIM;
                all.extend(head_dims.iter().filter(|dim| small(**dim)).map(attention));
            }
        }
    }
    for narrow in [false, true] {
        all.extend(ENDS.map(|activation| Variant::Gate { activation, narrow }));
    }
    all.extend([Variant::Rope, Variant::Im2col, Variant::QkNorm, Variant::Route]);
    for weights in Elem::ALL {
        let up = ENDS.map(|activation| (activation, false));
        let all_of = up.into_iter().chain([(Activation::Identity, true)]);
        all.extend(all_of.map(|(activation, shared)| Variant::Expert {
            weights,
            activation,
            shared,
        }));
    }
    all.extend([Merge::Linear, Merge::Max].map(Variant::Combine));
    all.extend(reduces.map(Variant::Pool));
    all
}

/// What may become of a sum.
const ENDS: [Activation; 6] = [
    Activation::Identity,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Relu,
    Activation::Silu,
    Activation::Tanh,
];

/// Every product in one cut, with weights stored as `weights`.
fn products(tile: Tile, weights: Elem) -> Vec<Variant> {
    use Activation::Identity;
    let of = |narrow, activation, residual, splits| Variant::Matmul {
        tile,
        weights,
        activation,
        residual,
        splits,
        narrow,
    };
    let ends = |narrow| ENDS.into_iter().map(move |end| of(narrow, end, false, 1));
    // A residual follows a bare product, and the parts of a product that is split have no end.
    let bare = |narrow| {
        [
            of(narrow, Identity, true, 1),
            of(narrow, Identity, false, 2),
            of(narrow, Identity, false, 4),
        ]
    };
    let mut products: Vec<_> = ends(Narrow::Neither).chain(bare(Narrow::Neither)).collect();
    if tile == Tile::Broadcast {
        // Software Vulkan splits nothing and keeps activations in f32.
        products.truncate(ENDS.len() + 1);
    } else if weights != Elem::F32 {
        products.extend(ends(Narrow::C));
        products.push(of(Narrow::A, Identity, false, 1));
        products.extend(bare(Narrow::A));
    }
    products
}
