//! A LoRA adapter (Hu et al. 2021) beside a model's weights, as peft saves it: what it adds to the
//! tensors, and the tensors it has in their place.
//!
//! Transformers 5 and sentence-transformers 6 apply an `adapter_config.json` that they find, where
//! peft is installed. Here it becomes part of the weights when they are read (`formats/delta.rs`), so nothing
//! that runs knows of it. The keys of the config are in `config`, module names in `names` and `pattern`.

mod config;
mod names;
mod pattern;

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;

use super::families::Family;
use super::formats::checkpoint::{Checkpoint, TensorInfo};
use super::formats::delta::Delta;
use super::sources::recognise::ADAPTER_CONFIG as FILE;
use super::sources::{Source, read_json};
use crate::error::{Result, fail};
use crate::math::vector::transposed;
use crate::quote::quote;
use config::LoraConfig;
use names::{Modules, Place, without_prefix};
use pattern::Named;

/// Names of the adapter's own weights, in order of preference.
const WEIGHTS: [&str; 2] = ["adapter_model.safetensors", "adapter_model.bin"];

/// Ends of the names of tables, which are no linear layers.
const TABLES: [&str; 7] = [
    "word_embeddings",
    "position_embeddings",
    "token_type_embeddings",
    "tok_embeddings",
    "embed_tokens",
    "rel_embeddings",
    "relative_attention_bias",
];

/// What an adapter makes of a checkpoint.
#[derive(Debug)]
pub(crate) struct Adapter {
    /// What is added to a tensor, by its name in the checkpoint.
    pub deltas: BTreeMap<String, Vec<Delta>>,
    /// Names in the checkpoint of the tensors that the adapter has whole, and their names here.
    pub whole: Vec<(String, String)>,
    /// The adapter's tensors.
    pub weights: Checkpoint,
}

/// The tensors of one adapted module, by name.
#[derive(Debug, Default)]
struct Stored {
    a: Option<String>,
    b: Option<String>,
    bias: Option<String>,
    /// Whether the two are those of a table, stored the other way round.
    is_table: bool,
    magnitude: Option<String>,
}

impl Adapter {
    /// The adapter in `source` of the weights `base`, which are of `family`; `None` where there is
    /// none.
    ///
    /// # Errors
    ///
    /// `Unsupported` naming the key of `adapter_config.json` or the tensor that is not computed
    /// here; `Checkpoint` where config, adapter and base do not fit.
    pub fn open(source: &dyn Source, base: &Checkpoint, family: &Family) -> Result<Option<Self>> {
        let Some(config) = read_json::<Value>(source, FILE)? else { return Ok(None) };
        let config =
            LoraConfig::read(&config).map_err(|e| e.at(format!("{}: {FILE}", source.name())))?;
        let Some(weights) = Checkpoint::open_first(source, &WEIGHTS)? else {
            return Err(fail!(
                NotFound,
                "{}: there is an {FILE}, but neither {} is: download the adapter again, or remove \
                 {FILE} to load the weights alone",
                source.name(),
                WEIGHTS.join(" nor ")
            ));
        };
        let prefix = weights.names().find_map(|name| {
            let name = own_name(name);
            let prefix = name.strip_suffix(without_prefix(name)).filter(|p| !p.is_empty());
            prefix.map(str::to_owned)
        });
        let reading = Reading {
            prefix: prefix.unwrap_or_default(),
            modules: Modules::new(base.names(), family.model_type),
            config,
            base,
            family,
        };
        let adapter = reading.read(weights).map_err(|e| e.at(source.name()))?;
        Ok(Some(adapter))
    }
}

/// The error for `source` without a `config.json`, where it holds an adapter: which model that is of,
/// and what to do. `None` where it holds none.
pub(crate) fn alone(source: &dyn Source) -> Result<Option<crate::Error>> {
    let Some(config) = read_json::<Value>(source, FILE)? else { return Ok(None) };
    let base = config.get("base_model_name_or_path").and_then(Value::as_str);
    let base = base.map_or_else(|| "that it was trained on".into(), |base| format!("{base:?}"));
    Ok(Some(fail!(
        Unsupported,
        "{} is an adapter without its weights ({FILE} and no config.json): put its files into a \
         folder with those of its base model, {base}, or merge them with peft's merge_and_unload(), \
         and name that folder",
        source.name()
    )))
}

/// What it takes to read an adapter's tensors.
struct Reading<'a> {
    config: LoraConfig,
    modules: Modules,
    /// What stands before the names in the adapter.
    prefix: String,
    base: &'a Checkpoint,
    family: &'a Family,
}

