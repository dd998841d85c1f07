//! A log of records that only grows, is cut back to what is known to be whole, and is held against
//! its checksums when it is read.
//!
//! A record is a frame of 44 bytes, a head and a body. The frame, little-endian: `elr1`, the length of
//! the head (u32) and of the body (u64), the row of the input (u64), rows of vectors (u32), tokens
//! lost (u64), the CRC-32 of head and body, and that of the frame so far. Rows rise.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::own;

const MAGIC: &[u8; 4] = b"elr1";
const FRAME: usize = 44;

/// What a frame says of its record.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Mark {
    /// The row of the whole input.
    pub row: u64,
    /// Rows of vectors.
    pub vectors: u32,
    /// Tokens that were cut off.
    pub lost: u64,
}

struct RecordFrame {
    mark: Mark,
    head: u32,
    body: u64,
    sum: u32,
}

impl RecordFrame {
    fn bytes(&self) -> [u8; FRAME] {
        let Self { mark: Mark { row, vectors, lost }, head, body, sum } = self;
        let mut out = [0; FRAME];
        out[..4].copy_from_slice(MAGIC);
        out[4..8].copy_from_slice(&head.to_le_bytes());
        out[8..16].copy_from_slice(&body.to_le_bytes());
        out[16..24].copy_from_slice(&row.to_le_bytes());
        out[24..28].copy_from_slice(&vectors.to_le_bytes());
        out[28..36].copy_from_slice(&lost.to_le_bytes());
        out[36..40].copy_from_slice(&sum.to_le_bytes());
        let own = crc32fast::hash(&out[..40]);
        out[40..].copy_from_slice(&own.to_le_bytes());
        out
    }

    /// `None` where these are no frame.
    fn read(bytes: &[u8; FRAME]) -> Option<Self> {
        let short = |at: usize| bytes[at..].first_chunk().map(|b| u32::from_le_bytes(*b));
        let long = |at: usize| bytes[at..].first_chunk().map(|b| u64::from_le_bytes(*b));
        if &bytes[..4] != MAGIC || short(40)? != crc32fast::hash(&bytes[..40]) {
            return None;
        }
        let mark = Mark { row: long(16)?, vectors: short(24)?, lost: long(28)? };
        Some(Self { mark, head: short(4)?, body: long(8)?, sum: short(36)? })
    }

    /// Bytes of the whole record; `None` where no file has as many.
    fn length(&self) -> Option<u64> {
        self.body.checked_add(FRAME as u64 + u64::from(self.head))
    }
}

/// The log, at its end.
pub struct Log {
    out: BufWriter<File>,
    /// Bytes that are in it.
    pub bytes: u64,
}

impl Log {
    /// Opens the log at `path`, of which the first `bytes` count.
    pub fn open(path: &Path, bytes: u64) -> io::Result<Self> {
        let mut file = own::open(path, File::options().create(true).truncate(false).write(true))?;
        if file.metadata()?.len() < bytes {
            return Err(io::Error::other("it is shorter than its journal says"));
        }
        file.set_len(bytes)?;
        file.seek(SeekFrom::Start(bytes))?;
        Ok(Self { out: BufWriter::with_capacity(1 << 18, file), bytes })
    }

    /// Appends a record.
    pub fn push(&mut self, mark: Mark, head: &[u8], body: &[u8]) -> io::Result<()> {
        let mut sum = crc32fast::Hasher::new();
        sum.update(head);
        sum.update(body);
        let length = u32::try_from(head.len()).map_err(io::Error::other)?;
        let frame =
            RecordFrame { mark, head: length, body: body.len() as u64, sum: sum.finalize() };
        self.out.write_all(&frame.bytes())?;
        self.out.write_all(head)?;
        self.out.write_all(body)?;
        self.bytes += (FRAME + head.len() + body.len()) as u64;
        Ok(())
    }

    /// Waits until all of it is on the disk.
    pub fn sync(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.out.get_ref().sync_data()
    }
}

/// A record: its head and its body.
pub struct Record {
    pub mark: Mark,
    pub head: Vec<u8>,
    pub body: Vec<u8>,
}

