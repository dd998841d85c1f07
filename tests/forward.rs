//! Whole forward passes of small random encoders: the GPU against the CPU, one way out against the
//! other, and the same bits whatever stands beside a text.
//!
//! Single kernels are in `kernels/`; values from another implementation are goldens.

#![cfg(feature = "gpu")]

mod toy;

use std::sync::Arc;

use everylayer::ErrorKind;
use everylayer::cpu::Cpu;
use everylayer::execute::Execute;
use everylayer::gpu::GpuExecutor;
use everylayer::gpu::device::Gpu;
use everylayer::kernels::Embed;
use everylayer::math::pool::pool_rows;
use everylayer::model::spec::{Activation, Bias};
use everylayer::schedule::recording::Fill;
use everylayer::schedule::{
    Caps, Class, Combination, Elem, Exit, Merge, Output, PoolMode, Pooling, Recording, Variant,
    record,
};
use everylayer::text::pack::PackedBatch;
use toy::model::{SMALL, Shape, TextIds, Toy, batch, pack, text};
use toy::{Held, Report, Rng, gpu, run};

const SHAPES: [Shape; 8] = [
    SMALL,
    Shape { heads: 3, head_dim: 36, width: 108, inner: 432, ..SMALL },
    Shape { heads: 5, head_dim: 20, width: 100, inner: 200, types: 1, ..SMALL },
    Shape { heads: 1, head_dim: 128, width: 128, inner: 512, depth: 1, ..SMALL },
    Shape { heads: 12, head_dim: 32, width: 384, inner: 1536, depth: 1, ..SMALL },
    Shape { heads: 1, head_dim: 1, width: 1, inner: 1, activation: Activation::Silu, ..SMALL },
    // Heads that together are not as wide as a state.
    Shape { heads: 2, head_dim: 18, width: 50, inner: 37, activation: Activation::Relu, ..SMALL },
    Shape {
        heads: 4,
        head_dim: 16,
        width: 64,
        inner: 256,
        activation: Activation::GeluTanh,
        ..SMALL
    },
];

fn cpu(toy: &Toy, elem: Elem) -> Cpu {
    Cpu::new(toy.layout.clone(), toy.held.as_ref(), elem).unwrap()
}

fn on_gpu(gpu: &Arc<Gpu>, toy: &Toy, elem: Elem) -> GpuExecutor {
    GpuExecutor::new(gpu.clone(), toy.layout.clone(), toy.held.clone(), elem).unwrap()
}

fn all_states(depth: usize) -> Exit {
    Exit::states(0..=depth)
}

fn write(toy: &Toy, batch: &PackedBatch, exit: &Exit, executor: &dyn Execute) -> Recording {
    record(&toy.spec, &toy.layout, batch, exit, executor.caps()).unwrap()
}

/// The arrays that `exit` brings, in the order they arrive.
fn pass(
    toy: &Toy,
    batch: &PackedBatch,
    exit: &Exit,
    executor: &dyn Execute,
) -> Vec<(Output, Vec<f32>)> {
    run(executor, &write(toy, batch, exit, executor))
        .unwrap_or_else(|e| panic!("{}: {e}", executor.device()))
}

fn magnitude(numbers: &[f32]) -> f32 {
    numbers.iter().fold(1.0, |m, x| x.abs().max(m))
}

/// What the executors may differ by after some blocks: the project's bound against any reference,
/// relative to the largest number of a state.
const STATES_AGREE: f32 = 5e-5;
/// The same where activations are kept in 16 bits: of some thousand numbers one lies where the
/// executors round to two sides of a middle, and is 2⁻¹⁰ of itself apart. A state adds up tens of them.
const NARROW_AGREE: f32 = 1e-3;
/// What the two ways out may differ by.
const ROUTES_AGREE: f32 = 1e-6;

