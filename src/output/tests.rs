use std::io::{self, Cursor, SeekFrom};

use super::*;
use crate::capture::{Combine, Pool, Precision, Site};
use crate::embeddings::{TokenInfo, Values, WordInfo};
use crate::error::ErrorKind;

pub(super) fn header(pool: Pool, layers: &[usize], width: usize) -> Header {
    Header {
        model: "bundled:mini".into(),
        device: "cpu".into(),
        dtype: "f32".into(),
        site: Site::Hidden,
        heads: None,
        final_norm: true,
        layers: layers.to_vec(),
        combine: Combine::Stack,
        pool,
        rows: pool.into(),
        layer_axis: layers.len(),
        width,
        precision: Precision::F32,
    }
}

/// A text of `rows` rows, its numbers counting up from `index * 100`, in quarters.
pub(super) fn text(header: &Header, index: usize, rows: usize) -> TextEmbedding {
    let count = header.layer_axis * rows * header.width;
    let values = (0..count).map(|i| (index * 100 + i) as f32 / 4.0).collect();
    let token = |i: usize| TokenInfo {
        text: format!("t{i}"),
        id: 100 + i as u32,
        start: i,
        end: i + 1,
        word: (i as u32).checked_sub(1),
    };
    let word = |i: usize| WordInfo { text: format!("w\"{i}"), start: 3 * i, end: 3 * i + 2 };
    TextEmbedding {
        index,
        text_tokens: rows + 2,
        lost: index,
        rows,
        values: Values::F32(values),
        tokens: if header.rows == Rows::Tokens {
            (0..rows).map(token).collect()
        } else {
            Vec::new()
        },
        words: if header.rows == Rows::Words { (0..rows).map(word).collect() } else { Vec::new() },
    }
}

pub(super) fn written(format: Format, header: &Header, rows: &[usize]) -> Vec<u8> {
    let mut sink = start(format, Cursor::new(Vec::new()), header.clone()).unwrap();
    rows.iter().enumerate().for_each(|(i, &rows)| sink.push(text(header, i, rows)).unwrap());
    sink.finish().unwrap().into_inner()
}

#[test]
fn formats() {
    for format in Format::ALL {
        assert_eq!(format.to_string().parse::<Format>().unwrap(), format);
        let path = format!("a.b/out.{}", format.to_string().to_uppercase());
        assert_eq!(Format::from_path(Path::new(&path)).unwrap(), format);
    }
    let cases = [
        ("out.orc", ErrorKind::Usage, "parquet"),
        ("out.txt", ErrorKind::Usage, "safetensors"),
        ("out", ErrorKind::Usage, ".jsonl"),
        (".json", ErrorKind::Usage, ".jsonl"),
        ("out.", ErrorKind::Usage, "safetensors"),
    ];
    for (path, kind, want) in cases {
        let error = Format::from_path(Path::new(path)).unwrap_err();
        assert_eq!(error.kind(), kind, "{path}");
        assert!(
            error.to_string().contains(want) && error.to_string().starts_with(path),
            "{path}: {error}"
        );
    }
    for format in [Format::Npy, Format::Npz, Format::Safetensors, Format::Parquet] {
        let Err(error) =
            start_text(format, Vec::new(), header(Pool::Mean, &[2], 2), &Extras::default())
        else {
            panic!("{format}")
        };
        assert_eq!(error.kind(), ErrorKind::Usage);
    }
}

#[test]
fn npy_is_what_numpy_saves() {
    // numpy.save(f, numpy.array([[0, .25], [25, 25.25]], "<f4")), numpy 2.4.6
    let mut want =
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }"
            .to_vec();
    want.resize(127, b' ');
    want.push(b'\n');
    [0.0f32, 0.25, 25.0, 25.25].iter().for_each(|x| want.extend(x.to_le_bytes()));
    assert_eq!(written(Format::Npy, &header(Pool::Mean, &[12], 2), &[1, 1]), want);

    let layers = written(Format::Npy, &header(Pool::Mean, &[0, 1, 2], 2), &[1; 5]);
    assert!(String::from_utf8_lossy(&layers).contains("'shape': (5, 3, 2), }"));
    assert_eq!(layers.len(), 128 + 5 * 3 * 2 * 4);
    assert!(
        String::from_utf8_lossy(&written(Format::Npy, &header(Pool::Mean, &[1], 2), &[]))
            .contains("(0, 2)")
    );
}

