//! An adapter as `info` and `doctor` report it.
//!
//! What the library knows of it, under names that JSON keeps; nothing is opened here.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use serde::Serialize;

/// A GPU, or what takes itself for one.
#[derive(Debug, Serialize)]
pub struct Adapter {
    /// Its number, which `--device` takes.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// `Vulkan`, `Metal`, `Dx12`.
    pub backend: String,
    /// Driver and its version.
    pub driver: String,
    /// `DiscreteGpu`, `IntegratedGpu`, `Cpu`, ...
    pub device_type: String,
    /// Whether it runs on the CPU.
    pub software: bool,
    /// Those that kernels may ask for.
    pub features: Vec<&'static str>,
    /// Those that bound a batch.
    pub limits: BTreeMap<&'static str, u64>,
}

/// Every adapter of this machine, real ones first.
#[cfg(feature = "gpu")]
pub fn all() -> Vec<Adapter> {
    let found = pollster::block_on(everylayer::gpu::device::list());
    let adapter = |(index, a): (usize, everylayer::gpu::device::AdapterReport)| Adapter {
        index,
        name: a.name,
        backend: a.backend,
        driver: a.driver,
        device_type: a.device_type,
        software: a.software,
        features: a.features,
        limits: a.limits.into_iter().collect(),
    };
    found.into_iter().enumerate().map(adapter).collect()
}

/// A build without GPUs sees none.
#[cfg(not(feature = "gpu"))]
pub fn all() -> Vec<Adapter> {
    Vec::new()
}

impl Display for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, name, backend, driver, device_type, software, features, limits } = self;
        let note = if *software { ", software: used only when named" } else { "" };
        writeln!(f, "  {index}  {name}\n    backend     {backend}, {device_type}{note}")?;
        if !driver.is_empty() {
            writeln!(f, "    driver      {driver}")?;
        }
        let features = if features.is_empty() { "none".to_owned() } else { features.join(", ") };
        writeln!(f, "    features    {features}")?;
        for (i, (limit, value)) in limits.iter().enumerate() {
            writeln!(f, "    {:<11} {limit} {value}", if i == 0 { "limits" } else { "" })?;
        }
        Ok(())
    }
}
