//! `everylayer serve`: models behind HTTP, and BERT-as-Service behind ZeroMQ.

mod access;
mod bert_as_service;
mod heap;
mod lines;
mod log;
mod tei;

use std::net::{IpAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueHint};
use everylayer::server::http::{self, Listener};
use everylayer::server::{Service, Settings, Site, bert, pooling};
use everylayer::{Device, Error, ErrorKind, Result};
use tokio::sync::watch;

use super::args::load::LoadArgs;
use super::args::{count, device, log_level, switch};
use access::AccessArgs;
use lines::Lines;
use log::Otlp;
use tei::TeiArgs;

/// `everylayer serve --help`
pub fn help() -> String {
    let mut routes = String::from("Routes:\n");
    for (dialect, mut paths) in everylayer::server::table() {
        paths.dedup();
        let mut line = format!("  {dialect}:");
        for path in paths {
            if line.len() + path.len() > 78 {
                routes.push_str(&line);
                line = "\n   ".to_owned();
            }
            line.push(' ');
            line.push_str(&path.replace("{*", "{"));
        }
        routes.push_str(&line);
        routes.push('\n');
    }
    format!("{EXAMPLES}\n\n{routes}\n{END}")
}

const EXAMPLES: &str = "\
Examples:
  everylayer serve
      the model in this binary on http://127.0.0.1:3000; /docs lists the routes
  everylayer serve -m BAAI/bge-small-en-v1.5 --api-key secret --host 0.0.0.0
      a model from the hub, reachable from other machines; use a proxy for TLS
  everylayer serve --model small=bundled --model legal=./legal-bert
      two models, selected by the field `model` of a request
  everylayer serve --device cpu --device llvmpipe
      one queue and a worker per device; results differ in rounding between them
  curl localhost:3000/v1/layers -d '{\"input\":\"Hi\",\"outputs\":[{\"layers\":\"all\"}]}'
      every layer of a text, pooled
  everylayer serve --web
      the demo in a browser: http://127.0.0.1:3000/web/
  everylayer serve bert-as-service -model_dir ./bert-base -pooling_layer -2
      for bert-serving-client, on ports 5555 and 5556

Options of Text Embeddings Inference are accepted where they have an equivalent:
--model-id, --revision, --served-model-name, --hostname, --dtype,
--max-batch-tokens, --max-concurrent-requests, ...; the errors for the others
say what to use instead.";

const END: &str = "\
On SIGTERM and SIGHUP the server finishes accepted requests and answers new ones
with 503.";

/// `everylayer serve`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ServeArgs {
    /// Other front ends.
    #[command(subcommand)]
    pub front: Option<Front>,
    /// What all front ends take.
    #[command(flatten)]
    pub http: HttpArgs,
}

/// Front ends with words of their own.
#[derive(Debug, Subcommand)]
pub enum Front {
    /// Serve BERT-as-Service clients over ZeroMQ, with the options of bert-serving-start
    #[command(name = "bert-as-service", disable_help_flag = true)]
    BertAsService {
        /// Options of bert-serving-start, with one dash; `-help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTION")]
        words: Vec<String>,
    },
}