/// The records of a log from its start.
pub struct Records {
    file: BufReader<File>,
    at: u64,
    end: u64,
    row: Option<u64>,
}

impl Records {
    /// The first `bytes` of the log at `path`, or as many as are there.
    pub fn open(path: &Path, bytes: u64) -> io::Result<Self> {
        let file = own::open(path, File::options().read(true))?;
        let end = bytes.min(file.metadata()?.len());
        Ok(Self { file: BufReader::with_capacity(1 << 18, file), at: 0, end, row: None })
    }

    /// The frame that is next; `None` at the end.
    fn frame(&mut self) -> io::Result<Option<RecordFrame>> {
        if self.at == self.end {
            return Ok(None);
        }
        let mut bytes = [0; FRAME];
        let rest = self.end - self.at;
        if rest < FRAME as u64 {
            return Err(self.damaged());
        }
        self.file.read_exact(&mut bytes)?;
        // Lengths are held against the file before memory is taken.
        let frame = RecordFrame::read(&bytes).filter(|frame| {
            frame.length().is_some_and(|length| length <= rest)
                && self.row.is_none_or(|row| row < frame.mark.row)
        });
        frame.map(Some).ok_or_else(|| self.damaged())
    }

    fn damaged(&self) -> io::Error {
        io::Error::new(ErrorKind::InvalidData, format!("the record at byte {} is damaged", self.at))
    }

    fn passed(&mut self, frame: &RecordFrame) {
        self.at += frame.length().unwrap_or_default();
        self.row = Some(frame.mark.row);
    }

    /// The next record.
    ///
    /// # Errors
    /// `InvalidData` where it is not as it was written.
    pub fn read(&mut self) -> io::Result<Option<Record>> {
        let Some(frame) = self.frame()? else { return Ok(None) };
        let (mut head, mut body) = (Vec::new(), Vec::new());
        self.file.by_ref().take(frame.head.into()).read_to_end(&mut head)?;
        self.file.by_ref().take(frame.body).read_to_end(&mut body)?;
        let mut sum = crc32fast::Hasher::new();
        sum.update(&head);
        sum.update(&body);
        if sum.finalize() != frame.sum {
            return Err(self.damaged());
        }
        self.passed(&frame);
        Ok(Some(Record { mark: frame.mark, head, body }))
    }

    /// Passes over the next record, in little memory; `None` at the end.
    fn pass(&mut self) -> io::Result<Option<Mark>> {
        let Some(frame) = self.frame()? else { return Ok(None) };
        let mut rest = self.file.by_ref().take(u64::from(frame.head) + frame.body);
        let (mut sum, mut piece) = (crc32fast::Hasher::new(), vec![0; 1 << 16]);
        loop {
            match rest.read(&mut piece)? {
                0 => break,
                count => sum.update(&piece[..count]),
            }
        }
        if sum.finalize() != frame.sum {
            return Err(self.damaged());
        }
        self.passed(&frame);
        Ok(Some(frame.mark))
    }

    /// Whether a frame begins anywhere after the next byte.
    fn has_more(&mut self) -> io::Result<bool> {
        self.file.seek(SeekFrom::Start(self.at + 1))?;
        let mut rest = self.file.by_ref().take(self.end.saturating_sub(self.at + 1));
        let mut window = Vec::new();
        loop {
            let read = rest.by_ref().take(1 << 16).read_to_end(&mut window)?;
            if window
                .windows(FRAME)
                .filter_map(|w| w.first_chunk())
                .any(|w| RecordFrame::read(w).is_some())
            {
                return Ok(true);
            }
            if read == 0 {
                return Ok(false);
            }
            window.drain(..window.len().saturating_sub(FRAME - 1));
        }
    }
}

