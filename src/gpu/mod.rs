//! Everything that names `wgpu`: the device, the kernel table, pipelines, weights, the executor
//! and readback.

mod adapters;
mod arena;
mod ceiling;
mod coop;
pub mod device;
mod faults;
pub mod kernels;
mod memory;
mod pick;
mod pipeline_cache;
mod pipelines;
mod profile;
mod readback;
pub mod tune;
pub mod tuning_cache;
mod weights;

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result, fail};
use crate::execute::{Ceilings, Counters, Execute, NotFinite, Sink, Task, Weights};
use crate::model::layout::{Layout, WeightId};
use crate::model::weights::whole_rows;
use crate::schedule::recording::{Bind, Dispatch, Fill, Recording, Submit};
use crate::schedule::tuning::Tuning;
use crate::schedule::verify::verify;
use crate::schedule::{AdapterFeatures, Caps, Class, Elem, Vendor};
use arena::{Arena, Arenas};
use device::Gpu;
use faults::Scopes;
use memory::Memory;
use readback::{Ring, Staging};

/// Readbacks of a submit before it is closed: 8 MiB, a few layers of a small batch or one of a
/// large, so that copies run beside later layers.
const SUBMIT_READ_BYTES: u64 = 8 << 20;
/// Work of a submit before it is closed, until [`GpuExecutor::calibrate`] knows better: 0.1 s at
/// 2 TFLOP/s.
const SUBMIT_FLOPS: u64 = 200_000_000_000;

/// The GPU executor: a model's weights on one device.
pub struct GpuExecutor {
    gpu: Arc<Gpu>,
    layout: Arc<Layout>,
    source: Arc<dyn Weights>,
    caps: Caps,
    weights: Vec<Option<Memory>>,
    arenas: Arenas,
    staging: Staging,
}

impl GpuExecutor {
    /// Uploads every weight of `layout`.
    ///
    /// # Errors
    ///
    /// Those of `source`; `OutOfMemory` or `Gpu` where the device refuses.
    pub fn new(
        gpu: Arc<Gpu>,
        layout: Arc<Layout>,
        source: Arc<dyn Weights>,
        elem: Elem,
    ) -> Result<Self> {
        let max_binding = gpu.max_binding();
        Self::with_max_binding(gpu, layout, source, elem, max_binding)
    }

    /// As [`GpuExecutor::new`], binding at most `max_binding` bytes at once where the device would
    /// bind more: a word table above it stays on the host, as on a device with that limit.
    ///
    /// # Errors
    ///
    /// Those of [`GpuExecutor::new`]; `OutOfMemory` where another weight is above the limit.
    pub fn with_max_binding(
        gpu: Arc<Gpu>,
        layout: Arc<Layout>,
        source: Arc<dyn Weights>,
        elem: Elem,
        max_binding: u64,
    ) -> Result<Self> {
        let mut caps = Self::caps_for(&gpu, elem, gpu.abilities());
        caps.max_binding = max_binding.min(caps.max_binding);
        Self::with_caps(gpu, layout, source, caps)
    }

    /// What the schedule has to know of an executor of weights stored as `elem` on `gpu`, whose kernels
    /// are chosen by what it `can` do.
    pub fn caps_for(gpu: &Gpu, elem: Elem, mut can: AdapterFeatures) -> Caps {
        // Software has no 16-bit floats of its own.
        let elem = match elem {
            Elem::PackedF16 if can.coop.is_some() => Elem::NativeF16,
            Elem::PackedF16 if can.half && can.class != Class::Software => Elem::NativeF16,
            elem => elem,
        };
        // An executor in f32 on the same device, as for texts that f16 does not hold, has no use for them.
        can.coop = can.coop.filter(|_| elem == Elem::NativeF16);
        Caps {
            max_binding: gpu.max_binding(),
            elem,
            narrow: narrows(elem, can.class),
            can,
            tuning: Tuning::none(),
            submit_read_bytes: SUBMIT_READ_BYTES,
            submit_flops: SUBMIT_FLOPS,
        }
    }

    /// As [`GpuExecutor::new`] with the `caps` of [`GpuExecutor::caps_for`].
    ///
    /// # Errors
    ///
    /// Those of [`GpuExecutor::new`].
    pub fn with_caps(
        gpu: Arc<Gpu>,
        layout: Arc<Layout>,
        source: Arc<dyn Weights>,
        caps: Caps,
    ) -> Result<Self> {
        let weights = weights::upload(&gpu, &layout, &caps, source.as_ref())?;
        Ok(Self {
            gpu,
            layout,
            source,
            caps,
            weights,
            arenas: Arenas::default(),
            staging: Staging::default(),
        })
    }

