//! `everylayer serve bert-as-service`: the words of `bert-serving-start` 1.10, with one dash.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use everylayer::server::bert::{Config, Strategy};
use everylayer::server::http::{self, Listener};
use everylayer::server::zmq::Sockets;
use everylayer::server::{Service, Settings};
use everylayer::{Device, Error, ErrorKind, LoadOptions, Result};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::access;
use crate::cli::{serve, terminal};

/// Options with a value, their other names, their defaults, and what they do here.
const VALUES: [(&str, &[&str], &str, &str); 25] = [
    ("model_dir", &[], "bundled", "model: a Hugging Face folder, `bundled`, or a name on the hub"),
    ("pooling_layer", &[], "-2", "layers; several are concatenated"),
    ("pooling_strategy", &[], "REDUCE_MEAN", "pooling of tokens"),
    ("max_seq_len", &[], "25", "tokens of a sequence, or NONE"),
    ("port", &["port_in", "port_data"], "5555", "port for requests"),
    ("port_out", &["port_result"], "5556", "port for answers"),
    ("http_port", &[], "", "port for HTTP"),
    ("cors", &[], "", "allowed CORS origin; `*` is any, the default of the original"),
    ("allowed_host", &[], "", "host name accepted in HTTP requests, as in `serve` (new here)"),
    ("host", &[], "127.0.0.1", "address to listen on; 0.0.0.0 for all interfaces (new here)"),
    ("max_connections", &[], "1024", "concurrent connections, as in `serve` (new here)"),
    (
        "read_timeout",
        &[],
        "15",
        "seconds for the handshake, the first message and each response, as in `serve` (new here)",
    ),
    ("device", &[], "auto", "auto, cpu, gpu, or an adapter's number or name (new here)"),
    ("tuned_model_dir", &[], "", ""),
    ("ckpt_name", &[], "bert_model.ckpt", ""),
    ("config_name", &[], "bert_config.json", ""),
    ("graph_tmp_dir", &[], "", ""),
    ("num_worker", &[], "1", ""),
    ("max_batch_size", &[], "256", ""),
    ("priority_batch_size", &[], "16", ""),
    ("http_max_connect", &[], "10", ""),
    ("gpu_memory_fraction", &[], "0.5", ""),
    ("device_map", &[], "", ""),
    ("prefetch_size", &[], "10", ""),
    ("log", &[], "warn", "off, error, warn, info or debug (new here)"),
];
/// Options without a value, and what they do here.
const FLAGS: [(&str, &str); 11] = [
    ("mask_cls_sep", "leave [CLS] and [SEP] out of pooling"),
    ("no_special_token", "add no special tokens to sequences sent as tokens"),
    ("show_tokens_to_client", "send the tokens with the vectors"),
    ("fixed_embed_length", "with max_seq_len NONE, pad to the model's positions"),
    ("allow_terminate", "let clients stop the server, as on a loopback address (new here)"),
    ("cpu", "compute on the CPU"),
    ("cased_tokenization", ""),
    ("no_position_embeddings", "leave out the position embeddings"),
    ("xla", ""),
    ("fp16", "store weights in f16"),
    ("verbose", "log requests"),
];

fn usage(said: String) -> Error {
    Error::new(ErrorKind::Usage, said)
}

/// The words, read.
struct StartOptions {
    values: BTreeMap<&'static str, Vec<String>>,
    flags: Vec<&'static str>,
}

