//! The modules with arithmetic of their own: what they read, and what they do to a row, on the host
//! in f64 sums.

use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::classes::ModuleClass;
use super::entries::ModuleEntry;
use super::keys::{self, Keys};
use crate::error::{Result, fail};
use crate::math::activation::{Activation, activate};
use crate::math::vector;
use crate::model::formats::checkpoint::Checkpoint;
use crate::model::sources::{Source, read_json};
use crate::quote::quote;

/// Added to the variance: torch `nn.LayerNorm`.
const LAYER_NORM_EPS: f64 = 1e-5;

/// One step on a row: a text's vector, or a token's.
#[derive(Debug, Clone, PartialEq)]
pub enum Module {
    /// y = act(W x + b), plus x or R x with a residual.
    Dense(Dense),
    /// y = γ (x - mean) / √(variance + 1e-5) + β.
    LayerNorm(LayerNorm),
    /// y = x / max(‖x‖₂, 1e-12).
    Normalize,
}

/// A dense layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    /// (outputs, inputs)
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
    residual: Option<Residual>,
    inputs: usize,
    outputs: usize,
    activation: Activation,
}

/// What is added to the output of a dense layer.
#[derive(Debug, Clone, PartialEq)]
enum Residual {
    /// The input.
    Input,
    /// A product with the input, (outputs, inputs).
    Product(Vec<f32>),
}

/// A layer normalisation.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerNorm {
    gamma: Vec<f32>,
    beta: Vec<f32>,
}

/// WeightedLayerPooling: the states `first..` as one, sum w·h / sum w.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerMix {
    /// The first of the states.
    pub first: usize,
    /// One a state.
    pub weights: Vec<f32>,
}

#[derive(Deserialize)]
struct DenseConfig {
    in_features: usize,
    out_features: usize,
    #[serde(default = "yes")]
    bias: bool,
    activation_function: Option<String>,
    #[serde(default)]
    use_residual: bool,
    #[serde(flatten)]
    names: Names,
}

/// What a module reads and writes.
#[derive(Deserialize, Default)]
struct Names {
    module_input_name: Option<String>,
    module_output_name: Option<String>,
}

#[derive(Deserialize)]
struct LayerNormConfig {
    dimension: usize,
}

#[derive(Deserialize)]
struct LayerMixConfig {
    #[serde(default = "twelve")]
    num_hidden_layers: usize,
    #[serde(default = "four")]
    layer_start: usize,
}

fn yes() -> bool {
    true
}

// The defaults of `WeightedLayerPooling.__init__`.
fn twelve() -> usize {
    12
}

fn four() -> usize {
    4
}

impl Names {
    /// Refuses another input or output than `wanted`.
    fn check(&self, wanted: &str, place: &str) -> Result<()> {
        let input = self.module_input_name.as_deref().unwrap_or("sentence_embedding");
        let output = self.module_output_name.as_deref().unwrap_or(input);
        for (key, value) in [("module_input_name", input), ("module_output_name", output)] {
            if value != wanted {
                return Err(fail!(
                    Unsupported,
                    "{place}: `{key}` is \"{value}\", which is not supported at this place \
                     (supported: {wanted})",
                    value = quote(value)
                ));
            }
        }
        Ok(())
    }
}

/// The configuration of a module, its keys held against `keys`; and its place, for messages.
/// Where the file is missing the configuration has no keys.
fn config<T: DeserializeOwned>(
    source: &dyn Source,
    entry: &ModuleEntry,
    keys: Keys,
) -> Result<(Option<T>, String)> {
    let file = entry.file("config.json");
    let place = format!("{}: {file}", source.name());
    let Some(fields) = read_json::<Map<String, Value>>(source, &file)? else {
        return Ok((None, place));
    };
    keys::check(&fields, keys).map_err(|e| e.at(&place))?;
    let config = serde_json::from_value(Value::Object(fields));
    let config = config.map_err(|e| fail!(Checkpoint, "{place}: {e}").with_source(e))?;
    Ok((Some(config), place))
}

