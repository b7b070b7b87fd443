//! Physical page frames: a buddy allocator over guest RAM, and [`Frame`], the counted handle of one page.
//!
//! RAM arrives zeroed and every first touch of a page costs microseconds on some hosts, so nothing is touched before it
//! is needed: RAM that was never handed out is a plain range (the *virgin* part) that is carved up 4 MiB at a time,
//! and it is known to be zero. Freed frames go to the head of their list, since a warm page is cheaper than a new one.
//!
//! ```text
//!   one Meta per page of RAM:   count (references) | next, prev (free list) | order, free, zero
//! ```

use crate::{Errno, Mutex, Result};
use alloc::vec::Vec;
use core::ops::Range;
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

/// Bytes in a page.
pub const PAGE_SIZE: usize = 4096;
/// The largest block is 2^10 pages: 4 MiB.
const ORDERS: usize = 11;
const NONE: u32 = u32::MAX;

/// Bookkeeping of one page. All zero bytes mean "never used".
#[derive(Clone, Copy)]
#[repr(C)]
struct Meta {
    count: u32,
    next: u32,
    prev: u32,
    order: u8,
    free: bool,
    zero: bool,
}

/// The size of the bookkeeping for one page, in bytes: the kernel sets this much RAM a page aside.
pub const META_SIZE: usize = size_of::<Meta>();

struct Allocator {
    /// Where physical address 0 is mapped.
    direct_map: *mut u8,
    meta: *mut Meta,
    /// Pages that `meta` describes.
    pages: u32,
    heads: [u32; ORDERS],
    virgin: [Range<u32>; 2],
    total: u64,
    free: u64,
    /// Pages that only the kernel itself may take.
    reserve: u64,
}

// SAFETY: the pointers are to memory that belongs to the allocator alone and is reached under its lock.
unsafe impl Send for Allocator {}

static ALLOCATOR: Mutex<Allocator> = Mutex::new(Allocator {
    direct_map: ptr::null_mut(),
    meta: ptr::null_mut(),
    pages: 0,
    heads: [NONE; ORDERS],
    virgin: [0..0, 0..0],
    total: 0,
    free: 0,
    reserve: 0,
});

/// See [`reserve_is_eaten`]: what [`Allocator::is_eaten`] said last.
static EATEN: AtomicBool = AtomicBool::new(false);

/// Hands RAM to the allocator: page numbers below and above 4 GiB (or an empty range), the address at which physical
/// address 0 is mapped, and zeroed memory for the bookkeeping of all pages up to the highest one.
///
/// # Safety
/// The ranges must be RAM that nothing else uses, zeroed, mapped at `direct_map`; `meta` must have
/// `META_SIZE * highest page` zeroed bytes, aligned to 8; called once.
pub unsafe fn init(direct_map: *mut u8, meta: *mut u8, low: Range<u32>, high: Range<u32>) {
    let mut a = ALLOCATOR.lock();
    a.direct_map = direct_map;
    a.meta = meta.cast();
    a.pages = low.end.max(high.end);
    a.total = (low.len() + high.len()) as u64;
    a.free = a.total;
    a.reserve = (a.total / 32).clamp(64, 2048);
    a.virgin = [low, high];
}

impl Allocator {
    fn meta(&mut self, page: u32) -> &mut Meta {
        assert!(page < self.pages, "page number out of range");
        // SAFETY: `init` was given room for `pages` entries, and `&mut self` makes the access exclusive.
        unsafe { &mut *self.meta.add(page as usize) }
    }

    fn push(&mut self, page: u32, order: usize, zero: bool) {
        let next = self.heads[order];
        *self.meta(page) = Meta { count: 0, next, prev: NONE, order: order as u8, free: true, zero };
        if next != NONE {
            self.meta(next).prev = page;
        }
        self.heads[order] = page;
    }

    fn unlink(&mut self, page: u32) -> Meta {
        let entry = *self.meta(page);
        if entry.prev == NONE {
            self.heads[entry.order as usize] = entry.next;
        } else {
            self.meta(entry.prev).next = entry.next;
        }
        if entry.next != NONE {
            self.meta(entry.next).prev = entry.prev;
        }
        self.meta(page).free = false;
        entry
    }

    /// Moves up to 4 MiB of virgin RAM to the free lists, as the largest aligned block that is there.
    fn carve(&mut self) -> bool {
        for i in 0..self.virgin.len() {
            let Range { start, end } = self.virgin[i];
            if start < end {
                let aligned = (start.trailing_zeros() as usize).min(ORDERS - 1);
                let fits = (end - start).ilog2() as usize;
                let order = aligned.min(fits);
                self.virgin[i].start = start + (1 << order);
                self.push(start, order, true);
                return true;
            }
        }
        false
    }

