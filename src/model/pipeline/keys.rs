//! Every key of the files of a pipeline: computed, harmless for the reason given, or refused by
//! name. A key that is in none of these tables is refused too.
//!
//! Keys: `config_keys` and the constructors of the modules in sentence-transformers 6.2, and those
//! that older releases wrote.

use serde_json::{Map, Value};

use crate::error::{Result, fail};
use crate::quote::quote;

/// What becomes of a key.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Key {
    /// It is read elsewhere, and computed or refused by its value there.
    Computed,
    /// It changes no number: why.
    Harmless(&'static str),
    /// These values change no number, and any other is refused: why.
    Only(&'static [&'static str], &'static str),
    /// Refused: what to do.
    Refused(&'static str),
}
use Key::{Computed, Harmless, Only, Refused};

/// A table of keys.
pub type Keys = &'static [(&'static str, Key)];

/// The tables by file, and by argument where a key of the file holds keys of its own.
pub const KEYS: &[(&str, Keys)] = &[
    ("modules.json", MODULE),
    ("config_sentence_transformers.json", WHOLE),
    ("sentence_bert_config.json", TRANSFORMER),
    ("sentence_bert_config.json: model_args", MODEL_ARGS),
    ("sentence_bert_config.json: config_args", CONFIG_ARGS),
    ("sentence_bert_config.json: tokenizer_args", TOKENIZER_ARGS),
    ("Pooling", POOLING),
    ("Dense", DENSE),
    ("LayerNorm", LAYER_NORM),
    ("Normalize", NORMALIZE),
    ("Dropout", DROPOUT),
    ("WeightedLayerPooling", LAYER_MIX),
];

const LABEL: Key = Harmless("a label");
const WIDTH: Key = Harmless("the width is that of the tensors");

/// An entry of `modules.json`.
pub(super) const MODULE: Keys = &[
    ("idx", Harmless("modules follow each other as they stand in the list")),
    ("name", LABEL),
    ("path", Computed),
    ("type", Computed),
    ("kwargs", Harmless("names of arguments of a call, of which none is given")),
];

/// `config_sentence_transformers.json`.
pub(super) const WHOLE: Keys = &[
    ("__version__", Harmless("the versions it was made with")),
    ("requirements", Harmless("the Python packages it asks for")),
    ("model_type", Computed),
    ("prompts", Computed),
    ("default_prompt_name", Computed),
    ("truncate_dim", Computed),
    ("similarity_fn_name", Computed),
    ("activation_fn", Harmless("what is done to the score of a CrossEncoder")),
];

/// `sentence_bert_config.json`.
pub(super) const TRANSFORMER: Keys = &[
    ("max_seq_length", Computed),
    ("do_lower_case", Computed),
    ("modality_config", Computed),
    ("transformer_task", Only(&["feature-extraction"], "vectors are made of the last state")),
    ("module_output_name", Only(&["token_embeddings"], "vectors are made of the last state")),
    ("unpad_inputs", Harmless("nothing is padded here")),
    ("cache_dir", FETCHED),
    ("model_args", Computed),
    ("model_kwargs", Computed),
    ("config_args", Computed),
    ("config_kwargs", Computed),
    ("tokenizer_args", Computed),
    ("processor_kwargs", Computed),
    ("processing_kwargs", Refused("what it sets for the tokenizer belongs in tokenizer.json")),
    ("query_length", Refused("set the token limit of the call instead")),
    ("document_length", Refused("set the token limit of the call instead")),
    ("query_expansion", Refused("tokens that stand for a query are not added")),
    ("tokenizer_name_or_path", Refused("put the tokenizer's files into the folder")),
];

const FETCHED: Key = Harmless("how files are fetched");
const OVERWRITTEN: Key = Harmless("sentence-transformers puts its own in place of it");
const PLACED: Key = Harmless("where the weights are kept while they are used");
const QUANTISED: Key = Only(&["false"], "weights are not quantised");
const FLOAT32: Key = Only(
    &["float32", "torch.float32", "auto"],
    "numbers are computed in float32: set it to \"float32\", or remove it",
);