/// HTTP.
#[derive(Debug, Args)]
pub struct HttpArgs {
    /// Address to listen on; 0.0.0.0 for all interfaces
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1", alias = "hostname")]
    #[arg(value_parser = address, value_hint = ValueHint::Hostname)]
    pub host: IpAddr,
    /// Port to listen on; 0 picks a free one
    #[arg(long, value_name = "PORT", default_value = "3000")]
    pub port: u16,
    /// Listen on a Unix socket at this path instead
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub uds_path: Option<PathBuf>,
    /// Serve the demo, the browser package and the bundled model under /web/
    #[arg(long)]
    pub web: bool,
    /// Like --web, but from this folder, laid out like `web/` of the repository
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub web_dir: Option<PathBuf>,
    /// Model: `bundled`, a folder, or a name on the hub; NAME=MODEL serves it under another name.
    /// Repeat to serve several; the first is the default
    #[arg(short, long = "model", value_name = "[NAME=]MODEL", default_value = "bundled")]
    #[arg(alias = "model-id")]
    pub models: Vec<String>,
    /// Device: `auto`, `cpu`, `gpu`, or an adapter by number or by the start of a word of its name.
    /// Repeat to use several: each loads the models and takes texts from one queue
    #[arg(long = "device", value_name = "DEVICE", default_value = "auto")]
    #[arg(env = "EVERYLAYER_DEVICE", hide_env_values = true)]
    #[arg(value_parser = device(), hide_possible_values = true)]
    pub devices: Vec<Device>,
    /// How models are loaded.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Who may call.
    #[command(flatten)]
    pub access: AccessArgs,
    /// Maximum texts per request
    #[arg(long, value_name = "N", default_value = "2048", value_parser = count)]
    pub max_client_batch_size: usize,
    /// Maximum size of a request body
    #[arg(long, value_name = "BYTES", default_value = "16000000", value_parser = count)]
    pub payload_limit: usize,
    /// Maximum texts in the queue; more get 429
    #[arg(long, value_name = "N", default_value = "16384", value_parser = count)]
    pub max_queue: usize,
    /// Maximum work of one request, in tokens: windows count with their overlaps, long texts by the
    /// cost of their attention; more gets 413
    #[arg(long, value_name = "N", default_value = "2097152", value_parser = count)]
    pub max_request_tokens: usize,
    /// Target duration of a batch, which other requests wait for; 0 always fills --batch-tokens
    #[arg(long, value_name = "MS", default_value = "120")]
    pub batch_ms: u64,
    /// Maximum bytes of results in memory, of all requests (more gets 429) and of one (413)
    #[arg(long, value_name = "BYTES", default_value = "1073741824", value_parser = count)]
    pub max_result_bytes: usize,
    /// Maximum bytes of all request bodies in memory; more wait, then get 429
    #[arg(long, value_name = "BYTES", default_value = "268435456", value_parser = count)]
    pub max_body_bytes: usize,
    /// Maximum concurrent connections; more wait in the system's queue. At the limit, connections
    /// close after each response, and those idle for 3 seconds are closed
    #[arg(long, value_name = "N", default_value = "1024", alias = "max-concurrent-requests")]
    #[arg(value_parser = count)]
    pub max_connections: usize,
    /// Truncate texts over the token limit if the request does not say
    #[arg(long, value_name = "true|false", default_value = "true", num_args = 0..=1)]
    #[arg(default_missing_value = "true", require_equals = true)]
    #[arg(value_parser = switch(), hide_possible_values = true)]
    #[arg(action = clap::ArgAction::Set)]
    pub auto_truncate: bool,
    /// Timeout for the head and each part of a request
    #[arg(long, alias = "patience", value_name = "SECONDS", default_value = "15")]
    pub read_timeout: u64,
    /// Time to finish accepted requests at shutdown
    #[arg(long, value_name = "SECONDS", default_value = "30")]
    pub grace: u64,
    /// Log as JSON
    #[arg(long)]
    pub json_output: bool,
    /// Export spans to this OpenTelemetry collector, by OTLP over HTTP; needs a build with the
    /// feature `otel`
    #[arg(long, value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// Service name for OpenTelemetry
    #[arg(long, value_name = "NAME", default_value = "everylayer")]
    pub otlp_service_name: String,
    /// Log level: `off`, `error`, `warn`, `info` (one line per request) or `debug`
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    #[arg(value_parser = log_level(), hide_possible_values = true)]
    pub log: tracing::level_filters::LevelFilter,
    /// What Text Embeddings Inference calls otherwise.
    #[command(flatten)]
    pub tei: TeiArgs,
}

impl HttpArgs {
    fn settings(&self) -> Result<Settings> {
        let address = self.uds_path.is_none().then_some(self.host);
        Ok(Settings {
            api_keys: self.access.keys(address)?,
            cors: self.access.origins()?,
            allowed_hosts: self.access.hosts(address)?,
            max_client_batch: self.max_client_batch_size,
            payload_limit: self.payload_limit,
            max_queue: self.max_queue,
            max_request_tokens: self.max_request_tokens,
            batch_time: (self.batch_ms > 0).then(|| Duration::from_millis(self.batch_ms)),
            max_batch_tokens: self.load.batch_tokens.or(self.tei.max_batch_tokens),
            max_result_bytes: self.max_result_bytes,
            max_body_bytes: self.max_body_bytes,
            max_connections: self.max_connections,
            auto_truncate: self.auto_truncate,
            allow_terminate: false,
            read_timeout: Duration::from_secs(self.read_timeout.max(1)),
            grace: Duration::from_secs(self.grace),
            web: None,
        })
    }

    /// The pages to serve, if any.
    fn site(&self) -> Result<Option<Site>> {
        match (&self.web_dir, self.web) {
            (Some(folder), _) => Site::folder(folder).map_err(|e| e.at("--web-dir")).map(Some),
            (None, true) => Site::built().map_err(|e| e.at("--web (or --web-dir DIR)")).map(Some),
            (None, false) => Ok(None),
        }
    }

    /// Names and what to open, without two of one name.
    fn named(&self) -> Result<Vec<(String, String)>> {
        let mut named: Vec<(String, String)> = Vec::new();
        for word in &self.models {
            let (name, id) = match word.split_once('=') {
                Some((name, id)) => (name, id),
                None => (word.as_str(), word.as_str()),
            };
            let off = match named.iter().any(|(taken, _)| taken == name) {
                _ if name.is_empty() || id.is_empty() => "write it as NAME=MODEL".to_owned(),
                true => format!("two models are named `{name}`: give each its own name"),
                false => String::new(),
            };
            if !off.is_empty() {
                return Err(Error::new(ErrorKind::Usage, format!("--model {word}: {off}")));
            }
            named.push((name.to_owned(), id.to_owned()));
        }
        self.tei.apply(named)
    }
}

