//! What a device does at most, measured on it: a loop of multiply-adds in registers, and a copy
//! between arrays beyond the caches.

use std::time::Duration;

use super::device::Gpu;
use super::pipelines::module;
use super::profile::time;
use crate::error::{ErrorKind, Result};
use crate::execute::Ceilings;

const FMA: &str = include_str!("../../shaders/bench/fma.wgsl");
const COPY: &str = include_str!("../../shaders/bench/copy.wgsl");

/// Workgroups of the loop, 64 invocations each: a million, more than any GPU runs at once; and on
/// software, where each costs something to start.
const FMA_GROUPS: u32 = 1 << 14;
const FMA_GROUPS_SOFTWARE: u32 = 1 << 9;
/// Operations an invocation does in a step: 64 multiply-adds of 4 numbers.
const FMA_FLOPS: u64 = 64 * 4 * 2;
/// What a run of the loop has to take, so that clocks rise and the store does not count.
const LONG: Duration = Duration::from_millis(10);
/// Workgroups of the copy along x, 256 vectors each: 4 MiB.
const COPY_GROUPS: u64 = 1 << 10;
/// Bytes of each array of the copy, on software, and where a device short of memory gives up.
const COPY_BYTES: u64 = 256 << 20;
const COPY_BYTES_SOFTWARE: u64 = 64 << 20;
const COPY_BYTES_LEAST: u64 = 16 << 20;
/// Measurements, short ones so that a machine that does other work leaves one alone; the best one
/// counts.
const RUNS: usize = 16;

/// Measures for about a second on software, less on a GPU.
pub async fn measure(gpu: &Gpu) -> Result<Ceilings> {
    Ok(Ceilings { flops: fma(gpu).await?, bytes: copy(gpu).await? })
}

/// Operations a second.
async fn fma(gpu: &Gpu) -> Result<f64> {
    let pipeline = gpu.within(|| pipeline(gpu, "fma", FMA))?;
    let groups = if gpu.report().software { FMA_GROUPS_SOFTWARE } else { FMA_GROUPS };
    let invocations = u64::from(groups) * 64;
    let [params, output] = gpu.within(|| {
        let params = buffer(gpu, 16, wgpu::BufferUsages::UNIFORM);
        [params, buffer(gpu, invocations * 16, wgpu::BufferUsages::STORAGE)]
    })?;
    let group = gpu.within(|| group(gpu, &pipeline, [(0, &params), (1, &output)]))?;
    let mut steps = 1u32;
    loop {
        let words = [0.999f32.to_bits(), 0.001f32.to_bits(), steps, 0];
        gpu.within(|| gpu.queue.write_buffer(&params, 0, bytemuck::cast_slice(&words)))?;
        // Two, as the first of all compiles.
        let mut least = best(gpu, &pipeline, &group, [groups, 1], 2).await?;
        if least >= LONG || steps >= 1 << 20 {
            least = least.min(best(gpu, &pipeline, &group, [groups, 1], RUNS).await?);
            let flops = invocations * FMA_FLOPS * u64::from(steps);
            return Ok(flops as f64 / least.as_secs_f64());
        }
        steps *= 2;
    }
}

/// Bytes a second, read and written.
async fn copy(gpu: &Gpu) -> Result<f64> {
    let pipeline = gpu.within(|| pipeline(gpu, "copy", COPY))?;
    let line = COPY_GROUPS * 256 * 16;
    let most = if gpu.report().software { COPY_BYTES_SOFTWARE } else { COPY_BYTES };
    let mut bytes = most.min(gpu.max_binding() / line * line);
    let (from, to) = loop {
        let array = || buffer(gpu, bytes, wgpu::BufferUsages::STORAGE);
        match gpu.within(|| (array(), array())) {
            Err(e) if e.kind() == ErrorKind::OutOfMemory && bytes > COPY_BYTES_LEAST => bytes /= 2,
            arrays => break arrays?,
        }
    };
    let group = gpu.within(|| group(gpu, &pipeline, [(1, &from), (2, &to)]))?;
    let grid = [COPY_GROUPS as u32, (bytes / line) as u32];
    // The first run compiles, and clears the arrays.
    best(gpu, &pipeline, &group, grid, 1).await?;
    let least = best(gpu, &pipeline, &group, grid, RUNS).await?;
    Ok(2.0 * (u64::from(grid[1]) * line) as f64 / least.as_secs_f64())
}