    fn take(&mut self, order: usize) -> Option<(u32, bool)> {
        let found = loop {
            if let Some(found) = (order..ORDERS).find(|o| self.heads[*o] != NONE) {
                break found;
            }
            if !self.carve() {
                return None;
            }
        };
        let page = self.heads[found];
        let zero = self.unlink(page).zero;
        for split in (order..found).rev() {
            self.push(page + (1 << split), split, zero);
        }
        *self.meta(page) =
            Meta { count: 1, next: NONE, prev: NONE, order: order as u8, free: false, zero: false };
        self.free -= 1 << order;
        EATEN.store(self.is_eaten(), Ordering::Relaxed);
        Some((page, zero))
    }

    /// Whether more than a quarter of the reserve is gone.
    fn is_eaten(&self) -> bool {
        self.free < self.reserve - self.reserve / 4
    }

    /// Gives back pages that need not be a block. `zero`: they were never used.
    fn give_range(&mut self, mut start: u32, end: u32, zero: bool) {
        while start < end {
            let order = start.trailing_zeros().min((end - start).ilog2()).min(ORDERS as u32 - 1);
            self.give(start, order as usize, zero);
            start += 1 << order;
        }
    }

    fn give(&mut self, mut page: u32, mut order: usize, zero: bool) {
        self.free += 1 << order;
        EATEN.store(self.is_eaten(), Ordering::Relaxed);
        // Single pages stay single: they are what is asked for next, and merging would touch cold bookkeeping. What is known
        // to be zero stays apart from what is not.
        while order > 0 && order < ORDERS - 1 {
            let buddy = page ^ (1 << order);
            if !self.is_free(buddy, order) || self.meta(buddy).zero != zero {
                break;
            }
            self.unlink(buddy);
            page &= !(1 << order);
            order += 1;
        }
        self.push(page, order, zero);
    }

    /// Whether a free block of this order starts at `page`.
    fn is_free(&mut self, page: u32, order: usize) -> bool {
        page < self.pages && self.meta(page).free && usize::from(self.meta(page).order) == order
    }

    /// Merges all free blocks with their buddies, when larger ones have run out.
    fn merge_all(&mut self) {
        for order in 0..ORDERS - 1 {
            let mut page = self.heads[order];
            while page != NONE {
                let mut next = self.meta(page).next;
                let buddy = page ^ (1 << order);
                if self.is_free(buddy, order) {
                    if next == buddy {
                        next = self.meta(buddy).next;
                    }
                    let (one, other) = (self.unlink(page), self.unlink(buddy));
                    self.push(page.min(buddy), order + 1, one.zero && other.zero);
                }
                page = next;
            }
        }
    }

    fn allocate(&mut self, order: usize, spare: u64) -> Option<(u32, bool)> {
        if self.free < spare + (1 << order) {
            return None;
        }
        if let Some(taken) = self.take(order) {
            return Some(taken);
        }
        self.merge_all();
        self.take(order)
    }

    fn address(&self, page: u32) -> *mut u8 {
        // SAFETY: the direct map covers all of RAM, and `page` is one of its pages.
        unsafe { self.direct_map.add(page as usize * PAGE_SIZE) }
    }
}

/// Allocates `2^order` contiguous, aligned pages for the kernel itself (it may use the reserve); their physical address.
/// The contents are whatever was there, unless `zeroed`.
pub fn allocate_block(order: usize, zeroed: bool) -> Result<u64> {
    allocate(order, zeroed, 0)
}

/// The same for what programs make the kernel hold: `ENOMEM` when only the reserve is left.
pub fn allocate_block_for_program(order: usize) -> Result<u64> {
    let reserve = ALLOCATOR.lock().reserve;
    allocate(order, false, reserve)
}

fn allocate(order: usize, zeroed: bool, spare: u64) -> Result<u64> {
    if order >= ORDERS {
        return Err(Errno::ENOMEM);
    }
    let (page, is_zero, at) = {
        let mut a = ALLOCATOR.lock();
        let (page, is_zero) = a.allocate(order, spare).ok_or(Errno::ENOMEM)?;
        (page, is_zero, a.address(page))
    };
    if zeroed && !is_zero {
        // SAFETY: the block was just taken off the free lists, so it is ours alone.
        unsafe { ptr::write_bytes(at, 0, PAGE_SIZE << order) };
    }
    Ok(u64::from(page) * PAGE_SIZE as u64)
}

