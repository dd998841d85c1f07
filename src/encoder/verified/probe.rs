//! The checks: one kernel on a small input, and one text through a model.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::kept::{Check, Kept, Store};
use super::{KeptIn, Verify, Wrap};
use crate::cpu::Cpu;
use crate::error::{ErrorKind, Result, fail};
use crate::execute::Execute;
use crate::gpu::GpuExecutor;
use crate::gpu::device::Gpu;
use crate::gpu::kernels::source;
use crate::model::load::Model;
use crate::schedule::{AdapterFeatures, Caps, Elem, Variant};
use crate::testing::states::states;
use crate::testing::{Shelf, arrays, cases};
use crate::text::pack::PackedBatch;

/// Bytes of weights up to which a text is run through the whole model: the CPU executor needs a copy, and
/// a page never gives memory back.
const MOST_BYTES: u64 = if cfg!(target_arch = "wasm32") { 128 << 20 } else { 1 << 30 };
/// What a token's vector may be off, in lengths of it: in f32, and where numbers are rounded to f16 in
/// other places.
const OFF: [f32; 2] = [1e-3, 1e-1];

/// What computed wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    what: String,
    check: Check,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, check: Check { off, allowed, error } } = self;
        match (off, error) {
            (_, Some(error)) => write!(f, "{what} wrong (it says: {error})"),
            (Some(off), _) => {
                write!(f, "{what} wrong (off by {off:.1e}, {allowed:.0e} is allowed)")
            }
            (None, _) => write!(f, "{what} wrong (not finite)"),
        }
    }
}

/// Holds kernels of one device against the CPU executor.
pub struct Probe {
    gpu: Arc<Gpu>,
    wrap: Option<Wrap>,
    store: Store,
    kept: Mutex<Kept>,
    ran: AtomicUsize,
}

impl Probe {
    /// Of `gpu`, with what is kept in `place` or the user's cache folder.
    pub fn new(gpu: Arc<Gpu>, verify: Verify, place: Option<KeptIn>, wrap: Option<Wrap>) -> Self {
        let store = Store::of(place, gpu.report());
        let kept = match verify {
            Verify::Always => Kept::new(gpu.report()),
            _ => store.read(gpu.report()),
        };
        Self { gpu, wrap, store, kept: Mutex::new(kept), ran: AtomicUsize::new(0) }
    }

    /// Checks that were run.
    pub fn ran(&self) -> usize {
        self.ran.load(Ordering::Relaxed)
    }

    fn known(&self, name: &str) -> Option<Check> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.checks.get(name).cloned()
    }

    fn found(&self, name: String, check: Check) {
        self.ran.fetch_add(1, Ordering::Relaxed);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.checks.insert(name, check);
    }

    /// Keeps what was found.
    pub fn keep(&self) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        self.store.keep(self.gpu.report(), &kept.checks);
    }

    /// Whether `variant` was checked already.
    pub fn knows(&self, variant: Variant) -> bool {
        self.known(&name(variant)).is_some()
    }

    /// What is wrong with `variant` on an adapter that `can` do so much.
    ///
    /// # Errors
    ///
    /// `DeviceLost`, `OutOfMemory` from the device.
    pub async fn kernel(&self, variant: Variant, can: AdapterFeatures) -> Result<Option<Fault>> {
        let name = name(variant);
        let check = match self.known(&name) {
            Some(check) => check,
            None => {
                let check = self.run(variant, can).await?;
                self.found(name, check.clone());
                check
            }
        };
        let what = || format!("computes `{variant}`");
        Ok((!check.is_right()).then(|| Fault { what: what(), check }))
    }

    async fn run(&self, variant: Variant, can: AdapterFeatures) -> Result<Check> {
        let allowed = cases::tolerance(&variant);
        let mut shelf = Shelf::default();
        let Some(recording) = cases::one(variant, &mut shelf) else {
            // Nothing is right that was not looked at.
            let error = fail!(Gpu, "there is no case to check it by");
            return Ok(Check::refused(&error, allowed));
        };
        let (layout, held) = shelf.close();
        let elem = variant.weights();
        let cpu = Cpu::new(Arc::clone(&layout), held.as_ref(), elem)?;
        let want = arrays(&cpu, &recording).await?;
        let caps = GpuExecutor::caps_for(&self.gpu, elem, can);
        let got = async {
            let gpu = GpuExecutor::with_caps(Arc::clone(&self.gpu), layout, held, caps)?;
            let gpu = self.wrapped(Arc::new(gpu));
            arrays(gpu.as_ref(), &recording).await
        };
        match got.await {
            Ok(got) => Ok(Check::new(cases::apart(&variant, &got, &want), allowed)),
            Err(e) if matches!(e.kind(), ErrorKind::DeviceLost | ErrorKind::OutOfMemory) => Err(e),
            Err(e) => Ok(Check::refused(&e, allowed)),
        }
    }

    /// `executor` in what a test puts around it.
    pub fn wrapped(&self, executor: Arc<dyn Execute>) -> Arc<dyn Execute> {
        match &self.wrap {
            Some(Wrap(wrap)) => wrap(executor),
            None => executor,
        }
    }

    /// What is wrong with the states of `batch` by `executor`, which runs `kernels` over weights stored
    /// as `elem`; `None` where that cannot be told.
    ///
    /// # Errors
    ///
    /// Those of the model, and `DeviceLost`, `OutOfMemory` from the device.
    pub async fn model(
        &self,
        model: &Model,
        batch: &PackedBatch,
        (executor, kernels): (&dyn Execute, &[Variant]),
        elem: Elem,
    ) -> Result<Option<Result<(), Fault>>> {
        if executor.weight_bytes() > MOST_BYTES {
            return Ok(None);
        }
        let name = model_name(model, executor.caps(), kernels);
        let check = match self.known(&name) {
            Some(check) => check,
            None => {
                let Some(check) = self.run_model(model, batch, executor, elem).await? else {
                    return Ok(None);
                };
                self.found(name, check.clone());
                check
            }
        };
        let what = || format!("computes {}", model.name);
        Ok(Some(if check.is_right() { Ok(()) } else { Err(Fault { what: what(), check }) }))
    }

    async fn run_model(
        &self,
        model: &Model,
        batch: &PackedBatch,
        executor: &dyn Execute,
        elem: Elem,
    ) -> Result<Option<Check>> {
        let of = (&model.spec, model.layout.as_ref());
        let cpu = Cpu::new(Arc::clone(&model.layout), model.weights.as_ref(), elem)?;
        // What overflows there is told of the text that does.
        let Ok(want) = states(of, batch, &cpu).await? else { return Ok(None) };
        let allowed = OFF[usize::from(elem != Elem::F32)];
        let got = match states(of, batch, executor).await {
            Ok(Ok(got)) => got,
            // Activations of 16 bits may overflow where those of the CPU do not.
            Ok(Err(_)) if executor.caps().narrow => return Ok(None),
            Ok(Err(_)) => return Ok(Some(Check::new(f32::INFINITY, allowed))),
            Err(e) if e.kind() == ErrorKind::Gpu => return Ok(Some(Check::refused(&e, allowed))),
            Err(e) => return Err(e),
        };
        if got.len() != want.len() {
            return Ok(Some(Check::new(f32::INFINITY, allowed)));
        }
        let pairs = got.iter().zip(&want);
        let off = pairs.map(|(got, want)| distance(got, want, model.spec.width));
        Ok(Some(Check::new(off.fold(0.0, f32::max), allowed)))
    }
}

