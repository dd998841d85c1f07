//! What a recording may hold, for any encoder on any adapter, is in the table of variants: so all of
//! it is compiled by `tests/shaders.rs`, run by `doctor` and judged by `tools/shader-stats`.

#![cfg(feature = "gpu")]

mod toy;

use std::collections::{BTreeMap, HashSet};

use everylayer::gpu::kernels::variants;
use everylayer::model::layout::Layout;
use everylayer::model::spec::{
    Activation, Bias, Convolution, Disentangled, Experts, Linear, Norm, NormKind, Order, Rope, Spec,
};
use everylayer::schedule::maps::{MapExit, Reduce};
use everylayer::schedule::tuning::Tuning;
use everylayer::schedule::{
    AdapterFeatures, Caps, Class, Combination, Elem, Exit, Merge, PoolMode, Pooling, Site, Tile,
    Variant, Vendor, record, record_maps,
};
use everylayer::text::pack::PackedBatch;
use toy::Rng;
use toy::model::{SMALL, pack};

const HEAD_DIMS: [usize; 5] = [4, 30, 64, 96, 128];
const WIDTHS: [usize; 4] = [30, 300, 768, 1500];

fn one_of<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.below(of.len())]
}

fn chance(rng: &mut Rng) -> bool {
    rng.below(2) == 0
}

/// An encoder of two blocks with whatever a family may have.
fn spec(rng: &mut Rng) -> Spec {
    let mut spec = SMALL.spec();
    spec.heads = 2;
    spec.kv_heads = 2;
    spec.head_dim = one_of(rng, &HEAD_DIMS);
    spec.width = one_of(rng, &WIDTHS);
    spec.embedding.width = spec.width;
    spec.inner = one_of(rng, &[70, 1100]);
    let norm = |rng: &mut Rng, name: &str| match one_of(rng, &NormKind::ALL) {
        NormKind::None => Norm::none(),
        kind => Norm { kind, ..Norm::layer(name, 1e-6) },
    };
    spec.embedding.norm = norm(rng, "norm");
    if chance(rng) {
        spec.embedding.width = 36;
        spec.embedding.projection = Some(Linear::new("projection"));
        spec.embedding.projected_norm = chance(rng).then(|| norm(rng, "projected"));
    }
    let order = one_of(rng, &[Order::Post, Order::Pre]);
    let reach: Vec<usize> = (0..9).collect();
    let bias = match rng.below(5) {
        0 => Bias::None,
        1 => Bias::Window(8),
        2 => Bias::Alibi([0.5, 0.25].into()),
        3 => Bias::Relative { table: "buckets".into(), buckets: 9, rows: reach.into() },
        _ => Bias::Disentangled(Box::new(Disentangled {
            table: "places".into(),
            norm: norm(rng, "places_norm"),
            span: 5,
            rows: reach.into(),
            query: chance(rng).then(|| Linear::new("places_query")),
            key: Some(Linear::new("places_key")),
        })),
    };
    let rope = chance(rng).then(|| Rope { angles: vec![1.0; spec.head_dim / 2].into() });
    let (inner, is_post) = (spec.inner, order == Order::Post);
    let (activation, gated) = (one_of(rng, &Activation::ALL), chance(rng));
    for (i, block) in spec.blocks.iter_mut().enumerate() {
        block.order = order;
        block.activation = activation;
        block.gate = gated.then(|| Linear::new(format!("{i}.gate")));
        block.attention.bias = bias.clone();
        block.attention.rope = rope.clone();
        block.attention_norm = Some(norm(rng, &format!("{i}.first")));
        block.output_norm = norm(rng, &format!("{i}.last"));
        match rng.below(5) {
            0 => {
                let of = |side: &str| Norm::layer(format!("{i}.{side}"), 1e-6);
                block.attention.query_key_norms = Some([of("q"), of("k")]);
            }
            1 if is_post => {
                let router = Linear::new(format!("{i}.router"));
                let chosen = 1 + rng.below(4);
                block.experts = Some(Experts { router, count: 5, chosen });
                block.gate = None;
                let below = |side: &str| Linear::unbiased(format!("{i}.{side}")).rows(0, 5 * inner);
                block.up = below("up");
                block.down = Linear { transposed: true, ..below("down") };
            }
            2 if i == 0 && is_post => {
                block.convolution = Some(Convolution {
                    product: Linear::new("convolution"),
                    taps: 3,
                    activation: one_of(rng, &Activation::ALL),
                    norm: norm(rng, "convolution_norm"),
                });
            }
            3 if is_post => block.second_norm = Some(norm(rng, &format!("{i}.second"))),
            _ => {}
        }
    }
    if order == Order::Pre {
        spec.final_norm = Some(norm(rng, "final"));
    }
    spec
}