/// The least time of several runs.
async fn best(
    gpu: &Gpu,
    pipeline: &wgpu::ComputePipeline,
    group: &wgpu::BindGroup,
    [x, y]: [u32; 2],
    runs: usize,
) -> Result<Duration> {
    let encode = |_, pass: &mut wgpu::ComputePass<'_>| {
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, group, &[]);
        pass.dispatch_workgroups(x, y, 1);
        Ok(())
    };
    let times = time(gpu, runs, encode).await?;
    // A clock that did not move says nothing.
    Ok(times.into_iter().min().unwrap_or_default().max(Duration::from_nanos(1)))
}

fn pipeline(gpu: &Gpu, label: &str, text: &str) -> wgpu::ComputePipeline {
    gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(label),
        layout: None,
        module: &module(&gpu.device, label, text),
        entry_point: Some("main"),
        compilation_options: Default::default(),
        cache: None,
    })
}

fn buffer(gpu: &Gpu, bytes: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
    gpu.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("ceiling"),
        size: bytes,
        usage: usage | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}

fn group<const N: usize>(
    gpu: &Gpu,
    pipeline: &wgpu::ComputePipeline,
    buffers: [(u32, &wgpu::Buffer); N],
) -> wgpu::BindGroup {
    let entries = buffers.map(|(binding, buffer)| wgpu::BindGroupEntry {
        binding,
        resource: buffer.as_entire_binding(),
    });
    gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &entries,
    })
}

#[cfg(test)]
mod tests {
    use naga::back::{hlsl, msl, spv};
    use naga::valid::{Capabilities, ValidationFlags, Validator};

    use super::*;
    use crate::gpu::device::{GpuOptions, Pick};
    use crate::gpu::profile::{clocked, stamped};

    #[test]
    fn both_loops_translate_to_every_back_end() {
        for text in [FMA, COPY] {
            let module = naga::front::wgsl::parse_str(text).unwrap();
            let mut validator = Validator::new(ValidationFlags::all(), Capabilities::empty());
            let info = validator.validate(&module).unwrap();
            assert!(spv::write_vec(&module, &info, &spv::Options::default(), None).is_ok());
            let options = msl::Options { fake_missing_bindings: true, ..Default::default() };
            let pipeline = msl::PipelineOptions::default();
            assert!(msl::write_string(&module, &info, &options, &pipeline).is_ok());
            let options = hlsl::Options { fake_missing_bindings: true, ..Default::default() };
            let (pipeline, mut out) = (hlsl::PipelineOptions::default(), String::new());
            let mut writer = hlsl::Writer::new(&mut out, &options, &pipeline);
            assert!(writer.write(&module, &info, None).is_ok());
        }
    }

    #[test]
    fn both_clocks_agree() {
        let Ok(gpu) = pollster::block_on(Gpu::open(&Pick::Any, &GpuOptions::default())) else {
            assert!(std::env::var_os("EVERYLAYER_REQUIRE_GPU").is_none(), "there is no adapter");
            println!("skipped: no Vulkan adapter");
            return;
        };
        let pipeline = pipeline(&gpu, "fma", FMA);
        let output = buffer(&gpu, 512 * 64 * 16, wgpu::BufferUsages::STORAGE);
        let params = buffer(&gpu, 16, wgpu::BufferUsages::UNIFORM);
        gpu.queue.write_buffer(&params, 0, bytemuck::cast_slice(&[0u32, 0, 64, 0]));
        let group = group(&gpu, &pipeline, [(0, &params), (1, &output)]);
        let encode = |_, pass: &mut wgpu::ComputePass<'_>| {
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &group, &[]);
            pass.dispatch_workgroups(512, 1, 1);
            Ok(())
        };
        let by_host = pollster::block_on(clocked(&gpu, 3, &encode)).unwrap();
        let by_host = by_host.into_iter().min().unwrap();
        assert!(!by_host.is_zero());
        if gpu.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            let by_device = pollster::block_on(stamped(&gpu, 3, &encode)).unwrap();
            let ratio = by_device.into_iter().min().unwrap().div_duration_f64(by_host);
            // Wide, as other tests run beside this one.
            assert!((0.1..10.0).contains(&ratio), "{ratio}");
        }
    }

    #[test]
    fn a_step_of_the_loop_is_what_is_counted() {
        let found = FMA.matches("fma(x").count() as u64;
        assert_eq!(found * 4 * 2, FMA_FLOPS);
    }
}
