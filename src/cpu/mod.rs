//! Runs a recording on the CPU: the oracle of the kernel tests and of `doctor`, and the fallback
//! where no GPU is found.
//!
//! Holds the executor alone; the kernels are in `kernels.rs`, one function each.

mod attention;
mod ceiling;
mod digest;
mod experts;
pub mod kernels;
pub mod product;
mod reads;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::error::{Result, fail};
use crate::execute::{Ceilings, Counters, Execute, NotFinite, Sink, Task, Weights, narrow};
use crate::math::f16;
use crate::model::layout::{Layout, Use, WeightId};
use crate::model::weights::whole_rows;
use crate::platform::{Instant, turn, yield_once};
use crate::schedule::recording::{Bind, Dispatch, Fill, Recording};
use crate::schedule::tuning::Tuning;
use crate::schedule::verify::verify;
use crate::schedule::{AdapterFeatures, Caps, Elem, Output};
use product::Packed;
use reads::Reads;

/// Work between two looks at what else is to be done: all of it, where there are other threads for
/// that; some 50 ms in a page, which is told to stop then.
const SUBMIT_FLOPS: u64 = if cfg!(target_arch = "wasm32") { 500_000_000 } else { u64::MAX };

/// Work between two turns where a caller asks for some: about 5 ms of two cores.
const TURN_FLOPS: u64 = 300_000_000;

/// One weight in memory.
enum CpuWeight {
    /// Row-major.
    Plain(Vec<f32>),
    /// The right side of a product.
    Packed(Packed),
}

impl CpuWeight {
    fn bytes(&self) -> u64 {
        match self {
            Self::Plain(numbers) => (numbers.len() * 4) as u64,
            Self::Packed(packed) => packed.bytes(),
        }
    }
}

/// The CPU executor: a model's weights, packed, and scratch memory it gives from run to run.
pub struct Cpu {
    layout: Arc<Layout>,
    weights: Vec<CpuWeight>,
    caps: Caps,
    spare: Mutex<Vec<Vec<Vec<f32>>>>,
    /// Bytes of all slots, which are kept once they were made.
    slot_bytes: AtomicU64,
}

/// Memory of one slot: numbers, or words seen as numbers bit by bit.
type Slots = Vec<Vec<f32>>;

impl Cpu {
    /// Reads and packs every weight of `layout`; under f16 each number is rounded to
    /// f16 first, so that both executors agree.
    pub fn new(layout: Arc<Layout>, source: &dyn Weights, elem: Elem) -> Result<Self> {
        let mut weights = Vec::with_capacity(layout.weights.len());
        for (i, weight) in layout.weights.iter().enumerate() {
            let id = WeightId(i);
            let mut numbers = whole_rows(source, &layout, id, 0..weight.rows)?;
            if elem != Elem::F32 && weight.usage != Use::Vector {
                let halves = narrow(&weight.label, &numbers)?;
                numbers.iter_mut().zip(halves).for_each(|(x, half)| *x = half.to_f32());
            }
            weights.push(match weight.usage {
                Use::Matrix => CpuWeight::Packed(Packed::new(&numbers, weight.rows, weight.cols)),
                Use::Table | Use::Vector => CpuWeight::Plain(numbers),
            });
        }
        let caps = Caps {
            max_binding: u64::MAX,
            elem,
            // No bytes of a bus to save, and every conversion costs.
            narrow: false,
            can: AdapterFeatures::default(),
            tuning: Tuning::none(),
            submit_read_bytes: u64::MAX,
            submit_flops: SUBMIT_FLOPS,
        };
        Ok(Self { layout, weights, caps, spare: Mutex::default(), slot_bytes: AtomicU64::new(0) })
    }

    /// Slots that are large enough for `recording`, its uploads done.
    ///
    /// # Errors
    ///
    /// `Usage` for a recording that does not fit the weights.
    fn take(&self, recording: &Recording) -> Result<Slots> {
        verify(recording, &self.layout, &self.caps, false)?;
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut slots = spare.unwrap_or_default();
        match self.upload(recording, &mut slots) {
            Ok(()) => Ok(slots),
            Err(e) => {
                self.give(slots);
                Err(e)
            }
        }
    }

