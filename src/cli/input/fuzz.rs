//! Fuzz targets of files of texts: each of them gives rows or an error.
//! The log of `--resume` has its own in `embed/fuzz.rs`; every byte of one is changed, and every
//! length cut, in `embed/log.rs`.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::{WriterProperties, WriterVersion};

use super::Input;
use crate::cli::args::InputArgs;
use crate::fuzz::folder;
use crate::fuzz::harness::fuzz;
use crate::fuzz::rng::Rng;

/// Numbers of seven bits a byte that are large.
const LARGE: [&[u8]; 4] = [
    b"\xff\xff\xff\xff\x07",
    b"\xfe\xff\xff\xff\x0f",
    b"\x80\x80\x80\x80\x08",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
];

fn parquet(packing: Compression, version: WriterVersion, encoding: Option<Encoding>) -> Vec<u8> {
    let text: StringArray = (0..300).map(|i| Some(format!("some text {} ", i % 17))).collect();
    let number: Int64Array = (0..300).map(Some).collect();
    let columns: [(&str, ArrayRef); 2] = [("text", Arc::new(text)), ("n", Arc::new(number))];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut properties = WriterProperties::builder()
        .set_compression(packing)
        .set_writer_version(version)
        .set_data_page_row_count_limit(70)
        .set_write_batch_size(50)
        .set_max_row_group_row_count(Some(200))
        .set_dictionary_enabled(encoding.is_none());
    if let Some(encoding) = encoding {
        properties = properties.set_column_encoding("text".into(), encoding);
    }
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties.build()));
    let writer = writer.as_mut().unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    writer.inner().clone()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(text.as_bytes()).unwrap();
    out.finish().unwrap()
}

/// Sound files of every form, by the ending of their names.
fn sound() -> Vec<(&'static str, Vec<u8>)> {
    let lines: String = (0..40).map(|i| format!("{{\"text\":\"row {i}\",\"n\":{i}}}\n")).collect();
    let list = format!("[{}]", lines.trim_end().replace('\n', ",\n"));
    let table: String = (0..40).map(|i| format!("\"a \"\"text\"\" {i}\",{i}\n")).collect();
    let table = format!("text,n\n{table}");
    let zstd = |text: &str| zstd::encode_all(text.as_bytes(), 1).unwrap();
    let mut all = vec![
        ("jsonl.gz", gzip(&lines)),
        ("csv.zst", zstd(&table)),
        ("json.zst", zstd(&list)),
        ("jsonl", lines.into()),
        ("json", list.into()),
        ("tsv", table.replace(',', "\t").into()),
        ("csv", table.into()),
    ];
    let packings = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(Default::default()),
        Compression::BROTLI(Default::default()),
        Compression::ZSTD(Default::default()),
        Compression::LZ4_RAW,
    ];
    let encodings =
        [None, Some(Encoding::DELTA_LENGTH_BYTE_ARRAY), Some(Encoding::DELTA_BYTE_ARRAY)];
    for packing in packings {
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            all.extend(encodings.map(|e| ("parquet", parquet(packing, version, e))));
        }
    }
    all
}

fn damage(bytes: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..*rng.pick(&[1, 1, 2, 4, 8]) {
        // What stands at the end of a file says where everything is.
        let from = if rng.once_in(2) { bytes.len().saturating_sub(900) } else { 0 };
        let at = from + rng.below(bytes.len() - from);
        match rng.below(6) {
            0 | 1 => bytes[at] ^= 1 << rng.below(8),
            2 => bytes[at] = *rng.pick(&[0, 0xff, 0x7f, 0x80, b'"', b'\n', b'{', b'[']),
            3 => {
                let large = rng.pick(&LARGE);
                let end = bytes.len().min(at + large.len());
                bytes[at..end].copy_from_slice(&large[..end - at]);
            }
            4 => {
                let length = rng.below(30).min(bytes.len() - at);
                let other = rng.below(bytes.len() - length + 1);
                bytes.copy_within(other..other + length, at);
            }
            _ => {
                bytes.truncate(at.max(1));
            }
        }
    }
}

/// Every row of the file at `path`, the second time without spared ones.
fn read(path: &Path, spared: bool, exact: bool) -> everylayer::Result<usize> {
    let words = InputArgs { texts: Vec::new(), input: Some(path.to_owned()), field: None };
    let mut input = Input::choose(words)?;
    input.keep(vec!["n".to_owned()], exact)?;
    let survey = input.survey(spared)?;
    let (mut texts, mut rows) = (input.texts()?, 0);
    loop {
        let (before, mut bad) = (texts.next_row(), Vec::new());
        texts.rows(100, spared.then_some(&mut bad))?;
        if texts.next_row() == before {
            break;
        }
        rows = texts.next_row();
    }
    assert_eq!(survey.map(|survey| survey.rows), Some(rows));
    Ok(rows)
}

/// Runs `target` on the files whose names end as `is` says.
fn run(target: &'static str, is: impl Fn(&str) -> bool) {
    let folder = folder();
    let sound: Vec<_> = sound().into_iter().filter(|(ending, _)| is(ending)).collect();
    for (ending, bytes) in &sound {
        let path = folder.path().join(format!("x.{ending}"));
        std::fs::write(&path, bytes).unwrap();
        let rows = read(&path, false, true).unwrap();
        assert_eq!(rows, if *ending == "parquet" { 300 } else { 40 }, "{ending}");
    }
    let (mut good, mut bad) = (0, 0);
    fuzz(target, |rng| {
        let (ending, bytes) = rng.pick(&sound);
        let mut bytes = bytes.clone();
        damage(&mut bytes, rng);
        let path = folder.path().join(format!("x.{ending}"));
        std::fs::write(&path, bytes).unwrap();
        match read(&path, rng.once_in(2), rng.once_in(2)) {
            Ok(_) => good += 1,
            Err(error) => {
                assert!(error.to_string().contains(&format!("x.{ending}")), "{error}");
                bad += 1;
            }
        }
    });
    println!("{target}: {good} damaged files could be read all the same, {bad} could not");
}

#[test]
fn fuzz_texts() {
    run("texts", |ending| ending != "parquet");
}

#[test]
fn fuzz_parquet() {
    run("parquet", |ending| ending == "parquet");
}
