//! The winners of `everylayer bench --tune` on disk: one JSON file an adapter and driver, in the
//! cache folder of the user.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::device::AdapterReport;

use crate::cache_dir::{folder, write};
use crate::error::{Result, fail};
use crate::schedule::Tile;
use crate::schedule::tuning::{Product, Tuning};

/// Counted up when kernels change so much that old winners mean nothing.
const VERSION: u32 = 1;

/// What a file holds.
#[derive(Debug, Serialize, Deserialize)]
struct StoredTuning {
    version: u32,
    adapter: String,
    backend: String,
    driver: String,
    winners: Vec<Winner>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Winner {
    #[serde(flatten)]
    product: Product,
    tile: Tile,
}

/// The file of an adapter.
pub fn file(adapter: &AdapterReport) -> Option<PathBuf> {
    Some(folder("tuning")?.join(adapter.file_name()))
}

/// The winners that were kept for `adapter`; none where there are none, or they cannot be read or
/// are those of another version.
pub fn read(adapter: &AdapterReport) -> Tuning {
    let kept = || {
        let bytes = std::fs::read(file(adapter)?).ok()?;
        let kept: StoredTuning = serde_json::from_slice(&bytes).ok()?;
        let same = kept.version == VERSION && kept.driver == adapter.driver;
        same.then_some(kept.winners)
    };
    let winners = kept().unwrap_or_default().into_iter();
    winners.filter(|w| Tile::PORTABLE.contains(&w.tile)).map(|w| (w.product, w.tile)).collect()
}

/// Keeps `tuning` for `adapter`, beside the winners of other models, and tells where.
///
/// # Errors
///
/// `Io` where the file cannot be written.
pub fn keep(adapter: &AdapterReport, tuning: &Tuning) -> Result<PathBuf> {
    let file = file(adapter).ok_or_else(|| {
        fail!(Io, "there is no cache folder to keep the winners in; set XDG_CACHE_HOME or HOME")
    })?;
    let mut all = read(adapter);
    tuning.iter().for_each(|(product, tile)| all.insert(*product, *tile));
    let kept = StoredTuning {
        version: VERSION,
        adapter: adapter.name.clone(),
        backend: adapter.backend.clone(),
        driver: adapter.driver.clone(),
        winners: all.iter().map(|(&product, &tile)| Winner { product, tile }).collect(),
    };
    let json = serde_json::to_vec_pretty(&kept)
        .map_err(|e| fail!(Io, "the winners do not become JSON: {e}").with_source(e))?;
    write(&file, &json).map_err(|e| fail!(Io, "{}: {e}", file.display()).with_source(e))?;
    Ok(file)
}
