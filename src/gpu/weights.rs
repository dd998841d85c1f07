//! Weights on the device: packed into the order `matmul.wgsl` and `embed.wgsl` read, streamed from
//! the checkpoint so that the host never holds more than one matrix.

use super::device::Gpu;
use super::memory::Memory;
use crate::error::{Result, fail};
use crate::execute::{Weights, narrow};
use crate::kernels::grid::{MATMUL_K, PANEL};
use crate::model::layout::{Layout, Use, Weight, WeightId};
use crate::model::weights::whole_rows;
use crate::schedule::{Caps, Elem};

/// Numbers read from the checkpoint at a time.
const CHUNK: usize = 1 << 20;

/// Uploads every weight; `None` for a table that is gathered on the host.
pub fn upload(
    gpu: &Gpu,
    layout: &Layout,
    caps: &Caps,
    source: &dyn Weights,
) -> Result<Vec<Option<Memory>>> {
    let mut buffers = Vec::with_capacity(layout.weights.len());
    for (i, weight) in layout.weights.iter().enumerate() {
        let id = WeightId(i);
        if id == layout.word && caps.gathers_on_host(layout) {
            buffers.push(None);
            continue;
        }
        let buffer = gpu.within(|| match weight.usage {
            Use::Matrix => matrix(gpu, layout, id, caps, source),
            Use::Table => rows(gpu, layout, id, caps, caps.elem, source),
            Use::Vector => rows(gpu, layout, id, caps, Elem::F32, source),
        })??;
        buffers.push(Some(buffer));
    }
    Ok(buffers)
}

fn buffer(gpu: &Gpu, weight: &Weight, bytes: u64, caps: &Caps) -> Result<Memory> {
    if bytes > caps.max_binding {
        return Err(fail!(
            OutOfMemory,
            "{} takes {bytes} bytes, more than the {} that {} binds at once",
            weight.label,
            caps.max_binding,
            gpu.report().name
        ));
    }
    Ok(gpu.allocate(&wgpu::BufferDescriptor {
        label: Some(&weight.label),
        size: bytes,
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    }))
}

/// A table or vectors, row-major, chunk by chunk.
fn rows(
    gpu: &Gpu,
    layout: &Layout,
    id: WeightId,
    caps: &Caps,
    elem: Elem,
    source: &dyn Weights,
) -> Result<Memory> {
    let weight = layout.weight(id);
    let of = |numbers: usize| numbers as u64 * elem.bytes();
    let buffer = buffer(gpu, weight, of(weight.rows * weight.cols), caps)?;
    let step = (CHUNK / weight.cols).max(1);
    for first in (0..weight.rows).step_by(step) {
        let last = (first + step).min(weight.rows);
        let numbers = whole_rows(source, layout, id, first..last)?;
        write(gpu, &buffer, of(first * weight.cols), &weight.label, &numbers, elem)?;
    }
    Ok(buffer)
}

/// A matrix (n, k) as panels of 64 columns of the result: (n / 64, k, 64), zeros past n and k.
fn matrix(
    gpu: &Gpu,
    layout: &Layout,
    id: WeightId,
    caps: &Caps,
    source: &dyn Weights,
) -> Result<Memory> {
    let weight = layout.weight(id);
    let (n, k) = (weight.rows, weight.cols);
    let depth = k.next_multiple_of(MATMUL_K);
    let panel = depth * PANEL;
    let of = |numbers: usize| numbers as u64 * caps.elem.bytes();
    let buffer = buffer(gpu, weight, of(n.div_ceil(PANEL) * panel), caps)?;
    for (p, first) in (0..n).step_by(PANEL).enumerate() {
        let last = (first + PANEL).min(n);
        let rows = whole_rows(source, layout, id, first..last)?;
        let mut packed = vec![0f32; panel];
        for (column, row) in rows.chunks_exact(k).enumerate() {
            for (i, &number) in row.iter().enumerate() {
                packed[i * PANEL + column] = number;
            }
        }
        write(gpu, &buffer, of(p * panel), &weight.label, &packed, caps.elem)?;
    }
    Ok(buffer)
}

fn write(
    gpu: &Gpu,
    buffer: &wgpu::Buffer,
    offset: u64,
    label: &str,
    numbers: &[f32],
    elem: Elem,
) -> Result<()> {
    match elem {
        Elem::F32 => gpu.queue.write_buffer(buffer, offset, bytemuck::cast_slice(numbers)),
        Elem::PackedF16 | Elem::NativeF16 => {
            let halves = narrow(label, numbers)?;
            gpu.queue.write_buffer(buffer, offset, bytemuck::cast_slice(&halves));
        }
    }
    // Hands the staging memory of this write back once it is copied.
    let submission = gpu.queue.submit([]);
    gpu.watch(submission);
    Ok(())
}
