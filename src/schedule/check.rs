//! What may be written down: a batch, an exit and a device that fit each other.
//!
//! The shaders run without bounds checks, so nothing that could lead them past an array may pass
//! here, whoever made the batch.

use super::caps::Caps;
use super::plan::Exit;
use super::site::Site;
use crate::error::{Result, Setting, fail};
use crate::math::pool::PoolMode;
use crate::model::layout::Layout;
use crate::model::spec::{Positions, Spec};
use crate::text::pack::PackedBatch;

/// Bytes of angles at most: a million places of heads with 64 pairs take half of it.
const MAX_TURNS: u64 = 1 << 30;

/// The row of each token in the position table.
///
/// # Errors
///
/// `Checkpoint` for a row that the table does not have.
pub fn position_rows(batch: &PackedBatch, positions: Option<&Positions>) -> Result<Vec<u32>> {
    let Some(positions) = positions else { return Ok(vec![0; batch.ids.len()]) };
    let rows = match positions.padding {
        None => batch.positions.clone(),
        Some(padding) => counted_rows(batch, padding as u32),
    };
    inside("position row", &rows, positions.rows)?;
    Ok(rows)
}

/// The rows of a family that counts from the row behind padding's: `create_position_ids_from_input_ids`
/// of transformers `modeling_roberta.py`.
fn counted_rows(batch: &PackedBatch, padding: u32) -> Vec<u32> {
    let mut rows = Vec::with_capacity(batch.ids.len());
    for text in batch.offsets.windows(2) {
        let text = text[0] as usize..text[1] as usize;
        let mut last = padding;
        for (&id, &place) in batch.ids[text.clone()].iter().zip(&batch.positions[text]) {
            if place == 0 {
                last = padding;
            }
            last = last.saturating_add(u32::from(id != padding));
            rows.push(if id == padding { padding } else { last });
        }
    }
    rows
}

/// No value is beyond its table.
fn inside(what: &str, values: &[u32], rows: usize) -> Result<()> {
    match values.iter().max() {
        Some(&v) if v as usize >= rows => {
            Err(fail!(Checkpoint, "{what} {v} is outside its table of {rows} rows"))
        }
        _ => Ok(()),
    }
}

/// Refuses what [`super::record`] could not write down truthfully.
pub fn check(
    spec: &Spec,
    layout: &Layout,
    batch: &PackedBatch,
    exits: &[Exit],
    caps: &Caps,
) -> Result<()> {
    check_batch(spec, layout, batch, caps)?;
    if exits.is_empty() {
        return Err(fail!(Usage, "nothing is asked of the batch"));
    }
    for exit in exits {
        check_exit(spec, layout, exit)?;
        let row = exit.site.row(spec);
        let most = exit.max_tokens(spec, caps.max_binding);
        if batch.ids.len() > most {
            return Err(fail!(
                Usage,
                "a batch of {} tokens does not fit at site `{}`: 1 to {most} do",
                batch.ids.len(),
                exit.site
            )
            .about(&[Setting::BatchTokens]));
        }
        if exit.pool.is_some() {
            check_pooled(exit, batch.offsets.len() - 1, row.line(), caps)?;
        }
    }
    Ok(())
}

/// What exit pools of `texts` texts is one array.
fn check_pooled(exit: &Exit, texts: usize, width: usize, caps: &Caps) -> Result<()> {
    let bytes = (exit.parts() * texts * width) as u64 * 4;
    if bytes > caps.max_binding {
        return Err(fail!(
            Usage,
            "{} pooled vectors for each of {texts} texts take {bytes} bytes, more than the {} the \
             device binds at once; use smaller batches or the route `stream`",
            exit.parts(),
            caps.max_binding
        )
        .about(&[Setting::BatchTokens]));
    }
    Ok(())
}

