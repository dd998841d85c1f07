//! Lines of `tracing` on standard error, and spans for a collector.

use everylayer::Result;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

/// What has to be kept until the program ends.
#[derive(Default)]
pub struct Log {
    #[cfg(feature = "otel")]
    _export: Option<everylayer::server::otel::Export>,
}

/// Where spans go: an address and the name of this service.
#[derive(Debug, Clone, Copy)]
pub struct Otlp<'a> {
    /// The collector's address.
    pub endpoint: &'a str,
    /// `service.name`
    pub name: &'a str,
}

/// Begins the log.
///
/// # Errors
///
/// `Usage` for an address that is none; `Unsupported` where this build sends no spans.
pub fn start(
    level: tracing::level_filters::LevelFilter,
    json: bool,
    otlp: Option<Otlp<'_>>,
) -> Result<Log> {
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match json {
        true => Box::new(lines.json().with_filter(level)),
        false => Box::new(lines.with_filter(level)),
    };
    let mut layers = vec![lines];
    let log = spans(otlp, &mut layers)?;
    // A second subscriber is refused, which only a program around this one could have set.
    let _ = tracing_subscriber::registry().with(layers).try_init();
    Ok(log)
}

#[cfg(feature = "otel")]
fn spans(
    otlp: Option<Otlp<'_>>,
    layers: &mut Vec<Box<dyn Layer<Registry> + Send + Sync>>,
) -> Result<Log> {
    use tracing::level_filters::LevelFilter;

    let export = otlp.map(|to| everylayer::server::otel::Export::open(to.endpoint, to.name));
    let export = export.transpose()?;
    if let Some(export) = &export {
        layers.push(Box::new(export.layer::<Registry>().with_filter(LevelFilter::INFO)));
    }
    Ok(Log { _export: export })
}

#[cfg(not(feature = "otel"))]
fn spans(
    otlp: Option<Otlp<'_>>,
    _: &mut Vec<Box<dyn Layer<Registry> + Send + Sync>>,
) -> Result<Log> {
    use everylayer::{Error, ErrorKind};

    match otlp {
        None => Ok(Log::default()),
        Some(to) => {
            let said = format!(
                "--otlp-endpoint {}: this build sends no spans to {}'s collector; build it with the \
                 feature `otel`",
                to.endpoint, to.name
            );
            Err(Error::new(ErrorKind::Unsupported, said))
        }
    }
}