impl StartOptions {
    fn read(words: &[String]) -> Result<Self> {
        let (mut values, mut flags) = (BTreeMap::new(), Vec::new());
        let mut rest = words.iter().map(String::as_str).peekable();
        while let Some(word) = rest.next() {
            let plain = word.trim_start_matches('-');
            let (name, joined) = match plain.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (plain, None),
            };
            let name = name.replace('-', "_");
            if !word.starts_with('-') {
                return Err(usage(format!("`{word}` is not an option: options begin with `-`")));
            }
            if let Some((flag, _)) = FLAGS.iter().find(|(flag, _)| *flag == name) {
                flags.push(*flag);
                continue;
            }
            let known = |(own, others, ..): &&(&str, &[&str], &str, &str)| {
                *own == name || others.contains(&name.as_str())
            };
            let Some((own, ..)) = VALUES.iter().find(known) else {
                return Err(usage(format!("unknown option {word}; -help lists the options")));
            };
            let mut given: Vec<String> = joined.map(str::to_owned).into_iter().collect();
            // Several layers, and negative ones, stand after one word.
            let number = |w: &&str| w.parse::<f64>().is_ok();
            if given.is_empty() {
                given.extend(rest.next().map(str::to_owned));
                while matches!(*own, "pooling_layer" | "device_map")
                    && rest.peek().is_some_and(number)
                {
                    given.extend(rest.next().map(str::to_owned));
                }
            }
            if given.is_empty() {
                return Err(usage(format!("{word} needs a value")));
            }
            values.insert(*own, given);
        }
        Ok(Self { values, flags })
    }

    fn has(&self, flag: &str) -> bool {
        self.flags.contains(&flag)
    }

    fn text(&self, name: &str) -> &str {
        let default = VALUES.iter().find(|(own, ..)| *own == name).map_or("", |v| v.2);
        self.values.get(name).and_then(|v| v.first()).map_or(default, String::as_str)
    }

    /// The values that were given, without a default.
    fn given(&self, name: &str) -> &[String] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }

    fn port(&self, name: &str) -> Result<u16> {
        let text = self.text(name);
        text.parse().map_err(|_| usage(format!("-{name} {text} is not a port")))
    }

    fn count(&self, name: &str) -> Result<u32> {
        let text = self.text(name);
        let wrong = |_| usage(format!("-{name} {text} is not a whole number above 0"));
        Ok(text.parse::<NonZeroU32>().map_err(wrong)?.get())
    }

    fn config(&self) -> Result<Config> {
        let layers = match self.values.get("pooling_layer") {
            Some(all) => all
                .iter()
                .map(|k| {
                    k.parse().map_err(|_| usage(format!("-pooling_layer {k} is not a number")))
                })
                .collect::<Result<_>>()?,
            None => vec![-2],
        };
        let max_seq_len = match self.text("max_seq_len") {
            "NONE" | "None" | "none" => None,
            text => {
                let wrong = |_| usage(format!("-max_seq_len {text} is neither a number nor NONE"));
                Some(text.parse().map_err(wrong)?)
            }
        };
        let strategy: Strategy = self.text("pooling_strategy").parse()?;
        Ok(Config {
            layers,
            strategy,
            max_seq_len,
            mask_cls_sep: self.has("mask_cls_sep"),
            no_special_token: self.has("no_special_token"),
            show_tokens: self.has("show_tokens_to_client"),
            fixed_embed_length: self.has("fixed_embed_length"),
            options: self.options(),
        })
    }

    /// Every option by its name, as `SHOW_CONFIG` tells them.
    fn options(&self) -> Map<String, Value> {
        let mut all = Map::new();
        for (name, ..) in VALUES {
            let text = self.text(name);
            let value = match text.parse::<i64>() {
                Ok(number) => json!(number),
                Err(_) if text.is_empty() => Value::Null,
                Err(_) => json!(text),
            };
            all.insert(name.into(), value);
        }
        FLAGS.iter().for_each(|(flag, _)| {
            all.insert((*flag).into(), json!(self.has(flag)));
        });
        all
    }

    /// What was given and changes nothing here.
    fn idle(&self) -> Vec<String> {
        let values = VALUES.iter().filter(|v| v.3.is_empty() && self.values.contains_key(v.0));
        let flags = FLAGS.iter().filter(|f| f.1.is_empty() && self.has(f.0));
        values.map(|v| v.0).chain(flags.map(|f| f.0)).map(|n| format!("-{n}")).collect()
    }
}