/// The same for a module that cannot be without one.
fn needed<T: DeserializeOwned>(
    source: &dyn Source,
    entry: &ModuleEntry,
    keys: Keys,
) -> Result<(T, String)> {
    match config(source, entry, keys)? {
        (Some(config), place) => Ok((config, place)),
        (None, place) => Err(fail!(NotFound, "{place} is missing, but modules.json names it")),
    }
}

/// Holds the configuration of a Dropout, which does nothing outside training, against its keys.
pub(super) fn check_dropout(source: &dyn Source, entry: &ModuleEntry) -> Result<()> {
    config::<Map<String, Value>>(source, entry, keys::DROPOUT).map(drop)
}

impl Module {
    /// The Dense, LayerNorm or Normalize of `entry`, which has to read and write what is called
    /// `wanted`.
    pub(super) fn open(source: &dyn Source, entry: &ModuleEntry, wanted: &str) -> Result<Self> {
        match entry.class {
            ModuleClass::Dense => Dense::open(source, entry, wanted).map(Self::Dense),
            ModuleClass::LayerNorm => LayerNorm::open(source, entry).map(Self::LayerNorm),
            // Without a folder of its own the file is the encoder's.
            _ if entry.path.is_empty() => {
                Names::default().check(wanted, &source.name())?;
                Ok(Self::Normalize)
            }
            _ => {
                let (names, place) = config::<Names>(source, entry, keys::NORMALIZE)?;
                names.unwrap_or_default().check(wanted, &place)?;
                Ok(Self::Normalize)
            }
        }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Dense(_) => "Dense",
            Self::LayerNorm(_) => "LayerNorm",
            Self::Normalize => "Normalize",
        }
    }

    /// Width of the rows it takes, `None` for any.
    pub fn inputs(&self) -> Option<usize> {
        match self {
            Self::Dense(dense) => Some(dense.inputs),
            Self::LayerNorm(norm) => Some(norm.gamma.len()),
            Self::Normalize => None,
        }
    }

    /// Width of what it makes of rows of `width`.
    pub fn outputs(&self, width: usize) -> usize {
        match self {
            Self::Dense(dense) => dense.outputs,
            _ => width,
        }
    }

    /// All rows of `rows`, (n, `width`), through the module.
    pub fn apply(&self, mut rows: Vec<f32>, width: usize) -> Vec<f32> {
        let width = width.max(1);
        match self {
            Self::Dense(dense) => rows.chunks_exact(width).flat_map(|x| dense.apply(x)).collect(),
            Self::LayerNorm(norm) => {
                rows.chunks_exact_mut(width).for_each(|x| norm.apply(x));
                rows
            }
            Self::Normalize => {
                rows.chunks_exact_mut(width).for_each(vector::normalize);
                rows
            }
        }
    }
}

impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Dense(d) => {
                write!(f, ": {} -> {}, {}", d.inputs, d.outputs, d.activation)?;
                f.write_str(if d.residual.is_some() { ", residual" } else { "" })
            }
            Self::LayerNorm(norm) => write!(f, ": {}", norm.gamma.len()),
            Self::Normalize => Ok(()),
        }
    }
}

