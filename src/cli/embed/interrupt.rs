//! What is said and left behind where a person ends a run.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use everylayer::output::file::discard_all;

use crate::cli::terminal;

/// The folder of what is done so far, where `--resume` finds it.
static PART: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Ends the program at Ctrl-C or a signal to end, without files that are half written.
pub fn watch() {
    // A second handler cannot be; without one, what is half written stays where it is.
    let _ = ctrlc::set_handler(|| {
        discard_all();
        let part = PART.lock().unwrap_or_else(PoisonError::into_inner);
        terminal::note(&match part.as_ref().filter(|folder| folder.exists()) {
            Some(folder) => format!(
                "interrupted: finished texts are in {}; run the same command with --resume to \
                 continue",
                folder.display()
            ),
            None => "interrupted: nothing was kept".to_owned(),
        });
        std::process::exit(130);
    });
}

/// What is done so far is in `folder`.
pub fn keeps(folder: &Path) {
    *PART.lock().unwrap_or_else(PoisonError::into_inner) = Some(folder.to_owned());
}
