//! Lines of `tracing` on standard error, and spans for a collector.

use everylayer::{Error, ErrorKind, Result};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use super::lines::Lines;

/// What has to be kept until the program ends.
pub struct Log {
    lines: Lines,
    #[cfg(feature = "otel")]
    _export: Option<everylayer::server::otel::Export>,
}

impl Log {
    /// Says `sentence`, as [`terminal::note`](crate::cli::terminal::note), but waits for nobody to read it.
    pub fn note(&self, sentence: &str) {
        self.lines.put(&format!("everylayer: {sentence}"));
    }

    /// What says so from elsewhere.
    pub fn lines(&self) -> Lines {
        self.lines.clone()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.lines.finish();
    }
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
    let out = Lines::start(std::io::stderr())
        .map_err(|e| Error::new(ErrorKind::Io, format!("the thread of the log: {e}")))?;
    // A panic is a line too: what the system's own would wait for is a reader.
    let said = out.clone();
    std::panic::set_hook(Box::new(move |panic| said.put(&format!("everylayer: {panic}"))));
    let lines = fmt::layer().with_writer(out.clone()).with_ansi(false);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match json {
        true => Box::new(lines.json().with_filter(level)),
        false => Box::new(lines.with_filter(level)),
    };
    let mut layers = vec![lines];
    let log = spans(otlp, &mut layers, out)?;
    // A second subscriber is refused, which only a program around this one could have set.
    let _ = tracing_subscriber::registry().with(layers).try_init();
    Ok(log)
}

#[cfg(feature = "otel")]
fn spans(
    otlp: Option<Otlp<'_>>,
    layers: &mut Vec<Box<dyn Layer<Registry> + Send + Sync>>,
    lines: Lines,
) -> Result<Log> {
    use tracing::level_filters::LevelFilter;

    let export = otlp.map(|to| everylayer::server::otel::Export::open(to.endpoint, to.name));
    let export = export.transpose()?;
    if let Some(export) = &export {
        layers.push(Box::new(export.layer::<Registry>().with_filter(LevelFilter::INFO)));
    }
    Ok(Log { lines, _export: export })
}

#[cfg(not(feature = "otel"))]
fn spans(
    otlp: Option<Otlp<'_>>,
    _: &mut Vec<Box<dyn Layer<Registry> + Send + Sync>>,
    lines: Lines,
) -> Result<Log> {
    match otlp {
        None => Ok(Log { lines }),
        Some(Otlp { endpoint, name }) => {
            let said = format!(
                "--otlp-endpoint {endpoint}: this build cannot export spans of {name}: build it \
                 with the feature `otel`"
            );
            Err(Error::new(ErrorKind::Unsupported, said))
        }
    }
}
