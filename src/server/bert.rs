//! BERT-as-Service 1.10: what it makes of texts, and its HTTP routes. Its ZeroMQ protocol is in
//! [`zmq`](super::zmq).
//!
//! Rules: `bert_serving/server/bert/extract_features.py` (texts to tokens) and `graph.py` (pooling).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::batcher::{Client, Ready};
use super::http::{Answer, of_json, parse};
use super::refusal::{Refusal, Why};
use super::service::{Hosted, Service, frame};
use crate::capture::{Capture, Layers, Pool};
use crate::embeddings::TextEmbedding;
use crate::encoder::Encoder;
use crate::error::{Result, fail};
use crate::text::{Text, Tokens};

/// Tokens of a text with their ids.
type Pieces = Vec<(u32, String)>;

/// The version that its clients ask for.
pub const VERSION: &str = "1.10.0";

/// `-pooling_strategy`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names are the original's")]
pub enum Strategy {
    None = 0,
    ReduceMax = 1,
    #[default]
    ReduceMean = 2,
    ReduceMeanMax = 3,
    FirstToken = 4,
    LastToken = 5,
    ClsPooled = 6,
}

impl std::str::FromStr for Strategy {
    type Err = crate::Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "NONE" | "0" => Self::None,
            "REDUCE_MAX" | "1" => Self::ReduceMax,
            "REDUCE_MEAN" | "2" => Self::ReduceMean,
            "REDUCE_MEAN_MAX" | "3" => Self::ReduceMeanMax,
            "FIRST_TOKEN" | "CLS_TOKEN" | "4" => Self::FirstToken,
            "LAST_TOKEN" | "SEP_TOKEN" | "5" => Self::LastToken,
            "CLS_POOLED" | "6" => Self::ClsPooled,
            _ => {
                return Err(fail!(
                    Usage,
                    "-pooling_strategy {text} is not known: use NONE, REDUCE_MAX, REDUCE_MEAN, \
                     REDUCE_MEAN_MAX, FIRST_TOKEN, LAST_TOKEN, CLS_TOKEN, SEP_TOKEN or CLS_POOLED"
                ));
            }
        })
    }
}

/// The start options that shape a result.
#[derive(Debug, Clone)]
pub struct Config {
    /// `-pooling_layer`: several are joined on the last axis.
    pub layers: Vec<i64>,
    /// `-pooling_strategy`
    pub strategy: Strategy,
    /// `-max_seq_len`; `None` for the longest text of a request.
    pub max_seq_len: Option<usize>,
    /// `-mask_cls_sep`
    pub mask_cls_sep: bool,
    /// `-no_special_token`
    pub no_special_token: bool,
    /// `-show_tokens_to_client`
    pub show_tokens: bool,
    /// `-fixed_embed_length`
    pub fixed_embed_length: bool,
    /// All start options by name, for `SHOW_CONFIG`.
    pub options: Map<String, Value>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            layers: vec![-2],
            strategy: Strategy::ReduceMean,
            max_seq_len: Some(25),
            mask_cls_sep: false,
            no_special_token: false,
            show_tokens: false,
            fixed_embed_length: false,
            options: Map::new(),
        }
    }
}

impl Config {
    /// Holds the options against the model.
    ///
    /// # Errors
    ///
    /// `Usage` or `Unsupported`, naming the option.
    pub fn check(&self, encoder: &Encoder) -> Result<()> {
        self.states(encoder)?;
        let hidden = matches!(
            self.strategy,
            Strategy::FirstToken | Strategy::LastToken | Strategy::ClsPooled
        );
        if self.mask_cls_sep && hidden {
            return Err(fail!(
                Unsupported,
                "-mask_cls_sep hides the tokens that -pooling_strategy {:?} reads: leave one out",
                self.strategy
            ));
        }
        let positions = encoder.spec().positions;
        match self.max_seq_len {
            Some(n) if n <= 3 => Err(fail!(Usage, "-max_seq_len {n} is not above 3")),
            Some(n) if n > positions => Err(fail!(
                Usage,
                "-max_seq_len {n} is more than the {positions} positions of the model"
            )),
            _ => encoder.header(&self.capture(encoder)?).map(drop),
        }
    }

    /// Index k of the encoder's layers is state k + 1; from the end they are the same.
    fn states(&self, encoder: &Encoder) -> Result<Vec<usize>> {
        let depth = encoder.spec().depth() as i64;
        if self.layers.is_empty() {
            return Err(fail!(Usage, "-pooling_layer names no layer"));
        }
        let state = |&k: &i64| match k {
            k if k >= 0 && k < depth => Ok(k as usize + 1),
            k if k < 0 && k >= -depth => Ok((depth + 1 + k) as usize),
            k => Err(fail!(
                Usage,
                "-pooling_layer {k} is not there: the model has layers 0 to {} or -{depth} to -1",
                depth - 1
            )),
        };
        self.layers.iter().map(state).collect()
    }

