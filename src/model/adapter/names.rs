//! What an adapter calls a module, and which rows of which tensor that is.
//!
//! Adapters name modules as the class does that they were trained on. For most families these are
//! the names of the checkpoint, perhaps behind the family's prefix; Transformers 5 has other names
//! for Nomic, GTE and jina-embeddings-v3, and cuts their joined matrices (`conversion_mapping.py`).

use std::collections::BTreeMap;

use crate::model::families::FAMILIES;

/// A name of the checkpoint, that of Transformers, and the parts it is cut into.
type Renaming = (&'static str, &'static str, &'static [&'static str]);

const QKV: &[&str] = &["q_proj", "k_proj", "v_proj"];
const NOMIC: &[Renaming] = &[
    ("encoder.layers.", "layers.", &[]),
    ("emb_ln", "embeddings.LayerNorm", &[]),
    (".attn.Wqkv", ".self_attn", QKV),
    (".attn.out_proj", ".self_attn.o_proj", &[]),
    (".mlp.fc11", ".mlp.up_proj", &[]),
    (".mlp.fc12", ".mlp.gate_proj", &[]),
    (".mlp.fc2", ".mlp.down_proj", &[]),
    (".norm1", ".post_attention_layernorm", &[]),
    (".norm2", ".post_mlp_layernorm", &[]),
];
const GTE: &[Renaming] = &[
    ("encoder.layer.", "layers.", &[]),
    (".attention.qkv_proj", ".self_attn", QKV),
    (".attention.o_proj", ".self_attn.o_proj", &[]),
    (".mlp.up_gate_proj", ".mlp", &["up_proj", "gate_proj"]),
    (".attn_ln", ".post_attention_layernorm", &[]),
    (".mlp_ln", ".post_mlp_layernorm", &[]),
];
const JINA: &[Renaming] = &[
    ("encoder.layers.", "layers.", &[]),
    ("emb_ln", "embeddings.LayerNorm", &[]),
    (".mixer.Wqkv", ".self_attn", QKV),
    (".mixer.out_proj", ".self_attn.o_proj", &[]),
    (".norm1", ".post_attention_layernorm", &[]),
    (".norm2", ".post_mlp_layernorm", &[]),
];

/// Part `part` of `of` equal ones of the rows of the tensor `{module}.…` of the checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub module: String,
    pub part: usize,
    pub of: usize,
}

/// The modules of a checkpoint by the names an adapter may use.
#[derive(Debug)]
pub(crate) struct Modules {
    places: BTreeMap<String, Place>,
    /// What stands before the names in the checkpoint.
    pub prefix: &'static str,
}

impl Modules {
    /// Of the tensors `names`, a checkpoint of `model_type`.
    pub fn new<'a>(names: impl Iterator<Item = &'a str>, model_type: &str) -> Self {
        let renamings = match model_type {
            "nomic_bert" => NOMIC,
            "gte" | "new" => GTE,
            "jina_embeddings_v3" => JINA,
            _ => &[],
        };
        let mut modules = Self { places: BTreeMap::new(), prefix: "" };
        for name in names {
            let own = without_prefix(name);
            if let Some(prefix) = prefixes().find(|p| name.strip_prefix(p) == Some(own)) {
                modules.prefix = prefix;
            }
            let Some((own, _)) = own.rsplit_once('.') else { continue };
            let Some((module, _)) = name.rsplit_once('.') else { continue };
            let whole = Place { module: module.to_owned(), part: 0, of: 1 };
            for (name, part, of) in renamed(own, renamings) {
                modules.places.insert(name, Place { part, of, ..whole.clone() });
            }
            modules.places.insert(own.to_owned(), whole);
        }
        modules
    }

    /// Where the module `name` of an adapter is; `None` where the checkpoint has no such.
    pub fn find(&self, name: &str) -> Option<&Place> {
        self.places.get(name)
    }

    /// All names and places.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Place)> {
        self.places.iter().map(|(name, place)| (name.as_str(), place))
    }
}

/// `name` without what a family or a class with a head puts before it.
pub(crate) fn without_prefix(name: &str) -> &str {
    prefixes().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name)
}

/// What families, and classes with a head, put before their names.
fn prefixes() -> impl Iterator<Item = &'static str> {
    let all = FAMILIES.iter().flat_map(|family| family.prefixes).copied();
    all.filter(|prefix| !prefix.is_empty())
}

/// The names that Transformers has for `module`, each with its part of how many.
fn renamed(module: &str, renamings: &[Renaming]) -> Vec<(String, usize, usize)> {
    let (mut name, mut parts): (String, &[&str]) = (module.to_owned(), &[]);
    for (from, to, cut) in renamings {
        let at = match from.ends_with('.') || !from.starts_with('.') {
            true => name.starts_with(from).then_some(0),
            false => name.ends_with(from).then(|| name.len() - from.len()),
        };
        if let Some(at) = at {
            name.replace_range(at..at + from.len(), to);
            parts = if cut.is_empty() { parts } else { cut };
        }
    }
    match parts {
        _ if name == module => Vec::new(),
        [] => vec![(name, 0, 1)],
        _ => {
            let part = |(i, part): (usize, &&str)| (format!("{name}.{part}"), i, parts.len());
            parts.iter().enumerate().map(part).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_matrices_are_found_by_both_names() {
        let names = [
            "new.encoder.layer.3.attention.qkv_proj.weight",
            "new.encoder.layer.3.attention.o_proj.bias",
            "new.embeddings.word_embeddings.weight",
        ];
        let modules = Modules::new(names.into_iter(), "new");
        assert_eq!(modules.prefix, "new.");
        let joined = "new.encoder.layer.3.attention.qkv_proj".to_owned();
        let place = |part, of| Place { module: joined.clone(), part, of };
        assert_eq!(modules.find("layers.3.self_attn.k_proj"), Some(&place(1, 3)));
        assert_eq!(modules.find("encoder.layer.3.attention.qkv_proj"), Some(&place(0, 1)));
        assert!(modules.find("layers.3.self_attn.o_proj").is_some());
        assert!(modules.find("embeddings.word_embeddings").is_some());
        assert!(modules.find("layers.3.attention.qkv_proj").is_none());
    }
}