#[test]
fn npy_headers_are_as_long_for_every_count() {
    for shape in [[0, 384], [1, 384], [u64::MAX, 384]] {
        assert_eq!(npy::head("<f4", &shape).len(), 128, "{shape:?}");
    }
    assert_eq!(npy::head("|u1", &[u64::MAX, u64::MAX, u64::MAX]).len() % 64, 0);
    assert!(String::from_utf8_lossy(&npy::head("<i8", &[7])).contains("'shape': (7,), }"));
}

#[test]
fn npy_of_tokens_says_what_to_use() {
    for pool in [Pool::Tokens, Pool::Words(crate::capture::WordPool::First)] {
        let Err(error) = start(Format::Npy, Cursor::new(Vec::new()), header(pool, &[1], 2)) else {
            panic!("{pool}")
        };
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(
            error.to_string().contains("npz") && error.to_string().contains(&pool.to_string()),
            "{error}"
        );
    }
}

#[test]
fn safetensors_read_back() {
    let mut misaligned = header(Pool::Tokens, &[0, 1], 3);
    misaligned.precision = Precision::Int8;
    let cases = [
        (header(Pool::Mean, &[12], 2), vec![1, 1], vec![2, 2]),
        (header(Pool::Mean, &[0, 1], 2), vec![1, 1, 1], vec![3, 2, 2]),
        (header(Pool::Tokens, &[12], 2), vec![2, 0, 1], vec![3, 2]),
        (
            header(Pool::Words(crate::capture::WordPool::Mean), &[0, 1], 3),
            vec![2, 1],
            vec![3, 2, 3],
        ),
        (misaligned, vec![2, 1], vec![3, 2, 3]),
    ];
    for (i, (header, rows, shape)) in cases.into_iter().enumerate() {
        let mut sink = start(Format::Safetensors, Cursor::new(Vec::new()), header.clone()).unwrap();
        for (t, &rows) in rows.iter().enumerate() {
            let mut text = text(&header, t, rows);
            if header.precision == Precision::Int8 {
                text.values = Values::I8((0..text.values.len()).map(|x| x as i8).collect());
            }
            sink.push(text).unwrap();
        }
        let bytes = sink.finish().unwrap().into_inner();
        let read = ::safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(read.tensor("vectors").unwrap().shape(), shape, "{i}");
        let count = match header.rows {
            Rows::Texts => 5,
            Rows::Tokens => 13,
            Rows::Words => 11,
        };
        assert_eq!(read.len(), count, "{i}");
        for (name, tensor) in read.tensors() {
            let at = tensor.data().as_ptr() as usize - bytes.as_ptr() as usize;
            assert_eq!(at % (tensor.dtype().bitsize() / 8), 0, "{i}: {name} at {at}");
        }
        let (_, metadata) = ::safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = metadata.metadata().clone().unwrap();
        assert_eq!(metadata["pool"], header.pool.to_string(), "{i}");
        assert_eq!(metadata["layers"], if header.layer_axis == 2 { "0,1" } else { "12" }, "{i}");
        assert_eq!(metadata.len(), 7, "{i}");
    }
}

#[test]
fn rows_come_before_layers() {
    let header = header(Pool::Tokens, &[0, 1], 1);
    let bytes = written(Format::Safetensors, &header, &[3]);
    let read = ::safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let floats = |name: &str| -> Vec<f32> {
        read.tensor(name)
            .unwrap()
            .data()
            .chunks(4)
            .map(|x| f32::from_le_bytes(x.try_into().unwrap()))
            .collect()
    };
    let longs = |name: &str| -> Vec<i64> {
        read.tensor(name)
            .unwrap()
            .data()
            .chunks(8)
            .map(|x| i64::from_le_bytes(x.try_into().unwrap()))
            .collect()
    };
    assert_eq!(floats("vectors"), [0.0, 0.75, 0.25, 1.0, 0.5, 1.25]);
    assert_eq!(longs("offsets"), [0, 3]);
    assert_eq!(longs("spans"), [0, 1, 1, 2, 2, 3]);
    assert_eq!(longs("index"), [0]);
    assert_eq!(longs("layers"), [0, 1]);
    assert_eq!(longs("text_tokens").len(), 1);
    assert_eq!(longs("token_ids").len(), 3);
    assert_eq!(longs("token_words"), [-1, 0, 1]);
    assert_eq!(longs("word_offsets"), [0, 2]);
    assert_eq!(longs("word_spans"), [1, 2, 2, 3]);
    let ends = longs("token_text_offsets");
    assert_eq!((ends.len(), ends[0]), (4, 0));
    assert_eq!(read.tensor("token_text").unwrap().data().len() as i64, ends[3]);
}