    /// The same with kernels cut up for another `class` of adapter, which this one runs as well:
    /// [`Class::Software`] where it is not of that class is left alone.
    pub fn cut_for(mut self, class: Class) -> Self {
        if class != Class::Software {
            self.caps.can.class = class;
            self.caps.narrow = narrows(self.caps.elem, class);
        }
        self
    }

    /// The same with kernels cut up for the GPUs of another `vendor`.
    pub fn cut_for_vendor(mut self, vendor: Vendor) -> Self {
        self.caps.can.vendor = vendor;
        self
    }

    /// The device it runs on.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    async fn run_all(&self, recording: &Recording, sink: Sink<'_>) -> Result<Option<NotFinite>> {
        self.verify(recording)?;
        self.gpu.check()?;
        let mut scopes = Scopes::default();
        let mut arena = scopes.run(&self.gpu, || {
            self.pipelines(recording)?;
            Ok::<_, Error>(self.arenas.take(&self.gpu, recording))
        })?;
        // Memory that is not there is told before anything is made of it.
        scopes.check(&self.gpu).await?;
        let result = self.submits(recording, &mut arena, &mut scopes, sink).await;
        if result.is_ok() {
            self.arenas.give(arena);
        }
        result
    }

    /// Has the pipelines of `recording` made.
    fn pipelines(&self, recording: &Recording) -> Result<()> {
        self.gpu.pipelines.prepare(&self.gpu, recording.dispatches().map(Dispatch::variant))
    }

    /// Refuses what could lead an unchecked shader past an array.
    fn verify(&self, recording: &Recording) -> Result<()> {
        verify(recording, &self.layout, &self.caps, true)
    }

    fn upload(&self, recording: &Recording, arena: &Arena) -> Result<()> {
        for (id, fill) in recording.uploads() {
            let slot = &arena.slots[recording.buffer(*id).slot()];
            match fill {
                Fill::Words(words) => {
                    self.gpu.queue.write_buffer(slot, 0, bytemuck::cast_slice(words));
                }
                Fill::Rows { table, rows } => self.gather(slot, *table, rows)?,
            }
        }
        Ok(())
    }

    async fn submits(
        &self,
        recording: &Recording,
        arena: &mut Arena,
        scopes: &mut Scopes,
        sink: Sink<'_>,
    ) -> Result<Option<NotFinite>> {
        scopes.run(&self.gpu, || self.upload(recording, arena))?;
        let mut ring = Ring::default();
        let mut step = 0;
        for submit in recording.submits() {
            if ring.is_full() {
                ring.read(&self.gpu, &self.staging, scopes, sink).await?;
            }
            scopes.run(&self.gpu, || self.submit(recording, arena, submit, step, &mut ring))?;
            step += submit.dispatches().len();
            scopes.check(&self.gpu).await?;
        }
        while ring.read(&self.gpu, &self.staging, scopes, sink).await? {}
        NotFinite::read(&ring.status, recording.tokens(), self.device())
    }

    /// Rows of a table that is not on the device, each row once.
    fn gather(&self, slot: &wgpu::Buffer, table: WeightId, rows: &[u32]) -> Result<()> {
        let width = self.layout.weight(table).cols;
        let mut numbers = Vec::with_capacity(rows.len() * width);
        for &row in rows {
            let row = row as usize;
            numbers.extend(whole_rows(self.source.as_ref(), &self.layout, table, row..row + 1)?);
        }
        self.gpu.queue.write_buffer(slot, 0, bytemuck::cast_slice(&numbers));
        Ok(())
    }

    /// One pass with the dispatches from number `step` on, then the copies to a staging buffer.
    fn submit(
        &self,
        recording: &Recording,
        arena: &mut Arena,
        submit: &Submit,
        step: usize,
        ring: &mut Ring,
    ) -> Result<()> {
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            for (i, dispatch) in submit.dispatches().iter().enumerate() {
                let pipeline = self.gpu.pipelines.get(&self.gpu, dispatch.variant())?;
                if !arena.is_bound(step + i, dispatch.variant(), recording.arrays(dispatch)) {
                    let group = self.group(recording, arena, dispatch, &pipeline.layout)?;
                    let arrays = recording.arrays(dispatch).collect();
                    arena.keep(step + i, dispatch.variant(), arrays, group);
                }
                pass.set_pipeline(&pipeline.pipeline);
                pass.set_bind_group(0, arena.group(step + i), &[arena.offset(step + i)]);
                pass.dispatch_workgroups(dispatch.grid()[0], dispatch.grid()[1], 1);
            }
        }
        let parts: Vec<_> = submit
            .readbacks()
            .iter()
            .map(|r| (r.output(), recording.buffer(r.buffer()).bytes()))
            .collect();
        let bytes = parts.iter().map(|(_, b)| b).sum::<u64>();
        if bytes == 0 {
            self.gpu.watch(self.gpu.queue.submit([encoder.finish()]));
            return Ok(());
        }
        let staging = self.staging.take(&self.gpu, bytes);
        let mut offset = 0;
        for read in submit.readbacks() {
            let buffer = recording.buffer(read.buffer());
            let slot = &arena.slots[buffer.slot()];
            encoder.copy_buffer_to_buffer(slot, 0, &staging, offset, buffer.bytes());
            offset += buffer.bytes();
        }
        let submission = self.gpu.queue.submit([encoder.finish()]);
        ring.push(staging, parts);
        self.gpu.watch(submission);
        Ok(())
    }

    fn group(
        &self,
        recording: &Recording,
        arena: &Arena,
        dispatch: &Dispatch,
        layout: &wgpu::BindGroupLayout,
    ) -> Result<wgpu::BindGroup> {
        let mut entries = vec![wgpu::BindGroupEntry { binding: 0, resource: arena.block() }];
        for (i, bind) in dispatch.binds().iter().enumerate() {
            let resource = match bind {
                Bind::Buffer(id) => {
                    let buffer = recording.buffer(*id);
                    wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                        buffer: &arena.slots[buffer.slot()],
                        offset: 0,
                        size: wgpu::BufferSize::new(buffer.bytes()),
                    })
                }
                Bind::Weight(id) => match &self.weights[id.0] {
                    Some(buffer) => buffer.as_entire_binding(),
                    None => {
                        return Err(fail!(
                            Gpu,
                            "{} is not on the device, yet `{}` reads it there",
                            self.layout.weight(*id).label,
                            dispatch.label()
                        ));
                    }
                },
            };
            entries.push(wgpu::BindGroupEntry { binding: i as u32 + 1, resource });
        }
        Ok(self.gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout,
            entries: &entries,
        }))
    }
}

