//! What glibc keeps of memory that a server has given back.
//!
//! Answers and readbacks of megabytes are made and freed on many threads. glibc learns from each that
//! such sizes are usual, takes the next from the heap of the thread, and keeps there what lies below
//! anything that lives on: under load a server grew by a tenth in its first minutes. Here what is
//! large comes from the system and goes back to it, and few heaps serve all threads.

/// Bytes from which memory is the system's at once: what glibc begins with, and would move.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: libc::c_int = 256 << 10;

/// Heaps of all threads, where glibc would make eight a processor.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const HEAPS: libc::c_int = 2;

/// Sets it for this process. What `MALLOC_ARENA_MAX` or `MALLOC_MMAP_THRESHOLD_` say goes before it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "there is no safe way to tell glibc's allocator anything")]
pub fn bound() {
    for (name, parameter, value) in [
        ("MALLOC_ARENA_MAX", libc::M_ARENA_MAX, HEAPS),
        ("MALLOC_MMAP_THRESHOLD_", libc::M_MMAP_THRESHOLD, LARGE),
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
