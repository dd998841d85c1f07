//! Checkpoints: good files, damaged files, lies in headers, shards, other formats.
//!
//! The places that files come from are in `sources.rs`.

use std::collections::HashMap;

use everylayer::ErrorKind;
use everylayer::model::bytes::Bytes;
use everylayer::model::checkpoint::{Checkpoint, TensorDtype};
use half::{bf16, f16};
use proptest::prelude::*;
use serde_json::{Value, json};

/// The bytes of a safetensors file with this header and this data.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// A source with one `model.safetensors`.
fn source(bytes: Vec<u8>) -> Bytes {
    Bytes::new("toy", HashMap::from([("model.safetensors".to_owned(), bytes)]))
}

fn files(files: &[(&str, &[u8])]) -> Bytes {
    let files = files.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec()));
    Bytes::new("toy", files.collect())
}

/// Three float types and an int64 that nobody reads; each float tensor is 0, 1, 2, ..
fn sample() -> Vec<u8> {
    let header = json!({
        "__metadata__": {"format": "pt"},
        "half": {"dtype": "F16", "shape": [2, 3], "data_offsets": [16, 28]},
        "single": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
        "brain": {"dtype": "BF16", "shape": [3], "data_offsets": [28, 34]},
        "ids": {"dtype": "I64", "shape": [1, 1], "data_offsets": [34, 42]},
        "odd": {"dtype": "X9", "shape": [3], "data_offsets": [42, 45]},
        "empty": {"dtype": "F32", "shape": [0, 4], "data_offsets": [45, 45]},
        "one": {"dtype": "F32", "shape": [], "data_offsets": [45, 49]},
    });
    let mut data: Vec<u8> = (0..4).flat_map(|i| (i as f32).to_le_bytes()).collect();
    data.extend((0..6).flat_map(|i| f16::from_f32(i as f32).to_le_bytes()));
    data.extend((0..3).flat_map(|i| bf16::from_f32(i as f32).to_le_bytes()));
    data.extend([0; 11]);
    data.extend(7.5_f32.to_le_bytes());
    file(&header.to_string(), &data)
}

fn open_error(bytes: Vec<u8>) -> String {
    let e = Checkpoint::open(&source(bytes)).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Checkpoint, "{e}");
    assert!(e.to_string().contains("model.safetensors"), "{e}");
    e.to_string()
}

#[test]
fn all_float_types_are_read() {
    let checkpoint = Checkpoint::open(&source(sample())).unwrap();
    let names: Vec<_> = checkpoint.names().collect();
    assert_eq!(names, ["brain", "empty", "half", "ids", "odd", "one", "single"]);
    assert_eq!(checkpoint.read_f32("single", &[2, 2]).unwrap(), [0.0, 1.0, 2.0, 3.0]);
    assert_eq!(checkpoint.read_f32("half", &[2, 3]).unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(checkpoint.read_f32("brain", &[3]).unwrap(), [0.0, 1.0, 2.0]);
    assert_eq!(checkpoint.read_f32("one", &[]).unwrap(), [7.5]);
    assert!(checkpoint.read_f32("empty", &[0, 4]).unwrap().is_empty());
    let info = checkpoint.get("half").unwrap();
    assert_eq!((&info.dtype, info.shape.as_slice()), (&TensorDtype::F16, &[2, 3][..]));
    assert_eq!(&*info.file, "toy: model.safetensors");
    assert!(checkpoint.get("none").is_none());
}

#[test]
fn rows_are_read_alone() {
    let checkpoint = Checkpoint::open(&source(sample())).unwrap();
    let rows = |range| checkpoint.read_rows_f32("half", &[2, 3], range);
    assert_eq!(rows(1..2).unwrap(), [3.0, 4.0, 5.0]);
    assert_eq!(rows(0..2).unwrap().len(), 6);
    assert!(rows(1..1).unwrap().is_empty());
    let e = rows(1..3).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Usage);
    assert!(e.to_string().contains("rows 1..3") && e.to_string().contains("half"), "{e}");
}

#[test]
fn no_rows_of_a_vast_shape() {
    // The product of the later axes alone does not fit: none of it may be computed.
    let shape = [0, usize::MAX, usize::MAX];
    let header = json!({"w": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}});
    let checkpoint = Checkpoint::open(&source(file(&header.to_string(), b""))).unwrap();
    assert!(checkpoint.read_f32("w", &shape).unwrap().is_empty());
    assert!(checkpoint.read_rows_f32("w", &shape, 0..0).unwrap().is_empty());
}

