//! `pytorch_model.bin` of every age: the same numbers as torch, views of shared storages, float64;
//! what is not read is said by name, and a damaged file is never a panic.
//!
//! `tests/fixtures/make_folders.py` writes the files.

mod common;

use std::collections::HashMap;

use common::fixtures;
use everylayer::ErrorKind;
use everylayer::model::bytes::Bytes;
use everylayer::model::checkpoint::{Checkpoint, TensorDtype};
use proptest::prelude::*;
use safetensors::SafeTensors;

fn sample(name: &str) -> Vec<u8> {
    std::fs::read(fixtures().join("folders/torch").join(name)).unwrap()
}

fn open_as(file: &str, bytes: Vec<u8>) -> everylayer::Result<Checkpoint> {
    Checkpoint::open(&Bytes::new("test", HashMap::from([(file.to_owned(), bytes)])))
}

fn open(bytes: Vec<u8>) -> everylayer::Result<Checkpoint> {
    open_as("pytorch_model.bin", bytes)
}

#[test]
fn tensors_are_those_that_torch_loads() {
    let expected = sample("expected.safetensors");
    let expected = SafeTensors::deserialize(&expected).unwrap();
    for file in ["zip.bin", "legacy.bin", "legacy4.bin"] {
        let checkpoint = open(sample(file)).unwrap();
        assert_eq!(checkpoint.names().count(), expected.len(), "{file}");
        for (name, view) in expected.tensors() {
            let want: Vec<f32> = bytemuck::pod_collect_to_vec(view.data());
            let got = checkpoint.read_f32(&name, view.shape()).unwrap();
            let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&got), bits(&want), "{file}: {name}");
            // Any rows of it, as weights are asked for piece by piece.
            let rows = view.shape().first().copied().unwrap_or(0);
            let width = want.len() / rows.max(1);
            for (from, to) in (0..=rows).flat_map(|to| (0..=to).map(move |from| (from, to))) {
                let got = checkpoint.read_rows_f32(&name, view.shape(), from..to).unwrap();
                assert_eq!(got, want[from * width..to * width], "{file}: {name}, {from}..{to}");
            }
        }
    }
}

#[test]
fn a_long_axis_is_read_in_pieces() {
    // Its kernel as a converter from TensorFlow leaves it: both axes longer than a block.
    let (rows, cols) = (3000_usize, 500_usize);
    let number = |r: usize, c: usize| (r * 1000 + c) as f32;
    let data = (0..cols).flat_map(|c| (0..rows).map(move |r| number(r, c)));
    let data: Vec<u8> = data.flat_map(f32::to_le_bytes).collect();
    let file = legacy(&state(&tensor((rows * cols) as u32, 0, &[3000, 500], &[1, 3000])), &data);
    let checkpoint = open(file).unwrap();
    let got = checkpoint.read_f32("a", &[rows, cols]).unwrap();
    assert!((0..rows * cols).all(|i| got[i] == number(i / cols, i % cols)));
    let got = checkpoint.read_rows_f32("a", &[rows, cols], 17..19).unwrap();
    assert!((0..2 * cols).all(|i| got[i] == number(17 + i / cols, i % cols)));

    // One long axis with gaps: a column of the same.
    let count = (rows * cols) as u32;
    let column = state(&tensor(count, 2, &[count / 3 - 1], &[3]));
    let checkpoint = open(legacy(&column, &data)).unwrap();
    let got = checkpoint.read_f32("a", &[rows * cols / 3 - 1]).unwrap();
    let stored: Vec<f32> = bytemuck::pod_collect_to_vec(&data);
    assert!(got.iter().enumerate().all(|(i, x)| *x == stored[2 + 3 * i]));
}

