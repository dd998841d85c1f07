//! From the words of a person to a source: the bundled model, a folder, or a name on the hub.
//!
//! A folder that exists wins over a hub id of the same name; what each source does with its files
//! is its own matter.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result, fail};
use crate::model::sources::Source;
use crate::model::sources::directory::Directory;
use crate::model::sources::suggest::meant;

/// The model that `model` names: `bundled`, a folder, or a hub id (`org/name`,
/// `org/name@revision`). Anything else is an error that lists what would work.
pub fn locate(model: &str) -> Result<Box<dyn Source>> {
    locate_with_progress(model, false)
}

/// [`locate`] that, where `progress` is set, draws a bar on standard error while it downloads.
pub fn locate_with_progress(model: &str, progress: bool) -> Result<Box<dyn Source>> {
    if model == "bundled" || model.starts_with("bundled:") {
        return bundled(model);
    }
    let path = Path::new(model);
    if !model.is_empty() && path.exists() {
        return Ok(Box::new(Directory::open(path)?));
    }
    if model.eq_ignore_ascii_case("bundled") {
        return bundled("bundled");
    }
    let meant = || meant(model, BUNDLED);
    if is_hub_id(model) {
        return hub(model, progress).map_err(|e| match e.kind() {
            ErrorKind::NotFound | ErrorKind::Hub => {
                Error::new(e.kind(), format!("{e}{}", meant())).with_source(e)
            }
            _ => e,
        });
    }
    Err(fail!(
        NotFound,
        "{model:?} is not a model: give \"bundled\", a folder that exists and has a config.json, \
         or a hub id such as \
         sentence-transformers/all-MiniLM-L6-v2{}",
        meant()
    ))
}

/// The model in this binary.
#[cfg(feature = "bundled")]
const BUNDLED: Option<&str> = Some(crate::model::sources::bundled::Bundled::NAME);
#[cfg(not(feature = "bundled"))]
const BUNDLED: Option<&str> = None;

/// Whether `model` is spelt like a hub id: one or two names of letters, digits, `-`, `_`, `.`, and
/// perhaps `@` and a revision.
pub fn is_hub_id(model: &str) -> bool {
    let (id, revision) = match model.split_once('@') {
        Some((id, revision)) => (id, Some(revision)),
        None => (model, None),
    };
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name = |part: &str| {
        !part.is_empty()
            && part.len() <= 96
            && part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && !part.contains("..")
            && part.chars().all(letters)
    };
    let revision_part =
        |part: &str| !part.is_empty() && !part.starts_with('.') && part.chars().all(letters);
    id.split('/').count() <= 2
        && id.split('/').all(name)
        && revision.is_none_or(|revision| revision.split('/').all(revision_part))
}

#[cfg(feature = "bundled")]
fn bundled(model: &str) -> Result<Box<dyn Source>> {
    use crate::model::sources::bundled::Bundled;
    if model == "bundled" || model == Bundled::NAME {
        return Ok(Box::new(Bundled));
    }
    Err(fail!(NotFound, "{model:?} is not in this binary: it holds only {}", Bundled::NAME))
}

#[cfg(not(feature = "bundled"))]
fn bundled(model: &str) -> Result<Box<dyn Source>> {
    Err(fail!(
        NotFound,
        "{model:?}: this build holds no model (feature \"bundled\" is off): name a folder or a hub id"
    ))
}

#[cfg(feature = "hub")]
fn hub(model: &str, progress: bool) -> Result<Box<dyn Source>> {
    use crate::model::sources::hub::{Hub, HubOptions};
    let options = HubOptions { progress, ..HubOptions::from_env()? };
    Ok(Box::new(Hub::open_with(model, None, options)?))
}

#[cfg(not(feature = "hub"))]
fn hub(model: &str, _: bool) -> Result<Box<dyn Source>> {
    Err(fail!(
        NotFound,
        "no folder is called {model:?}, and this build does not reach the hub (feature \"hub\" is \
         off): name a folder that has a config.json"
    ))
}
