//! The words of the command line, as clap reads them. What they mean is decided by the commands.
//!
//! Typed values are parsed by the library, so that a bad word has the same sentence everywhere.

mod cluster;
pub mod load;
mod texts;
mod values;
mod words;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use everylayer::output::Format;
use everylayer::{
    Capture, Combine, Error, ErrorKind, Heads, Layers, Overflow, Pool, Precision, Reduce, Route,
    Site,
};

use super::help;
pub use cluster::{ClusterArgs, Engine};
pub use load::DeviceArgs;
#[cfg(any(feature = "gpu", feature = "server"))]
pub use values::device;
#[cfg(feature = "server")]
pub use values::log_level;
pub use values::{Shard, devices, switch};
use values::{
    combine, formats, heads, layers, overflow, pool, precision, reduce, route, site, token_formats,
};
pub use words::joined;

/// Every layer of any BERT, on any GPU.
#[derive(Debug, Parser)]
#[command(name = "everylayer", version, after_help = help::PROGRAM, max_term_width = 80, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Compute embeddings of texts, from any layers of the model
    #[command(after_help = help::EMBED)]
    Embed(Box<EmbedArgs>),
    /// Show the tokens of texts
    #[command(after_help = help::TOKENIZE)]
    Tokenize(TokenizeArgs),
    /// Write the attention weights of texts, or what is made of them
    #[command(after_help = help::ATTENTION)]
    Attention(Box<AttentionArgs>),
    /// Write an HTML page that compares the layers on one text or two
    #[command(after_help = help::EXPLORE)]
    Explore(Box<ExploreArgs>),
    /// Show the GPUs of this machine, and a model's shape and memory use
    #[command(after_help = help::INFO)]
    Info(InfoArgs),
    /// Check that the GPUs of this machine compute the same results as the CPU
    #[cfg(feature = "gpu")]
    #[command(after_help = help::DOCTOR)]
    Doctor(DoctorArgs),
    /// Print the WGSL source of the GPU kernels
    #[cfg(feature = "gpu")]
    #[command(after_help = help::WGSL)]
    Wgsl(WgslArgs),
    /// Measure tokens per second and the time of each kernel
    #[command(after_help = help::BENCH)]
    Bench(BenchArgs),
    /// Serve models over HTTP (OpenAI, Text Embeddings Inference, every layer) or as BERT-as-Service
    #[cfg(feature = "server")]
    #[command(after_help = super::serve::help())]
    Serve(Box<super::serve::ServeArgs>),
    /// Write a completion script for a shell to standard output
    #[command(after_help = help::COMPLETIONS)]
    Completions(CompletionsArgs),
    /// Show the licences of this program and its dependencies
    #[command(after_help = help::LICENSES)]
    Licenses,
}

/// Where texts come from.
#[derive(Debug, Clone, Args)]
pub struct InputArgs {
    /// Texts; put one that begins with `-` or is the name of a file after `--`; `-` alone reads
    /// lines from standard input
    #[arg(value_name = "TEXT", conflicts_with = "input")]
    pub texts: Vec<String>,
    /// Input file: .txt (one text per line), .jsonl, .json, .csv, .tsv (all also with .gz or .zst)
    /// or .parquet; `-` reads lines from standard input
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub input: Option<PathBuf>,
    /// Field or column that holds the text (not for .txt) [default: text]
    #[arg(long, value_name = "NAME")]
    pub field: Option<String>,
}

/// Which model.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// Model: `bundled`, a folder, or a name on the Hugging Face hub
    #[arg(short, long, value_name = "MODEL", default_value = "bundled", value_hint = ValueHint::DirPath)]
    pub model: String,
}

