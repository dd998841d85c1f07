//! What clients are told of the server: `SHOW_CONFIG`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::{Config, VERSION};
use crate::server::core::service::Service;

/// What `SHOW_CONFIG` is answered with.
pub fn show_config(
    service: &Service,
    config: &Config,
    identity: &str,
    sockets: [&str; 3],
) -> Map<String, Value> {
    let mut all = config.options.clone();
    let model = &service.models[0];
    let set = |all: &mut Map<String, Value>, name: &str, value: Value| {
        all.insert(name.into(), value);
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let start = now.saturating_sub(service.started.elapsed());
    all.entry("model_dir").or_insert_with(|| model.id.clone().into());
    for (name, value) in [
        ("client", json!(identity)),
        ("num_process", json!(1)),
        ("ventilator -> worker", json!([sockets[0]])),
        ("worker -> sink", json!(sockets[1])),
        ("ventilator <-> sink", json!(sockets[2])),
        ("server_current_time", json!(date(now))),
        ("device_map", json!([])),
        ("num_concurrent_socket", json!(1)),
        ("tensorflow_version", json!([])),
        ("python_version", json!("")),
        ("server_version", json!(VERSION)),
        ("pyzmq_version", json!("")),
        ("zmq_version", json!("")),
        ("server_start_time", json!(date(start))),
        ("pooling_layer", json!(config.layers)),
        ("pooling_strategy", json!(config.strategy as u8)),
        ("max_seq_len", json!(config.max_seq_len)),
        ("mask_cls_sep", json!(config.mask_cls_sep)),
        ("no_special_token", json!(config.no_special_token)),
        ("show_tokens_to_client", json!(config.show_tokens)),
        ("fixed_embed_length", json!(config.fixed_embed_length)),
        ("everylayer_version", json!(env!("CARGO_PKG_VERSION"))),
    ] {
        set(&mut all, name, value);
    }
    all
}

/// `2026-11-23 11:45:00.000000`, in UTC.
fn date(since: Duration) -> String {
    let (days, rest) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Howard Hinnant, "chrono-compatible low-level date algorithms", civil_from_days.
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    let (h, m, s) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year}-{month:02}-{day:02} {h:02}:{m:02}:{s:02}.{:06}", since.subsec_micros())
}