#[test]
fn halves_are_decoded_across_chunks() {
    // A little more than two chunks of 1 MiB, with every bit pattern of a half.
    let patterns = (0..(1 << 20) + 5).map(|i| i as u16);
    let data: Vec<u8> = patterns.clone().flat_map(u16::to_le_bytes).collect();
    for (dtype, widen) in [
        ("F16", (|bits| f16::from_bits(bits).to_f32()) as fn(u16) -> f32),
        ("BF16", |bits| bf16::from_bits(bits).to_f32()),
    ] {
        let shape = [(1 << 20) + 5];
        let header =
            json!({"w": {"dtype": dtype, "shape": shape, "data_offsets": [0, data.len()]}});
        let checkpoint = Checkpoint::open(&source(file(&header.to_string(), &data))).unwrap();
        let read = checkpoint.read_f32("w", &shape).unwrap();
        for (bits, found) in patterns.clone().zip(read) {
            let wanted = widen(bits);
            let same = wanted.to_bits() == found.to_bits() || wanted.is_nan() && found.is_nan();
            assert!(same, "{dtype} {bits:#06x}: got {found}, want {wanted}");
        }
    }
}

#[test]
fn wrong_shape_type_or_name_is_named() {
    let checkpoint = Checkpoint::open(&source(sample())).unwrap();
    for (name, shape, kind, parts) in [
        ("half", &[3, 2][..], ErrorKind::Checkpoint, &["half", "[2, 3]", "[3, 2]"][..]),
        ("ids", &[1, 1], ErrorKind::Unsupported, &["ids", "I64", "[1, 1]", "F32"]),
        ("odd", &[3], ErrorKind::Unsupported, &["odd", "X9"]),
        ("gone.weight", &[2], ErrorKind::Checkpoint, &["gone.weight", "missing", "[2]"]),
    ] {
        let e = checkpoint.read_f32(name, shape).unwrap_err();
        assert_eq!(e.kind(), kind, "{e}");
        for part in parts.iter().chain(&["toy: model.safetensors"]) {
            assert!(e.to_string().contains(part), "{part:?} is not in {e}");
        }
    }
}