/// Whether activations are kept in 16 bits beside weights stored as `elem`. Software Vulkan takes
/// longer to convert a number than to move it.
fn narrows(elem: Elem, class: Class) -> bool {
    elem != Elem::F32 && class != Class::Software
}

impl Execute for GpuExecutor {
    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn device(&self) -> String {
        let r = self.gpu.report();
        format!("{} ({})", r.name, r.backend)
    }

    fn prepare(&self, recording: &Recording) {
        // What is wrong with it is told where it is run.
        if self.verify(recording).is_err() {
            return;
        }
        drop(self.pipelines(recording));
    }

    fn reserve(&self, recording: &Recording) -> Result<()> {
        self.verify(recording)?;
        let arena = self.gpu.within(|| self.arenas.take(&self.gpu, recording))?;
        self.arenas.give(arena);
        Ok(())
    }

    fn weight_bytes(&self) -> u64 {
        self.weights.iter().flatten().map(|memory| memory.size()).sum()
    }

    fn run<'a>(
        &'a self,
        recording: &'a Recording,
        sink: Sink<'a>,
    ) -> Task<'a, Result<Option<NotFinite>>> {
        Box::pin(self.run_all(recording, sink))
    }

    fn profile<'a>(&'a self, recording: &'a Recording) -> Task<'a, Result<Vec<Duration>>> {
        Box::pin(self.times(recording))
    }

    fn ceilings(&self) -> Task<'_, Result<Ceilings>> {
        Box::pin(ceiling::measure(&self.gpu))
    }

    fn counters(&self) -> Counters {
        self.gpu.account.counters()
    }

    fn held_bytes(&self, id: WeightId) -> u64 {
        self.weights.get(id.0).and_then(Option::as_ref).map_or(0, |memory| memory.size())
    }

    fn is_software(&self) -> bool {
        self.gpu.report().software
    }
}

impl std::fmt::Debug for GpuExecutor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GpuExecutor({:?})", self.gpu)
    }
}
