//! Spans for an OpenTelemetry collector: where they are sent, and whose children they are.

use hyper::header::HeaderMap;
use opentelemetry::global;
use opentelemetry::propagation::Extractor;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt};
use tracing_subscriber::registry::LookupSpan;

use crate::error::{Result, fail};

/// What sends spans. Dropped, it sends what is left.
pub struct Export(SdkTracerProvider);

impl Export {
    /// Sends to the collector at `endpoint` by OTLP over HTTP, as of the service `name`.
    ///
    /// # Errors
    ///
    /// `Usage` for an endpoint that is no URL.
    pub fn open(endpoint: &str, name: &str) -> Result<Self> {
        let traces = match endpoint.contains("/v1/") {
            true => endpoint.to_owned(),
            false => format!("{}/v1/traces", endpoint.trim_end_matches('/')),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(traces)
            .build()
            .map_err(|e| fail!(Usage, "the OTLP endpoint {endpoint} cannot be used: {e}"))?;
        let resource = Resource::builder().with_service_name(name.to_owned()).build();
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource);
        global::set_text_map_propagator(TraceContextPropagator::new());
        Ok(Self(provider.build()))
    }

    /// The layer that a `tracing` subscriber hands its spans to.
    pub fn layer<S>(&self) -> OpenTelemetryLayer<S, opentelemetry_sdk::trace::SdkTracer>
    where
        S: tracing::Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer().with_tracer(self.0.tracer("everylayer"))
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        let _ = self.0.shutdown();
    }
}

/// Headers, as a propagator reads them.
struct Carrier<'a>(&'a HeaderMap);

impl Extractor for Carrier<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(hyper::header::HeaderName::as_str).collect()
    }
}

/// Makes `span` a child of what the client's `traceparent` names, where it names something.
pub(in crate::server) fn adopt(span: &tracing::Span, headers: &HeaderMap) {
    let parent = global::get_text_map_propagator(|p| p.extract(&Carrier(headers)));
    // Refused alone where the span is already under way or no layer listens.
    let _ = span.set_parent(parent);
}
