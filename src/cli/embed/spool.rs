//! Finished texts on their way to a file: a log that only grows, cut back to what is known to be
//! whole, and read from the start when the last text is in.
//!
//! A record is the length of its head in bytes (u32), that of its numbers (u64), the head as JSON,
//! and the numbers, little-endian.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use everylayer::TextEmbedding;
use everylayer::capture::Precision;
use everylayer::embeddings::{TokenInfo, Values, WordInfo};
use everylayer::output::Kept;
use half::f16;
use serde::{Deserialize, Serialize};

/// All of a text but its numbers.
#[derive(Serialize, Deserialize)]
struct Head {
    index: usize,
    text_tokens: usize,
    lost: usize,
    rows: usize,
    tokens: Vec<(String, u32, usize, usize, Option<u32>)>,
    words: Vec<(String, usize, usize)>,
    kept: Vec<Kept>,
}

/// The log, at its end.
pub struct Spool {
    out: BufWriter<File>,
    /// Bytes that are in it.
    pub bytes: u64,
}

impl Spool {
    /// Opens the log at `path`, of which the first `bytes` count.
    pub fn open(path: &Path, bytes: u64) -> io::Result<Self> {
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        if file.metadata()?.len() < bytes {
            return Err(io::Error::other("it is shorter than its journal says"));
        }
        file.set_len(bytes)?;
        file.seek(SeekFrom::Start(bytes))?;
        Ok(Self { out: BufWriter::with_capacity(1 << 18, file), bytes })
    }

    /// Appends `text` and what is `kept` of its row.
    pub fn push(&mut self, text: &TextEmbedding, kept: Vec<Kept>) -> io::Result<()> {
        let token = |t: &TokenInfo| (t.text.clone(), t.id, t.start, t.end, t.word);
        let head = Head {
            index: text.index,
            text_tokens: text.text_tokens,
            lost: text.lost,
            rows: text.rows,
            tokens: text.tokens.iter().map(token).collect(),
            words: text.words.iter().map(|w| (w.text.clone(), w.start, w.end)).collect(),
            kept,
        };
        let head = serde_json::to_vec(&head)?;
        let mut numbers = Vec::new();
        if let Some(all) = text.values.get(0..text.values.len()) {
            all.put_le(&mut numbers);
        }
        self.out.write_all(&(head.len() as u32).to_le_bytes())?;
        self.out.write_all(&(numbers.len() as u64).to_le_bytes())?;
        self.out.write_all(&head)?;
        self.out.write_all(&numbers)?;
        self.bytes += 12 + head.len() as u64 + numbers.len() as u64;
        Ok(())
    }

    /// Waits until all of it is on the disk.
    pub fn sync(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.out.get_ref().sync_data()
    }
}

/// The texts of a log from its start.
pub struct Reader {
    file: io::Take<BufReader<File>>,
    precision: Precision,
}

impl Reader {
    /// Reads the first `bytes` of the log at `path`, whose numbers are of `precision`.
    pub fn open(path: &Path, bytes: u64, precision: Precision) -> io::Result<Self> {
        let file = BufReader::with_capacity(1 << 18, File::open(path)?).take(bytes);
        Ok(Self { file, precision })
    }

    fn read(&mut self) -> io::Result<Option<(TextEmbedding, Vec<Kept>)>> {
        if self.file.limit() == 0 {
            return Ok(None);
        }
        let (mut short, mut long) = ([0; 4], [0; 8]);
        self.file.read_exact(&mut short)?;
        self.file.read_exact(&mut long)?;
        let mut head = vec![0; u32::from_le_bytes(short) as usize];
        self.file.read_exact(&mut head)?;
        let Head { index, text_tokens, lost, rows, tokens, words, kept } =
            serde_json::from_slice(&head)?;
        let length = u64::from_le_bytes(long);
        if length > self.file.limit() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; length as usize];
        self.file.read_exact(&mut bytes)?;
        let values = match self.precision {
            Precision::F32 => {
                Values::F32(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
            }
            Precision::F16 => {
                Values::F16(bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b)).collect())
            }
            Precision::Int8 => Values::I8(bytes.iter().map(|b| *b as i8).collect()),
            Precision::Ubinary => Values::U8(bytes),
        };
        let tokens = tokens.into_iter();
        let tokens = tokens
            .map(|(text, id, start, end, word)| TokenInfo::new(text, id, [start, end], word))
            .collect();
        let words = words.into_iter().map(|(text, start, end)| WordInfo::new(text, [start, end]));
        let mut text = TextEmbedding::new(index, rows, values);
        (text.text_tokens, text.lost) = (text_tokens, lost);
        (text.tokens, text.words) = (tokens, words.collect());
        Ok(Some((text, kept)))
    }
}

impl Iterator for Reader {
    type Item = io::Result<(TextEmbedding, Vec<Kept>)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}
