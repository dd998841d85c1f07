//! What the output says of where it comes from, and what tells one call from another.

use std::path::Path;

use everylayer::Encoder;

use super::recorded::Revision;
use super::resume_dir::CallWords;
use crate::cli::args::EmbedArgs;
use crate::cli::input::Input;

/// Metadata beside what the header of the results says.
pub fn metadata(revision: &Revision, encoder: &Encoder, args: &EmbedArgs) -> Vec<(String, String)> {
    let model = args.pool == everylayer::Pool::Model && encoder.pipeline().normalizes();
    let normalize = args.normalize.unwrap_or(model) || args.dims.is_some();
    let mut all = vec![
        ("revision".to_owned(), revision.name.clone()),
        ("normalize".to_owned(), normalize.to_string()),
        ("precision".to_owned(), args.precision.to_string()),
    ];
    all.extend(args.dims.map(|dims| ("dims".to_owned(), dims.to_string())));
    all.extend(args.shard.map(|shard| ("shard".to_owned(), shard.to_string())));
    all
}

/// Everything that the bytes of the output depend on: of the input, the file `path`, its bytes.
pub fn call(
    args: &EmbedArgs,
    input: &Input,
    path: &Path,
    revision: &Revision,
    encoder: &Encoder,
) -> CallWords {
    let place = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let text = &args.text;
    let all = [
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("input", place.display().to_string()),
        ("input of", input.checksum().unwrap_or_default()),
        ("field", format!("{:?}", args.input.field)),
        ("model", encoder.name().to_owned()),
        ("revision", revision.checksums.clone()),
        ("device", encoder.device()),
        ("dtype", encoder.dtype().to_string()),
        ("coop", args.device.load.coop.to_string()),
        ("site", format!("{} {:?}", args.site, args.final_norm)),
        ("layers", args.layers.to_string()),
        ("combine", args.combine.to_string()),
        ("pool", args.pool.to_string()),
        ("normalize", format!("{:?}", args.normalize)),
        ("dims", format!("{:?}", args.dims)),
        ("precision", args.precision.to_string()),
        ("route", format!("{:?}", args.route)),
        ("max-tokens", format!("{:?}", text.max_tokens)),
        ("overflow", format!("{:?}", text.overflow)),
        ("prompt", format!("{:?} {:?}", text.prompt, text.prompt_name)),
        ("keep", args.keep.join(",")),
        ("shard", args.shard.map(|shard| shard.to_string()).unwrap_or_default()),
        ("rejects", args.rejects.is_some().to_string()),
        ("rejected-rows", format!("{:?}", args.rejected_rows)),
        (
            "format",
            format!("{:?} {:?}", args.format, args.output.as_ref().and_then(|o| o.extension())),
        ),
    ];
    all.map(|(name, value)| (name.to_owned(), value)).to_vec()
}
