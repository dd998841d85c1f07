//! What several test files share: goldens, devices, differences.

#![allow(dead_code, reason = "each test file uses a part")]

pub mod weights;

use std::path::{Path, PathBuf};

use everylayer::model::directory::Directory;
use everylayer::{Device, Encoder, ErrorKind, LoadOptions, Text};
use safetensors::SafeTensors;
use serde::Deserialize;

/// The fixtures folder.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// The bundled model's folder.
pub fn bundled() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/all-MiniLM-L6-v2")
}

/// `goldens.json`, as tests/fixtures/README.md describes it.
#[derive(Deserialize)]
pub struct Goldens {
    pub layers: usize,
    pub width: usize,
    pub pooler: bool,
    pub sentence_max_tokens: usize,
    pub texts: Vec<Golden>,
    #[serde(skip)]
    tensors: Vec<u8>,
}

/// One text and what Transformers makes of it.
#[derive(Deserialize)]
pub struct Golden {
    pub name: String,
    pub text: String,
    pub pair: Option<String>,
    pub max_tokens: usize,
    pub tokens_lost: usize,
    pub ids: Vec<u32>,
    pub types: Vec<u32>,
    pub tokens: Vec<String>,
    pub offsets: Vec<[u32; 2]>,
    pub words: Vec<Option<u32>>,
}

impl Golden {
    pub fn text(&self) -> Text<'_> {
        Text { text: self.text.as_str().into(), pair: self.pair.as_deref().map(Into::into) }
    }
}

impl Goldens {
    /// Reads `<path>.json` and `<path>.safetensors`.
    pub fn read(path: &Path) -> Self {
        let json = std::fs::read_to_string(path.with_extension("json")).unwrap();
        let mut goldens: Self = serde_json::from_str(&json).unwrap();
        goldens.tensors = std::fs::read(path.with_extension("safetensors")).unwrap();
        goldens
    }

    /// A tensor, row-major, if there is one of this name.
    pub fn tensor(&self, name: &str) -> Option<Vec<f32>> {
        let file = SafeTensors::deserialize(&self.tensors).unwrap();
        let data = file.tensor(name).ok()?;
        Some(bytemuck::pod_collect_to_vec(data.data()))
    }
}

/// The devices to test on: the CPU executor, and whatever Vulkan adapter there is.
pub fn devices() -> Vec<Device> {
    if gpu_missing() { vec![Device::Cpu] } else { vec![Device::Cpu, Device::Gpu] }
}

/// Whether there is no adapter; says so once a call, for `./test` to count.
pub fn gpu_missing() -> bool {
    #[cfg(feature = "gpu")]
    let none = pollster::block_on(everylayer::gpu::device::list()).is_empty();
    #[cfg(not(feature = "gpu"))]
    let none = true;
    if none {
        assert!(
            std::env::var_os("EVERYLAYER_REQUIRE_GPU").is_none(),
            "EVERYLAYER_REQUIRE_GPU is set, yet there is no adapter"
        );
        println!("skipped: no Vulkan adapter");
    }
    none
}

/// The model in `folder` on `device`.
pub fn load(folder: &Path, device: Device) -> Encoder {
    let source = Directory::open(folder).unwrap();
    Encoder::load_blocking(&source, &LoadOptions::default().device(device)).unwrap()
}

/// Largest |a - b|.
pub fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Smallest cosine between rows of `width`.
pub fn cosine(a: &[f32], b: &[f32], width: usize) -> f64 {
    let rows = a.chunks_exact(width).zip(b.chunks_exact(width));
    rows.map(|(a, b)| {
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        dot(a, b) / (dot(a, a).sqrt() * dot(b, b).sqrt())
    })
    .fold(1.0, f64::min)
}

/// The kind of the error in `result`.
pub fn kind<T>(result: Result<T, everylayer::Error>) -> Option<ErrorKind> {
    result.err().map(|e| e.kind())
}