fn help() -> String {
    let mut text =
        "Serve bert-serving-client 1.10 over ZeroMQ.\n\nUsage: everylayer serve bert-as-service \
                    -model_dir DIR [-pooling_layer -2 ...] [OPTION ...]\n\nOptions:\n"
            .to_owned();
    for (name, others, default, what) in VALUES.iter().filter(|v| !v.3.is_empty()) {
        let others: String = others.iter().map(|o| format!(", -{o}")).collect();
        let default = if default.is_empty() { String::new() } else { format!(" [{default}]") };
        text.push_str(&format!("  -{name}{others}: {what}{default}\n"));
    }
    for (name, what) in FLAGS.iter().filter(|f| !f.1.is_empty()) {
        text.push_str(&format!("  -{name}: {what}\n"));
    }
    text.push_str("\nThe other options of bert-serving-start are accepted and have no effect.\n");
    text
}

/// Runs the front end.
pub fn run(words: &[String]) -> Result<()> {
    if words.iter().any(|w| matches!(w.as_str(), "-help" | "--help" | "-h")) {
        return terminal::print(help().as_bytes());
    }
    if words.iter().any(|w| matches!(w.as_str(), "-version" | "--version")) {
        return terminal::print(format!("everylayer {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
    }
    let words = StartOptions::read(words)?;
    let host = serve::address(words.text("host")).map_err(|e| e.at("-host"))?;
    let config = words.config()?;
    let level = if words.has("verbose") { "info" } else { words.text("log") };
    let level = level.parse().map_err(|_| usage(format!("unknown -log level {level}")))?;
    let log = super::log::start(level, false, None)?;
    let idle = words.idle();
    if !idle.is_empty() {
        log.note(&format!("{} has no effect", idle.join(", ")));
    }
    let device = match words.has("cpu") {
        true => Device::Cpu,
        false => words.text("device").into(),
    };
    let dtype = if words.has("fp16") { "f16" } else { "auto" };
    let options = LoadOptions::default().device(device).dtype(dtype);
    let options = options.no_positions(words.has("no_position_embeddings"));
    let model = words.text("model_dir").to_owned();
    let allow_terminate = host.is_loopback() || words.has("allow_terminate");
    if allow_terminate && !host.is_loopback() {
        log.note("-allow_terminate: anyone who can connect can stop this server");
    }
    let settings = Settings {
        cors: access::origins("-cors", words.given("cors"))?,
        allowed_hosts: access::hosts("-allowed_host", words.given("allowed_host"), Some(host))?,
        allow_terminate,
        max_connections: words.count("max_connections")? as usize,
        read_timeout: Duration::from_secs(words.count("read_timeout")?.into()),
        ..Settings::default()
    };
    super::heap::bound();
    let service = Service::open(&[(model.clone(), model)], &[options], settings, config)?;
    let encoder = service.models[0].batcher.encoder();
    service.bert.check(&encoder)?;
    log.note(&format!("{} on {}", encoder.name(), encoder.device()));
    let (input, output) = (words.port("port")?, words.port("port_out")?);
    let http_port = match words.text("http_port") {
        "" | "None" => None,
        _ => Some(words.port("http_port")?),
    };
    serve::runtime(service.settings.max_connections)?.block_on(async {
        super::heap::keep_small(&service);
        let sockets = Sockets::open((host, input).into(), (host, output).into()).await?;
        let [input, output] = sockets.places();
        let stop = serve::stop(log.lines())?;
        // A client can end the server too, which HTTP would not hear of.
        let (tell, told) = watch::channel(false);
        let http = match http_port {
            None => None,
            Some(port) => {
                let listener = Listener::tcp(SocketAddr::new(host, port)).await?;
                log.note(&format!("listening on {}", listener.place()));
                Some(tokio::spawn(http::serve(service.clone(), listener, told)))
            }
        };
        log.note(&format!("listening on {input} for requests, {output} for answers"));
        sockets.serve(service, stop).await;
        let _ = tell.send(true);
        if let Some(http) = http {
            let _ = http.await;
        }
        Ok(())
    })
}
