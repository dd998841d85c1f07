//! Tokens at the end of a text that look at the others and are not looked at: on both executors.

mod common;

use common::{bundled, devices, difference, fixtures, kind, load};
use everylayer::encoder::{Job, PreparedText};
use everylayer::text::Tokens;
use everylayer::{Capture, Encoder, ErrorKind, Layers, Pool};

fn tokens(ids: &[u32]) -> Tokens {
    let mut tokens = Tokens::default();
    tokens.ids = ids.to_vec();
    tokens.types = vec![0; ids.len()];
    tokens.pieces = ids.iter().map(|_| "").collect();
    tokens.spans = vec![[0, 0]; ids.len()];
    tokens.words = vec![None; ids.len()];
    tokens.special = vec![false; ids.len()];
    tokens.second = vec![false; ids.len()];
    tokens
}

/// Every state of every token of `ids`, the last `hidden` of which are not looked at.
fn states(encoder: &Encoder, ids: &[u32], hidden: usize) -> everylayer::Result<Vec<f32>> {
    let tokens = tokens(ids);
    let positions: Vec<u32> = (0..ids.len() as u32).collect();
    let captures = [Capture::default().layers(Layers::All).pool(Pool::Tokens)];
    let text = |hidden| PreparedText {
        tokens: tokens.clone(),
        positions: Some(positions.clone()),
        hidden,
        ..PreparedText::default()
    };
    // Beside another text, so that its rows are not the first of the batch.
    let texts = [text(0), text(hidden)];
    let job = |text| Job { text, windows: None, captures: &captures };
    let jobs = texts.each_ref().map(job);
    let mut done = pollster::block_on(encoder.embed_jobs(&jobs))?;
    Ok(done.results.remove(1)?.unwrap().remove(0).values.to_f32())
}

#[test]
fn hidden_tokens_change_no_bit_of_the_others() {
    // A head of 32 and one of 64; texts around the tiles of attention.
    for folder in [bundled(), fixtures().join("checkpoints/tiny-d64-silu")] {
        let mut of_devices: Vec<Vec<f32>> = Vec::new();
        for device in devices() {
            let encoder = load(&folder, device);
            let (width, depth) = (encoder.spec().width, encoder.spec().depth() + 1);
            let mut all = Vec::new();
            for length in [2_u32, 9, 33, 40] {
                let ids: Vec<u32> = (0..length).map(|i| 5 + (i * 37) % 150).collect();
                for hidden in [1, length as usize - 1] {
                    let seen = ids.len() - hidden;
                    let got = states(&encoder, &ids, hidden).unwrap();
                    let alone = states(&encoder, &ids[..seen], 0).unwrap();
                    for state in 0..depth {
                        let got = &got[state * ids.len() * width..][..seen * width];
                        let alone = &alone[state * seen * width..][..seen * width];
                        let same = got.iter().zip(alone).all(|(a, b)| a.to_bits() == b.to_bits());
                        assert!(same, "{}: {length} tokens, {hidden} hidden", encoder.device());
                    }
                    all.extend(got);
                }
            }
            of_devices.push(all);
        }
        for other in &of_devices[1..] {
            let largest = other.iter().fold(1.0_f32, |most, x| most.max(x.abs()));
            let far = difference(&of_devices[0], other);
            assert!(far <= 5e-5 * largest, "{}: {far} apart", folder.display());
        }
    }
}

#[test]
fn one_token_must_be_seen() {
    for device in devices() {
        let encoder = load(&bundled(), device);
        assert_eq!(kind(states(&encoder, &[101, 102], 2)), Some(ErrorKind::Usage));
        assert_eq!(kind(states(&encoder, &[101, 102], usize::MAX)), Some(ErrorKind::Usage));
    }
}
