//! A driver by raw Vulkan: opens its device that is not there, compiles SPIR-V, hands back what the driver tells of
//! the machine code. Nothing is ever run on it.
//!
//! All of this crate's `unsafe` is here.

#![expect(
    unsafe_code,
    reason = "wgpu refuses a device that runs nothing and has no pipeline statistics, so Vulkan is called \
              as it is: every handle is made here, used on one thread and freed in Drop, and every \
              pointer given lives on the stack of the call"
)]

use std::ffi::{CStr, c_char};

use ash::vk;
use ash::{ext, khr};

use crate::failure::Failure;
use crate::spirv::Module;
use crate::statistics::Value;

/// The descriptor of a binding, in the order of group 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// A uniform block with a dynamic offset.
    Uniform,
    /// A storage buffer.
    Storage,
}

/// What the driver tells of a pipeline.
pub struct Compiled {
    /// Invocations of a subgroup.
    pub subgroup: u64,
    /// Name and value, as the driver has them.
    pub statistics: Vec<(String, Value)>,
    /// Name and text of each internal representation: NIR, the compiler's IR, assembly.
    pub texts: Vec<(String, String)>,
}

/// A driver with its device open.
pub struct Driver {
    executable: khr::pipeline_executable_properties::Device,
    device: ash::Device,
    instance: ash::Instance,
    /// The device's name and the driver's version, for people.
    pub name: String,
    /// The SPIR-V version that wgpu takes for it.
    pub spirv: (u8, u8),
    /// Whether it has cooperative matrices.
    pub matrices: bool,
    // Last: the library stays loaded until everything above is gone.
    _entry: ash::Entry,
}

impl Drop for Driver {
    fn drop(&mut self) {
        // SAFETY: both were made by `open`, and no object made from them is left.
        unsafe {
            self.device.destroy_device(None);
            self.instance.destroy_instance(None);
        }
    }
}

impl Driver {
    /// Opens the first device of the Vulkan driver that the environment names (see `child.rs`).
    ///
    /// # Errors
    ///
    /// [`Failure::Driver`] where there is no loader, no driver, no device, or none that tells of
    /// its pipelines.
    pub fn open() -> Result<Self, Failure> {
        let no = |what: &str, e: vk::Result| Failure::Driver(format!("{what} ({e})"));
        // SAFETY: the Vulkan loader is a library made to be loaded.
        let entry = unsafe { ash::Entry::load() }
            .map_err(|e| Failure::Driver(format!("the Vulkan loader is missing: {e}")))?;
        let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
        let info = vk::InstanceCreateInfo::default().application_info(&application);
        // SAFETY: the chain of `info` lives on this stack.
        let instance = unsafe { entry.create_instance(&info, None) }
            .map_err(|e| no("the driver could not be loaded", e))?;
        match device(&instance) {
            Ok(opened) => {
                let Opened { device, name, spirv, matrices } = opened;
                let executable =
                    khr::pipeline_executable_properties::Device::new(&instance, &device);
                Ok(Self { executable, device, instance, name, spirv, matrices, _entry: entry })
            }
            Err(e) => {
                // SAFETY: nothing made from it is left.
                unsafe { instance.destroy_instance(None) };
                Err(e)
            }
        }
    }

    /// Compiles, with the texts of every internal representation where `texts`.
    ///
    /// # Errors
    ///
    /// [`Failure::Work`] where the driver refuses.
    pub fn compile(&self, kernel: &Module, texts: bool) -> Result<Compiled, Failure> {
        let no = |what: &str, e: vk::Result| Failure::Work(format!("{what} ({e})"));
        let bindings: Vec<_> = (0..)
            .zip(&kernel.bindings)
            .map(|(i, binding)| {
                vk::DescriptorSetLayoutBinding::default()
                    .binding(i)
                    .descriptor_type(match binding {
                        Binding::Uniform => vk::DescriptorType::UNIFORM_BUFFER_DYNAMIC,
                        Binding::Storage => vk::DescriptorType::STORAGE_BUFFER,
                    })
                    .descriptor_count(1)
                    .stage_flags(vk::ShaderStageFlags::COMPUTE)
            })
            .collect();
        let set = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
        let module = vk::ShaderModuleCreateInfo::default().code(&kernel.words);
        // SAFETY: every chain lives on this stack, every handle is freed below, and the words are
        // SPIR-V that naga wrote from a validated module.
        unsafe {
            let sets = [self
                .device
                .create_descriptor_set_layout(&set, None)
                .map_err(|e| no("the driver made no descriptor set layout", e))?];
            let layout = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
            let layout = self.device.create_pipeline_layout(&layout, None);
            let module = self.device.create_shader_module(&module, None);
            let compiled = match (layout, module) {
                (Ok(layout), Ok(module)) => self.pipeline(layout, module, kernel, texts),
                (Err(e), _) => Err(no("the driver made no pipeline layout", e)),
                (_, Err(e)) => Err(no("the driver took no shader module", e)),
            };
            // Destroying a null handle is allowed.
            self.device.destroy_shader_module(module.unwrap_or_default(), None);
            self.device.destroy_pipeline_layout(layout.unwrap_or_default(), None);
            self.device.destroy_descriptor_set_layout(sets[0], None);
            compiled
        }
    }

