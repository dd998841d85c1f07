//! `safetensors`: the arrays of [`npz`](super::npz) as Hugging Face stores tensors, with what the
//! texts have in common as metadata.
//!
//! <https://huggingface.co/docs/safetensors>: an 8-byte length, a JSON header that may end in
//! spaces, and the tensors without gaps.

use std::io::{Seek, SeekFrom, Write};

use serde_json::{Map, Value, json};

use super::array::{Arrays, Number, Small, metadata};
use super::spill::Spill;
use super::{Extras, Sink, broken};
use crate::capture::Precision;
use crate::embeddings::{Header, TextEmbedding};
use crate::error::Result;

/// Writes a header with room for any count, the vectors as they come, the small arrays, and the
/// header again.
pub struct SafetensorsWriter<W> {
    out: W,
    arrays: Arrays,
    begin: u64,
    /// Bytes of the JSON, spaces included; a multiple of 8.
    room: usize,
    /// Vectors whose rows are no multiple of 8 bytes would put the int64 tensors after them on odd
    /// addresses, which torch refuses: they wait here and go after those.
    held: Option<Spill>,
    /// Of the whole file.
    metadata: Vec<(String, String)>,
}

/// A tensor: name, type, shape, bytes.
pub(super) type Tensor<'a> = (&'a str, &'static str, Vec<u64>, u64);

impl<W: Write + Seek> SafetensorsWriter<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) where writing failed.
    pub fn start(mut out: W, header: Header, extras: &Extras) -> Result<Self> {
        let metadata = metadata(&header, &extras.metadata);
        let arrays = Arrays::new(header, extras)?;
        let begin = out.stream_position().map_err(broken)?;
        let wide = |mut tensor: Tensor<'static>| {
            tensor.2[0] = u64::MAX;
            tensor
        };
        let tensors: Vec<Tensor<'_>> = tensors(&arrays, false).into_iter().map(wide).collect();
        // Two offsets a tensor, of up to 20 digits where `head` sees them small.
        let head = head(&metadata, &tensors);
        let room = (head.len() + tensors.len() * 40).next_multiple_of(8);
        let held =
            (!arrays.row_bytes().is_multiple_of(8)).then(|| Spill::new(extras.scratch.clone()));
        out.write_all(&vec![b' '; 8 + room]).map_err(broken)?;
        Ok(Self { out, arrays, begin, room, held, metadata })
    }
}

impl<W: Write + Seek> Sink<W> for SafetensorsWriter<W> {
    fn push(&mut self, text: TextEmbedding) -> Result<()> {
        let bytes = self.arrays.push(&text)?;
        match &mut self.held {
            Some(held) => held.push(&bytes).map_err(broken)?,
            None => self.out.write_all(&bytes).map_err(broken)?,
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<W> {
        let tensors = tensors(&self.arrays, self.held.is_some());
        let mut head = head(&self.metadata, &tensors);
        let (strings, small): (Vec<_>, Vec<_>) =
            self.arrays.into_small().into_iter().partition(|small| small.number == Number::U8);
        let of = |all: Vec<Small>| all.into_iter().map(|small| small.bytes);
        for bytes in of(small).chain(self.held).chain(of(strings)) {
            bytes.drain(|piece| self.out.write_all(piece)).map_err(broken)?;
        }
        head.resize(self.room, b' ');
        self.out.seek(SeekFrom::Start(self.begin)).map_err(broken)?;
        self.out.write_all(&(self.room as u64).to_le_bytes()).map_err(broken)?;
        self.out.write_all(&head).map_err(broken)?;
        self.out.seek(SeekFrom::End(0)).map_err(broken)?;
        self.out.flush().map_err(broken)?;
        Ok(self.out)
    }
}

/// The tensors in the order in which their bytes lie.
fn tensors(arrays: &Arrays, vectors_after: bool) -> Vec<Tensor<'static>> {
    let dtype = match arrays.header.precision {
        Precision::F32 => "F32",
        Precision::F16 => "F16",
        Precision::Int8 => "I8",
        Precision::Ubinary => "U8",
    };
    let shape = arrays.shape();
    let bytes = shape[0] * arrays.row_bytes() as u64;
    let vectors = ("vectors", dtype, shape, bytes);
    let mut out: Vec<Tensor<'static>> = Vec::new();
    let (strings, small): (Vec<_>, Vec<_>) =
        arrays.small().iter().partition(|small| small.number == Number::U8);
    let tensor = |small: &&Small| {
        let dtype = match small.number {
            Number::I64 => "I64",
            Number::F32 => "F32",
            Number::U8 => "U8",
        };
        (small.name, dtype, small.shape(), small.bytes.len())
    };
    out.extend(small.iter().map(tensor));
    out.insert(if vectors_after { out.len() } else { 0 }, vectors);
    out.extend(strings.iter().map(tensor));
    out
}

/// The JSON of a file's header: the tensors' bytes follow one after the other, in this order.
pub(super) fn head(metadata: &[(String, String)], tensors: &[Tensor<'_>]) -> Vec<u8> {
    let mut fields = Map::new();
    let about = metadata.iter().map(|(key, value)| (key.clone(), json!(value)));
    fields.insert("__metadata__".into(), Value::Object(about.collect()));
    let mut at = 0;
    for (name, dtype, shape, bytes) in tensors {
        let end = at + bytes;
        fields.insert(
            (*name).into(),
            json!({"dtype": dtype, "shape": shape, "data_offsets": [at, end]}),
        );
        at = end;
    }
    Value::Object(fields).to_string().into_bytes()
}
