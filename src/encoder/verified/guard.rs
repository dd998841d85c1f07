//! An executor that checks each kernel before it is first used.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Probe, REPORT};
use crate::error::{Result, Setting, fail};
use crate::execute::{Ceilings, Counters, Execute, NotFinite, Sink, Task};
use crate::model::layout::WeightId;
use crate::schedule::recording::Dispatch;
use crate::schedule::{Caps, Recording, Variant};

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

impl Execute for Guard {
    fn caps(&self) -> &Caps {
        self.inner.caps()
    }

    fn device(&self) -> String {
        self.inner.device()
    }

    fn weight_bytes(&self) -> u64 {
        self.inner.weight_bytes()
    }

    fn prepare(&self, recording: &Recording) {
        self.inner.prepare(recording);
    }

    fn reserve(&self, recording: &Recording) -> Result<()> {
        self.inner.reserve(recording)
    }

    fn run<'a>(
        &'a self,
        recording: &'a Recording,
        sink: Sink<'a>,
    ) -> Task<'a, Result<Option<NotFinite>>> {
        Box::pin(async move {
            self.check(recording).await?;
            self.inner.run(recording, sink).await
        })
    }

    fn run_in_turns<'a>(
        &'a self,
        recording: &'a Recording,
        sink: Sink<'a>,
    ) -> Task<'a, Result<Option<NotFinite>>> {
        Box::pin(async move {
            self.check(recording).await?;
            self.inner.run_in_turns(recording, sink).await
        })
    }

    fn profile<'a>(&'a self, recording: &'a Recording) -> Task<'a, Result<Vec<Duration>>> {
        Box::pin(async move {
            self.check(recording).await?;
            self.inner.profile(recording).await
        })
    }

    fn ceilings(&self) -> Task<'_, Result<Ceilings>> {
        self.inner.ceilings()
    }

    fn counters(&self) -> Counters {
        self.inner.counters()
    }

    fn held_bytes(&self, id: WeightId) -> u64 {
        self.inner.held_bytes(id)
    }

    fn is_software(&self) -> bool {
        self.inner.is_software()
    }
}
