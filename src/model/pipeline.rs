//! What a sentence-transformers repository says beyond the encoder: the modules of its pipeline, the
//! length limit and the prompts.
//!
//! Files and keys: sentence-transformers 6.2, `sentence_transformers/base/modules/*` and
//! `sentence_transformer/modules/*`; a module is known by the last part of its class path, so both
//! the legacy and the new paths are read. Modules with weights are in `modules`, the settings of the
//! Transformer and of the whole in `settings`, the folder of the Transformer in `folder`.

mod folder;
mod modules;
mod settings;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

pub use folder::Folder;
pub use modules::{Dense, LayerMix, LayerNorm, Module};

use super::source::{Source, check_path, read_json};
use crate::capture::Pooling;
use crate::error::{Result, fail};

/// The list of modules.
const MODULES: &str = "modules.json";

/// What the repository says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pipeline {
    /// Tokens of a text, special ones included, where the repository limits them.
    pub max_tokens: Option<usize>,
    /// Whether texts become lower case before the tokenizer sees them.
    pub lower_case: bool,
    /// The folder of the encoder and its tokenizer, `""` for the root.
    pub transformer: String,
    /// The mean of several states that takes the place of the last one.
    pub mix: Option<LayerMix>,
    /// The steps on every token before pooling.
    pub token_modules: Vec<Module>,
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

/// One module of `modules.json`.
#[derive(Deserialize)]
struct ModuleEntry {
    #[serde(default)]
    path: String,
    #[serde(rename = "type")]
    class: String,
}

impl ModuleEntry {
    /// The class without its path.
    fn name(&self) -> &str {
        self.class.rsplit('.').next().unwrap_or_default()
    }

    /// `file` in the module's folder.
    fn file(&self, file: &str) -> String {
        match self.path.as_str() {
            "" => file.to_owned(),
            path => format!("{path}/{file}"),
        }
    }
}

/// The modules in their order, none where there is no `modules.json`; their paths stay inside.
fn entries(source: &dyn Source) -> Result<Option<Vec<ModuleEntry>>> {
    let entries: Option<Vec<ModuleEntry>> = read_json(source, MODULES)?;
    for entry in entries.iter().flatten().filter(|entry| !entry.path.is_empty()) {
        check_path(&entry.path).map_err(|e| e.at(format!("{}: {MODULES}", source.name())))?;
    }
    Ok(entries)
}

impl Pipeline {
    /// Reads the repository; without `modules.json` it is plain mean pooling, as
    /// sentence-transformers makes it, which then reads none of its other files.
    ///
    /// # Errors
    ///
    /// `Unsupported` naming the module, mode or field that is not computed here.
    pub fn open(source: &dyn Source) -> Result<Self> {
        let mut pipeline = Self::default();
        if let Some(entries) = entries(source)? {
            pipeline.read_modules(source, &entries)?;
            pipeline.read_settings(source)?;
            pipeline.read_prompts(source)?;
        }
        Ok(pipeline)
    }

    fn read_modules(&mut self, source: &dyn Source, entries: &[ModuleEntry]) -> Result<()> {
        let place = |file: &str| format!("{}: {file}", source.name());
        let mut pooled = false;
        for (i, entry) in entries.iter().enumerate() {
            match (entry.name(), i, pooled) {
                ("Transformer", 0, _) => self.transformer.clone_from(&entry.path),
                (_, 0, _) => break,
                ("WeightedLayerPooling", 1, _) => {
                    // Without all states sentence-transformers passes it over.
                    if gives_all_states(source, &entries[0])? {
                        self.mix = Some(LayerMix::open(source, &entry.path)?);
                    }
                    continue;
                }
                ("Pooling", _, false) => {
                    let file = entry.file("config.json");
                    let config: Value = read_json(source, &file)?.ok_or_else(|| {
                        fail!(NotFound, "{} is missing, yet modules.json names it", place(&file))
                    })?;
                    self.pooling = Pooling::from_config(&config).map_err(|e| e.at(place(&file)))?;
                    pooled = true;
                }
                ("Dense" | "Normalize", _, false) => {
                    let module = Module::open(source, entry, "token_embeddings")?;
                    self.token_modules.push(module);
                }
                ("Dense" | "Normalize" | "LayerNorm", _, true) => {
                    let module = Module::open(source, entry, "sentence_embedding")?;
                    self.modules.push(module);
                }
                _ => {
                    return Err(fail!(
                        Unsupported,
                        "{}: the module {} at this place ({i}) is not supported (supported: \
                         Transformer, WeightedLayerPooling, Dense and Normalize of tokens, Pooling, \
                         then Dense, LayerNorm and Normalize)",
                        place(MODULES),
                        entry.class
                    ));
                }
            }
        }
        let first = entries.first();
        if let Some(first) = first.filter(|first| first.name() != "Transformer") {
            return Err(fail!(
                Unsupported,
                "{}: the first module is {}, which is not supported (supported: Transformer)",
                place(MODULES),
                first.class
            ));
        }
        if !pooled {
            return Err(fail!(
                Unsupported,
                "{}: it names no Pooling module, so it gives no vector of a text, which is not \
                 supported; add one, or remove modules.json for plain mean pooling",
                place(MODULES)
            ));
        }
        Ok(())
    }

    /// How many of [`Pipeline::modules`], counted from the first, come before the last one with
    /// weights: what is a normalisation there is part of what that one was trained on.
    pub fn trained(&self) -> usize {
        let trained = |module: &Module| *module != Module::Normalize;
        self.modules.iter().rposition(trained).map_or(0, |last| last + 1)
    }

    /// Whether the vectors are normalised.
    pub fn normalizes(&self) -> bool {
        self.modules.contains(&Module::Normalize)
    }

    /// One line a module, for `info`.
    pub fn describe(&self) -> Vec<String> {
        let modes: Vec<_> = self.pooling.modes.iter().map(ToString::to_string).collect();
        let prompt = if self.pooling.include_prompt { "" } else { ", without the prompt's tokens" };
        let mut lines = Vec::new();
        let mut facts = Vec::new();
        if !self.transformer.is_empty() {
            facts.push(format!("in {}", self.transformer));
        }
        if self.lower_case {
            facts.push("texts in lower case".to_owned());
        }
        facts.extend(self.max_tokens.map(|n| format!("at most {n} tokens")));
        let facts =
            if facts.is_empty() { String::new() } else { format!(": {}", facts.join(", ")) };
        lines.push(format!("Transformer{facts}"));
        lines.extend(self.mix.as_ref().map(ToString::to_string));
        lines.extend(self.token_modules.iter().map(|module| format!("{module}, every token")));
        lines.push(format!("Pooling: {}{prompt}", modes.join(" + ")));
        lines.extend(self.modules.iter().map(ToString::to_string));
        lines.extend(self.truncate_dim.map(|dims| format!("the first {dims} dimensions")));
        lines
    }
}

/// Whether the Transformer hands out all its states: `output_hidden_states` of its config.
fn gives_all_states(source: &dyn Source, transformer: &ModuleEntry) -> Result<bool> {
    #[derive(Deserialize)]
    struct Config {
        #[serde(default)]
        output_hidden_states: bool,
    }
    let config: Option<Config> = read_json(source, &transformer.file("config.json"))?;
    Ok(config.is_some_and(|config| config.output_hidden_states))
}
