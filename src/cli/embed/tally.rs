//! What is counted over a run and said at its end: texts, tokens cut off, texts run again.

use everylayer::embeddings::Rerun;

/// Counts of texts and tokens.
#[derive(Debug, Default)]
pub struct Tally {
    /// Texts so far.
    pub texts: usize,
    /// Texts that were cut.
    pub cut: usize,
    /// Tokens cut off.
    pub lost: usize,
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

    /// What is said of texts that were cut to `limit` tokens.
    pub fn cut_note(&self, limit: usize) -> String {
        let Self { texts, cut, lost, .. } = self;
        format!("{cut} of {texts} texts were cut to {limit} tokens: {lost} tokens are lost")
    }

    /// Texts that were run again in f32, those after the texts so far.
    pub fn add_rerun(&mut self, more: &Rerun) {
        let rerun = self.rerun.get_or_insert(Rerun { state: more.state, texts: Vec::new() });
        rerun.state = rerun.state.min(more.state);
        rerun.texts.extend(more.texts.iter().map(|text| self.texts + text));
    }

    /// What is said of texts that were run again.
    pub fn rerun_note(&self, model: &str) -> Option<String> {
        let Rerun { state, texts } = self.rerun.as_ref()?;
        let (count, all) = (texts.len(), self.texts);
        Some(format!(
            "{count} of {all} texts overflowed f16 at state {state} of {model} and were run again \
             in f32"
        ))
    }
}
