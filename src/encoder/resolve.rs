//! A capture held against a model: what the device brings for it (an [`Exit`]), and what the host
//! does with that (an [`Epilogue`]).
//!
//! Nothing here depends on the texts of a call: two texts with one capture take the same way, or
//! their bits could differ.

use std::ops::Range;

use crate::capture::reduce::{Reduced, Reduction, reduce_text};
use crate::capture::{Capture, Combine, Overflow, Pool, PoolMode};
use crate::embeddings::Rows;
use crate::error::{Result, Setting, fail};
use crate::math::vector;
use crate::model::pipeline::{LayerMix, Module, Pipeline};
use crate::model::spec::Spec;
use crate::schedule::{Combination, Exit, Merge, Output, Pooling, Site, SiteRow};

/// A capture held against a model.
pub struct Resolved<'a> {
    /// What the device brings.
    pub exit: Exit,
    /// What the host does with it.
    pub epilogue: Epilogue<'a>,
}

/// From what the device brought to the rows of a result.
pub struct Epilogue<'a> {
    capture: &'a Capture,
    pipeline: &'a Pipeline,
    /// Chosen states in the caller's order.
    pub layers: Vec<usize>,
    /// The states that are brought: those, or what the checkpoint mixes its last one from.
    pub states: Vec<usize>,
    /// How they become one, or stay apart.
    combine: Combine,
    /// The poolings of a text's row; empty for tokens and words.
    modes: Vec<PoolMode>,
    /// Whether modules with weights run: they were trained on the last state alone.
    trained: bool,
    width: usize,
    row: SiteRow,
    /// The state that is taken before the final norm.
    unnormed: Option<usize>,
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

impl<'a> Resolved<'a> {
    /// Holds `capture` against the model; `skip` says that a prompt's tokens stay out of pooling,
    /// which only the host does.
    pub fn new(
        capture: &'a Capture,
        spec: &Spec,
        pipeline: &'a Pipeline,
        skip: usize,
    ) -> Result<Self> {
        capture.check()?;
        let site = capture.site;
        let layers = match site {
            Site::Hidden => capture.layers.resolve(spec.depth())?,
            _ => capture.layers.resolve_blocks(spec.depth())?,
        };
        site.check(spec, &layers).map_err(|e| e.about(&[Setting::Layers]))?;
        check_final_norm(capture, spec)?;
        capture.combine.check(layers.len())?;
        let is_trained_on = site == Site::Hidden && capture.final_norm != Some(false);
        let last = layers == [spec.depth()] && is_trained_on;
        let trained = capture.pool == Pool::Model && last;
        let (states, combine) = match &pipeline.mix {
            Some(mix) if trained => mixed(mix, &capture.combine, spec.depth())?,
            _ => (layers.clone(), capture.combine.clone()),
        };
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
                "the pooler reads the last hidden state alone: leave the layers at `last`, the site at \
                 `hidden`, and the final norm on"
            )
            .about(&[Setting::Layers]));
        }
        let windows = matches!(capture.overflow, Overflow::Window { .. });
        if pooler && windows {
            return Err(fail!(
                Usage,
                "the pooler reads a text's first token alone, which windows do not help: leave \
                 overflow at `truncate`"
            )
            .about(&[Setting::Overflow]));
        }
        let modes = capture.pool.modes(&pipeline.pooling).unwrap_or_default();
        let merge = device_combination(&combine, states.len());
        let pool = (!modes.is_empty()).then(|| Pooling { reduces: modes.clone(), pooler });
        let final_norm = capture.final_norm != Some(false);
        let fold = Exit { site, final_norm, states: states.clone(), combine: merge, pool };
        let row = site.row(spec);
        let unnormed = fold.is_unnormed(spec).then_some(spec.depth());
        let width = row.numbers();
        let epilogue = Epilogue {
            capture,
            pipeline,
            layers,
            states,
            combine,
            modes,
            trained,
            width,
            row,
            unnormed,
        };
        epilogue.check_modules()?;
        // The host alone leaves tokens out, and takes them through modules before pooling.
        // A text in windows is pooled over the tokens of all of them.
        let on_host = skip > 0 || windows || !epilogue.token_modules().is_empty();
        let exit = if on_host { fold.streamed() } else { fold.choose(capture.route) };
        Ok(Self { exit, epilogue })
    }
}

impl<'a> Epilogue<'a> {
    /// Each module takes what the one before it gives.
    fn check_modules(&self) -> Result<()> {
        let through = |width: usize, module: &Module| -> Result<usize> {
            if let Some(wanted) = module.inputs().filter(|&inputs| inputs != width) {
                return Err(fail!(
                    Checkpoint,
                    "a {} module takes vectors of {wanted}, the one before it gives {width}",
                    module.name()
                ));
            }
            Ok(module.outputs(width))
        };
        let tokens = self.token_modules().iter().try_fold(self.width, through)?;
        self.modules().try_fold(tokens * self.modes.len(), through)?;
        Ok(())
    }