impl Dense {
    fn open(source: &dyn Source, entry: &ModuleEntry, wanted: &str) -> Result<Self> {
        let (config, place) = needed::<DenseConfig>(source, entry, keys::DENSE)?;
        let name = config.activation_function.as_deref().unwrap_or("torch.nn.Tanh");
        let class = [
            "torch.nn.",
            "torch.nn.modules.",
            "torch.nn.modules.activation.",
            "torch.nn.modules.linear.",
        ]
        .iter()
        .find_map(|home| name.strip_prefix(home).filter(|class| !class.contains('.')));
        let activation = match class.unwrap_or_default() {
            "Tanh" => Activation::Tanh,
            "Identity" => Activation::Identity,
            "ReLU" => Activation::Relu,
            "SiLU" => Activation::Silu,
            "GELU" => Activation::Gelu,
            _ => {
                return Err(fail!(
                    Unsupported,
                    "{place}: `activation_function` is \"{name}\", which is not supported \
                     (supported: torch's Tanh, Identity, ReLU, SiLU, GELU)",
                    name = quote(name)
                ));
            }
        };
        config.names.check(wanted, &place)?;
        let checkpoint = Checkpoint::open_in(source, &entry.path)?;
        let (outputs, inputs) = (config.out_features, config.in_features);
        if inputs == 0 || outputs == 0 {
            return Err(fail!(Checkpoint, "{place}: `in_features` or `out_features` is 0"));
        }
        let matrix = |name: &str| checkpoint.read_f32(name, &[outputs, inputs]);
        Ok(Self {
            weight: matrix("linear.weight")?,
            bias: match config.bias {
                true => Some(checkpoint.read_f32("linear.bias", &[outputs])?),
                false => None,
            },
            residual: match (config.use_residual, inputs == outputs) {
                (false, _) => None,
                (true, true) => Some(Residual::Input),
                (true, false) => Some(Residual::Product(matrix("residual.weight")?)),
            },
            inputs,
            outputs,
            activation,
        })
    }

    /// act(W x + b) of one row of `inputs` numbers, with its residual.
    fn apply(&self, x: &[f32]) -> Vec<f32> {
        let dot = |w: &[f32]| -> f64 {
            w.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum()
        };
        let row = |(i, w): (usize, &[f32])| {
            (dot(w) + self.bias.as_ref().map_or(0.0, |b| f64::from(b[i]))) as f32
        };
        let mut y: Vec<f32> = self.weight.chunks_exact(self.inputs).enumerate().map(row).collect();
        activate(&mut y, self.activation);
        match &self.residual {
            None => {}
            Some(Residual::Input) => y.iter_mut().zip(x).for_each(|(y, x)| *y += x),
            Some(Residual::Product(matrix)) => {
                let rows = matrix.chunks_exact(self.inputs);
                y.iter_mut().zip(rows).for_each(|(y, w)| *y += dot(w) as f32);
            }
        }
        y
    }
}

impl LayerNorm {
    fn open(source: &dyn Source, entry: &ModuleEntry) -> Result<Self> {
        let (config, _) = needed::<LayerNormConfig>(source, entry, keys::LAYER_NORM)?;
        let checkpoint = Checkpoint::open_in(source, &entry.path)?;
        let vector = |name: &str| checkpoint.read_f32(name, &[config.dimension]);
        Ok(Self { gamma: vector("norm.weight")?, beta: vector("norm.bias")? })
    }

    fn apply(&self, x: &mut [f32]) {
        let n = x.len() as f64;
        let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let variance = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
        let scale = (variance + LAYER_NORM_EPS).sqrt().recip();
        for ((x, gamma), beta) in x.iter_mut().zip(&self.gamma).zip(&self.beta) {
            let unit = (f64::from(*x) - mean) * scale;
            *x = (unit * f64::from(*gamma) + f64::from(*beta)) as f32;
        }
    }
}

impl LayerMix {
    pub(super) fn open(source: &dyn Source, entry: &ModuleEntry) -> Result<Self> {
        let (config, place) = needed::<LayerMixConfig>(source, entry, keys::LAYER_MIX)?;
        let LayerMixConfig { num_hidden_layers: depth, layer_start: first } = config;
        let Some(count) = depth.checked_sub(first).and_then(|n| n.checked_add(1)) else {
            return Err(fail!(
                Checkpoint,
                "{place}: `layer_start` is {first}, `num_hidden_layers` {depth}: no layer is left"
            ));
        };
        let checkpoint = Checkpoint::open_in(source, &entry.path)?;
        let weights = checkpoint.read_f32("layer_weights", &[count])?;
        Ok(Self { first, weights })
    }
}

impl fmt::Display for LayerMix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.first + self.weights.len() - 1;
        write!(f, "WeightedLayerPooling: states {}..{last}, weights {:?}", self.first, self.weights)
    }
}
