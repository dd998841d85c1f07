//! `safetensors`: the arrays of [`npz`](super::npz) as Hugging Face stores tensors, with what the
//! texts have in common as metadata.
//!
//! <https://huggingface.co/docs/safetensors>: an 8-byte length, a JSON header that may end in
//! spaces, and the tensors without gaps.

use std::io::{Seek, SeekFrom, Write};

use serde_json::{Map, Value, json};

use super::array::Arrays;
use super::{Sink, broken};
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
    /// addresses, which torch refuses: they wait here and go last.
    held: Option<Vec<u8>>,
}

/// A tensor: name, type, shape, bytes.
type Tensor = (&'static str, &'static str, Vec<u64>, u64);

impl<W: Write + Seek> SafetensorsWriter<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) where writing failed.
    pub fn start(mut out: W, header: Header) -> Result<Self> {
        let arrays = Arrays::new(header);
        let begin = out.stream_position().map_err(broken)?;
        let wide = |mut tensor: Tensor| {
            tensor.2[0] = u64::MAX;
            tensor
        };
        let tensors: Vec<Tensor> = tensors(&arrays, false).into_iter().map(wide).collect();
        // Two offsets a tensor, of up to 20 digits where `head` sees them small.
        let room = (head(&arrays.header, &tensors).len() + tensors.len() * 40).next_multiple_of(8);
        let held = (arrays.ragged() && !arrays.row_bytes().is_multiple_of(8)).then(Vec::new);
        out.write_all(&vec![b' '; 8 + room]).map_err(broken)?;
        Ok(Self { out, arrays, begin, room, held })
    }
}

impl<W: Write + Seek> Sink<W> for SafetensorsWriter<W> {
    fn push(&mut self, text: TextEmbedding) -> Result<()> {
        let bytes = self.arrays.push(&text)?;
        match &mut self.held {
            Some(held) => held.extend(bytes),
            None => self.out.write_all(&bytes).map_err(broken)?,
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<W> {
        if self.arrays.ragged() {
            self.out.write_all(&self.arrays.offsets().1).map_err(broken)?;
            self.out.write_all(&self.arrays.spans().1).map_err(broken)?;
        }
        if let Some(held) = &self.held {
            self.out.write_all(held).map_err(broken)?;
        }
        let mut head = head(&self.arrays.header, &tensors(&self.arrays, self.held.is_some()));
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
fn tensors(arrays: &Arrays, vectors_last: bool) -> Vec<Tensor> {
    let dtype = match arrays.header.precision {
        Precision::F32 => "F32",
        Precision::F16 => "F16",
        Precision::Int8 => "I8",
        Precision::Ubinary => "U8",
    };
    let shape = arrays.shape();
    let bytes = shape[0] * arrays.row_bytes() as u64;
    let mut out = vec![("vectors", dtype, shape, bytes)];
    if arrays.ragged() {
        for (name, (shape, bytes)) in [("offsets", arrays.offsets()), ("spans", arrays.spans())] {
            out.push((name, "I64", shape, bytes.len() as u64));
        }
    }
    if vectors_last {
        out.rotate_left(1);
    }
    out
}

fn head(header: &Header, tensors: &[Tensor]) -> Vec<u8> {
    let layers: Vec<String> = header.layers.iter().map(usize::to_string).collect();
    let mut fields = Map::new();
    fields.insert(
        "__metadata__".into(),
        json!({
            "model": header.model,
            "device": header.device,
            "dtype": header.dtype,
            "layers": layers.join(","),
            "combine": header.combine.to_string(),
            "pool": header.pool.to_string(),
            "version": env!("CARGO_PKG_VERSION"),
        }),
    );
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
