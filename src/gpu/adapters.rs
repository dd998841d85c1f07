//! The adapters of this machine: what is known of each, and which of them a pick means, in the order
//! they are tried.

use super::coop;
use super::device::Gpu;
use super::pick::{GpuOptions, Pick, choice, no_adapter};
use crate::error::{Error, Result};
use crate::schedule::{Class, Tile, Vendor};

/// What is known of one adapter without opening it.
#[derive(Debug, Clone)]
pub struct AdapterReport {
    /// Its name.
    pub name: String,
    /// `Vulkan`, `Metal`, `Dx12`, `BrowserWebGpu`.
    pub backend: String,
    /// Driver and its version.
    pub driver: String,
    /// Whether it runs on the CPU (llvmpipe, SwiftShader).
    pub software: bool,
    /// `DiscreteGpu`, `IntegratedGpu`, `Cpu`, ...
    pub device_type: String,
    /// Features that later kernels ask for, those it has.
    pub features: Vec<&'static str>,
    /// The cut of products on cooperative matrices that kernels here have for it, if any.
    pub coop: Option<Tile>,
    /// Limits that bound a batch, by name.
    pub limits: Vec<(&'static str, u64)>,
}

impl AdapterReport {
    /// A name for what is kept of it: letters, digits and dashes of what it is, so that people find it.
    pub fn file_name(&self) -> String {
        let said = format!("{}-{}-{}", self.name, self.backend, self.driver);
        let mut name = String::with_capacity(said.len());
        for c in said.chars() {
            match c {
                c if c.is_ascii_alphanumeric() || c == '.' => name.push(c.to_ascii_lowercase()),
                _ if name.ends_with('-') || name.is_empty() => {}
                _ => name.push('-'),
            }
        }
        name.truncate(120);
        let name = name.trim_end_matches(['-', '.']);
        // Two adapters whose names differ in other characters alone.
        let told = crc32fast::hash(said.as_bytes());
        format!("{name}-{told:08x}.json")
    }
}

fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::PRIMARY;
    wgpu::Instance::new(descriptor)
}

/// The one adapter that a page is given.
#[cfg(target_arch = "wasm32")]
async fn adapters() -> Vec<wgpu::Adapter> {
    let options = wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance,
        ..Default::default()
    };
    instance().request_adapter(&options).await.into_iter().collect()
}

#[cfg(not(target_arch = "wasm32"))]
async fn adapters() -> Vec<wgpu::Adapter> {
    let mut adapters = instance().enumerate_adapters(wgpu::Backends::PRIMARY).await;
    let rank = |a: &wgpu::Adapter| match a.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    };
    adapters.sort_by_key(rank);
    adapters
}

/// Every adapter of this machine, the one `Pick::Real` would take first.
pub async fn list() -> Vec<AdapterReport> {
    adapters().await.iter().map(report).collect()
}

/// As [`list`], each with why it cannot be opened.
pub async fn list_opened() -> Vec<(AdapterReport, Option<Error>)> {
    let mut listed = Vec::new();
    for adapter in adapters().await {
        let candidate = Candidate { report: report(&adapter), adapter, choice: None };
        let opened = Gpu::open_candidate(&candidate, &GpuOptions::default()).await;
        listed.push((candidate.report, opened.err()));
    }
    listed
}

/// An adapter that is not open yet.
#[derive(Debug)]
pub struct Candidate {
    pub(super) adapter: wgpu::Adapter,
    pub(super) report: AdapterReport,
    /// What was asked for and what is taken, where several have the name.
    pub(super) choice: Option<String>,
}

impl Candidate {
    /// What is known of it.
    pub fn report(&self) -> &AdapterReport {
        &self.report
    }
}

/// The adapters that `pick` means, the one to try first before the others.
///
/// # Errors
///
/// `NoAdapter` where none fits, with the names of those there are.
pub async fn candidates(pick: &Pick) -> Result<Vec<Candidate>> {
    let all = adapters().await;
    let fits = |(place, adapter): &(usize, &wgpu::Adapter)| {
        let info = adapter.get_info();
        pick.fits(*place, &info.name, info.device_type == wgpu::DeviceType::Cpu)
    };
    let fitting: Vec<usize> = all.iter().enumerate().filter(fits).map(|(place, _)| place).collect();
    let Some((&first, others)) = fitting.split_first() else { return Err(no_adapter(pick, &all)) };
    let choice = match pick {
        Pick::Named(part) if !others.is_empty() => Some(choice(part, first, others, &all)),
        _ => None,
    };
    let taken = all.into_iter().enumerate().filter(|(place, _)| fitting.contains(place));
    let candidate = |(_, adapter): (usize, wgpu::Adapter)| {
        let (report, choice) = (report(&adapter), choice.clone());
        Candidate { adapter, report, choice }
    };
    Ok(taken.map(candidate).collect())
}

fn report(adapter: &wgpu::Adapter) -> AdapterReport {
    let info = adapter.get_info();
    let (features, limits) = (adapter.features(), adapter.limits());
    let known = [
        ("shader-f16", wgpu::Features::SHADER_F16),
        ("subgroups", wgpu::Features::SUBGROUP),
        ("timestamp-query", wgpu::Features::TIMESTAMP_QUERY),
        ("cooperative-matrix", wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX),
    ];
    AdapterReport {
        backend: format!("{:?}", info.backend),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        software: info.device_type == wgpu::DeviceType::Cpu,
        device_type: format!("{:?}", info.device_type),
        coop: coop::tile(adapter).ok(),
        features: known.iter().filter(|(_, f)| features.contains(*f)).map(|(n, _)| *n).collect(),
        limits: vec![
            ("max_storage_buffer_binding_size", limits.max_storage_buffer_binding_size),
            ("max_buffer_size", limits.max_buffer_size),
            (
                "max_compute_workgroup_storage_size",
                u64::from(limits.max_compute_workgroup_storage_size),
            ),
            (
                "max_compute_invocations_per_workgroup",
                u64::from(limits.max_compute_invocations_per_workgroup),
            ),
            ("subgroup_min_size", u64::from(info.subgroup_min_size)),
            ("subgroup_max_size", u64::from(info.subgroup_max_size)),
        ],
        // A page may not be told.
        name: if info.name.is_empty() { "the GPU".to_owned() } else { info.name },
    }
}

/// Whose compiler the kernels go through.
pub(super) fn vendor(info: &wgpu::AdapterInfo) -> Vendor {
    match info.backend {
        // It has one for all GPUs.
        wgpu::Backend::Metal => Vendor::Apple,
        _ => Vendor::of(info.vendor, info.device, &info.driver),
    }
}

/// What work is cut up for. Software Vulkan whose subgroups are eight wide and that has 64-bit words
/// has kernels of its own, four times as fast there.
pub(super) fn class(adapter: &wgpu::Adapter) -> Class {
    let info = adapter.get_info();
    let eight = (info.subgroup_min_size, info.subgroup_max_size) == (8, 8);
    let words =
        adapter.features().contains(wgpu::Features::SUBGROUP | wgpu::Features::SHADER_INT64);
    match info.device_type {
        wgpu::DeviceType::Cpu if eight && words => Class::Software,
        wgpu::DeviceType::Cpu => Class::CpuAdapter,
        wgpu::DeviceType::DiscreteGpu => Class::Large,
        _ => Class::Small,
    }
}
