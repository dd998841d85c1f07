//! WGSL to SPIR-V, as wgpu makes it: `wgpu-core`'s front end and the options that `wgpu-hal`'s
//! Vulkan back end takes for a module with `ShaderRuntimeChecks::unchecked()` in a pipeline without
//! zeroed workgroup memory (`src/gpu/pipelines.rs`).

use naga::back::spv;
use naga::front::wgsl;
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, ResourceBinding, ShaderStage};

use crate::driver::Binding;
use crate::failure::Failure;

/// A kernel as wgpu would hand it to the driver.
pub struct Module {
    /// SPIR-V.
    pub words: Vec<u32>,
    /// Group 0, in the order of its bindings.
    pub bindings: Vec<Binding>,
    /// Whether it asks for subgroup operations.
    pub subgroups: bool,
    /// Whether it asks for cooperative matrices.
    pub matrices: bool,
}

/// Compiles the entry point `main` of `text`. `version` is that of SPIR-V, major and minor.
///
/// # Errors
///
/// What naga has to say of the text.
pub fn compile(text: &str, version: (u8, u8)) -> Result<Module, Failure> {
    let mut options = wgsl::Options::new();
    options.capabilities = Capabilities::all();
    let module = wgsl::Frontend::new_with_options(options)
        .parse(text)
        .map_err(|e| Failure::Work(e.emit_to_string(text)))?;
    let info = Validator::new(ValidationFlags::all(), Capabilities::all())
        .validate(&module)
        .map_err(|e| Failure::Work(e.emit_to_string(text)))?;
    let entry = "main".to_owned();
    let (module, info) = naga::back::pipeline_constants::process_overrides(
        &module,
        &info,
        Some((ShaderStage::Compute, &entry)),
        &Default::default(),
    )
    .map_err(|e| Failure::Work(e.to_string()))?;
    let bindings = bindings(&module)?;
    let pipeline = spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: entry };
    let words = spv::write_vec(&module, &info, &writer(bindings.len(), version), Some(&pipeline))
        .map_err(|e| Failure::Work(e.to_string()))?;
    // naga names the kind of operation alone, which implies GroupNonUniform.
    let kinds =
        spv::Capability::GroupNonUniform as u32..=spv::Capability::GroupNonUniformQuad as u32;
    let subgroups = capabilities(&words).any(|c| kinds.contains(&c));
    let matrices = capabilities(&words).any(|c| c == spv::Capability::CooperativeMatrixKHR as u32);
    Ok(Module { words, bindings, subgroups, matrices })
}

/// What each binding of group 0 is, from binding 0 on, without a gap.
fn bindings(module: &naga::Module) -> Result<Vec<Binding>, Failure> {
    let mut found: Vec<_> = module
        .global_variables
        .iter()
        .filter_map(|(_, variable)| {
            let at = variable.binding?;
            let uniform = variable.space == AddressSpace::Uniform;
            let binding = if uniform { Binding::Uniform } else { Binding::Storage };
            Some(((at.group, at.binding), binding))
        })
        .collect();
    found.sort_by_key(|(at, _)| *at);
    if let Some((_, (at, _))) = (0..).zip(&found).find(|(i, (at, _))| *at != (0, *i)) {
        let (group, binding) = at;
        return Err(Failure::Work(format!(
            "group {group}, binding {binding}: the bindings are 0, 1, 2 and so on of group 0"
        )));
    }
    Ok(found.into_iter().map(|(_, binding)| binding).collect())
}

/// The capabilities of a SPIR-V module: its first instructions, after a header of five words.
fn capabilities(words: &[u32]) -> impl Iterator<Item = u32> {
    const OP_CAPABILITY: u32 = 17 | 2 << 16;
    words[5..].chunks_exact(2).take_while(|c| c[0] == OP_CAPABILITY).map(|c| c[1])
}

fn writer(bindings: usize, version: (u8, u8)) -> spv::Options<'static> {
    let binding = |binding| {
        let here = spv::BindingInfo { descriptor_set: 0, binding, binding_array_size: None };
        (ResourceBinding { group: 0, binding }, here)
    };
    spv::Options {
        lang_version: version,
        flags: spv::WriterFlags::LABEL_VARYINGS | spv::WriterFlags::FORCE_POINT_SIZE,
        fake_missing_bindings: false,
        binding_map: (0..bindings as u32).map(binding).collect(),
        // wgpu lists those of the device; what RADV has includes all that our kernels may use.
        capabilities: None,
        bounds_check_policies: BoundsCheckPolicies {
            index: BoundsCheckPolicy::Unchecked,
            buffer: BoundsCheckPolicy::Unchecked,
            image_load: BoundsCheckPolicy::Unchecked,
            binding_array: BoundsCheckPolicy::Unchecked,
        },
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: false,
        ray_query_initialization_tracking: false,
        trace_ray_argument_validation: true,
        use_storage_input_output_16: false,
        debug_info: None,
        task_dispatch_limits: None,
        mesh_shader_primitive_indices_clamp: false,
        emit_int_div_checks: false,
    }
}

#[cfg(test)]
mod tests {
    use super::compile;
    use crate::driver::Binding;

    const KERNEL: &str = "@group(0) @binding(1) var<storage, read_write> a: array<u32>;
        @group(0) @binding(0) var<uniform> n: u32;
        @compute @workgroup_size(64) fn main() { a[0] = a[1] / n; }";

    #[test]
    fn a_kernel_becomes_spirv_of_the_version_asked_for() {
        let module = compile(KERNEL, (1, 6)).unwrap();
        assert_eq!(module.words[..2], [0x0723_0203, 0x0001_0600]);
        assert_eq!(module.bindings, [Binding::Uniform, Binding::Storage]);
        assert!(!module.subgroups && !module.matrices);
    }

    #[test]
    fn a_division_is_not_checked() {
        // A checked one would be a function of its own. OpFunction is 54, of five words.
        let words = compile(KERNEL, (1, 6)).unwrap().words;
        assert_eq!(words.iter().filter(|word| **word == 54 | 5 << 16).count(), 1);
    }

    #[test]
    fn subgroup_operations_are_seen() {
        let text = KERNEL.replace("a[1] / n", "subgroupBroadcastFirst(n)");
        assert!(compile(&text, (1, 6)).unwrap().subgroups);
    }

    #[test]
    fn a_mistake_is_told() {
        let told = |text: &str| compile(text, (1, 6)).err().unwrap().to_string();
        assert!(told("fn main( {").contains("expected"));
        assert!(told(&KERNEL.replace("binding(1)", "binding(2)")).contains("binding 2"));
    }
}