/// How texts become tokens.
#[derive(Debug, Args)]
pub struct TextArgs {
    /// Maximum tokens per text, including special tokens [default: as the model says]
    #[arg(long, value_name = "N", value_parser = count)]
    pub max_tokens: Option<usize>,
    /// How to handle longer texts: `truncate`, `error`, or `window[:STRIDE]` (overlapping windows
    /// that share STRIDE tokens, by default half a window)
    #[arg(long, value_name = "MODE", default_value = "truncate")]
    #[arg(value_parser = overflow(), hide_possible_values = true)]
    pub overflow: Overflow,
    /// Prompt to prepend to every text; an empty one disables the model's default prompt
    #[arg(long, value_name = "TEXT", conflicts_with = "prompt_name", allow_hyphen_values = true)]
    pub prompt: Option<String>,
    /// Name of one of the model's prompts (`everylayer info` lists them)
    #[arg(long, value_name = "NAME")]
    pub prompt_name: Option<String>,
}

/// `everylayer embed`
#[derive(Debug, Args)]
pub struct EmbedArgs {
    /// Texts.
    #[command(flatten)]
    pub input: InputArgs,
    /// Model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Site in each layer: `hidden` (its output), `attn_out`, `resid_mid`, `mlp_out`, `mlp_act`, `z`,
    /// `q`, `k` or `v`
    #[arg(long, value_name = "SITE", default_value = "hidden")]
    #[arg(value_parser = site(), hide_possible_values = true)]
    pub site: Site,
    /// Take the last hidden state before the final norm (`false`), for models that have one
    #[arg(long, value_name = "true|false", value_parser = switch(), hide_possible_values = true)]
    pub final_norm: Option<bool>,
    /// Layers: `last`, `all`, `blocks`, or hidden states such as `0,3,-1`, `-4..-1` and `3..`
    #[arg(short, long, value_name = "LAYERS", default_value = "last", allow_hyphen_values = true)]
    #[arg(value_parser = layers(), hide_possible_values = true)]
    pub layers: Layers,
    /// How to combine layers: `stack` (keep them separate), `mean`, `sum`, `max`, `concat`,
    /// `weighted=W,..`, `scalar-mix=W,..[;GAMMA]`
    #[arg(long, value_name = "HOW", default_value = "stack")]
    #[arg(value_parser = combine(), hide_possible_values = true)]
    pub combine: Combine,
    /// Pooling: `model` (as the checkpoint says), `tokens` (none), `words`, `mean`, `cls`, `last`,
    /// `max`, `min`, `mean-sqrt`, `weighted-mean`, `mean-max`, `pooler`, `words:first`, `words:last`,
    /// `words:first-last`
    #[arg(short, long, value_name = "POOL", default_value = "model")]
    #[arg(value_parser = pool(), hide_possible_values = true)]
    pub pool: Pool,
    /// Output file, whose ending selects the format; `-` is standard output
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Format of the output.
    #[arg(short, long, value_name = "FORMAT", help = values::format_help())]
    #[arg(value_parser = formats(), hide_possible_values = true)]
    pub format: Option<Format>,
    /// Normalise vectors to length 1, or not [default: as the model says]
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", value_parser = switch(), hide_possible_values = true)]
    pub normalize: Option<bool>,
    /// Keep the first N dimensions and normalise again
    #[arg(long, value_name = "N", value_parser = count)]
    pub dims: Option<usize>,
    /// Number type of the vectors: `f32`, `f16`, `int8` or `ubinary`
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    #[arg(value_parser = precision(), hide_possible_values = true)]
    pub precision: Precision,
    /// Tokens.
    #[command(flatten)]
    pub text: TextArgs,
    /// Device.
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Where to pool tokens: `stream` (on the host), `fold` (on the device) or `auto`
    #[arg(long, value_name = "ROUTE", default_value = "auto")]
    #[arg(value_parser = route(), hide_possible_values = true)]
    pub route: Route,
    /// Input columns to copy to the output.
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', help = values::keep_help())]
    pub keep: Vec<String>,
    /// Process part I of N of the input (I from 1): contiguous rows, parts of equal size
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// Continue an interrupted run with the same arguments; start if there is none
    #[arg(long)]
    pub resume: bool,
    /// Write rows that are invalid or too long to this file, as JSON lines, instead of failing
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub rejects: Option<PathBuf>,
    /// How npy represents a rejected row: as a row of NaN, or not at all (a .json beside the array
    /// lists the remaining rows)
    #[arg(long, value_name = "nan|skip", hide_possible_values = true)]
    pub rejected_rows: Option<RejectedRows>,
    /// Print the work, step by step, without running it
    #[arg(long, conflicts_with_all = ["output", "format", "resume", "rejects", "shard", "keep"])]
    pub plan: bool,
    /// Print nothing but errors on standard error
    #[arg(short, long)]
    pub quiet: bool,
    /// Many machines.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// What stands for a rejected row in an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum RejectedRows {
    /// A row of NaN.
    Nan,
    /// Nothing.
    Skip,
}

