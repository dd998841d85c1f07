//! NaN and infinity: found by `embed.wgsl` and `norm.wgsl`, told with the number of the state and
//! the rows, and lost in no kernel before.

use everylayer::ErrorKind;
use everylayer::execute::{Execute, NotFinite};
use everylayer::kernels::{
    Elem, Embed, Matmul, Norm, NormInput, NormParams, RowCut, RowSum, Tile, Variant,
};
use everylayer::model::layout::{Use, align4};
use everylayer::model::spec::{Activation, NormKind};

use crate::rows::{gamma_beta, padded};
use crate::toy::{Report, Rng, gpu, run};
use crate::{One, Shelf, both, open};

#[test]
fn what_is_not_finite_is_told_with_its_state() {
    let Some(gpu) = gpu() else { return };
    let mut rng = Rng::new(5);
    let mut shelf = Shelf::default();
    let widths = [4, 10, 36, 257, 388];
    let weights = widths.map(|width| {
        let numbers = gamma_beta(&mut rng, width);
        let norm = shelf.add(Use::Vector, (2, align4(width)), numbers);
        let table = padded(rng.normals(9 * width, 1.0), width);
        (width, norm, shelf.add(Use::Table, (9, align4(width)), table))
    });
    let pair = open(shelf, &gpu, Elem::F32);
    let mut report = Report::new("not finite");
    for (width, norm, table) in weights {
        let stride = align4(width);
        let cut = RowCut::new(RowSum::Shared, stride);
        for number in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX * 2.0] {
            for column in [0, width / 2, width - 1] {
                for row in [0, 40, 69] {
                    let mut x = padded(rng.loud(70 * width), width);
                    x[row * stride + column] = number;
                    for embeds in [false, true] {
                        let mut one = One::default();
                        let from = one.input(&x, stride);
                        let to = one.output(70, stride);
                        let status = one.status(70, 7);
                        let params = NormParams::new(70, stride, width, 1e-12, 5);
                        if embeds {
                            let lines = (0..70).flat_map(|i| [i, i % 9, i % 9, 0]).collect();
                            let tokens = one.words(lines);
                            let embed = Embed {
                                tables: Elem::F32,
                                gathered: true,
                                cut,
                                kind: NormKind::Layer,
                            };
                            let binds = [tokens, from, table, table, norm, to, status];
                            one.dispatch(embed.over(params), &binds);
                        } else {
                            let binds = [from, norm, to, status];
                            let (input, kind) = (NormInput::Whole, NormKind::Layer);
                            one.dispatch(Norm { cut, input, kind }.over(params), &binds);
                        }
                        let recording = one.finish();
                        for executor in [&pair.gpu as &dyn Execute, &pair.cpu] {
                            let mut sink = |_, _| Ok(());
                            let said = pollster::block_on(executor.run(&recording, &mut sink));
                            let want = NotFinite { state: 5, row, rows: vec![row] };
                            let told = matches!(&said, Ok(Some(found)) if *found == want);
                            report.check(told, || {
                                format!(
                                    "{}: {number} at row {row} column {column} of {width}, embed \
                                     {embeds}: {:?}",
                                    executor.device(),
                                    said
                                )
                            });
                        }
                    }
                }
            }
        }
    }
    report.finish();
}

#[test]
fn of_several_states_the_lowest_is_named() {
    let Some(gpu) = gpu() else { return };
    let mut shelf = Shelf::default();
    let norm = shelf.add(Use::Vector, (2, 4), vec![1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    let pair = open(shelf, &gpu, Elem::F32);
    let mut one = One::default();
    let bad = one.input(&[f32::NAN, 1.0, 2.0, 3.0], 4);
    let good = one.input(&[1.0, 2.0, 3.0, 4.0], 4);
    let outs = [4, 2, 3, 0].map(|state| (state, one.output(1, 4)));
    let status = one.status(1, 6);
    for (state, to) in outs {
        let from = if state == 0 { good } else { bad };
        let params = NormParams::new(1, 4, 4, 1e-12, state);
        let kernel = Norm {
            cut: RowCut::new(RowSum::Shared, 4),
            input: NormInput::Whole,
            kind: NormKind::Layer,
        };
        one.dispatch(kernel.over(params), &[from, norm, to, status]);
    }
    let recording = one.finish();
    for executor in [&pair.gpu as &dyn Execute, &pair.cpu] {
        let e = run(executor, &recording).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NotFinite, "{}", executor.device());
        assert!(e.to_string().starts_with("state 2 holds"), "{}: {e}", executor.device());
    }
}

/// A NaN in a checkpoint came out of a block with ReLU as a zero, and nothing was said: max(NaN, 0)
/// is 0 in Rust and may be in WGSL.
#[test]
fn nan_comes_through_every_activation() {
    let Some(gpu) = gpu() else { return };
    let (m, n, k) = (3, 8, 20);
    let mut rng = Rng::new(6);
    let mut shelf = Shelf::default();
    let matrix = shelf.add(Use::Matrix, (n, k), rng.normals(n * k, 1.0));
    let bias = shelf.add(Use::Vector, (1, n), rng.normals(n, 1.0));
    let pair = open(shelf, &gpu, Elem::F32);
    let mut report = Report::new("activations of NaN");
    for activation in Activation::ALL {
        for nan in [f32::NAN, -f32::NAN] {
            let mut a = rng.loud(m * k);
            a[k + 7] = nan;
            let mut one = One::default();
            let from = one.input(&a, k);
            let to = one.output(m, n);
            let kernel = Matmul { activation, ..Matmul::bare(Tile::T32x32, Elem::F32) };
            let variant = Variant::from(kernel);
            one.dispatch(kernel.over(m, n, k), &[from, matrix, bias, to]);
            let (on_gpu, on_cpu) = both(&pair, &one.finish());
            for (device, c) in [("GPU", on_gpu), ("CPU", on_cpu)] {
                let rows: Vec<bool> = c.chunks(n).map(|r| r.iter().all(|x| x.is_nan())).collect();
                report.check(rows[..3] == [false, true, false], || {
                    format!("{device}: {variant} of {nan}: {:?}", &c[n..2 * n])
                });
            }
        }
    }
    report.finish();
}