/// Runs the command.
pub fn run(args: ServeArgs) -> Result<()> {
    match args.front {
        None => serve_http(&args.http),
        Some(Front::BertAsService { words }) => bert_as_service::run(&words),
    }
}

/// The address that `host` is: one written out, with brackets or without, or that of a name. Of
/// several it is the first of IPv4, which clients try where they are told `localhost`.
pub fn address(host: &str) -> Result<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse() {
        return Ok(address);
    }
    let off = |why: &str| {
        let said = format!(
            "`{host}` is not an address of this machine ({why}): use 127.0.0.1, 0.0.0.0 for every \
             network, or a name that resolves"
        );
        Error::new(ErrorKind::Usage, said)
    };
    if bare.is_empty() || bare.contains([':', '/']) {
        return Err(off("give the port with its own option"));
    }
    let found: Vec<IpAddr> = match (bare, 0).to_socket_addrs() {
        Ok(found) => found.map(|address| address.ip()).collect(),
        Err(e) => return Err(off(&e.to_string())),
    };
    let v4 = found.iter().find(|address| address.is_ipv4());
    v4.or(found.first()).copied().ok_or_else(|| off("the name has none"))
}

/// The threads that wait for clients; of each connection one may write its answer while its client
/// reads it, beside those that parse and tokenise.
pub fn runtime(connections: usize) -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.max_blocking_threads(connections.saturating_add(512));
    builder
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Error::new(ErrorKind::Io, format!("cannot start threads: {e}")).with_source(e))
}

fn serve_http(args: &HttpArgs) -> Result<()> {
    let otlp = args.otlp_endpoint.as_deref();
    let otlp = otlp.map(|endpoint| Otlp { endpoint, name: &args.otlp_service_name });
    let log = log::start(args.log, args.json_output, otlp)?;
    args.tei.check()?;
    let models = args.named()?;
    if let Some(said) = tei::unread() {
        log.note(&said);
    }
    heap::bound();
    let settings = Settings { web: args.site()?, ..args.settings()? };
    let web = settings.web.is_some();
    let options: Vec<_> = args.devices.iter().map(|d| args.load.options(d)).collect();
    let service = Service::open(&models, &options, settings, bert::Config::default())?;
    args.tei.check_pooling(&pooling(&service.models[0].batcher.encoder()))?;
    for model in &service.models {
        for worker in model.batcher.workers() {
            let encoder = worker.encoder();
            log.note(&format!("{}: {} on {}", model.name, encoder.name(), encoder.device()));
            encoder.notes().iter().for_each(|note| log.note(note));
        }
    }
    runtime(args.max_connections)?.block_on(async {
        heap::keep_small(&service);
        let listener = match &args.uds_path {
            #[cfg(unix)]
            Some(path) => Listener::unix(path)?,
            #[cfg(not(unix))]
            Some(_) => {
                let said = "--uds-path: this system has no Unix sockets";
                return Err(Error::new(ErrorKind::Unsupported, said));
            }
            None => Listener::tcp((args.host, args.port).into()).await?,
        };
        log.note(&format!("listening on {}", listener.place()));
        if web && args.uds_path.is_none() {
            log.note(&format!("the demo is on {}/web/demo/", listener.place()));
        }
        http::serve(service, listener, stop(log.lines())?).await;
        if let Some(path) = &args.uds_path {
            let _ = std::fs::remove_file(path);
        }
        Ok(())
    })
}

/// Whether SIGHUP is ignored, as after `nohup`.
#[cfg(unix)]
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|m| m & 1 == 1)
}

/// Says `true` once the program is told to end.
pub fn stop(lines: Lines) -> Result<watch::Receiver<bool>> {
    let (tell, told) = watch::channel(false);
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let failed = |e: std::io::Error| Error::new(ErrorKind::Io, format!("signals: {e}"));
        let mut term = signal(SignalKind::terminate()).map_err(failed)?;
        let mut int = signal(SignalKind::interrupt()).map_err(failed)?;
        // Where nohup had it ignored, it stays so.
        let mut hangup = match is_hangup_ignored() {
            true => None,
            false => Some(signal(SignalKind::hangup()).map_err(failed)?),
        };
        tokio::spawn(async move {
            let hung_up = async {
                match &mut hangup {
                    Some(hangup) => _ = hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! { _ = term.recv() => {}, _ = int.recv() => {}, () = hung_up => {} }
            lines.put("everylayer: finishing accepted work");
            let _ = tell.send(true);
        });
    }
    #[cfg(not(unix))]
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        let _ = tell.send(true);
    });
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine_resolve() {
        assert!(address("localhost").unwrap().is_loopback());
        for (host, want) in [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("[::1]", "::1")] {
            assert_eq!(address(host).unwrap().to_string(), want);
        }
        for (host, want) in [
            ("", "port"),
            ("localhost:3000", "port"),
            ("http://localhost", "port"),
            ("no such host", "`no such host`"),
        ] {
            let error = address(host).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.to_string().contains(want), "{error}");
        }
    }
}
