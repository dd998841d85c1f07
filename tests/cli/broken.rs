//! GPUs that do not work, of drivers that need no hardware.

use std::path::Path;
use std::process::Command;

use crate::calls::{Done, done, everylayer, flat, run};

/// Where Debian's Mesa says which drivers there are.
const DRIVERS: &str = "/usr/share/vulkan/icd.d";

/// A driver and what makes a GPU of it that does not work.
struct Broken {
    driver: &'static str,
    env: Vec<(&'static str, String)>,
}

impl Broken {
    /// AMD's driver for a GPU that is not there: its device is lost before it is open.
    fn amd() -> Self {
        Self { driver: "radeon", env: vec![("RADV_FORCE_FAMILY", "navi21".to_owned())] }
    }

    /// Intel's driver on a kernel that takes all work and does none of it.
    fn intel() -> Option<Self> {
        // Where a build of the workspace puts the library: beside the binary.
        let beside = Path::new(env!("CARGO_BIN_EXE_everylayer")).with_file_name("libi915_stub.so");
        let Some(library) = beside.to_str().filter(|_| beside.exists()) else {
            println!("skipped: no {} (cargo build -p i915-stub makes it)", beside.display());
            return None;
        };
        let env = vec![("I915_STUB", "tgl".to_owned()), ("LD_PRELOAD", library.to_owned())];
        Some(Self { driver: "intel", env })
    }

    /// The file of `driver`; says so where it is missing, for `./test` to count.
    fn file(driver: &str) -> Option<String> {
        let file = format!("{DRIVERS}/{driver}_icd.x86_64.json");
        if Path::new(&file).exists() {
            return Some(file);
        }
        println!("skipped: no {file} (Debian's mesa-vulkan-drivers has it)");
        None
    }

    /// The binary where this is the first GPU, software Vulkan beside it if `software`.
    fn command(&self, software: bool) -> Option<Command> {
        let mut drivers = Self::file(self.driver)?;
        if software {
            drivers = format!("{drivers}:{}", Self::file("lvp")?);
        }
        let mut command = everylayer();
        for name in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
            command.env(name, &drivers);
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        Some(command)
    }

    fn call(&self, software: bool, words: &[&str]) -> Option<Done> {
        Some(done(self.command(software)?.args(words).output().unwrap()))
    }
}

/// The notes of a call that do not tell the device.
fn others(got: &Done) -> Vec<&str> {
    got.notes().into_iter().filter(|note| !note.starts_with("device: ")).collect()
}

#[test]
fn a_gpu_that_cannot_be_opened_is_passed_over() {
    let broken = Broken::amd();
    let embed =
        |software, device| broken.call(software, &["embed", "Hello, world!", "--device", device]);
    let want = flat(&run(&["embed", "Hello, world!"]).json()["results"][0]["vectors"]);
    let Some(auto) = embed(false, "auto") else { return };
    assert_eq!(flat(&auto.json()["results"][0]["vectors"]), want);
    let [note] = others(&auto)[..] else { panic!("{}", auto.err) };
    assert!(note.contains("NAVI21") && note.contains("could not be opened"), "{note}");
    assert!(note.ends_with("; using the CPU"), "{note}");

    let Some(gpu) = embed(true, "gpu") else { return };
    assert!(gpu.json()["device"].as_str().unwrap().contains("llvmpipe"), "{}", gpu.err);
    let got = flat(&gpu.json()["results"][0]["vectors"]);
    assert_eq!(got.len(), want.len());
    assert!(got.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-5));
    let [note] = others(&gpu)[..] else { panic!("{}", gpu.err) };
    assert!(note.contains("NAVI21") && note.contains("; using llvmpipe"), "{note}");

    // Who names it, or leaves nothing else, is told.
    for (software, device) in [(true, "navi21"), (true, "0"), (false, "gpu")] {
        let Some(named) = embed(software, device) else { return };
        let error = named.error(1);
        for part in ["NAVI21", "could not be opened", "try another device (`--device`)"] {
            assert!(error.contains(part), "{device}: {error}");
        }
    }
}

#[test]
fn a_gpu_that_executes_nothing_is_passed_over() {
    let Some(broken) = Broken::intel() else { return };
    let caches = tempfile::tempdir().unwrap();
    let embed = |device: &str, verify: &str| {
        let mut command = broken.command(false)?;
        command.env("EVERYLAYER_CACHE", caches.path());
        command.args(["embed", "Hello, world!", "--device", device, "--verify", verify]);
        Some(done(command.output().unwrap()))
    };
    let want = flat(&run(&["embed", "Hello, world!"]).json()["results"][0]["vectors"]);
    let Some(auto) = embed("auto", "once") else { return };
    assert_eq!(flat(&auto.json()["results"][0]["vectors"]), want);
    let [note] = others(&auto)[..] else { panic!("{}", auto.err) };
    assert!(note.contains("Intel") && note.ends_with("; using the CPU"), "{note}");
    assert!(!auto.err.contains("panicked"), "{}", auto.err);

    for verify in ["once", "always", "never"] {
        let named = embed("intel", verify).unwrap();
        let error = named.error(1);
        assert!(error.contains("Intel") && error.contains("another device"), "{error}");
        for untold in ["token", "checkpoint", "panicked"] {
            assert!(!named.err.contains(untold), "{}", named.err);
        }
    }
}

#[test]
fn info_lists_a_gpu_that_cannot_be_opened() {
    for device in ["auto", "gpu", "navi21"] {
        let words = ["info", "--json", "--device", device];
        let Some(got) = Broken::amd().call(true, &words) else { return };
        let info = got.json();
        let adapters = info["adapters"].as_array().unwrap();
        assert_eq!(adapters.len(), 2, "{info}");
        let error = adapters[0]["open_error"].as_str().unwrap();
        assert!(error.contains("NAVI21") && error.contains("could not be opened"), "{error}");
        assert!(adapters[1]["open_error"].is_null(), "{}", adapters[1]);
        assert_eq!(got.notes().len(), 1, "{}", got.err);
    }
    let Some(got) = Broken::amd().call(false, &["info"]) else { return };
    assert!(got.text().contains("\n    error       Null hardware"), "{}", got.text());
}
