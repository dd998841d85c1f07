//! `embed --on ray`: the words of the call, for whoever has an engine of many machines. The Python
//! package has: `python/everylayer/_on_ray.py`.

use std::path::Path;

use everylayer::output::Format;
use everylayer::{Device, Error, ErrorKind, Result};
use serde_json::{Map, Value, json};

use crate::cli::args::EmbedArgs;

/// What runs a call on a cluster: it takes the call as a JSON object.
pub type OnCluster<'a> = &'a dyn Fn(&str) -> Result<()>;

/// Hands the call to `on_cluster`.
///
/// # Errors
/// `Usage` for words that do not go with `--on`, and where this program has nobody to hand it to.
pub fn run(args: EmbedArgs, on_cluster: Option<OnCluster<'_>>) -> Result<()> {
    let call = call(args)?;
    match on_cluster {
        Some(run) => run(&call.to_string()),
        None => off(
            "--on ray needs the Python package, whose command is the same program: pip install \
             'everylayer[ray]', and run the `everylayer` of that environment",
        ),
    }
}

fn off<T>(said: impl Into<String>) -> Result<T> {
    Err(Error::new(ErrorKind::Usage, said))
}

/// Arguments of `everylayer.Encoder` under `encoder`, of `Encoder.embed` under `capture`, and what
/// is read and written. Every field of the call has its place or is refused.
fn call(args: EmbedArgs) -> Result<Value> {
    let EmbedArgs {
        input,
        model,
        site,
        final_norm,
        layers,
        combine,
        pool,
        output,
        format,
        normalize,
        dims,
        precision,
        text,
        device,
        route,
        keep,
        shard,
        resume,
        rejects,
        rejected_rows,
        plan,
        quiet,
        cluster,
    } = args;
    let load = device.load;
    let refused = [
        ("--shard", shard.is_some()),
        ("--rejected-rows", rejected_rows.is_some()),
        ("--plan", plan),
        ("--no-tune", load.no_tune),
        ("--coop", load.coop),
    ];
    if let Some((name, _)) = refused.iter().find(|(_, is_given)| *is_given) {
        return off(format!("{name} does not go with --on: leave one of them out"));
    }
    if let Some(format) = format.filter(|format| *format != Format::Parquet) {
        return off(format!("--on writes Parquet, not {format}: leave out --format"));
    }
    let (input_path, output) = (place("--input", input.input)?, place("--output", output)?);
    let ends = |ending: &str| input_path.to_lowercase().ends_with(ending);
    if !(ends(".parquet") || ends("/") || Path::new(&input_path).is_dir()) {
        return off(format!(
            "--on reads Parquet, and {input_path} is neither a .parquet file nor a folder (one \
             that is not on this machine ends in /)"
        ));
    }
    Ok(json!({
        "input": input_path,
        "column": input.field.unwrap_or_else(|| "text".to_owned()),
        "id": cluster.id,
        "keep": keep,
        "output": output,
        "rejects": rejects,
        "resume": resume,
        "quiet": quiet,
        "workers": cluster.workers.unwrap_or(1),
        "resources": resources(&cluster.worker_resources)?,
        "encoder": {
            "model": model.model,
            // Each worker has its own default.
            "device": Some(device.device).filter(|device| *device != Device::Auto).map(|d| d.to_string()),
            "dtype": load.dtype.to_string(),
            "batch_tokens": load.batch_tokens,
            "verify": load.verify.to_string(),
        },
        "capture": {
            "site": site.to_string(),
            "final_norm": final_norm,
            "layers": layers.to_string(),
            "combine": combine.to_string(),
            "pool": pool.to_string(),
            "normalize": normalize,
            "dims": dims,
            "precision": precision.to_string(),
            "max_tokens": text.max_tokens,
            "overflow": text.overflow.to_string(),
            "prompt": text.prompt,
            "prompt_name": text.prompt_name,
            "route": route.to_string(),
        },
    }))
}

/// A path or an address, as it was given.
fn place(option: &str, path: Option<std::path::PathBuf>) -> Result<String> {
    let path = path.unwrap_or_default();
    match path.to_str() {
        Some("-" | "") => off(format!("{option} is a file or a folder under --on, not `-`")),
        Some(text) => Ok(text.to_owned()),
        None => off(format!("{option} {} is not Unicode, which --on needs", path.display())),
    }
}

/// `gpu=1,vulkan=0.5` as an object of numbers.
fn resources(words: &[String]) -> Result<Map<String, Value>> {
    let mut all = Map::new();
    for word in words {
        let parts = word.split_once('=').filter(|(name, _)| !name.is_empty());
        let number = parts.and_then(|(_, n)| n.parse::<f64>().ok());
        let (Some((name, _)), Some(number)) =
            (parts, number.filter(|n| n.is_finite() && *n >= 0.0))
        else {
            return off(format!(
                "--worker-resources: `{word}` is not NAME=N, such as gpu=1 or vulkan=0.5"
            ));
        };
        if all.insert(name.to_owned(), json!(number)).is_some() {
            return off(format!("--worker-resources names {name} twice"));
        }
    }
    Ok(all)
}