    fn capture(&self, encoder: &Encoder) -> Result<Capture> {
        let (pool, own) = match self.strategy {
            Strategy::None => ("tokens", true),
            Strategy::ReduceMax => ("max", true),
            Strategy::ReduceMean => ("mean", true),
            Strategy::ReduceMeanMax => ("mean-max", true),
            Strategy::FirstToken => ("cls", true),
            Strategy::LastToken => ("last", true),
            Strategy::ClsPooled => ("pooler", false),
        };
        let mut capture = Capture::default().pool(pool.parse::<Pool>()?).normalize(false);
        if own {
            let states: BTreeSet<usize> = self.states(encoder)?.into_iter().collect();
            let states: Vec<String> = states.iter().map(usize::to_string).collect();
            capture.layers = states.join(",").parse::<Layers>()?;
        }
        Ok(capture)
    }
}

/// The texts of a request: all strings, or all lists of tokens.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Sequences {
    /// To be tokenised.
    Texts(Vec<String>),
    /// Tokenised by the client.
    Tokens(Vec<Vec<String>>),
}

/// What a request comes to.
#[derive(Debug)]
pub struct Array {
    /// (sequences, width), or (sequences, length, width).
    pub shape: Vec<usize>,
    /// Row-major.
    pub values: Vec<f32>,
    /// Where clients are shown them.
    pub tokens: Option<Vec<Vec<String>>>,
}

/// A sequence on its way.
struct Row {
    ready: Ready,
    pieces: Vec<String>,
    /// Places of the rows that come back, and the length with what is masked.
    places: Vec<usize>,
}

/// Computes what BERT-as-Service would.
///
/// # Errors
///
/// What the texts, the queue or the model say.
pub async fn compute(
    service: &Service,
    client: Client,
    model: &Hosted,
    config: &Config,
    sequences: Sequences,
) -> Result<Array, Refusal> {
    let encoder = model.batcher.encoder();
    let count = match &sequences {
        Sequences::Texts(t) => t.len(),
        Sequences::Tokens(t) => t.len(),
    };
    if count == 0 {
        return Err(Refusal::new(Why::Empty, "there is no sequence to encode"));
    }
    if count > service.settings.max_queue {
        let most = service.settings.max_queue;
        let said = format!("{count} sequences are more than the {most} that may wait here");
        return Err(Refusal::new(Why::TooLarge, said));
    }
    let capture = config.capture(&encoder)?;
    let states = config.states(&encoder)?;
    let (shared, settings) = (std::sync::Arc::clone(&encoder), config.clone());
    let read = tokio::task::spawn_blocking(move || rows(&shared, &settings, sequences));
    let failed = |_| Refusal::new(Why::Tokenizer, "the tokenizer failed on the texts");
    let rows = read.await.map_err(failed)??;

    // A sequence of which nothing is left unmasked is not run.
    let (mut run, mut at) = (Vec::new(), Vec::new());
    for row in &rows {
        at.push((!row.ready.tokens.is_empty()).then_some(run.len()));
        if !row.ready.tokens.is_empty() {
            run.push(row.ready.clone());
        }
    }
    let texts = match run.is_empty() {
        true => Vec::new(),
        false => model.batcher.submit(client, run, vec![capture.clone()]).await?.texts,
    };
    let unique: BTreeSet<usize> = match config.strategy {
        Strategy::ClsPooled => [encoder.spec().depth()].into(),
        _ => states.iter().copied().collect(),
    };
    let order: Vec<usize> = match config.strategy {
        Strategy::ClsPooled => vec![0],
        _ => states.iter().filter_map(|s| unique.iter().position(|u| u == s)).collect(),
    };
    let width = encoder.spec().width;
    let parts = if config.strategy == Strategy::ReduceMeanMax { 2 } else { 1 };
    let wide = width * parts * order.len();
    let longest = rows.iter().map(|r| r.pieces.len()).max().unwrap_or(0);
    let length = match config.max_seq_len {
        Some(n) => n,
        None if config.fixed_embed_length => encoder.spec().positions,
        None => longest,
    };
    let is_ragged = config.strategy == Strategy::None;
    let each = if is_ragged { length * wide } else { wide };
    let mut values = vec![0f32; count * each];
    for ((row, at), out) in rows.iter().zip(at).zip(values.chunks_exact_mut(each.max(1))) {
        let text = at.and_then(|at| texts.get(at)).and_then(|captures| captures.first());
        match text {
            Some(text) => fill(text, row, &order, (width, parts, wide), is_ragged, out),
            // `h - (1 - m) * 1e30` with nothing left.
            None if config.strategy == Strategy::ReduceMax => out.fill(-1e30),
            None if config.strategy == Strategy::ReduceMeanMax => out[wide / 2..].fill(-1e30),
            None => {}
        }
    }
    let shape = match is_ragged {
        true => vec![count, length, wide],
        false => vec![count, wide],
    };
    let tokens = config.show_tokens.then(|| rows.into_iter().map(|r| r.pieces).collect());
    Ok(Array { shape, values, tokens })
}

