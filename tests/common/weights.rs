//! Tensors of a checkpoint in f64, for sums that a test does itself.

use std::collections::HashMap;
use std::path::Path;

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};

/// The tensors of a folder by name.
pub struct Tensors(HashMap<String, Vec<f64>>);

impl Tensors {
    pub fn read(folder: &Path) -> Self {
        let mut all = HashMap::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if !name.starts_with("model") || !name.ends_with(".safetensors") {
                continue;
            }
            let bytes = std::fs::read(path).unwrap();
            for (name, view) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
                all.insert(name, numbers(view.dtype(), view.data()));
            }
        }
        Self(all)
    }

    /// The tensor of the first of `names` that is there, whatever stands before it.
    pub fn of(&self, names: &[String]) -> Option<Vec<f64>> {
        let named = |name: &String| {
            let inner = format!(".{name}");
            self.0.get(name).or_else(|| {
                self.0.iter().find(|(own, _)| own.ends_with(&inner)).map(|(_, numbers)| numbers)
            })
        };
        names.iter().find_map(named).cloned()
    }
}

fn numbers(dtype: Dtype, data: &[u8]) -> Vec<f64> {
    let halves = || data.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    match dtype {
        Dtype::F32 => {
            bytemuck::pod_collect_to_vec::<u8, f32>(data).into_iter().map(f64::from).collect()
        }
        Dtype::F16 => halves().map(|bits| f16::from_bits(bits).to_f64()).collect(),
        Dtype::BF16 => halves().map(|bits| bf16::from_bits(bits).to_f64()).collect(),
        other => panic!("a tensor of {other:?}"),
    }
}
