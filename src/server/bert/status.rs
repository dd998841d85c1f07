//! What is told of the server and its requests: `SHOW_CONFIG` and `SHOW_STATUS`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::{Config, VERSION};
use crate::server::service::Service;

/// What is told of requests, as `statistic` of the original.
#[derive(Debug, Default)]
pub struct Statistic(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    clients: BTreeMap<Vec<u8>, (u64, Instant, f64)>,
    data: u64,
    sequences: u64,
    system: u64,
    sizes: Vec<f64>,
    intervals: Vec<f64>,
}

/// Clients, and values of each list, that are remembered at most.
const REMEMBERED: usize = 500;

impl Statistic {
    /// Counts a request of `identity` for `sequences`; `None` is a system request.
    pub fn see(&self, identity: &[u8], sequences: Option<usize>) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sequences) = sequences else {
            seen.system += 1;
            return;
        };
        seen.data += 1;
        seen.sequences += sequences as u64;
        keep(&mut seen.sizes, sequences as f64);
        let now = Instant::now();
        if seen.clients.len() >= REMEMBERED && !seen.clients.contains_key(identity) {
            let oldest = seen.clients.iter().min_by_key(|(_, c)| c.1).map(|(id, _)| id.clone());
            oldest.and_then(|id| seen.clients.remove(&id));
        }
        let client = seen.clients.entry(identity.to_vec()).or_insert((0, now, f64::NAN));
        let interval = (client.0 > 0).then(|| (now - client.1).as_secs_f64());
        *client = (client.0 + 1, now, interval.unwrap_or(f64::NAN));
        if let Some(interval) = interval {
            keep(&mut seen.intervals, interval);
        }
    }

    /// The JSON object.
    pub fn json(&self) -> Value {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let active = seen.clients.values().filter(|c| c.1.elapsed() < Duration::from_secs(180));
        let mut all = json!({
            "num_data_request": seen.data,
            "num_total_seq": seen.sequences,
            "num_sys_request": seen.system,
            "num_total_request": seen.data + seen.system,
            "num_total_client": seen.clients.len(),
            "num_active_client": active.count(),
        });
        let requests: Vec<f64> = seen.clients.values().map(|c| c.0 as f64).collect();
        let rates: Vec<f64> =
            seen.intervals.iter().filter(|&&i| i > 0.0).map(|i| 1.0 / i).collect();
        for (name, values) in [
            ("request_per_client", &requests),
            ("size_per_request", &seen.sizes),
            ("last_two_interval", &seen.intervals),
            ("request_per_second", &rates),
        ] {
            if values.is_empty() {
                continue;
            }
            let min = values.iter().copied().fold(f64::INFINITY, f64::min);
            let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let count = |x: f64| values.iter().filter(|&&v| v == x).count();
            let numbers = [
                ("avg", json!(values.iter().sum::<f64>() / values.len() as f64)),
                ("min", json!(min)),
                ("max", json!(max)),
                ("num_min", json!(count(min))),
                ("num_max", json!(count(max))),
            ];
            for (what, number) in numbers {
                all[format!("{what}_{name}")] = number;
            }
        }
        all
    }
}

fn keep(list: &mut Vec<f64>, value: f64) {
    if list.len() >= REMEMBERED {
        list.remove(0);
    }
    list.push(value);
}

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
