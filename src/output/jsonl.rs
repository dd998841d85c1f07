//! `jsonl`: the result objects of [`json`], one a line, each written out at once.

use std::io::Write;

use super::{Sink, broken, check, json};
use crate::embeddings::{Header, TextEmbedding};
use crate::error::Result;

/// Writes a line a text, and flushes it, so that a reader sees it before the next is computed.
pub struct JsonlWriter<W> {
    out: W,
    header: Header,
    texts: usize,
}

impl<W: Write> JsonlWriter<W> {
    /// Begins; nothing is written before the first text.
    pub fn start(out: W, header: Header) -> Self {
        Self { out, header, texts: 0 }
    }
}

impl<W: Write> Sink<W> for JsonlWriter<W> {
    fn push(&mut self, text: TextEmbedding) -> Result<()> {
        check(&self.header, &text, self.texts)?;
        json::finite(&text)?;
        self.texts += 1;
        let mut line = json::result(&self.header, &text)?;
        line.push(b'\n');
        self.out.write_all(&line).and_then(|()| self.out.flush()).map_err(broken)
    }

    fn finish(mut self: Box<Self>) -> Result<W> {
        self.out.flush().map_err(broken)?;
        Ok(self.out)
    }
}
