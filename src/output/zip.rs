//! A zip archive of uncompressed entries whose size and first bytes are known only at their end.
//!
//! PKWARE APPNOTE 6.3.10: local headers always carry the zip64 field (as CPython's `zipfile` with
//! `force_zip64`), the directory only where 32 bits are too few. No compression, no reading.

use std::io::{Result, Seek, SeekFrom, Write};

use crc32fast::Hasher;

/// "In the zip64 field", in a field of 32 bits.
const ELSEWHERE: u32 = u32::MAX;
/// 1980-01-01, the first day there is, so that the same vectors make the same bytes.
const DATE: u16 = 0x21;
/// Version 4.5 of the format: zip64.
const VERSION: u16 = 45;

pub(super) struct Zip<W> {
    out: W,
    begin: u64,
    entries: Vec<Entry>,
    /// Of the bytes after the head of the entry that is open.
    body: Hasher,
}

struct Entry {
    name: String,
    offset: u64,
    size: u64,
    crc: u32,
}

impl<W: Write + Seek> Zip<W> {
    pub(super) fn new(mut out: W) -> Result<Self> {
        let begin = out.stream_position()?;
        Ok(Self { out, begin, entries: Vec::new(), body: Hasher::new() })
    }

    /// Begins an entry with a `head` that [`Zip::close`] replaces by one of the same length.
    pub(super) fn open(&mut self, name: impl Into<String>, head: &[u8]) -> Result<()> {
        let offset = self.out.stream_position()? - self.begin;
        let entry = Entry { name: name.into(), offset, size: head.len() as u64, crc: 0 };
        self.out.write_all(&entry.local())?;
        self.out.write_all(head)?;
        self.entries.push(entry);
        self.body = Hasher::new();
        Ok(())
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.body.update(bytes);
        if let Some(entry) = self.entries.last_mut() {
            entry.size += bytes.len() as u64;
        }
        self.out.write_all(bytes)
    }

    /// Ends the entry and writes its header and `head` again, now that they are known.
    pub(super) fn close(&mut self, head: &[u8]) -> Result<()> {
        let Some(entry) = self.entries.last_mut() else { return Ok(()) };
        let mut crc = Hasher::new();
        crc.update(head);
        crc.combine(&self.body);
        entry.crc = crc.finalize();
        self.out.seek(SeekFrom::Start(self.begin + entry.offset))?;
        self.out.write_all(&entry.local())?;
        self.out.write_all(head)?;
        self.out.seek(SeekFrom::End(0))?;
        Ok(())
    }

    /// Writes the directory.
    pub(super) fn finish(mut self) -> Result<W> {
        let start = self.out.stream_position()? - self.begin;
        let directory: Vec<u8> = self.entries.iter().flat_map(Entry::central).collect();
        self.out.write_all(&directory)?;
        self.out.write_all(&end(self.entries.len() as u16, start, directory.len() as u32))?;
        self.out.flush()?;
        Ok(self.out)
    }
}

impl Entry {
    /// Local file header, 4.3.7.
    fn local(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(0x0403_4b50u32.to_le_bytes());
        self.common(&mut out, ELSEWHERE, 20);
        out.extend(self.name.as_bytes());
        out.extend([1u16, 16].iter().flat_map(|x| x.to_le_bytes())); // zip64 field, 4.5.3
        out.extend([self.size, self.size].iter().flat_map(|x| x.to_le_bytes()));
        out
    }

    /// Central directory header, 4.3.12.
    fn central(&self) -> Vec<u8> {
        let large = self.size.max(self.offset) >= u64::from(ELSEWHERE);
        let short = |x: u64| if large { ELSEWHERE } else { x as u32 };
        let mut out = Vec::new();
        out.extend(0x0201_4b50u32.to_le_bytes());
        out.extend((3 << 8 | VERSION).to_le_bytes()); // made on Unix, so that the mode below counts
        self.common(&mut out, short(self.size), if large { 28 } else { 0 });
        out.extend([0u16; 3].iter().flat_map(|x| x.to_le_bytes())); // comment, disk, internal attributes
        out.extend((0o100_644u32 << 16).to_le_bytes());
        out.extend(short(self.offset).to_le_bytes());
        out.extend(self.name.as_bytes());
        if large {
            out.extend([1u16, 24].iter().flat_map(|x| x.to_le_bytes()));
            out.extend([self.size, self.size, self.offset].iter().flat_map(|x| x.to_le_bytes()));
        }
        out
    }

    /// The fields both headers have: version, flags, method, time, date, crc, sizes, lengths.
    fn common(&self, out: &mut Vec<u8>, size: u32, extra: u16) {
        out.extend([VERSION, 0, 0, 0, DATE].iter().flat_map(|x| x.to_le_bytes()));
        out.extend([self.crc, size, size].iter().flat_map(|x| x.to_le_bytes()));
        out.extend([self.name.len() as u16, extra].iter().flat_map(|x| x.to_le_bytes()));
    }
}

/// End of central directory, 4.3.16, after its zip64 record, 4.3.14, and locator, 4.3.15, where
/// the directory lies beyond 32 bits.
fn end(entries: u16, start: u64, size: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let large = start >= u64::from(ELSEWHERE);
    if large {
        out.extend(0x0606_4b50u32.to_le_bytes());
        out.extend(44u64.to_le_bytes());
        out.extend([3 << 8 | VERSION, VERSION].iter().flat_map(|x| x.to_le_bytes()));
        out.extend([0u32; 2].iter().flat_map(|x| x.to_le_bytes()));
        let numbers = [u64::from(entries), u64::from(entries), u64::from(size), start];
        out.extend(numbers.iter().flat_map(|x| x.to_le_bytes()));
        out.extend([0x0706_4b50u32, 0].iter().flat_map(|x| x.to_le_bytes()));
        out.extend((start + u64::from(size)).to_le_bytes());
        out.extend(1u32.to_le_bytes());
    }
    out.extend(0x0605_4b50u32.to_le_bytes());
    out.extend([0, 0, entries, entries].iter().flat_map(|x| x.to_le_bytes()));
    out.extend(
        [size, if large { ELSEWHERE } else { start as u32 }].iter().flat_map(|x| x.to_le_bytes()),
    );
    out.extend(0u16.to_le_bytes());
    out
}
