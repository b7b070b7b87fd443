//! The kernel's heap: `ampoule_kbase::heap`, and a block that is set aside for when memory is in pieces.
//!
//! Most of the kernel's allocations cannot fail, so the heap may not run out in the middle of a system call. Programs get no
//! frames of the kernel's reserve (see `frames`), the heap does; when it has eaten into it, no program gets to use the kernel
//! before somebody has gone (`oom::gate`). What a single call can make large is asked for first: `frames::check_room`,
//! `frames::make_room`, `frames::list_of`.

use ampoule_kbase::heap::PageHeap;
use ampoule_kbase::{PAGE_SIZE, frames};
use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicU64, Ordering};

/// What is set aside for when no block of frames is large enough: 2^7 pages, 512 KiB, or what can be had.
const ASIDE_ORDERS: core::ops::RangeInclusive<usize> = 4..=7;
/// Of a machine's pages, at most this part is set aside.
const ASIDE_PART: u64 = 64;

/// The block that is set aside, with its order in the low bits; or 0.
static ASIDE: AtomicU64 = AtomicU64::new(0);

/// Sets a block aside, if there is none and memory is not scarce.
pub fn set_aside() {
    if ASIDE.load(Ordering::Relaxed) != 0 {
        return;
    }
    let most = frames::usage().0 / ASIDE_PART;
    for order in ASIDE_ORDERS.rev().filter(|order| 1 << order <= most) {
        if let Ok(block) = frames::allocate_block_for_program(order) {
            ASIDE.store(block | order as u64, Ordering::Relaxed);
            return;
        }
    }
}

/// Gives the block that was set aside to the frame allocator; says whether there was one.
fn use_aside() -> bool {
    let aside = ASIDE.swap(0, Ordering::Relaxed);
    let order = (aside % PAGE_SIZE as u64) as usize;
    if aside != 0 {
        // SAFETY: the block came from `set_aside`, with this order, and nobody else knows of it.
        unsafe { frames::free_block(aside - order as u64, order) };
    }
    aside != 0
}

struct Heap(PageHeap);

// SAFETY: all is passed on to the heap, which upholds the contract.
unsafe impl GlobalAlloc for Heap {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises, passed on.
        unsafe {
            let at = self.0.alloc(layout);
            if at.is_null() && use_aside() { self.0.alloc(layout) } else { at }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { self.0.dealloc(at, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        unsafe {
            let new = self.0.realloc(at, layout, size);
            if new.is_null() && use_aside() { self.0.realloc(at, layout, size) } else { new }
        }
    }
}

#[global_allocator]
static HEAP: Heap = Heap(PageHeap::new());
