//! Every state of a model, one by one.

use crate::error::Result;
use crate::execute::{Execute, NotFinite};
use crate::model::layout::Layout;
use crate::model::spec::Spec;
use crate::schedule::{Exit, Output, record};
use crate::text::pack::PackedBatch;

/// Every state of `batch`, (tokens, width) without the padding of its rows; or where one is not finite.
///
/// # Errors
///
/// Those of the schedule and of the device.
pub async fn states(
    (spec, layout): (&Spec, &Layout),
    batch: &PackedBatch,
    executor: &dyn Execute,
) -> Result<Result<Vec<Vec<f32>>, NotFinite>> {
    let (width, stride) = (spec.width, layout.width());
    let exit = Exit::states(0..=spec.depth());
    let recording = record(spec, layout, batch, &exit, executor.caps())?;
    let mut states = Vec::new();
    let mut sink = |output, numbers: Vec<f32>| {
        if matches!(output, Output::State(_)) {
            let rows = numbers.chunks_exact(stride).flat_map(|row| &row[..width]);
            states.push(rows.copied().collect());
        }
        Ok(())
    };
    let found = executor.run(&recording, &mut sink).await?;
    Ok(found.map_or(Ok(states), Err))
}
