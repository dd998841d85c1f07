//! `npy`: one NumPy array (texts, layers?, width) for poolings that give one vector a text.
//!
//! Format 1.0, numpy `lib/_format_impl.py`; the bytes are those of `numpy.save`.

use std::io::{Seek, SeekFrom, Write};

use super::array::Arrays;
use super::{Extras, Sink, broken};
use crate::capture::Precision;
use crate::embeddings::{Header, TextEmbedding};
use crate::error::{Result, fail};

/// Writes a header with room for any count, the vectors as they come, and the header again.
pub struct NpyWriter<W> {
    out: W,
    arrays: Arrays,
    begin: u64,
    /// The rows for which there are no vectors, as far as they are known.
    filled: Option<std::ops::Range<usize>>,
}

impl<W: Write + Seek> NpyWriter<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) where rows are tokens or words, of which
    /// texts have different numbers; [`ErrorKind::Io`](crate::ErrorKind::Io) where writing failed.
    pub fn start(mut out: W, header: Header, extras: &Extras) -> Result<Self> {
        let arrays = Arrays::new(header, extras)?;
        if arrays.ragged() {
            return Err(fail!(
                Usage,
                "npy holds one array, and pool `{}` gives each text a different number of rows: \
                 use npz or safetensors",
                arrays.header.pool
            ));
        }
        if extras.filled.is_some()
            && !matches!(arrays.header.precision, Precision::F32 | Precision::F16)
        {
            return Err(fail!(
                Usage,
                "{} numbers have no NaN: use f32 or f16, or leave the rows out",
                arrays.header.precision
            ));
        }
        let begin = out.stream_position().map_err(broken)?;
        out.write_all(&head(descr(arrays.header.precision), &arrays.shape())).map_err(broken)?;
        Ok(Self { out, arrays, begin, filled: extras.filled.clone() })
    }
}

impl<W: Write> NpyWriter<W> {
    /// Writes a row of NaN for each that is due before row `next`.
    fn fill(&mut self, next: usize) -> Result<()> {
        let Some(rows) = &mut self.filled else { return Ok(()) };
        let number: &[u8] = match self.arrays.header.precision {
            Precision::F32 => &f32::NAN.to_le_bytes(),
            _ => &half::f16::NAN.to_le_bytes(),
        };
        while rows.start < next {
            let row = number.repeat(self.arrays.row_bytes() / number.len());
            self.out.write_all(&row).map_err(broken)?;
            self.arrays.skip();
            rows.start += 1;
        }
        Ok(())
    }
}

impl<W: Write + Seek> Sink<W> for NpyWriter<W> {
    fn push(&mut self, text: TextEmbedding) -> Result<()> {
        self.fill(text.index)?;
        if let Some(rows) = &mut self.filled {
            rows.start = text.index + 1;
        }
        self.out.write_all(&self.arrays.push(&text)?).map_err(broken)
    }

    fn finish(mut self: Box<Self>) -> Result<W> {
        if let Some(end) = self.filled.as_ref().map(|rows| rows.end) {
            self.fill(end)?;
        }
        let head = head(descr(self.arrays.header.precision), &self.arrays.shape());
        self.out.seek(SeekFrom::Start(self.begin)).map_err(broken)?;
        self.out.write_all(&head).map_err(broken)?;
        self.out.seek(SeekFrom::End(0)).map_err(broken)?;
        self.out.flush().map_err(broken)?;
        Ok(self.out)
    }
}

/// The type of the numbers, as numpy writes it.
pub(super) fn descr(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => "<f4",
        Precision::F16 => "<f2",
        Precision::Int8 => "|i1",
        Precision::Ubinary => "|u1",
    }
}

/// A whole header, as long for every first axis: numpy leaves room for 21 digits there
/// (`GROWTH_AXIS_MAX_DIGITS`) and aligns the data to 64 (`ARRAY_ALIGN`).
pub(super) fn head(descr: &str, shape: &[u64]) -> Vec<u8> {
    const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";
    let axes: Vec<String> = shape.iter().map(u64::to_string).collect();
    let comma = if axes.len() == 1 { "," } else { "" };
    let mut text = format!(
        "{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}{comma}), }}",
        axes.join(", ")
    );
    let room = 21usize.saturating_sub(axes.first().map_or(21, String::len));
    text.push_str(&" ".repeat(room));
    let unaligned = MAGIC.len() + 2 + text.len() + 1;
    text.push_str(&" ".repeat(64 - unaligned % 64));
    text.push('\n');
    // A shape has at most three axes here, so the length is far below 65536.
    let length = text.len() as u16;
    [MAGIC, &length.to_le_bytes(), text.as_bytes()].concat()
}
