//! What was found of an adapter: one JSON file an adapter and driver, in the cache folder of the user.
//!
//! It is a convenience: a file that cannot be read or written is as none, and the checks run again.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::cache_dir;
use crate::error::Error;
use crate::gpu::device::AdapterReport;

/// Bytes of a file at most: some hundreds of kernels are a tenth of it.
const MOST_BYTES: u64 = 1 << 20;
/// Checks of a file at most; those of older kernels are forgotten with all others beyond.
const MOST_CHECKS: usize = 2000;

/// How far a check was off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// `None` where that is no number.
    pub off: Option<f32>,
    /// What it may be off.
    pub allowed: f32,
    /// What the device said, where it refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Check {
    /// Off by so much.
    pub fn new(off: f32, allowed: f32) -> Self {
        Self { off: Some(off).filter(|off| off.is_finite()), allowed, error: None }
    }

    /// Refused by the device.
    pub fn refused(error: &Error, allowed: f32) -> Self {
        Self { off: None, allowed, error: Some(error.to_string()) }
    }

    /// Whether it is within what is allowed.
    pub fn is_right(&self) -> bool {
        self.off.is_some_and(|off| off <= self.allowed)
    }
}

/// The checks of one adapter under one driver and version of this crate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    release: String,
    adapter: String,
    backend: String,
    driver: String,
    /// By the name of what was checked, with a checksum of the texts of its kernels.
    pub checks: BTreeMap<String, Check>,
}

impl Kept {
    /// Nothing was found yet.
    pub fn new(adapter: &AdapterReport) -> Self {
        Self {
            release: env!("CARGO_PKG_VERSION").to_owned(),
            adapter: adapter.name.clone(),
            backend: adapter.backend.clone(),
            driver: adapter.driver.clone(),
            checks: BTreeMap::new(),
        }
    }

    /// What `file` holds of `adapter`; nothing where it is of another driver or version.
    fn read(file: &PathBuf, adapter: &AdapterReport) -> Self {
        let none = Self::new(adapter);
        let kept = || {
            let size = std::fs::metadata(file).ok()?.len();
            let bytes = if size > MOST_BYTES { None } else { std::fs::read(file).ok() }?;
            let kept: Self = serde_json::from_slice(&bytes).ok()?;
            let same = Self { checks: BTreeMap::new(), ..kept.clone() } == none;
            same.then_some(kept)
        };
        kept().unwrap_or(none)
    }
}

/// Where what was found is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store(Option<PathBuf>);

impl Store {
    /// In `folder`, or the user's own.
    pub fn of(folder: Option<PathBuf>, adapter: &AdapterReport) -> Self {
        let folder = folder.or_else(|| cache_dir::folder("verified"));
        Self(folder.map(|folder| folder.join(adapter.file_name())))
    }

    /// What is kept of `adapter`.
    pub fn read(&self, adapter: &AdapterReport) -> Kept {
        self.0.as_ref().map_or_else(|| Kept::new(adapter), |file| Kept::read(file, adapter))
    }

    /// Keeps `found` beside what other processes have kept meanwhile.
    pub fn keep(&self, adapter: &AdapterReport, found: &BTreeMap<String, Check>) {
        let Some(file) = &self.0 else { return };
        let mut kept = Kept::read(file, adapter);
        if kept.checks.len() > MOST_CHECKS {
            kept.checks.clear();
        }
        kept.checks.extend(found.iter().map(|(name, check)| (name.clone(), check.clone())));
        if let Ok(json) = serde_json::to_vec_pretty(&kept) {
            // There is nobody to tell, and nothing lost but time.
            drop(cache_dir::write(file, &json));
        }
    }
}

/// What was kept of an adapter, for people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Where it lies.
    pub file: PathBuf,
    /// Kernels and models that compute right.
    pub right: usize,
    /// Those that do not.
    pub wrong: Vec<String>,
}

/// What is kept of `adapter` in the user's cache folder; `None` where nothing is.
pub fn summary(adapter: &AdapterReport) -> Option<Summary> {
    let store = Store::of(None, adapter);
    let checks = store.read(adapter).checks;
    let wrong = checks.iter().filter(|(_, check)| !check.is_right());
    let wrong: Vec<String> = wrong.map(|(name, _)| name.clone()).collect();
    let right = checks.len() - wrong.len();
    let file = store.0.filter(|_| !checks.is_empty())?;
    Some(Summary { file, right, wrong })
}
