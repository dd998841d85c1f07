//! `embed.wgsl` and `norm.wgsl`: every width, padded or not.

use everylayer::kernels::{Elem, Embed, Norm, NormInput, NormParams, RowCut, RowSum, Variant};
use everylayer::model::layout::{Use, align4};
use everylayer::model::spec::NormKind;

use crate::toy::{Report, Rng, gpu};
use crate::{One, Shelf, both, largest, open};
use everylayer::gpu::device::Gpu;

/// Widths of a model; those that are no multiple of four are padded.
const WIDTHS: [usize; 13] = [1, 4, 10, 12, 30, 36, 100, 108, 255, 256, 257, 384, 388];

/// γ and β of a row of `width` numbers, zero past it: (2, stride).
pub fn gamma_beta(rng: &mut Rng, width: usize) -> Vec<f32> {
    let stride = align4(width);
    let mut numbers = vec![0.0; 2 * stride];
    for i in 0..width {
        numbers[i] = 1.0 + 0.3 * rng.normal();
        numbers[stride + i] = 0.5 * rng.normal();
    }
    numbers
}

/// Rows of `width` numbers, zero up to the stride.
pub fn padded(numbers: Vec<f32>, width: usize) -> Vec<f32> {
    let stride = align4(width);
    let mut rows = vec![0.0; numbers.len() / width * stride];
    for (row, numbers) in rows.chunks_exact_mut(stride).zip(numbers.chunks_exact(width)) {
        row[..width].copy_from_slice(numbers);
    }
    rows
}

/// What the two executors may differ by after normalising `row`, a number of it, with `gamma`.
///
/// Their sums run in different orders (a tree, sixteen chains): each is within some units of the
/// largest number, and what is left after the mean is taken away is divided by the deviation,
/// where WGSL allows 2.5 units for each division and for the root.
fn norm_rounding(row: &[f32], width: usize, eps: f32, gamma: f32, beta: f32) -> f32 {
    let x: Vec<f64> = row[..width].iter().map(|&v| f64::from(v)).collect();
    let mean = x.iter().sum::<f64>() / width as f64;
    let var = x.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / width as f64;
    let scale = f64::from(largest(row)) / (var + f64::from(eps)).sqrt();
    8e-7 * (scale as f32).max(1.0) * gamma.abs() + 2e-7 * beta.abs()
}

/// The ways of adding up a row that `gpu` runs.
fn sums(gpu: &Gpu) -> Vec<RowSum> {
    let runs = |sum: &RowSum| {
        let (cut, kind) = (RowCut::new(*sum, 4), NormKind::Layer);
        Variant::from(Norm { cut, input: NormInput::Whole, kind }).runs_on(&gpu.abilities())
    };
    RowSum::ALL.into_iter().filter(runs).collect()
}

/// The second pass of a product that was split: parts, bias and residual are added first.
#[test]
fn norm_of_parts() {
    let Some(gpu) = gpu() else { return };
    let mut rng = Rng::new(12);
    let mut shelf = Shelf::default();
    let weights = WIDTHS.map(|width| {
        let gamma_beta = shelf.add(Use::Vector, (2, align4(width)), gamma_beta(&mut rng, width));
        let bias = padded(rng.normals(width, 1.0), width);
        (width, gamma_beta, shelf.add(Use::Vector, (1, align4(width)), bias))
    });
    let pair = open(shelf, &gpu, Elem::F32);
    let mut report = Report::new("norm of parts");
    for (width, gamma_beta, bias) in weights {
        let stride = align4(width);
        let part = |parts| (NormInput::Parts, parts);
        let inputs = [(NormInput::Residual, 1), part(1), part(2), part(3), part(4), part(8)];
        let each =
            inputs.into_iter().flat_map(|input| sums(&gpu).into_iter().map(move |s| (input, s)));
        for ((input, parts), sum) in each {
            let rows = 65;
            let mut one = One::default();
            let x = padded(rng.normals(rows * width * parts, 1.0), width);
            let x = one.input(&x, stride);
            let residual = one.input(&padded(rng.normals(rows * width, 1.0), width), stride);
            let to = one.output(rows, stride);
            let status = one.status(rows, 1);
            // Rows of one number have no deviation (ε is 1); the rest have one of about 2.
            let params = NormParams::new(rows, stride, width, 1.0, 0).of_parts(parts);
            let kernel = Norm { cut: RowCut::new(sum, stride), input, kind: NormKind::Layer };
            let mut binds = vec![x, gamma_beta, to, status];
            if input != NormInput::Residual {
                binds.push(bias);
            }
            binds.push(residual);
            one.dispatch(kernel.over(params), &binds);
            let variant = Variant::from(kernel);
            let (got, want) = both(&pair, &one.finish());
            let case = format!("{variant} width {width} parts {parts}");
            zero_padding(&mut report, &case, &got[..rows * stride], width);
            // Up to ten numbers of size 1 are added in the same order; then as `norm`, γ at most 2.
            report.compare(case, &got, &want, |i| if i < rows * stride { 5e-6 } else { 0.0 });
        }
    }
    report.finish();
}

