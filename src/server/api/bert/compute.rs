//! From the texts of a request to the array that the original would answer with.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::rows::{SequenceRow, rows};
use super::{Config, Sequences, Strategy};
use crate::embeddings::TextEmbedding;
use crate::server::core::bodies::Caller;
use crate::server::core::error::{ApiError, ErrorCode};
use crate::server::core::results::TOKEN;
use crate::server::core::service::{Hosted, Service};

/// What a request comes to.
#[derive(Debug)]
pub struct Array {
    /// (sequences, width), or (sequences, length, width).
    pub shape: Vec<usize>,
    /// Row-major.
    pub values: Vec<f32>,
    /// Where clients are shown them.
    pub tokens: Option<Vec<Vec<String>>>,
    /// What it takes, until it is dropped.
    pub room: OwnedSemaphorePermit,
}

/// Computes what BERT-as-Service would.
///
/// # Errors
///
/// What the texts, the queue or the model say.
pub async fn compute(
    service: &Service,
    Caller { client, room: body }: Caller,
    model: &Hosted,
    config: &Config,
    sequences: Sequences,
) -> Result<Array, ApiError> {
    let encoder = model.batcher.encoder();
    let count = sequences.len();
    if count == 0 {
        return Err(ApiError::new(ErrorCode::Empty, "there is no sequence to encode"));
    }
    if count > service.settings.max_queue {
        let most = service.settings.max_queue;
        let said = format!("{count} sequences are more than the queue limit of {most}");
        return Err(ApiError::new(ErrorCode::TooLarge, said));
    }
    let capture = config.capture(&encoder)?;
    let states = config.states(&encoder)?;
    let (shared, settings) = (Arc::clone(&encoder), config.clone());
    let limit = config.max_seq_len.unwrap_or(encoder.spec().positions);
    let turn = service.turn().await?;
    let mut room = service.results.expect(sequences.most_tokens(limit).saturating_mul(TOKEN))?;
    let read = tokio::task::spawn_blocking(move || {
        let _held = (turn, body);
        rows(&shared, &settings, sequences)
    });
    let failed = |_| ApiError::new(ErrorCode::Tokenizer, "the tokenizer failed on the texts");
    let rows = read.await.map_err(failed)??;

    // A sequence of which nothing is left unmasked is not run.
    let (mut run, mut at) = (Vec::new(), Vec::new());
    for row in &rows {
        at.push((!row.ready.tokens.is_empty()).then_some(run.len()));
        if !row.ready.tokens.is_empty() {
            run.push(Arc::new(row.ready.clone()));
        }
    }
    let unique: BTreeSet<usize> = match config.strategy {
        Strategy::ClsPooled => [encoder.spec().depth()].into(),
        _ => states.iter().copied().collect(),
    };
    let order: Vec<usize> = match config.strategy {
        Strategy::ClsPooled => vec![0],
        _ => states.iter().filter_map(|s| unique.iter().position(|u| u == s)).collect(),
    };
    let width = encoder.spec().width;
    let parts = if config.strategy == Strategy::ReduceMeanMax { 2 } else { 1 };
    let wide = width * parts * order.len();
    let longest = rows.iter().map(|r| r.pieces.len()).max().unwrap_or(0);
    let length = match config.max_seq_len {
        Some(n) => n,
        None if config.fixed_embed_length => encoder.spec().positions,
        None => longest,
    };
    let is_ragged = config.strategy == Strategy::None;
    let each = if is_ragged { length * wide } else { wide };
    let tokens: usize = rows.iter().map(|row| row.pieces.len()).sum();
    let numbers = count.saturating_mul(each).saturating_mul(4);
    service.results.resize(&mut room, numbers.saturating_add(tokens * TOKEN))?;
    let texts = match run.is_empty() {
        true => Vec::new(),
        false => model.batcher.submit(client, run, vec![capture.clone()], None).await?.texts,
    };
    let mut values = vec![0f32; count * each];
    for ((row, at), out) in rows.iter().zip(at).zip(values.chunks_exact_mut(each.max(1))) {
        let text = at.and_then(|at| texts.get(at)).and_then(|captures| captures.first());
        match text {
            Some(text) => fill(text, row, &order, (width, parts, wide), is_ragged, out),
            // `h - (1 - m) * 1e30` with nothing left.
            None if config.strategy == Strategy::ReduceMax => out.fill(-1e30),
            None if config.strategy == Strategy::ReduceMeanMax => out[wide / 2..].fill(-1e30),
            None => {}
        }
    }
    let shape = match is_ragged {
        true => vec![count, length, wide],
        false => vec![count, wide],
    };
    let tokens = config.show_tokens.then(|| rows.into_iter().map(|r| r.pieces).collect());
    Ok(Array { shape, values, tokens, room })
}

/// One sequence's numbers: its layers side by side in the caller's order, means before maxima.
fn fill(
    text: &TextEmbedding,
    row: &SequenceRow,
    order: &[usize],
    (width, parts, wide): (usize, usize, usize),
    is_ragged: bool,
    out: &mut [f32],
) {
    let numbers = text.values.to_f32();
    for r in 0..text.rows {
        let start = if is_ragged { row.places[r] * wide } else { 0 };
        for part in 0..parts {
            for (i, layer) in order.iter().enumerate() {
                let from = ((layer * text.rows + r) * parts + part) * width;
                let to = start + (part * order.len() + i) * width;
                if let (Some(to), Some(from)) =
                    (out.get_mut(to..to + width), numbers.get(from..from + width))
                {
                    to.copy_from_slice(from);
                }
            }
        }
    }
}
