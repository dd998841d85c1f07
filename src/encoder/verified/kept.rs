//! What was found of an adapter: one JSON file an adapter and driver, in the cache folder of the user, or
//! that JSON as a text that a page keeps.
//!
//! It is a convenience: what cannot be read or written is as none, and the checks run again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::KeptIn;
use crate::cache_dir;
use crate::error::Error;
use crate::gpu::device::AdapterReport;

/// Bytes that are kept at most: some hundreds of kernels are a tenth of it.
const MOST_BYTES: u64 = 1 << 20;
/// Checks that are kept at most; those of older kernels are forgotten with all others beyond.
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

    /// What `json` holds of `adapter`; nothing where it is of another driver or version.
    fn parse(json: &[u8], adapter: &AdapterReport) -> Option<Self> {
        let kept: Self = serde_json::from_slice(json).ok()?;
        let same = Self { checks: BTreeMap::new(), ..kept.clone() } == Self::new(adapter);
        same.then_some(kept)
    }
}

/// Where what was found of one adapter is kept.
pub enum Store {
    /// Nowhere.
    None,
    /// In this file.
    File(PathBuf),
    /// In this text.
    Text(Arc<Mutex<String>>),
}

impl Store {
    /// In `place`, or the user's own folder.
    pub fn of(place: Option<KeptIn>, adapter: &AdapterReport) -> Self {
        let folder = match place {
            Some(KeptIn::Text(text)) => return Self::Text(text),
            Some(KeptIn::Folder(folder)) => Some(folder),
            None => cache_dir::folder("verified"),
        };
        folder.map_or(Self::None, |folder| Self::File(folder.join(adapter.file_name())))
    }

    /// What is kept of `adapter`.
    pub fn read(&self, adapter: &AdapterReport) -> Kept {
        let kept = match self {
            Self::None => None,
            Self::File(file) => bytes(file).and_then(|json| Kept::parse(&json, adapter)),
            Self::Text(text) => {
                let text = text.lock().unwrap_or_else(PoisonError::into_inner);
                Kept::parse(text.as_bytes(), adapter)
            }
        };
        kept.unwrap_or_else(|| Kept::new(adapter))
    }

    /// Keeps `found` beside what others have kept meanwhile.
    pub fn keep(&self, adapter: &AdapterReport, found: &BTreeMap<String, Check>) {
        let mut kept = self.read(adapter);
        if kept.checks.len() > MOST_CHECKS {
            kept.checks.clear();
        }
        kept.checks.extend(found.iter().map(|(name, check)| (name.clone(), check.clone())));
        let Ok(json) = serde_json::to_string_pretty(&kept) else { return };
        match self {
            Self::None => {}
            // There is nobody to tell, and nothing lost but time.
            Self::File(file) => drop(cache_dir::write(file, json.as_bytes())),
            Self::Text(text) => *text.lock().unwrap_or_else(PoisonError::into_inner) = json,
        }
    }
}

fn bytes(file: &Path) -> Option<Vec<u8>> {
    let size = std::fs::metadata(file).ok()?.len();
    if size > MOST_BYTES { None } else { std::fs::read(file).ok() }
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
    match store {
        Store::File(file) if !checks.is_empty() => Some(Summary { file, right, wrong }),
        _ => None,
    }
}