/// A zip file of `records`, stored as they are.
fn zip(records: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in records {
        let sizes = [[0; 4], (data.len() as u32).to_le_bytes(), (data.len() as u32).to_le_bytes()];
        let lengths = [&(name.len() as u16).to_le_bytes()[..], &[0, 0]].concat();
        let at = (bytes.len() as u32).to_le_bytes();
        let common = [&[0; 10][..], &sizes.concat(), &lengths].concat();
        directory.extend([b"PK\x01\x02\0\0", &common[..], &[0; 10], &at].concat());
        directory.extend(name.bytes());
        bytes.extend([b"PK\x03\x04", &common[..], name.as_bytes(), data].concat());
    }
    let (size, start) = (directory.len() as u32, bytes.len() as u32);
    bytes.extend(directory);
    bytes.extend([b"PK\x05\x06", &[0; 8][..], &size.to_le_bytes(), &start.to_le_bytes()].concat());
    bytes.extend([0, 0]);
    bytes
}

#[test]
fn a_file_with_two_roots_is_refused_by_both_names() {
    let empty = b"\x80\x02}.";
    let one = zip(&[("a/data.pkl", empty), ("a/version", b"3\n"), ("a/b/data.pkl", empty)]);
    assert_eq!(open(one).unwrap().names().count(), 0);
    let said = open(zip(&[("b/data.pkl", empty), ("a/data.pkl", empty)])).unwrap_err().to_string();
    assert!(said.contains("two models in it (a/data.pkl and b/data.pkl)"), "{said}");
    let said = open(zip(&[("a/data.pkl", empty), ("a/data.pkl", empty)])).unwrap_err().to_string();
    assert!(said.contains("two records are called a/data.pkl"), "{said}");
}

#[test]
fn a_file_under_the_name_of_the_other_format_is_told() {
    let said = open(sample("expected.safetensors")).unwrap_err().to_string();
    assert!(said.contains("rename it to model.safetensors"), "{said}");
    let said = open_as("model.safetensors", sample("zip.bin")).unwrap_err().to_string();
    assert!(said.contains("rename it to pytorch_model.bin"), "{said}");
}

#[test]
fn float64_is_rounded_and_what_float32_does_not_hold_is_refused() {
    let checkpoint = open_as("model.safetensors", sample("double.safetensors")).unwrap();
    let expected = sample("expected.safetensors");
    let expected = SafeTensors::deserialize(&expected).unwrap();
    for (name, shape) in [("double", &[3, 5][..]), ("rounded", &[6])] {
        assert_eq!(checkpoint.get(name).unwrap().dtype, TensorDtype::F64);
        let want: Vec<f32> = bytemuck::pod_collect_to_vec(expected.tensor(name).unwrap().data());
        assert_eq!(checkpoint.read_f32(name, shape).unwrap(), want);
    }
    for (number, holds) in [(3.4028235e38, true), (3.5e38, false), (f64::NEG_INFINITY, false)] {
        let header = r#"{"big":{"dtype":"F64","shape":[2],"data_offsets":[0,16]}}"#;
        let length = (header.len() as u64).to_le_bytes();
        let numbers = [1.0_f64.to_le_bytes(), number.to_le_bytes()].concat();
        let file = [&length[..], header.as_bytes(), &numbers].concat();
        let got = open_as("model.safetensors", file).unwrap().read_f32("big", &[2]);
        match got {
            Ok(_) => assert!(holds, "{number}"),
            Err(e) => {
                assert!(!holds && e.kind() == ErrorKind::Unsupported, "{e}");
                assert!(e.to_string().contains("tensor big [2] has a float64"), "{e}");
            }
        }
    }
}

/// An integer of four bytes.
fn int(n: u32) -> Vec<u8> {
    [&b"J"[..], &n.to_le_bytes()].concat()
}

