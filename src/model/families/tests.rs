//! What a family takes for absent keys, against the defaults of Transformers' configuration classes.

use serde_json::{Map, Value, json};

use super::{FAMILIES, find, unsupported};
use crate::model::families::config::Config;
use crate::model::spec::{Activation, Spec};

/// The spec of a config that says no more than its `model_type`.
fn bare(model_type: &str) -> Spec {
    let value = json!({ "model_type": model_type });
    let config = Config::new(&value).unwrap();
    // A checkpoint without prefix, pooler and experts.
    (find(&config).unwrap().spec)(&config, &|name| !name.contains("fc1.")).unwrap()
}

#[test]
fn absent_keys_have_the_defaults_of_their_class() {
    let text = include_str!("../../../tests/fixtures/config_keys.json");
    let table: Value = serde_json::from_str(text).unwrap();
    let defaults = table["defaults"].as_object().unwrap();
    for (name, want) in defaults {
        let spec = bare(name);
        let want = want.as_object().unwrap();
        let of = |names: &[&str]| names.iter().find_map(|n| want.get(*n)).and_then(Value::as_f64);
        let size = |names: &[&str]| of(names).map(|n| n as usize);
        let offset = spec.embedding.position.as_ref().and_then(|p| p.padding).map_or(0, |p| p + 1);
        let sizes = [
            ("vocabulary", spec.vocab, size(&["vocab_size"])),
            ("width", spec.width, size(&["dim", "hidden_size"])),
            ("depth", spec.depth(), size(&["n_layers", "num_hidden_layers"])),
            ("heads", spec.heads, size(&["n_heads", "num_attention_heads"])),
            ("inner", spec.inner, size(&["hidden_dim", "intermediate_size"])),
            ("positions", spec.positions + offset, size(&["max_position_embeddings"])),
            ("embedding", spec.embedding.width, size(&["embedding_size"]).or(Some(spec.width))),
        ];
        for (what, got, want) in sizes {
            assert_eq!(Some(got), want, "{name}: {what}");
        }
        let types = size(&["type_vocab_size"]).unwrap_or(0).max(1);
        assert_eq!(spec.types, types, "{name}: token types");
        let block = &spec.blocks[0];
        let act = ["hidden_act", "activation", "hidden_activation"];
        let act = act.iter().find_map(|key| want.get(*key)).and_then(Value::as_str).unwrap();
        assert_eq!(Some(block.activation), Activation::from_config(act), "{name}: activation");
        if let Some(eps) = of(&["layer_norm_eps", "norm_eps", "rms_norm_eps"]) {
            assert_eq!(block.output_norm.eps, eps as f32, "{name}: eps");
        }
    }
    let known = |f: &&super::Family| defaults.contains_key(f.model_type);
    // `new` is no class of Transformers.
    let unknown: Vec<_> = FAMILIES.iter().filter(|f| !known(f)).map(|f| f.model_type).collect();
    assert_eq!(unknown, ["new"]);
}

#[test]
fn an_absent_key_is_the_authors_default_where_transformers_has_no_class() {
    let spec = bare("new");
    assert_eq!((spec.vocab, spec.positions, spec.types), (30_528, 2048, 1));
    let angle = spec.blocks[0].attention.rope.as_ref().unwrap().angles[1];
    let of_gte = bare("gte").blocks[0].attention.rope.as_ref().unwrap().angles[1];
    assert!((angle - 10_000f32.powf(-2.0 / 64.0)).abs() < 1e-6, "{angle}");
    assert!((of_gte - 160_000f32.powf(-2.0 / 64.0)).abs() < 1e-6, "{of_gte}");
    let mut jina = Map::new();
    jina.insert("model_type".into(), json!("bert"));
    jina.insert("_name_or_path".into(), json!("jinaai/jina-bert-implementation"));
    let value = Value::Object(jina);
    let config = Config::new(&value).unwrap();
    let error = (find(&config).unwrap().spec)(&config, &|_| true).unwrap_err().to_string();
    assert!(error.contains("`position_embedding_type` is missing"), "{error}");
}

#[test]
fn two_names_of_a_rotary_base_must_agree() {
    let read = |one: f64, other: f64| {
        let value =
            json!({"model_type": "nomic_bert", "rope_theta": one, "rotary_emb_base": other});
        let config = Config::new(&value).unwrap();
        (find(&config).unwrap().spec)(&config, &|_| true)
    };
    assert!(read(500.0, 500.0).is_ok());
    let error = read(500.0, 1000.0).unwrap_err().to_string();
    assert!(error.contains("`rope_theta`") && error.contains("`rotary_emb_base`"), "{error}");
}

#[test]
fn no_family_that_is_computed_is_called_another_kind() {
    for family in FAMILIES {
        assert_eq!(unsupported::what(family.model_type), None, "{}", family.model_type);
    }
}
