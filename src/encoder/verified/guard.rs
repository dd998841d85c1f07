//! An executor that checks each kernel before it is first used.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Probe, REPORT};
use crate::error::{Result, Setting, fail};
use crate::execute::{Around, Execute, Task};
use crate::schedule::recording::Dispatch;
use crate::schedule::{Recording, Variant};

/// Runs nothing on the device that was not held against the CPU executor.
pub struct Guard {
    inner: Arc<dyn Execute>,
    probe: Arc<Probe>,
    /// What was, and is right.
    right: Mutex<HashSet<Variant>>,
}

impl Guard {
    /// `inner`, whose kernels `probe` checks.
    pub fn new(inner: Arc<dyn Execute>, probe: Arc<Probe>) -> Self {
        Self { inner, probe, right: Mutex::default() }
    }

    fn unknown(&self, recording: &Recording) -> Vec<Variant> {
        let right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unknown: Vec<Variant> = Vec::new();
        for variant in recording.dispatches().map(Dispatch::variant) {
            if !right.contains(&variant) && !unknown.contains(&variant) {
                unknown.push(variant);
            }
        }
        unknown
    }

    /// Fails where `recording` has a kernel that computes wrong.
    async fn check(&self, recording: &Recording) -> Result<()> {
        let unknown = self.unknown(recording);
        if unknown.is_empty() {
            return Ok(());
        }
        let before = self.probe.ran();
        let mut wrong = None;
        for variant in unknown {
            wrong = self.probe.kernel(variant, self.inner.caps().can).await?;
            if wrong.is_some() {
                break;
            }
            self.right.lock().unwrap_or_else(PoisonError::into_inner).insert(variant);
        }
        if self.probe.ran() > before {
            self.probe.keep();
        }
        let Some(fault) = wrong else { return Ok(()) };
        Err(fail!(Gpu, "{} {fault}; use another device, and {REPORT}", self.device())
            .about(&[Setting::Device]))
    }
}

impl Around for Guard {
    fn inner(&self) -> &dyn Execute {
        self.inner.as_ref()
    }

    fn before<'a>(&'a self, recording: &'a Recording) -> Task<'a, Result<()>> {
        Box::pin(self.check(recording))
    }
}