/// `model_args` of the Transformer: arguments of `AutoModel.from_pretrained`.
pub(super) const MODEL_ARGS: Keys = &[
    ("attn_implementation", Harmless("another way to the same numbers")),
    ("_attn_implementation", Harmless("another way to the same numbers")),
    ("experts_implementation", Harmless("another way to the same numbers")),
    ("dtype", FLOAT32),
    ("torch_dtype", FLOAT32),
    ("add_pooling_layer", Harmless("the pooler comes after the states")),
    ("trust_remote_code", Harmless("nothing is executed")),
    ("code_revision", Harmless("nothing is executed")),
    ("use_safetensors", Only(&["true"], "model.safetensors is read where it is there")),
    ("weights_only", Harmless("nothing but tensors is read")),
    ("low_cpu_mem_usage", PLACED),
    ("device_map", PLACED),
    ("max_memory", PLACED),
    ("offload_folder", PLACED),
    ("offload_state_dict", PLACED),
    ("offload_buffers", PLACED),
    ("disable_mmap", PLACED),
    ("tp_plan", PLACED),
    ("tp_size", PLACED),
    ("use_cache", Harmless("an encoder keeps no keys and values")),
    ("ignore_mismatched_sizes", Harmless("a tensor of another shape is refused")),
    ("output_loading_info", Only(&["false"], "the model alone is loaded")),
    ("revision", OVERWRITTEN),
    ("subfolder", OVERWRITTEN),
    ("token", OVERWRITTEN),
    ("cache_dir", OVERWRITTEN),
    ("local_files_only", OVERWRITTEN),
    ("use_auth_token", FETCHED),
    ("force_download", FETCHED),
    ("resume_download", FETCHED),
    ("proxies", FETCHED),
    ("load_in_8bit", QUANTISED),
    ("load_in_4bit", QUANTISED),
    ("quantization_config", Refused("weights are not quantised")),
    ("variant", Refused("give the file of weights its plain name, model.safetensors")),
    ("key_mapping", Refused("save the tensors under the names that the model has")),
];

/// `config_args`: what takes the place of keys of `config.json`.
pub(super) const CONFIG_ARGS: Keys = &[
    ("trust_remote_code", Harmless("nothing is executed")),
    ("code_revision", Harmless("nothing is executed")),
    ("attn_implementation", Harmless("another way to the same numbers")),
    ("_attn_implementation", Harmless("another way to the same numbers")),
    ("use_memory_efficient_attention", Harmless("another way to the same numbers")),
    ("unpad_inputs", Harmless("nothing is padded here")),
    ("dtype", FLOAT32),
    ("torch_dtype", FLOAT32),
    ("use_cache", Harmless("an encoder keeps no keys and values")),
    ("return_dict", Harmless("how results are handed on")),
    ("output_attentions", Harmless("what is handed on beside the states")),
    ("num_labels", Harmless("of a head, which comes after the states")),
    ("id2label", Harmless("of a head, which comes after the states")),
    ("label2id", Harmless("of a head, which comes after the states")),
    ("problem_type", Harmless("of a head, which comes after the states")),
    ("classifier_dropout", DROPPED),
    ("hidden_dropout_prob", DROPPED),
    ("attention_probs_dropout_prob", DROPPED),
    ("revision", OVERWRITTEN),
    ("subfolder", OVERWRITTEN),
    ("token", OVERWRITTEN),
    ("cache_dir", OVERWRITTEN),
    ("local_files_only", OVERWRITTEN),
    ("force_download", FETCHED),
    ("proxies", FETCHED),
];

const DROPPED: Key = Harmless("nothing is dropped outside training");

