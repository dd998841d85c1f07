//! What glibc keeps of memory that a server has given back.
//!
//! Answers and readbacks of megabytes are made and freed on many threads. glibc learns from them what
//! is large, gives each thread a heap, and takes from the system and gives back as they come and go: under
//! load a server grew for a minute, by 6%. Here all is fixed: a few heaps for all threads, which keep
//! what they had. What is given back at once instead (a low threshold) costs 6% of the texts a second.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
use std::sync::Arc;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
use std::time::Duration;

#[cfg(all(target_os = "linux", target_env = "gnu"))]
use everylayer::server::Service;

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

/// Has a server at rest give back what its heaps keep: free memory between what is in use is not
/// at the end of a heap, and stays. While it works it keeps what it will want again.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn keep_small(service: &Arc<Service>) {
    let service = Arc::downgrade(service);
    tokio::spawn(async move {
        let mut least = usize::MAX;
        loop {
            tokio::time::sleep(LOOKS).await;
            let Some(service) = service.upgrade() else { return };
            let now = resident();
            least = least.min(now);
            if service.is_at_rest() && now > least.saturating_add(GROWN) {
                let _ = tokio::task::spawn_blocking(trim).await;
                least = resident();
            }
        }
    });
}

/// How often it is looked at.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LOOKS: Duration = Duration::from_millis(500);

/// Bytes more than after the last time from which it is worth the work.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const GROWN: usize = 32 << 20;

/// Bytes of this process in memory.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<usize>().ok());
    pages.unwrap_or(0).saturating_mul(4096)
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "there is no safe way to tell glibc's allocator anything")]
fn trim() {
    // SAFETY: it takes a number, from any thread at any time, and frees what is free.
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn bound() {}

/// Other allocators are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn keep_small(_: &std::sync::Arc<everylayer::server::Service>) {}
