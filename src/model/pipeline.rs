//! What a sentence-transformers repository says beyond the encoder: length limit, prompts, pooling
//! and the modules after it.
//!
//! Files and keys: sentence-transformers 6.2, `sentence_transformers/base/modules/*` and
//! `sentence_transformer/modules/*`; a module is known by the last part of its class path, so both
//! the legacy and the new paths are read.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::checkpoint::Checkpoint;
use super::source::{Source, check_path, read_json};
use super::spec::Activation;
use crate::capture::Pooling;
use crate::cpu::vector::activate;
use crate::error::{Result, fail};

/// The names the settings of the Transformer module have had, newest first.
const SETTINGS: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// One step after pooling.
#[derive(Debug, Clone, PartialEq)]
pub enum Module {
    /// y = act(W x + b).
    Dense(Dense),
    /// y = x / max(‖x‖₂, 1e-12).
    Normalize,
}

/// A dense layer on a text's vector, computed on the host in f64 sums: one row a text is little
/// work beside the encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
    inputs: usize,
    outputs: usize,
    activation: Activation,
}

/// What the repository says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pipeline {
    /// Tokens of a text, special ones included, where the repository limits them.
    pub max_tokens: Option<usize>,
    /// How tokens become a text's vector.
    pub pooling: Pooling,
    /// The steps after it.
    pub modules: Vec<Module>,
    /// Prompts by name.
    pub prompts: BTreeMap<String, String>,
    /// The prompt that is used where none is asked for.
    pub default_prompt: Option<String>,
    /// Dimensions kept after all modules, without renormalising.
    pub truncate_dim: Option<usize>,
}

#[derive(Deserialize)]
struct ModuleEntry {
    #[serde(default)]
    path: String,
    #[serde(rename = "type")]
    class: String,
}

#[derive(Deserialize, Default)]
struct Settings {
    max_seq_length: Option<usize>,
    #[serde(default)]
    do_lower_case: bool,
}

#[derive(Deserialize, Default)]
struct Prompts {
    #[serde(default)]
    prompts: BTreeMap<String, Option<String>>,
    default_prompt_name: Option<String>,
    truncate_dim: Option<usize>,
    model_type: Option<String>,
}

#[derive(Deserialize)]
struct DenseConfig {
    in_features: usize,
    out_features: usize,
    #[serde(default = "yes")]
    bias: bool,
    #[serde(default)]
    activation_function: Option<String>,
    #[serde(default)]
    use_residual: bool,
    #[serde(default)]
    module_input_name: Option<String>,
    #[serde(default)]
    module_output_name: Option<String>,
}

fn yes() -> bool {
    true
}

impl Pipeline {
    /// Reads the repository; without `modules.json` it is plain mean pooling, as
    /// sentence-transformers makes it.
    ///
    /// # Errors
    ///
    /// `Unsupported` naming the module, mode or field that is not computed here.
    pub fn open(source: &dyn Source) -> Result<Self> {
        let place = |file: &str| format!("{}: {file}", source.name());
        let mut pipeline = Self::default();
        let mut transformer = String::new();
        let entries: Option<Vec<ModuleEntry>> = read_json(source, "modules.json")?;
        let mut pooled = false;
        for entry in entries.unwrap_or_default() {
            let at = |file: &str| match entry.path.as_str() {
                "" => file.to_owned(),
                path => format!("{path}/{file}"),
            };
            if !entry.path.is_empty() {
                check_path(&entry.path).map_err(|e| e.at(place("modules.json")))?;
            }
            match entry.class.rsplit('.').next().unwrap_or_default() {
                "Transformer" => transformer = entry.path.clone(),
                "Pooling" => {
                    let file = at("config.json");
                    let config: Value = read_json(source, &file)?.ok_or_else(|| {
                        fail!(NotFound, "{} is missing, yet modules.json names it", place(&file))
                    })?;
                    pipeline.pooling =
                        Pooling::from_config(&config).map_err(|e| e.at(place(&file)))?;
                    pooled = true;
                }
                "Dense" if pooled => {
                    let dense = Dense::open(source, &entry.path)?;
                    pipeline.modules.push(Module::Dense(dense));
                }
                "Normalize" if pooled => pipeline.modules.push(Module::Normalize),
                other => {
                    return Err(fail!(
                        Unsupported,
                        "{}: the module {other} at this place is not supported (supported: \
                         Transformer, Pooling, then Dense and Normalize)",
                        place("modules.json")
                    ));
                }
            }
        }
        if !transformer.is_empty() {
            return Err(fail!(
                Unsupported,
                "{}: the Transformer lies in the folder {transformer}; move its files beside \
                 modules.json",
                place("modules.json")
            ));
        }
        pipeline.read_settings(source)?;
        pipeline.read_prompts(source)?;
        Ok(pipeline)
    }

