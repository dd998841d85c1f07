//! Compiled pipelines on disk, where the driver gives them out (Vulkan): one file an adapter in the
//! cache folder of the user.
//!
//! A cache is a convenience: whatever goes wrong with it, pipelines are compiled as without it.

use std::path::{Path, PathBuf};

use crate::cache_dir;

/// What the driver has compiled, and the file that keeps it.
pub struct PipelineCache {
    pub(super) cache: wgpu::PipelineCache,
    file: PathBuf,
}

impl PipelineCache {
    /// Reads the file of the adapter, if there is one. `None` where the device cannot give its
    /// pipelines out, or the user has no cache folder.
    pub fn open(device: &wgpu::Device, adapter: &wgpu::AdapterInfo) -> Option<Self> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let file = cache_dir::folder("pipelines")?.join(wgpu::util::pipeline_cache_key(adapter)?);
        let kept = read(&file);
        Some(Self { cache: make(device, kept.as_deref()), file })
    }

    /// Writes what the driver has compiled so far.
    pub fn save(&self) {
        if let Some(data) = self.cache.get_data() {
            // There is nobody to tell, and nothing lost but time.
            drop(write(&self.file, &data));
        }
    }
}

#[expect(
    unsafe_code,
    reason = "the driver reads the bytes of the file as its own; they were written by `save` for the \
              same adapter and end in a checksum, and wgpu holds their header against the driver's \
              version"
)]
fn make(device: &wgpu::Device, data: Option<&[u8]>) -> wgpu::PipelineCache {
    let descriptor =
        wgpu::PipelineCacheDescriptor { label: Some("everylayer"), data, fallback: true };
    // SAFETY: see the reason above.
    unsafe { device.create_pipeline_cache(&descriptor) }
}

/// The data of a file that is whole.
fn read(file: &Path) -> Option<Vec<u8>> {
    let mut data = std::fs::read(file).ok()?;
    let (_, checksum) = data.split_last_chunk::<4>()?;
    let checksum = u32::from_le_bytes(*checksum);
    data.truncate(data.len() - 4);
    (crc32fast::hash(&data) == checksum).then_some(data)
}

/// Writes `data` and its checksum.
fn write(file: &Path, data: &[u8]) -> std::io::Result<()> {
    cache_dir::write(file, &[data, &crc32fast::hash(data).to_le_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_is_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a").join("pipelines");
        assert_eq!(read(&file), None);
        write(&file, b"compiled").unwrap();
        assert_eq!(read(&file).unwrap(), b"compiled");
        let whole = std::fs::read(&file).unwrap();
        for (at, bit) in (0..whole.len()).map(|at| (at, 1 << (at % 8))) {
            let mut damaged = whole.clone();
            damaged[at] ^= bit;
            std::fs::write(&file, damaged).unwrap();
            assert_eq!(read(&file), None, "byte {at}");
            std::fs::write(&file, &whole[..at]).unwrap();
            assert_eq!(read(&file), None, "{at} bytes");
        }
        // Only the file itself is left.
        assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
    }
}