    /// The checkpoint's modules on tokens that this capture runs.
    fn token_modules(&self) -> &'a [Module] {
        if self.trained { &self.pipeline.token_modules } else { &[] }
    }

    /// Width of a token that is pooled.
    fn token_width(&self) -> usize {
        self.token_modules().iter().fold(self.width, |width, module| module.outputs(width))
    }

    /// The checkpoint's modules that this capture runs.
    fn modules(&self) -> impl Iterator<Item = &'a Module> {
        let (trained, override_) = (self.trained, self.capture.normalize);
        let all = if self.capture.pool == Pool::Model { &self.pipeline.modules[..] } else { &[] };
        // A normalisation before a module with weights is part of what that was trained on.
        let inner = if trained { self.pipeline.trained() } else { 0 };
        let runs = move |(i, module): &(usize, &Module)| match module {
            Module::Normalize => *i < inner || override_ != Some(false),
            Module::Dense(_) | Module::LayerNorm(_) => trained,
        };
        all.iter().enumerate().filter(runs).map(|(_, module)| module)
    }

    /// The capture.
    pub fn capture(&self) -> &'a Capture {
        self.capture
    }

    /// What a row of a state is on the device.
    pub fn row(&self) -> SiteRow {
        self.row
    }

    /// Heads of a row and numbers of a head, where the site has heads.
    pub fn heads(&self) -> Option<[usize; 2]> {
        self.capture.site.has_heads().then_some([self.row.heads, self.row.size])
    }

    /// Whether the final norm is left out.
    pub fn is_unnormed(&self) -> bool {
        self.unnormed.is_some()
    }

    /// As what `state` leaves the device.
    pub fn output(&self, state: usize) -> Output {
        match self.capture.site {
            Site::Hidden if self.unnormed == Some(state) => Output::Unnormed,
            Site::Hidden => Output::State(state),
            site => Output::Site(site, state),
        }
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
            _ => self.token_width() * self.modes.len(),
        };
        let pooled = self.combine.widen(joined, self.states.len());
        let through = self.modules().fold(pooled, |width, module| module.outputs(width));
        match self.capture.dims {
            Some(dims) => dims,
            None => self.truncate_dim(through).unwrap_or(through),
        }
    }

    /// The checkpoint's own limit of dimensions, where it applies to a row of `width`.
    fn truncate_dim(&self, width: usize) -> Option<usize> {
        let (pool, site) = (self.capture.pool, self.capture.site);
        let applies = (pool, site) == (Pool::Model, Site::Hidden) && self.capture.dims.is_none();
        self.pipeline.truncate_dim.filter(|&d| applies && d > 0 && d < width)
    }

    /// Rows of the layer axis.
    pub fn layer_axis(&self) -> usize {
        self.combine.layer_axis(self.states.len())
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
                match self.token_modules() {
                    [] => reduce_text(&states, self.width, &self.combine, &how)?,
                    modules => {
                        let rows = self.through(&states, modules);
                        reduce_text(&[&rows], self.token_width(), &Combine::Stack, &how)?
                    }
                }
            }
            Brought::Combined(state) => reduce_text(&[state], self.width, &Combine::Stack, &how)?,
            Brought::Pooled(parts) => self.join(parts),
        };
        for module in self.modules() {
            reduced.values = module.apply(reduced.values, reduced.width);
            reduced.width = module.outputs(reduced.width);
        }
        self.truncate(&mut reduced);
        let values = std::mem::take(&mut reduced.values);
        (reduced.values, reduced.width) =
            vector::finish(values, reduced.width, self.capture.normalize, self.capture.dims)?;
        if reduced.values.iter().any(|x| !x.is_finite()) {
            return Err(fail!(
                NotFinite,
                "the pooled vector of states {:?} holds NaN or infinity: the numbers overflow f32",
                self.states
            ));
        }
        Ok(reduced)
    }

    /// The tokens of the last state, or of what is mixed in its place, through `modules`.
    fn through(&self, states: &[&[f32]], modules: &[Module]) -> Vec<f32> {
        let rows = self.combine.apply(states).unwrap_or_else(|| states.concat());
        let step = |(rows, width): (Vec<f32>, usize), module: &Module| {
            (module.apply(rows, width), module.outputs(width))
        };
        modules.iter().fold((rows, self.width), step).0
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
        let values = if self.combine == Combine::Concat {
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

/// The norm that is left out is there.
fn check_final_norm(capture: &Capture, spec: &Spec) -> Result<()> {
    if capture.final_norm != Some(false) {
        return Ok(());
    }
    if spec.final_norm.is_none() {
        return Err(fail!(
            Usage,
            "this model has no final norm that could be left out: its blocks normalise at their end"
        ));
    }
    if capture.site != Site::Hidden {
        return Err(fail!(
            Usage,
            "the final norm is applied to hidden states alone: leave it on for site `{}`",
            capture.site
        ));
    }
    Ok(())
}

/// What WeightedLayerPooling puts in the place of the last state: the states, and how they become
/// one. `asked` is the caller's combination of a single state, which must leave it as it is.
fn mixed(mix: &LayerMix, asked: &Combine, depth: usize) -> Result<(Vec<usize>, Combine)> {
    if device_combination(asked, 1).is_some() {
        return Err(fail!(
            Usage,
            "combine `{}` cannot be applied: this checkpoint combines its layers itself \
             (WeightedLayerPooling); leave out the combination, or choose the layers",
            asked.quoted()
        )
        .about(&[Setting::Combine, Setting::Layers]));
    }
    if mix.first + mix.weights.len() != depth + 1 {
        return Err(fail!(
            Checkpoint,
            "the WeightedLayerPooling module has {} weights for the states from {} on, the model's \
             last state is {depth}",
            mix.weights.len(),
            mix.first
        ));
    }
    let combine = Combine::Weighted(mix.weights.clone());
    combine.check(mix.weights.len()).map_err(|e| e.at("WeightedLayerPooling"))?;
    Ok(((mix.first..=depth).collect(), combine))
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