/// Gives a block back.
///
/// # Safety
/// It came from [`allocate_block`] with the same order, and nothing uses it any more.
pub unsafe fn free_block(physical: u64, order: usize) {
    ALLOCATOR.lock().give(page_of(physical), order, false);
}

/// Allocates contiguous pages for the kernel itself (it may use the reserve), at most 4 MiB; their physical address, which
/// is aligned to the next power of two. The contents are whatever was there.
pub fn allocate_pages(count: usize) -> Result<u64> {
    let order = count.next_power_of_two().trailing_zeros() as usize;
    if order >= ORDERS {
        return Err(Errno::ENOMEM);
    }
    let mut a = ALLOCATOR.lock();
    let (page, zero) = a.allocate(order, 0).ok_or(Errno::ENOMEM)?;
    a.give_range(page + count as u32, page + (1 << order), zero);
    Ok(u64::from(page) * PAGE_SIZE as u64)
}

/// Gives pages back.
///
/// # Safety
/// They came from [`allocate_pages`] with the same count, or are a block of as many pages, and nothing uses them any more.
pub unsafe fn free_pages(physical: u64, count: usize) {
    let page = page_of(physical);
    ALLOCATOR.lock().give_range(page, page + count as u32, false);
}

/// The reverse of [`direct`].
#[inline]
pub fn physical(at: *mut u8) -> u64 {
    at as u64 - ALLOCATOR.lock().direct_map as u64
}

/// Where a physical address is mapped for the kernel.
#[inline]
pub fn direct(physical: u64) -> *mut u8 {
    let a = ALLOCATOR.lock();
    a.direct_map.wrapping_add(physical as usize)
}

/// Pages of RAM: in total, and free now.
pub fn usage() -> (u64, u64) {
    let a = ALLOCATOR.lock();
    (a.total, a.free)
}

/// Whether only the kernel's reserve is left. What makes the kernel's own needs grow should be refused then.
pub fn is_low() -> bool {
    let a = ALLOCATOR.lock();
    a.free <= a.reserve
}

/// Whether there is hardly more than the reserve.
pub fn is_scarce() -> bool {
    let a = ALLOCATOR.lock();
    a.free <= 2 * a.reserve
}

/// Whether the kernel has eaten into its reserve: then no program gets to use the kernel before there is memory again, so
/// that each begins with most of the reserve.
#[inline]
pub fn reserve_is_eaten() -> bool {
    EATEN.load(Ordering::Relaxed)
}

/// `ENOMEM` unless so many bytes can be had beside the kernel's reserve: asked before the kernel makes something large,
/// in many pieces, that it could not take back half-way.
pub fn check_room(bytes: usize) -> Result<()> {
    let a = ALLOCATOR.lock();
    match a.free.checked_sub(a.reserve) {
        Some(room) if bytes.div_ceil(PAGE_SIZE) as u64 <= room => Ok(()),
        _ => Err(Errno::ENOMEM),
    }
}

/// An empty list with room for `count` values, in one piece; `ENOMEM` where there is none beside the reserve.
pub fn list_of<T>(count: usize) -> Result<Vec<T>> {
    let mut list = Vec::new();
    check_room_for_list::<T>(count)?;
    list.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    Ok(list)
}

/// What fits in a page may use the reserve, as all that is small.
fn check_room_for_list<T>(count: usize) -> Result<()> {
    let bytes = count.saturating_mul(size_of::<T>());
    if bytes > PAGE_SIZE { check_room(bytes) } else { Ok(()) }
}

/// Makes room in a list that programs can make long, for `more` values; `ENOMEM` where there is none beside the reserve.
pub fn make_room<T>(list: &mut Vec<T>, more: usize) -> Result<()> {
    let needed = list.len().saturating_add(more);
    if needed > list.capacity() {
        check_room_for_list::<T>(needed.max(2 * list.capacity()))?;
        list.try_reserve(more).map_err(|_| Errno::ENOMEM)?;
    }
    Ok(())
}

/// One page of memory, counted: it goes back to the allocator with its last handle. Pages that are not RAM (a mapped
/// image) have handles too, without a count.
#[derive(PartialEq, Eq, Debug)]
pub struct Frame {
    physical: u64,
}

impl Frame {
    /// A page of zeros, or `ENOMEM` when only the kernel's reserve is left.
    pub fn zeroed() -> Result<Self> {
        let reserve = ALLOCATOR.lock().reserve;
        Ok(Self { physical: allocate(0, true, reserve)? })
    }

