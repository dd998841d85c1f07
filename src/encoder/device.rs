//! Where an encoder runs: the device, open, and executors of a model's weights on it.

use std::sync::Arc;

#[cfg(not(feature = "gpu"))]
use super::options::Device;
#[cfg(feature = "gpu")]
use super::options::Dtype;
use super::options::LoadOptions;
#[cfg(feature = "gpu")]
use crate::error::ErrorKind;
use crate::error::{Result, Setting, fail};
use crate::execute::Execute;
#[cfg(feature = "gpu")]
use crate::gpu::device::{self, Candidate, Gpu, GpuOptions, Pick};
use crate::model::load::Model;
use crate::schedule::Elem;

/// An open device.
pub enum OpenDevice {
    /// The processor of the host.
    Cpu,
    /// A GPU.
    #[cfg(feature = "gpu")]
    Gpu {
        /// The device.
        gpu: Arc<crate::gpu::device::Gpu>,
        /// What was measured on its adapter.
        tuning: crate::schedule::tuning::Tuning,
        /// Another class of adapter, whose kernels are taken.
        cut_for: Option<crate::schedule::Class>,
    },
}

/// A device with a model's weights on it, and how it came to be chosen.
pub struct Start {
    /// The device.
    pub device: OpenDevice,
    /// The model's executor there.
    pub executor: Arc<dyn Execute>,
    /// What a person should know of the choice, a sentence each.
    pub notes: Vec<String>,
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
    pub async fn new(model: &Model, options: &LoadOptions) -> Result<Self> {
        let elem = options.dtype.elem();
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
            Self::on_gpu(model, elem, options, &pick).await
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
        Ok(Self { device, executor, notes })
    }

    /// On the first adapter of `pick` that works.
    #[cfg(feature = "gpu")]
    async fn on_gpu(
        model: &Model,
        elem: Elem,
        options: &LoadOptions,
        pick: &Pick,
    ) -> Result<Self> {
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
            match Self::on_adapter(model, elem, options, &candidate).await {
                Ok(mut start) => {
                    let taken = start.executor.device();
                    let why = passed.into_iter().map(|why| format!("{why}; using {taken}"));
                    start.notes = why.chain(start.notes).collect();
                    return Ok(start);
                }
                Err(e) if e.kind().is_of_device() => passed.push(e.to_string()),
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
        model: &Model,
        elem: Elem,
        options: &LoadOptions,
        candidate: &Candidate,
    ) -> Result<Self> {
        let gpu_options = GpuOptions { default_limits: options.default_limits, coop: options.coop };
        let gpu = Arc::new(Gpu::open_candidate(candidate, &gpu_options).await?);
        let notes = gpu.choice().map(str::to_owned).into_iter().collect();
        let kept = || crate::gpu::tuning_cache::read(gpu.report());
        let tuning = if options.untuned { Default::default() } else { kept() };
        let device = OpenDevice::Gpu { gpu, tuning, cut_for: options.cut_for };
        let executor = device.executor(model, elem).await?;
        Ok(Self { device, executor, notes })
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
        let layout = Arc::clone(&model.layout);
        Ok(match self {
            Self::Cpu => Arc::new(crate::cpu::Cpu::new(layout, model.weights.as_ref(), elem)?),
            #[cfg(feature = "gpu")]
            Self::Gpu { gpu, tuning, cut_for } => {
                use crate::gpu::GpuExecutor;

                let (gpu, weights) = (Arc::clone(gpu), model.weights.clone());
                let mut executor = GpuExecutor::new(gpu, layout, weights, elem)?;
                if let Some(class) = *cut_for {
                    executor = executor.cut_for(class);
                }
                executor.set_tuning(tuning.clone());
                executor.calibrate().await?;
                Arc::new(executor)
            }
        })
    }
}
