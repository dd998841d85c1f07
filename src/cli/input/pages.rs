//! A parquet file is looked over before the library reads it: what it says of sizes is held against
//! what is there, because memory that cannot be had ends a program without a word.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use parquet::basic::{Compression, Encoding, Type};
use parquet::column::page::{Page, PageReader};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::serialized_reader::SerializedPageReader;

use super::seen::Again;
use super::thrift::{I32, LIST, STRUCT, Thrift};

/// Bytes of the metadata at the end of a file at most; the library takes up to a hundred times as many.
const FOOTER: u64 = 16 << 20;
/// Bytes of a page at most, unpacked.
const PAGE: u64 = 512 << 20;
/// Values of a page at most, where a row may have any number of them.
const NESTED: u64 = 1 << 26;
/// Bytes that a batch of rows may take in memory, about.
const BATCH: u64 = 256 << 20;
/// Groups within groups.
const DEPTH: usize = 64;

/// What is wrong with a file, in words.
pub type Wrong = String;

/// Looks over the metadata at the end of `file`.
pub fn footer(file: &Again) -> Result<(), Wrong> {
    let mut file = file.again(0).map_err(|e| e.to_string())?;
    let size = file.size();
    let mut end = [0; 8];
    let read = |file: &mut Again, at: u64, out: &mut [u8]| {
        file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(out)).map_err(|e| e.to_string())
    };
    if size < 12 {
        return Err("it is not parquet: it is too short".to_owned());
    }
    read(&mut file, size - 8, &mut end)?;
    let [a, b, c, d, magic @ ..] = end;
    let length = u64::from(u32::from_le_bytes([a, b, c, d]));
    if &magic != b"PAR1" {
        return Err("it is not parquet, or the end of it is missing".to_owned());
    }
    if length > FOOTER {
        return Err(format!("its metadata has {length} bytes, the limit is {FOOTER}"));
    }
    if length > size - 12 {
        return Err(format!("its metadata has {length} bytes, more than the file"));
    }
    let mut bytes = vec![0; length as usize];
    read(&mut file, size - 8 - length, &mut bytes)?;
    schema(Thrift(&bytes)).ok_or_else(|| "its metadata is damaged".to_owned())
}

/// The schema is a tree, written down as how many children each has: the library walks it by recursion.
fn schema(mut all: Thrift<'_>) -> Option<()> {
    let mut last = 0;
    while let Some((id, kind)) = all.field(&mut last)? {
        if (id, kind) != (2, LIST) {
            all.skip(kind)?;
            continue;
        }
        let (size, kind) = all.list()?;
        if kind != STRUCT {
            return None;
        }
        let mut open: Vec<u64> = Vec::new();
        for i in 0..size {
            let (mut own, mut children) = (0, 0);
            while let Some((id, kind)) = all.field(&mut own)? {
                match (id, kind) {
                    (5, I32) => children = u64::try_from(all.signed()?).ok()?,
                    _ => all.skip(kind)?,
                }
            }
            while open.last() == Some(&0) {
                open.pop();
            }
            if i > 0 {
                *open.last_mut()? -= 1;
            }
            if children > 0 {
                open.push(children);
            }
            if children > size as u64 || open.len() > DEPTH {
                return None;
            }
        }
    }
    Some(())
}

/// What the head of a page says.
#[derive(Debug, Default)]
struct PageHead {
    unpacked: i64,
    packed: i64,
    values: i64,
    encoding: i64,
    /// Bytes of levels, which are never packed.
    levels: i64,
    plain: bool,
    dictionary: bool,
    /// Bytes of the head itself.
    length: u64,
}

impl PageHead {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (mut all, mut last, mut head) = (Thrift(bytes), 0, Self::default());
        while let Some((id, kind)) = all.field(&mut last)? {
            match (id, kind) {
                (2, I32) => head.unpacked = all.signed()?,
                (3, I32) => head.packed = all.signed()?,
                (5 | 7 | 8, STRUCT) => {
                    head.dictionary |= id == 7;
                    let (mut own, second) = (0, id == 8);
                    while let Some((id, kind)) = all.field(&mut own)? {
                        match (id, kind) {
                            (1, I32) => head.values = all.signed()?,
                            (2, I32) if !second => head.encoding = all.signed()?,
                            (4, I32) if second => head.encoding = all.signed()?,
                            (5 | 6, I32) if second => {
                                head.levels = head.levels.checked_add(all.signed()?)?;
                            }
                            (7, 2) if second => head.plain = true,
                            _ => all.skip(kind)?,
                        }
                    }
                }
                _ => all.skip(kind)?,
            }
        }
        head.length = (bytes.len() - all.0.len()) as u64;
        Some(head)
    }
}

