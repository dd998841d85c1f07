//! What is counted over a run and said at its end: texts, tokens cut off, texts run again.

use std::time::Duration;

use everylayer::embeddings::{Header, Rerun};
use everylayer::{Error, ErrorKind, Result};

/// Counts of texts and tokens.
#[derive(Debug, Default)]
pub struct Tally {
    /// Texts so far.
    pub texts: usize,
    /// Texts truncated.
    pub cut: usize,
    /// Tokens cut off.
    pub lost: usize,
    /// Tokens that went through the model.
    pub tokens: usize,
    /// Rows of vectors, on one row of the layer axis.
    pub rows: usize,
    /// Rows that went to the rejects.
    pub rejected: usize,
    /// The texts, by their number, that overflowed f16.
    pub rerun: Option<Rerun>,
}

impl Tally {
    /// One more text, `lost` tokens of which were cut off.
    pub fn add(&mut self, lost: usize) {
        self.texts += 1;
        self.cut += usize::from(lost > 0);
        self.lost += lost;
    }

    /// What is said at the end: of which `header` the vectors at `place` are, of which `before` were
    /// there, and how long the others took.
    pub fn done_note(&self, place: &str, header: &Header, before: usize, time: Duration) -> String {
        let layers = (header.layer_axis > 1).then_some(header.layer_axis);
        let axes = [Some(self.rows), layers, Some(header.width)].into_iter().flatten();
        let axes: Vec<String> = axes.map(|axis| axis.to_string()).collect();
        let seconds = time.as_secs_f64().max(1e-3);
        let texts = self.texts.saturating_sub(before);
        let noun = if texts == 1 { "text" } else { "texts" };
        let rate = |count: usize| rate(count as f64 / seconds);
        format!(
            "wrote {place}: ({}) of {}, {texts} {noun} in {seconds:.2} s, {} texts/s, {} tokens/s",
            axes.join(", "),
            header.precision,
            rate(texts),
            rate(self.tokens)
        )
    }

    /// What is said of rows that went to the file `place`.
    pub fn rejected_note(&self, place: &std::path::Path) -> Option<String> {
        let (count, all) = (self.rejected, self.rejected + self.texts);
        let were = if count == 1 { "was" } else { "were" };
        (count > 0)
            .then(|| format!("{count} of {all} rows {were} rejected: see {}", place.display()))
    }

    /// What is said of texts that were cut to `limit` tokens.
    pub fn cut_note(&self, limit: usize) -> String {
        let Self { texts, cut, lost, .. } = self;
        let were = if *cut == 1 { "was" } else { "were" };
        let are = if *lost == 1 { "token is" } else { "tokens are" };
        format!("{cut} of {texts} texts {were} cut to {limit} tokens: {lost} {are} lost")
    }

    /// Texts that were run again in f32, those after the texts so far.
    pub fn add_rerun(&mut self, more: &Rerun) {
        let rerun = self.rerun.get_or_insert(Rerun::new(more.state, Vec::new()));
        rerun.state = rerun.state.min(more.state);
        rerun.texts.extend(more.texts.iter().map(|text| self.texts + text));
    }

    /// What is said of texts that were run again.
    pub fn rerun_note(&self, model: &str) -> Option<String> {
        let Rerun { state, texts, .. } = self.rerun.as_ref()?;
        let (count, all) = (texts.len(), self.texts);
        Some(format!(
            "{count} of {all} texts overflowed f16 at state {state} of {model} and were run again \
             in f32"
        ))
    }
}

/// `per_second` with two digits at least.
fn rate(per_second: f64) -> String {
    if per_second < 10.0 { format!("{per_second:.1}") } else { format!("{per_second:.0}") }
}

/// Rows of one run, good ones and bad ones.
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    /// That the first look found and this run is to do; `None` where the input can be read but once.
    pub surveyed: Option<usize>,
    /// That came out of the input.
    pub read: usize,
    /// That went through the model, or were rejected.
    pub run: usize,
    /// That were written down.
    pub written: usize,
}

impl Counts {
    /// All must be the same.
    ///
    /// # Errors
    /// `Io`, with the numbers.
    pub fn check(self) -> Result<()> {
        let Self { surveyed, read, run, written } = self;
        if read == run && run == written && surveyed.is_none_or(|surveyed| surveyed == read) {
            return Ok(());
        }
        let surveyed =
            surveyed.map(|rows| format!("{rows} rows in the input, ")).unwrap_or_default();
        Err(Error::new(
            ErrorKind::Io,
            format!(
                "rows were lost: {surveyed}{read} read, {run} run, {written} written: this is a bug, \
                 please report it"
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_difference_is_an_error() {
        let whole = Counts { surveyed: Some(7), read: 7, run: 7, written: 7 };
        whole.check().unwrap();
        Counts { surveyed: None, ..whole }.check().unwrap();
        for lost in [
            Counts { surveyed: Some(8), ..whole },
            Counts { read: 6, ..whole },
            Counts { run: 6, ..whole },
            Counts { written: 6, ..whole },
            Counts { surveyed: None, written: 6, ..whole },
            Counts { surveyed: Some(20_000), read: 11_264, run: 11_264, written: 11_264 },
        ] {
            let error = lost.check().unwrap_err().to_string();
            assert!(error.contains(&format!("{} read, {} run", lost.read, lost.run)), "{error}");
        }
    }
}