fn text(text: &str) -> Vec<u8> {
    [&[b'X'][..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

fn tuple(items: &[u32]) -> Vec<u8> {
    [&b"("[..], &items.iter().flat_map(|&n| int(n)).collect::<Vec<_>>(), b"t"].concat()
}

/// The instructions for a float32 tensor in the storage "0", which has `count` elements.
fn tensor(count: u32, offset: u32, shape: &[u32], stride: &[u32]) -> Vec<u8> {
    tensor_in(&[int(count), b"N".to_vec()].concat(), offset, shape, stride)
}

fn tensor_in(storage: &[u8], offset: u32, shape: &[u32], stride: &[u32]) -> Vec<u8> {
    [
        &b"ctorch._utils\n_rebuild_tensor_v2\n(("[..],
        &text("storage"),
        b"ctorch\nFloatStorage\n",
        &text("0"),
        &text("cpu"),
        storage,
        b"tQ",
        &int(offset),
        &tuple(shape),
        &tuple(stride),
        b"\x89ccollections\nOrderedDict\n)RtR",
    ]
    .concat()
}

/// A dictionary of one tensor called `a`.
fn state(tensor: &[u8]) -> Vec<u8> {
    [&b"\x80\x02}"[..], &text("a"), tensor, b"s."].concat()
}

const MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
const PROTOCOL: &[u8] = b"\x80\x02M\xe9\x03.";

/// A file of before torch 1.6 whose storage "0" is the float32 `data`.
fn legacy(state: &[u8], data: &[u8]) -> Vec<u8> {
    let system = [&b"\x80\x02}"[..], &text("little_endian"), b"\x88s."].concat();
    let keys = [&b"\x80\x02]("[..], &text("0"), b"e."].concat();
    let count = (data.len() as u64 / 4).to_le_bytes();
    [MAGIC, PROTOCOL, &system, state, &keys, &count, data].concat()
}

/// `bytes` with `new` for the one `old`.
fn replace(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let at = bytes.windows(old.len()).position(|part| part == old).unwrap();
    [&bytes[..at], new, &bytes[at + old.len()..]].concat()
}

#[test]
fn a_part_of_a_storage_and_a_dictionary_of_python_2() {
    let data: Vec<u8> = (0..10).flat_map(|n| (n as f32).to_le_bytes()).collect();
    // (key of the view, first element, elements), as torch before 0.4 saved views of storages.
    let part = [int(10), b"(".to_vec(), text("1"), int(4), int(5), b"t".to_vec()].concat();
    let checkpoint = open(legacy(&state(&tensor_in(&part, 1, &[2, 2], &[2, 1])), &data)).unwrap();
    assert_eq!(checkpoint.read_f32("a", &[2, 2]).unwrap(), [5.0, 6.0, 7.0, 8.0]);
    let beyond = legacy(&state(&tensor_in(&part, 2, &[2, 2], &[2, 1])), &data);
    assert!(open(beyond).unwrap_err().to_string().contains("tensor a [2, 2]"));

    let old = replace(&tensor(10, 0, &[3], &[1]), b"_rebuild_tensor_v2", b"_rebuild_tensor");
    let old = replace(&old, b"ctorch\nFloat", b"ctorch.cuda\nFloat");
    let old = replace(&old, b"\x89ccollections\nOrderedDict\n)R", b"");
    let items = [&b"\x80\x02ccollections\nOrderedDict\n](]("[..], b"U\x01a", &old, b"ee\x85R."];
    let checkpoint = open(legacy(&items.concat(), &data)).unwrap();
    assert_eq!(checkpoint.read_f32("a", &[3]).unwrap(), [0.0, 1.0, 2.0]);
}

#[test]
fn what_is_not_read_is_said() {
    use ErrorKind::{Checkpoint, Unsupported};
    let data = [0; 40];
    let good = state(&tensor(10, 0, &[2, 5], &[5, 1]));
    assert!(open(legacy(&good, &data)).is_ok());
    let tar = [&[b's'; 257][..], b"ustar\0", &[0; 300]].concat();
    let mut other_order = legacy(&good, &data);
    let flag = MAGIC.len() + PROTOCOL.len() + 2 + 1 + 5 + "little_endian".len();
    assert_eq!(other_order[flag], 0x88);
    other_order[flag] = 0x89;
    let named = |names: &str| [b"\x80\x02", names.as_bytes(), b"."].concat();
    let cut = legacy(&good, &data)[..legacy(&good, &data).len() - 4].to_vec();
    let huge = [b"\x80\x02".to_vec(), b"K\x01".repeat(2 << 20)].concat();
    let expanded = |side| state(&tensor(10, 0, &[side, side], &[0, 0]));
    let cases: [(&str, Vec<u8>, ErrorKind, &str); 13] = [
        ("tar", tar, Unsupported, "torch before 0.1.10"),
        ("big-endian", other_order, Unsupported, "not little-endian"),
        ("another pickle", b"\x80\x02}.".to_vec(), Unsupported, "not one that torch.save wrote"),
        ("protocol", [MAGIC, b"\x80\x02K\x05."].concat(), Unsupported, "protocol 5"),
        (
            "a call",
            legacy(&named("cposix\nsystem\nX\x02\0\0\0ls\u{1}R"), &data),
            Unsupported,
            "posix.system",
        ),
        (
            "a whole model",
            legacy(&named("ctransformers.models.bert.modeling_bert\nBertModel\n"), &data),
            Unsupported,
            "BertModel",
        ),
        ("cut short", cut, Checkpoint, "truncated"),
        (
            "outside",
            legacy(&state(&tensor(10, 0, &[2, 5], &[6, 1])), &data),
            Checkpoint,
            "tensor a",
        ),
        ("another count", legacy(&state(&tensor(11, 0, &[2], &[1])), &data), Checkpoint, "size"),
        (
            "overflow",
            legacy(&state(&tensor(10, 0, &[2, 2], &[0x7fff_ffff, 1])), &data),
            Checkpoint,
            "tensor a",
        ),
        ("a long pickle", legacy(&huge, &data), Unsupported, "more than the"),
        (
            "expanded",
            legacy(&expanded(5000), &data),
            Unsupported,
            "tensor a [5000, 5000] repeats 10",
        ),
        ("no storage", legacy(b"\x80\x02}.", &data), Checkpoint, "no tensor uses"),
    ];
    let mut failed = Vec::new();
    for (name, bytes, kind, part) in cases {
        match open(bytes) {
            Err(e) if e.kind() == kind && e.to_string().contains(part) => {}
            got => failed.push(format!("{name}: {got:?}, wanted {kind:?} with {part:?}")),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(open(legacy(&expanded(4000), &data)).is_ok());
}

fn read_all(bytes: Vec<u8>) {
    if let Ok(checkpoint) = open(bytes) {
        for name in checkpoint.names() {
            let shape = checkpoint.get(name).unwrap().shape.clone();
            let _ = checkpoint.read_f32(name, &shape);
        }
    }
}

proptest! {
    #[test]
    fn damaged_files_never_panic(
        at in any::<prop::sample::Index>(), byte: u8, end in any::<prop::sample::Index>(), cut: bool,
        zip: bool,
    ) {
        let mut bytes = sample(if zip { "zip.bin" } else { "legacy.bin" });
        let at = at.index(bytes.len().min(6000));
        bytes[at] = byte;
        if cut {
            bytes.truncate(end.index(bytes.len()));
        }
        read_all(bytes);
    }

    #[test]
    fn any_view_is_read_or_refused(
        count in 0..40_u32, offset in 0..40_u32,
        axes in prop::collection::vec((0..5_u32, 0..30_u32), 0..4),
    ) {
        let data: Vec<u8> = (0..count).flat_map(|n| (n as f32).to_le_bytes()).collect();
        let (shape, stride): (Vec<u32>, Vec<u32>) = axes.iter().copied().unzip();
        let last: u32 = axes.iter().map(|(n, step)| n.saturating_sub(1) * step).sum();
        let none = shape.contains(&0);
        let inside = if none { offset <= count } else { offset + last < count };
        match open(legacy(&state(&tensor(count, offset, &shape, &stride)), &data)) {
            Err(_) => prop_assert!(!inside),
            Ok(checkpoint) => {
                prop_assert!(inside);
                let mut want = vec![offset as f32];
                for &(size, step) in &axes {
                    want = want.iter().flat_map(|x| (0..size).map(move |i| x + (i * step) as f32)).collect();
                }
                let shape: Vec<usize> = shape.iter().map(|&n| n as usize).collect();
                prop_assert_eq!(checkpoint.read_f32("a", &shape).unwrap(), want);
            }
        }
    }
}