/// One sequence's numbers: its layers side by side in the caller's order, means before maxima.
fn fill(
    text: &TextEmbedding,
    row: &Row,
    order: &[usize],
    (width, parts, wide): (usize, usize, usize),
    is_ragged: bool,
    out: &mut [f32],
) {
    let numbers = text.values.to_f32();
    for r in 0..text.rows {
        let start = if is_ragged { row.places[r] * wide } else { 0 };
        for part in 0..parts {
            for (i, layer) in order.iter().enumerate() {
                let from = ((layer * text.rows + r) * parts + part) * width;
                let to = start + (part * order.len() + i) * width;
                if let (Some(to), Some(from)) =
                    (out.get_mut(to..to + width), numbers.get(from..from + width))
                {
                    to.copy_from_slice(from);
                }
            }
        }
    }
}

fn rows(encoder: &Encoder, config: &Config, sequences: Sequences) -> Result<Vec<Row>, Refusal> {
    let tokenizer = encoder.intake().tokenizer();
    let (before, after) = frame(encoder)?;
    let limit = config.max_seq_len.unwrap_or(encoder.spec().positions);
    let own = |text: &str| -> Result<Vec<(u32, String)>, Refusal> {
        let t = tokenizer.encode_whole(&Text::from(text))?;
        let all = t.ids.into_iter().zip(t.pieces).zip(t.special);
        Ok(all.filter(|(_, special)| !special).map(|(token, _)| token).collect())
    };
    let unknown = ["[UNK]", "<unk>"].iter().find_map(|p| Some((tokenizer.id_of(p)?, *p)));
    let known = |piece: &String| match (tokenizer.id_of(piece), unknown) {
        (Some(id), _) => Ok((id, piece.clone())),
        (None, Some((id, piece))) => Ok((id, piece.to_owned())),
        (None, None) => Err(Refusal::new(Why::Tokenizer, "the vocabulary has no unknown token")),
    };
    let row = |first: Vec<(u32, String)>, second: Option<Vec<(u32, String)>>, bare: bool| {
        assemble(encoder, config, (first, second), (&before, &after), limit, bare)
    };
    match sequences {
        Sequences::Texts(texts) => texts
            .iter()
            .map(|text| {
                let text = text.trim();
                // `^(.*) \|\|\| (.*)$`: the last one, and only on one line.
                let pair = text.rsplit_once(" ||| ").filter(|_| !text.contains('\n'));
                match pair {
                    Some((a, b)) => row(own(a)?, Some(own(b)?), false),
                    None => row(own(text)?, None, false),
                }
            })
            .collect(),
        Sequences::Tokens(lists) => lists
            .iter()
            .map(|list| {
                let bare = config.no_special_token;
                let all = |part: &[String]| part.iter().map(known).collect::<Result<Vec<_>, _>>();
                match list.iter().position(|piece| piece == "|||") {
                    Some(at) => row(all(&list[..at])?, Some(all(&list[at + 1..])?), bare),
                    None => row(all(list)?, None, bare),
                }
            })
            .collect(),
    }
}

