//! Answers to the requests of `drm.h` and `i915_drm.h`, by their numbers there.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::gpu::Gpu;

/// Handles of objects, contexts and address spaces: none is ever given twice.
static HANDLES: AtomicU32 = AtomicU32::new(1);
/// Where the next memory object begins in the file that stands for the device.
static END: AtomicU64 = AtomicU64::new(0);

/// `drm_version`.
#[repr(C)]
struct Version {
    numbers: [c_int; 3],
    name_length: usize,
    name: *mut u8,
    date_length: usize,
    date: *mut u8,
    text_length: usize,
    text: *mut u8,
}

/// `drm_i915_getparam`.
#[repr(C)]
struct Parameter {
    parameter: i32,
    value: *mut c_int,
}

/// `drm_i915_gem_create`, and what `drm_i915_gem_create_ext` has in common with it.
#[repr(C)]
struct Create {
    size: u64,
    handle: u32,
}

/// `drm_i915_gem_mmap_offset`.
#[repr(C)]
struct Offset {
    handle: u32,
    pad: u32,
    offset: u64,
}

/// `drm_i915_gem_context_param`.
#[repr(C)]
struct ContextParameter {
    context: u32,
    size: u32,
    parameter: u64,
    value: u64,
}

/// `drm_i915_query`.
#[repr(C)]
struct Queries {
    count: u32,
    flags: u32,
    items: *mut Query,
}

/// `drm_i915_query_item`.
#[repr(C)]
struct Query {
    id: u64,
    length: i32,
    flags: u32,
    data: *mut u8,
}

/// Writes what the kernel would answer to request `number` into `argument`.
///
/// SAFETY: `argument` points to the structure of that request, and the pointers in it to what they
/// promise.
pub unsafe fn answer(gpu: &Gpu, number: u8, argument: *mut c_void) -> Result<(), c_int> {
    // SAFETY: of the whole body: the number says what `argument` points to.
    unsafe {
        match number {
            // VERSION
            0x00 => version(&mut *argument.cast()),
            // GET_CAP: time lines of synchronisation objects are there, and nothing else is asked.
            0x0c => *argument.cast::<u64>().add(1) = 1,
            // I915_GETPARAM
            0x46 => {
                let asked = &*argument.cast::<Parameter>();
                *asked.value = parameter(gpu, asked.parameter).ok_or(libc::EINVAL)?;
            }
            // I915_GEM_CREATE, I915_GEM_CREATE_EXT
            0x5b | 0x7c => {
                let object = &mut *argument.cast::<Create>();
                object.handle = handle(object.size);
            }
            // I915_GEM_MMAP_OFFSET
            0x64 => {
                let object = &mut *argument.cast::<Offset>();
                object.offset = offset(object.handle).ok_or(libc::ENOENT)?;
            }
            // I915_GEM_CONTEXT_CREATE: the handle is what comes first.
            0x6d => *argument.cast::<u32>() = HANDLES.fetch_add(1, Ordering::Relaxed),
            // I915_REG_READ: the time stamp counter stands still.
            0x71 => *argument.cast::<u64>().add(1) = 0,
            // I915_GEM_USERPTR
            0x73 => *argument.cast::<u32>().add(5) = handle(0),
            // I915_GEM_CONTEXT_GETPARAM: GTT_SIZE
            0x74 => {
                let asked = &mut *argument.cast::<ContextParameter>();
                asked.value = if asked.parameter == 3 { 1 << 48 } else { 0 };
            }
            // I915_QUERY
            0x79 => {
                let asked = &*argument.cast::<Queries>();
                for i in 0..asked.count as usize {
                    query(gpu, &mut *asked.items.add(i));
                }
            }
            // I915_GEM_VM_CREATE
            0x7a => *argument.cast::<u32>().add(3) = HANDLES.fetch_add(1, Ordering::Relaxed),
            // SYNCOBJ_CREATE
            0xbf => *argument.cast::<u32>() = HANDLES.fetch_add(1, Ordering::Relaxed),
            // GEM_CLOSE; I915: GEM_BUSY, GEM_SET_DOMAIN, SET_TILING, GET_TILING, EXECBUFFER2 and its
            // _WR, GEM_WAIT, CONTEXT_DESTROY, SET_CACHING, GET_RESET_STATS, CONTEXT_SETPARAM,
            // VM_DESTROY; SYNCOBJ destroyed, waited for, reset, signalled, on time lines too: done at
            // once, with nothing to tell.
            0x09
            | 0x57
            | 0x5f
            | 0x61
            | 0x62
            | 0x69
            | 0x6c
            | 0x6e
            | 0x6f
            | 0x72
            | 0x75
            | 0x7b
            | 0xc0
            | 0xc3..=0xc5
            | 0xca
            | 0xcd => {}
            _ => return Err(libc::EINVAL),
        }
    }
    Ok(())
}

/// SAFETY: each text has room for its length.
unsafe fn version(asked: &mut Version) {
    const NAME: &[u8] = b"i915";
    asked.numbers = [1, 6, 0];
    if !asked.name.is_null() {
        // SAFETY: as the caller says.
        unsafe { asked.name.copy_from(NAME.as_ptr(), NAME.len().min(asked.name_length)) };
    }
    asked.name_length = NAME.len();
    (asked.date_length, asked.text_length) = (0, 0);
}

