//! Texts without a place to be taken apart at: their tokens are made in little memory, whatever is
//! kept of them.

use everylayer::model::directory::Directory;
use everylayer::text::tokenizer::Tokenizer;
use everylayer::text::{Overflow, Text};

use super::memory;
use super::weights::fixtures;

/// Beside the text, for one of 16 MB.
const MOST: usize = 200 << 20;

#[test]
fn a_word_of_any_length_takes_little_memory() {
    // WordPiece, BPE of two kinds, Unigram.
    for folder in
        ["pipelines/mean", "families/modernbert-a", "families/eurobert-a", "families/deberta-v2-a"]
    {
        let source = Directory::open(fixtures().join(folder)).unwrap();
        let tokenizer = Tokenizer::from_source(&source).unwrap();
        for (of, bytes) in [("!", 16_000_000), ("a", 300_000), ("é1", 300_000)] {
            let text = Text::from(of.repeat(bytes / of.len()));
            let before = memory::begin("runs", 0);
            let tokens = tokenizer.encode(&text, 256, Overflow::Truncate).unwrap();
            let peak = memory::peak(before);
            println!("{folder} {of}: {} MB, {} tokens lost", peak >> 20, tokens.lost);
            assert_eq!(tokens.len(), 256.min(tokens.len() + tokens.lost), "{folder} {of}");
            assert!(peak < MOST, "{folder} {of}: {} MB", peak >> 20);
        }
    }
}
