//! Adapters and the open device: which there are, which is taken, what it may do, and how its
//! errors reach the caller.

#[cfg(not(target_arch = "wasm32"))]
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

pub use super::adapters::{AdapterReport, Candidate, candidates, list, list_opened};
use super::adapters::{class, vendor};
use super::coop;
pub use super::faults::AGAIN;
use super::faults::Faults;
use super::memory::Account;
use super::pick::no_adapter;
pub use super::pick::{GpuOptions, Pick, missing};
use super::pipeline_cache::PipelineCache;
use super::pipelines::Pipelines;
use crate::error::{Result, Setting, fail};
use crate::schedule::{AdapterFeatures, Class, Variant};

/// The name of the thread that waits for a device: what panics there is a device that was lost, which
/// is told as an error.
#[cfg(not(target_arch = "wasm32"))]
pub const POLLER: &str = "everylayer-poll";

/// An open device.
pub struct Gpu {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    pub(crate) report: AdapterReport,
    choice: Option<String>,
    pub(super) pipeline_cache: Option<PipelineCache>,
    pub(super) account: Arc<Account>,
    can: AdapterFeatures,
    pub(super) faults: Faults,
    pub(super) pipelines: Pipelines,
    #[cfg(not(target_arch = "wasm32"))]
    poller: Poller,
}

impl Gpu {
    /// Opens the adapter that `pick` describes; where that leaves a choice, the first that opens.
    ///
    /// # Errors
    ///
    /// `NoAdapter` where none fits, with the names of those there are; `Usage` where it was asked for
    /// cooperative matrices and lacks something they need; `Gpu` where the driver refuses.
    pub async fn open(pick: &Pick, options: &GpuOptions) -> Result<Self> {
        let mut refused = None;
        for candidate in candidates(pick).await? {
            match Self::open_candidate(&candidate, options).await {
                Err(e) if pick.goes_on() && e.kind().is_of_device() => {
                    refused.get_or_insert(e);
                }
                opened => return opened,
            }
        }
        Err(refused.unwrap_or_else(|| no_adapter(pick, &[])))
    }

