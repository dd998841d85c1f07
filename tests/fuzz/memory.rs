//! An allocator that counts what the thread has, so that an input which asks for too much is told
//! from one that does not.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Write;

/// What one thread may have at once: beyond it nothing is given, which ends the process.
const MOST: usize = 4 << 30;

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
    /// The input that is run, for what is said at the end.
    static INPUT: Cell<(&'static str, u64)> = const { Cell::new(("", 0)) };
}

/// The system's allocator, counting.
pub struct Counted;

/// Begins to count for the input `number` of `target`.
pub fn begin(target: &'static str, number: u64) -> usize {
    INPUT.set((target, number));
    PEAK.set(LIVE.get());
    LIVE.get()
}

/// The most that the thread has had since it had `before`, beyond that.
pub fn peak(before: usize) -> usize {
    PEAK.get().saturating_sub(before)
}

/// Whether the thread may have `more` bytes instead of `fewer`.
fn count(more: usize, fewer: usize) -> bool {
    // Memory that another thread had allocated is freed here, too.
    let counted = LIVE.try_with(|live| {
        let now = live.get().saturating_add(more).saturating_sub(fewer);
        if now > MOST {
            return false;
        }
        live.set(now);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(now)));
        true
    });
    let fits = counted.unwrap_or(true);
    if !fits {
        let (target, number) = INPUT.get();
        let _ = writeln!(std::io::stderr(), "fuzz: {target} input {number}: {more} bytes more");
    }
    fits
}

#[expect(unsafe_code, reason = "an allocator is unsafe by its trait; it hands on to the system's")]
// SAFETY: all calls go to `System` as they came.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match count(layout.size(), 0) {
            true => unsafe { System.alloc(layout) },
            false => std::ptr::null_mut(),
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match count(layout.size(), 0) {
            true => unsafe { System.alloc_zeroed(layout) },
            false => std::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(0, layout.size());
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        match count(size, layout.size()) {
            true => unsafe { System.realloc(at, layout, size) },
            false => std::ptr::null_mut(),
        }
    }
}
