//! The kernel's heap: the `talc` allocator, fed with blocks of page frames as it grows.
//!
//! Most of the kernel's allocations cannot fail, so the heap may not run out in the middle of a system call. Programs get no
//! frames of the kernel's reserve (see `frames`), the heap does; when it had to, [`take_alarm`] says so, and before the next
//! system call somebody has to go (`oom::relieve`). Where memory is in pieces, a block that was set aside helps out.
//! What a single call can make larger than that is asked for first: `frames::check_room`, `Vec::try_reserve`.

use ampoule_kbase::{Errno, PAGE_SIZE, frames};
use core::alloc::Layout;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use talc::TalcLock;

/// The least that the heap grows by: 2^4 pages, 64 KiB. Untouched parts of it cost nothing.
const GROWTH_ORDER: u32 = 4;
/// Allocations of this size have room in a page beside the allocator's own bookkeeping.
const SMALL: usize = PAGE_SIZE / 2;

/// What is set aside for when no block of frames is large enough: 2^7 pages, 512 KiB, or what can be had.
const ASIDE_ORDERS: core::ops::RangeInclusive<usize> = 4..=7;
/// Of a machine's pages, at most this part is set aside.
const ASIDE_PART: u64 = 64;

/// The heap had to grow although memory was scarce.
static ALARM: AtomicBool = AtomicBool::new(false);
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

/// Whether the heap has eaten into the reserve since the last time.
#[inline]
pub fn take_alarm() -> bool {
    ALARM.load(Ordering::Relaxed) && ALARM.swap(false, Ordering::Relaxed)
}

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
        // What is small fits in a single page, and those are there as long as anything is.
        let single = || if layout.size() + layout.align() <= SMALL { take(0) } else { Err(Errno::ENOMEM) };
        let taken = take(least.max(GROWTH_ORDER)).or_else(|_| take(least)).or_else(|_| single());
        let (block, order) = match taken {
            Ok(taken) => taken,
            Err(_) => take_aside(least).ok_or(())?,
        };
        if frames::is_low() {
            ALARM.store(true, Ordering::Relaxed);
        }
        // SAFETY: the block was just allocated, or set aside, and is never given back.
        unsafe { talc.claim(frames::direct(block), PAGE_SIZE << order) }.map(|_| ()).ok_or(())
    }
}

/// The block that was set aside and its order, if it is large enough.
fn take_aside(least: u32) -> Option<(u64, u32)> {
    ALARM.store(true, Ordering::Relaxed);
    let aside = ASIDE.load(Ordering::Relaxed);
    let order = (aside % PAGE_SIZE as u64) as u32;
    if aside == 0 || order < least {
        return None;
    }
    ASIDE.store(0, Ordering::Relaxed);
    Some((aside - u64::from(order), order))
}

#[global_allocator]
static HEAP: TalcLock<HeapLock, FrameSource> = TalcLock::new(FrameSource);