    /// Keeps `slots` for a later run.
    fn give(&self, slots: Slots) {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(slots);
    }

    fn upload(&self, recording: &Recording, slots: &mut Slots) -> Result<()> {
        let held = |slots: &Slots| slots.iter().map(|s| 4 * s.capacity() as u64).sum::<u64>();
        let before = held(slots);
        slots.resize_with(recording.slots().len().max(slots.len()), Vec::new);
        for (slot, &bytes) in slots.iter_mut().zip(recording.slots()) {
            let more = (bytes as usize / 4).saturating_sub(slot.len());
            // Not twice what is there, as a vector grows by itself.
            slot.reserve_exact(more);
            slot.resize(slot.len() + more, 0.0);
        }
        self.slot_bytes.fetch_add(held(slots) - before, Ordering::Relaxed);
        for (id, fill) in recording.uploads() {
            let slot = &mut slots[recording.buffer(*id).slot()];
            match fill {
                Fill::Words(words) => {
                    slot[..words.len()].copy_from_slice(bytemuck::cast_slice(words));
                }
                Fill::Rows { .. } => {
                    return Err(fail!(Usage, "this recording was made for a GPU: it gathers rows"));
                }
            }
        }
        Ok(())
    }

    async fn run_all(
        &self,
        recording: &Recording,
        sink: Sink<'_>,
        in_turns: bool,
    ) -> Result<Option<NotFinite>> {
        let mut slots = self.take(recording)?;
        let result = self.steps(recording, &mut slots, sink, in_turns).await;
        self.give(slots);
        result
    }

    async fn steps(
        &self,
        recording: &Recording,
        slots: &mut Slots,
        sink: Sink<'_>,
        in_turns: bool,
    ) -> Result<Option<NotFinite>> {
        let mut found = None;
        let most = if in_turns { TURN_FLOPS } else { u64::MAX };
        for submit in recording.submits() {
            let mut dispatches = submit.dispatches().iter();
            // On a thread of the pool: going there from outside takes longer than a small kernel.
            while rayon::scope(|_| self.turn(recording, &mut dispatches, slots, most))? {
                yield_once().await;
            }
            for read in submit.readbacks() {
                let buffer = recording.buffer(read.buffer());
                let numbers = &slots[buffer.slot()][..buffer.bytes() as usize / 4];
                match read.output() {
                    Output::Status => {
                        let status = bytemuck::cast_slice(numbers);
                        found = NotFinite::read(status, recording.tokens(), "the CPU")?;
                    }
                    output => sink(output, numbers.to_vec())?,
                }
            }
            turn().await;
        }
        Ok(found)
    }