#[test]
fn npy_has_a_row_of_nan_for_each_that_is_left_out() {
    let header = header(Pool::Mean, &[1], 2);
    let extras = Extras { gaps: true, filled: Some(3..8), ..Extras::default() };
    let mut sink =
        start_with(Format::Npy, Cursor::new(Vec::new()), header.clone(), &extras).unwrap();
    for index in [4, 6] {
        sink.push(text(&header, index, 1)).unwrap();
    }
    let bytes = sink.finish().unwrap().into_inner();
    assert!(String::from_utf8_lossy(&bytes).contains("'shape': (5, 2), }"));
    let numbers = bytes[128..].as_chunks().0.iter().map(|b| f32::from_le_bytes(*b));
    let rows: Vec<bool> = numbers.collect::<Vec<_>>().chunks(2).map(|r| r[0].is_nan()).collect();
    assert_eq!(rows, [true, false, true, false, true]);
    let int8 = Header { precision: Precision::Int8, ..header };
    assert!(start_with(Format::Npy, Cursor::new(Vec::new()), int8, &extras).is_err());
}

#[test]
fn a_text_of_another_shape_is_refused() {
    let head = header(Pool::Tokens, &[0, 1], 2);
    let good = || text(&head, 0, 2);
    let cases = [
        TextEmbedding { index: 1, ..good() },
        TextEmbedding { rows: 3, ..good() },
        TextEmbedding { tokens: Vec::new(), ..good() },
        TextEmbedding { values: Values::F32(vec![0.0; 7]), ..good() },
        TextEmbedding { values: Values::I8(vec![0; 8]), ..good() },
    ];
    for format in [Format::Json, Format::Jsonl, Format::Npz, Format::Safetensors] {
        for (i, bad) in cases.iter().enumerate() {
            let mut sink = start(format, Cursor::new(Vec::new()), head.clone()).unwrap();
            let error = sink.push(bad.clone()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{format} {i}");
        }
    }
}

/// Takes so many bytes and no more.
struct Full(Cursor<Vec<u8>>, usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(self.1);
        if n == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.1 -= n;
        self.0.write(&bytes[..n])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Full {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

#[test]
fn a_full_disk_is_an_error_whenever_it_fills() {
    let run = |format, room| -> Result<usize> {
        let pool = if format == Format::Npy { Pool::Mean } else { Pool::Tokens };
        let header = header(pool, &[1], 2);
        let mut sink = start(format, Full(Cursor::new(Vec::new()), room), header.clone())?;
        (0..2).try_for_each(|i| sink.push(text(&header, i, 1)))?;
        sink.finish().map(|full| full.1)
    };
    for format in Format::ALL {
        let spent = 1_000_000 - run(format, 1_000_000).unwrap();
        for room in 0..spent {
            let error = run(format, room).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Io, "{format} with room for {room}");
        }
        run(format, spent).unwrap();
    }
}

#[test]
fn a_file_is_there_when_finished_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    for format in Format::ALL {
        let path = folder.path().join(format!("out.{format}"));
        let header = header(Pool::Mean, &[1], 2);
        let mut sink = FileSink::create(&path, None, header.clone()).unwrap();
        sink.push(text(&header, 0, 1)).unwrap();
        sink.push(text(&header, 0, 1)).unwrap_err();
        drop(sink);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{format}");

        let texts = vec![text(&header, 0, 1), text(&header, 1, 1)];
        write_file(&path, None, Embeddings::new(header.clone(), texts)).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), written(format, &header, &[1, 1]), "{format}");
        std::fs::remove_file(&path).unwrap();
    }
    let npy = folder.path().join("out.npy");
    assert!(FileSink::create(&npy, None, header(Pool::Tokens, &[1], 2)).is_err());
    assert!(
        FileSink::create(&folder.path().join("out"), None, header(Pool::Mean, &[1], 2)).is_err()
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
