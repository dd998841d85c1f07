//! `npz`: a zip of NumPy arrays. `vectors` is (texts, layers?, width); where rows are tokens or
//! words it is (rows, layers?, width). The arrays beside it say what each row is; `metadata` is a
//! JSON object as bytes. `docs/outputs.md` has the list.

use std::io::{Seek, Write};

use super::array::{Arrays, Number, metadata};
use super::zip::Zip;
use super::{Extras, Sink, broken, npy};
use crate::embeddings::{Header, TextEmbedding};
use crate::error::Result;

/// Streams `vectors` into the archive; the small arrays follow at the end.
pub struct NpzWriter<W> {
    zip: Zip<W>,
    arrays: Arrays,
    metadata: Vec<(String, String)>,
}

impl<W: Write + Seek> NpzWriter<W> {
    /// Begins the archive and its first array.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) where writing failed.
    pub fn start(out: W, header: Header, extras: &Extras) -> Result<Self> {
        let metadata = metadata(&header, &extras.metadata);
        let arrays = Arrays::new(header, extras)?;
        let mut zip = Zip::new(out).map_err(broken)?;
        let head = npy::head(npy::descr(arrays.header.precision), &arrays.shape());
        zip.open("vectors.npy", &head).map_err(broken)?;
        Ok(Self { zip, arrays, metadata })
    }
}

impl<W: Write + Seek> Sink<W> for NpzWriter<W> {
    fn push(&mut self, text: TextEmbedding) -> Result<()> {
        self.zip.write(&self.arrays.push(&text)?).map_err(broken)
    }

    fn finish(mut self: Box<Self>) -> Result<W> {
        let head = npy::head(npy::descr(self.arrays.header.precision), &self.arrays.shape());
        self.zip.close(&head).map_err(broken)?;
        put_metadata(&mut self.zip, self.metadata).map_err(broken)?;
        for small in self.arrays.into_small() {
            let descr = match small.number {
                Number::I64 => "<i8",
                Number::F32 => "<f4",
                Number::U8 => "|u1",
            };
            let head = npy::head(descr, &small.shape());
            self.zip.open(format!("{}.npy", small.name), &head).map_err(broken)?;
            small.bytes.drain(|piece| self.zip.write(piece)).map_err(broken)?;
            self.zip.close(&head).map_err(broken)?;
        }
        self.zip.finish().map_err(broken)
    }
}

/// Adds the array `metadata`, the bytes of a JSON object of strings.
pub(super) fn put_metadata<W: Write + Seek>(
    zip: &mut Zip<W>,
    fields: Vec<(String, String)>,
) -> std::io::Result<()> {
    let fields = fields.into_iter().map(|(key, value)| (key, value.into()));
    let about = serde_json::Value::Object(fields.collect()).to_string();
    let head = npy::head("|u1", &[about.len() as u64]);
    zip.open("metadata.npy", &head)?;
    zip.write(about.as_bytes())?;
    zip.close(&head)
}
