//! The words of `text-embeddings-router` that are not those of `serve`: taken where they mean the
//! same, refused with what to use where they do not.

use clap::Args;
use everylayer::{Error, ErrorKind, Result};

/// Options of Text Embeddings Inference beside those that `serve` has by the same name.
#[derive(Debug, Args)]
pub struct TeiArgs {
    /// Revision on the hub, for a single model
    #[arg(long, value_name = "REVISION", hide = true)]
    revision: Option<String>,
    /// Name of the model in the API, for a single model
    #[arg(long, value_name = "NAME", hide = true)]
    served_model_name: Option<String>,
    /// Same as --batch-tokens
    #[arg(long, value_name = "N", hide = true, value_parser = super::super::args::count)]
    #[arg(conflicts_with = "batch_tokens")]
    pub max_batch_tokens: Option<usize>,
    /// Pooling; must be that of the model
    #[arg(long, value_name = "POOLING", hide = true)]
    pooling: Option<String>,
    /// No effect: spans are exported if --otlp-endpoint is given
    #[arg(long, hide = true)]
    disable_spans: bool,
    #[arg(long, value_name = "N", hide = true)]
    tokenization_workers: Option<String>,
    #[arg(long, value_name = "N", hide = true)]
    max_batch_requests: Option<String>,
    #[arg(long, value_name = "NAME", hide = true)]
    default_prompt_name: Option<String>,
    #[arg(long, value_name = "TEXT", hide = true)]
    default_prompt: Option<String>,
    #[arg(long, value_name = "PATH", hide = true)]
    dense_path: Option<String>,
    #[arg(long, value_name = "TOKEN", hide = true, alias = "hf-api-token")]
    hf_token: Option<String>,
    #[arg(long, value_name = "DIR", hide = true)]
    huggingface_hub_cache: Option<String>,
    #[arg(long, value_name = "PORT", hide = true)]
    prometheus_port: Option<String>,
}

/// Variables that Text Embeddings Inference reads, and the option that says the same here. `HOSTNAME`
/// is not among them: every container has one.
const VARIABLES: [(&str, &str); 14] = [
    ("MODEL_ID", "--model"),
    ("REVISION", "--revision"),
    ("SERVED_MODEL_NAME", "--served-model-name"),
    ("DTYPE", "--dtype"),
    ("POOLING", "--pooling"),
    ("MAX_CONCURRENT_REQUESTS", "--max-connections"),
    ("MAX_BATCH_TOKENS", "--batch-tokens"),
    ("MAX_CLIENT_BATCH_SIZE", "--max-client-batch-size"),
    ("AUTO_TRUNCATE", "--auto-truncate"),
    ("PAYLOAD_LIMIT", "--payload-limit"),
    ("API_KEY", "--api-key or EVERYLAYER_API_KEY"),
    ("PORT", "--port"),
    ("UDS_PATH", "--uds-path"),
    ("CORS_ALLOW_ORIGIN", "--cors-allow-origin"),
];

/// What the environment says to Text Embeddings Inference, in a sentence: it is not read here.
pub fn unread() -> Option<String> {
    let set = VARIABLES.iter().filter(|(name, _)| std::env::var_os(name).is_some());
    let all: Vec<String> = set.map(|(name, option)| format!("{name} (use {option})")).collect();
    (!all.is_empty()).then(|| format!("not read from the environment: {}", all.join(", ")))
}

fn usage(said: String) -> Error {
    Error::new(ErrorKind::Usage, said)
}

impl TeiArgs {
    /// Refuses what means something else here, by name.
    pub fn check(&self) -> Result<()> {
        let refused = [
            (
                &self.tokenization_workers,
                "tokenization-workers",
                "set RAYON_NUM_THREADS, the threads of all host work",
            ),
            (
                &self.max_batch_requests,
                "max-batch-requests",
                "batches are limited by tokens: use --batch-tokens",
            ),
            (
                &self.default_prompt_name,
                "default-prompt-name",
                "set `default_prompt_name` in the model's config_sentence_transformers.json, or send \
                 `prompt_name` with each request",
            ),
            (
                &self.default_prompt,
                "default-prompt",
                "set `prompts` and `default_prompt_name` in the model's \
                 config_sentence_transformers.json, or send `prompt` to /v1/layers",
            ),
            (
                &self.dense_path,
                "dense-path",
                "Dense modules are read from the model's modules.json",
            ),
            (
                &self.hf_token,
                "hf-token",
                "set HF_TOKEN, so that no other user of this machine reads it",
            ),
            (&self.huggingface_hub_cache, "huggingface-hub-cache", "set HF_HUB_CACHE"),
            (&self.prometheus_port, "prometheus-port", "/metrics is served on the main port"),
        ];
        match refused.iter().find(|(value, ..)| value.is_some()) {
            Some((_, name, instead)) => Err(usage(format!("--{name} is not supported: {instead}"))),
            None => Ok(()),
        }
    }

    /// The models with the name and the revision that are for one.
    pub fn apply(&self, mut named: Vec<(String, String)>) -> Result<Vec<(String, String)>> {
        if self.served_model_name.is_none() && self.revision.is_none() {
            return Ok(named);
        }
        let [(name, id)] = &mut named[..] else {
            let said = "--served-model-name and --revision are for one model: use \
                        --model NAME=MODEL@REVISION";
            return Err(usage(said.into()));
        };
        if let Some(revision) = &self.revision {
            if id.contains('@') || id == "bundled" || std::path::Path::new(&*id).exists() {
                let said = format!(
                    "--revision {revision} needs a model on the hub: `{id}` is not one, or \
                     already has a revision"
                );
                return Err(usage(said));
            }
            *id = format!("{id}@{revision}");
        }
        if let Some(served) = &self.served_model_name {
            served.clone_into(name);
        }
        Ok(named)
    }

    /// Holds `--pooling` against the model's own, in the words of Text Embeddings Inference.
    pub fn check_pooling(&self, own: &str) -> Result<()> {
        match self.pooling.as_deref().map(|asked| asked.replace('-', "_")) {
            Some(asked) if asked != own => Err(usage(format!(
                "--pooling {asked}: the model uses {own} (1_Pooling/config.json); send `pool` to \
                 /v1/layers for another"
            ))),
            _ => Ok(()),
        }
    }
}
