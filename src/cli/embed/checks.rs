//! What a call of `embed` may not ask for: arguments that exclude each other, and one file for two
//! purposes. Files are told apart by what they are, not by how they are called.

use std::fs;
use std::path::{Path, PathBuf};

use everylayer::capture::Precision;
use everylayer::output::Format;
use everylayer::{Error, ErrorKind, Result};

use super::assemble::beside;
use super::resume_dir::ResumeDir;
use crate::cli::args::{EmbedArgs, RejectedRows};
use crate::cli::input::Input;
use crate::cli::target::Target;

/// What tells a file from others.
#[derive(Debug, PartialEq)]
enum Identity {
    /// Of one that is there: device and number.
    #[cfg(unix)]
    Number(u64, u64),
    /// Of one that is not, or where files have no numbers: its folder and its name, in small letters,
    /// because many file systems do not tell `A` from `a`.
    Name(PathBuf, String),
}

impl Identity {
    fn of(path: &Path) -> Option<Self> {
        #[cfg(unix)]
        if let Ok(meta) = fs::metadata(path) {
            use std::os::unix::fs::MetadataExt;
            return Some(Self::Number(meta.dev(), meta.ino()));
        }
        let path = fs::canonicalize(path).or_else(|_| std::path::absolute(path)).ok()?;
        let folder = path.parent()?;
        let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
        Some(Self::Name(folder, path.file_name()?.to_string_lossy().to_lowercase()))
    }
}

/// A file of a call, and what the call says of it.
type Named = (&'static str, PathBuf);

/// The files that a call writes.
fn outputs(args: &EmbedArgs, target: &Target) -> Vec<Named> {
    let mut all = Vec::new();
    if let Target::File(path, format) = target {
        all.push(("--output", path.clone()));
        if *format == Format::Npy && args.rejected_rows == Some(RejectedRows::Skip) {
            all.push(("the list of rows beside --output", beside(path)));
        }
        let place = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        all.push(("the temporary folder of --output", ResumeDir::folder(&place)));
    } else if cfg!(unix) {
        // Where it is redirected to a file.
        let stdout = PathBuf::from("/dev/stdout");
        if fs::metadata(&stdout).is_ok_and(|meta| meta.is_file()) {
            all.push(("standard output", stdout));
        }
    }
    all.extend(args.rejects.clone().map(|path| ("--rejects", path)));
    all
}

/// Refuses a call that would write what it reads, or one file twice; nothing is opened.
///
/// # Errors
/// `Usage`.
pub fn check_files(args: &EmbedArgs, input: &Input, target: &Target) -> Result<()> {
    let outputs = outputs(args, target);
    for (i, (what, path)) in outputs.iter().enumerate() {
        apart(&outputs[..i], what, path)?;
        if *what != "the temporary folder of --output" {
            outside(what, path)?;
        }
    }
    if let Some(path) = input.path() {
        apart(&outputs, "--input", path)?;
        outside("--input", path)?;
    }
    Ok(())
}

/// Refuses a call that would write over a file of its model.
///
/// # Errors
/// `Usage`.
pub fn check_model(args: &EmbedArgs, target: &Target, files: &[PathBuf]) -> Result<()> {
    let outputs = outputs(args, target);
    files.iter().try_for_each(|file| apart(&outputs, "a file of the model", file))
}

/// `path` must be none of `others`.
fn apart(others: &[Named], what: &str, path: &Path) -> Result<()> {
    let own = Identity::of(path);
    match others.iter().find(|(_, other)| own.is_some() && Identity::of(other) == own) {
        None => Ok(()),
        Some((other, place)) => Err(Error::new(
            ErrorKind::Usage,
            format!(
                "{other} and {what} are the same file, {}: use two names that differ in more than \
                 case",
                place.display()
            ),
        )),
    }
}

/// `path` must not lie in the folder of a part, which goes with its run.
fn outside(what: &str, path: &Path) -> Result<()> {
    let folder = path.parent().map(|folder| match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    });
    let ways = [
        std::path::absolute(path).ok().and_then(|path| path.parent().map(Path::to_owned)),
        folder.and_then(|folder| fs::canonicalize(folder).ok()),
        fs::canonicalize(path).ok(),
    ];
    let is_part = |folder: &Path| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with('.') && name.ends_with(ResumeDir::ENDING)
    };
    let mut folders = ways.iter().flatten().flat_map(|way| way.ancestors());
    match folders.find(|folder| is_part(folder)) {
        None => Ok(()),
        Some(folder) => Err(Error::new(
            ErrorKind::Usage,
            format!(
                "{what} is in {}, which is removed at the end of the run: use another path",
                folder.display()
            ),
        )),
    }
}

fn off(said: String) -> Result<()> {
    Err(Error::new(ErrorKind::Usage, said))
}

/// Refuses arguments that exclude each other.
///
/// # Errors
/// `Usage`.
pub fn check_arguments(args: &EmbedArgs, input: &Input, target: &Target) -> Result<()> {
    let format = target.format();
    if !args.keep.is_empty() && !format.keeps_columns() {
        return off(format!(
            "{format} cannot hold input columns: --keep is for {}",
            Format::names(Format::keeps_columns, "and")
        ));
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
        return off("--shard divides the rows of a file: give one with --input".to_owned());
    }
    if args.resume && (input.file().is_none() || !matches!(target, Target::File(..))) {
        return off(
            "--resume needs an input file and an output file: give both, with -i and -o".to_owned()
        );
    }
    check_rejects(args, input, target)
}

/// What becomes of rejected rows must be said where the output has no place for their numbers.
fn check_rejects(args: &EmbedArgs, input: &Input, target: &Target) -> Result<()> {
    let format = target.format();
    match (args.rejected_rows, &args.rejects) {
        (None, Some(_)) if format == Format::Npy => {
            off("npy has no row numbers, and rejected rows would shift those after them: add \
             --rejected-rows nan (a row of NaN for each) or --rejected-rows skip (a .json beside \
             it lists the rows that are left), or use npz"
                .to_owned())
        }
        (None, _) => Ok(()),
        (Some(_), None) => off("--rejected-rows needs --rejects: add --rejects FILE".to_owned()),
        (Some(RejectedRows::Nan), Some(_)) if format != Format::Npy => {
            off(format!("--rejected-rows nan is for npy: {format} has an `index` for each row"))
        }
        (Some(_), Some(_))
            if format == Format::Npy
                && (input.file().is_none() || !matches!(target, Target::File(..))) =>
        {
            off("--rejected-rows needs an input file and an output file: give both, with -i and \
                 -o"
            .to_owned())
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