/// `everylayer tokenize`
#[derive(Debug, Args)]
pub struct TokenizeArgs {
    /// Texts.
    #[command(flatten)]
    pub input: InputArgs,
    /// Model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Tokens.
    #[command(flatten)]
    pub text: TextArgs,
    /// Format: `json` or `jsonl` [default: a table on a terminal, else `json`, or `jsonl` for a file
    /// or lines]
    #[arg(short, long, value_name = "FORMAT")]
    #[arg(value_parser = token_formats(), hide_possible_values = true)]
    pub format: Option<Format>,
    /// Print nothing but errors on standard error
    #[arg(short, long)]
    pub quiet: bool,
}

/// `everylayer attention`
#[derive(Debug, Args)]
pub struct AttentionArgs {
    /// Texts.
    #[command(flatten)]
    pub input: InputArgs,
    /// Model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Layers: `last`, `all` or `blocks` (every block), or numbers from 1 such as `1,3,-1` and `-4..-1`
    #[arg(short, long, value_name = "LAYERS", default_value = "last", allow_hyphen_values = true)]
    #[arg(value_parser = layers(), hide_possible_values = true)]
    pub layers: Layers,
    /// Heads: `all`, or numbers from 0 such as `0,3,-1`
    #[arg(long, value_name = "HEADS", default_value = "all", allow_hyphen_values = true)]
    #[arg(value_parser = heads(), hide_possible_values = true)]
    pub heads: Heads,
    /// Result: `full` (all weights), `received` (by each key, on average), `entropy`, `first` (given to
    /// the first token), `special` (to all special tokens), `distance` (on average), `top:K` (the
    /// largest of each query), or `rollout`
    #[arg(long, value_name = "RESULT", default_value = "full")]
    #[arg(value_parser = reduce(), hide_possible_values = true)]
    pub reduce: Reduce,
    /// Output file, whose ending selects the format; `-` is standard output
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Format: `json`, `jsonl`, `npy` (one text), `npz` or `safetensors` [default: from the ending of
    /// FILE, else `json`, or `jsonl` for a file or lines into a pipe]
    #[arg(short, long, value_name = "FORMAT")]
    #[arg(value_parser = formats(), hide_possible_values = true)]
    pub format: Option<Format>,
    /// Tokens.
    #[command(flatten)]
    pub text: TextArgs,
    /// Device.
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Print nothing but errors on standard error
    #[arg(short, long)]
    pub quiet: bool,
}

/// `everylayer explore`
#[derive(Debug, Args)]
pub struct ExploreArgs {
    /// One text, or two to compare; put one that begins with `-` or is the name of a file after
    /// `--`; `-` alone reads one or two lines from standard input
    #[arg(value_name = "TEXT", required = true, num_args = 1..=2)]
    pub texts: Vec<String>,
    /// Model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Output file, overwritten if it exists; `-` is standard output
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(default_value = "report.html")]
    pub output: PathBuf,
    /// Tokens.
    #[command(flatten)]
    pub text: TextArgs,
    /// Device.
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Print nothing but errors on standard error
    #[arg(short, long)]
    pub quiet: bool,
}

