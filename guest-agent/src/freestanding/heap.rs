//! The heap: free lists by size, over a first region in the program's own memory and then over regions from the kernel.
//!
//! Sizes are rounded up to a power of two. A block up to [`LARGEST`] comes from its size's list, or is cut from the
//! current region; a larger one is a mapping of its own. Until the first region is used up no system call is made, and
//! only those pages are touched that hold something. Freed blocks stay on their lists.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::{self, NonNull};
use rustix::mm::{MapFlags, MremapFlags, ProtFlags, mmap_anonymous, mremap, munmap};

/// Smallest block in bytes; what a free block needs for its list's link, and the alignment of all blocks.
const SMALLEST: usize = 16;
/// Largest block that comes from a list: one of this size, for a piece of a stream, is needed by most agents.
const LARGEST: usize = 64 * 1024;
/// Number of lists.
const CLASSES: usize = (LARGEST / SMALLEST).ilog2() as usize + 1;
/// Size of the first region in bytes.
const FIRST: usize = 128 * 1024;
/// Size of further regions in bytes.
const REGION: usize = 256 * 1024;
/// Size of a page in bytes: the alignment of mappings.
const PAGE: usize = 4096;

#[global_allocator]
static HEAP: Heap =
    Heap(UnsafeCell::new(State { free: [None; CLASSES], next: ptr::null_mut(), left: 0, started: false }));

struct Heap(UnsafeCell<State>);

// SAFETY: the agent has one thread, and neither a signal handler nor the child half of a process start allocates.
unsafe impl Sync for Heap {}

struct State {
    /// For each size, a list of free blocks.
    free: [Option<NonNull<Link>>; CLASSES],
    /// The rest of the current region: `left` bytes that were never used, and so are zero.
    next: *mut u8,
    left: usize,
    /// Whether there was a region yet.
    started: bool,
}

struct Link {
    next: Option<NonNull<Link>>,
}

#[repr(C, align(4096))]
struct FirstRegion(UnsafeCell<[u8; FIRST]>);

// SAFETY: only the heap uses it: see there.
unsafe impl Sync for FirstRegion {}

static FIRST_REGION: FirstRegion = FirstRegion(UnsafeCell::new([0; FIRST]));

/// Where a block of some layout comes from.
#[derive(PartialEq, Eq)]
enum Origin {
    /// The list of this class.
    List(usize),
    /// A mapping of this length.
    Mapping(usize),
    /// Nowhere.
    None,
}

fn origin(size: usize, align: usize) -> Origin {
    if size <= LARGEST && align <= SMALLEST {
        let size = size.max(SMALLEST).next_power_of_two();
        return Origin::List((size / SMALLEST).ilog2() as usize);
    }
    match size.checked_next_multiple_of(PAGE) {
        Some(len) if align <= PAGE => Origin::Mapping(len),
        _ => Origin::None,
    }
}

/// What is known of the content of a new block.
enum Content {
    Zero,
    Old,
}

impl State {
    fn block(&mut self, class: usize) -> Option<(*mut u8, Content)> {
        let list = self.free.get_mut(class)?;
        if let Some(block) = *list {
            // SAFETY: a block on a list starts with its link, which `give_back` wrote.
            *list = unsafe { block.as_ref().next };
            return Some((block.as_ptr().cast(), Content::Old));
        }
        let size = SMALLEST << class;
        if self.left < size {
            self.new_region()?;
        }
        let block = self.next;
        self.next = block.wrapping_add(size);
        self.left -= size;
        Some((block, Content::Zero))
    }

    fn new_region(&mut self) -> Option<()> {
        (self.next, self.left) = match self.started {
            false => (FIRST_REGION.0.get().cast(), FIRST),
            true => (map(REGION)?, REGION),
        };
        self.started = true;
        Some(())
    }

    fn give_back(&mut self, block: *mut u8, class: usize) {
        let Some(list) = self.free.get_mut(class) else { return };
        let Some(block) = NonNull::new(block.cast::<Link>()) else { return };
        // SAFETY: the block is large and aligned enough for a link, and nobody else uses it any more.
        unsafe { block.write(Link { next: *list }) };
        *list = Some(block);
    }
}

fn map(len: usize) -> Option<*mut u8> {
    // SAFETY: a new mapping at an address that the kernel chooses touches nothing that exists.
    unsafe { mmap_anonymous(ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) }
        .ok()
        .map(<*mut _>::cast)
}

impl Heap {
    fn get(&self, layout: Layout) -> Option<(*mut u8, Content)> {
        match origin(layout.size(), layout.align()) {
            // SAFETY: nobody else has a reference to the state: there is one thread, and no function here calls
            // another of the allocator while it holds one.
            Origin::List(class) => unsafe { &mut *self.0.get() }.block(class),
            Origin::Mapping(len) => Some((map(len)?, Content::Zero)),
            Origin::None => None,
        }
    }
}

// SAFETY: blocks are distinct, of the size and alignment asked for (`origin`), and stay until they are given back.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.get(layout).map_or(ptr::null_mut(), |(block, _)| block)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let Some((block, content)) = self.get(layout) else { return ptr::null_mut() };
        if let Content::Old = content {
            // SAFETY: the block is at least of this size.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match origin(layout.size(), layout.align()) {
            // SAFETY: as in `get`.
            Origin::List(class) => unsafe { &mut *self.0.get() }.give_back(block, class),
            Origin::Mapping(len) => {
                // SAFETY: the caller gives back a block that `map` made with this length.
                let _done = unsafe { munmap(block.cast(), len) };
            }
            Origin::None => {}
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let (old, new) = (origin(layout.size(), layout.align()), origin(new_size, layout.align()));
        if old == new {
            return block;
        }
        if let (Origin::Mapping(old_len), Origin::Mapping(new_len)) = (old, new) {
            // SAFETY: the block is a mapping of the old length, and nobody uses it at the old place any more.
            let moved = unsafe { mremap(block.cast(), old_len, new_len, MremapFlags::MAYMOVE) };
            return moved.map_or(ptr::null_mut(), <*mut _>::cast);
        }
        // SAFETY: the new size fits a layout by the caller's promise; both blocks are good for the shorter size.
        unsafe {
            let new_block = self.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
            if !new_block.is_null() {
                ptr::copy_nonoverlapping(block, new_block, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            new_block
        }
    }
}
