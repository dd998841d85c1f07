//! What the server says of itself: `/metrics`, `/info`, `/health`.

use std::sync::atomic::Ordering::Relaxed;

use serde_json::json;

use super::answer::{Answer, of_bytes, of_json};
use crate::encoder::Encoder;
use crate::schedule::PoolMode;
use crate::server::core::batcher::{Batcher, Worker};
use crate::server::core::error::ApiError;
use crate::server::core::health;
use crate::server::core::service::Service;

/// `GET /metrics`
pub fn metrics(service: &Service) -> Answer {
    let mut gauges: Vec<(&str, &str, String, u64)> = Vec::new();
    let plain = |text: &str| text.replace(['"', '\\', '\n'], "_");
    type Number<T> = fn(&T) -> u64;
    let queues: [(&str, &str, Number<Batcher>); 3] = [
        ("te_queue_size", "Texts that wait.", |b| b.waiting().0 as u64),
        ("everylayer_queue_tokens", "Tokens that wait.", |b| b.waiting().1 as u64),
        ("everylayer_running_texts", "Texts that devices work on.", |b| b.running() as u64),
    ];
    for (name, help, number) in queues {
        for model in &service.models {
            let label = format!("{{model=\"{}\"}}", plain(&model.name));
            gauges.push((name, help, label, number(&model.batcher)));
        }
    }
    let devices: [(&str, &str, Number<Worker>); 6] = [
        ("everylayer_weight_bytes", "Bytes of the weights on the device.", |w| {
            w.encoder().weight_bytes()
        }),
        ("everylayer_device_peak_bytes", "Peak memory of arrays on the device, in bytes.", |w| {
            w.encoder().counters().peak_bytes
        }),
        ("everylayer_device_texts_total", "Texts computed by the device.", Worker::texts),
        ("everylayer_device_lost", "1 while the device is lost, else 0.", |w| {
            u64::from(w.is_lost())
        }),
        (
            "everylayer_device_verified",
            "1 where the kernels of a GPU were held against the CPU, else 0.",
            |w| u64::from(w.encoder().verified().is_some()),
        ),
        (
            "everylayer_device_faults",
            "1 where other kernels are used because those of the adapter compute wrong, else 0.",
            |w| u64::from(w.encoder().verified().is_some_and(|found| found.fault.is_some())),
        ),
    ];
    for (name, help, number) in devices {
        for model in &service.models {
            for (i, worker) in model.batcher.workers().iter().enumerate() {
                let (model, device) = (plain(&model.name), plain(&worker.encoder().device()));
                let label = format!("{{model=\"{model}\",number=\"{i}\",device=\"{device}\"}}");
                gauges.push((name, help, label, number(worker)));
            }
        }
    }
    // This request is under way too.
    let under_way = service.under_way.load(Relaxed).saturating_sub(1);
    gauges.push((
        "everylayer_requests_under_way",
        "Requests in progress.",
        String::new(),
        under_way,
    ));
    of_bytes(service.metrics.write(&gauges), "text/plain; version=0.0.4")
}

/// `GET /health`
///
/// # Errors
///
/// As [`health::check`].
pub async fn health(service: &Service) -> Result<Answer, ApiError> {
    health::check(service).await?;
    Ok(of_json(&json!({ "status": "ok" })))
}

/// `GET /info`
pub fn info(service: &Service) -> Answer {
    let model = &service.models[0];
    let encoder = model.batcher.encoder();
    let settings = &service.settings;
    let models: Vec<&str> = service.models.iter().map(|m| m.name.as_str()).collect();
    let devices: Vec<String> =
        model.batcher.workers().iter().map(|worker| worker.encoder().device()).collect();
    of_json(&json!({
        "model_id": model.name,
        "model_sha": null,
        "model_dtype": match encoder.dtype().to_string().as_str() {
            "f16" => "float16",
            _ => "float32",
        },
        "model_type": { "embedding": { "pooling": pooling(&encoder) } },
        "max_concurrent_requests": settings.max_connections,
        "max_input_length": encoder.max_tokens(),
        "max_batch_tokens": model.batcher.batch_tokens(),
        "max_batch_requests": null,
        "max_client_batch_size": settings.max_client_batch,
        "max_queue_texts": settings.max_queue,
        "max_request_tokens": settings.max_request_tokens,
        "batch_ms": settings.batch_time.map_or(0, |time| time.as_millis() as u64),
        "max_result_bytes": settings.max_result_bytes,
        "max_body_bytes": settings.max_body_bytes,
        "payload_limit": settings.payload_limit,
        "auto_truncate": settings.auto_truncate,
        "tokenization_workers": service.tokenizers(),
        "version": env!("CARGO_PKG_VERSION"),
        "sha": null,
        "docker_label": null,
        "device": encoder.device(),
        "devices": devices,
        "layers": encoder.spec().depth(),
        "width": encoder.spec().width,
        "models": models,
    }))
}

/// What the model's own vectors are pooled by, in the words of Text Embeddings Inference where it
/// has one; several are joined by `+`, as their vectors are.
pub fn pooling(encoder: &Encoder) -> String {
    let name = |mode: &PoolMode| match mode {
        PoolMode::Mean => "mean",
        PoolMode::Cls => "cls",
        PoolMode::Last => "last_token",
        PoolMode::Max => "max",
        PoolMode::Min => "min",
        PoolMode::MeanSqrt => "mean_sqrt_len",
        PoolMode::WeightedMean => "weighted_mean",
    };
    encoder.pipeline().pooling.modes.iter().map(name).collect::<Vec<_>>().join("+")
}