impl Reading<'_> {
    fn read(&self, weights: Checkpoint) -> Result<Adapter> {
        let mut stored: BTreeMap<&str, Stored> = BTreeMap::new();
        let mut whole = Vec::new();
        for name in weights.names() {
            let own = without_prefix(own_name(name));
            match own.split_once(".lora_") {
                Some((module, kind)) => {
                    stored.entry(module).or_default().put(kind, name)?;
                }
                None => whole.extend(self.whole(own, name)?),
            }
        }
        let mut deltas: BTreeMap<String, Vec<Delta>> = BTreeMap::new();
        for (module, parts) in &stored {
            let Some(place) = self.place(module)? else { continue };
            for (tensor, delta) in self.deltas(&weights, module, place, parts)? {
                deltas.entry(tensor).or_default().push(delta);
            }
        }
        self.check_targets(&stored)?;
        Ok(Adapter { deltas, whole, weights })
    }

    fn named<'m>(&self, module: &'m str) -> Named<'m> {
        // A table is no linear layer.
        let is_linear = !TABLES.iter().any(|table| module.ends_with(table));
        Named { own: module, full: format!("{}{module}", self.prefix), is_linear }
    }

    /// Whether the hidden states do without the module: it is in a head.
    fn is_head(&self, module: &str) -> bool {
        let ignores = |path: &str| (self.family.ignores)(&format!("{path}.weight"));
        match self.modules.find(module) {
            Some(place) => ignores(&place.module),
            // Layers are called so by Transformers in all families that have other names for them.
            None => {
                let path = format!("{}{module}", self.modules.prefix);
                module.starts_with("pooler.") || ignores(&path) && !module.starts_with("layers.")
            }
        }
    }

    /// Where an adapted module is; `None` for one of a head.
    fn place(&self, module: &str) -> Result<Option<&Place>> {
        if self.is_head(module) {
            return Ok(None);
        }
        let Some(place) = self.modules.find(module) else {
            return Err(fail!(
                Checkpoint,
                "the adapter has tensors for the module `{module}`, which the weights do not have: is \
                 it an adapter of another model?",
                module = quote(module)
            ));
        };
        if self.config.names_targets() && !self.config.targets(&self.named(module))? {
            return Err(fail!(
                Checkpoint,
                "the adapter has tensors for the module `{module}`, which `target_modules` of {FILE} \
                 does not name",
                module = quote(module)
            ));
        }
        Ok(Some(place))
    }

    /// The name in the checkpoint of a tensor that the adapter has whole: of a module that was saved
    /// so, of a bias that was trained, of a table that grew. `None` for one of a head.
    fn whole(&self, own: &str, name: &str) -> Result<Option<(String, String)>> {
        let own = own.replace(".base_layer.", ".");
        let Some((module, kind)) = own.rsplit_once('.') else {
            return Err(unknown(name));
        };
        if self.is_head(module) {
            return Ok(None);
        }
        let place = self.modules.find(module).filter(|place| place.of == 1);
        let known = place.map(|place| format!("{}.{kind}", place.module));
        // Older checkpoints have gamma and beta for the same.
        let old = match kind {
            "weight" => "gamma",
            _ => "beta",
        };
        match (known, place) {
            (Some(tensor), Some(place))
                if self.base.get(&tensor).is_some()
                    || self.base.get(&format!("{}.{old}", place.module)).is_some() =>
            {
                Ok(Some((tensor, name.to_owned())))
            }
            _ => Err(unknown(name)),
        }
    }

    /// What the tensors of one module add, by the tensor they are added to.
    fn deltas(
        &self,
        weights: &Checkpoint,
        module: &str,
        place: &Place,
        stored: &Stored,
    ) -> Result<Vec<(String, Delta)>> {
        let (Some(a), Some(b)) = (&stored.a, &stored.b) else {
            return Err(fail!(
                Checkpoint,
                "the adapter has one of lora_A and lora_B alone for the module `{module}`",
                module = quote(module)
            ));
        };
        let tensor = format!("{}.weight", place.module);
        let info = self.tensor(&tensor, module)?;
        if info.shape.len() < 2 || info.shape.contains(&0) {
            return Err(fail!(
                Unsupported,
                "the adapter has tensors for the module `{module}`, which is neither a table nor a \
                 product: that is not supported",
                module = quote(module)
            ));
        }
        if stored.bias.is_some() != (self.config.bias && !stored.is_table) {
            return Err(fail!(
                Checkpoint,
                "`lora_bias` of {FILE} and the adapter's tensors do not agree for the module \
                 `{module}`",
                module = quote(module)
            ));
        }
        let rows = rows_of(info, place)?;
        let (rank, scale) = self.config.rank_and_scale(&self.named(module))?;
        let (n, rest) = (rows.len(), &info.shape[1..]);
        let (left, right) = if stored.is_table {
            let width = rest.iter().product();
            let a = weights.read_f32(a, &[rank, n])?;
            let b = weights.read_f32(b, &[width, rank])?;
            (transposed(&a, n), transposed(&b, rank))
        } else {
            // A convolution's first product has its taps, the second has one.
            let first = [&[rank], rest].concat();
            let mut second = vec![1; info.shape.len()];
            second[..2].copy_from_slice(&[n, rank]);
            (weights.read_f32(b, &second)?, weights.read_f32(a, &first)?)
        };
        let magnitude = self.magnitude(weights, module, stored, info.shape.len(), n)?;
        let mut made =
            vec![(tensor, Delta { rows: rows.clone(), left, right, rank, scale, magnitude })];
        if let Some(bias) = &stored.bias {
            let tensor = format!("{}.bias", place.module);
            let rows = rows_of(self.tensor(&tensor, module)?, place)?;
            let left = weights.read_f32(bias, &[rows.len()])?;
            let right = vec![1.0];
            made.push((tensor, Delta { rows, left, right, rank: 1, scale, magnitude: None }));
        }
        Ok(made)
    }

    /// Lengths of the rows of a module of `axes` axes, where the config asks for them.
    fn magnitude(
        &self,
        weights: &Checkpoint,
        module: &str,
        stored: &Stored,
        axes: usize,
        rows: usize,
    ) -> Result<Option<Vec<f32>>> {
        match (&stored.magnitude, self.config.dora) {
            (None, false) => Ok(None),
            (Some(name), true) if axes == 2 && !stored.is_table => {
                weights.read_f32(name, &[rows]).map(Some)
            }
            (Some(_), true) => Err(fail!(
                Unsupported,
                "`use_dora` of {FILE} is true for the module `{module}`, which is no linear layer: \
                 that is not supported; merge the adapter with peft's merge_and_unload()",
                module = quote(module)
            )),
            _ => Err(fail!(
                Checkpoint,
                "`use_dora` of {FILE} and the adapter's tensors do not agree for the module \
                 `{module}`",
                module = quote(module)
            )),
        }
    }

    fn tensor(&self, name: &str, module: &str) -> Result<&TensorInfo> {
        self.base.get(name).filter(|info| !info.shape.is_empty()).ok_or_else(|| {
            fail!(
                Checkpoint,
                "the adapter has tensors for the module `{module}`, and the weights no {name}",
                module = quote(module),
                name = quote(name)
            )
        })
    }

    /// Fails where the config names a module of the encoder that the adapter has no tensors for.
    fn check_targets(&self, stored: &BTreeMap<&str, Stored>) -> Result<()> {
        // One of the two ways to name a module, that of the adapter.
        let renamed = |name: &str, place: &Place| without_prefix(&place.module) != name;
        let is_renamed =
            stored.keys().any(|name| self.modules.find(name).is_some_and(|p| renamed(name, p)));
        for (name, place) in self.modules.iter() {
            let axes = self.base.get(&format!("{}.weight", place.module)).map(|i| i.shape.len());
            // The pooler may be in the checkpoint alone: classes for tokens have none.
            let counts = axes == Some(2)
                && renamed(name, place) == is_renamed
                && !self.is_head(name)
                && !name.starts_with("pooler");
            if counts && !stored.contains_key(name) && self.config.targets(&self.named(name))? {
                return Err(fail!(
                    Checkpoint,
                    "`target_modules` of {FILE} names the module `{name}`, which the adapter has no \
                     tensors for: download the adapter again",
                    name = quote(name)
                ));
            }
        }
        Ok(())
    }
}