#[test]
fn norm_of_every_width() {
    let Some(gpu) = gpu() else { return };
    let mut rng = Rng::new(2);
    let mut shelf = Shelf::default();
    let weights: Vec<_> = WIDTHS
        .iter()
        .map(|&width| {
            let numbers = gamma_beta(&mut rng, width);
            (width, numbers.clone(), shelf.add(Use::Vector, (2, align4(width)), numbers))
        })
        .collect();
    let pair = open(shelf, &gpu, Elem::F32);
    let mut report = Report::new("norm");
    let cases = sums(&gpu).into_iter().flat_map(|sum| weights.iter().map(move |w| (sum, w)));
    for (sum, (width, numbers, weight)) in cases {
        let (&width, stride) = (width, align4(*width));
        for rows in [1, 2, 65, 513] {
            for eps in [1e-12, 1e-5] {
                let mut x = padded(rng.loud(rows * width), width);
                // The rows of a real model are not centred; and one is constant.
                for row in x.chunks_exact_mut(stride).skip(1).step_by(3) {
                    row[..width].iter_mut().for_each(|v| *v += 20.0);
                }
                if rows > 2 {
                    x[2 * stride..2 * stride + width].fill(0.5);
                }
                let mut one = One::default();
                let from = one.input(&x, stride);
                let to = one.output(rows, stride);
                let status = one.status(rows, 5);
                let params = NormParams::new(rows, stride, width, eps, 4);
                let binds = [from, *weight, to, status];
                let kernel = Norm {
                    cut: RowCut::new(sum, stride),
                    input: NormInput::Whole,
                    kind: NormKind::Layer,
                };
                one.dispatch(kernel.over(params), &binds);
                let variant = Variant::from(kernel);
                let (got, want) = both(&pair, &one.finish());
                let case = format!("{variant} rows {rows} width {width} eps {eps:e}");
                zero_padding(&mut report, &case, &got[..rows * stride], width);
                report.compare(case, &got, &want, |i| {
                    let (row, column) = (i / stride, i % stride);
                    if row >= rows || column >= width {
                        return 0.0;
                    }
                    let (gamma, beta) = (numbers[column], numbers[stride + column]);
                    norm_rounding(&x[row * stride..][..stride], width, eps, gamma, beta)
                });
            }
        }
    }
    report.finish();
}

/// Columns past the width are zero: every later sum over a whole row counts on it.
fn zero_padding(report: &mut Report, case: &str, rows: &[f32], width: usize) {
    let stride = align4(width);
    let filled = rows.chunks_exact(stride).position(|r| r[width..].iter().any(|&v| v != 0.0));
    report.check(filled.is_none(), || {
        format!("{case}: row {} has numbers past its width", filled.unwrap_or_default())
    });
}

const VOCAB: usize = 61;
const POSITIONS: usize = 520;

#[test]
fn embed_of_every_width() {
    let Some(gpu) = gpu() else { return };
    let mut report = Report::new("embed");
    for (elem, types) in [(Elem::F32, 2), (Elem::PackedF16, 1)] {
        let mut rng = Rng::new(3);
        let mut shelf = Shelf::default();
        let models: Vec<_> = WIDTHS
            .iter()
            .map(|&width| {
                let stride = align4(width);
                let mut table = |rows: usize, scale| {
                    let numbers = padded(rng.normals(rows * width, scale), width);
                    (numbers.clone(), shelf.add(Use::Table, (rows, stride), numbers))
                };
                let tables = [table(VOCAB, 1.0), table(POSITIONS, 0.5), table(types, 0.2)];
                let numbers = gamma_beta(&mut rng, width);
                let norm = shelf.add(Use::Vector, (2, stride), numbers.clone());
                (width, tables, numbers, norm)
            })
            .collect();
        let pair = open(shelf, &gpu, elem);
        for (width, [word, position, token_type], numbers, norm) in &models {
            let (&width, stride) = (width, align4(*width));
            for (rows, sum) in [1, 2, 65, 513].into_iter().zip(sums(&gpu).into_iter().cycle()) {
                for gathered in [false, true] {
                    let mut lines = Vec::new();
                    for i in 0..rows {
                        // The last row of each table is among them.
                        let id = if i == 0 { VOCAB - 1 } else { rng.below(VOCAB) };
                        let at = if i == 1 { POSITIONS - 1 } else { rng.below(POSITIONS) };
                        lines.extend([id as u32, at as u32, ((i + 1) % types) as u32, 0]);
                    }
                    let mut one = One::default();
                    let tokens = one.words(lines.clone());
                    let table = if gathered { one.input(&word.0, stride) } else { word.1 };
                    let to = one.output(rows, stride);
                    let status = one.status(rows, 1);
                    let eps = 1e-12;
                    let params = NormParams::new(rows, stride, width, eps, 0);
                    let kernel = Embed {
                        tables: elem,
                        gathered,
                        cut: RowCut::new(sum, stride),
                        kind: NormKind::Layer,
                    };
                    let binds = [tokens, table, position.1, token_type.1, *norm, to, status];
                    one.dispatch(kernel.over(params), &binds);
                    let variant = Variant::from(kernel);
                    let (got, want) = both(&pair, &one.finish());
                    let case = format!("{variant} rows {rows} width {width} types {types}");
                    zero_padding(&mut report, &case, &got[..rows * stride], width);
                    let sums: Vec<f32> = lines
                        .chunks_exact(4)
                        .flat_map(|l| {
                            let at = |t: &[f32], r: u32, c| t[r as usize * stride + c];
                            (0..stride).map(move |c| {
                                at(&word.0, l[0], c)
                                    + at(&position.0, l[1], c)
                                    + at(&token_type.0, l[2], c)
                            })
                        })
                        .collect();
                    // The sum of three rows is the same on both sides; then as `norm`.
                    report.compare(case, &got, &want, |i| {
                        let (row, column) = (i / stride, i % stride);
                        if row >= rows || column >= width {
                            return 0.0;
                        }
                        let (gamma, beta) = (numbers[column], numbers[stride + column]);
                        norm_rounding(&sums[row * stride..][..stride], width, eps, gamma, beta)
                    });
                }
            }
        }
    }
    report.finish();
}
