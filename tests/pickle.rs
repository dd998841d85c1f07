//! `pytorch_model.bin`: read as torch wrote it, refused where it is more than tensors, and whatever
//! its bytes, no panic.

mod common;

use std::collections::HashMap;

use common::fixtures;
use everylayer::ErrorKind;
use everylayer::model::bytes::Bytes;
use everylayer::model::checkpoint::Checkpoint;
use proptest::prelude::*;

fn open(bytes: Vec<u8>) -> everylayer::Result<Checkpoint> {
    let files = HashMap::from([("pytorch_model.bin".to_owned(), bytes)]);
    Checkpoint::open(&Bytes::new("test", files))
}

/// A file that torch wrote: the Dense module of a legacy pipeline.
fn sample() -> Vec<u8> {
    let folder = fixtures().join("pipelines/legacy/2_Dense/pytorch_model.bin");
    std::fs::read(folder).unwrap()
}

/// A zip file of one stored `archive/data.pkl`; sums are not checked by the reader.
fn zip(pickle: &[u8], method: u8) -> Vec<u8> {
    let name = b"archive/data.pkl";
    let size = (pickle.len() as u32).to_le_bytes();
    let mut common = vec![20, 0, 0, 0, method, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    common.extend(size.iter().chain(&size).chain(&[name.len() as u8, 0, 0, 0]));
    let mut file = [b"PK\x03\x04", &common[..], name, pickle].concat();
    let start = file.len() as u32;
    let central = [b"PK\x01\x02\x14\x00", &common[..], &[0; 14], name].concat();
    file.extend(&central);
    file.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    file.extend((central.len() as u32).to_le_bytes().iter().chain(&start.to_le_bytes()));
    file.extend([0, 0]);
    file
}

#[test]
fn a_file_of_torch() {
    let checkpoint = open(sample()).unwrap();
    let names: Vec<_> = checkpoint.names().collect();
    assert_eq!(names, ["linear.bias", "linear.weight"]);
    let weight = checkpoint.read_f32("linear.weight", &[8, 32]).unwrap();
    assert!(weight.iter().all(|x| x.is_finite()) && weight.iter().any(|&x| x != 0.0));
}

#[test]
fn refusals() {
    let cases: [(&str, Vec<u8>, ErrorKind, &str); 6] = [
        (
            "a call",
            zip(b"\x80\x02cposix\nsystem\nX\x02\0\0\0ls\x85R.", 0),
            ErrorKind::Unsupported,
            "posix.system",
        ),
        ("an opcode", zip(b"\x80\x02(ios\n.", 0), ErrorKind::Unsupported, "0x69"),
        ("no tensor", zip(b"\x80\x02}X\x01\0\0\0aK\x01s.", 0), ErrorKind::Unsupported, "\"a\""),
        ("a list", zip(b"\x80\x02].", 0), ErrorKind::Unsupported, "dictionary"),
        ("compressed", zip(b"\x80\x02}.", 8), ErrorKind::Unsupported, "compressed"),
        ("cut short", zip(b"\x80\x02}", 0), ErrorKind::Checkpoint, "truncated"),
    ];
    let mut failed = Vec::new();
    for (name, bytes, kind, part) in cases {
        match open(bytes) {
            Err(e) if e.kind() == kind && e.to_string().contains(part) => {}
            got => failed.push(format!("{name}: {got:?}, wanted {kind:?} with {part:?}")),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(open(zip(b"\x80\x02}.", 0)).is_ok(), "an empty dictionary");
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
    fn random_pickles_never_panic(pickle in prop::collection::vec(any::<u8>(), 0..200)) {
        read_all(zip(&pickle, 0));
    }

    #[test]
    fn pickles_of_known_instructions_never_panic(
        codes in prop::collection::vec(
            prop::sample::select(&b"(01NKMJ\x8aX\x8cU)t\x85\x86\x87]lae}suq\x94hcQRb\x93.\x00\x01\x02"[..]), 0..200)
    ) {
        read_all(zip(&codes, 0));
    }

    #[test]
    fn damaged_files_never_panic(at in any::<prop::sample::Index>(), byte: u8, end in any::<prop::sample::Index>(), cut: bool) {
        let mut bytes = sample();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if cut {
            bytes.truncate(end.index(bytes.len()));
        }
        read_all(bytes);
    }
}
