//! Every variant of every kernel, as text: it validates, translates to every back end, stays
//! inside default WebGPU limits, and its uniform block is the one Rust writes.

#![cfg(feature = "gpu")]

use std::collections::HashSet;

use everylayer::gpu::kernels::{source, variants};
use everylayer::kernels::{AdapterFeatures, Class, Variant, Vendor};
use naga::back::{hlsl, msl, spv};
use naga::proc::{BoundsCheckPolicies, Layouter};
use naga::valid::{
    Capabilities, ModuleInfo, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator,
};
use naga::{AddressSpace, Module, StorageAccess, TypeInner};

const HEAD_DIMS: [u32; 12] = [4, 8, 12, 16, 32, 48, 64, 80, 96, 128, 160, 256];

/// Numbers of a row, each another number of vectors an invocation.
const STRIDES: [usize; 3] = [256, 512, 1024];

fn all() -> Vec<Variant> {
    variants(&HEAD_DIMS, &STRIDES)
}

/// `unpack2x16float` is in WebGPU's core; naga counts it apart for downlevel devices.
const CORE: Capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;

/// Parses and validates; a portable variant with no capability beyond WebGPU's core.
fn parse(variant: Variant) -> (Module, ModuleInfo) {
    let text = source(variant);
    let module = naga::front::wgsl::parse_str(&text)
        .unwrap_or_else(|e| panic!("{variant}: {}", e.emit_to_string(&text)));
    let mut capabilities = CORE;
    let beyond = Capabilities::SUBGROUP
        | Capabilities::SHADER_FLOAT16
        | Capabilities::SHADER_INT64
        | Capabilities::COOPERATIVE_MATRIX;
    capabilities.set(beyond, !variant.is_portable());
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .subgroup_stages(ShaderStages::COMPUTE)
        .subgroup_operations(SubgroupOperationSet::all())
        .validate(&module)
        .unwrap_or_else(|e| panic!("{variant}: {}", e.emit_to_string(&text)));
    (module, info)
}

fn metal(module: &Module, info: &ModuleInfo) -> Result<String, msl::Error> {
    let options =
        msl::Options { fake_missing_bindings: true, lang_version: (2, 4), ..Default::default() };
    let pipeline = msl::PipelineOptions::default();
    msl::write_string(module, info, &options, &pipeline).map(|(text, _)| text)
}

#[test]
fn every_variant_translates_to_every_back_end() {
    for variant in all() {
        let (module, info) = parse(variant);
        let words = spv::write_vec(&module, &info, &spv::Options::default(), None)
            .unwrap_or_else(|e| panic!("{variant}: SPIR-V: {e}"));
        assert!(words.len() > 100, "{variant}");
        // Metal and DX12 take the portable variants, but the others translate as well.
        let text = metal(&module, &info).unwrap_or_else(|e| panic!("{variant}: MSL: {e}"));
        assert!(text.contains("kernel void"), "{variant}");
        // wgpu has cooperative matrices on Vulkan and Metal alone.
        if variant.is_coop() {
            assert!(text.contains("simdgroup_store"), "{variant}");
            continue;
        }
        let mut text = String::new();
        let options = hlsl::Options {
            fake_missing_bindings: true,
            shader_model: hlsl::ShaderModel::V6_0,
            ..Default::default()
        };
        let pipeline = hlsl::PipelineOptions::default();
        hlsl::Writer::new(&mut text, &options, &pipeline)
            .write(&module, &info, None)
            .unwrap_or_else(|e| panic!("{variant}: HLSL: {e}"));
        assert!(text.contains("[numthreads("), "{variant}");
    }
}

#[test]
fn every_variant_stays_inside_default_webgpu_limits() {
    for variant in all() {
        let (module, _) = parse(variant);
        let [x, y, z] = module.entry_points[0].workgroup_size;
        assert!(x <= 256 && (y, z) == (1, 1), "{variant}: {x} x {y} x {z} invocations");
        let mut layouter = Layouter::default();
        layouter.update(module.to_ctx()).unwrap();
        let in_space =
            |space| module.global_variables.iter().filter(move |(_, v)| v.space == space);
        let shared: u32 = in_space(AddressSpace::WorkGroup).map(|(_, v)| layouter[v.ty].size).sum();
        assert!(shared <= 16_384, "{variant}: {shared} bytes of workgroup memory");
        let storage = module
            .global_variables
            .iter()
            .filter(|(_, v)| matches!(v.space, AddressSpace::Storage { .. }))
            .count();
        assert!(storage <= 8, "{variant}: {storage} storage buffers");
        if !variant.is_portable() {
            continue;
        }
        let text = source(variant);
        for word in ["enable ", "subgroup", "f16;"] {
            assert!(!text.contains(word), "{variant}: not portable, it has `{word}`");
        }
    }
}

#[test]
fn bindings_of_the_table_are_those_of_the_shaders() {
    for variant in all() {
        let (module, _) = parse(variant);
        let mut found: Vec<_> = module
            .global_variables
            .iter()
            .filter_map(|(_, v)| {
                let AddressSpace::Storage { access } = v.space else { return None };
                let writes = access.contains(StorageAccess::STORE);
                v.binding.map(|b| (b.group, b.binding, writes))
            })
            .collect();
        found.sort_by_key(|b| b.1);
        let table: Vec<_> = variant
            .bindings()
            .iter()
            .enumerate()
            .map(|(i, a)| (0, i as u32 + 1, a.writes()))
            .collect();
        assert_eq!(found, table, "{variant}");
    }
}

