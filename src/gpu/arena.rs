//! Device memory of a run: the slots that the schedule planned, and one uniform buffer that holds
//! the parameters of every dispatch at its own offset.

use std::sync::{Mutex, PoisonError};

use super::device::Gpu;
use super::memory::Memory;
use crate::schedule::recording::Array;
use crate::schedule::{Recording, Variant};

/// Bytes between two uniform blocks: `minUniformBufferOffsetAlignment` of default WebGPU.
const BLOCK: u64 = 256;

/// Memory for one run.
pub struct Arena {
    /// One buffer a slot.
    pub slots: Vec<Memory>,
    uniforms: Memory,
    /// The bind group of each dispatch of the run before, by its number.
    bound: Vec<Bound>,
}

/// A bind group, and what it was made for.
struct Bound {
    variant: Variant,
    arrays: Vec<Array>,
    group: wgpu::BindGroup,
}

/// Arenas that wait for their next run: as many as runs were ever at work at once.
#[derive(Default)]
pub struct Arenas(Mutex<Vec<Arena>>);

impl Arenas {
    /// An arena large enough for `recording`, its uniform blocks written.
    pub fn take(&self, gpu: &Gpu, recording: &Recording) -> Arena {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let blocks: Vec<u8> = recording
            .dispatches()
            .flat_map(|d| {
                let mut block = d.work().bytes().to_vec();
                block.resize(BLOCK as usize, 0);
                block
            })
            .collect();
        let mut arena = spare.unwrap_or_else(|| Arena {
            slots: vec![],
            uniforms: uniforms(gpu, 64),
            bound: vec![],
        });
        if arena.uniforms.size() < blocks.len() as u64 {
            arena.uniforms = uniforms(gpu, blocks.len() as u64 / BLOCK);
            arena.bound.clear();
        }
        gpu.queue.write_buffer(&arena.uniforms, 0, &blocks);
        for (i, &bytes) in recording.slots().iter().enumerate() {
            let large_enough = arena.slots.get(i).is_some_and(|slot| slot.size() >= bytes);
            if !large_enough {
                let slot = slot(gpu, bytes);
                arena.bound.clear();
                match arena.slots.get_mut(i) {
                    Some(old) => *old = slot,
                    None => arena.slots.push(slot),
                }
            }
        }
        arena
    }

    /// Keeps `arena` for a later run.
    pub fn give(&self, arena: Arena) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(arena);
    }
}

impl Arena {
    /// The uniform block, to be bound with the offset of a dispatch.
    pub fn block(&self) -> wgpu::BindingResource<'_> {
        wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: &self.uniforms,
            offset: 0,
            size: wgpu::BufferSize::new(BLOCK),
        })
    }

    /// Whether the bind group of dispatch `step` is there from a run before.
    pub fn is_bound(
        &self,
        step: usize,
        variant: Variant,
        arrays: impl Iterator<Item = Array>,
    ) -> bool {
        let bound = self.bound.get(step);
        bound.is_some_and(|b| b.variant == variant && arrays.eq(b.arrays.iter().copied()))
    }

    /// Keeps the bind group of dispatch `step`; those before it are there.
    pub fn keep(
        &mut self,
        step: usize,
        variant: Variant,
        arrays: Vec<Array>,
        group: wgpu::BindGroup,
    ) {
        let bound = Bound { variant, arrays, group };
        match self.bound.get_mut(step) {
            Some(old) => *old = bound,
            None => self.bound.push(bound),
        }
    }

    /// The bind group of dispatch `step`, which is there.
    pub fn group(&self, step: usize) -> &wgpu::BindGroup {
        &self.bound[step].group
    }

    /// Offset of the uniform block of dispatch `step`.
    pub fn offset(&self, step: usize) -> u32 {
        (step as u64 * BLOCK) as u32
    }
}

fn uniforms(gpu: &Gpu, blocks: u64) -> Memory {
    gpu.allocate(&wgpu::BufferDescriptor {
        label: Some("parameters"),
        size: blocks * BLOCK,
        usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}

fn slot(gpu: &Gpu, bytes: u64) -> Memory {
    gpu.allocate(&wgpu::BufferDescriptor {
        label: Some("activations"),
        size: bytes.next_multiple_of(256),
        usage: wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_SRC
            | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}