/// `everylayer info`
#[derive(Debug, Args)]
pub struct InfoArgs {
    /// Model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Device.
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `everylayer doctor`
#[cfg(feature = "gpu")]
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Device: `auto` (all adapters), `gpu` (the first), or an adapter by number or by the start of
    /// a word of its name (see `everylayer info`)
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    #[arg(env = "EVERYLAYER_DEVICE", hide_env_values = true)]
    #[arg(value_parser = device(), hide_possible_values = true)]
    pub device: everylayer::Device,
    /// Print one JSON object, for a bug report
    #[arg(long)]
    pub json: bool,
    /// Print each result as it comes, before the report
    #[arg(long, conflicts_with = "json")]
    pub lines: bool,
    /// Check the kernels that the model uses, and no others
    #[arg(long)]
    pub quick: bool,
}

/// `everylayer wgsl`
#[cfg(feature = "gpu")]
#[derive(Debug, Args)]
pub struct WgslArgs {
    /// Kernel, as named by `everylayer bench`; without it, list all names
    #[arg(value_name = "VARIANT")]
    pub variant: Option<String>,
}

/// `everylayer bench`
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Device.
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Texts per call; several numbers make a table [default: 8 if --tokens is given]
    #[arg(long, value_name = "N,..", value_parser = count, value_delimiter = ',')]
    pub batch: Vec<usize>,
    /// Tokens per text, including special tokens [default: 128 if --batch is given]
    #[arg(long, value_name = "N,..", value_parser = count, value_delimiter = ',')]
    pub tokens: Vec<usize>,
    /// Input file, run in one call: .txt (one text per line), .jsonl, .csv or .tsv
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(conflicts_with_all = ["batch", "tokens"])]
    pub texts: Option<PathBuf>,
    /// Layers, as in `embed`
    #[arg(short, long, value_name = "LAYERS", default_value = "last", allow_hyphen_values = true)]
    #[arg(value_parser = layers(), hide_possible_values = true)]
    pub layers: Layers,
    /// Pooling, as in `embed`
    #[arg(short, long, value_name = "POOL", default_value = "model")]
    #[arg(value_parser = pool(), hide_possible_values = true)]
    pub pool: Pool,
    /// Number of timed runs per call; the median is reported
    #[arg(long, value_name = "N", value_parser = count, default_value = "5")]
    pub runs: usize,
    /// First find the fastest kernel for each of the model's matrix products on this GPU, and store
    /// the result for later runs
    #[cfg(feature = "gpu")]
    #[arg(long, conflicts_with_all = ["plan", "no_tune", "coop"])]
    pub tune: bool,
    /// Load the model and print the work without running it
    #[arg(long)]
    pub plan: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Print nothing but errors on standard error
    #[arg(short, long)]
    pub quiet: bool,
}

/// `everylayer completions`
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Shell.
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: Shell,
}

impl TextArgs {
    /// A capture that says of tokens what these words say, `prompts` being the model's.
    pub fn capture(
        &self,
        prompts: &std::collections::BTreeMap<String, String>,
    ) -> Result<Capture, Error> {
        let named = |name: &String| {
            prompts.get(name).cloned().ok_or_else(|| {
                let known: Vec<&str> = prompts.keys().map(String::as_str).collect();
                let known = match known.is_empty() {
                    true => "it has none; give one with --prompt".to_owned(),
                    false => format!("it has {}", known.join(", ")),
                };
                let said = format!("the model has no prompt named `{name}`: {known}");
                Error::new(ErrorKind::Usage, said)
            })
        };
        let prompt = match &self.prompt {
            Some(prompt) => Some(prompt.clone()),
            None => self.prompt_name.as_ref().map(named).transpose()?,
        };
        let (max_tokens, overflow) = (self.max_tokens, self.overflow);
        let mut capture = Capture::default().overflow(overflow);
        (capture.max_tokens, capture.prompt) = (max_tokens, prompt);
        Ok(capture)
    }
}

/// A whole number above 0.
pub fn count(text: &str) -> Result<usize, Error> {
    text.parse().ok().filter(|&n| n > 0).ok_or_else(|| {
        Error::new(ErrorKind::Usage, format!("`{text}` is not a whole number above 0"))
    })
}

#[cfg(test)]
mod tests;
