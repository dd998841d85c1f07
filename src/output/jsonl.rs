//! `jsonl`: the result objects of [`json`], one a line, each written out at once.

use std::io::Write;

use super::{Extras, Kept, Order, Sink, broken, json};
use crate::embeddings::{Header, TextEmbedding};
use crate::error::Result;

/// Writes a line a text, and flushes it, so that a reader sees it before the next is computed.
pub struct JsonlWriter<W> {
    out: W,
    header: Header,
    order: Order,
    columns: Vec<String>,
}

impl<W: Write> JsonlWriter<W> {
    /// Begins; nothing is written before the first text.
    pub fn start(out: W, header: Header, extras: &Extras) -> Self {
        Self { out, header, order: Order::new(extras), columns: extras.names() }
    }
}

impl<W: Write> Sink<W> for JsonlWriter<W> {
    fn push(&mut self, text: TextEmbedding) -> Result<()> {
        self.push_kept(text, Vec::new())
    }

    fn push_kept(&mut self, text: TextEmbedding, kept: Vec<Kept>) -> Result<()> {
        self.order.check(&self.header, &text)?;
        json::finite(&text)?;
        let mut line = json::result(&self.header, &text, &self.columns, &kept)?;
        line.push(b'\n');
        self.out.write_all(&line).and_then(|()| self.out.flush()).map_err(broken)
    }

    fn finish(mut self: Box<Self>) -> Result<W> {
        self.out.flush().map_err(broken)?;
        Ok(self.out)
    }
}
