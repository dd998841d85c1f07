//! `embed --plan`: the work, written down and not done.

use everylayer::Result;
use everylayer::schedule::Counts;

use super::Job;
use crate::cli::say;

impl Job {
    /// Prints the work instead of doing it.
    pub fn plan(&self) -> Result<()> {
        let mut texts = self.input.texts()?;
        let (mut all, mut batches, mut count, mut tokens) = (Counts::default(), 0, 0, 0);
        loop {
            let items = texts.chunk(self.chunk_texts())?;
            if items.is_empty() {
                break;
            }
            let wanted = items.iter().map(|item| &item.text);
            let recordings = self.encoder.record(wanted, &self.capture);
            for recording in recordings.map_err(|e| self.place(&items, e))? {
                let counts = recording.counts();
                batches += 1;
                count += recording.texts;
                tokens += recording.tokens;
                all = sum(all, counts);
                say::print(recording.to_string().as_bytes())?;
            }
        }
        if count == 0 {
            return Err(self.input.empty());
        }
        let Counts { dispatches, submits, bytes_up, bytes_down, memory, flops } = all;
        say::print(
            format!(
                "total: {count} texts, {tokens} tokens, {batches} batches, {dispatches} \
                 dispatches, {submits} submits, {bytes_up} bytes up, {bytes_down} bytes down, \
                 {memory} bytes of memory, {flops} flops\n"
            )
            .as_bytes(),
        )
    }
}

/// Both after one another; memory is used again.
fn sum(a: Counts, b: Counts) -> Counts {
    Counts {
        dispatches: a.dispatches + b.dispatches,
        submits: a.submits + b.submits,
        bytes_up: a.bytes_up + b.bytes_up,
        bytes_down: a.bytes_down + b.bytes_down,
        memory: a.memory.max(b.memory),
        flops: a.flops + b.flops,
    }
}