#[test]
fn states_agree_on_both_executors() {
    let Some(gpu) = gpu() else { return };
    let mut report = Report::new("states");
    let classes = [gpu.abilities().class, Class::Small, Class::Large];
    for (i, shape) in SHAPES.iter().enumerate() {
        let toy = shape.toy(i as u64);
        let mut rng = Rng::new(100 + i as u64);
        let batches = [
            pack(&mut rng, &toy.spec, &[1]),
            pack(&mut rng, &toy.spec, &[200, 65, 64, 63, 17, 3, 1, 1]),
            pack(&mut rng, &toy.spec, &[512]),
        ];
        // Storage in f16 goes through the same kernels but for how weights and activations lie.
        let elems = if i < 2 { &[Elem::F32, Elem::PackedF16][..] } else { &[Elem::F32] };
        for (&elem, class) in elems.iter().flat_map(|elem| classes.map(|class| (elem, class))) {
            let (a, b) = (on_gpu(&gpu, &toy, elem).cut_for(class), cpu(&toy, elem));
            for batch in &batches {
                let exit = all_states(shape.depth);
                let recording = write(&toy, batch, &exit, &a);
                let got = run(&a, &recording).unwrap();
                // The very recording: the CPU rounds activations where the GPU does.
                let want = run(&b, &recording).unwrap();
                assert_eq!(got.len(), shape.depth + 1);
                assert_eq!(a.caps().narrow, elem == Elem::PackedF16 && class != Class::Software);
                let agree = if a.caps().narrow { NARROW_AGREE } else { STATES_AGREE };
                for ((output, got), (_, want)) in got.iter().zip(&want) {
                    let tolerance = agree * magnitude(want);
                    let case = format!("{shape:?} {elem} {class:?} {:?} {output:?}", batch.offsets);
                    report.compare(case, got, want, |_| tolerance);
                }
            }
        }
    }
    report.finish();
}

/// The sum in f64 of `weight(i)` times row i, over `divisor`.
fn mean(rows: &[&[f32]], weight: impl Fn(usize) -> f64, divisor: f64) -> Vec<f32> {
    let column = |c: usize| {
        let terms = rows.iter().enumerate().map(|(i, row)| weight(i) * f64::from(row[c]));
        (terms.sum::<f64>() / divisor) as f32
    };
    (0..rows[0].len()).map(column).collect()
}

fn max(rows: &[&[f32]]) -> Vec<f32> {
    (0..rows[0].len()).map(|c| rows.iter().map(|r| r[c]).fold(f32::MIN, f32::max)).collect()
}

/// What `exit` asks for, from the streamed states in the order of the exit: on the host, in f64.
fn folded_on_host(
    states: Vec<Vec<f32>>,
    exit: &Exit,
    batch: &PackedBatch,
    stride: usize,
) -> Vec<f32> {
    let arrays = match &exit.combine {
        None => states,
        Some(Combination { merge, factors }) => {
            let states: Vec<&[f32]> = states.iter().map(Vec::as_slice).collect();
            vec![match merge {
                Merge::Linear => mean(&states, |i| f64::from(factors[i]), 1.0),
                Merge::Max => max(&states),
            }]
        }
    };
    let Some(pooling) = &exit.pool else { return arrays.concat() };
    let mut out = Vec::new();
    for array in &arrays {
        for reduce in &pooling.reduces {
            for o in batch.offsets.windows(2) {
                let rows = &array[o[0] as usize * stride..o[1] as usize * stride];
                out.extend(pool_rows(*reduce, rows, stride));
            }
        }
    }
    out
}

