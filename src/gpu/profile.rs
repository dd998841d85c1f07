//! The time of each dispatch: timestamps around a pass of its own where the adapter has them, else
//! the host's clock around a submit that repeats it.
//!
//! Nothing of this runs in an ordinary run.

use std::time::Duration;

use futures::channel::oneshot;

use super::GpuExecutor;
use super::device::Gpu;
use super::faults::Scopes;
use crate::error::{Error, Result, fail};
use crate::platform::Instant;
use crate::schedule::Recording;

/// Passes of one submit: two timestamps each, of which wgpu's query sets hold 4,096.
const PASSES: usize = 1024;
/// What a submit has to take before the host's clock is trusted, its round trip taken off.
const LONG: Duration = Duration::from_millis(5);
/// Repeats of a dispatch in one submit at most.
const REPEATS: u32 = 256;

impl GpuExecutor {
    /// The time of each dispatch of `recording`, in order.
    pub(super) async fn times(&self, recording: &Recording) -> Result<Vec<Duration>> {
        self.verify(recording)?;
        self.gpu.check()?;
        let arena = self.gpu.within(|| {
            let arena = self.arenas.take(&self.gpu, recording);
            self.upload(recording, &arena).map(|()| arena)
        })??;
        let dispatches: Vec<_> = recording.dispatches().enumerate().collect();
        let mut times = Vec::with_capacity(dispatches.len());
        let mut first = 0;
        for submit in recording.submits() {
            let last = first + submit.dispatches().len();
            for part in dispatches[first..last].chunks(PASSES) {
                let encode = |i: usize, pass: &mut wgpu::ComputePass<'_>| {
                    let (step, dispatch) = part[i];
                    let pipeline = self.gpu.pipelines.get(&self.gpu, dispatch.variant())?;
                    let group = self.group(recording, &arena, dispatch, &pipeline.layout)?;
                    pass.set_pipeline(&pipeline.pipeline);
                    pass.set_bind_group(0, &group, &[arena.offset(step)]);
                    pass.dispatch_workgroups(dispatch.grid()[0], dispatch.grid()[1], 1);
                    Ok(())
                };
                times.extend(time(&self.gpu, part.len(), encode).await?);
            }
            first = last;
        }
        self.arenas.give(arena);
        Ok(times)
    }
}

/// The time of each of `passes` passes, at most [`PASSES`], that `encode` fills in order.
pub(super) async fn time(
    gpu: &Gpu,
    passes: usize,
    encode: impl Fn(usize, &mut wgpu::ComputePass<'_>) -> Result<()> + Send + Sync,
) -> Result<Vec<Duration>> {
    if passes == 0 {
        return Ok(Vec::new());
    }
    if gpu.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
        let times = stamped(gpu, passes, &encode).await?;
        // There are drivers that claim timestamps and give none.
        if times.iter().any(|time| !time.is_zero()) {
            return Ok(times);
        }
    }
    clocked(gpu, passes, &encode).await
}

