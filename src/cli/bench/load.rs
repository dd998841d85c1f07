//! What is timed: texts of known length, made of one word, or those of a file.

use everylayer::{Capture, Encoder, Error, ErrorKind, Result, Text};

use crate::cli::embed::Tally;
use crate::cli::input::Input;

/// Common words, one of which every vocabulary has as a single token.
const WORDS: [&str; 7] = ["the", "a", "of", "de", "的", "1", "."];
/// Texts and tokens of a call where only one of them is named, and of the first default row.
const USUAL: (usize, usize) = (8, 128);

/// The texts of one call, and what is asked of them.
pub struct Load {
    /// At least one.
    pub texts: Vec<Text<'static>>,
    /// Layers, pool, limit, prompt.
    pub capture: Capture,
    /// Tokens of the longest text.
    pub longest: usize,
    /// Tokens of all texts.
    pub tokens: usize,
    tally: Tally,
    limit: usize,
}

/// A row for each of `batch` with each of `tokens`; a few of all sizes where neither is named.
///
/// # Errors
/// `Usage` for more or fewer tokens than a text of the model can have.
pub fn table(
    batch: &[usize],
    tokens: &[usize],
    encoder: &Encoder,
    capture: &Capture,
) -> Result<Vec<Load>> {
    let maker = Maker::new(encoder, capture)?;
    if batch.is_empty() && tokens.is_empty() {
        return maker.usual();
    }
    let batch = if batch.is_empty() { &[USUAL.0] } else { batch };
    let tokens = if tokens.is_empty() { &[USUAL.1] } else { tokens };
    let pairs = batch.iter().flat_map(|&batch| tokens.iter().map(move |&n| vec![n; batch]));
    pairs.map(|lengths| maker.load(&lengths)).collect()
}

impl Load {
    /// Every text of `input`, cut as `embed` cuts them.
    ///
    /// # Errors
    /// As [`Input::texts`], and where there is none.
    pub fn read(input: &Input, encoder: &Encoder, capture: Capture) -> Result<Self> {
        let (mut texts, mut found) = (Vec::new(), input.texts()?);
        loop {
            let items = found.chunk(usize::MAX)?;
            if items.is_empty() {
                break;
            }
            texts.extend(items.into_iter().map(|item| item.text));
        }
        if texts.is_empty() {
            return Err(input.empty());
        }
        Self::new(texts, encoder, capture)
    }

    fn new(texts: Vec<Text<'static>>, encoder: &Encoder, capture: Capture) -> Result<Self> {
        let mut tally = Tally::default();
        let (mut longest, mut tokens) = (0, 0);
        for text in encoder.tokenize(&texts, &capture)? {
            tally.add(text.lost);
            longest = longest.max(text.len());
            tokens += text.len();
        }
        let limit = capture.max_tokens.unwrap_or(encoder.max_tokens());
        Ok(Self { texts, capture, longest, tokens, tally, limit })
    }

    /// What is said where texts were cut.
    pub fn cut_note(&self) -> Option<String> {
        (self.tally.cut > 0).then(|| self.tally.cut_note(self.limit))
    }
}

/// Makes texts of so many tokens.
struct Maker<'e> {
    encoder: &'e Encoder,
    capture: Capture,
    word: &'static str,
    /// Special tokens of a text.
    special: usize,
}

impl<'e> Maker<'e> {
    fn new(encoder: &'e Encoder, capture: &Capture) -> Result<Self> {
        // The model's own prompt would be counted too.
        let capture = capture.clone().prompt("").max_tokens(encoder.spec().positions);
        let count = |word: &str, times: usize| -> Result<usize> {
            Ok(encoder.tokenize([repeat(word, times)], &capture)?[0].len())
        };
        let special = count("", 0)?;
        for word in WORDS {
            if count(word, 1)? == special + 1 && count(word, 5)? == special + 5 {
                return Ok(Self { encoder, capture, word, special });
            }
        }
        let said = "no common word is a single token of this model: name a file with --texts";
        Err(Error::new(ErrorKind::Unsupported, said))
    }

    /// An even batch, and a mix of lengths as it comes; more on a GPU, where they are soon done.
    fn usual(&self) -> Result<Vec<Load>> {
        let most = self.encoder.max_tokens();
        let (batch, tokens) = USUAL;
        let even = |batch, tokens: usize| vec![tokens.min(most); batch];
        let mut all = vec![even(batch, tokens)];
        if !self.encoder.is_software() {
            all.extend([even(1, 16), even(32, 128)]);
        }
        all.push((1..=32).map(|i| (8 * i).min(most)).collect());
        all.iter().map(|lengths| self.load(lengths)).collect()
    }

    fn load(&self, lengths: &[usize]) -> Result<Load> {
        let positions = self.encoder.spec().positions;
        let fewest = self.special.max(1);
        let off = |said: String| Err(Error::new(ErrorKind::Usage, said));
        for &length in lengths {
            if length > positions {
                return off(format!(
                    "--tokens {length} is more than the {positions} positions of this model"
                ));
            }
            if length < fewest {
                return off(format!(
                    "--tokens {length} is too small: a text of this model has at least {fewest} \
                     tokens"
                ));
            }
        }
        let text = |&length: &usize| Text::from(repeat(self.word, length - self.special));
        let texts = lengths.iter().map(text).collect();
        let load = Load::new(texts, self.encoder, self.capture.clone())?;
        if load.tokens != lengths.iter().sum::<usize>() {
            let said = "the tokenizer of this model joins words: name a file with --texts";
            return Err(Error::new(ErrorKind::Unsupported, said));
        }
        Ok(load)
    }
}

fn repeat(word: &str, times: usize) -> String {
    vec![word; times].join(" ")
}