/// `[CLS] a [SEP]` or `[CLS] a [SEP] b [SEP]`, cut to `limit`.
fn assemble(
    encoder: &Encoder,
    config: &Config,
    (mut a, mut b): (Pieces, Option<Pieces>),
    (before, after): (&[u32], &[u32]),
    limit: usize,
    bare: bool,
) -> Result<Row, Refusal> {
    let found = a.len() + b.as_ref().map_or(0, Vec::len);
    // An empty second text is none, as in Python.
    if b.as_ref().is_some_and(Vec::is_empty) {
        b = None;
    }
    match &mut b {
        Some(b) => {
            let room = limit.saturating_sub(3);
            while a.len() + b.len() > room {
                if a.len() > b.len() {
                    a.pop()
                } else {
                    b.pop()
                };
            }
        }
        None => a.truncate(limit.saturating_sub(2)),
    }
    let lost = found - a.len() - b.as_ref().map_or(0, Vec::len);
    let tokenizer = encoder.intake().tokenizer();
    let mut all: Vec<(u32, String, u32, bool)> = Vec::new();
    let special = |ids: &[u32], kind: u32| -> Vec<(u32, String, u32, bool)> {
        let one = |&id: &u32| (id, tokenizer.piece_of(id).unwrap_or_default(), kind, true);
        if bare { Vec::new() } else { ids.iter().map(one).collect() }
    };
    let own = |tokens: Vec<(u32, String)>, kind: u32| {
        tokens.into_iter().map(move |(id, piece)| (id, piece, kind, false))
    };
    all.extend(special(before, 0));
    all.extend(own(a, 0));
    all.extend(special(after, 0));
    if let Some(b) = b {
        all.extend(own(b, 1));
        all.extend(special(after, 1));
    }
    if all.is_empty() {
        return Err(Refusal::new(Why::Empty, "a sequence has no tokens"));
    }
    let pieces = all.iter().map(|t| t.1.clone()).collect();
    // The original's mask is that of attention too: what it hides takes no part, and the others
    // keep their positions.
    let shown = |t: &&(usize, (u32, String, u32, bool))| !(config.mask_cls_sep && t.1.3);
    let numbered: Vec<_> = all.into_iter().enumerate().collect();
    let kept: Vec<_> = numbered.iter().filter(shown).collect();
    let places: Vec<usize> = kept.iter().map(|(place, _)| *place).collect();
    let tokens = Tokens {
        ids: kept.iter().map(|(_, t)| t.0).collect(),
        types: kept.iter().map(|(_, t)| t.2).collect(),
        pieces: kept.iter().map(|(_, t)| t.1.clone()).collect(),
        spans: vec![[0, 0]; kept.len()],
        words: vec![None; kept.len()],
        special: kept.iter().map(|(_, t)| t.3).collect(),
        second: kept.iter().map(|(_, t)| t.2 == 1).collect(),
        lost,
    };
    let positions = config.mask_cls_sep.then(|| places.iter().map(|&p| p as u32).collect());
    let ready = Ready { tokens, positions, ..Ready::default() };
    Ok(Row { ready, pieces, places })
}

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

#[derive(Deserialize)]
struct EncodeBody {
    #[serde(default)]
    id: Value,
    texts: Sequences,
    is_tokenized: Option<bool>,
}

/// `POST /encode`
pub async fn encode(service: &Service, client: Client, body: &[u8]) -> Result<Answer, Refusal> {
    let EncodeBody { id, texts, is_tokenized } = parse(body)?;
    let is_list = matches!(&texts, Sequences::Tokens(t) if !t.is_empty());
    if is_tokenized.is_some_and(|said| said != is_list) {
        let said = "`is_tokenized` says otherwise than `texts`: send lists of tokens, or strings";
        return Err(Refusal::new(Why::Validation, said));
    }
    service.statistic.see(
        &client.to_le_bytes(),
        Some(match &texts {
            Sequences::Texts(t) => t.len(),
            Sequences::Tokens(t) => t.len(),
        }),
    );
    let array = compute(service, client, &service.models[0], &service.bert, texts).await?;
    let result = nested(&array.values, &array.shape);
    let mut answer = json!({ "id": id, "result": result, "results": result, "status": 200 });
    if let Some(tokens) = array.tokens {
        answer["tokens"] = json!(tokens);
    }
    Ok(of_json(&answer))
}

fn nested(values: &[f32], shape: &[usize]) -> Value {
    match shape {
        [] | [_] => json!(values),
        [_, rest @ ..] => {
            let each: usize = rest.iter().product::<usize>().max(1);
            values.chunks(each).map(|part| nested(part, rest)).collect()
        }
    }
}

/// `GET /status/server`
pub fn status_server(service: &Service) -> Answer {
    let mut all = show_config(service, &service.bert, "http", ["", "", ""]);
    all.insert("statistic".into(), service.statistic.json());
    all.insert("status".into(), json!(200));
    of_json(&all)
}

/// `GET /status/client`
pub fn status_client(service: &Service) -> Answer {
    let seen = service.statistic.json();
    of_json(&json!({
        "identity": "http",
        "num_request": seen["num_data_request"],
        "num_response": seen["num_data_request"],
        "num_pending_request": service.under_way.load(std::sync::atomic::Ordering::Relaxed),
        "num_pending_response": 0,
        "output_fmt": "list",
        "status": 200,
    }))
}