/// Looks over every page of the column `chunk`, and gives back the bytes of the largest, unpacked.
pub fn chunk(file: &Arc<Again>, chunk: &ColumnChunkMetaData, rows: i64) -> Result<u64, Wrong> {
    let column = chunk.column_path().string();
    let off = |what: &str| format!("column `{column}`: {what}");
    let damaged = || off("one of its pages is damaged");
    let (start, length) = chunk.byte_range();
    let end = start.checked_add(length).filter(|end| *end <= file.size());
    let end = end.ok_or_else(|| off("it lies beyond the end of the file"))?;
    let (mut at, mut largest, mut delta) = (start, 0, false);
    let mut file_at = file.again(start).map_err(|e| e.to_string())?;
    while at < end {
        let head = head(&mut file_at, at, end).map_err(|e| off(&e.to_string()))?;
        let head = head.ok_or_else(damaged)?;
        let body = at + head.length;
        let packed = u64::try_from(head.packed).ok().filter(|packed| *packed <= end - body);
        let packed = packed.ok_or_else(damaged)?;
        let unpacked = u64::try_from(head.unpacked).map_err(|_| damaged())?;
        let values = u64::try_from(head.values).map_err(|_| damaged())?;
        let levels = u64::try_from(head.levels).ok().filter(|levels| *levels <= packed);
        let levels = levels.ok_or_else(damaged)?;
        if unpacked > PAGE {
            return Err(off(&format!("a page has {unpacked} bytes, the limit is {PAGE}")));
        }
        // An entry has its length before it, where it is not of a fixed one.
        let least = if chunk.column_type() == Type::BYTE_ARRAY { 4 } else { 1 };
        if head.dictionary && values > unpacked / least {
            return Err(damaged());
        }
        if chunk.column_descr().max_rep_level() > 0 && values > NESTED {
            return Err(off(&format!("a page has {values} values, the limit is {NESTED}")));
        }
        if !head.plain {
            let from = file.again(body + levels).map_err(|e| e.to_string())?.take(packed - levels);
            if !fits(chunk.compression(), from, unpacked.saturating_sub(levels)) {
                return Err(off("a page decompresses to more than its header says"));
            }
        }
        // DELTA_LENGTH_BYTE_ARRAY and DELTA_BYTE_ARRAY.
        delta |= matches!(head.encoding, 6 | 7);
        largest = largest.max(unpacked);
        at = body + packed;
    }
    if delta && !deltas(file, chunk, rows)? {
        return Err(damaged());
    }
    Ok(largest)
}

/// The head of the page at `at`; `None` where it is none.
fn head(file: &mut Again, at: u64, end: u64) -> io::Result<Option<PageHead>> {
    let mut bytes = Vec::new();
    for most in [1 << 10, 1 << 16, 1 << 22] {
        bytes.clear();
        file.seek(SeekFrom::Start(at))?;
        file.by_ref().take((end - at).min(most)).read_to_end(&mut bytes)?;
        // Smallest and largest values may stand in it.
        if let Some(head) = PageHead::read(&bytes) {
            return Ok(Some(head));
        }
    }
    Ok(None)
}

/// Whether what `from` holds unpacks to no more than `most` bytes, where the library would unpack all.
fn fits(packing: Compression, from: impl Read, most: u64) -> bool {
    let count = |reader: &mut dyn Read| {
        io::copy(&mut reader.take(most.saturating_add(1)), &mut io::sink()).unwrap_or(0)
    };
    let from = io::BufReader::new(from);
    match packing {
        Compression::GZIP(_) => count(&mut flate2::bufread::MultiGzDecoder::new(from)) <= most,
        Compression::BROTLI(_) => count(&mut brotli::Decompressor::new(from, 1 << 16)) <= most,
        _ => true,
    }
}