#[test]
fn damaged_headers_are_refused() {
    let tensor = |shape: Value, offsets: [u64; 2]| {
        json!({"w": {"dtype": "F32", "shape": shape, "data_offsets": offsets}}).to_string()
    };
    let cut_short = {
        let mut bytes = sample();
        bytes.truncate(60);
        bytes
    };
    let cut_data = {
        let mut bytes = sample();
        bytes.truncate(bytes.len() - 1);
        bytes
    };
    let twice = r#"{"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
                    "w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}"#;
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", vec![], "the file is empty (0 bytes)"),
        ("7 bytes", vec![0; 7], "has 7 bytes"),
        ("no header", vec![0; 8], "header: line 1"),
        ("length 2^60", [&(1_u64 << 60).to_le_bytes()[..], b"{}"].concat(), "1152921504606846976"),
        ("length u64::MAX", vec![0xff; 16], "18446744073709551615"),
        ("length beyond the end", [&3_u64.to_le_bytes()[..], b"{}"].concat(), "header of 3 bytes"),
        ("cut header", cut_short, "truncated"),
        ("cut data", cut_data, "truncated"),
        ("not JSON", file("{\"w\": 1,,}", b""), "header: line 1, column"),
        ("not UTF-8", [&3_u64.to_le_bytes()[..], b"{\"\xff"].concat(), "header"),
        ("an array", file("[]", b""), "tensors by name"),
        ("deep", file(&"[".repeat(100_000), b""), "header"),
        ("no shape", file(r#"{"w": {"dtype": "F32"}}"#, b""), "header: line 1"),
        (
            "negative",
            file(
                &json!({"w": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}).to_string(),
                &[0; 4],
            ),
            "header",
        ),
        ("past the end", file(&tensor(json!([2]), [0, 8]), &[0; 4]), "tensor w has bytes 0..8"),
        (
            "far past the end",
            file(&tensor(json!([2]), [u64::MAX - 8, u64::MAX]), &[0; 4]),
            "tensor w",
        ),
        ("backwards", file(&tensor(json!([1]), [4, 0]), &[0; 4]), "tensor w has bytes 4..0"),
        ("a gap", file(&tensor(json!([1]), [4, 8]), &[0; 8]), "begins at byte 4"),
        ("bytes left over", file(&tensor(json!([1]), [0, 4]), &[0; 5]), "end at byte 4"),
        ("shape too large", file(&tensor(json!([2]), [0, 4]), &[0; 4]), "shape contradicts"),
        (
            "shape overflows",
            file(&tensor(json!([u64::MAX, 3]), [0, 4]), &[0; 4]),
            "shape contradicts",
        ),
        ("bits overflow", file(&tensor(json!([1_u64 << 60]), [0, 0]), b""), "shape contradicts"),
        ("twice", file(twice, &[0; 4]), "two tensors are called w"),
    ];
    for (what, bytes, part) in cases {
        let message = open_error(bytes);
        assert!(message.contains(part), "{what}: {part:?} is not in {message:?}");
    }
}

#[test]
fn shards_are_joined_by_the_index() {
    let tensor = |name: &str| {
        json!({name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).to_string()
    };
    let one = file(&tensor("a"), &1.0_f32.to_le_bytes());
    let two = file(&tensor("b"), &2.0_f32.to_le_bytes());
    let index = |map: Value| json!({"metadata": {"total_size": 8}, "weight_map": map}).to_string();
    let good = index(json!({"a": "one.safetensors", "b": "two.safetensors"}));
    let open = |index: &str| {
        Checkpoint::open(&files(&[
            ("model.safetensors.index.json", index.as_bytes()),
            ("one.safetensors", &one),
            ("two.safetensors", &two),
        ]))
    };
    let checkpoint = open(&good).unwrap();
    assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(checkpoint.read_f32("b", &[1]).unwrap(), [2.0]);
    assert_eq!(&*checkpoint.get("b").unwrap().file, "toy: two.safetensors");

    // As in Transformers the index says which files there are, and these what is in them: a head
    // that is tied to the word table is often left out of its shard.
    let tied = json!({"a": "one.safetensors", "head": "one.safetensors", "c": "two.safetensors"});
    let checkpoint = open(&index(tied)).unwrap();
    assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["a", "b"]);
    let e = checkpoint.expect("head", &[1]).unwrap_err().to_string();
    assert!(
        e.contains("tensor head [1] is missing") && e.contains("it is in one.safetensors"),
        "{e}"
    );

    for (bad, parts) in [
        (index(json!({"a": "three.safetensors"})), &["three.safetensors", "missing"][..]),
        (index(json!({"a": "../one.safetensors"})), &["../one.safetensors", "leaves"]),
        (index(json!({"a": "/etc/passwd"})), &["/etc/passwd", "leaves"]),
        ("{\"weight_map\": 3}".to_owned(), &["model.safetensors.index.json", "line 1"]),
        ("{\n".to_owned(), &["model.safetensors.index.json", "line 2"]),
    ] {
        let e = open(&bad).unwrap_err();
        for part in parts {
            assert!(e.to_string().contains(part), "{part:?} is not in {e}");
        }
    }
}

#[test]
fn weights_in_a_folder() {
    let source = files(&[("2_Dense/model.safetensors", &sample())]);
    let checkpoint = Checkpoint::open_in(&source, "2_Dense").unwrap();
    assert_eq!(checkpoint.read_f32("brain", &[3]).unwrap(), [0.0, 1.0, 2.0]);
    assert_eq!(Checkpoint::open(&source).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn other_formats_are_named() {
    for name in ["model.ckpt.index", "tf_model.h5", "flax_model.msgpack"] {
        let e = Checkpoint::open(&files(&[(name, b"")])).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported);
        assert!(e.to_string().contains(name) && e.to_string().contains("safetensors"), "{e}");
    }
    let e = Checkpoint::open(&files(&[])).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    assert!(e.to_string().contains("model.safetensors.index.json"), "{e}");
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Checkpoint::open(&source(bytes));
    }

    #[test]
    fn random_headers_never_panic(header in "[\\[\\]{}\",:0-9a-zFI\\-. ]{0,120}", data in 0_usize..20) {
        let _ = Checkpoint::open(&source(file(&header, &vec![0; data])));
    }

    #[test]
    fn damaged_files_never_panic(at in 0_usize..600, byte: u8, end in 0_usize..700) {
        let mut bytes = sample();
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(end);
        if let Ok(checkpoint) = Checkpoint::open(&source(bytes)) {
            for name in checkpoint.names() {
                let shape = checkpoint.get(name).unwrap().shape.clone();
                let _ = checkpoint.read_f32(name, &shape);
            }
        }
    }

    #[test]
    fn random_tensors_never_panic(
        shape in prop::collection::vec(prop_oneof![0_u64..5, any::<u64>()], 0..4),
        from in prop_oneof![0_u64..40, any::<u64>()],
        to in prop_oneof![0_u64..40, any::<u64>()],
        dtype in prop_oneof!["F32", "F16", "I64", "F4", "X"],
    ) {
        let header = json!({"w": {"dtype": dtype, "shape": shape, "data_offsets": [from, to]}});
        if let Ok(checkpoint) = Checkpoint::open(&source(file(&header.to_string(), &[0; 32]))) {
            let shape = checkpoint.get("w").unwrap().shape.clone();
            let _ = checkpoint.read_f32("w", &shape);
            let _ = checkpoint.read_rows_f32("w", &shape, 0..1);
        }
    }
}
