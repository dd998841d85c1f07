//! Tuning: cuts are timed, winners are kept and read again, and change no bit of a result.

#![cfg(feature = "gpu")]

#[path = "toy/mod.rs"]
mod toy;

use std::collections::HashSet;

use everylayer::execute::Execute;
use everylayer::gpu::GpuExecutor;
use everylayer::gpu::tuning_cache;
use everylayer::model::spec::Bias;
use everylayer::schedule::tuning::Tuning;
use everylayer::schedule::{Class, Elem, Exit, Tile, Variant, Vendor, record};
use toy::model::{SMALL, Shape, Toy, pack};
use toy::{Rng, gpu, run};

#[test]
fn every_product_is_timed_and_every_cut_gives_the_same_bits() {
    let Some(gpu) = gpu() else { return };
    let toy = SMALL.toy(3);
    let (layout, held) = (toy.layout.clone(), toy.held.clone());
    let executor = GpuExecutor::new(gpu, layout, held, Elem::F32).unwrap();
    // As on a GPU: software adapters have nothing to choose between.
    let mut executor = executor.cut_for(Class::Small);
    let products = executor.products();
    assert!(products.len() > 4, "{products:?}");
    let (product, m) = products[0];
    let timed = pollster::block_on(executor.tune(product, m)).unwrap();
    assert_eq!(timed.times.len(), Tile::candidates(&executor.caps().can).len());
    assert!(timed.times.iter().all(|(_, time)| !time.is_zero()), "{timed:?}");
    assert!(timed.times.iter().any(|(tile, _)| *tile == timed.winner));

    let before = executor.caps().submit_flops;
    pollster::block_on(executor.calibrate()).unwrap();
    let bound = executor.caps().submit_flops;
    // Software takes far more than 0.1 s for what a GPU may be given.
    assert!((2_000_000_000..before).contains(&bound), "{before} {bound}");

    let batch = pack(&mut Rng::new(1), &toy.spec, &[70, 12, 1]);
    let exit = Exit::states(0..=toy.spec.depth());
    let mut want = None;
    // Every cut, and the larger ones in the blocks of every vendor.
    let tiles = [Tile::T16x32, Tile::T32x32].map(|tile| (tile, Vendor::Portable));
    let larger = [Tile::T64x64, Tile::T128x128].into_iter();
    let larger = larger.flat_map(|tile| Vendor::ALL.map(|vendor| (tile, vendor)));
    let larger = larger.filter(|(tile, vendor)| tile.is_for(*vendor));
    for (tile, vendor) in tiles.into_iter().chain(larger) {
        executor = executor.cut_for_vendor(vendor);
        let rows = products.iter().map(|(product, _)| (*product, tile));
        executor.set_tuning(rows.collect());
        let recording = record(&toy.spec, &toy.layout, &batch, &exit, executor.caps()).unwrap();
        let taken = recording
            .dispatches()
            .any(|d| matches!(d.variant(), Variant::Matmul(matmul) if matmul.tile == tile));
        assert!(taken, "{tile} was not taken");
        let got = run(&executor, &recording).unwrap();
        assert_eq!(want.get_or_insert_with(|| got.clone()), &got, "{tile} for {vendor:?}");
    }
}

#[test]
fn every_vendors_cut_of_a_model_gives_the_same_bits() {
    let Some(gpu) = gpu() else { return };
    let reach: Vec<usize> = (0..9).collect();
    let biases = [
        (64, Bias::None),
        // The keys of a window begin at its tile, whose rows follow from the cut.
        (80, Bias::Window(9)),
        (32, Bias::Alibi([0.5, 0.25].into())),
        (96, Bias::Relative { table: "buckets".into(), buckets: 9, rows: reach.into() }),
    ];
    for (head_dim, bias) in biases {
        let mut spec = Shape { heads: 2, head_dim, width: 64, ..SMALL }.spec();
        spec.blocks.iter_mut().for_each(|block| block.attention.bias = bias.clone());
        let toy = Toy::of(spec, 5);
        let batch = pack(&mut Rng::new(2), &toy.spec, &[150, 70, 12, 1]);
        let exit = Exit::states(0..=toy.spec.depth());
        for elem in [Elem::F32, Elem::PackedF16] {
            let (layout, held) = (toy.layout.clone(), toy.held.clone());
            let executor = GpuExecutor::new(gpu.clone(), layout, held, elem).unwrap();
            let mut executor = executor.cut_for(Class::Small);
            let (mut cuts, mut want) = (HashSet::new(), None);
            for vendor in Vendor::ALL {
                executor = executor.cut_for_vendor(vendor);
                let recording =
                    record(&toy.spec, &toy.layout, &batch, &exit, executor.caps()).unwrap();
                cuts.extend(recording.dispatches().filter_map(|d| match d.variant() {
                    Variant::Attention(attention) => Some(attention),
                    _ => None,
                }));
                let got = run(&executor, &recording).unwrap();
                let want = want.get_or_insert_with(|| got.clone());
                assert_eq!(want, &got, "heads of {head_dim} with {bias:?}, {vendor:?}");
            }
            assert!(cuts.len() > 1, "heads of {head_dim}: {cuts:?}");
        }
    }
}

#[test]
fn winners_are_kept_by_adapter() {
    let Some(gpu) = gpu() else { return };
    let toy = SMALL.toy(3);
    let (layout, held) = (toy.layout.clone(), toy.held.clone());
    let executor = GpuExecutor::new(gpu.clone(), layout, held, Elem::F32).unwrap();
    let executor = executor.cut_for(Class::Small);
    let tuning: Tuning = executor.products().into_iter().map(|(p, _)| (p, Tile::T32x32)).collect();
    let mut report = gpu.report().clone();
    report.name = format!("a test of tuning, {}", std::process::id());
    assert!(tuning_cache::read(&report).is_empty());
    let file = tuning_cache::keep(&report, &tuning).unwrap();
    assert_eq!(tuning_cache::read(&report), tuning);
    // A second model's winners lie beside them; another driver has its own.
    tuning_cache::keep(&report, &tuning.iter().take(1).map(|(p, _)| (*p, Tile::T16x32)).collect())
        .unwrap();
    assert_eq!(
        tuning_cache::read(&report).iter().filter(|(_, tile)| **tile == Tile::T16x32).count(),
        1
    );
    assert_eq!(tuning_cache::read(&report).iter().count(), tuning.iter().count());
    let mut other = report.clone();
    other.driver.push('x');
    assert!(tuning_cache::read(&other).is_empty());
    std::fs::write(&file, "{\"version\":1,").unwrap();
    assert!(tuning_cache::read(&report).is_empty());
    std::fs::remove_file(file).unwrap();
}
