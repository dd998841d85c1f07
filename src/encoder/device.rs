//! Where an encoder runs: the device, open, and executors of a model's weights on it.

use std::sync::Arc;

use super::Preprocessor;
#[cfg(feature = "gpu")]
use super::open_gpu::{OpenGpu, Started};
#[cfg(not(feature = "gpu"))]
use super::options::Device;
#[cfg(feature = "gpu")]
use super::options::Dtype;
use super::options::LoadOptions;
use super::verified::Verified;
#[cfg(feature = "gpu")]
use crate::error::ErrorKind;
use crate::error::{Result, Setting, fail};
use crate::execute::Execute;
#[cfg(feature = "gpu")]
use crate::execute::Task;
#[cfg(feature = "gpu")]
use crate::gpu::device::{self, Candidate, Gpu, GpuOptions, Pick};
use crate::model::load::Model;
use crate::schedule::Elem;

/// An open device that makes executors. Behind a trait, so that what a server's tasks hold is not proved
/// to move between threads down to the types of wgpu, in each crate that spawns one.
#[cfg(feature = "gpu")]
pub trait MakeExecutor: Send + Sync {
    /// See [`OpenDevice::executor`].
    fn executor<'a>(&'a self, model: &'a Model, elem: Elem) -> Task<'a, Result<Arc<dyn Execute>>>;
}

/// An open device.
pub enum OpenDevice {
    /// The processor of the host.
    Cpu,
    /// A GPU.
    #[cfg(feature = "gpu")]
    Gpu(Box<dyn MakeExecutor>),
}

/// A device with a model's weights on it, and how it came to be chosen.
pub struct Start {
    /// The device.
    pub device: OpenDevice,
    /// The model's executor there.
    pub executor: Arc<dyn Execute>,
    /// What a person should know of the choice, a sentence each.
    pub notes: Vec<String>,
    /// What is known of the kernels of a GPU; `None` on the CPU, and where nothing was to be verified.
    pub verified: Option<Verified>,
}

impl Start {
    /// Opens the device that `options` name and puts the weights of `model` there. Where they leave the
    /// choice, an adapter that fails is passed over: the next is tried, and under [`Device::Auto`]
    /// the CPU at the end.
    ///
    /// # Errors
    ///
    /// `NoAdapter` where there is none like it; `Usage` where cooperative matrices were asked for and
    /// the device or the dtype cannot; `Gpu` where the driver refuses; those of
    /// [`OpenDevice::executor`].
    pub async fn new(
        (model, preprocessor): (&Model, &Preprocessor),
        options: &LoadOptions,
    ) -> Result<Self> {
        let elem = options.dtype.elem();
        #[cfg(not(feature = "gpu"))]
        let _ = preprocessor;
        #[cfg(feature = "gpu")]
        {
            let Some(pick) = options.device.pick() else {
                return match options.coop {
                    true => Err(fail!(
                        Usage,
                        "the CPU has no cooperative matrices; use the device `gpu`, or turn \
                         them off"
                    )
                    .about(&[Setting::Device, Setting::Coop])),
                    false => Self::on_cpu(model, elem, Vec::new()).await,
                };
            };
            if options.coop && options.dtype != Dtype::F16 {
                return Err(fail!(
                    Usage,
                    "cooperative matrices multiply f16 only: set the dtype to f16, or turn them off"
                )
                .about(&[Setting::Dtype, Setting::Coop]));
            }
            Self::on_gpu((model, preprocessor), options, &pick).await
        }
        #[cfg(not(feature = "gpu"))]
        match options.device {
            Device::Auto | Device::Cpu if !options.coop => {
                Self::on_cpu(model, elem, Vec::new()).await
            }
            _ => Err(fail!(
                NoAdapter,
                "this build has no GPU support; build it with the feature `gpu` or use the device `cpu`"
            )
            .about(&[Setting::Device])),
        }
    }

    async fn on_cpu(model: &Model, elem: Elem, passed: Vec<String>) -> Result<Self> {
        let device = OpenDevice::Cpu;
        let executor = device.executor(model, elem).await?;
        let notes = passed.iter().map(|why| format!("{why}; using the CPU")).collect();
        Ok(Self { device, executor, notes, verified: None })
    }

    /// On the first adapter of `pick` that works.
    #[cfg(feature = "gpu")]
    async fn on_gpu(
        (model, preprocessor): (&Model, &Preprocessor),
        options: &LoadOptions,
        pick: &Pick,
    ) -> Result<Self> {
        let elem = options.dtype.elem();
        // Only `auto` ends on the CPU, and not where it has not what was asked for.
        let ends_on_cpu = *pick == Pick::Real && !options.coop;
        let candidates = match device::candidates(pick).await {
            Err(e) if ends_on_cpu && e.kind() == ErrorKind::NoAdapter => {
                return Self::on_cpu(model, elem, Vec::new()).await;
            }
            found => found?,
        };
        let mut passed = Vec::new();
        for candidate in candidates {
            match Self::on_adapter((model, preprocessor), options, &candidate).await {
                Ok(mut start) => {
                    let taken = start.executor.device();
                    let why = passed.into_iter().map(|why| format!("{why}; using {taken}"));
                    start.notes = why.chain(start.notes).collect();
                    return Ok(start);
                }
                Err(e) if e.kind().is_of_device() => {
                    let why = e.to_string();
                    passed.push(why.strip_suffix(device::AGAIN).unwrap_or(&why).to_owned());
                }
                Err(e) => return Err(e),
            }
            if !pick.goes_on() {
                break;
            }
        }
        if ends_on_cpu {
            return Self::on_cpu(model, elem, passed).await;
        }
        let said = passed.join("; ");
        Err(fail!(Gpu, "{said}; try another device").about(&[Setting::Device]))
    }

    #[cfg(feature = "gpu")]
    async fn on_adapter(
        of: (&Model, &Preprocessor),
        options: &LoadOptions,
        candidate: &Candidate,
    ) -> Result<Self> {
        let gpu_options = GpuOptions { default_limits: options.default_limits, coop: options.coop };
        let gpu = Gpu::open_candidate(candidate, &gpu_options).await?;
        let choice = gpu.choice().map(str::to_owned);
        let Started { device, executor, verified } = OpenGpu::start(gpu, of, options).await?;
        let fault = verified.as_ref().and_then(|verified| verified.fault.clone());
        let notes = choice.into_iter().chain(fault).collect();
        Ok(Self { device: OpenDevice::Gpu(Box::new(device)), executor, notes, verified })
    }
}

impl OpenDevice {
    /// Puts the weights of `model` there, stored as `elem`.
    ///
    /// # Errors
    ///
    /// `Checkpoint` or `Io` for the weights, `NotFinite` for one that `elem` does not hold; `Gpu` or
    /// `OutOfMemory` from the device.
    pub async fn executor(&self, model: &Model, elem: Elem) -> Result<Arc<dyn Execute>> {
        match self {
            Self::Cpu => {
                let layout = Arc::clone(&model.layout);
                Ok(Arc::new(crate::cpu::Cpu::new(layout, model.weights.as_ref(), elem)?))
            }
            #[cfg(feature = "gpu")]
            Self::Gpu(device) => device.executor(model, elem).await,
        }
    }
}