    /// SAFETY: the caller gives live handles of this device.
    unsafe fn pipeline(
        &self,
        layout: vk::PipelineLayout,
        module: vk::ShaderModule,
        kernel: &Module,
        texts: bool,
    ) -> Result<Compiled, Failure> {
        let mut stage = vk::PipelineShaderStageCreateInfo::default()
            .stage(vk::ShaderStageFlags::COMPUTE)
            .module(module)
            .name(c"main");
        // As wgpu with its feature SUBGROUP.
        if kernel.subgroups {
            stage = stage.flags(vk::PipelineShaderStageCreateFlags::ALLOW_VARYING_SUBGROUP_SIZE);
        }
        let mut flags = vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR;
        if texts {
            flags |= vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR;
        }
        let info =
            vk::ComputePipelineCreateInfo::default().flags(flags).stage(stage).layout(layout);
        // SAFETY: the handles live until the caller frees them.
        unsafe {
            let pipelines = self
                .device
                .create_compute_pipelines(vk::PipelineCache::null(), &[info], None)
                .map_err(|(_, e)| {
                    Failure::Work(format!("the driver could not compile it ({e})"))
                })?;
            let told = self.told(pipelines[0], texts);
            self.device.destroy_pipeline(pipelines[0], None);
            told.map_err(|e| Failure::Work(format!("the driver tells nothing of it ({e})")))
        }
    }

    /// SAFETY: the caller gives a live compute pipeline, which is one executable.
    unsafe fn told(&self, pipeline: vk::Pipeline, texts: bool) -> Result<Compiled, vk::Result> {
        let info = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline).executable_index(0);
        // SAFETY: as above.
        let found = unsafe { self.executable.get_pipeline_executable_statistics(&info) }?;
        // SAFETY: as above.
        let subgroup = unsafe {
            let of = vk::PipelineInfoKHR::default().pipeline(pipeline);
            let executables = self.executable.get_pipeline_executable_properties(&of)?;
            executables.first().map_or(0, |e| u64::from(e.subgroup_size))
        };
        let statistics = found.iter().map(|s| (words(&s.name), value(s))).collect();
        // SAFETY: as above.
        let texts = if texts { unsafe { self.texts(&info) }? } else { Vec::new() };
        Ok(Compiled { subgroup, statistics, texts })
    }

    /// SAFETY: as for [`Driver::told`].
    unsafe fn texts(
        &self,
        info: &vk::PipelineExecutableInfoKHR<'_>,
    ) -> Result<Vec<(String, String)>, vk::Result> {
        // SAFETY: as above; the first call gives sizes, the second fills buffers of those sizes.
        unsafe {
            let sized = self.executable.get_pipeline_executable_internal_representations(info)?;
            let mut buffers: Vec<_> = sized.iter().map(|r| vec![0u8; r.data_size]).collect();
            let mut filled: Vec<_> = buffers
                .iter_mut()
                .map(|buffer| vk::PipelineExecutableInternalRepresentationKHR {
                    data_size: buffer.len(),
                    p_data: buffer.as_mut_ptr().cast(),
                    ..Default::default()
                })
                .collect();
            let mut count = filled.len() as u32;
            (self.executable.fp().get_pipeline_executable_internal_representations_khr)(
                self.device.handle(),
                info,
                &raw mut count,
                filled.as_mut_ptr(),
            )
            .result()?;
            let names: Vec<_> = filled.iter().map(|r| words(&r.name)).collect();
            let text =
                |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned();
            Ok(names.into_iter().zip(buffers.into_iter().map(text)).collect())
        }
    }
}

