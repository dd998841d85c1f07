//! Where an encoder runs: the device, open, and executors of a model's weights on it.

use std::sync::Arc;

#[cfg(not(feature = "gpu"))]
use super::options::Device;
#[cfg(feature = "gpu")]
use super::options::Dtype;
use super::options::LoadOptions;
use crate::error::{Result, Setting, fail};
use crate::execute::Execute;
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

impl OpenDevice {
    /// Opens the device that `options` name.
    ///
    /// # Errors
    ///
    /// `NoAdapter` where there is none like it; `Usage` where cooperative matrices were asked for and
    /// the device or the dtype cannot; `Gpu` where the driver refuses.
    pub async fn open(options: &LoadOptions) -> Result<Self> {
        #[cfg(feature = "gpu")]
        {
            use crate::error::ErrorKind;
            use crate::gpu::device::{Gpu, GpuOptions, Pick};

            let Some(pick) = options.device.pick() else {
                return match options.coop {
                    true => Err(fail!(
                        Usage,
                        "the CPU has no cooperative matrices; use the device `gpu`, or turn \
                         them off"
                    )
                    .about(&[Setting::Device, Setting::Coop])),
                    false => Ok(Self::Cpu),
                };
            };
            if options.coop && options.dtype != Dtype::F16 {
                return Err(fail!(
                    Usage,
                    "cooperative matrices multiply f16 only: set the dtype to f16, or turn them off"
                )
                .about(&[Setting::Dtype, Setting::Coop]));
            }
            let gpu_options =
                GpuOptions { default_limits: options.default_limits, coop: options.coop };
            match Gpu::open(&pick, &gpu_options).await {
                Ok(gpu) => {
                    let kept = || crate::gpu::tuning_cache::read(gpu.report());
                    let tuning = if options.untuned { Default::default() } else { kept() };
                    Ok(Self::Gpu { gpu: Arc::new(gpu), tuning, cut_for: options.cut_for })
                }
                // `auto` falls back to the CPU where there is no GPU, never over a failure.
                Err(e)
                    if pick == Pick::Real && e.kind() == ErrorKind::NoAdapter && !options.coop =>
                {
                    Ok(Self::Cpu)
                }
                Err(e) => Err(e),
            }
        }
        #[cfg(not(feature = "gpu"))]
        match options.device {
            Device::Auto | Device::Cpu if !options.coop => Ok(Self::Cpu),
            _ => Err(fail!(
                NoAdapter,
                "this build has no GPU support; build it with the feature `gpu` or use the device `cpu`"
            )
            .about(&[Setting::Device])),
        }
    }

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
