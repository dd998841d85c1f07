//! What a sentence-transformers repository says beyond the encoder: the modules of its pipeline, the
//! length limit and the prompts.
//!
//! Files and keys: sentence-transformers 6.2, `sentence_transformers/base/modules/*` and
//! `sentence_transformer/modules/*`. Class paths are in `classes`, what becomes of each key in
//! `keys`, the list of modules in `entries`, modules with weights in `modules`, the settings of the
//! Transformer and of the whole in `settings`, the folder of the Transformer in `folder`.

mod classes;
mod entries;
mod folder;
mod keys;
mod modules;
mod pooling;
mod settings;

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

pub use folder::Folder;
pub use keys::{KEYS, Key, Keys};
pub use modules::{Dense, LayerMix, LayerNorm, Module};
pub use pooling::Pooling;

use self::classes::ModuleClass;
use self::entries::{MODULES, ModuleEntry, entries};
use super::sources::{Source, read_json};
use crate::error::{Result, fail};

/// What sentence-transformers made the repository for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Kind {
    /// A vector for a text.
    #[default]
    SentenceTransformer,
    /// A score for a pair of texts.
    CrossEncoder,
    /// A weight for each token of the vocabulary.
    SparseEncoder,
    /// A vector for each token, compared one by one (ColBERT).
    MultiVectorEncoder,
}

impl Kind {
    const ALL: [Self; 4] = [
        Self::SentenceTransformer,
        Self::CrossEncoder,
        Self::SparseEncoder,
        Self::MultiVectorEncoder,
    ];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What the repository says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pipeline {
    /// What it was made for. Of all but a `SentenceTransformer` the encoder alone is computed, and
    /// the pooling is the mean, as `SentenceTransformer(folder)` makes it.
    pub kind: Kind,
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
    /// How its vectors are to be compared, for whoever does: `cosine`, `dot`.
    pub similarity: Option<String>,
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
        let Some(entries) = entries(source)? else { return Ok(pipeline) };
        let whole = settings::whole(source)?;
        pipeline.kind = settings::kind(source, &whole)?;
        pipeline.transformer = transformer(source, pipeline.kind, &entries)?;
        if pipeline.kind == Kind::SentenceTransformer {
            pipeline.read_modules(source, &entries)?;
            pipeline.read_settings(source)?;
            pipeline.read_prompts(source, whole)?;
        }
        Ok(pipeline)
    }

    fn read_modules(&mut self, source: &dyn Source, entries: &[ModuleEntry]) -> Result<()> {
        let place = |file: &str| format!("{}: {file}", source.name());
        let mut pooled = false;
        for (i, entry) in entries.iter().enumerate().skip(1) {
            match (entry.class, i, pooled) {
                (ModuleClass::WeightedLayerPooling, 1, _) => {
                    // Without all states sentence-transformers passes it over.
                    let mix = LayerMix::open(source, entry)?;
                    if gives_all_states(source, &entries[0])? {
                        self.mix = Some(mix);
                    }
                }
                (ModuleClass::Pooling, _, false) => {
                    let file = entry.file("config.json");
                    let config: Value = read_json(source, &file)?.ok_or_else(|| {
                        fail!(NotFound, "{} is missing, but modules.json names it", place(&file))
                    })?;
                    let checked = match &config {
                        Value::Object(fields) => keys::check(fields, keys::POOLING),
                        _ => Ok(()),
                    };
                    let pooling = checked.and_then(|()| Pooling::from_config(&config));
                    self.pooling = pooling.map_err(|e| e.at(place(&file)))?;
                    pooled = true;
                }
                (ModuleClass::Dense | ModuleClass::Normalize, _, false) => {
                    let module = Module::open(source, entry, "token_embeddings")?;
                    self.token_modules.push(module);
                }
                (ModuleClass::Dense | ModuleClass::Normalize | ModuleClass::LayerNorm, _, true) => {
                    let module = Module::open(source, entry, "sentence_embedding")?;
                    self.modules.push(module);
                }
                (ModuleClass::Dropout, _, true) => modules::check_dropout(source, entry)?,
                (ModuleClass::Other(what), ..) => return Err(entry.refused(source, what)),
                _ => {
                    return Err(fail!(
                        Unsupported,
                        "{}: the module {} at this place ({i}) is not supported (supported: \
                         Transformer, WeightedLayerPooling, Dense and Normalize of tokens, Pooling, \
                         then Dense, LayerNorm, Dropout and Normalize)",
                        place(MODULES),
                        entry.path_of_class
                    ));
                }
            }
        }
        if !pooled {
            return Err(fail!(
                Unsupported,
                "{}: it has no Pooling module, so it gives no text vector, which is not \
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

    /// What a caller is told who asks for the vectors of a repository that was made for something
    /// else.
    pub fn note(&self) -> Option<String> {
        let what = match self.kind {
            Kind::SentenceTransformer => return None,
            Kind::CrossEncoder => "scores of pairs",
            Kind::SparseEncoder => "weights of the vocabulary's tokens",
            Kind::MultiVectorEncoder => "projected vectors of tokens",
        };
        Some(format!(
            "{}: its {what} are not computed; vectors are the mean of the last layer's tokens, as \
             SentenceTransformer(folder) gives them",
            self.kind
        ))
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
        lines.extend(self.note());
        lines.extend(self.mix.as_ref().map(ToString::to_string));
        lines.extend(self.token_modules.iter().map(|module| format!("{module}, every token")));
        lines.push(format!("Pooling: {}{prompt}", modes.join(" + ")));
        lines.extend(self.modules.iter().map(ToString::to_string));
        lines.extend(self.truncate_dim.map(|dims| format!("the first {dims} dimensions")));
        lines
    }
}

/// The folder of the Transformer, which has to be the first module.
fn transformer(source: &dyn Source, kind: Kind, entries: &[ModuleEntry]) -> Result<String> {
    let Some(first) = entries.first() else {
        return Err(fail!(
            Unsupported,
            "{}: {MODULES} is an empty list: add the modules, or remove the file for plain mean \
             pooling",
            source.name()
        ));
    };
    match (first.class, kind) {
        (ModuleClass::Transformer, _) => Ok(first.path.clone()),
        (ModuleClass::MaskedTransformer, Kind::SparseEncoder) => Ok(first.path.clone()),
        (ModuleClass::MaskedTransformer, _) => {
            Err(first.refused(source, classes::OF_SPARSE_ENCODER))
        }
        (ModuleClass::Other(what), _) => Err(first.refused(source, what)),
        _ => Err(fail!(
            Unsupported,
            "{}: {MODULES}: the first module is {}, which is not supported (supported: Transformer)",
            source.name(),
            first.path_of_class
        )),
    }
}

/// Whether the Transformer hands out all its states: `output_hidden_states` of its config.
fn gives_all_states(source: &dyn Source, transformer: &ModuleEntry) -> Result<bool> {
    #[derive(Deserialize)]
    struct Config {
        output_hidden_states: Option<bool>,
    }
    let config: Option<Config> = read_json(source, &transformer.file("config.json"))?;
    Ok(config.and_then(|config| config.output_hidden_states).unwrap_or(false))
}
