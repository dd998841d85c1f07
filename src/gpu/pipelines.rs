//! Pipelines, made once a variant, on all cores.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use super::device::Gpu;
use super::kernels::source;
use crate::error::Result;
use crate::schedule::Variant;

/// A pipeline and the layout of its bindings.
pub struct Pipeline {
    /// Group 0: the uniform block with a dynamic offset, then the storage bindings.
    pub layout: wgpu::BindGroupLayout,
    /// The compiled kernel.
    pub pipeline: wgpu::ComputePipeline,
}

/// A pipeline that is being made, or is there.
type Cell = Arc<Mutex<Option<Arc<Pipeline>>>>;

/// Every pipeline of a device so far: they live as long as it does, whatever executors come and go.
#[derive(Default)]
pub struct Pipelines(Mutex<HashMap<Variant, Cell>>);

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pipelines {
    fn cell(&self, variant: Variant) -> Cell {
        Arc::clone(lock(&self.0).entry(variant).or_default())
    }

    /// The pipeline of `variant`, compiled at its first use. Who wants the same waits; who wants
    /// another does not.
    ///
    /// # Errors
    ///
    /// `Gpu` or `OutOfMemory` where the device refuses it; the next one to ask tries again.
    pub fn get(&self, gpu: &Gpu, variant: Variant) -> Result<Arc<Pipeline>> {
        let cell = self.cell(variant);
        let mut made = lock(&cell);
        if let Some(pipeline) = made.as_ref() {
            return Ok(Arc::clone(pipeline));
        }
        let pipeline = Arc::new(gpu.within(|| create(gpu, variant))?);
        gpu.account.compile();
        Ok(Arc::clone(made.insert(pipeline)))
    }

    /// Compiles those of `variants` that are not there yet, on all cores, and keeps them on disk.
    ///
    /// # Errors
    ///
    /// As [`Pipelines::get`].
    pub fn prepare(&self, gpu: &Gpu, variants: impl Iterator<Item = Variant>) -> Result<()> {
        let mut missing: HashSet<Variant> = variants.collect();
        // One that is locked is being made by another call, which is waited for below.
        missing
            .retain(|variant| self.cell(*variant).try_lock().map_or(true, |made| made.is_none()));
        if missing.is_empty() {
            return Ok(());
        }
        missing.into_par_iter().try_for_each(|variant| self.get(gpu, variant).map(drop))?;
        if let Some(cache) = &gpu.pipeline_cache {
            cache.save();
        }
        Ok(())
    }
}

fn create(gpu: &Gpu, variant: Variant) -> Pipeline {
    let label = variant.to_string();
    let device = &gpu.device;
    let entry = |binding: u32, ty, dynamic| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: dynamic, min_binding_size: None },
        count: None,
    };
    let mut entries = vec![entry(0, wgpu::BufferBindingType::Uniform, true)];
    for (i, access) in variant.bindings().iter().enumerate() {
        let ty = wgpu::BufferBindingType::Storage { read_only: !access.writes() };
        entries.push(entry(i as u32 + 1, ty, false));
    }
    let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some(&label),
        entries: &entries,
    });
    let module = module(device, &label, &source(variant));
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(&label),
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(&label),
        layout: Some(&pipeline_layout),
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions {
            // Every kernel writes its workgroup memory before it reads it.
            zero_initialize_workgroup_memory: false,
            ..Default::default()
        },
        cache: gpu.pipeline_cache.as_ref().map(|kept| &kept.cache),
    });
    Pipeline { layout, pipeline }
}

#[expect(
    unsafe_code,
    reason = "run-time checks cost a third of a product's speed (kernels.md, section 1); our own \
              shaders do not need them: every index is bounded by the sizes the schedule computed, \
              ids are checked against their tables in schedule::record, every loop has a bound, \
              and no divisor is zero"
)]
pub(super) fn module(device: &wgpu::Device, label: &str, text: &str) -> wgpu::ShaderModule {
    let descriptor = wgpu::ShaderModuleDescriptor {
        label: Some(label),
        source: wgpu::ShaderSource::Wgsl(text.into()),
    };
    // SAFETY: see the reason above; tests/shaders.rs and tests/kernels/ hold the shaders to it.
    unsafe {
        device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked())
    }
}
