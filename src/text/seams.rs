//! Where a long text may be taken apart, so that its stretches have the tokens of the whole.
//!
//! A stretch begins some words before the place from which its tokens are taken, and ends some words
//! after it. So what a tokenizer does at the ends of a text (a space put before it, whitespace taken
//! off) stays outside of what is taken. That the words in between are those of the whole text holds
//! for the parts below: each normalizes characters by their neighbours, and finds words from left to
//! right with nothing in mind but where it stands. A part that is not here is not known to do so.

use std::sync::OnceLock;

use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::split::SplitPattern;
use tokenizers::{ModelWrapper, Tokenizer};

use crate::text::runs::Runs;

/// Patterns of words that look ahead at most to the end of a run of whitespace, as files have them.
const WORDS: &[&str] = &[
    // GPT-2's, RoBERTa's, ModernBERT's.
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    // Llama 3's, EuroBERT's.
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    // Qwen's.
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    // CLIP's.
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
    r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
    r"\s+",
    r"\w+|[^\w\s]+",
    r"\p{N}",
    r"\p{N}{1,3}",
    r"[\r\n]",
];

/// Patterns that a normalizer replaces: runs of whitespace, which lie in one stretch.
const RUNS: &[&str] = &[" {2,}", r"\s{2,}|[\n\r\t]", r"\s{2,}", r"\s+"];

/// What a tokenizer's parts let be done to a long text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seams {
    /// Whether every part is known.
    pub(crate) known: bool,
    /// Bytes of a text that have to be seen after a place before words up to there are sure: those
    /// of the longest token that is matched as it stands.
    pub(crate) margin: usize,
    /// Of WordPiece, the characters above which a word is unknown as a whole.
    pub(crate) word_limit: Option<usize>,
    /// What takes a long word apart, once one was met.
    runs: OnceLock<Option<Runs>>,
}

impl Seams {
    pub(crate) fn of(tokenizer: &Tokenizer) -> Self {
        let mut margin = 0;
        let added = tokenizer.get_added_tokens_decoder();
        let longest = added.values().map(|token| token.content.len()).max().unwrap_or(0);
        let known = tokenizer.get_normalizer().is_none_or(|n| normalizes(n, &mut margin))
            && tokenizer.get_pre_tokenizer().is_none_or(splits);
        let word_limit = match tokenizer.get_model() {
            ModelWrapper::WordPiece(model) => Some(model.max_input_chars_per_word),
            _ => None,
        };
        // A normalized token may be longer than it is spelt: a character has up to 18 after NFKD.
        let margin = margin.max(longest.saturating_mul(4)).saturating_add(64);
        Self { known, margin, word_limit, runs: OnceLock::new() }
    }

    /// What takes a long word of `tokenizer` apart, where it can be.
    pub(crate) fn runs(&self, tokenizer: &Tokenizer) -> Option<&Runs> {
        self.runs.get_or_init(|| Runs::of(tokenizer)).as_ref()
    }
}

fn normalizes(part: &NormalizerWrapper, margin: &mut usize) -> bool {
    match part {
        NormalizerWrapper::Sequence(list) => list.as_ref().iter().all(|n| normalizes(n, margin)),
        // The crate has no other way to its pattern.
        NormalizerWrapper::Replace(replace) => {
            let value = serde_json::to_value(replace).unwrap_or_default();
            let pattern = &value["pattern"];
            match (pattern["String"].as_str(), pattern["Regex"].as_str()) {
                (Some(text), _) => {
                    *margin = (*margin).max(text.len());
                    true
                }
                (_, Some(pattern)) => RUNS.contains(&pattern),
                _ => false,
            }
        }
        NormalizerWrapper::BertNormalizer(_)
        | NormalizerWrapper::StripNormalizer(_)
        | NormalizerWrapper::StripAccents(_)
        | NormalizerWrapper::NFC(_)
        | NormalizerWrapper::NFD(_)
        | NormalizerWrapper::NFKC(_)
        | NormalizerWrapper::NFKD(_)
        | NormalizerWrapper::Lowercase(_)
        | NormalizerWrapper::Nmt(_)
        | NormalizerWrapper::Precompiled(_)
        | NormalizerWrapper::Prepend(_)
        | NormalizerWrapper::ByteLevel(_) => true,
    }
}

