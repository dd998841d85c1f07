//! What is known of drivers: a line each, shown under the adapters that it fits.
//!
//! A note explains; it decides nothing. Whether an adapter computes right is measured.

use crate::cli::info::Adapter;

/// Which adapters a note is for: each part is contained in the adapter's, ignoring case.
struct Known {
    backend: &'static str,
    driver: &'static str,
    name: &'static str,
    device_type: &'static str,
    /// A feature that it has not.
    lacks: Option<&'static str>,
    says: &'static str,
}

/// Fits every adapter and says nothing.
const ANY: Known =
    Known { backend: "", driver: "", name: "", device_type: "", lacks: None, says: "" };

const KNOWN: [Known; 6] = [
    Known {
        backend: "Dx12",
        lacks: Some("shader-f16"),
        says: "DX12 without f16 in shaders: most likely FXC compiles them, because no \
               dxcompiler.dll (1.8.2502 or newer) was found; FXC is slow and refuses some loops \
               (wgpu issue 8334)",
        ..ANY
    },
    Known {
        backend: "Dx12",
        name: "Intel",
        says: "older Intel DX12 drivers hang in some loops (wgpu issue 7319): update the driver, \
               or use the Vulkan adapter of the same GPU",
        ..ANY
    },
    Known {
        backend: "Dx12",
        name: "Microsoft Basic Render",
        says: "this software renderer has lost workgroup barriers (wgpu issue 7904): use --device \
               cpu",
        ..ANY
    },
    Known {
        backend: "Vulkan",
        driver: "MoltenVK",
        says: "MoltenVK translates Vulkan to Metal, with wrong subgroups on AMD (MoltenVK issue \
               2756): use the Metal adapter of the same GPU",
        ..ANY
    },
    Known {
        backend: "Metal",
        name: "Apple M1",
        says: "Metal has miscompiled a barrier on the M1 Max (wgpu issue 3181, open)",
        ..ANY
    },
    Known {
        device_type: "Cpu",
        says: "a software adapter: slow, and used only when named; --device cpu is faster",
        ..ANY
    },
];

/// What is known of `adapter`.
pub fn of(adapter: &Adapter) -> Vec<&'static str> {
    let holds = |whole: &str, part: &str| whole.to_lowercase().contains(&part.to_lowercase());
    let fits = |known: &&Known| {
        holds(&adapter.backend, known.backend)
            && holds(&adapter.driver, known.driver)
            && holds(&adapter.name, known.name)
            && holds(&adapter.device_type, known.device_type)
            && known.lacks.is_none_or(|feature| !adapter.features.contains(&feature))
    };
    KNOWN.iter().filter(fits).map(|known| known.says).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_find_their_adapters() {
        for (name, backend, driver, device_type, feature, want) in [
            ("NVIDIA H200", "Vulkan", "NVIDIA 580.1", "DiscreteGpu", "shader-f16", &[][..]),
            ("Intel(R) UHD 630", "Dx12", "31.0", "IntegratedGpu", "subgroups", &["FXC", "7319"]),
            ("Intel(R) UHD 630", "Vulkan", "Intel", "IntegratedGpu", "shader-f16", &[]),
            ("AMD Radeon Pro", "Vulkan", "MoltenVK 1.4", "DiscreteGpu", "subgroups", &["2756"]),
            ("Apple M1 Max", "Metal", "", "IntegratedGpu", "shader-f16", &["3181"]),
            ("Microsoft Basic Render Driver", "Dx12", "", "Cpu", "shader-f16", &["7904", "slow"]),
            ("llvmpipe (LLVM 15)", "Vulkan", "llvmpipe", "Cpu", "shader-f16", &["software"]),
        ] {
            let notes = of(&Adapter {
                index: 0,
                name: name.into(),
                backend: backend.into(),
                driver: driver.into(),
                device_type: device_type.into(),
                software: device_type == "Cpu",
                features: vec![feature],
                limits: Default::default(),
                error: None,
            });
            assert_eq!(notes.len(), want.len(), "{name} on {backend}: {notes:?}");
            for (note, part) in notes.iter().zip(want) {
                assert!(note.contains(part), "{name} on {backend}: {note}");
            }
        }
    }
}
