//! A GPU that is open: which of its kernels are taken, and executors on it.

use std::sync::Arc;

use super::device::MakeExecutor;
use super::verified::{Fault, Guard, Probe, REPORT, Verified, Verify, Wrap, in_order};
use super::warmup::{kernels_of, usual};
use super::{LoadOptions, Preprocessor, batch_tokens};
use crate::error::{Result, fail};
use crate::execute::{Execute, Task};
use crate::gpu::GpuExecutor;
use crate::gpu::device::Gpu;
use crate::model::load::Model;
use crate::schedule::tuning::Tuning;
use crate::schedule::{AdapterFeatures, Caps, Class, Elem, Variant};
use crate::text::Text;
use crate::text::pack::{PackedBatch, pack};

/// The device, and what its kernels are chosen by.
pub struct OpenGpu {
    gpu: Arc<Gpu>,
    can: AdapterFeatures,
    /// Whether that is the adapter's own, and nothing simpler.
    is_own: bool,
    /// What was measured on its adapter.
    tuning: Tuning,
    /// `None` where nothing is to be verified.
    probe: Option<Arc<Probe>>,
    wrap: Option<Wrap>,
}

/// A model on a GPU, and what is known of the kernels it uses there.
pub struct Started {
    /// The device.
    pub device: OpenGpu,
    /// The model's executor there.
    pub executor: Arc<dyn Execute>,
    /// `None` where nothing was to be verified.
    pub verified: Option<Verified>,
}

impl OpenGpu {
    /// Puts the weights of `model` on `gpu`, with the first kernels that compute right.
    ///
    /// # Errors
    ///
    /// `Gpu` where none do; `Checkpoint` or `Io` for the weights, `NotFinite` for one that does not
    /// fit the dtype; `OutOfMemory` from the device.
    pub async fn start(
        gpu: Gpu,
        (model, preprocessor): (&Model, &Preprocessor),
        options: &LoadOptions,
    ) -> Result<Started> {
        let gpu = Arc::new(gpu);
        let mut can = gpu.abilities();
        if let Some((class, vendor)) =
            options.cut_for.filter(|(class, _)| *class != Class::Software)
        {
            (can.class, can.vendor) = (class, vendor);
        }
        let kept = || crate::gpu::tuning_cache::read(gpu.report());
        let tuning = if options.untuned { Tuning::none() } else { kept() };
        let wrap = options.wrap.clone();
        let probe = (options.verify != Verify::Never).then(|| {
            let place = options.verified_in.clone();
            Arc::new(Probe::new(Arc::clone(&gpu), options.verify, place, wrap.clone()))
        });
        let mut device = Self { gpu, can, is_own: true, tuning, probe, wrap };
        let Some(probe) = device.probe.clone() else {
            let executor = device.executor(model, options.dtype.elem()).await?;
            return Ok(Started { device, executor, verified: None });
        };
        let chosen = device.choose(&probe, (model, preprocessor), options).await;
        if probe.ran() > 0 {
            probe.keep();
        }
        let (executor, verified) = chosen?;
        Ok(Started { device, executor, verified: Some(verified) })
    }

    /// The first kernels that compute right, and the model's executor with them.
    async fn choose(
        &mut self,
        probe: &Arc<Probe>,
        (model, preprocessor): (&Model, &Preprocessor),
        options: &LoadOptions,
    ) -> Result<(Arc<dyn Execute>, Verified)> {
        let elem = options.dtype.elem();
        let ladder = [vec![self.can], self.can.simpler()].concat();
        let mut sets = vec![self.usual_kernels((model, preprocessor), options)];
        let word = word(preprocessor)?;
        let mut first = None;
        for (step, can) in ladder.iter().enumerate() {
            // Those of simpler steps say in which order to check: where all are known of, none are recorded.
            let known = step == 0 && sets[0].iter().all(|kernel| probe.knows(*kernel));
            if sets.len() < ladder.len() && !known {
                for (step, can) in ladder.iter().enumerate().skip(1) {
                    self.step(step, *can);
                    sets.push(self.usual_kernels((model, preprocessor), options));
                }
            }
            self.step(step, *can);
            if let Some(fault) = self.kernels(probe, &sets, step).await? {
                first.get_or_insert(fault);
                continue;
            }
            let executor = self.bare(model, elem).await?;
            let told = match &word {
                Some(word) => {
                    probe.model(model, word, (executor.as_ref(), &sets[step]), elem).await?
                }
                None => None,
            };
            if let Some(Err(fault)) = told {
                first.get_or_insert(fault);
                continue;
            }
            let verified = Verified {
                kernels: sets[step].len(),
                ran: probe.ran(),
                model: told.is_some(),
                fault: first.map(|fault| {
                    format!(
                        "{} {fault}, so that kernels which ask less of it are used; {REPORT}",
                        self.name()
                    )
                }),
            };
            return Ok((self.guarded(executor), verified));
        }
        let fault = first.map_or_else(String::new, |fault| fault.to_string());
        let name = self.name();
        Err(fail!(Gpu, "{name} {fault}, and no other kernels are right there; {REPORT}"))
    }

