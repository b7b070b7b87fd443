//! Runs the kernel's crates on the host: RAM is an ordinary allocation. The platform is the tests' own, since each crate
//! looks at other parts of it.

use crate::{PAGE_SIZE, frames};
use std::alloc::{Layout, alloc_zeroed};
use std::sync::Once;

/// Prepares 64 MiB of fake RAM, once a process.
pub fn setup() {
    static SETUP: Once = Once::new();
    SETUP.call_once(|| {
        const PAGES: usize = 16384;
        let ram = Layout::from_size_align(PAGES * PAGE_SIZE, 4 << 20).expect("a valid layout");
        let meta = Layout::from_size_align(PAGES * frames::META_SIZE, 64).expect("a valid layout");
        // SAFETY: both blocks are zeroed, live for ever and are used by the allocator alone.
        unsafe { frames::init(alloc_zeroed(ram), alloc_zeroed(meta), 1..PAGES as u32, 0..0) };
    });
}
