//! `route.wgsl`, `expert.wgsl`: awkward sizes of each.

use everylayer::kernels::{Elem, Expert, ExpertShape, Route, Variant, route_words};
use everylayer::model::layout::{Use, align4};
use everylayer::model::spec::Activation;

use crate::toy::{Report, Rng, gpu};
use crate::{One, Shelf, both, open};

fn routes_of(
    rng: &mut Rng,
    (tokens, experts, chosen): (usize, usize, usize),
    tied: bool,
) -> (One, Vec<f32>) {
    let line = align4(experts);
    let logits = rng.normals(tokens * line, 2.0);
    // Whole numbers are equal often.
    let logits: Vec<f32> = logits.into_iter().map(|x| if tied { x.round() } else { x }).collect();
    let mut one = One::default();
    let from = one.input(&logits, line);
    let to = one.output(route_words(tokens, experts, chosen), 1);
    one.dispatch(Route.over(tokens, experts, chosen, line), &[from, to]);
    (one, logits)
}

#[test]
fn route_sends_each_token_to_its_likeliest_experts() {
    let Some(gpu) = gpu() else { return };
    let pair = open(Shelf::default(), &gpu, Elem::F32);
    let mut rng = Rng::new(33);
    let mut report = Report::new("route");
    for shape in [(1, 1, 1), (1, 8, 2), (255, 8, 2), (256, 3, 3), (257, 5, 1), (1000, 64, 4)] {
        for tied in [false, true] {
            let (tokens, experts, chosen) = shape;
            let (one, logits) = routes_of(&mut rng, shape, tied);
            let (got, want) = both(&pair, &one.finish());
            let shares = experts * (1 + tokens);
            // Counts and slots are exact; an exponential is 3 + 2|x| units (WGSL), a share at most 1.
            report.compare(format!("{shape:?}"), &got, &want, |i| {
                if i < shares || i >= shares + chosen * tokens { 0.0 } else { 3e-6 }
            });
            // Each slot is in one list, that of an expert which no more than `chosen` surpass.
            let mut seen = vec![0; chosen * tokens];
            for expert in 0..experts {
                let list = &got[experts + expert * tokens..][..got[expert] as usize];
                for &slot in list {
                    seen[slot as usize] += 1;
                    let row = &logits[slot as usize % tokens * align4(experts)..][..experts];
                    let above = row.iter().filter(|x| **x > row[expert]).count();
                    report.check(above < chosen, || format!("{shape:?}: {above} are above"));
                }
            }
            report.check(seen.iter().all(|n| *n == 1), || format!("{shape:?}: slots {seen:?}"));
        }
    }
    report.finish();
}

#[test]
fn expert_computes_the_rows_of_its_list_alone() {
    let Some(gpu) = gpu() else { return };
    for elem in Elem::ALL {
        if elem == Elem::NativeF16 && !gpu.abilities().half {
            continue;
        }
        let shapes: [(usize, usize, usize); 5] =
            [(1, 4, 4), (16, 68, 36), (17, 64, 20), (70, 132, 100), (130, 388, 52)];
        let mut rng = Rng::new(34);
        let mut shelf = Shelf::default();
        let weights = shapes.map(|(_, n, k)| {
            shelf.add(Use::Matrix, (n, k), rng.normals(n * k, (k as f32).sqrt().recip()))
        });
        let pair = open(shelf, &gpu, elem);
        let mut report = Report::new("expert");
        for ((tokens, n, k), w) in shapes.into_iter().zip(weights) {
            for (activation, shared) in
                [(Activation::Gelu, false), (Activation::Silu, false), (Activation::Identity, true)]
            {
                for listed in [0, 1, tokens.div_ceil(2), tokens] {
                    let slots = 2 * tokens;
                    let a_rows = if shared { slots } else { tokens };
                    let mut one = One::default();
                    let a = one.input(&rng.normals(a_rows * k, 1.0), k);
                    // The last tokens, as their second choice; the other expert's list is empty.
                    let list: Vec<usize> = (tokens - listed..tokens).map(|t| tokens + t).collect();
                    let mut routes = vec![0.0; route_words(tokens, 2, 2)];
                    routes[1] = listed as f32;
                    for (to, slot) in routes[2 + tokens..].iter_mut().zip(&list) {
                        *to = *slot as f32;
                    }
                    let shares = rng.normals(slots, 0.5);
                    routes[2 + 2 * tokens..].copy_from_slice(&shares);
                    let routes = one.input(&routes, 1);
                    let c = one.output(slots, n);
                    let kernel = Expert { weights: elem, activation, shared };
                    let variant = Variant::from(kernel);
                    let shape = ExpertShape { tokens, expert: (1, 2), a_rows, slots, n, k };
                    one.dispatch(kernel.over(shape), &[a, w, routes, c]);
                    let (got, want) = both(&pair, &one.finish());
                    let case = format!("{variant} {listed} of {tokens} x {n} x {k}");
                    let in_list = |i: usize| list.contains(&(i / n));
                    // As `matmul`; rows of no slot in the list keep what they were.
                    report.compare(&case, &got, &want, |i| if in_list(i) { 2e-5 } else { 0.0 });
                }
            }
        }
        report.finish();
    }
}