/// By timestamps at the boundaries of the passes.
pub(super) async fn stamped(
    gpu: &Gpu,
    passes: usize,
    encode: &(impl Fn(usize, &mut wgpu::ComputePass<'_>) -> Result<()> + Sync),
) -> Result<Vec<Duration>> {
    let mut scopes = Scopes::default();
    let (read, mapped) = scopes.run(gpu, || submit_stamped(gpu, passes, encode))?;
    let mapping = mapped.await;
    scopes.check(gpu).await?;
    let failed = |said: String| fail!(Gpu, "{}: timestamps failed: {said}", gpu.report().name);
    match mapping {
        Ok(mapped) => mapped.map_err(|e| failed(e.to_string()))?,
        Err(_) => return Err(failed("the device went away".to_owned())),
    }
    let view = read.get_mapped_range(..).map_err(|e| failed(e.to_string()))?;
    let stamps: Vec<u64> = bytemuck::pod_collect_to_vec(&view);
    let period = f64::from(gpu.queue.get_timestamp_period());
    let (pairs, _) = stamps.as_chunks::<2>();
    let span = |&[start, end]: &[u64; 2]| end.saturating_sub(start) as f64 * period;
    Ok(pairs.iter().map(|pair| Duration::from_nanos(span(pair) as u64)).collect())
}

/// What is told once a buffer is mapped.
type Mapped = oneshot::Receiver<std::result::Result<(), wgpu::BufferAsyncError>>;

/// Submits the passes with a timestamp at each boundary, and has the buffer of those mapped.
fn submit_stamped(
    gpu: &Gpu,
    passes: usize,
    encode: &(impl Fn(usize, &mut wgpu::ComputePass<'_>) -> Result<()> + Sync),
) -> Result<(wgpu::Buffer, Mapped)> {
    let count = 2 * passes as u32;
    let bytes = 8 * u64::from(count);
    let set = gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
        label: Some("timestamps"),
        ty: wgpu::QueryType::Timestamp,
        count,
    });
    let buffer = |usage| {
        gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("timestamps"),
            size: bytes,
            usage: usage | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    };
    let resolved = buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC);
    let read = buffer(wgpu::BufferUsages::MAP_READ);
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    for i in 0..passes {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: None,
            timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                query_set: &set,
                beginning_of_pass_write_index: Some(2 * i as u32),
                end_of_pass_write_index: Some(2 * i as u32 + 1),
            }),
        });
        encode(i, &mut pass)?;
    }
    encoder.resolve_query_set(&set, 0..count, &resolved, 0);
    encoder.copy_buffer_to_buffer(&resolved, 0, &read, 0, bytes);
    let submission = gpu.queue.submit([encoder.finish()]);
    let (sender, mapped) = oneshot::channel();
    // The receiver is gone where the caller has given up.
    read.map_async(wgpu::MapMode::Read, .., move |result| drop(sender.send(result)));
    gpu.watch(submission);
    Ok((read, mapped))
}

/// By the host's clock around repeats, the time of an empty submit taken off.
pub(super) async fn clocked(
    gpu: &Gpu,
    passes: usize,
    encode: &(impl Fn(usize, &mut wgpu::ComputePass<'_>) -> Result<()> + Sync),
) -> Result<Vec<Duration>> {
    let mut empty = Duration::MAX;
    for _ in 0..5 {
        empty = empty.min(round_trip(gpu, |_| Ok(())).await?);
    }
    let mut times = Vec::with_capacity(passes);
    for i in 0..passes {
        let mut repeats = 1;
        let time = loop {
            let all = |pass: &mut wgpu::ComputePass<'_>| {
                (0..repeats).try_for_each(|_| encode(i, &mut *pass))
            };
            let time = round_trip(gpu, all).await?.saturating_sub(empty);
            if time >= LONG || repeats >= REPEATS {
                break time / repeats;
            }
            repeats *= 4;
        };
        times.push(time);
    }
    Ok(times)
}

/// The time from a submit of one pass to the host's knowing that it is done.
async fn round_trip(
    gpu: &Gpu,
    encode: impl FnOnce(&mut wgpu::ComputePass<'_>) -> Result<()>,
) -> Result<Duration> {
    let mut scopes = Scopes::default();
    let commands = scopes.run(gpu, || {
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        encode(&mut encoder.begin_compute_pass(&Default::default()))?;
        Ok::<_, Error>(encoder.finish())
    })?;
    let (sender, done) = oneshot::channel();
    let start = Instant::now();
    scopes.run(gpu, || {
        let submission = gpu.queue.submit([commands]);
        gpu.queue.on_submitted_work_done(move || {
            // The receiver is gone where the caller has given up.
            let _ = sender.send(());
        });
        gpu.watch(submission);
    });
    let done = done.await;
    let time = start.elapsed();
    scopes.check(gpu).await?;
    done.map_err(|_| fail!(Gpu, "{}: the device went away while timed", gpu.report().name))?;
    Ok(time)
}
