//! `npz`: a zip of NumPy arrays. `vectors` is (texts, layers?, width); where rows are tokens or
//! words it is (rows, layers?, width), beside `offsets` (texts + 1) and `spans` (rows, 2) in
//! characters, both int64.

use std::io::{Seek, Write};

use super::array::Arrays;
use super::zip::Zip;
use super::{Extras, Sink, broken, npy};
use crate::embeddings::{Header, TextEmbedding};
use crate::error::Result;

/// Streams `vectors` into the archive; the small arrays follow at the end.
pub struct NpzWriter<W> {
    zip: Zip<W>,
    arrays: Arrays,
}

impl<W: Write + Seek> NpzWriter<W> {
    /// Begins the archive and its first array.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) where writing failed.
    pub fn start(out: W, header: Header, extras: &Extras) -> Result<Self> {
        let arrays = Arrays::new(header, extras)?;
        let mut zip = Zip::new(out).map_err(broken)?;
        let head = npy::head(npy::descr(arrays.header.precision), &arrays.shape());
        zip.open("vectors.npy", &head).map_err(broken)?;
        Ok(Self { zip, arrays })
    }
}

impl<W: Write + Seek> Sink<W> for NpzWriter<W> {
    fn push(&mut self, text: TextEmbedding) -> Result<()> {
        self.zip.write(&self.arrays.push(&text)?).map_err(broken)
    }

    fn finish(mut self: Box<Self>) -> Result<W> {
        let head = npy::head(npy::descr(self.arrays.header.precision), &self.arrays.shape());
        self.zip.close(&head).map_err(broken)?;
        if self.arrays.ragged() {
            let shapes = self.arrays.ragged_shapes();
            let names = ["offsets.npy", "spans.npy"];
            for ((name, (_, shape)), bytes) in
                names.into_iter().zip(shapes).zip(self.arrays.ragged_bytes())
            {
                let head = npy::head("<i8", &shape);
                self.zip.open(name, &head).map_err(broken)?;
                bytes.drain(|piece| self.zip.write(piece)).map_err(broken)?;
                self.zip.close(&head).map_err(broken)?;
            }
        }
        self.zip.finish().map_err(broken)
    }
}