    fn read_settings(&mut self, source: &dyn Source) -> Result<()> {
        for file in SETTINGS {
            let Some(settings) = read_json::<Settings>(source, file)? else { continue };
            if settings.do_lower_case {
                return Err(fail!(
                    Unsupported,
                    "{}: {file}: `do_lower_case` is true, which is not supported; set it in \
                     tokenizer_config.json",
                    source.name()
                ));
            }
            self.max_tokens = settings.max_seq_length;
            return Ok(());
        }
        Ok(())
    }

    fn read_prompts(&mut self, source: &dyn Source) -> Result<()> {
        let file = "config_sentence_transformers.json";
        let Some(config) = read_json::<Prompts>(source, file)? else { return Ok(()) };
        if let Some(kind) = config.model_type.filter(|kind| kind != "SentenceTransformer") {
            return Err(fail!(
                Unsupported,
                "{}: {file}: `model_type` is \"{kind}\", which is not supported (supported: \
                 SentenceTransformer)",
                source.name()
            ));
        }
        // A prompt may be null or empty: none.
        self.prompts =
            config.prompts.into_iter().map(|(k, v)| (k, v.unwrap_or_default())).collect();
        self.truncate_dim = config.truncate_dim;
        if let Some(name) = config.default_prompt_name {
            let prompt = self.prompts.get(&name).ok_or_else(|| {
                fail!(
                    Checkpoint,
                    "{}: {file}: `default_prompt_name` is \"{name}\", which is not among `prompts`",
                    source.name()
                )
            })?;
            self.default_prompt = Some(prompt.clone()).filter(|p| !p.is_empty());
        }
        Ok(())
    }

    /// Whether the last word is a normalisation.
    pub fn normalizes(&self) -> bool {
        self.modules.contains(&Module::Normalize)
    }

    /// One line a module, for `info`.
    pub fn describe(&self) -> Vec<String> {
        let modes: Vec<_> = self.pooling.modes.iter().map(ToString::to_string).collect();
        let mut lines = vec![format!("Pooling: {}", modes.join(" + "))];
        lines.extend(self.modules.iter().map(|module| match module {
            Module::Dense(d) => format!("Dense: {} -> {}, {}", d.inputs, d.outputs, d.activation),
            Module::Normalize => "Normalize".to_owned(),
        }));
        lines
    }
}

impl Dense {
    fn open(source: &dyn Source, folder: &str) -> Result<Self> {
        let file = format!("{folder}/config.json");
        let place = format!("{}: {file}", source.name());
        let config: DenseConfig = read_json(source, &file)?
            .ok_or_else(|| fail!(NotFound, "{place} is missing, yet modules.json names it"))?;
        let name = config.activation_function.as_deref().unwrap_or("Tanh");
        let activation = match name.rsplit('.').next().unwrap_or_default() {
            "Tanh" => Activation::Tanh,
            "Identity" => Activation::Identity,
            "ReLU" => Activation::Relu,
            "SiLU" => Activation::Silu,
            "GELU" => Activation::Gelu,
            _ => {
                return Err(fail!(
                    Unsupported,
                    "{place}: `activation_function` is \"{name}\", which is not supported \
                     (supported: Tanh, Identity, ReLU, SiLU, GELU)"
                ));
            }
        };
        if config.use_residual {
            return Err(fail!(Unsupported, "{place}: `use_residual` true is not supported"));
        }
        for (key, value) in [
            ("module_input_name", &config.module_input_name),
            ("module_output_name", &config.module_output_name),
        ] {
            if let Some(value) = value.as_deref().filter(|v| *v != "sentence_embedding") {
                return Err(fail!(
                    Unsupported,
                    "{place}: `{key}` is \"{value}\", which is not supported (supported: \
                     sentence_embedding)"
                ));
            }
        }
        let checkpoint = Checkpoint::open_in(source, folder)?;
        let (outputs, inputs) = (config.out_features, config.in_features);
        Ok(Self {
            weight: checkpoint.read_f32("linear.weight", &[outputs, inputs])?,
            bias: match config.bias {
                true => Some(checkpoint.read_f32("linear.bias", &[outputs])?),
                false => None,
            },
            inputs,
            outputs,
            activation,
        })
    }

    /// Width of the vectors it takes.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Width of the vectors it gives.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// act(W x + b) of one vector of [`Dense::inputs`] numbers.
    pub fn apply(&self, x: &[f32]) -> Vec<f32> {
        let row = |(i, w): (usize, &[f32])| {
            let sum: f64 = w.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum();
            let bias = self.bias.as_ref().map_or(0.0, |b| f64::from(b[i]));
            (sum + bias) as f32
        };
        let mut y: Vec<f32> = self.weight.chunks_exact(self.inputs).enumerate().map(row).collect();
        activate(&mut y, self.activation);
        y
    }
}
