//! `unfold.wgsl`, `qk_norm.wgsl`, `route.wgsl`, `expert.wgsl`: awkward sizes of each.

use everylayer::model::layout::{Use, align4};
use everylayer::model::spec::Activation;
use everylayer::schedule::params::{ExpertParams, Params, QkNormParams, RouteParams, UnfoldParams};
use everylayer::schedule::{Elem, Variant, tiles};

use crate::rows::padded;
use crate::toy::{Report, Rng, gpu};
use crate::{One, Shelf, both, open};

#[test]
fn unfold_stays_inside_each_text() {
    let Some(gpu) = gpu() else { return };
    let pair = open(Shelf::default(), &gpu, Elem::F32);
    let mut rng = Rng::new(31);
    let mut report = Report::new("unfold");
    for (lengths, taps, stride) in [
        (vec![1], 3, 4),
        (vec![1, 1, 1], 3, 12),
        (vec![2, 1, 3], 7, 8),
        (vec![70, 65, 5, 1], 5, 36),
        (vec![300, 200], 3, 388),
    ] {
        let rows: usize = lengths.iter().sum();
        let mut one = One::default();
        let places = lengths.iter().flat_map(|&n: &usize| 0..n as u32);
        let lines = one.words(places.flat_map(|place| [0, 0, 0, place]).collect());
        let numbers = rng.normals(rows * stride, 1.0);
        let x = one.input(&numbers, stride);
        let y = one.output(rows * taps, stride);
        let vectors = rows * taps * stride / 4;
        let (grid, row) = tiles::flat_grid(vectors);
        let params = UnfoldParams {
            vectors: vectors as u32,
            row,
            stride4: (stride / 4) as u32,
            taps: taps as u32,
        };
        one.dispatch(Variant::Unfold, Params::Unfold(params), &[lines, x, y], grid);
        let (got, want) = both(&pair, &one.finish());
        let case = format!("{lengths:?} x {stride}, {taps} taps");
        report.compare(&case, &got, &want, |_| 0.0);
        // By its definition, text by text.
        let mut by_text = Vec::new();
        let mut first = 0;
        for &n in &lengths {
            for at in 0..(n * taps) as isize {
                let (token, tap) = (at / taps as isize, at % taps as isize);
                let near = token + tap - taps as isize / 2;
                match (0..n as isize).contains(&near) {
                    true => by_text.extend(&numbers[(first + near as usize) * stride..][..stride]),
                    false => by_text.extend(vec![0.0; stride]),
                }
            }
            first += n;
        }
        report.compare(format!("{case} by text"), &got[..by_text.len()], &by_text, |_| 0.0);
    }
    report.finish();
}

#[test]
fn qk_norm_of_every_head() {
    let Some(gpu) = gpu() else { return };
    let shapes = [(1, 1, 4), (2, 3, 10), (65, 6, 12), (33, 12, 64), (7, 5, 31)];
    let mut rng = Rng::new(32);
    let mut shelf = Shelf::default();
    let weights = shapes.map(|(_, heads, head_dim)| {
        let numbers = padded(rng.normals(4 * heads * head_dim, 1.0), head_dim);
        shelf.add(Use::Vector, (4, heads * align4(head_dim)), numbers)
    });
    let pair = open(shelf, &gpu, Elem::F32);
    let mut report = Report::new("qk_norm");
    for ((rows, heads, head_dim), weight) in shapes.into_iter().zip(weights) {
        let stride = align4(head_dim);
        let joined = heads * stride;
        let numbers = padded(rng.normals(rows * 3 * heads * head_dim, 2.0), head_dim);
        let mut one = One::default();
        let qkv = one.input(&numbers, 3 * joined);
        one.read(qkv);
        let params = QkNormParams {
            qkv4: (3 * joined / 4) as u32,
            joined4: (joined / 4) as u32,
            head4: (stride / 4) as u32,
            head_dim: head_dim as u32,
            width: (heads * head_dim) as u32,
            eps: 1e-5,
            rows: rows as u32,
            pad: 0,
        };
        let grid = [rows as u32, 2];
        one.dispatch(Variant::QkNorm, Params::QkNorm(params), &[weight, qkv], grid);
        let (got, want) = both(&pair, &one.finish());
        let case = format!("{rows} x {heads} x {head_dim}");
        // The two sums run in other orders and the division and root have 2.5 units each; γ and
        // what it multiplies are at most 4 each.
        report.compare(&case, &got, &want, |_| 1e-5);
        let values = |row: usize| row * 3 * joined + 2 * joined..(row + 1) * 3 * joined;
        let kept = (0..rows).all(|row| got[values(row)] == numbers[values(row)]);
        report.check(kept, || format!("{case}: values have changed"));
        let padding = |i: &usize| i % stride >= head_dim;
        let kept = (0..rows * 3 * joined).filter(padding).all(|i| got[i] == 0.0);
        report.check(kept, || format!("{case}: padding is not zero"));
    }
    report.finish();
}

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
    let to = one.output(tiles::route_words(tokens, experts, chosen), 1);
    let params = RouteParams {
        tokens: tokens as u32,
        experts: experts as u32,
        line: line as u32,
        chosen: chosen as u32,
    };
    one.dispatch(Variant::Route, Params::Route(params), &[from, to], [experts as u32, 1]);
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
        if elem == Elem::Half && !gpu.abilities().half {
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
                    let mut routes = vec![0.0; tiles::route_words(tokens, 2, 2)];
                    routes[1] = listed as f32;
                    for (to, slot) in routes[2 + tokens..].iter_mut().zip(&list) {
                        *to = *slot as f32;
                    }
                    let shares = rng.normals(slots, 0.5);
                    routes[2 + 2 * tokens..].copy_from_slice(&shares);
                    let routes = one.input(&routes, 1);
                    let c = one.output(slots, n);
                    let params = ExpertParams {
                        tokens: tokens as u32,
                        experts: 2,
                        expert: 1,
                        a_rows: a_rows as u32,
                        n4: (n / 4) as u32,
                        k4: (k / 4) as u32,
                        k_steps: k.div_ceil(tiles::MATMUL_K) as u32,
                        pad: 0,
                    };
                    let variant = Variant::Expert { weights: elem, activation, shared };
                    let grid = tiles::expert_grid(tokens, n);
                    one.dispatch(variant, Params::Expert(params), &[a, w, routes, c], grid);
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
