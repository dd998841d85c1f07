//! The harness of `tests/fuzz` for parsers that are not public: `cli/input/fuzz.rs`,
//! `cli/embed/fuzz.rs`, `server/fuzz.rs`.

#[path = "../tests/fuzz/harness.rs"]
pub mod harness;
#[path = "../tests/fuzz/memory.rs"]
mod memory;
#[path = "../tests/fuzz/mutate.rs"]
pub mod mutate;
#[path = "../tests/fuzz/rng.rs"]
pub mod rng;

#[global_allocator]
static ALLOCATOR: memory::Counted = memory::Counted;

/// A folder in memory where the system has one: an input is written for each run.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}
