//! The class paths of `modules.json`: every one that sentence-transformers has written, by whole
//! name. A class of that name from elsewhere is somebody's own and does something else.
//!
//! Paths: sentence-transformers 6.2, `*/modules/__init__.py`, `util/deprecated_import.py` for those
//! before 5.4, and `multi_vector_encoder/model.py` for PyLate's.

use ModuleClass::{Dense, Dropout, LayerNorm, MaskedTransformer, Normalize, Other, Pooling};
use ModuleClass::{Transformer, WeightedLayerPooling};

/// A module by what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ModuleClass {
    Transformer,
    /// A Transformer with the head of fill-mask, whose states are those of its encoder.
    MaskedTransformer,
    Pooling,
    WeightedLayerPooling,
    Dense,
    LayerNorm,
    Normalize,
    Dropout,
    /// Known and not computed: what it is, and what to do.
    Other(&'static str),
}

const BASE: &str = "sentence_transformers.base.modules";
const DENSE: &str = "sentence_transformers.sentence_transformer.modules";
const SPARSE: &str = "sentence_transformers.sparse_encoder.modules";
const CROSS: &str = "sentence_transformers.cross_encoder.modules";
const VECTORS: &str = "sentence_transformers.multi_vector_encoder.modules";
const OLD: &str = "sentence_transformers.models";
const OLD_SPARSE: &str = "sentence_transformers.sparse_encoder.models";

/// Where the classes of a group have been: the package in whose files they are, those that hand
/// them on, and the one of before 5.4.
struct Group {
    home: &'static str,
    exports: &'static [&'static str],
    old: Option<&'static str>,
}

const OF_ALL: Group =
    Group { home: BASE, exports: &[DENSE, SPARSE, CROSS, OLD_SPARSE], old: Some(OLD) };
const OF_DENSE: Group = Group { home: DENSE, exports: &[], old: Some(OLD) };
const OF_SPARSE: Group = Group { home: SPARSE, exports: &[], old: Some(OLD_SPARSE) };
const OF_CROSS: Group = Group { home: CROSS, exports: &[], old: None };
const OF_VECTORS: Group = Group { home: VECTORS, exports: &[], old: None };

/// Name, file and group of each class.
const CLASSES: &[(&str, &str, &Group, ModuleClass)] = &[
    ("Transformer", "transformer", &OF_ALL, Transformer),
    ("Dense", "dense", &OF_ALL, Dense),
    ("Normalize", "normalize", &OF_ALL, Normalize),
    ("Router", "router", &OF_ALL, Other(ROUTER)),
    ("Asym", "router", &OF_ALL, Other(ROUTER)),
    ("Pooling", "pooling", &OF_DENSE, Pooling),
    ("WeightedLayerPooling", "weighted_layer_pooling", &OF_DENSE, WeightedLayerPooling),
    ("LayerNorm", "layer_norm", &OF_DENSE, LayerNorm),
    ("Dropout", "dropout", &OF_DENSE, Dropout),
    ("StaticEmbedding", "static_embedding", &OF_DENSE, Other(STATIC)),
    ("CNN", "cnn", &OF_DENSE, Other(WORDS)),
    ("LSTM", "lstm", &OF_DENSE, Other(WORDS)),
    ("BoW", "bow", &OF_DENSE, Other(WORDS)),
    ("WordEmbeddings", "word_embeddings", &OF_DENSE, Other(WORDS)),
    ("WordWeights", "word_weights", &OF_DENSE, Other(WORDS)),
    ("CLIPModel", "clip_model", &OF_DENSE, Other(CLIP)),
    ("MLMTransformer", "mlm_transformer", &OF_SPARSE, MaskedTransformer),
    ("SpladePooling", "splade_pooling", &OF_SPARSE, Other(OF_SPARSE_ENCODER)),
    ("SparseAutoEncoder", "sparse_auto_encoder", &OF_SPARSE, Other(OF_SPARSE_ENCODER)),
    ("SparseStaticEmbedding", "sparse_static_embedding", &OF_SPARSE, Other(STATIC)),
    ("LogitScore", "logit_score", &OF_CROSS, Other(OF_CROSS_ENCODER)),
    ("MultiVectorMask", "multi_vector_mask", &OF_VECTORS, Other(OF_MULTI_VECTOR)),
    ("HierarchicalTokenPooling", "token_pooling", &OF_VECTORS, Other(OF_MULTI_VECTOR)),
    ("LambdaTokenPooling", "token_pooling", &OF_VECTORS, Other(OF_MULTI_VECTOR)),
];

/// Paths that no group has.
const PATHS: &[(&str, ModuleClass)] = &[
    // Until 6.0.
    ("sentence_transformers.sentence_transformer.modules.normalize.Normalize", Normalize),
    ("sentence_transformers.models.Router.Asym", Other(ROUTER)),
    ("pylate.models.Dense.Dense", Other(OF_PYLATE)),
];

const ROUTER: &str = "it sends queries and documents through models of their own: name the folder \
                      of one of these in place of this one";
const STATIC: &str = "it is a table of one vector a token, without layers, so there are no hidden \
                      states: sentence-transformers and model2vec compute it";
const WORDS: &str = "it is no part of a transformer encoder: sentence-transformers computes it";
const CLIP: &str = "it is a text and image model, not a text encoder: sentence-transformers \
                    computes it";
pub(super) const OF_SPARSE_ENCODER: &str = "it is part of a SparseEncoder: with `model_type` \
                                 \"SparseEncoder\" in config_sentence_transformers.json the folder \
                                 gives the hidden states of its encoder";
const OF_CROSS_ENCODER: &str = "it is part of a CrossEncoder: with `model_type` \"CrossEncoder\" \
                                in config_sentence_transformers.json the folder gives the hidden \
                                states of its encoder";
const OF_MULTI_VECTOR: &str = "it is part of a MultiVectorEncoder (ColBERT): with `model_type` \
                               \"MultiVectorEncoder\" in config_sentence_transformers.json the \
                               folder gives the hidden states of its encoder";
const OF_PYLATE: &str = "it is part of a ColBERT of PyLate: with `model_type` \
                         \"MultiVectorEncoder\" in config_sentence_transformers.json the folder \
                         gives the hidden states of its encoder";

/// The class at `path`, `None` for one that is not of sentence-transformers.
pub(super) fn class(path: &str) -> Option<ModuleClass> {
    if let Some((_, class)) = PATHS.iter().find(|(known, _)| *known == path) {
        return Some(*class);
    }
    let (package, name) = path.rsplit_once('.')?;
    // The class itself, or what is in the package's file of that name.
    let within = |home: &str, file: &str| {
        let rest = package.strip_prefix(home);
        rest == Some("") || rest.and_then(|rest| rest.strip_prefix('.')) == Some(file)
    };
    let found = CLASSES.iter().find(|(known, file, group, _)| {
        *known == name
            && (within(group.home, file)
                || group.exports.contains(&package)
                || group.old.is_some_and(|old| within(old, name)))
    });
    found.map(|row| row.3)
}
