//! What glibc keeps of memory that a server has given back.
//!
//! Answers and readbacks of megabytes are made and freed on many threads. glibc learns from them what
//! is large, gives each thread a heap, and takes from the system and gives back as they come and go: under
//! load a server grew for a minute, by 6%. Here all is fixed: a few heaps for all threads, which keep
//! what they had. What is given back at once instead (a low threshold) costs 6% of the texts a second.

/// Bytes from which memory is the system's at once: the most that glibc learns.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: libc::c_int = 32 << 20;

/// Free bytes at the end of a heap that it keeps.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT: libc::c_int = 64 << 20;

/// Heaps of all threads, where glibc would make eight a processor.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const HEAPS: libc::c_int = 2;

/// Sets it for this process. What its own variables (`MALLOC_ARENA_MAX`) say goes before it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "there is no safe way to tell glibc's allocator anything")]
pub fn bound() {
    for (name, parameter, value) in [
        ("MALLOC_ARENA_MAX", libc::M_ARENA_MAX, HEAPS),
        ("MALLOC_MMAP_THRESHOLD_", libc::M_MMAP_THRESHOLD, LARGE),
        ("MALLOC_TRIM_THRESHOLD_", libc::M_TRIM_THRESHOLD, KEPT),
    ] {
        if std::env::var_os(name).is_none() {
            // SAFETY: it takes two numbers, from any thread at any time; one that it refuses
            // leaves all as it was.
            unsafe { libc::mallopt(parameter, value) };
        }
    }
}

/// Other allocators are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn bound() {}