/// Largest length of the difference of two rows of `width` numbers, in lengths of the one wanted;
/// infinite where a number is not finite.
fn distance(got: &[f32], want: &[f32], width: usize) -> f32 {
    if got.len() != want.len() || width == 0 {
        return f32::INFINITY;
    }
    let rows = got.chunks_exact(width).zip(want.chunks_exact(width));
    let length = |numbers: &mut dyn Iterator<Item = f32>| {
        numbers.map(|x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt()
    };
    let apart = rows.map(|(got, want)| {
        let apart = length(&mut got.iter().zip(want).map(|(got, want)| got - want));
        apart / length(&mut want.iter().copied()).max(1e-6)
    });
    let most = apart.fold(0.0, |most: f64, x| if x.is_nan() { f64::INFINITY } else { most.max(x) });
    most as f32
}

/// `variant` and a checksum of its text.
fn name(variant: Variant) -> String {
    format!("{variant} {:08x}", crc32fast::hash(source(variant).as_bytes()))
}

/// The shape of `model`, what its kernels are chosen by and their texts, as a checksum.
fn model_name(model: &Model, caps: &Caps, kernels: &[Variant]) -> String {
    let mut kernels: Vec<String> = kernels.iter().copied().map(name).collect();
    kernels.sort_unstable();
    let shape = format!("{:?} {:?} {:?} {kernels:?}", model.spec, caps.can, caps.elem);
    format!("model {} {:08x}", model.spec.family, crc32fast::hash(shape.as_bytes()))
}

/// Variants in the order to check them: those of most of `sets` first.
pub fn in_order(sets: &[Vec<Variant>], set: &[Variant]) -> Vec<Variant> {
    let mut counted: BTreeMap<usize, Vec<Variant>> = BTreeMap::new();
    for variant in set {
        let count = sets.iter().filter(|set| set.contains(variant)).count();
        counted.entry(usize::MAX - count).or_default().push(*variant);
    }
    counted.into_values().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_apart_by_their_length() {
        assert_eq!(distance(&[3.0, 4.0, 0.0, 0.0], &[3.0, 4.0, 0.0, 0.0], 2), 0.0);
        assert!((distance(&[3.0, 4.0, 0.0, 11.0], &[3.0, 4.0, 0.0, 10.0], 2) - 0.1).abs() < 1e-6);
        for wrong in [f32::NAN, f32::INFINITY] {
            assert_eq!(distance(&[1.0, wrong], &[1.0, 1.0], 2), f32::INFINITY);
        }
        assert_eq!(distance(&[], &[1.0], 1), f32::INFINITY);
        assert_eq!(distance(&[0.0], &[], 0), f32::INFINITY);
    }
}
