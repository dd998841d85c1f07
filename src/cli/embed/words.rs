//! Words of a call of `embed` that do not go with each other.

use everylayer::capture::Precision;
use everylayer::output::Format;
use everylayer::{Error, ErrorKind, Result};

use crate::cli::args::{EmbedArgs, RejectedRows};
use crate::cli::input::Input;
use crate::cli::target::Target;

fn off(said: String) -> Result<()> {
    Err(Error::new(ErrorKind::Usage, said))
}

/// Refuses words that do not go with each other.
///
/// # Errors
/// `Usage`.
pub fn check(args: &EmbedArgs, input: &Input, target: &Target) -> Result<()> {
    let format = target.format();
    if !args.keep.is_empty() && !format.keeps_columns() {
        return off(format!("{format} carries no columns: --keep is for json, jsonl and parquet"));
    }
    const OWN: [&str; 7] =
        ["index", "text_tokens", "tokens_lost", "vectors", "tokens", "words", ""];
    let twice = |(i, name): &(usize, &String)| args.keep[..*i].contains(name);
    if let Some(name) = args.keep.iter().find(|name| OWN.contains(&name.as_str())) {
        return off(format!("--keep {name}: results have a field of that name: rename the column"));
    }
    if let Some((_, name)) = args.keep.iter().enumerate().find(twice) {
        return off(format!("--keep names {name} twice"));
    }
    if args.shard.is_some() && input.file().is_none() {
        return off("--shard parts the rows of a file: name one with --input".to_owned());
    }
    if args.resume && (input.file().is_none() || !matches!(target, Target::File(..))) {
        return off("--resume goes from a file to a file: name both, with -i and -o".to_owned());
    }
    check_rejects(args, input, target)
}

/// What becomes of rejected rows must be said where the output has no place for their numbers.
fn check_rejects(args: &EmbedArgs, input: &Input, target: &Target) -> Result<()> {
    let format = target.format();
    match (args.rejected_rows, &args.rejects) {
        (None, Some(_)) if format == Format::Npy => off(
            "npy does not say which rows it has, and rejected ones would move those after them up: add \
             --rejected-rows nan (a row of NaN for each) or --rejected-rows skip (the rows that are \
             there go to a .json beside it), or use npz"
                .to_owned(),
        ),
        (None, _) => Ok(()),
        (Some(_), None) => {
            off("--rejected-rows says what becomes of rejected rows: add --rejects FILE".to_owned())
        }
        (Some(RejectedRows::Nan), Some(_)) if format != Format::Npy => {
            off(format!("--rejected-rows nan is for npy: {format} says by `index` which rows it has"))
        }
        (Some(_), Some(_))
            if format == Format::Npy
                && (input.file().is_none() || !matches!(target, Target::File(..))) =>
        {
            off("--rejected-rows goes from a file to a file: name both, with -i and -o".to_owned())
        }
        (Some(RejectedRows::Nan), Some(_))
            if !matches!(args.precision, Precision::F32 | Precision::F16) =>
        {
            off(format!(
                "{} numbers have no NaN: use --rejected-rows skip, or f32 or f16",
                args.precision
            ))
        }
        (Some(_), Some(_)) => Ok(()),
    }
}
