//! Batches, exits and layouts that `record` is given, and recordings on other weights.

use std::time::Instant;

use everylayer::cpu::Cpu;
use everylayer::execute::Execute;
use everylayer::model::spec::{Activation, Rope};
use everylayer::schedule::{Caps, Combination, Elem, Exit, Merge, PoolMode, Pooling, Site, record};
use everylayer::text::pack::PackedBatch;

use crate::toy::model::{SMALL, Shape, Toy, pack};
use crate::toy::{Rng, run};
use crate::{common, executors, hostile, time};

/// How far the two executors may be apart in states of size 1.
const AGREE: f32 = 5e-4;

fn spoil(rng: &mut Rng, batch: &mut PackedBatch) {
    for _ in 0..1 + rng.below(2) {
        let all = [
            &mut batch.ids,
            &mut batch.positions,
            &mut batch.types,
            &mut batch.offsets,
            &mut batch.hidden,
        ];
        let which = rng.below(all.len());
        let words = all.into_iter().nth(which).unwrap();
        match rng.below(6) {
            0 => drop(words.pop()),
            1 => words.push(rng.below(4) as u32),
            _ if words.is_empty() => words.push(hostile(rng, 0)),
            _ => {
                let at = rng.below(words.len());
                words[at] = hostile(rng, words[at]);
            }
        }
    }
}

fn exit(rng: &mut Rng, depth: usize) -> Exit {
    let states: Vec<usize> = (0..1 + rng.below(3)).map(|_| rng.below(depth + 2)).collect();
    let factors = (0..states.len() + usize::from(rng.below(9) == 0)).map(|_| 0.5).collect();
    let merge = if rng.below(2) == 0 { Merge::Linear } else { Merge::Max };
    let combine = (rng.below(3) == 0).then_some(Combination { merge, factors });
    let modes = [PoolMode::Mean, PoolMode::Cls, PoolMode::Last, PoolMode::Max];
    let reduces = (0..rng.below(3)).map(|_| modes[rng.below(4)]).collect();
    let pool = (rng.below(2) == 0).then_some(Pooling { reduces, pooler: rng.below(4) == 0 });
    let site = Site::ALL[rng.below(Site::ALL.len())].1;
    Exit { site, states, combine, pool, final_norm: rng.below(4) > 0 }
}

fn turned() -> Shape {
    Shape { activation: Activation::Relu, ..SMALL }
}

#[test]
fn hostile_batches_are_refused_or_right() {
    let mut rng = Rng::new(41);
    let plain = SMALL.toy(1);
    let mut spec = turned().spec();
    spec.embedding.position = None;
    for block in &mut spec.blocks {
        block.attention.rope = Some(Rope::new(1e4, 8));
    }
    let rotary = Toy::of(spec, 2);
    let toys = [&plain, &rotary].map(|toy| (toy, executors(toy)));
    let (mut refused, mut ran) = (0, 0);
    let start = Instant::now();
    while start.elapsed() < time() || ran == 0 || refused == 0 {
        let (toy, executors) = &toys[rng.below(2)];
        let lengths: Vec<usize> = (0..1 + rng.below(4)).map(|_| 1 + rng.below(90)).collect();
        let mut batch = pack(&mut rng, &toy.spec, &lengths);
        if rng.below(4) > 0 {
            spoil(&mut rng, &mut batch);
        }
        let exit = exit(&mut rng, toy.spec.depth());
        let mut got = Vec::new();
        for executor in executors {
            match record(&toy.spec, &toy.layout, &batch, &exit, executor.caps()) {
                Ok(recording) => got.push(run(executor.as_ref(), &recording).unwrap()),
                Err(_) => refused += 1,
            }
        }
        if let [cpu, gpu] = &got[..] {
            let numbers = |all: &[(_, Vec<f32>)]| all.iter().flat_map(|a| &a.1).copied().collect();
            let (cpu, gpu): (Vec<f32>, Vec<f32>) = (numbers(cpu), numbers(gpu));
            let apart = common::difference(&cpu, &gpu);
            assert!(apart < AGREE, "{apart} apart: {exit:?} of {batch:?}");
        }
        ran += got.len();
    }
    println!("{ran} ran, {refused} were refused");
}

/// A recording of one model on the executor of another, and layouts that are not the encoder's.
#[test]
fn a_recording_runs_only_on_weights_that_it_fits() {
    let shapes = [
        SMALL,
        Shape { width: 62, ..SMALL },
        Shape { vocab: 20, ..SMALL },
        Shape { inner: 30, ..SMALL },
        Shape { types: 1, ..SMALL },
        Shape { depth: 1, ..SMALL },
        Shape { heads: 2, ..SMALL },
    ];
    let toys: Vec<Toy> = shapes.iter().map(|shape| shape.toy(3)).collect();
    let all: Vec<_> = toys.iter().map(executors).collect();
    let exit = Exit::states(vec![1]);
    let mut rng = Rng::new(5);
    for (i, toy) in toys.iter().enumerate() {
        let batch = pack(&mut rng, &toy.spec, &[70, 9]);
        for (j, executors) in all.iter().enumerate() {
            for executor in executors {
                let recording =
                    record(&toy.spec, &toy.layout, &batch, &exit, executor.caps()).unwrap();
                let got = run(executor.as_ref(), &recording);
                let other = &toys[j];
                assert!(got.is_ok() || i != j, "{i}: {:?}", got.err());
                // A model with fewer rows or blocks may be a part of another.
                if let Ok(got) = got {
                    let own = record(&other.spec, &other.layout, &batch, &exit, executor.caps());
                    let own = run(executor.as_ref(), &own.unwrap()).unwrap();
                    assert!(got == own, "{i} ran on {j}: {}", executor.device());
                }
                let mixed = record(&toy.spec, &other.layout, &batch, &exit, executor.caps());
                assert_eq!(mixed.is_ok(), i == j, "{i} with the layout of {j}");
            }
        }
    }
    // Stored otherwise than the executor's weights are.
    let executor = Cpu::new(toys[0].layout.clone(), toys[0].held.as_ref(), Elem::F32).unwrap();
    let caps = Caps { elem: Elem::PackedF16, narrow: true, ..executor.caps().clone() };
    let batch = pack(&mut rng, &toys[0].spec, &[7]);
    let recording = record(&toys[0].spec, &toys[0].layout, &batch, &exit, &caps).unwrap();
    assert!(run(&executor, &recording).is_err());
}
