//! The doctor's own health: it finds what is wrong, and it looks everywhere.

use std::collections::HashSet;

use everylayer::gpu::kernels::variants;
use everylayer::schedule::Elem;

use super::*;
use everylayer::testing::Shelf;
use everylayer::testing::cases::{ModelSizes, cases};
use everylayer::testing::judge::difference;

fn checked(kernels: Vec<Kernel>, states: Vec<State>, done: Result<()>) -> Checked {
    let adapter = Adapter {
        index: 0,
        name: "a GPU".into(),
        backend: "Vulkan".into(),
        driver: "a driver".into(),
        device_type: "DiscreteGpu".into(),
        software: false,
        features: Vec::new(),
        limits: Default::default(),
        error: None,
    };
    Checked { kernels, states, ..Checked::new(adapter) }.conclude(done)
}

fn report(checked: Checked) -> Report {
    let ok = checked.ok;
    Report { version: "0", system: "here".into(), model: None, adapters: vec![checked], ok }
}

/// A row that was given `got` where `want` is right.
fn row(got: &[f32], want: &[f32]) -> Kernel {
    let mut row = Kernel::new("matmul", 1e-5);
    row.add(&"matmul", 0.0);
    row.add(&"matmul+silu", difference(got, want));
    row.add(&"matmul", 0.0);
    row
}

#[test]
fn a_right_adapter_passes() {
    let state = State::compare(0, &[1.0, 2.0], &[1.0, 2.00001], 2);
    let report = report(checked(vec![row(&[1.0], &[1.000001])], vec![state], Ok(())));
    assert!(report.ok && report.verdict().is_ok());
    let text = report.to_string();
    for part in [
        "  driver: a driver\n",
        "  kernel ",
        "  matmul ",
        "  state ",
        "ok: results match the CPU executor",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("FAIL"), "{text}");
}

#[test]
fn a_wrong_array_fails() {
    let right = || State::compare(0, &[1.0, 2.0], &[1.0, 2.0], 2);
    let off = State::compare(3, &[1.0, 2.0], &[1.0, 2.0001], 2);
    let turned = State::compare(3, &[1e-5, 2e-5], &[2e-5, 1e-5], 2);
    for (kernels, states) in [
        (vec![row(&[1.0], &[1.001])], vec![right()]),
        (vec![row(&[f32::NAN], &[1.0])], vec![right()]),
        (vec![row(&[], &[1.0])], vec![right()]),
        (vec![row(&[1.0], &[1.0])], vec![right(), off]),
        (vec![row(&[1.0], &[1.0])], vec![turned, right()]),
        // Nothing was compared.
        (vec![Kernel::new("norm", 1e-5)], vec![right()]),
        (vec![], vec![right()]),
    ] {
        let report = report(checked(kernels, states, Ok(())));
        assert!(!report.ok, "{report}");
        assert!(report.to_string().contains("FAIL"), "{report}");
        let error = report.verdict().unwrap_err();
        assert!(error.to_string().starts_with("a GPU does not compute"), "{error}");
        assert_ne!(error.kind(), ErrorKind::Usage);
    }
}

#[test]
fn the_variants_that_fail_are_named() {
    let mut row = Kernel::new("pool", 1e-5);
    for variant in ["pool.cls", "pool.mean", "pool.mean", "pool.max", "pool.last", "pool.sum"] {
        row.add(&variant, if variant == "pool.cls" { 0.0 } else { 1.0 });
    }
    assert_eq!(row.failed, ["pool.mean", "pool.max", "pool.last", "pool.sum"]);
    let text = report(checked(vec![row], Vec::new(), Ok(()))).to_string();
    assert!(text.contains("FAIL pool.mean, pool.max, pool.last and 1 more\n"), "{text}");
}

#[test]
fn an_error_of_the_device_fails() {
    let lost = Error::new(ErrorKind::DeviceLost, "the device was lost");
    let report = report(checked(vec![row(&[1.0], &[1.0])], Vec::new(), Err(lost)));
    assert!(!report.ok && report.verdict().is_err());
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["adapters"][0]["error"], "the device was lost");
    assert_eq!(json["adapters"][0]["kernels"][0]["ok"], true);
}

/// As small models have them.
const OWN: Option<ModelSizes> = Some(ModelSizes { head_dim: 36, stride: 384 });

#[test]
fn every_variant_of_every_kernel_is_a_case() {
    let mut found = HashSet::new();
    for elem in Elem::ALL {
        let mut shelf = Shelf::default();
        found.extend(cases(elem, OWN, &mut shelf).iter().map(|(variant, _)| *variant));
    }
    for variant in variants(&[4, 32, 36], &[256, 384]) {
        assert!(found.contains(&variant), "{variant}");
    }
}

#[test]
fn the_cpu_executor_runs_every_case() {
    let kernels = Kernels::new(OWN).unwrap();
    assert!(kernels.count() > 100);
    kernels.run_on_cpu().unwrap();
}
