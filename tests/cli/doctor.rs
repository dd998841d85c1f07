//! `doctor`: what it compares, what it says, and its exit codes.

use everylayer::testing::cases::TOLERANCES;
use serde_json::{Value, json};

use crate::calls::{done, everylayer, run};

/// Whether there is no adapter; says so, for `./test` to count.
pub fn gpu_missing() -> bool {
    let none = pollster::block_on(everylayer::gpu::device::list()).is_empty();
    if none {
        assert!(
            std::env::var_os("EVERYLAYER_REQUIRE_GPU").is_none(),
            "EVERYLAYER_REQUIRE_GPU is set, yet there is no adapter"
        );
        println!("skipped: no Vulkan adapter");
    }
    none
}

/// The first adapter of a report, once what holds of every report is seen.
fn adapter_of(arguments: &[&str]) -> Value {
    let all = run(arguments).json();
    assert_eq!(all["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(all["model"], "bundled:all-MiniLM-L6-v2");
    assert_eq!(all["ok"], true);
    // `gpu` is the first adapter alone.
    let adapters = all["adapters"].as_array().unwrap();
    assert_eq!(adapters.len(), 1);
    let adapter = adapters[0].clone();
    for key in ["name", "backend", "driver", "device_type", "features", "limits", "notes"] {
        assert!(!adapter[key].is_null(), "{key}");
    }
    assert_eq!((&adapter["ok"], &adapter["error"]), (&json!(true), &Value::Null));
    if adapter["software"] == true {
        assert!(adapter["notes"].to_string().contains("software"), "{}", adapter["notes"]);
    }
    for row in adapter["kernels"].as_array().unwrap() {
        let number = |key: &str| row[key].as_f64().unwrap();
        assert_eq!(row["ok"], true, "{row}");
        assert!(number("variants") >= 1.0 && number("cases") >= 3.0, "{row}");
        assert!(number("max_difference") <= number("tolerance"), "{row}");
    }
    let states = adapter["states"].as_array().unwrap();
    assert_eq!(states.len(), 7);
    for (i, row) in states.iter().enumerate() {
        assert_eq!((&row["state"], &row["ok"]), (&json!(i), &json!(true)), "{row}");
        assert!(row["max_difference"].as_f64().unwrap() <= 5e-5, "{row}");
        assert!(row["min_cosine"].as_f64().unwrap() >= 0.999_999, "{row}");
    }
    adapter
}

#[test]
fn the_kernels_of_the_model_and_every_state_are_compared() {
    if gpu_missing() {
        return;
    }
    let adapter = adapter_of(&["doctor", "--quick", "--device", "gpu", "--json"]);
    let kernels = adapter["kernels"].as_array().unwrap();
    let names: Vec<&str> = kernels.iter().map(|row| row["kernel"].as_str().unwrap()).collect();
    for name in ["embed", "norm", "matmul", "attention"] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert!(!names.iter().any(|name| ["rope", "expert", "route"].contains(name)), "{names:?}");
}

/// Minutes on software Vulkan: `./test --long`.
#[test]
#[ignore = "a part of ./test --long"]
fn every_kernel_is_compared() {
    if gpu_missing() {
        return;
    }
    let adapter = adapter_of(&["doctor", "--device", "gpu", "--json"]);
    let kernels = adapter["kernels"].as_array().unwrap();
    let names: Vec<&str> = kernels.iter().map(|row| row["kernel"].as_str().unwrap()).collect();
    let known = TOLERANCES.map(|(name, _)| name);
    assert_eq!(names[..known.len()], known);
    let coop = adapter["coop"].as_str().unwrap();
    match names[18..] {
        [] => assert!(coop.starts_with("not on this adapter ("), "{coop}"),
        ["matmul coop", "matmul coop f16"] => assert!(["coop8", "coop16"].contains(&coop)),
        ref more => panic!("{more:?}"),
    }
    let variants_of = |name: &str| {
        let row = kernels.iter().find(|row| row["kernel"] == name).unwrap();
        row["variants"].as_u64().unwrap()
    };
    // At least two storage types in four tiles: six activations, a residual, and two and four parts
    // along k; beside weights of 16 bits, A in 16 bits as well: all but the activations.
    assert!(variants_of("matmul") >= 4 * (2 * 9 + 4));
    // And C: six activations.
    assert!(variants_of("matmul f16") >= 4 * 6);
}

#[test]
fn without_an_adapter_it_says_so() {
    let mut command = everylayer();
    command.args(["doctor", "--device", "auto"]);
    command.env("VK_DRIVER_FILES", "/nonexistent").env("VK_ICD_FILENAMES", "/nonexistent");
    let got = done(command.output().unwrap());
    if cfg!(target_os = "linux") {
        assert!(got.error(1).contains("no GPU adapter was found"), "{}", got.err);
    }
}

#[test]
fn the_cpu_has_nothing_to_be_compared_with() {
    let got = run(&["doctor", "--device", "cpu"]);
    assert!(got.error(2).contains("nothing to compare"), "{}", got.err);
}

#[test]
fn help_teaches() {
    let got = run(&["doctor", "--help"]);
    assert!(got.text().contains("\nExamples:\n  everylayer doctor\n"));
    assert_eq!(got.err, "");
}

#[test]
fn an_adapter_that_is_not_there() {
    let got = run(&["doctor", "--device", "no such device"]);
    let error = got.error(1);
    // Where there is none at all, that is the thing to say.
    let known = ["no such device", "no GPU adapter"];
    assert!(known.iter().any(|part| error.contains(part)), "{error}");
}