#[test]
fn streamed_and_folded_agree() {
    let Some(gpu) = gpu() else { return };
    let toy = SMALL.toy(7);
    let batch = pack(&mut Rng::new(8), &toy.spec, &[512, 65, 33, 16, 2, 1]);
    let reduces = PoolMode::ALL;
    let combinations = [
        None,
        Some((Merge::Linear, [0.5, -0.25, 0.75])),
        Some((Merge::Linear, [1.0 / 3.0; 3])),
        Some((Merge::Max, [1.0; 3])),
    ];
    let pools = std::iter::once(None)
        .chain(reduces.iter().map(|&r| Some(vec![r])))
        .chain([Some(vec![PoolMode::Mean, PoolMode::Max]), Some(reduces.to_vec())]);
    let mut report = Report::new("routes");
    let executors: [&dyn Execute; 2] = [&on_gpu(&gpu, &toy, Elem::F32), &cpu(&toy, Elem::F32)];
    for pool in pools {
        for combine in combinations {
            // In no order: the result is in the caller's.
            let exit = Exit {
                states: vec![1, 2, 0],
                combine: combine.map(|(merge, f)| Combination { merge, factors: f.to_vec() }),
                pool: pool.clone().map(|reduces| Pooling { reduces, pooler: false }),
                ..Exit::default()
            };
            if exit == exit.streamed() {
                continue;
            }
            for executor in executors {
                let streamed = pass(&toy, &batch, &exit.streamed(), executor);
                let state = |s: &usize| {
                    let found = streamed.iter().find(|(o, _)| *o == Output::State(*s));
                    found.unwrap().1.clone()
                };
                let streamed = exit.states.iter().map(state).collect();
                let want = folded_on_host(streamed, &exit, &batch, toy.layout.width());
                let folded = pass(&toy, &batch, &exit, executor);
                assert_eq!(folded.len(), 1);
                let output = if pool.is_some() { Output::Pooled(0) } else { Output::Combined(0) };
                assert_eq!(folded[0].0, output);
                let tolerance = ROUTES_AGREE * magnitude(&want);
                let case = format!("{}: {exit:?}", executor.device());
                report.compare(case, &folded[0].1, &want, |_| tolerance);
            }
        }
    }
    report.finish();
}

#[test]
fn the_pooler_is_tanh_of_a_product_of_the_first_row() {
    let Some(gpu) = gpu() else { return };
    let toy = Shape { width: 50, ..SMALL }.toy(9);
    let batch = pack(&mut Rng::new(10), &toy.spec, &[70, 64, 1]);
    let stride = toy.layout.width();
    let pooler = toy.layout.pooler().unwrap();
    let Held(numbers) = toy.held.as_ref();
    let (w, b) = (&numbers[pooler.matrix.0], &numbers[pooler.bias.0]);
    let exit = Exit {
        pool: Some(Pooling { reduces: vec![PoolMode::Cls], pooler: true }),
        ..Exit::states([2])
    };
    let mut report = Report::new("pooler");
    for executor in [&on_gpu(&gpu, &toy, Elem::F32) as &dyn Execute, &cpu(&toy, Elem::F32)] {
        let state = pass(&toy, &batch, &exit.streamed(), executor).remove(0).1;
        let got = pass(&toy, &batch, &exit, executor).remove(0).1;
        let row = |o: &u32| &state[*o as usize * stride..][..stride];
        let want: Vec<f32> = batch.offsets[..3]
            .iter()
            .map(row)
            .flat_map(|x| {
                (0..stride).map(|j| {
                    let terms = x.iter().zip(&w[j * stride..]);
                    let sum: f64 = terms.map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
                    (sum + f64::from(b[j])).tanh() as f32
                })
            })
            .collect();
        // The product of 52 terms, then tanh, whose slope is at most 1.
        report.compare(executor.device(), &got, &want, |_| 2e-6);
    }
    report.finish();
}

/// The rows of each text of `batch` in every state: [text][state].
fn rows_of(
    arrived: &[(Output, Vec<f32>)],
    batch: &PackedBatch,
    stride: usize,
) -> Vec<Vec<Vec<f32>>> {
    let text = |o: &[u32]| {
        let rows = o[0] as usize * stride..o[1] as usize * stride;
        arrived.iter().map(|(_, numbers)| numbers[rows.clone()].to_vec()).collect()
    };
    batch.offsets.windows(2).map(text).collect()
}

