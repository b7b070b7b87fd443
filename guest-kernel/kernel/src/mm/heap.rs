//! The kernel's heap: the `talc` allocator, fed with blocks of page frames as it grows.

use ampoule_kbase::{PAGE_SIZE, frames};
use core::alloc::Layout;
use core::sync::atomic::{AtomicBool, Ordering};
use talc::TalcLock;

/// The least that the heap grows by: 2^4 pages, 64 KiB. Untouched parts of it cost nothing.
const GROWTH_ORDER: u32 = 4;

/// The heap's lock: never contended on one CPU without preemption.
pub struct HeapLock(AtomicBool);

// SAFETY: `try_lock` succeeds for one caller at a time, until `unlock`.
unsafe impl lock_api::RawMutex for HeapLock {
    const INIT: Self = Self(AtomicBool::new(false));
    type GuardMarker = lock_api::GuardSend;

    fn lock(&self) {
        assert!(self.try_lock(), "the heap is used while it grows");
    }

    fn try_lock(&self) -> bool {
        !self.0.swap(true, Ordering::Acquire)
    }

    unsafe fn unlock(&self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Feeds the heap from the frame allocator.
#[derive(Debug)]
pub struct FrameSource;

// SAFETY: only the frame allocator is used, which does not allocate from the heap.
unsafe impl talc::source::Source for FrameSource {
    fn acquire<B: talc::base::binning::Binning>(
        talc: &mut talc::base::Talc<Self, B>,
        layout: Layout,
    ) -> Result<(), ()> {
        // The allocator's own bookkeeping takes less than a page.
        let needed = layout.size() + layout.align() + PAGE_SIZE;
        let least = needed.div_ceil(PAGE_SIZE).next_power_of_two().trailing_zeros();
        let take = |order: u32| frames::allocate_block(order as usize, false).map(|block| (block, order));
        // Where memory is scarce or in pieces, what is needed now has to do.
        let (block, order) = take(least.max(GROWTH_ORDER)).or_else(|_| take(least)).map_err(|_| ())?;
        // SAFETY: the block was just allocated and is never given back.
        unsafe { talc.claim(frames::direct(block), PAGE_SIZE << order) }.map(|_| ()).ok_or(())
    }
}

#[global_allocator]
static HEAP: TalcLock<HeapLock, FrameSource> = TalcLock::new(FrameSource);
