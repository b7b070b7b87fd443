//! The kernel's heap: small things in pages of equals, large ones in pages of their own.
//!
//! A page of the heap holds slots of one size ([`SIZES`]), filled from its end downwards, under a [`Slab`] header. It goes
//! back to the frame allocator with its last slot, unless it is the only one of its size that has room. So what a program
//! made the kernel hold is there for other programs after it, and the count of free frames tells how much that is.
//! What does not fit in half a page gets whole pages; of a block that is larger than needed the rest is given back.
//!
//! ```text
//!   page   | Slab: neighbours, freed slots, count | unused ... | slot 2 | slot 1 | slot 0 |
//! ```

use crate::{Mutex, PAGE_SIZE, frames};
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};

/// The sizes of slots. Those that are powers of two are aligned to themselves.
const SIZES: [u16; 20] =
    [16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 672, 1008, 1344, 2016];
/// All sizes are multiples of it, and so all slots are aligned to it.
const GRAIN: usize = 16;
const LARGEST: usize = SIZES[SIZES.len() - 1] as usize;

/// The smallest class for each number of grains.
static CLASS_OF: [u8; LARGEST / GRAIN + 1] = class_table();

const fn class_table() -> [u8; LARGEST / GRAIN + 1] {
    let mut table = [0; LARGEST / GRAIN + 1];
    let (mut grains, mut class) = (0, 0);
    while grains < table.len() {
        if grains * GRAIN > SIZES[class] as usize {
            class += 1;
        }
        table[grains] = class as u8;
        grains += 1;
    }
    table
}

/// A freed slot.
struct Free {
    next: *mut Free,
}

/// The start of a page of slots.
struct Slab {
    next: *mut Slab,
    prev: *mut Slab,
    free: *mut Free,
    /// Slots in use.
    used: u16,
    /// Slots that were ever in use: the memory of all others is untouched.
    begun: u16,
}

const _: () = assert!(size_of::<Slab>() <= PAGE_SIZE % 2016);

/// How many slots of a class are in a page.
const fn capacity(class: usize) -> u16 {
    ((PAGE_SIZE - size_of::<Slab>()) / SIZES[class] as usize) as u16
}

/// Where a layout belongs: the class of its slot, or none if it needs pages of its own.
fn class_of(layout: Layout) -> Option<usize> {
    let first = usize::from(*CLASS_OF.get(layout.size().div_ceil(GRAIN))?);
    if layout.align() <= GRAIN {
        return Some(first);
    }
    (first..SIZES.len()).find(|class| usize::from(SIZES[*class]).is_multiple_of(layout.align()))
}

/// How many pages a layout without a class gets; none if no block of frames is aligned like that.
fn pages_of(layout: Layout) -> Option<usize> {
    let pages = layout.size().div_ceil(PAGE_SIZE).max(1);
    // A block is aligned to its size, rounded up to a power of two.
    (layout.align() <= pages.next_power_of_two() * PAGE_SIZE).then_some(pages)
}

/// For each class the pages that have room: the one to take from first.
struct Heap {
    partial: [*mut Slab; SIZES.len()],
}

// SAFETY: the pages behind the pointers belong to the heap, and are reached under its lock.
unsafe impl Send for Heap {}

impl Heap {
    /// # Safety
    /// `slab` is a live page of this class, in no list.
    unsafe fn link(&mut self, class: usize, slab: *mut Slab) {
        let next = self.partial[class];
        // SAFETY: the caller's promise; what is in the list is live.
        unsafe {
            (*slab).prev = ptr::null_mut();
            (*slab).next = next;
            if !next.is_null() {
                (*next).prev = slab;
            }
        }
        self.partial[class] = slab;
    }

    /// # Safety
    /// `slab` is in the list of this class.
    unsafe fn unlink(&mut self, class: usize, slab: *mut Slab) {
        // SAFETY: the caller's promise; what is in the list is live.
        unsafe {
            let (prev, next) = ((*slab).prev, (*slab).next);
            match NonNull::new(prev) {
                Some(prev) => (*prev.as_ptr()).next = next,
                None => self.partial[class] = next,
            }
            if !next.is_null() {
                (*next).prev = prev;
            }
        }
    }