fn splits(part: &PreTokenizerWrapper) -> bool {
    match part {
        PreTokenizerWrapper::Sequence(list) => list.as_ref().iter().all(splits),
        PreTokenizerWrapper::Split(split) => match &split.pattern {
            SplitPattern::String(text) => text.chars().count() == 1,
            SplitPattern::Regex(pattern) => WORDS.contains(&pattern.as_str()),
        },
        PreTokenizerWrapper::BertPreTokenizer(_)
        | PreTokenizerWrapper::ByteLevel(_)
        | PreTokenizerWrapper::Delimiter(_)
        | PreTokenizerWrapper::Metaspace(_)
        | PreTokenizerWrapper::Whitespace(_)
        | PreTokenizerWrapper::WhitespaceSplit(_)
        | PreTokenizerWrapper::Punctuation(_)
        | PreTokenizerWrapper::Digits(_) => true,
        // Lengths count from the beginning, and a script is that of the characters before.
        PreTokenizerWrapper::FixedLength(_) | PreTokenizerWrapper::UnicodeScripts(_) => false,
    }
}

/// Where `text` may be cut so that what begins at byte `at` is whole after the cut: there, or at
/// the whitespace before it. `None` where a character might be normalized with one across the cut,
/// or a run of whitespace would be taken apart.
pub(crate) fn cut_before(text: &str, at: usize) -> Option<usize> {
    let (before, after) = text.split_at_checked(at)?;
    let Some(last) = before.chars().next_back() else { return Some(0) };
    let next = after.chars().next()?;
    if joins_nothing(next) && stands_apart(last) && !(last.is_whitespace() && next.is_whitespace())
    {
        return Some(at);
    }
    // What follows a space and is no space itself.
    if !matches!(last, ' ' | '\n' | '\t') || next.is_whitespace() {
        return None;
    }
    match before[..at - 1].chars().next_back() {
        Some(c) if c.is_whitespace() || !stands_apart(c) => None,
        _ => Some(at - 1),
    }
}

/// Whether no character before `c` makes one with it: neither a normalization form nor a grapheme
/// does. A list of what is in wide use; others are cut at spaces.
fn joins_nothing(c: char) -> bool {
    matches!(c,
        ' '..='~' | '\t' | '\n'
        // Latin, Greek, Cyrillic, Hebrew and Arabic letters.
        | '\u{a1}'..='\u{ac}' | '\u{ae}'..='\u{24f}' | '\u{370}'..='\u{482}' | '\u{48a}'..='\u{52f}'
        | '\u{5d0}'..='\u{5ea}' | '\u{621}'..='\u{64a}'
        // Consonants of Devanagari and Thai.
        | '\u{904}'..='\u{914}' | '\u{e01}'..='\u{e30}'
        // Punctuation and symbols.
        | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}' | '\u{2190}'..='\u{23ff}'
        | '\u{2500}'..='\u{27bf}' | '\u{3001}'..='\u{3029}' | '\u{ff01}'..='\u{ff60}'
        // Kana, Hangul syllables, ideographs.
        | '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}' | '\u{30fc}'
        | '\u{ac00}'..='\u{d7a3}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{20000}'..='\u{2a6df}'
        // Emoji, but for the five colours of skin.
        | '\u{1f300}'..='\u{1f3fa}' | '\u{1f400}'..='\u{1f64f}' | '\u{1f680}'..='\u{1f6ff}'
        | '\u{1f900}'..='\u{1f9ff}'
    )
}

/// Whether no grapheme goes on after `c` with a character that [joins nothing](joins_nothing).
fn stands_apart(c: char) -> bool {
    // Joiners, and the characters that Unicode calls Prepend.
    let goes_on = matches!(c,
        '\r' | '\u{200d}' | '\u{600}'..='\u{605}' | '\u{6dd}' | '\u{70f}' | '\u{890}' | '\u{891}'
        | '\u{8e2}' | '\u{d4e}' | '\u{110bd}' | '\u{110cd}' | '\u{111c2}' | '\u{111c3}'
        | '\u{113d1}' | '\u{1193f}' | '\u{11941}' | '\u{11a3a}' | '\u{11a84}'..='\u{11a89}'
        | '\u{11d46}' | '\u{11f02}'
    );
    !goes_on && !('\u{1100}'..='\u{115f}').contains(&c) && !('\u{a960}'..='\u{a97c}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_where_nothing_is_joined() {
        for (text, at, cut) in [
            ("ab cd", 3, Some(3)),
            ("ab cd", 2, Some(2)),
            ("ab  cd", 3, None),
            ("ab", 0, Some(0)),
            ("漢字", 3, Some(3)),
            // A letter of another script: before the space.
            ("ა ბ", 4, Some(3)),
            ("ა  ბ", 5, None),
            ("e\u{301}", 1, None),
            ("!\u{338}", 1, None),
            ("👩\u{200d}🚀", 7, None),
            ("\r\na", 1, None),
            ("👩🏽", 4, None),
        ] {
            assert_eq!(cut_before(text, at), cut, "{text:?} at {at}");
        }
    }
}