#[test]
fn uniform_blocks_are_laid_out_as_in_rust() {
    for variant in all() {
        let (module, _) = parse(variant);
        let (_, uniform) = module
            .global_variables
            .iter()
            .find(|(_, v)| v.space == AddressSpace::Uniform)
            .unwrap_or_else(|| panic!("{variant} has no uniform block"));
        let binding = uniform.binding.map(|b| (b.group, b.binding));
        assert_eq!(binding, Some((0, 0)), "{variant}");
        let TypeInner::Struct { ref members, span } = module.types[uniform.ty].inner else {
            panic!("{variant}: the uniform is no struct");
        };
        let wgsl: Vec<_> = members
            .iter()
            .map(|m| (m.name.clone().unwrap_or_default(), m.offset as usize))
            .collect();
        let rust: Vec<_> = variant.block().iter().map(|&(n, o)| (n.to_owned(), o)).collect();
        assert_eq!(wgsl, rust, "{variant}");
        assert_eq!(span as usize, 4 * rust.len(), "{variant}: bytes in WGSL and in Rust");
    }
}

#[test]
fn checks_can_be_left_out_in_spirv() {
    // As `create_shader_module_trusted` compiles it: no bounds checks, no loop bounds.
    for variant in all() {
        let (module, info) = parse(variant);
        let options = spv::Options {
            bounds_check_policies: BoundsCheckPolicies::default(),
            force_loop_bounding: false,
            ..Default::default()
        };
        let words = spv::write_vec(&module, &info, &options, None).unwrap();
        assert_eq!(words[0], 0x0723_0203, "{variant}");
    }
}

/// The functions of `text` but the entry point that are handed workgroup memory.
fn handed_workgroup_memory(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut function = None;
    for line in text.lines() {
        if !line.starts_with(' ') && line.ends_with('(') {
            function = (!line.starts_with("kernel ")).then_some(line);
        } else if line.starts_with(')') || line.starts_with('}') {
            function = None;
        }
        found.extend(function.filter(|_| line.trim_start().starts_with("threadgroup ")));
    }
    found
}

/// naga hands workgroup memory to Metal's entry point as an argument and on to functions as references, and
/// Apple's compiler was seen to move what a function does to such a reference across barriers (wgpu#4500,
/// wgpu#3181): so no kernel that Metal runs has one.
#[test]
fn on_metal_workgroup_memory_stays_in_the_entry_point() {
    let mut kernels = 0;
    for class in [Class::Small, Class::Large] {
        let (vendor, half) = (Vendor::Apple, true);
        let can = AdapterFeatures { class, vendor, half, ..AdapterFeatures::default() };
        for variant in all().into_iter().filter(|variant| variant.runs_on(&can)) {
            let (module, info) = parse(variant);
            let text = metal(&module, &info).unwrap();
            assert_eq!(handed_workgroup_memory(&text), [""; 0], "{variant}");
            kernels += usize::from(text.contains("threadgroup "));
        }
    }
    assert!(kernels > 100, "{kernels} kernels with workgroup memory");

    let text = "var<workgroup> a: array<u32, 64>;
        fn last() -> u32 { workgroupBarrier(); return a[63]; }
        @group(0) @binding(0) var<storage, read_write> b: u32;
        @compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) {
            a[i] = i; b = last(); }";
    let module = naga::front::wgsl::parse_str(text).unwrap();
    let info = Validator::new(ValidationFlags::all(), CORE).validate(&module).unwrap();
    let text = metal(&module, &info).unwrap();
    assert_eq!(handed_workgroup_memory(&text), ["uint last("], "{text}");
}

/// A kernel as a browser is handed it.
#[derive(serde::Serialize)]
struct Page {
    name: String,
    source: String,
    /// Whether it asks for `shader-f16`.
    half: bool,
    /// The storage bindings from binding 1 on: whether the kernel writes there.
    writes: Vec<bool>,
    /// Whether it is one of those for `USUAL` sizes, which are all that `./test` compiles: the others
    /// differ by a number in their loops, and are a part of `./test --long`.
    usual: bool,
}

/// Heads and numbers of a row of the kernels that `./test` has a browser compile.
const USUAL: (&[u32], &[usize]) = (&[32, 64], &[512]);

#[test]
fn what_a_browser_runs_is_written_for_its_compiler() {
    // No subgroups and no cooperative matrices: wgpu has neither on the web. `tests/web/tint.mjs`
    // compiles what is written here in Chromium.
    let web =
        AdapterFeatures { class: Class::CpuAdapter, half: true, ..AdapterFeatures::default() };
    let usual: HashSet<Variant> = variants(USUAL.0, USUAL.1).into_iter().collect();
    let page = |variant: Variant| Page {
        name: variant.to_string(),
        source: source(variant),
        half: !variant.is_portable(),
        writes: variant.bindings().iter().map(|access| access.writes()).collect(),
        usual: usual.contains(&variant),
    };
    let pages: Vec<_> = all().into_iter().filter(|v| v.runs_on(&web)).map(page).collect();
    assert!(pages.len() > 200, "{}", pages.len());
    for page in &pages {
        assert_eq!(page.source.contains("enable f16;"), page.half, "{}", page.name);
        assert!(!page.source.contains("subgroup"), "{}", page.name);
    }
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("web-shaders.json");
    std::fs::write(&file, serde_json::to_vec(&pages).unwrap()).unwrap();
    let some = pages.iter().filter(|page| page.usual).count();
    println!("{} kernels in {}, {some} of them of usual sizes", pages.len(), file.display());
}