fn same_bits(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

/// The states of a text have the same bits alone, twice in a pack, and in `packs` random packs;
/// and so have its pooled rows.
fn bits_stay(name: &'static str, toy: &Toy, executor: &dyn Execute, packs: usize) {
    let mut rng = Rng::new(11);
    let mut lengths = vec![1, 2, 15, 16, 63, 64, 65, 100, 129];
    lengths.extend((0..7).map(|i| 3 + 4 * i));
    let texts: Vec<TextIds> = lengths.iter().map(|&n| text(&mut rng, &toy.spec, n)).collect();
    let (exit, stride) = (all_states(toy.spec.depth()), toy.layout.width());
    let reduces = vec![PoolMode::Mean, PoolMode::Max, PoolMode::WeightedMean];
    let pool = Some(Pooling { reduces, pooler: false });
    let folding = Exit { pool, ..exit.clone() };
    let states = |batch: &PackedBatch| rows_of(&pass(toy, batch, &exit, executor), batch, stride);
    let pooled = |batch: &PackedBatch| -> Vec<Vec<f32>> {
        let numbers = pass(toy, batch, &folding, executor).remove(0).1;
        let texts = batch.len();
        let parts = |i: usize| {
            let parts = numbers.chunks_exact(texts * stride);
            parts.flat_map(move |p| &p[i * stride..(i + 1) * stride]).copied().collect()
        };
        (0..texts).map(parts).collect()
    };
    let alone: Vec<_> = texts
        .iter()
        .map(|t| {
            let batch = batch(&[t]);
            (states(&batch).remove(0), pooled(&batch).remove(0))
        })
        .collect();
    let mut report = Report::new(name);
    let twice = (0..texts.len()).map(|i| vec![i, i]);
    let random: Vec<Vec<usize>> = (0..packs)
        .map(|_| (0..2 + rng.below(5)).map(|_| rng.below(texts.len())).collect())
        .collect();
    for (n, chosen) in twice.chain(random).enumerate() {
        let batch = batch(&chosen.iter().map(|&i| &texts[i]).collect::<Vec<_>>());
        for (at, (&i, got)) in chosen.iter().zip(states(&batch)).enumerate() {
            for (state, (got, want)) in got.iter().zip(&alone[i].0).enumerate() {
                report.check(same_bits(got, want), || {
                    format!("pack {n} {chosen:?}: text {at} differs from alone in state {state}")
                });
            }
        }
        if n % 8 == 0 {
            for (at, (&i, got)) in chosen.iter().zip(pooled(&batch)).enumerate() {
                report.check(same_bits(&got, &alone[i].1), || {
                    format!("pack {n} {chosen:?}: text {at} differs from alone when pooled")
                });
            }
        }
    }
    report.finish();
}

#[test]
fn bits_do_not_depend_on_the_pack_on_the_gpu() {
    let Some(gpu) = gpu() else { return };
    let toy = SMALL.toy(12);
    bits_stay("bits, GPU", &toy, &on_gpu(&gpu, &toy, Elem::F32), 200);
    // The tiles change with the rows of a pack, and the second product of a block is split.
    let wide = SHAPES[4].toy(13);
    bits_stay("bits, large", &wide, &on_gpu(&gpu, &wide, Elem::F32).cut_for(Class::Large), 8);
    // Activations in 16 bits, and the products that read and write them.
    bits_stay("bits, f16", &toy, &on_gpu(&gpu, &toy, Elem::PackedF16).cut_for(Class::Small), 40);
    bits_stay(
        "bits, f16, large",
        &wide,
        &on_gpu(&gpu, &wide, Elem::PackedF16).cut_for(Class::Large),
        4,
    );
}

#[test]
fn bits_do_not_depend_on_the_pack_on_the_cpu() {
    let toy = SMALL.toy(12);
    bits_stay("bits, CPU", &toy, &cpu(&toy, Elem::F32), 200);
    let wide = SHAPES[4].toy(13);
    bits_stay("bits, CPU, 384 wide", &wide, &cpu(&wide, Elem::F32), 20);
}

/// A text whose attention is more than a submit may do goes some heads at a time.
#[test]
fn heads_of_a_long_text_go_apart_and_no_bit_moves() {
    // Slopes are another for each head.
    let slopes = (1..=12).map(|i| 1.0 / i as f32).collect();
    for bias in [Bias::None, Bias::Alibi(slopes)] {
        let mut spec = SHAPES[4].spec();
        spec.blocks[0].attention.bias = bias;
        let toy = &Toy::of(spec, 16);
        let batch = pack(&mut Rng::new(17), &toy.spec, &[300, 9]);
        let exit = all_states(1);
        let mut executors: Vec<Box<dyn Execute>> = vec![Box::new(cpu(toy, Elem::F32))];
        if let Some(gpu) = gpu() {
            executors.push(Box::new(on_gpu(&gpu, toy, Elem::F32)));
            for class in [Class::CpuAdapter, Class::Small] {
                executors.push(Box::new(on_gpu(&gpu, toy, Elem::F32).cut_for(class)));
            }
        }
        for executor in &executors {
            let whole = write(toy, &batch, &exit, executor.as_ref());
            let heads = |r: &Recording| {
                r.dispatches().filter(|d| matches!(d.variant(), Variant::Attention(_))).count()
            };
            let work = whole.dispatches().find(|d| matches!(d.variant(), Variant::Attention(_)));
            let work = work.unwrap().flops();
            for (parts, want) in [(1, 1), (2, 2), (5, 6), (12, 12), (1000, 12)] {
                let caps = Caps { submit_flops: work / parts, ..executor.caps().clone() };
                let some = record(&toy.spec, &toy.layout, &batch, &exit, &caps).unwrap();
                assert_eq!(heads(&some), want, "{parts} parts");
                let got = run(executor.as_ref(), &some).unwrap();
                let want = run(executor.as_ref(), &whole).unwrap();
                assert!(got == want, "{}: {parts} parts", executor.device());
            }
        }
    }
}

#[test]
fn products_by_rows_are_those_of_all_rows() {
    let toy = &Shape { inner: 1100, ..SMALL }.toy(18);
    let batch = pack(&mut Rng::new(19), &toy.spec, &[300, 9]);
    let exit = all_states(2);
    let mut executors: Vec<Box<dyn Execute>> = vec![Box::new(cpu(toy, Elem::F32))];
    if let Some(gpu) = gpu() {
        executors.push(Box::new(on_gpu(&gpu, toy, Elem::F32)));
        // A large one splits the deep products along k as well.
        for class in [Class::CpuAdapter, Class::Small, Class::Large] {
            executors.push(Box::new(on_gpu(&gpu, toy, Elem::F32).cut_for(class)));
        }
    }
    for executor in &executors {
        let whole = write(toy, &batch, &exit, executor.as_ref());
        let products = |r: &Recording| {
            r.dispatches().filter(|d| matches!(d.variant(), Variant::Matmul(_))).count()
        };
        let work = |r: &Recording| r.dispatches().map(|d| d.flops()).sum::<u64>();
        let want = run(executor.as_ref(), &whole).unwrap();
        for parts in [2, 1000] {
            let most = whole.dispatches().map(|d| d.flops()).max().unwrap();
            let caps = Caps { submit_flops: most / parts, ..executor.caps().clone() };
            let some = record(&toy.spec, &toy.layout, &batch, &exit, &caps).unwrap();
            assert!(products(&some) > products(&whole), "{}: {parts} parts", executor.device());
            assert_eq!(work(&some), work(&whole));
            let got = run(executor.as_ref(), &some).unwrap();
            assert!(got == want, "{}: {parts} parts", executor.device());
        }
    }
}

#[test]
fn one_recording_after_another_in_the_same_memory() {
    let Some(gpu) = gpu() else { return };
    // An arena keeps what the batch before left in it, larger arrays than the next one's.
    let toy = SMALL.toy(14);
    let mut rng = Rng::new(15);
    let batches: Vec<_> = [&[300][..], &[5], &[70, 70, 1], &[1]]
        .iter()
        .map(|lengths| pack(&mut rng, &toy.spec, lengths))
        .collect();
    let exit = all_states(2);
    for (executor, fresh) in [
        (&on_gpu(&gpu, &toy, Elem::F32) as &dyn Execute, true),
        (&cpu(&toy, Elem::F32) as &dyn Execute, false),
    ] {
        for batch in batches.iter().chain(batches.iter().rev()) {
            let got = pass(&toy, batch, &exit, executor);
            let want = match fresh {
                true => pass(&toy, batch, &exit, &on_gpu(&gpu, &toy, Elem::F32)),
                false => pass(&toy, batch, &exit, &cpu(&toy, Elem::F32)),
            };
            assert!(got == want, "{}: {:?}", executor.device(), batch.offsets);
        }
    }
}

#[test]
fn threads_share_an_executor() {
    let Some(gpu) = gpu() else { return };
    let toy = SMALL.toy(16);
    let mut rng = Rng::new(17);
    let batches: Vec<_> =
        (0..4).map(|i| pack(&mut rng, &toy.spec, &[40 + 30 * i, 9, 1 + i])).collect();
    let exit = all_states(2);
    let executor = on_gpu(&gpu, &toy, Elem::F32);
    let want: Vec<_> = batches.iter().map(|b| pass(&toy, b, &exit, &executor)).collect();
    std::thread::scope(|scope| {
        for (batch, want) in batches.iter().zip(&want) {
            scope.spawn(|| {
                for _ in 0..10 {
                    assert!(pass(&toy, batch, &exit, &executor) == *want, "{:?}", batch.offsets);
                }
            });
        }
    });
}

#[test]
fn gathered_rows_give_the_bits_of_the_table() {
    let Some(gpu) = gpu() else { return };
    // Its word table is the only weight above 100,000 bytes.
    let toy = Shape { vocab: 1000, ..SMALL }.toy(18);
    let limit = 100_000;
    let table = on_gpu(&gpu, &toy, Elem::F32);
    let gathers =
        GpuExecutor::with_max_binding(gpu, toy.layout.clone(), toy.held.clone(), Elem::F32, limit)
            .unwrap();
    let saved = table.weight_bytes() - gathers.weight_bytes();
    assert_eq!(saved, 1000 * 32 * 4, "the word table stays on the host");
    let exit = all_states(2);
    let mut rng = Rng::new(19);
    for lengths in [&[1][..], &[64, 65, 3], &[200]] {
        let batch = pack(&mut rng, &toy.spec, lengths);
        let recording = write(&toy, &batch, &exit, &gathers);
        let first = recording.dispatches().next().unwrap();
        assert!(matches!(
            first.variant(),
            Variant::Embed(Embed { tables: Elem::F32, gathered: true, .. })
        ));
        // Each row once, whatever the batch repeats.
        let rows = recording.uploads().iter().find_map(|(_, fill)| match fill {
            Fill::Rows { rows, .. } => Some(rows.clone()),
            Fill::Words(_) => None,
        });
        let (mut rows, mut ids) = (rows.unwrap(), batch.ids.clone());
        rows.sort_unstable();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(rows, ids);
        let got = run(&gathers, &recording).unwrap();
        assert!(got == pass(&toy, &batch, &exit, &table), "{lengths:?}");
        let e = run(&cpu(&toy, Elem::F32), &recording).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Usage, "{e}");
    }
}