/// Refuses a layout of another encoder, and a batch that is none or does not fit.
pub fn check_batch(spec: &Spec, layout: &Layout, batch: &PackedBatch, caps: &Caps) -> Result<()> {
    if !layout.is_of(spec) {
        return Err(fail!(Usage, "the layout is not that of this encoder"));
    }
    let most = caps.max_tokens(spec, layout);
    let tokens = batch.ids.len();
    if tokens == 0 || tokens > most {
        return Err(fail!(Usage, "a batch of {tokens} tokens does not fit: 1 to {most} do"));
    }
    let (positions, types) = (batch.positions.len(), batch.types.len());
    if positions != tokens || types != tokens {
        return Err(fail!(
            Usage,
            "a batch of {tokens} ids has {positions} positions and {types} token types"
        ));
    }
    let ends = (batch.offsets.first(), batch.offsets.last());
    if ends != (Some(&0), Some(&(tokens as u32))) {
        return Err(fail!(Usage, "the texts of a batch do not cover its {tokens} tokens"));
    }
    if let Some(text) = batch.offsets.windows(2).position(|o| o[0] >= o[1]) {
        return Err(fail!(Usage, "text {text} of a batch has no tokens"));
    }
    let seen = |(i, o): (usize, &[u32])| {
        batch.hidden.is_empty() || batch.hidden.get(i).is_some_and(|&hidden| hidden < o[1] - o[0])
    };
    if let Some(text) = batch.offsets.windows(2).enumerate().position(|pair| !seen(pair)) {
        return Err(fail!(Usage, "text {text} of a batch has no token that is seen"));
    }
    inside("token id", &batch.ids, spec.vocab)?;
    inside("position", &batch.positions, spec.positions)?;
    check_turns(spec, batch, caps)?;
    match spec.embedding.token_type {
        Some(_) => inside("token type", &batch.types, spec.types),
        // Types take no part.
        None => Ok(()),
    }
}

/// The angles of every place up to the furthest are one array.
fn check_turns(spec: &Spec, batch: &PackedBatch, caps: &Caps) -> Result<()> {
    let pairs = spec.blocks.iter().filter_map(|block| block.attention.rope.as_ref());
    let pairs = pairs.map(|rope| rope.angles.len()).max().unwrap_or(0) as u64;
    let places = batch.positions.iter().max().map_or(0, |&place| u64::from(place) + 1);
    let bytes = 8 * pairs * places;
    match bytes > caps.max_binding.min(MAX_TURNS) {
        true => Err(fail!(
            Usage,
            "the angles of {places} positions take {bytes} bytes, more than one array holds"
        )),
        false => Ok(()),
    }
}

fn check_exit(spec: &Spec, layout: &Layout, exit: &Exit) -> Result<()> {
    let states = &exit.states;
    if states.is_empty() || exit.deepest() > spec.depth() {
        return Err(fail!(
            Usage,
            "state {} does not exist: the model has states 0 to {}",
            exit.deepest(),
            spec.depth()
        ));
    }
    exit.site.check(spec, states)?;
    // The second place of a state would stay as the memory was.
    if let Some(i) = (1..states.len()).find(|&i| states[..i].contains(&states[i])) {
        return Err(fail!(Usage, "state {} is asked for twice", states[i]));
    }
    if let Some(combination) = &exit.combine {
        let factors = combination.factors.len();
        if factors != states.len() {
            return Err(fail!(Usage, "{factors} factors for {} states", states.len()));
        }
        if let Some(factor) = combination.factors.iter().find(|factor| !factor.is_finite()) {
            return Err(fail!(Usage, "a state cannot be multiplied with {factor}"));
        }
    }
    if let Some(pooling) = &exit.pool {
        if pooling.reduces.is_empty() {
            return Err(fail!(Usage, "a pooling without a mode gives nothing"));
        }
        let is_last = exit.site == Site::Hidden && !exit.is_unnormed(spec);
        if pooling.pooler && (layout.pooler.is_none() || exit.parts() != 1 || !is_last) {
            return Err(fail!(
                Usage,
                "the pooler reads one state of a checkpoint that has a pooler"
            ));
        }
        let reads_one =
            [[PoolMode::Cls], [PoolMode::Last]].iter().any(|one| pooling.reduces == one);
        if pooling.pooler && !reads_one {
            return Err(fail!(Usage, "the pooler reads the first row of a text, or its last"));
        }
    }
    Ok(())
}