    /// A page of this class that has room.
    fn with_room(&mut self, class: usize) -> Option<*mut Slab> {
        if self.partial[class].is_null() {
            let page = frames::allocate_block(0, false).ok()?;
            let slab: *mut Slab = frames::direct(page).cast();
            let (next, prev, free) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
            // SAFETY: the page was just allocated, is aligned, and nobody else's.
            unsafe {
                slab.write(Slab { next, prev, free, used: 0, begun: 0 });
                self.link(class, slab);
            }
        }
        Some(self.partial[class])
    }

    fn take(&mut self, class: usize) -> Option<*mut u8> {
        let at = self.with_room(class)?;
        // SAFETY: it is in the list, so it is live and has a slot that is free or was never used.
        unsafe {
            let slab = &mut *at;
            slab.used += 1;
            if slab.used == capacity(class) {
                self.unlink(class, at);
            }
            let slab = &mut *at;
            if let Some(free) = NonNull::new(slab.free) {
                slab.free = free.as_ref().next;
                return Some(free.as_ptr().cast());
            }
            slab.begun += 1;
            let from_end = usize::from(slab.begun) * usize::from(SIZES[class]);
            Some(at.cast::<u8>().add(PAGE_SIZE - from_end))
        }
    }

    /// # Safety
    /// `slot` came from [`take`](Self::take) of the same class, and nothing uses it any more.
    unsafe fn give(&mut self, class: usize, slot: *mut u8) {
        let at: *mut Slab = slot.map_addr(|address| address & !(PAGE_SIZE - 1)).cast();
        // SAFETY: slots lie in the page that starts with their header; it is live while one of them is in use.
        unsafe {
            if (*at).used == capacity(class) {
                self.link(class, at);
            }
            let slab = &mut *at;
            slab.used -= 1;
            let free: *mut Free = slot.cast();
            free.write(Free { next: slab.free });
            slab.free = free;
            let alone = slab.next.is_null() && slab.prev.is_null();
            if slab.used == 0 && !alone {
                self.unlink(class, at);
                frames::free_pages(frames::physical(at.cast()), 1);
            }
        }
    }
}

/// The heap, for `#[global_allocator]`.
pub struct PageHeap(Mutex<Heap>);

impl PageHeap {
    /// A heap that holds nothing.
    #[expect(clippy::new_without_default, reason = "made once, as a static")]
    pub const fn new() -> Self {
        Self(Mutex::new(Heap { partial: [ptr::null_mut(); SIZES.len()] }))
    }
}

// SAFETY: slots and pages are handed out once until they come back, are as large as their class or count of pages, which are
// chosen no smaller than the layout, and aligned as `class_of` and `pages_of` check.
unsafe impl GlobalAlloc for PageHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let at = match class_of(layout) {
            Some(class) => self.0.lock().take(class),
            None => pages_of(layout).and_then(|pages| frames::allocate_pages(pages).ok()).map(frames::direct),
        };
        at.unwrap_or(ptr::null_mut())
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        match (class_of(layout), pages_of(layout)) {
            // SAFETY: the caller's promise: it came from `alloc` with this layout.
            (Some(class), _) => unsafe { self.0.lock().give(class, at) },
            // SAFETY: as above.
            (None, Some(pages)) => unsafe { frames::free_pages(frames::physical(at), pages) },
            (None, None) => {}
        }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise: the size, rounded up to the alignment, does not overflow.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        let same = match (class_of(layout), class_of(wanted)) {
            (None, None) => pages_of(layout) == pages_of(wanted),
            (old, new) => old == new,
        };
        if same {
            return at;
        }
        // SAFETY: `wanted` is valid, the old memory is the caller's with `layout`, and the new is another piece.
        unsafe {
            let new = self.alloc(wanted);
            if !new.is_null() {
                ptr::copy_nonoverlapping(at, new, size.min(layout.size()));
                self.dealloc(at, layout);
            }
            new
        }
    }
}

#[cfg(test)]
mod tests;