#[test]
fn a_damaged_weight_is_told_by_the_first_state_it_reaches() {
    let Some(gpu) = gpu() else { return };
    let good = Shape { depth: 3, ..SMALL }.toy(20);
    let blocks = good.layout.blocks();
    let cases = [
        (good.layout.embedding_norm(), 0, f32::NAN),
        (blocks[0].qkv.matrix, 1, f32::NAN),
        (blocks[1].up.bias, 2, f32::INFINITY),
        (blocks[2].output_norm, 3, f32::NEG_INFINITY),
    ];
    let batch = pack(&mut Rng::new(21), &good.spec, &[66, 5]);
    let mut report = Report::new("damaged");
    for (weight, state, number) in cases {
        let mut numbers = good.held.0.clone();
        numbers[weight.0][3] = number;
        let toy = Toy {
            spec: good.spec.clone(),
            layout: good.layout.clone(),
            held: Arc::new(Held(numbers)),
        };
        for executor in [&on_gpu(&gpu, &toy, Elem::F32) as &dyn Execute, &cpu(&toy, Elem::F32)] {
            // The state itself need not be on its way out.
            let exit = Exit::states(vec![3]);
            let got = run(executor, &write(&toy, &batch, &exit, executor));
            let said = got.map(|_| ()).map_err(|e| (e.kind(), e.to_string()));
            let told = matches!(&said, Err((ErrorKind::NotFinite, text))
                if text.starts_with(&format!("state {state} holds")));
            report.check(told, || {
                format!("{}: {number} in weight {weight:?}: {said:?}", executor.device())
            });
        }
    }
    report.finish();
}
