//! Files of weights: headers of safetensors, zip files of torch, pickles.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;

use everylayer::model::bytes::Bytes;
use everylayer::model::checkpoint::Checkpoint;
use serde_json::Value;

use super::harness::fuzz;
use super::mutate;
use super::rng::Rng;

pub fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(fixtures().join(name)).unwrap()
}

/// Reads all that a file of weights says it has.
fn read(name: &str, bytes: Vec<u8>) {
    let source = Bytes::new("damaged", HashMap::from([(name.to_owned(), bytes)]));
    let Ok(checkpoint) = Checkpoint::open(&source) else { return };
    for name in checkpoint.names() {
        let shape = checkpoint.get(name).unwrap().shape.clone();
        let Ok(values) = checkpoint.read_f32(name, &shape) else { continue };
        assert_eq!(values.len(), shape.iter().product::<usize>(), "{name} {shape:?}");
        if let Some(&rows) = shape.first().filter(|&&rows| rows > 0) {
            let one = checkpoint.read_rows_f32(name, &shape, rows - 1..rows).unwrap();
            let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits();
            let rest = &values[values.len() - one.len()..];
            assert!(one.iter().zip(rest).all(same), "{name} {shape:?}");
        }
    }
}

/// Damage within `range` alone, whose length is kept now and then.
fn within(rng: &mut Rng, bytes: &[u8], range: Range<usize>) -> Vec<u8> {
    let part = bytes[range.clone()].to_vec();
    let mut changed = mutate::bytes(rng, part);
    if rng.once_in(2) {
        changed.resize(range.len(), 0);
    }
    [&bytes[..range.start], &changed, &bytes[range.end..]].concat()
}

fn find(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).position(|window| window == part).unwrap()
}

#[test]
fn safetensors() {
    let seeds = [
        fixture("folders/torch/expected.safetensors"),
        fixture("folders/torch/double.safetensors"),
        fixture("pipelines/layer_mix/1_WeightedLayerPooling/model.safetensors"),
        fixture("adapters/bert/adapter_model.safetensors"),
    ];
    let words = ["F32", "BF16", "F4", "F8_E4M3", "I64", "dtype", "shape", "__metadata__", "a", ""];
    fuzz("safetensors", |rng| {
        let seed = rng.pick(&seeds);
        let length = u64::from_le_bytes(seed[..8].try_into().unwrap()) as usize;
        let header = &seed[8..8 + length];
        let damaged = match rng.below(4) {
            0 => mutate::bytes(rng, seed.clone()),
            1 => within(rng, seed, 0..8 + length),
            _ => {
                let mut tree: Value = serde_json::from_slice(header).unwrap();
                for _ in 0..=rng.below(3) {
                    mutate::change(rng, &mut tree, &words);
                }
                let header = tree.to_string();
                let length = (header.len() as u64).to_le_bytes();
                [&length[..], header.as_bytes(), &seed[8 + length_of(seed)..]].concat()
            }
        };
        read("model.safetensors", damaged);
    });
}

fn length_of(safetensors: &[u8]) -> usize {
    u64::from_le_bytes(safetensors[..8].try_into().unwrap()) as usize
}

#[test]
fn torch_zip() {
    let seed = fixture("folders/torch/zip.bin");
    let pickle = find(&seed, b"data.pkl");
    let after = pickle + find(&seed[pickle..], b"PK\x03\x04");
    let directory = find(&seed, b"PK\x01\x02");
    fuzz("torch_zip", |rng| {
        let damaged = match rng.below(5) {
            0 => mutate::bytes(rng, seed.clone()),
            1 | 2 => within(rng, &seed, pickle..after),
            _ => within(rng, &seed, directory..seed.len()),
        };
        read("pytorch_model.bin", damaged);
    });
}

/// Instructions, whole ones, with what they need.
const PARTS: [&[u8]; 36] = [
    b"(",
    b")",
    b"}",
    b"]",
    b"t",
    b"l",
    b"\x85",
    b"\x86",
    b"\x87",
    b"u",
    b"s",
    b"e",
    b"a",
    b"Q",
    b"R",
    b"b",
    b"N",
    b"0",
    b"1",
    b"2",
    b".",
    b"\x88",
    b"\x94",
    b"q\0",
    b"h\0",
    b"j\0\0\0\0",
    b"K\x01",
    b"J\xff\xff\xff\xff",
    b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"X\x03\0\0\0abc",
    b"X\xff\xff\xff\x7f",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ctorch\nFloatStorage\n",
    b"ccollections\nOrderedDict\n",
    b"ctorch\nSize\n",
    b"cos\nsystem\n",
];

#[test]
fn pickle() {
    let seeds: Vec<(Vec<u8>, usize)> = ["legacy.bin", "legacy4.bin"]
        .map(|name| {
            let bytes = fixture(&format!("folders/torch/{name}"));
            // The pickles end where the first storage begins: its count, then its elements.
            let last = bytes.windows(2).rposition(|two| two == b"e.").unwrap();
            (bytes, last + 2)
        })
        .into();
    fuzz("pickle", |rng| {
        let (seed, end) = rng.pick(&seeds);
        let mut damaged = match rng.below(5) {
            0 => mutate::bytes(rng, seed.clone()),
            _ => within(rng, seed, 0..*end),
        };
        for _ in 0..rng.below(6) {
            let at = rng.below(damaged.len().min(*end));
            let times = if rng.once_in(20) { 2000 } else { 1 };
            damaged.splice(at..at, rng.pick(&PARTS).repeat(times));
        }
        read("pytorch_model.bin", damaged);
    });
}