    /// Opens this adapter.
    ///
    /// # Errors
    ///
    /// As [`Gpu::open`].
    pub async fn open_candidate(candidate: &Candidate, options: &GpuOptions) -> Result<Self> {
        let Candidate { adapter, report, choice } = candidate;
        // Defaults everywhere; the two sizes that bound a batch as far as the adapter goes.
        let mut limits = wgpu::Limits::default();
        if !options.default_limits {
            let has = adapter.limits();
            limits.max_storage_buffer_binding_size = has.max_storage_buffer_binding_size;
            limits.max_buffer_size = has.max_buffer_size;
        }
        // WGSL of a page has to ask for subgroups by another word, and some browsers have none.
        let portable = options.default_limits || cfg!(target_arch = "wasm32");
        let class = match class(adapter) {
            Class::Software if portable => Class::CpuAdapter,
            class => class,
        };
        let has = |feature| !options.default_limits && adapter.features().contains(feature);
        let subgroups = !portable && adapter.features().contains(wgpu::Features::SUBGROUP);
        let can = AdapterFeatures {
            class,
            vendor: vendor(&adapter.get_info()),
            subgroups: subgroups && adapter.get_info().subgroup_min_size >= 8,
            half: has(wgpu::Features::SHADER_F16),
            coop: if options.coop { Some(coop::ask(adapter, options)?) } else { None },
        };
        // Timestamps are for profiles alone and pipelines are kept for later: no kernel needs them.
        let mut features =
            adapter.features() & (wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::PIPELINE_CACHE);
        features.set(wgpu::Features::SUBGROUP, can.subgroups);
        features.set(wgpu::Features::SHADER_F16, can.half);
        features.set(wgpu::Features::SHADER_INT64, can.class == Class::Software);
        features.set(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX, can.coop.is_some());
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("everylayer"),
            required_features: features,
            required_limits: limits,
            memory_hints: wgpu::MemoryHints::Performance,
            experimental_features: coop::token(can.coop.is_some()),
            ..Default::default()
        };
        let (report, choice) = (report.clone(), choice.clone());
        let (device, queue) = adapter.request_device(&descriptor).await.map_err(|e| {
            fail!(Gpu, "{} ({}) could not be opened: {e}", report.name, report.backend)
                .about(&[Setting::Device])
                .with_source(e)
        })?;
        let faults = Faults::default();
        faults.listen(&device);
        Ok(Self {
            #[cfg(not(target_arch = "wasm32"))]
            poller: Poller::new(device.clone())?,
            pipeline_cache: PipelineCache::open(&device, &adapter.get_info()),
            device,
            queue,
            report,
            choice,
            account: Arc::default(),
            can,
            faults,
            pipelines: Pipelines::default(),
        })
    }

    /// What is known of the adapter.
    pub fn report(&self) -> &AdapterReport {
        &self.report
    }

    /// What was asked for and what was taken, where several adapters have the name; one sentence.
    pub fn choice(&self) -> Option<&str> {
        self.choice.as_deref()
    }

    /// What kernels are chosen by on this device.
    pub fn abilities(&self) -> AdapterFeatures {
        self.can
    }

    /// Compiles those of `variants` that are not there yet, all at once.
    ///
    /// # Errors
    ///
    /// `Gpu` or `OutOfMemory` where the device refuses one.
    pub fn prepare(&self, variants: impl Iterator<Item = Variant>) -> Result<()> {
        self.pipelines.prepare(self, variants)
    }

    /// Bytes one binding may span on this device.
    pub fn max_binding(&self) -> u64 {
        self.device.limits().max_storage_buffer_binding_size
    }

    /// Sees to it that the callbacks of `submission` run: on a thread here, by the event loop in a
    /// browser.
    pub(crate) fn watch(&self, submission: wgpu::SubmissionIndex) {
        #[cfg(not(target_arch = "wasm32"))]
        self.poller.watch(submission);
        #[cfg(target_arch = "wasm32")]
        let _ = submission;
    }

    /// Gives the device up, as a driver reset would: for tests of what happens then.
    #[doc(hidden)]
    pub fn destroy(&self) {
        self.faults.lose("destroyed".to_owned());
        self.device.destroy();
    }
}

/// A thread that waits for submissions, so that mapping callbacks run while nothing else blocks.
///
/// It holds the device, and ends before its owner is gone: a driver that is taken down by the end
/// of the process while a thread still lets go of it may crash.
#[cfg(not(target_arch = "wasm32"))]
struct Poller {
    sender: Option<std::sync::mpsc::Sender<wgpu::SubmissionIndex>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[cfg(not(target_arch = "wasm32"))]
impl Poller {
    fn new(device: wgpu::Device) -> Result<Self> {
        let (sender, receiver) = std::sync::mpsc::channel();
        let poll = move || {
            while let Ok(submission) = receiver.recv() {
                let wait =
                    wgpu::PollType::Wait { submission_index: Some(submission), timeout: None };
                // A lost device answers through its callback and the mapping's own result, and
                // wgpu panics over it here: the next submission is waited for all the same.
                drop(catch_unwind(AssertUnwindSafe(|| device.poll(wait))));
            }
        };
        let thread = std::thread::Builder::new().name(POLLER.to_owned()).spawn(poll);
        let thread = thread
            .map_err(|e| fail!(Gpu, "no thread to wait for the device: {e}").with_source(e))?;
        Ok(Self { sender: Some(sender), thread: Some(thread) })
    }

    fn watch(&self, submission: wgpu::SubmissionIndex) {
        if let Some(sender) = &self.sender {
            // The thread ends only with the sender.
            drop(sender.send(submission));
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Drop for Poller {
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to tell; what failed is in the faults.
            drop(thread.join());
        }
    }
}

/// A page's garbage is collected late, so what is done with gives its memory back by itself.
#[cfg(target_arch = "wasm32")]
impl Drop for Gpu {
    fn drop(&mut self) {
        self.device.destroy();
    }
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gpu({})", self.report.name)
    }
}
