//! From the files of a source to a model an executor can take: spec, layout, and weights by name.
//!
//! Every tensor is checked here, before anything is computed: its presence, its shape, and that
//! none is left over which would change the result.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;

use super::checkpoint::Checkpoint;
use super::config::Config;
use super::family;
use super::layout::{Layout, Part, WeightId};
use super::pipeline::Folder;
use super::source::{Source, read_json};
use super::spec::Spec;
use crate::error::{ErrorKind, Result, fail};
use crate::execute::Weights;

/// A model, its weights still in their files.
#[derive(Debug, Clone)]
pub struct Model {
    /// How a person would name it.
    pub name: String,
    /// What is computed.
    pub spec: Spec,
    /// Where the weights go.
    pub layout: Arc<Layout>,
    /// The weights.
    pub weights: Arc<CheckpointWeights>,
}

impl Model {
    /// Reads `config.json` and the headers of the checkpoint.
    ///
    /// # Errors
    ///
    /// `Unsupported` naming the field, value or tensor that is not computed here; `Checkpoint`
    /// naming a tensor that is missing or has the wrong shape.
    pub fn open(source: &dyn Source) -> Result<Self> {
        Self::open_as(source, true)
    }

    /// [`Model::open`] of the same model without its table of positions: nothing is added for them.
    ///
    /// # Errors
    ///
    /// As there, and `Unsupported` for a model that has no such table.
    pub fn open_without_positions(source: &dyn Source) -> Result<Self> {
        Self::open_as(source, false)
    }

    fn open_as(source: &dyn Source, positions: bool) -> Result<Self> {
        let name = source.name();
        let source = &Folder::of_transformer(source)?;
        let at_model = |e: crate::error::Error| match e.kind() {
            ErrorKind::Io | ErrorKind::NotFound | ErrorKind::Hub => e,
            _ => e.at(&name),
        };
        let config = config(source)?;
        let config = Config::new(&config).map_err(at_model)?;
        let family = family::find(&config).map_err(at_model)?;
        let checkpoint = Checkpoint::open(source)?;
        let has = |tensor: &str| checkpoint.get(tensor).is_some();
        let mut spec = (family.spec)(&config, &has).map_err(at_model)?;
        let left_out = match positions {
            true => None,
            false => Some(spec.embedding.position.take().ok_or_else(|| {
                fail!(Unsupported, "{name}: there is no table of positions to leave out")
            })?),
        };
        let layout = Layout::new(&spec);

        let mut used: HashSet<&str> = left_out.iter().map(|p| p.table.as_str()).collect();
        for part in layout.weights.iter().flat_map(|w| &w.parts) {
            let tensor = present(&checkpoint, part);
            checkpoint.expect(tensor, &part.shape)?;
            used.insert(tensor);
        }
        if let Some(left) = checkpoint.names().find(|t| !used.contains(t) && !(family.ignores)(t)) {
            return Err(fail!(
                Unsupported,
                "{name}: the checkpoint holds the tensor `{left}`, which is not part of \
                 model_type \"{}\" as computed here",
                family.model_type
            ));
        }
        let layout = Arc::new(layout);
        Ok(Self { name, spec, layout, weights: Arc::new(CheckpointWeights(checkpoint)) })
    }
}

/// The longest text in tokens, as `config.json` tells it: no weights are looked at.
///
/// # Errors
///
/// `Unsupported` or `Checkpoint`, naming the field.
pub fn positions(source: &dyn Source) -> Result<usize> {
    let config = config(&Folder::of_transformer(source)?)?;
    let positions = || {
        let config = Config::new(&config)?;
        Ok((family::find(&config)?.spec)(&config, &|_| true)?.positions)
    };
    positions().map_err(|e: crate::error::Error| e.at(source.name()))
}

fn config(source: &dyn Source) -> Result<Value> {
    read_json(source, "config.json")?
        .ok_or_else(|| fail!(NotFound, "{} is not a model: it has no config.json", source.name()))
}

/// The name under which the checkpoint has the tensor, the first one where it has none.
fn present<'a>(checkpoint: &Checkpoint, part: &'a Part) -> &'a str {
    let name = part.names.iter().find(|n| checkpoint.get(n).is_some());
    name.or_else(|| part.names.first()).map_or("", String::as_str)
}

/// Weights read from a checkpoint, padded and put side by side as the layout says.
#[derive(Debug)]
pub struct CheckpointWeights(Checkpoint);

impl Weights for CheckpointWeights {
    fn rows(&self, layout: &Layout, id: WeightId, rows: Range<usize>) -> Result<Vec<f32>> {
        let weight = layout.weight(id);
        // Zeros from the system cost nothing until they are written.
        let mut numbers = vec![0f32; rows.len() * weight.cols];
        for part in &weight.parts {
            let name = present(&self.0, part);
            // A vector is one row of its weight.
            let take = part.take.clone();
            let (height, width) = match part.shape[..] {
                [_, width] => (take.len(), width),
                _ => (1, take.len()),
            };
            // Places rise with the row, so the rows that land inside are one run.
            let inside = |r: &usize| rows.contains(&part.rows.place(*r));
            let Some(first) = (0..height).find(inside) else { continue };
            let last = (first..height).find(|r| !inside(r)).unwrap_or(height);
            let values = if part.shape.len() == 2 {
                let wanted = take.start + first..take.start + last;
                self.0.read_rows_f32(name, &part.shape, wanted)?
            } else {
                self.0.read_rows_f32(name, &part.shape, take)?
            };
            // A tensor that is the whole answer as it stands: no second copy of a large table.
            if weight.parts.len() == 1 && values.len() == numbers.len() && width == weight.cols {
                return Ok(values);
            }
            for (r, values) in (first..last).zip(values.chunks_exact(width)) {
                let row = (part.rows.place(r) - rows.start) * weight.cols;
                let groups = values.chunks(part.cols.size).enumerate();
                for (g, group) in groups {
                    let at = row + part.cols.offset + g * part.cols.stride;
                    numbers[at..at + group.len()].copy_from_slice(group);
                }
            }
        }
        Ok(numbers)
    }
}