impl Iterator for Records {
    type Item = io::Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

/// What a look at a whole log found.
#[derive(Debug, Default, PartialEq)]
pub struct Scan {
    /// Bytes of the records.
    pub bytes: u64,
    /// Records, of which these lost tokens.
    pub count: usize,
    pub cut: usize,
    /// Tokens that they lost, and rows of vectors that they have.
    pub lost: u64,
    pub vectors: u64,
    /// The row after the last one.
    pub next: u64,
    /// Records at the end are damaged, or not there.
    pub torn: bool,
}

/// Holds the first `bytes` of the log at `path` against their checksums, as far as they are of rows
/// before `row`.
///
/// # Errors
/// `InvalidData` where a record is damaged that others come after.
pub fn scan(path: &Path, bytes: u64, row: u64) -> io::Result<Scan> {
    let mut scan = Scan::default();
    if bytes == 0 {
        return Ok(scan);
    }
    let mut records = match Records::open(path, bytes) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Scan { torn: true, ..scan }),
        records => records?,
    };
    scan.torn = records.end < bytes;
    loop {
        match records.pass() {
            Ok(Some(mark)) if mark.row < row => {
                scan.bytes = records.at;
                scan.count += 1;
                scan.cut += usize::from(mark.lost > 0);
                scan.lost = scan.lost.saturating_add(mark.lost);
                scan.vectors += u64::from(mark.vectors);
                scan.next = mark.row.saturating_add(1);
            }
            Ok(_) => return Ok(scan),
            Err(e) if e.kind() == ErrorKind::InvalidData => match records.has_more()? {
                true => return Err(e),
                false => return Ok(Scan { torn: true, ..scan }),
            },
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(row: u64) -> Mark {
        Mark { row, vectors: 2, lost: row % 2 }
    }

    /// A log of five records, and where each ends.
    fn log(path: &Path) -> Vec<u64> {
        let mut log = Log::open(path, 0).unwrap();
        let ends = (0..5).map(|row| {
            log.push(mark(row * 3), format!("head {row}").as_bytes(), &[row as u8; 100]).unwrap();
            log.bytes
        });
        let ends = ends.collect();
        log.sync().unwrap();
        ends
    }

    #[test]
    fn records_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let ends = log(&path);
        let read: Vec<_> = Records::open(&path, ends[4]).unwrap().map(Result::unwrap).collect();
        assert_eq!(read.len(), 5);
        assert_eq!(read[3].mark, mark(9));
        assert_eq!((&read[4].head[..], &read[4].body[..]), (&b"head 4"[..], &[4; 100][..]));
        let whole = scan(&path, ends[4], u64::MAX).unwrap();
        let want =
            Scan { bytes: ends[4], count: 5, cut: 2, lost: 2, vectors: 10, next: 13, torn: false };
        assert_eq!(whole, want);
        let before = scan(&path, ends[4], 7).unwrap();
        assert_eq!((before.bytes, before.count, before.next), (ends[2], 3, 7));
        // What lies after the bytes that count is cut off.
        Log::open(&path, ends[1]).unwrap();
        assert_eq!(scan(&path, ends[1], u64::MAX).unwrap().count, 2);
    }

    #[test]
    fn every_byte_that_changes_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let ends = log(&path);
        let bytes = std::fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 0x10;
            std::fs::write(&path, &other).unwrap();
            let found = scan(&path, ends[4], u64::MAX);
            if (at as u64) < ends[3] {
                let error = found.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidData, "{at}: {error}");
            } else {
                let found = found.unwrap();
                assert_eq!((found.bytes, found.count, found.torn), (ends[3], 4, true), "{at}");
            }
            assert!(Records::open(&path, ends[4]).unwrap().any(|record| record.is_err()), "{at}");
        }
        for length in 0..bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let found = scan(&path, ends[4], u64::MAX).unwrap();
            let whole = ends.iter().filter(|end| **end <= length as u64).count();
            assert_eq!((found.count, found.torn), (whole, true), "{length}");
        }
    }

    #[test]
    fn a_damaged_length_asks_for_no_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        for (head, body) in [(u32::MAX, 0), (0, u64::MAX), (u32::MAX, u64::MAX), (1, 1 << 40)] {
            let frame = RecordFrame { mark: Mark::default(), head, body, sum: 0 };
            std::fs::write(&path, [&frame.bytes()[..], &[0; 100]].concat()).unwrap();
            let error = Records::open(&path, u64::MAX).unwrap().read().err().unwrap();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            assert!(scan(&path, 144, u64::MAX).unwrap().torn);
        }
    }
}