    /// A page with arbitrary contents, which the caller overwrites before anybody sees it.
    pub fn uninitialized() -> Result<Self> {
        let reserve = ALLOCATOR.lock().reserve;
        Ok(Self { physical: allocate(0, false, reserve)? })
    }

    /// A page of zeros for the kernel's own needs (page tables, queues): may use the reserve.
    pub fn for_kernel() -> Result<Self> {
        Ok(Self { physical: allocate_block(0, true)? })
    }

    /// A handle for a page outside of RAM: device or image memory, never freed.
    ///
    /// # Panics
    /// If the address is RAM, or not page-aligned.
    pub fn device(physical: u64) -> Self {
        assert!(physical.is_multiple_of(PAGE_SIZE as u64) && !is_ram(physical));
        Self { physical }
    }

    /// A copy of this page in a frame of its own.
    pub fn duplicate(&self) -> Result<Self> {
        let copy = Self::uninitialized()?;
        // SAFETY: both are whole pages in the direct map, and the new one is ours alone.
        unsafe { ptr::copy_nonoverlapping(self.as_ptr(), copy.as_ptr(), PAGE_SIZE) };
        Ok(copy)
    }

    /// The physical address.
    #[inline]
    pub fn physical(&self) -> u64 {
        self.physical
    }

    /// The page in the direct map. Reading and writing through it is a matter of the kernel's own discipline: user
    /// mappings may alias it.
    #[inline]
    pub fn as_ptr(&self) -> *mut u8 {
        direct(self.physical)
    }

    /// Copies out of the page; the range must lie in it.
    ///
    /// # Panics
    /// If it does not.
    pub fn read(&self, offset: usize, to: &mut [u8]) {
        assert!(offset.checked_add(to.len()).is_some_and(|end| end <= PAGE_SIZE));
        // SAFETY: in bounds by the check; the frame is live while `self` is.
        unsafe { ptr::copy_nonoverlapping(self.as_ptr().add(offset), to.as_mut_ptr(), to.len()) };
    }

    /// Copies into the page; the range must lie in it.
    ///
    /// # Panics
    /// If it does not, or if the page is not RAM.
    pub fn write(&self, offset: usize, from: &[u8]) {
        assert!(offset.checked_add(from.len()).is_some_and(|end| end <= PAGE_SIZE) && is_ram(self.physical));
        // SAFETY: in bounds by the check; the frame is live while `self` is.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), self.as_ptr().add(offset), from.len()) };
    }

    /// The page as bytes.
    ///
    /// # Safety
    /// Nobody may write to the page (user mappings included) while the slice lives: on this kernel, until the thread
    /// blocks or returns to user mode.
    #[inline]
    pub unsafe fn bytes(&self) -> &[u8; PAGE_SIZE] {
        // SAFETY: the frame is live while `self` is; exclusivity is the caller's promise.
        unsafe { &*self.as_ptr().cast() }
    }

    /// How many handles there are; 0 for pages outside of RAM.
    pub fn count(&self) -> u32 {
        if is_ram(self.physical) { ALLOCATOR.lock().meta(page_of(self.physical)).count } else { 0 }
    }

    /// Turns the handle into a bare address, for a page-table entry that now holds the reference.
    pub fn into_physical(self) -> u64 {
        let physical = self.physical;
        core::mem::forget(self);
        physical
    }

    /// The reverse of [`into_physical`](Self::into_physical).
    ///
    /// # Safety
    /// The address came from there, once.
    pub unsafe fn from_physical(physical: u64) -> Self {
        Self { physical }
    }
}

fn page_of(physical: u64) -> u32 {
    (physical / PAGE_SIZE as u64) as u32
}

/// Whether an address is in RAM that the allocator knows.
pub fn is_ram(physical: u64) -> bool {
    physical / (PAGE_SIZE as u64) < u64::from(ALLOCATOR.lock().pages)
}

impl Clone for Frame {
    fn clone(&self) -> Self {
        let mut a = ALLOCATOR.lock();
        let page = self.physical / PAGE_SIZE as u64;
        if page < u64::from(a.pages) {
            let meta = a.meta(page as u32);
            meta.count = meta.count.checked_add(1).expect("fewer than 2^32 references to a page");
        }
        Self { physical: self.physical }
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        let mut a = ALLOCATOR.lock();
        let page = self.physical / PAGE_SIZE as u64;
        if page < u64::from(a.pages) {
            let meta = a.meta(page as u32);
            meta.count = meta.count.checked_sub(1).expect("a page has as many references as handles");
            if meta.count == 0 {
                a.give(page as u32, 0, false);
            }
        }
    }
}

#[cfg(test)]
mod tests;
