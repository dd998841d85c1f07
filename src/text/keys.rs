//! The keys of `tokenizer_config.json` and `special_tokens_map.json`: each is computed, known to
//! change no token, or refused by name.

use serde_json::{Map, Value};

use crate::error::{Result, fail};
use crate::quote::quote;
use crate::text::added::ROLES;
use crate::text::settings::CONFIG;

/// What becomes of a key.
#[derive(Debug, Clone, Copy)]
enum Use {
    /// It is read, here or in `added.rs`, `rules.rs`, `tokenizer.rs` or the reader of a vocabulary.
    Computed,
    /// It changes no token: the sentence says why.
    Harmless(&'static str),
    /// It changes no token while it has this value; any other is refused.
    Only(fn(&Value) -> bool, &'static str),
}

use Use::{Computed, Harmless, Only};

const PLACE: &str = "it is where a file lay when it was saved";
const CALL: &str = "it is an argument of a call, which a file does not set";
const PADDING: &str = "batches are not padded";
const DECODING: &str = "it is of the way from ids to text";
const CHAT: &str = "it is of chats";
const RECORD: &str = "it says how the tokenizer was saved or opened";
const SLOW: &str = "tokenizers in Rust have no such setting; only those in Python read it";
const OTHERS: &str = "only classes that are refused read it";
const IDS: &str = "ids follow from the vocabulary";

fn no(value: &Value) -> bool {
    *value == Value::Bool(false)
}

fn empty(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

/// The one name that the file has here.
fn plain_file(value: &Value) -> bool {
    value.as_array().is_some_and(|names| names.iter().all(|name| name == "tokenizer.json"))
}

/// Whether no code of the folder's own makes the tokens.
fn no_code(value: &Value) -> bool {
    let own = |value: &Value| !value.is_null() && !empty(value);
    match value {
        Value::Object(fields) => !fields.get("AutoTokenizer").is_some_and(own),
        other => empty(other),
    }
}

/// Every key of `tokenizer_config.json` that is known; [`ROLES`] and other names that end in
/// `_token` are computed too.
const KEYS: &[(&str, Use)] = &[
    ("tokenizer_class", Computed),
    ("do_lower_case", Computed),
    ("strip_accents", Computed),
    ("tokenize_chinese_chars", Computed),
    ("add_prefix_space", Computed),
    ("trim_offsets", Computed),
    ("model_max_length", Computed),
    ("max_len", Computed),
    ("model_input_names", Computed),
    ("truncation_side", Computed),
    ("split_special_tokens", Computed),
    ("added_tokens_decoder", Computed),
    ("additional_special_tokens", Computed),
    ("extra_special_tokens", Computed),
    ("model_specific_special_tokens", Computed),
    // Of a vocabulary alone; beside tokenizer.json that file holds.
    ("do_basic_tokenize", Computed),
    ("keep_accents", Computed),
    ("remove_space", Computed),
    ("split_by_punct", Computed),
    ("sp_model_kwargs", Computed),
    ("add_bos_token", Computed),
    ("add_eos_token", Computed),
    ("unk_id", Computed),
    ("extra_ids", Computed),
    ("legacy", Computed),
    ("vocab_type", Computed),
    // What would be other tokens.
    ("auto_map", Only(no_code, "the tokenizer is code in the folder, which is not run")),
    ("fast_tokenizer_files", Only(plain_file, "only tokenizer.json is read")),
    ("from_slow", Only(no, "tokenizer.json is read, and no tokenizer in Python")),
    ("fix_mistral_regex", Only(no, "it changes the pre-tokenizer of Mistral's models")),
    ("init_inputs", Only(empty, "they are settings without a name")),
    // Where files are.
    ("name_or_path", Harmless(PLACE)),
    ("_name_or_path", Harmless(PLACE)),
    ("tokenizer_name", Harmless(PLACE)),
    ("tokenizer_file", Harmless(PLACE)),
    ("vocab_file", Harmless(PLACE)),
    ("merges_file", Harmless(PLACE)),
    ("spm_file", Harmless(PLACE)),
    ("special_tokens_map_file", Harmless(PLACE)),
    ("added_tokens_file", Harmless(PLACE)),
    ("tokenizer_config_file", Harmless(PLACE)),
    ("chat_template_file", Harmless(PLACE)),
    ("full_tokenizer_file", Harmless(PLACE)),
    // Arguments of a call.
    ("max_length", Harmless(CALL)),
    ("max_seq_length", Harmless(CALL)),
    ("stride", Harmless(CALL)),
    ("truncation", Harmless(CALL)),
    ("truncation_strategy", Harmless(CALL)),
    ("is_split_into_words", Harmless(CALL)),
    ("return_tensors", Harmless(CALL)),
    ("return_attention_mask", Harmless(CALL)),
    ("return_length", Harmless(CALL)),
    ("return_offsets_mapping", Harmless(CALL)),
    ("return_overflowing_tokens", Harmless(CALL)),
    ("return_special_tokens_mask", Harmless(CALL)),
    ("return_token_type_ids", Harmless(CALL)),
    ("max_target_length", Harmless(CALL)),
    ("commit_message", Harmless(CALL)),
    ("organization", Harmless(CALL)),
    ("repo_id", Harmless(CALL)),
    ("repo_path_or_name", Harmless(CALL)),
    ("repo_url", Harmless(CALL)),
    ("save_jinja_files", Harmless(CALL)),
    ("use_source_tokenizer", Harmless(CALL)),
    ("ignore_metadata_errors", Harmless(CALL)),
    ("initial_alphabet", Harmless("it is of training a vocabulary")),
    ("padding", Harmless(PADDING)),
    ("tokenizer_padding", Harmless(PADDING)),
    ("padding_side", Harmless(PADDING)),
    ("padding_strategy", Harmless(PADDING)),
    ("pad_to_multiple_of", Harmless(PADDING)),
    ("pad_to_max_length", Harmless(PADDING)),
    ("pad_token_type_id", Harmless(PADDING)),
    ("pad_token_segment_id", Harmless(PADDING)),
    ("mask_padding_with_zero", Harmless(PADDING)),
    ("clean_up_tokenization_spaces", Harmless(DECODING)),
    ("clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output", Harmless(DECODING)),
    ("spaces_between_special_tokens", Harmless(DECODING)),
    ("errors", Harmless(DECODING)),
    ("wordpieces_prefix", Harmless(DECODING)),
    ("chat_template", Harmless(CHAT)),
    ("chat_control_tokens", Harmless(CHAT)),
    ("sanitize_control_tokens", Harmless(CHAT)),
    ("response_template", Harmless(CHAT)),
    ("response_schema", Harmless(CHAT)),
    ("default_chat_template", Harmless(CHAT)),
    ("use_default_system_prompt", Harmless(CHAT)),
    // How it was saved.
    ("backend", Harmless(RECORD)),
    ("files_loaded", Harmless(RECORD)),
    ("is_local", Harmless(RECORD)),
    ("local_files_only", Harmless(RECORD)),
    ("use_fast", Harmless(RECORD)),
    ("use_auth_token", Harmless(RECORD)),
    ("token", Harmless(RECORD)),
    ("revision", Harmless(RECORD)),
    ("cache_dir", Harmless(RECORD)),
    ("force_download", Harmless(RECORD)),
    ("resume_download", Harmless(RECORD)),
    ("subfolder", Harmless(RECORD)),
    ("trust_remote_code", Harmless(RECORD)),
    ("device_map", Harmless(RECORD)),
    ("torch_dtype", Harmless(RECORD)),
    ("dtype", Harmless(RECORD)),
    ("verbose", Harmless(RECORD)),
    ("processor_class", Harmless(RECORD)),
    ("image_processor_class", Harmless(RECORD)),
    ("feature_extractor_type", Harmless(RECORD)),
    ("model_type", Harmless(RECORD)),
    ("tokenizer_type", Harmless(RECORD)),
    ("transformers_version", Harmless(RECORD)),
    ("tokenizers_version", Harmless(RECORD)),
    ("_commit_hash", Harmless(RECORD)),
    ("_from_auto", Harmless(RECORD)),
    ("_from_pipeline", Harmless(RECORD)),
    ("proxies", Harmless(RECORD)),
    ("tags", Harmless(RECORD)),
    ("library_name", Harmless(RECORD)),
    // Of tokenizers in Python.
    ("special_tokens_pattern", Harmless(SLOW)),
    ("token_type_ids_pattern", Harmless(SLOW)),
    ("token_type_ids_include_special_tokens", Harmless(SLOW)),
    ("never_split", Harmless(SLOW)),
    ("do_clean_text", Harmless(SLOW)),
    ("clean_text", Harmless("both classes and files say true, save Funnel's")),
    ("max_model_input_sizes", Harmless(SLOW)),
    ("legacy_behaviour", Harmless(OTHERS)),
    ("add_dummy_prefix_space", Harmless(OTHERS)),
    ("offset", Harmless(OTHERS)),
    ("mask_token_sent", Harmless(OTHERS)),
    ("cls_token_box", Harmless(OTHERS)),
    ("sep_token_box", Harmless(OTHERS)),
    ("pad_token_box", Harmless(OTHERS)),
    ("pad_token_label", Harmless(OTHERS)),
    ("only_label_first_subword", Harmless(OTHERS)),
    ("cls_token_segment_id", Harmless(OTHERS)),
    ("sequence_a_segment_id", Harmless(OTHERS)),
    ("sequence_b_segment_id", Harmless(OTHERS)),
    ("bos_token_id", Harmless(IDS)),
    ("eos_token_id", Harmless(IDS)),
    ("unk_token_id", Harmless(IDS)),
    ("sep_token_id", Harmless(IDS)),
    ("pad_token_id", Harmless(IDS)),
    ("cls_token_id", Harmless(IDS)),
    ("mask_token_id", Harmless(IDS)),
    ("additional_special_tokens_ids", Harmless(IDS)),
    ("vocab_size", Harmless(IDS)),
];

/// Every key of `tokenizer_config.json` that is known, and what becomes of it: `computed`, or why
/// it changes no token, or why most of its values are refused.
pub fn known_keys() -> impl Iterator<Item = (&'static str, &'static str)> {
    let roles = ROLES.iter().map(|role| (*role, "computed"));
    let keys = KEYS.iter().map(|(key, of)| match of {
        Computed => (*key, "computed"),
        Harmless(why) | Only(_, why) => (*key, *why),
    });
    roles.chain(keys)
}

/// Refuses a key of `tokenizer_config.json` that is not known, or has a value that is not computed.
pub(crate) fn check_config(config: &Map<String, Value>) -> Result<()> {
    for (key, value) in config.iter().filter(|(_, value)| !value.is_null()) {
        if ROLES.contains(&key.as_str()) || names_token(key, value) {
            continue;
        }
        match KEYS.iter().find(|(known, _)| known == key).map(|(_, of)| *of) {
            Some(Computed | Harmless(_)) => {}
            Some(Only(fits, _)) if fits(value) => {}
            Some(Only(_, why)) => {
                let shown = quote(value);
                return Err(fail!(
                    Unsupported,
                    "{CONFIG}: `{key}` is {shown}, which is not supported: {why}",
                    key = quote(key)
                ));
            }
            None => return Err(unknown(CONFIG, key)),
        }
    }
    Ok(())
}

/// Refuses a key of `special_tokens_map.json` that names no token.
pub(crate) fn check_map(map: &Map<String, Value>, file: &str) -> Result<()> {
    for (key, value) in map.iter().filter(|(_, value)| !value.is_null()) {
        let lists = ["additional_special_tokens", "extra_special_tokens"];
        let known = ROLES.contains(&key.as_str()) || names_token(key, value);
        if !known && !lists.contains(&key.as_str()) {
            return Err(unknown(file, key));
        }
    }
    Ok(())
}

/// Whether `key` is a special token of a name of its own, such as `image_token`.
pub(crate) fn names_token(key: &str, value: &Value) -> bool {
    let token = matches!(value, Value::String(_) | Value::Object(_));
    token && key.ends_with("_token") && !ROLES.contains(&key) && key != "use_auth_token"
}

/// The error of a key that is not in the table.
pub(crate) fn unknown(file: &str, key: &str) -> crate::Error {
    fail!(
        Unsupported,
        "{file}: the key `{key}` is unknown and might change the tokens: remove it if it does not",
        key = quote(key)
    )
}
