//! From a capture to what the device has to bring and what the host does with it.
//!
//! Nothing here depends on the texts of a call: two texts with one capture take the same way, or
//! their bits could differ.

use std::ops::Range;

use crate::capture::reduce::{Reduced, Reduction, reduce_text};
use crate::capture::{Capture, Combine, Pool, PoolMode, vector};
use crate::embeddings::Rows;
use crate::error::{Result, fail};
use crate::model::pipeline::{Module, Pipeline};
use crate::model::spec::Spec;
use crate::schedule::{Combination, Exit, Merge, Pooling};

/// A capture held against a model.
pub struct Wish<'a> {
    capture: &'a Capture,
    pipeline: &'a Pipeline,
    /// Chosen states in the caller's order.
    pub states: Vec<usize>,
    /// The poolings of a text's row; empty for tokens and words.
    modes: Vec<PoolMode>,
    /// Whether Dense modules run: they were trained on the last state alone.
    dense: bool,
    /// What the device brings.
    pub exit: Exit,
    width: usize,
}

/// What the device brought for one text: compact (rows, width) arrays.
pub enum Brought {
    /// One array a chosen state, (tokens, width).
    States(Vec<Vec<f32>>),
    /// The combined states, (tokens, width).
    Combined(Vec<f32>),
    /// Pooled rows, (arrays, modes, width).
    Pooled(Vec<f32>),
}

impl<'a> Wish<'a> {
    /// Holds `capture` against the model; `skip` says that a prompt's tokens stay out of pooling,
    /// which only the host does.
    pub fn new(
        capture: &'a Capture,
        spec: &Spec,
        pipeline: &'a Pipeline,
        skip: usize,
    ) -> Result<Self> {
        let states = capture.layers.resolve(spec.depth())?;
        capture.combine.check(states.len())?;
        let last = states == [spec.depth()];
        let pooler = capture.pool == Pool::Pooler;
        if pooler && spec.pooler.is_none() {
            return Err(fail!(
                Usage,
                "this checkpoint has no pooler; use another pooling, such as mean or cls"
            ));
        }
        if pooler && !last {
            return Err(fail!(
                Usage,
                "the pooler reads the last layer alone: leave --layers at `last`"
            ));
        }
        let modes = capture.pool.modes(&pipeline.pooling).unwrap_or_default();
        let combine = device_combination(&capture.combine, states.len());
        let pool = (!modes.is_empty()).then(|| Pooling { reduces: modes.clone(), pooler });
        let fold = Exit { states: states.clone(), combine, pool };
        let exit = if skip > 0 { fold.streamed() } else { fold.choose(capture.route) };
        let dense =
            capture.pool == Pool::Model && last && !matches!(capture.combine, Combine::Concat);
        let wish = Self { capture, pipeline, states, modes, dense, exit, width: spec.width };
        wish.check_dense()?;
        Ok(wish)
    }

    fn check_dense(&self) -> Result<()> {
        let mut width = self.width * self.modes.len();
        for module in self.modules() {
            if let Module::Dense(dense) = module {
                if dense.inputs() != width {
                    return Err(fail!(
                        Checkpoint,
                        "a Dense module takes vectors of {}, the one before it gives {width}",
                        dense.inputs()
                    ));
                }
                width = dense.outputs();
            }
        }
        Ok(())
    }