    /// Runs dispatches until there are none, or until they come to `most` operations; whether some are
    /// left.
    fn turn<'d>(
        &self,
        recording: &Recording,
        dispatches: &mut impl ExactSizeIterator<Item = &'d Dispatch>,
        slots: &mut Slots,
        most: u64,
    ) -> Result<bool> {
        let mut worked = 0;
        while worked < most
            && let Some(dispatch) = dispatches.next()
        {
            self.dispatch(recording, dispatch, slots)?;
            worked += dispatch.flops();
        }
        Ok(dispatches.len() > 0)
    }

    fn times(&self, recording: &Recording, slots: &mut Slots) -> Result<Vec<Duration>> {
        let time = |dispatch| {
            let start = Instant::now();
            self.dispatch(recording, dispatch, slots)?;
            Ok(start.elapsed())
        };
        // On a thread of the pool, as they are run.
        rayon::scope(|_| recording.dispatches().map(time).collect())
    }

    /// Runs one dispatch: the array it writes is taken out of its slot meanwhile.
    fn dispatch(&self, recording: &Recording, d: &Dispatch, slots: &mut Slots) -> Result<()> {
        let malformed = || reads::malformed(d);
        let slot = |i: usize| match d.binds().get(i) {
            Some(Bind::Buffer(id)) => Ok(recording.buffer(*id).slot()),
            _ => Err(malformed()),
        };
        let out_at = d.variant().bindings().iter().position(|access| access.writes());
        let out_at = out_at.ok_or_else(malformed)?;
        let out_slot = slot(out_at)?;
        let mut out = std::mem::take(&mut slots[out_slot]);
        // Numbers of 16 bits are worked on in f32: a recording made for a GPU has some.
        let words_out = d.variant().writes_narrow().then(|| {
            let wide = f16::unpack(bytemuck::cast_slice(&out));
            std::mem::replace(&mut out, wide)
        });
        let wide_in = match d.binds().first() {
            Some(Bind::Buffer(id)) if d.variant().reads_narrow() && out_at > 0 => {
                let buffer = recording.buffer(*id);
                let words = &slots[buffer.slot()][..buffer.bytes() as usize / 4];
                Some(f16::unpack(bytemuck::cast_slice(words)))
            }
            _ => None,
        };
        // Flags of rows are the second array that is written.
        let mut written = d.variant().bindings().iter().enumerate().skip(out_at + 1);
        let flags =
            written.find(|(_, access)| access.writes()).map(|(at, _)| slot(at)).transpose()?;
        let mut status = flags.map_or_else(Vec::new, |flags| std::mem::take(&mut slots[flags]));
        let reads = Reads { recording, dispatch: d, slots, weights: &self.weights, wide_in };
        let done = kernels::run(&reads, &mut out, bytemuck::cast_slice_mut(&mut status));
        slots[out_slot] = match words_out {
            Some(mut words) => {
                f16::pack(&out, bytemuck::cast_slice_mut(&mut words));
                words
            }
            None => out,
        };
        if let Some(flags) = flags {
            slots[flags] = status;
        }
        done
    }
}

impl Execute for Cpu {
    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn device(&self) -> String {
        match rayon::current_num_threads() {
            1 => "CPU (1 thread)".to_owned(),
            threads => format!("CPU ({threads} threads)"),
        }
    }

    fn prepare(&self, _: &Recording) {}

    fn reserve(&self, recording: &Recording) -> Result<()> {
        let slots = self.take(recording)?;
        self.give(slots);
        Ok(())
    }

    fn weight_bytes(&self) -> u64 {
        self.weights.iter().map(CpuWeight::bytes).sum()
    }

    fn run<'a>(
        &'a self,
        recording: &'a Recording,
        sink: Sink<'a>,
    ) -> Task<'a, Result<Option<NotFinite>>> {
        Box::pin(self.run_all(recording, sink, false))
    }

    fn run_in_turns<'a>(
        &'a self,
        recording: &'a Recording,
        sink: Sink<'a>,
    ) -> Task<'a, Result<Option<NotFinite>>> {
        Box::pin(self.run_all(recording, sink, true))
    }

    fn profile<'a>(&'a self, recording: &'a Recording) -> Task<'a, Result<Vec<Duration>>> {
        Box::pin(async move {
            let mut slots = self.take(recording)?;
            let times = self.times(recording, &mut slots);
            self.give(slots);
            times
        })
    }

    fn ceilings(&self) -> Task<'_, Result<Ceilings>> {
        Box::pin(async { Ok(ceiling::measure()) })
    }

    fn counters(&self) -> Counters {
        let peak_bytes = self.weight_bytes() + self.slot_bytes.load(Ordering::Relaxed);
        Counters { waits: 0, peak_bytes, pipelines: 0 }
    }

    fn held_bytes(&self, id: WeightId) -> u64 {
        self.weights.get(id.0).map_or(0, CpuWeight::bytes)
    }

    fn is_software(&self) -> bool {
        true
    }
}

impl std::fmt::Debug for Cpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cpu({} weights)", self.layout.weights.len())
    }
}
