//! From the files of a source to a model an executor can take: spec, layout, and weights by name.
//!
//! Every tensor is checked here, before anything is computed: its presence, its shape, and that
//! none is left over which would change the result.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::adapter::{self, Adapter};
use super::families;
use super::families::config::Config;
use super::formats::checkpoint::Checkpoint;
use super::layout::{Layout, WeightId, WeightPart};
use super::pipeline::Folder;
use super::sources::{Source, read_json};
use super::spec::Spec;
use super::weights::Weights;
use crate::error::{ErrorKind, Result, fail};
use crate::quote::quote;

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
        let family = families::find(&config).map_err(at_model)?;
        let mut checkpoint = Checkpoint::open(source)?;
        if let Some(adapter) = Adapter::open(source, &checkpoint, family)? {
            checkpoint.merge(adapter.weights, adapter.whole, adapter.deltas);
        }
        let config = config.with_tensors(checkpoint.sizes());
        let has = |tensor: &str| checkpoint.get(tensor).is_some();
        let mut spec = (family.spec)(&config, &has).map_err(at_model)?;
        let left_out = match positions {
            true => None,
            false => Some(spec.embedding.position.take().ok_or_else(|| {
                fail!(Unsupported, "{name}: it has no position embeddings to leave out")
            })?),
        };
        let layout = Layout::new(&spec).map_err(at_model)?;

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
                family.model_type,
                left = quote(left)
            ));
        }
        let layout = Arc::new(layout);
        Ok(Self { name, spec, layout, weights: Arc::new(CheckpointWeights::new(checkpoint)) })
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
        Ok((families::find(&config)?.spec)(&config, &|_| true)?.positions)
    };
    positions().map_err(|e: crate::error::Error| e.at(source.name()))
}

fn config(source: &dyn Source) -> Result<Value> {
    if let Some(config) = read_json(source, "config.json")? {
        return Ok(config);
    }
    let missing = || fail!(NotFound, "{} is not a model: it has no config.json", source.name());
    Err(adapter::alone(source)?.unwrap_or_else(missing))
}

/// The name under which the checkpoint has the tensor, the first one where it has none.
fn present<'a>(checkpoint: &Checkpoint, part: &'a WeightPart) -> &'a str {
    let name = part.names.iter().find(|n| checkpoint.get(n).is_some());
    name.or_else(|| part.names.first()).map_or("", String::as_str)
}

/// Weights read from a checkpoint, padded and put side by side as the layout says.
#[derive(Debug)]
pub struct CheckpointWeights {
    checkpoint: Checkpoint,
    /// The last tensor that was transposed, which is asked for a few rows at a time.
    transposed: Mutex<Option<Transposed>>,
}

/// Rows of a tensor that become columns of a weight.
#[derive(Debug)]
struct Transposed {
    name: String,
    take: Range<usize>,
    values: Vec<f32>,
}

impl CheckpointWeights {
    fn new(checkpoint: Checkpoint) -> Self {
        Self { checkpoint, transposed: Mutex::default() }
    }

    /// Puts `rows` of a weight into `numbers`, `cols` a row: columns of a tensor.
    fn put_transposed(
        &self,
        name: &str,
        part: &WeightPart,
        rows: Range<usize>,
        cols: usize,
        numbers: &mut [f32],
    ) -> Result<()> {
        let mut held = self.transposed.lock().unwrap_or_else(PoisonError::into_inner);
        if !held.as_ref().is_some_and(|t| t.name == name && t.take == part.take) {
            let values = self.checkpoint.read_rows_f32(name, &part.shape, part.take.clone())?;
            *held = Some(Transposed { name: name.to_owned(), take: part.take.clone(), values });
        }
        let values = held.as_ref().map_or(&[][..], |transposed| &transposed.values);
        let (_, width) = part.size();
        for (r, line) in values.chunks_exact(width).enumerate() {
            let column = part.cols.place(r);
            for (c, value) in line.iter().enumerate() {
                let row = part.rows.place(c);
                if rows.contains(&row) {
                    numbers[(row - rows.start) * cols + column] = *value;
                }
            }
        }
        Ok(())
    }
}

impl Weights for CheckpointWeights {
    fn rows(&self, layout: &Layout, id: WeightId, rows: Range<usize>) -> Result<Vec<f32>> {
        let Some(weight) = layout.weights().get(id.0).filter(|weight| rows.end <= weight.rows)
        else {
            return Err(fail!(Usage, "the layout has no rows {rows:?} of weight {}", id.0));
        };
        // Zeros from the system cost nothing until they are written.
        let mut numbers = vec![0f32; rows.len() * weight.cols];
        for part in &weight.parts {
            let name = present(&self.checkpoint, part);
            if part.transposed {
                self.put_transposed(name, part, rows.clone(), weight.cols, &mut numbers)?;
                continue;
            }
            let (height, width) = part.size();
            // Places rise with the row, so the rows that land inside are one run.
            let inside = |r: &usize| rows.contains(&part.rows.place(*r));
            let Some(first) = (0..height).find(inside) else { continue };
            let last = (first..height).find(|r| !inside(r)).unwrap_or(height);
            let take = part.take.clone();
            let wanted = match part.shape.len() {
                1 => take,
                _ => take.start + first..take.start + last,
            };
            let values = self.checkpoint.read_rows_f32(name, &part.shape, wanted)?;
            // A tensor that is the whole answer as it stands: no second copy of a large table.
            let is_all = weight.parts.len() == 1 && values.len() == numbers.len();
            if is_all && width == weight.cols && part.cols.step == 1 {
                return Ok(values);
            }
            for (r, values) in (first..last).zip(values.chunks_exact(width)) {
                let row = (part.rows.place(r) - rows.start) * weight.cols;
                let groups = values.chunks(part.cols.size).enumerate();
                for (g, group) in groups {
                    let at = row + part.cols.offset + g * part.cols.stride;
                    if part.cols.step == 1 {
                        numbers[at..at + group.len()].copy_from_slice(group);
                    } else {
                        let places = numbers[at..].iter_mut().step_by(part.cols.step);
                        places.zip(group).for_each(|(to, value)| *to = *value);
                    }
                }
            }
        }
        Ok(numbers)
    }
}