/// Whether the pages of `chunk` that are written as differences have no more of them than values.
fn deltas(file: &Arc<Again>, chunk: &ColumnChunkMetaData, rows: i64) -> Result<bool, Wrong> {
    let rows = usize::try_from(rows).map_err(|e| e.to_string())?;
    let pages = SerializedPageReader::new(Arc::clone(file), chunk, rows, None);
    let mut pages = pages.map_err(|e| e.to_string())?;
    let column = chunk.column_descr();
    while let Some(page) = pages.get_next_page().map_err(|e| e.to_string())? {
        let mut bytes = Thrift(page.buffer());
        let levels = match &page {
            Page::DataPage { .. } => {
                let kinds = [column.max_rep_level(), column.max_def_level()];
                kinds.into_iter().filter(|most| *most > 0).try_for_each(|_| {
                    let length = bytes.take(4)?.first_chunk().map(|b| u32::from_le_bytes(*b))?;
                    bytes.take(length as usize).map(drop)
                })
            }
            Page::DataPageV2 { def_levels_byte_len: def, rep_levels_byte_len: rep, .. } => {
                bytes.take(*def as usize).and_then(|_| bytes.take(*rep as usize)).map(drop)
            }
            Page::DictionaryPage { .. } => continue,
        };
        let most = u64::from(page.num_values());
        let sound = levels.and_then(|()| match page.encoding() {
            Encoding::DELTA_LENGTH_BYTE_ARRAY => differences(&mut bytes, most),
            Encoding::DELTA_BYTE_ARRAY => {
                differences(&mut bytes, most).and_then(|()| differences(&mut bytes, most))
            }
            _ => Some(()),
        });
        if sound.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Passes over numbers that are written as differences, `most` at most.
fn differences(bytes: &mut Thrift<'_>, most: u64) -> Option<()> {
    let (block, parts, count) = (bytes.varint()?, bytes.varint()?, bytes.varint()?);
    bytes.varint()?;
    if count > most || block > 1 << 20 || parts == 0 || parts > block {
        return None;
    }
    let (each, mut left) = (block / parts, count.saturating_sub(1));
    while left > 0 {
        bytes.varint()?;
        let widths = bytes.take(parts as usize)?;
        for width in widths {
            if left == 0 {
                break;
            }
            bytes.take((u64::from(*width) * each / 8) as usize)?;
            left = left.saturating_sub(each);
        }
    }
    Some(())
}

/// Rows that are read at a time, where the largest page has `largest` bytes: a row may be as long.
pub fn batch(largest: u64) -> usize {
    (BATCH / largest.max(1)).clamp(1, 1024) as usize
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A field of `kind`, the one after the last.
    fn field(kind: u8, value: &[u8]) -> Vec<u8> {
        [&[0x10 | kind], value].concat()
    }

    fn tree(children: &[u8]) -> Vec<u8> {
        let mut all = vec![0x15, 2, 0x19, 0xfc];
        assert!(children.len() < 1 << 14);
        all.extend([children.len() as u8 | 0x80, (children.len() >> 7) as u8]);
        for &count in children {
            // A name is field 4, the number of children field 5.
            all.extend([0x48, 1, b'a', 0x15, count * 2, 0]);
        }
        all.push(0);
        all
    }

    #[test]
    fn a_schema_is_a_tree_of_bounded_depth() {
        let sound = |children: &[u8]| schema(Thrift(&tree(children))).is_some();
        assert!(sound(&[2, 0, 1, 0]));
        assert!(sound(&[]));
        assert!(sound(&[&[1; 60][..], &[0]].concat()));
        assert!(!sound(&[&[1; 10_000][..], &[0]].concat()));
        assert!(!sound(&[1, 0, 0]));
        assert!(!sound(&[63, 0]));
        let whole = tree(&[2, 0, 1, 0]);
        for length in 0..whole.len() {
            assert!(schema(Thrift(&whole[..length])).is_none(), "{length}");
        }
        // A list that says it is longer than all bytes.
        assert!(schema(Thrift(&[0x29, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0])).is_none());
        // Structs in structs.
        let mut deep = vec![0x1c; 1 << 20];
        deep.extend(vec![0; 1 << 20]);
        assert!(schema(Thrift(&deep)).is_none());
    }

    #[test]
    fn heads_of_pages() {
        let own = [field(5, &[20]), field(5, &[12]), vec![0]].concat();
        let all = [field(5, &[0]), field(5, &[200, 1]), field(5, &[100]), vec![0x2c], own, vec![0]];
        let head = PageHead::read(&all.concat()).unwrap();
        assert_eq!((head.unpacked, head.packed, head.values, head.encoding), (100, 50, 10, 6));
        assert!(PageHead::read(&[0x15]).is_none());
    }

    #[test]
    fn what_unpacks_to_more_than_it_says() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&vec![0; 1 << 20]).unwrap();
        let gzip = gzip.finish().unwrap();
        let packing = Compression::GZIP(Default::default());
        assert!(fits(packing, &gzip[..], 1 << 20));
        assert!(!fits(packing, &gzip[..], (1 << 20) - 1));
        assert!(fits(Compression::SNAPPY, &gzip[..], 0));
    }

    #[test]
    fn differences_are_no_more_than_values() {
        // 128 a block in 4 parts, 5 of them, from 0; widths of 1 bit.
        let block = [&[0x80, 1, 4, 5, 0, 0, 1, 1, 1, 1][..], &[0; 4]].concat();
        let mut bytes = Thrift(&block);
        differences(&mut bytes, 5).unwrap();
        assert!(bytes.0.is_empty());
        assert!(differences(&mut Thrift(&block), 4).is_none());
        assert!(differences(&mut Thrift(&block[..12]), 5).is_none());
        let endless = [0x80, 1, 4, 0xff, 0xff, 0xff, 0xff, 0x0f, 0];
        assert!(differences(&mut Thrift(&endless), 1 << 40).is_none());
        assert!(differences(&mut Thrift(&endless), 100).is_none());
    }
}
