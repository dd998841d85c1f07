//! `safetensors`: the arrays of [`npz`](super::npz) as Hugging Face stores tensors, with what the
//! texts have in common as metadata.
//!
//! <https://huggingface.co/docs/safetensors>: an 8-byte length, a JSON header that may end in
//! spaces, and the tensors without gaps.

use std::io::{Seek, SeekFrom, Write};

use serde_json::{Map, Value, json};

use super::array::Arrays;
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
    /// addresses, which torch refuses: they wait here and go last.
    held: Option<Spill>,
    /// Beside what the header says.
    metadata: Vec<(String, String)>,
}

/// A tensor: name, type, shape, bytes.
type Tensor = (&'static str, &'static str, Vec<u64>, u64);

impl<W: Write + Seek> SafetensorsWriter<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) where writing failed.
    pub fn start(mut out: W, header: Header, extras: &Extras) -> Result<Self> {
        let arrays = Arrays::new(header, extras)?;
        let metadata = extras.metadata.clone();
        let begin = out.stream_position().map_err(broken)?;
        let wide = |mut tensor: Tensor| {
            tensor.2[0] = u64::MAX;
            tensor
        };
        let tensors: Vec<Tensor> = tensors(&arrays, false).into_iter().map(wide).collect();
        // Two offsets a tensor, of up to 20 digits where `head` sees them small.
        let head = head(&arrays.header, &metadata, &tensors);
        let room = (head.len() + tensors.len() * 40).next_multiple_of(8);
        let held = (arrays.ragged() && !arrays.row_bytes().is_multiple_of(8))
            .then(|| Spill::new(extras.scratch.clone()));
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
        let mut head = head(&self.arrays.header, &self.metadata, &tensors);
        let ragged = self.arrays.ragged();
        let small = self.arrays.ragged_bytes().into_iter().filter(|_| ragged);
        for bytes in small.chain(self.held) {
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
        for (name, shape) in arrays.ragged_shapes() {
            let bytes = 8 * shape.iter().product::<u64>();
            out.push((name, "I64", shape, bytes));
        }
    }
    if vectors_last {
        out.rotate_left(1);
    }
    out
}

fn head(header: &Header, more: &[(String, String)], tensors: &[Tensor]) -> Vec<u8> {
    let layers: Vec<String> = header.layers.iter().map(usize::to_string).collect();
    let mut fields = Map::new();
    let mut metadata = json!({
            "model": header.model,
            "device": header.device,
            "dtype": header.dtype,
            "layers": layers.join(","),
            "combine": header.combine.to_string(),
            "pool": header.pool.to_string(),
            "version": env!("CARGO_PKG_VERSION"),
    });
    for (key, value) in more {
        metadata[key] = json!(value);
    }
    fields.insert("__metadata__".into(), metadata);
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