/// `I915_PARAM_*`; none where a kernel would not know it.
fn parameter(gpu: &Gpu, parameter: i32) -> Option<c_int> {
    Some(match parameter {
        // CHIPSET_ID
        4 => i32::from(gpu.device),
        // NUM_FENCES_AVAIL
        6 => 32,
        // HAS_LLC
        17 => i32::from(gpu.shares_cache),
        // HAS_ALIASING_PPGTT: one of its own for each process, of 48 bits
        18 => 3,
        // CMD_PARSER_VERSION
        28 => 10,
        // MMAP_VERSION
        30 => 1,
        // REVISION
        32 => i32::from(gpu.revision),
        // SUBSLICE_TOTAL, EU_TOTAL
        33 => i32::from(gpu.slices * gpu.subslices),
        34 => i32::from(gpu.slices * gpu.subslices * gpu.units),
        // MMAP_GTT_VERSION: with I915_GEM_MMAP_OFFSET
        40 => 4,
        // HAS_SCHEDULER: no priorities
        41 => 1,
        // SLICE_MASK, SUBSLICE_MASK
        46 => (1 << gpu.slices) - 1,
        47 => (1 << gpu.subslices) - 1,
        // CS_TIMESTAMP_FREQUENCY
        51 => gpu.timestamps,
        // HAS_GEM, EXECBUF2, BSD, BLT, RELAXED_FENCING, RELAXED_DELTA, GEN7_SOL_RESET,
        // WAIT_TIMEOUT, EXEC_NO_RELOC, EXEC_HANDLE_LUT, EXEC_SOFTPIN, EXEC_ASYNC, EXEC_FENCE,
        // EXEC_CAPTURE, EXEC_BATCH_FIRST, EXEC_FENCE_ARRAY, CONTEXT_ISOLATION, MMAP_GTT_COHERENT,
        // EXEC_TIMELINE_FENCES, USERPTR_PROBE
        5 | 9 | 10 | 11 | 12 | 15 | 16 | 19 | 25 | 26 | 37 | 43 | 44 | 45 | 48 | 49 | 50 | 52
        | 55 | 56 => 1,
        _ => return None,
    })
}

/// Begins of memory objects, by handle less one; none for a handle that is something else.
fn objects() -> &'static std::sync::Mutex<Vec<(u32, u64)>> {
    static OBJECTS: std::sync::Mutex<Vec<(u32, u64)>> = std::sync::Mutex::new(Vec::new());
    &OBJECTS
}

/// The handle of a new memory object of `size` bytes, from a page on.
fn handle(size: u64) -> u32 {
    let handle = HANDLES.fetch_add(1, Ordering::Relaxed);
    let start = END.fetch_add(size.div_ceil(1 << 16) << 16, Ordering::Relaxed);
    let mut all = objects().lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    all.push((handle, start));
    handle
}

fn offset(handle: u32) -> Option<u64> {
    let all = objects().lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    all.iter().rev().find(|(own, _)| *own == handle).map(|(_, start)| *start)
}

/// Answers a query as the kernel does: its length first, then what it is.
///
/// SAFETY: the data has room for the length that is given, where one is.
unsafe fn query(gpu: &Gpu, asked: &mut Query) {
    let data = match asked.id {
        // TOPOLOGY_INFO, GEOMETRY_SUBSLICES
        1 | 6 => topology(gpu),
        // ENGINE_INFO
        2 => engines(),
        // MEMORY_REGIONS
        4 => regions(gpu),
        _ => {
            asked.length = -libc::EINVAL;
            return;
        }
    };
    if asked.length as usize >= data.len() {
        // SAFETY: as the caller says.
        unsafe { asked.data.copy_from(data.as_ptr(), data.len()) };
    }
    asked.length = data.len() as i32;
}

fn push(to: &mut Vec<u8>, numbers: &[u16]) {
    to.extend(numbers.iter().flat_map(|n| n.to_ne_bytes()));
}

/// `drm_i915_query_topology_info`: every unit there is works.
fn topology(gpu: &Gpu) -> Vec<u8> {
    let (slices, subslices, units) = (gpu.slices, gpu.subslices, gpu.units);
    let unit_bytes = units.div_ceil(8);
    let all =
        |count: u16, bytes: u16| ((1u32 << count) - 1).to_le_bytes().into_iter().take(bytes.into());
    let mut data = Vec::new();
    push(&mut data, &[0, slices, subslices, units, 1, 1, 1 + slices, unit_bytes]);
    data.extend(all(slices, 1));
    (0..slices).for_each(|_| data.extend(all(subslices, 1)));
    (0..slices * subslices).for_each(|_| data.extend(all(units, unit_bytes)));
    data
}

/// `drm_i915_query_engine_info`: one that renders, one that copies.
fn engines() -> Vec<u8> {
    let mut data = Vec::new();
    push(&mut data, &[2, 0, 0, 0, 0, 0, 0, 0]);
    for class in [0, 1] {
        push(&mut data, &[class, 0]);
        data.resize(data.len() + 52, 0);
    }
    data
}

/// `drm_i915_query_memory_regions`: that of the machine, and that of the card if it has some.
fn regions(gpu: &Gpu) -> Vec<u8> {
    let sizes = [(0, 16 << 30), (1, gpu.memory)];
    let own: Vec<_> = sizes.iter().filter(|(_, size)| *size > 0).collect();
    let mut data = Vec::new();
    push(&mut data, &[own.len() as u16, 0, 0, 0, 0, 0, 0, 0]);
    for (class, size) in own {
        push(&mut data, &[*class, 0, 0, 0]);
        // Found, free, then both of what the CPU sees.
        (0..4).for_each(|_| data.extend(u64::to_ne_bytes(*size)));
        data.resize(data.len() + 48, 0);
    }
    data
}