impl Stored {
    /// Takes the tensor `name`, whose name ends in `.lora_{kind}`.
    fn put(&mut self, kind: &str, name: &str) -> Result<()> {
        let place = match kind {
            "A.weight" | "embedding_A" => &mut self.a,
            "B.weight" | "embedding_B" => &mut self.b,
            "B.bias" => &mut self.bias,
            "magnitude_vector" | "magnitude_vector.weight" => &mut self.magnitude,
            _ => return Err(unknown(name)),
        };
        self.is_table |= kind.starts_with("embedding");
        match place.replace(name.to_owned()) {
            None => Ok(()),
            Some(other) => Err(fail!(
                Checkpoint,
                "the adapter has the same tensor twice, as {other} and as {name}",
                other = quote(other),
                name = quote(name)
            )),
        }
    }
}

fn unknown(name: &str) -> crate::Error {
    fail!(
        Unsupported,
        "the adapter holds the tensor `{name}`, which is not supported: merge the adapter into its \
         base with peft's merge_and_unload() and save that",
        name = quote(name)
    )
}

/// A tensor's name without what peft puts before it.
fn own_name(name: &str) -> &str {
    name.strip_prefix("base_model.model.").unwrap_or(name)
}

/// The rows of a tensor that are at `place`.
fn rows_of(info: &TensorInfo, place: &Place) -> Result<Range<usize>> {
    let all = info.shape[0];
    if !all.is_multiple_of(place.of) {
        return Err(fail!(
            Checkpoint,
            "{}: tensor {} has {all} rows, which are not {} equal parts",
            info.file,
            info.name,
            place.of
        ));
    }
    let each = all / place.of;
    Ok(place.part * each..(place.part + 1) * each)
}