/// An adapter of some kind, and how a model may be opened on it.
fn caps(rng: &mut Rng) -> Caps {
    let class = one_of(rng, &[Class::Software, Class::CpuAdapter, Class::Small, Class::Large]);
    let half = chance(rng);
    let elem = match rng.below(2) {
        0 => Elem::F32,
        _ if half => Elem::NativeF16,
        _ => Elem::PackedF16,
    };
    let coop = (elem == Elem::NativeF16 && class == Class::Large && chance(rng))
        .then(|| one_of(rng, &[Tile::Coop8, Tile::Coop16]));
    Caps {
        // Small enough at times that the word table is read on the host.
        max_binding: one_of(rng, &[100_000, 128 << 20]),
        elem,
        narrow: elem != Elem::F32 && class != Class::Software,
        can: AdapterFeatures {
            class,
            vendor: one_of(rng, &Vendor::ALL),
            subgroups: class == Class::Software || chance(rng),
            half,
            coop,
        },
        tuning: Tuning::none(),
        submit_read_bytes: 8 << 20,
        submit_flops: u64::MAX,
    }
}

fn exit(rng: &mut Rng) -> Exit {
    let sites = Site::ALL.map(|(_, site)| site);
    let site = if chance(rng) { Site::Hidden } else { one_of(rng, &sites) };
    let states = if site == Site::Hidden { vec![0, 2, 1] } else { vec![2, 1] };
    let merge = one_of(rng, &Merge::ALL);
    let combine = chance(rng).then(|| Combination { merge, factors: vec![1.0; states.len()] });
    let pooler = combine.is_some() && site == Site::Hidden && chance(rng);
    let reduces = vec![if pooler { PoolMode::Cls } else { one_of(rng, &PoolMode::ALL) }];
    let pool = chance(rng).then_some(Pooling { reduces, pooler });
    Exit { site, final_norm: pooler || chance(rng), states, combine, pool }
}

/// What is asked of attention.
fn maps(rng: &mut Rng, batch: &PackedBatch) -> MapExit {
    let reduces = [
        Reduce::Full,
        Reduce::Received,
        Reduce::Entropy,
        Reduce::First,
        Reduce::Special,
        Reduce::Distance,
        Reduce::Top(2),
        Reduce::Rollout,
    ];
    let special = (0..batch.ids.len()).map(|i| i == 0).collect();
    MapExit { layers: vec![2, 1], heads: vec![1, 0], reduce: one_of(rng, &reduces), special }
}

#[test]
fn every_variant_of_a_recording_is_in_the_table() {
    let strides: Vec<usize> = WIDTHS.iter().chain(&[36]).map(|w| w.next_multiple_of(4)).collect();
    let head_dims = HEAD_DIMS.map(|d| d.next_multiple_of(4) as u32);
    let known: HashSet<Variant> = variants(&head_dims, &strides).into_iter().collect();
    let mut rng = Rng::new(14);
    let (mut kernels, mut unknown) = (BTreeMap::new(), BTreeMap::new());
    let (mut recorded, mut refused) = (0, BTreeMap::new());
    for _ in 0..4000 {
        let (spec, caps, exit) = (spec(&mut rng), caps(&mut rng), exit(&mut rng));
        let batch = pack(&mut rng, &spec, &[9, 3]);
        let maps = one_of(&mut rng, &[None, None, None, Some(())]).map(|()| maps(&mut rng, &batch));
        let recorded_as = |layout| match &maps {
            Some(maps) => record_maps(&spec, &layout, &batch, maps, &caps),
            None => record(&spec, &layout, &batch, &exit, &caps),
        };
        match Layout::new(&spec).and_then(recorded_as) {
            Ok(recording) => {
                recorded += 1;
                for dispatch in recording.dispatches() {
                    *kernels.entry(dispatch.variant().kernel()).or_insert(0) += 1;
                    if !known.contains(&dispatch.variant()) {
                        unknown.insert(dispatch.variant().to_string(), format!("{caps:?}"));
                    }
                }
            }
            Err(e) => *refused.entry(e.to_string()).or_insert(0) += 1,
        }
    }
    println!("{recorded} recordings, {kernels:?}; refused: {refused:#?}");
    assert!(unknown.is_empty(), "not in the table: {unknown:#?}");
    assert!(recorded > 1000, "{recorded} recordings");
    for kernel in Variant::KERNELS {
        assert!(kernels.contains_key(kernel), "{kernel} was never recorded");
    }
}
