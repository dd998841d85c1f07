//! A library to be preloaded: Mesa's Intel Vulkan driver opens as the GPU that `I915_STUB` names
//! (`skl`, `tgl` or `dg2`), on a Linux machine without it. Kernels compile; nothing ever runs, and
//! what is submitted counts as done.
//!
//! It stands for five functions of libdrm and libc. `drmGetDevices2` and `drmGetDevice2` tell of one PCI
//! device; to `open` its node is an empty file in memory, on which memory objects lie one behind the
//! other, so `mmap` needs no help; `ioctl` answers the requests of `drm.h` and `i915_drm.h`, the
//! kernel's public interface (`i915.rs`). All else goes to the kernel as it came. On other systems this
//! library is empty.

#![cfg(target_os = "linux")]
#![expect(
    unsafe_code,
    reason = "functions that C calls are defined here, with pointers into the driver's structures: \
              each is one that the kernel or libdrm would write to, of the layout of their public \
              headers, and is only used during the call"
)]
#![warn(missing_docs)]

mod gpu;
mod i915;

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_uint, c_ulong, c_void};
use std::ptr;

use gpu::Gpu;

/// The nodes of the device: no machine has that many of them.
const PRIMARY: &CStr = c"/dev/dri/card99";
const RENDER: &CStr = c"/dev/dri/renderD227";
/// Room for memory objects, in bytes; none of it is taken before it is written.
const ROOM: i64 = 1 << 40;

/// `drmPciBusInfo`.
#[repr(C)]
struct PciBus {
    domain: u16,
    bus: u8,
    device: u8,
    function: u8,
}

/// `drmPciDeviceInfo`.
#[repr(C)]
struct PciDevice {
    vendor: u16,
    device: u16,
    subvendor: u16,
    subdevice: u16,
    revision: u8,
}

/// `drmDevice`.
#[repr(C)]
pub struct Device {
    nodes: *mut *mut c_char,
    available_nodes: c_int,
    bus_type: c_int,
    bus: *mut PciBus,
    info: *mut PciDevice,
}

/// A device as libdrm tells of it; never freed, a process asks a few times.
fn device(gpu: &Gpu) -> *mut Device {
    let node = |path: &CStr| CString::from(path).into_raw();
    // Primary, control (which no kernel has any more), render.
    let nodes = Box::leak(Box::new([node(PRIMARY), ptr::null_mut(), node(RENDER)]));
    let info = PciDevice {
        vendor: 0x8086,
        device: gpu.device,
        subvendor: 0x8086,
        subdevice: gpu.device,
        revision: gpu.revision,
    };
    Box::leak(Box::new(Device {
        nodes: nodes.as_mut_ptr(),
        available_nodes: 1 | 1 << 2,
        bus_type: 0,
        bus: Box::leak(Box::new(PciBus { domain: 0, bus: 0, device: 2, function: 0 })),
        info: Box::leak(Box::new(info)),
    }))
}

/// libdrm's: the devices there are, at most `room`; their number.
///
/// # Safety
///
/// `devices` is null or has room for `room` pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drmGetDevices2(_: u32, devices: *mut *mut Device, room: c_int) -> c_int {
    let Some(gpu) = Gpu::chosen() else { return 0 };
    if !devices.is_null() && room > 0 {
        // SAFETY: there is room for one.
        unsafe { *devices = device(gpu) };
    }
    1
}

/// libdrm's: the device that `fd` is a node of.
///
/// # Safety
///
/// `found` is a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drmGetDevice2(_: c_int, _: u32, found: *mut *mut Device) -> c_int {
    let Some(gpu) = Gpu::chosen() else { return -libc::ENODEV };
    // SAFETY: as the caller promises.
    unsafe { *found = device(gpu) };
    0
}

/// libdrm's; nothing is freed.
#[unsafe(no_mangle)]
pub extern "C" fn drmFreeDevice(_: *mut *mut Device) {}

/// libdrm's; nothing is freed.
#[unsafe(no_mangle)]
pub extern "C" fn drmFreeDevices(_: *mut *mut Device, _: c_int) {}

/// # Safety
///
/// As `open` of libc. (Its third argument is variadic there; on the ABIs of Linux it is passed as this.)
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    // SAFETY: `open` is given a text that ends.
    let name = unsafe { CStr::from_ptr(path) };
    if Gpu::chosen().is_some() && (name == RENDER || name == PRIMARY) {
        // SAFETY: the name is a text of this program.
        let fd = unsafe { libc::memfd_create(c"i915-stub".as_ptr(), libc::MFD_CLOEXEC) };
        // SAFETY: a call on a descriptor, which the kernel checks.
        return if fd < 0 || unsafe { libc::ftruncate(fd, ROOM) } < 0 { -1 } else { fd };
    }
    // SAFETY: the arguments of the caller, for the call that libc would make.
    unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path, flags, mode) as c_int }
}

/// # Safety
///
/// As `open` of libc.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    // SAFETY: the same function.
    unsafe { open64(path, flags, mode) }
}

/// # Safety
///
/// As `ioctl` of libc, whose third argument is a pointer or a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioctl(fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int {
    // Requests of DRM are of type 'd': with the driver told of one device, they are for it.
    if let Some(gpu) = Gpu::chosen()
        && (request >> 8) & 0xff == c_ulong::from(b'd')
    {
        // SAFETY: the argument is a pointer to what the request says, as the driver promises the kernel.
        return match unsafe { i915::answer(gpu, (request & 0xff) as u8, argument) } {
            Ok(()) => 0,
            Err(error) => {
                // SAFETY: the thread's own.
                unsafe { *libc::__errno_location() = error };
                -1
            }
        };
    }
    // SAFETY: the arguments of the caller, for the call that libc would make.
    unsafe { libc::syscall(libc::SYS_ioctl, fd as c_long, request, argument) as c_int }
}