    /// The checkpoint's modules that this capture runs.
    fn modules(&self) -> impl Iterator<Item = &'a Module> {
        let (dense, override_) = (self.dense, self.capture.normalize);
        let all = if self.capture.pool == Pool::Model { &self.pipeline.modules[..] } else { &[] };
        all.iter().filter(move |module| match module {
            Module::Dense(_) => dense,
            Module::Normalize => override_ != Some(false),
        })
    }

    /// The capture.
    pub fn capture(&self) -> &'a Capture {
        self.capture
    }

    /// Width of a state.
    pub fn width(&self) -> usize {
        self.width
    }

    /// What a row of the result is.
    pub fn rows(&self) -> Rows {
        self.capture.pool.into()
    }

    /// Numbers of a finished row, before a precision packs them.
    pub fn out_width(&self) -> usize {
        let joined = match self.capture.pool {
            Pool::Tokens | Pool::Words(_) => self.capture.pool.widen(self.width),
            _ => self.width * self.modes.len(),
        };
        let pooled = joined * self.states.len() / self.arrays();
        let through = self.modules().fold(pooled, |width, module| match module {
            Module::Dense(dense) => dense.outputs(),
            Module::Normalize => width,
        });
        match self.capture.dims {
            Some(dims) => dims,
            None => self.truncate_dim(through).unwrap_or(through),
        }
    }

    /// By how much `concat` does not widen a row.
    fn arrays(&self) -> usize {
        if self.capture.combine == Combine::Concat { 1 } else { self.states.len() }
    }

    /// The checkpoint's own limit of dimensions, where it applies to a row of `width`.
    fn truncate_dim(&self, width: usize) -> Option<usize> {
        let applies = self.capture.pool == Pool::Model && self.capture.dims.is_none();
        self.pipeline.truncate_dim.filter(|&d| applies && d > 0 && d < width)
    }

    /// Rows of the layer axis.
    pub fn layer_axis(&self) -> usize {
        self.capture.combine.layer_axis(self.states.len())
    }

    /// The finished rows of one text: combined, pooled, through the modules, normalised, cut.
    /// `skip` is the number of tokens at its start that are not pooled.
    pub fn finish(
        &self,
        brought: &Brought,
        words: &[Range<usize>],
        skip: usize,
    ) -> Result<Reduced> {
        let how = match self.capture.pool {
            Pool::Tokens => Reduction::Tokens,
            Pool::Words(mode) => Reduction::Words { mode, words },
            _ => Reduction::Text { modes: &self.modes, skip },
        };
        let mut reduced = match brought {
            Brought::States(states) => {
                let states: Vec<&[f32]> = states.iter().map(Vec::as_slice).collect();
                reduce_text(&states, self.width, &self.capture.combine, &how)?
            }
            Brought::Combined(state) => reduce_text(&[state], self.width, &Combine::Stack, &how)?,
            Brought::Pooled(parts) => self.join(parts),
        };
        for module in self.modules() {
            match module {
                Module::Normalize => {
                    reduced.values.chunks_exact_mut(reduced.width).for_each(vector::normalize);
                }
                Module::Dense(dense) => {
                    let rows = reduced.values.chunks_exact(reduced.width);
                    reduced.values = rows.flat_map(|row| dense.apply(row)).collect();
                    reduced.width = dense.outputs();
                }
            }
        }
        let (values, width) = (std::mem::take(&mut reduced.values), reduced.width);
        let (values, width) =
            vector::finish(values, width, self.capture.normalize, self.capture.dims)?;
        (reduced.values, reduced.width) = (values, width);
        self.truncate(&mut reduced);
        if reduced.values.iter().any(|x| !x.is_finite()) {
            return Err(fail!(
                NotFinite,
                "the pooled vector of states {:?} holds NaN or infinity: the numbers overflow f32",
                self.states
            ));
        }
        Ok(reduced)
    }

    fn truncate(&self, reduced: &mut Reduced) {
        if let Some(dims) = self.truncate_dim(reduced.width) {
            let rows = reduced.values.chunks_exact(reduced.width);
            reduced.values = rows.flat_map(|row| &row[..dims]).copied().collect();
            reduced.width = dims;
        }
    }

    /// Pooled parts, (arrays, modes, width), in the order of the definition: under `concat` a
    /// token is all layers wide before it is pooled, so modes are outermost.
    fn join(&self, parts: &[f32]) -> Reduced {
        let (modes, width) = (self.modes.len(), self.width);
        let arrays = parts.len() / (modes * width).max(1);
        let layer_axis = self.layer_axis();
        let values = if self.capture.combine == Combine::Concat {
            let at = |mode, array| &parts[(array * modes + mode) * width..][..width];
            (0..modes)
                .flat_map(|m| (0..arrays).flat_map(move |a| at(m, a).iter().copied()))
                .collect()
        } else {
            parts.to_vec()
        };
        let width = values.len() / layer_axis.max(1);
        Reduced { values, layer_axis, rows: 1, width }
    }
}

/// The combination a device computes, `None` where layers stay apart or there is one, unchanged.
fn device_combination(combine: &Combine, layers: usize) -> Option<Combination> {
    let (merge, factors) = match combine {
        Combine::Stack | Combine::Concat => return None,
        Combine::Max => (Merge::Max, vec![1.0; layers]),
        linear => {
            let factors = linear.coefficients(layers)?;
            (Merge::Linear, factors.into_iter().map(|c| c as f32).collect())
        }
    };
    let unchanged = factors == [1.0];
    (!unchanged).then_some(Combination { merge, factors })
}
