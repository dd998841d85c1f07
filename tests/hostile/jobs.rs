//! Texts whose tokens, positions and requests do not belong together.

use std::time::Instant;

use everylayer::encoder::{Job, PreparedText};
use everylayer::text::Tokens;
use everylayer::{Capture, Layers, Pool};

use crate::toy::Rng;
use crate::{common, hostile, time};

#[test]
fn hostile_jobs_are_refused_or_run() {
    let folder = common::fixtures().join("checkpoints/tiny-d16");
    let encoders: Vec<_> =
        common::devices().into_iter().map(|d| common::load(&folder, d)).collect();
    let mut rng = Rng::new(47);
    let (mut refused, mut served) = (0, 0);
    let start = Instant::now();
    while start.elapsed() < time() || served == 0 || refused == 0 {
        let encoder = &encoders[rng.below(encoders.len())];
        let vocab = encoder.spec().vocab;
        let texts: Vec<(Tokens, Vec<u32>, Vec<Capture>)> = (0..1 + rng.below(3))
            .map(|_| {
                let count = 1 + rng.below(9);
                // One of some lists is longer or shorter, or holds what is nowhere.
                let odd = rng.below(14);
                let length = |which| if which == odd { rng_length(count) } else { count };
                let mut tokens = Tokens::default();
                tokens.ids = (0..count).map(|_| rng.below(vocab) as u32).collect();
                tokens.types = vec![0; length(0)];
                tokens.pieces = (0..length(1)).map(|_| "piece").collect();
                tokens.spans = vec![[0, 1]; length(2)];
                tokens.words = vec![Some(0); length(3)];
                tokens.special = vec![false; length(4)];
                tokens.second = vec![false; length(5)];
                let mut positions: Vec<u32> = (0..length(6) as u32).collect();
                match odd {
                    7 => tokens.ids[0] = hostile(&mut rng, tokens.ids[0]),
                    8 if !tokens.types.is_empty() => tokens.types[0] = hostile(&mut rng, 0),
                    9 if !positions.is_empty() => positions[0] = hostile(&mut rng, 0),
                    _ => {}
                }
                let pool = [Pool::Tokens, Pool::Model, Pool::Max][rng.below(3)];
                let captures = vec![Capture::default().layers(Layers::All).pool(pool)];
                (tokens, positions, captures)
            })
            .collect();
        let hidden: Vec<usize> = texts.iter().map(|_| rng.below(40) / 4).collect();
        let skip: Vec<usize> = texts.iter().map(|_| rng.below(40) / 9).collect();
        let prepared: Vec<PreparedText> = texts
            .iter()
            .enumerate()
            .map(|(i, (tokens, positions, _))| PreparedText {
                tokens: tokens.clone(),
                positions: (i % 2 == 0).then(|| positions.clone()),
                words: Vec::new(),
                skip: skip[i],
                hidden: hidden[i],
            })
            .collect();
        let jobs: Vec<Job<'_>> = prepared
            .iter()
            .zip(&texts)
            .map(|(text, (_, _, captures))| Job { text, windows: None, captures })
            .collect();
        let done = pollster::block_on(encoder.embed_jobs(&jobs)).unwrap();
        assert_eq!(done.results.len(), jobs.len());
        for (result, job) in done.results.iter().zip(&jobs) {
            match result {
                Ok(results) => {
                    let [result] = &results.as_ref().unwrap()[..] else { panic!("one a capture") };
                    let numbers = result.values.to_f32();
                    let states = encoder.spec().depth() + 1;
                    assert_eq!(numbers.len(), states * result.rows * encoder.spec().width);
                    assert!(numbers.iter().all(|x| x.is_finite()));
                    assert_eq!(result.text_tokens, job.text.tokens.ids.len());
                    served += 1;
                }
                Err(_) => refused += 1,
            }
        }
    }
    println!("{served} served, {refused} refused");
}

/// Another length than `count`.
fn rng_length(count: usize) -> usize {
    if count.is_multiple_of(2) { count + 1 } else { count - 1 }
}