/// `tokenizer_args`: arguments of the tokenizer.
pub(super) const TOKENIZER_ARGS: Keys = &[
    ("model_max_length", Computed),
    ("use_fast", Harmless("there is one tokenizer for both")),
    ("padding_side", Harmless("nothing is padded here")),
    ("clean_up_tokenization_spaces", Harmless("how tokens become text again")),
    ("trust_remote_code", Harmless("nothing is executed")),
    ("code_revision", Harmless("nothing is executed")),
    ("revision", OVERWRITTEN),
    ("subfolder", OVERWRITTEN),
    ("token", OVERWRITTEN),
    ("cache_dir", OVERWRITTEN),
    ("local_files_only", OVERWRITTEN),
    ("force_download", FETCHED),
    ("proxies", FETCHED),
    ("do_lower_case", OF_TOKENIZER),
    ("truncation_side", OF_TOKENIZER),
    ("strip_accents", OF_TOKENIZER),
    ("add_prefix_space", OF_TOKENIZER),
    ("additional_special_tokens", OF_TOKENIZER),
];

const OF_TOKENIZER: Key = Refused("write it into tokenizer_config.json");

/// `1_Pooling/config.json`.
pub(super) const POOLING: Keys = &[
    ("embedding_dimension", WIDTH),
    ("word_embedding_dimension", WIDTH),
    ("pooling_mode", Computed),
    ("include_prompt", Computed),
    ("pooling_mode_cls_token", Computed),
    ("pooling_mode_max_tokens", Computed),
    ("pooling_mode_mean_tokens", Computed),
    ("pooling_mode_mean_sqrt_len_tokens", Computed),
    ("pooling_mode_weightedmean_tokens", Computed),
    ("pooling_mode_lasttoken", Computed),
];

/// `config.json` of a Dense.
pub(super) const DENSE: Keys = &[
    ("in_features", Computed),
    ("out_features", Computed),
    ("bias", Computed),
    ("activation_function", Computed),
    ("use_residual", Computed),
    ("module_input_name", Computed),
    ("module_output_name", Computed),
    ("init_weight", Refused("the weights are those of the file beside it")),
    ("init_bias", Refused("the weights are those of the file beside it")),
];

/// `config.json` of a LayerNorm.
pub(super) const LAYER_NORM: Keys = &[("dimension", Computed)];

/// `config.json` of a Normalize.
pub(super) const NORMALIZE: Keys =
    &[("module_input_name", Computed), ("module_output_name", Computed)];

/// `config.json` of a Dropout.
pub(super) const DROPOUT: Keys = &[("dropout", DROPPED)];

/// `config.json` of a WeightedLayerPooling.
pub(super) const LAYER_MIX: Keys = &[
    ("embedding_dimension", WIDTH),
    ("word_embedding_dimension", WIDTH),
    ("num_hidden_layers", Computed),
    ("layer_start", Computed),
    ("layer_weights", Refused("the weights are those of the file beside it")),
];

/// Refuses what `fields` hold that is not computed and not known to be harmless. Null, and an empty
/// object or list, are as good as absent.
///
/// # Errors
///
/// `Unsupported`, naming the key; the caller adds the file.
pub(super) fn check(fields: &Map<String, Value>, keys: Keys) -> Result<()> {
    for (key, value) in fields {
        let nothing = match value {
            Value::Null => true,
            Value::Object(fields) => fields.is_empty(),
            Value::Array(items) => items.is_empty(),
            _ => false,
        };
        match keys.iter().find(|(known, _)| known == key).map(|row| row.1) {
            _ if nothing => {}
            Some(Computed | Harmless(_)) => {}
            Some(Only(values, why)) => {
                let plain = match value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                if !values.contains(&plain.as_str()) {
                    return Err(fail!(
                        Unsupported,
                        "`{key}` is {value}, which is not supported (supported: {}): {why}",
                        values.join(", "),
                        key = quote(key),
                        value = quote(value)
                    ));
                }
            }
            Some(Refused(what)) => {
                return Err(fail!(
                    Unsupported,
                    "`{key}` is {value}, which is not supported: {what}",
                    key = quote(key),
                    value = quote(value)
                ));
            }
            None => {
                let known: Vec<_> = keys.iter().map(|row| row.0).collect();
                return Err(fail!(
                    Unsupported,
                    "`{key}` ({value}) is an unknown key (known: {}): remove it if it does not \
                     affect results",
                    known.join(", "),
                    key = quote(key),
                    value = quote(value)
                ));
            }
        }
    }
    Ok(())
}