    /// Takes kernels for what an adapter `can` do, `step` steps simpler than its own.
    fn step(&mut self, step: usize, can: AdapterFeatures) {
        (self.can, self.is_own) = (can, step == 0);
    }

    /// Those of the usual batches.
    fn usual_kernels(
        &self,
        (model, preprocessor): (&Model, &Preprocessor),
        options: &LoadOptions,
    ) -> Vec<Variant> {
        let caps = self.caps(options.dtype.elem());
        let tokens = batch_tokens(model, &caps, options.batch_tokens);
        kernels_of(&usual(model, preprocessor, &caps, tokens))
    }

    /// What is wrong with the kernels of this step.
    async fn kernels(
        &self,
        probe: &Probe,
        sets: &[Vec<Variant>],
        step: usize,
    ) -> Result<Option<Fault>> {
        let order = in_order(sets, &sets[step]);
        let everywhere = |variant: &Variant| sets.iter().all(|set| set.contains(variant));
        let (every, rest) = order.split_at(order.iter().take_while(|v| everywhere(v)).count());
        // Where those fail that every step has, nothing else has to be compiled.
        for variant in every {
            if let Some(fault) = probe.kernel(*variant, self.can).await? {
                return Ok(Some(fault));
            }
        }
        // All at once; one that is refused is told where it is run.
        drop(self.gpu.prepare(rest.iter().copied().filter(|variant| !probe.knows(*variant))));
        for variant in rest {
            if let Some(fault) = probe.kernel(*variant, self.can).await? {
                return Ok(Some(fault));
            }
        }
        Ok(None)
    }

    fn name(&self) -> String {
        let report = self.gpu.report();
        match report.driver.as_str() {
            "" => format!("{} ({})", report.name, report.backend),
            driver => format!("{} ({}, driver {driver})", report.name, report.backend),
        }
    }

    fn caps(&self, elem: Elem) -> Caps {
        let mut caps = GpuExecutor::caps_for(&self.gpu, elem, self.can);
        // Software adapters keep their own, and what was measured holds for what it was measured of.
        if self.can.class != Class::Software && self.is_own {
            caps.tuning = self.tuning.clone();
        }
        caps
    }

    async fn bare(&self, model: &Model, elem: Elem) -> Result<Arc<dyn Execute>> {
        let (gpu, layout) = (Arc::clone(&self.gpu), Arc::clone(&model.layout));
        let weights = model.weights.clone();
        let mut executor = GpuExecutor::with_caps(gpu, layout, weights, self.caps(elem))?;
        executor.calibrate().await?;
        Ok(match &self.wrap {
            Some(Wrap(wrap)) => wrap(Arc::new(executor)),
            None => Arc::new(executor),
        })
    }

    fn guarded(&self, executor: Arc<dyn Execute>) -> Arc<dyn Execute> {
        match &self.probe {
            Some(probe) => Arc::new(Guard::new(executor, Arc::clone(probe))),
            None => executor,
        }
    }
}

impl MakeExecutor for OpenGpu {
    /// No kernel is used before it was verified.
    fn executor<'a>(&'a self, model: &'a Model, elem: Elem) -> Task<'a, Result<Arc<dyn Execute>>> {
        Box::pin(async move { Ok(self.guarded(self.bare(model, elem).await?)) })
    }
}

/// A text of a word, with what the tokenizer puts around it.
fn word(preprocessor: &Preprocessor) -> Result<Option<PackedBatch>> {
    let tokens = preprocessor.tokenizer().encode_whole(&Text::from("Hello"))?;
    let fits = (1..=preprocessor.max_tokens()).contains(&tokens.len())
        && preprocessor.check_ids(&tokens.ids).is_ok();
    Ok(if fits { pack(&[tokens], usize::MAX, usize::MAX).pop() } else { None })
}