/// The fields of [`Driver`] that [`device`] finds.
struct Opened {
    device: ash::Device,
    name: String,
    spirv: (u8, u8),
    matrices: bool,
}

/// Opens the first physical device.
fn device(instance: &ash::Instance) -> Result<Opened, Failure> {
    let driver = |text: String| Failure::Driver(text);
    // SAFETY: the instance is alive.
    let found = unsafe { instance.enumerate_physical_devices() }
        .map_err(|e| driver(format!("the driver names no device ({e})")))?;
    let Some(&physical) = found.first() else {
        return Err(driver("the driver has no device of that family".to_owned()));
    };
    // SAFETY: the device is the instance's.
    let (properties, extensions) = unsafe {
        (
            instance.get_physical_device_properties(physical),
            instance.enumerate_device_extension_properties(physical).unwrap_or_default(),
        )
    };
    let has = |name: &CStr| {
        extensions.iter().any(|e| e.extension_name_as_c_str().is_ok_and(|own| own == name))
    };
    if !has(khr::pipeline_executable_properties::NAME) {
        let name = words(&properties.device_name);
        return Err(driver(format!("{name} has no VK_KHR_pipeline_executable_properties")));
    }
    let mut names = vec![khr::pipeline_executable_properties::NAME.as_ptr()];
    let mut executable = vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default()
        .pipeline_executable_info(true);
    let mut robust = vk::PhysicalDeviceRobustness2FeaturesEXT::default();
    let mut matrix = vk::PhysicalDeviceCooperativeMatrixFeaturesKHR::default();
    let mut v11 = vk::PhysicalDeviceVulkan11Features::default();
    let mut v12 = vk::PhysicalDeviceVulkan12Features::default();
    let mut v13 = vk::PhysicalDeviceVulkan13Features::default();
    // Everything of these that the device has: the shaders' capabilities are among them, and
    // buffers are robust as wgpu makes them, which costs the code some freedom.
    let mut all = vk::PhysicalDeviceFeatures2::default()
        .push_next(&mut v11)
        .push_next(&mut v12)
        .push_next(&mut v13);
    if has(ext::robustness2::NAME) {
        names.push(ext::robustness2::NAME.as_ptr());
        all = all.push_next(&mut robust);
    }
    if has(khr::cooperative_matrix::NAME) {
        names.push(khr::cooperative_matrix::NAME.as_ptr());
        all = all.push_next(&mut matrix);
    }
    // SAFETY: the chain lives on this stack.
    unsafe { instance.get_physical_device_features2(physical, &mut all) };
    let priorities = [1.0];
    let queue = [vk::DeviceQueueCreateInfo::default().queue_priorities(&priorities)];
    let info = vk::DeviceCreateInfo::default()
        .queue_create_infos(&queue)
        .enabled_extension_names(&names)
        .push_next(&mut all)
        .push_next(&mut executable);
    // SAFETY: as above.
    let device = unsafe { instance.create_device(physical, &info, None) }
        .map_err(|e| driver(format!("the device could not be opened ({e})")))?;
    let version = properties.driver_version;
    let name = format!(
        "{}, driver {}.{}.{}",
        words(&properties.device_name),
        vk::api_version_major(version),
        vk::api_version_minor(version),
        vk::api_version_patch(version)
    );
    // As `wgpu-hal` chooses it.
    let spirv = match properties.api_version {
        v if v >= vk::API_VERSION_1_3 => (1, 6),
        v if v >= vk::API_VERSION_1_2 => (1, 5),
        v if v >= vk::API_VERSION_1_1 => (1, 3),
        _ => (1, 0),
    };
    let matrices = matrix.cooperative_matrix == vk::TRUE;
    Ok(Opened { device, name, spirv, matrices })
}

fn value(statistic: &vk::PipelineExecutableStatisticKHR<'_>) -> Value {
    type Format = vk::PipelineExecutableStatisticFormatKHR;
    // SAFETY: the format says which field of the union was written.
    unsafe {
        match statistic.format {
            Format::BOOL32 => Value::Whole(u64::from(statistic.value.b32)),
            Format::INT64 => Value::Whole(u64::try_from(statistic.value.i64).unwrap_or(0)),
            Format::UINT64 => Value::Whole(statistic.value.u64),
            _ => Value::Real(statistic.value.f64),
        }
    }
}

/// A text of Vulkan's: up to its NUL.
fn words(text: &[c_char]) -> String {
    let bytes: Vec<u8> = text.iter().map(|c| *c as u8).take_while(|b| *b != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
