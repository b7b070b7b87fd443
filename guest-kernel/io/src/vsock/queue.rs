//! The driver's side of a split virtqueue (Virtio 1.2 section 2.7), in memory that is shared with the device.
//!
//! The device is not trusted: an index that it moves too far marks the queue as broken, and what it returns is
//! only a number for the caller to check.

use core::ptr::{read_volatile, write_volatile};
use core::sync::atomic::{Ordering, fence};

const AVAIL_NO_INTERRUPT: u16 = 1;
const USED_NO_NOTIFY: u16 = 1;
/// Marks a descriptor as continuing in another one.
pub const NEXT: u16 = 1;
/// Marks a buffer that the device writes.
pub const WRITE: u16 = 2;

/// A descriptor, as it lies in memory.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Descriptor {
    /// Physical address of the buffer.
    pub address: u64,
    /// Its length in bytes.
    pub len: u32,
    /// [`NEXT`], [`WRITE`].
    pub flags: u16,
    /// The descriptor after this one.
    pub next: u16,
}

/// Where the three parts of a queue lie in a page.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Number of descriptors, a power of two.
    pub size: u16,
    /// Offset of the descriptor table.
    pub descriptors: usize,
    /// Offset of the available ring.
    pub available: usize,
    /// Offset of the used ring.
    pub used: usize,
    /// Where the next thing may begin.
    pub end: usize,
}

impl Layout {
    /// A queue of `size` descriptors at `offset`, which is a multiple of 16.
    pub const fn at(offset: usize, size: u16) -> Self {
        let descriptors = offset;
        let available = descriptors + 16 * size as usize;
        let used = (available + 6 + 2 * size as usize).next_multiple_of(4);
        let end = (used + 6 + 8 * size as usize).next_multiple_of(16);
        Self { size, descriptors, available, used, end }
    }
}

/// A buffer that the device is done with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Used {
    /// The head of its descriptor chain; unchecked.
    pub id: u32,
    /// Bytes that the device says it has written; unchecked.
    pub len: u32,
}

/// A queue.
pub struct Queue {
    memory: *mut u8,
    layout: Layout,
    next_available: u16,
    next_used: u16,
    broken: bool,
}

// SAFETY: the memory belongs to the queue, whichever thread holds it.
unsafe impl Send for Queue {}

impl Queue {
    /// An empty queue.
    ///
    /// # Safety
    /// `memory` has at least `layout.end` zeroed bytes, aligned to 16, that are the queue's own (and the device's) as
    /// long as it lives.
    pub unsafe fn new(memory: *mut u8, layout: Layout) -> Self {
        Self { memory, layout, next_available: 0, next_used: 0, broken: false }
    }

    fn at<T>(&self, offset: usize) -> *mut T {
        debug_assert!(offset + size_of::<T>() <= self.layout.end && offset.is_multiple_of(align_of::<T>()));
        // SAFETY: callers pass offsets of fields of the three parts, all of which lie before `layout.end`.
        unsafe { self.memory.add(offset).cast() }
    }

    fn load(&self, offset: usize) -> u16 {
        // SAFETY: `at` gives an aligned field of the queue's memory.
        unsafe { read_volatile(self.at(offset)) }
    }

    fn store(&self, offset: usize, value: u16) {
        // SAFETY: as in `load`.
        unsafe { write_volatile(self.at(offset), value) }
    }

    /// Writes a descriptor. The index is taken modulo the size.
    pub fn describe(&mut self, index: u16, descriptor: Descriptor) {
        let index = usize::from(index & (self.layout.size - 1));
        // SAFETY: the index is within the table.
        unsafe { write_volatile(self.at(self.layout.descriptors + 16 * index), descriptor) }
    }

    /// Offers a descriptor chain to the device.
    pub fn offer(&mut self, head: u16) {
        let slot = usize::from(self.next_available & (self.layout.size - 1));
        self.store(self.layout.available + 4 + 2 * slot, head);
        self.next_available = self.next_available.wrapping_add(1);
        // The device must see the descriptor and the ring entry before the index.
        fence(Ordering::Release);
        self.store(self.layout.available + 2, self.next_available);
    }

    /// Whether the device wants to be told of what was offered.
    pub fn wants_notification(&self) -> bool {
        // The index must be visible before the device's flag is read, or both sides may wait for each other.
        fence(Ordering::SeqCst);
        self.load(self.layout.used) & USED_NO_NOTIFY == 0
    }

    /// Whether the device is to interrupt when it has used buffers. After switching it on, look at what was used until
    /// then.
    pub fn set_interrupts(&mut self, on: bool) {
        self.store(self.layout.available, if on { 0 } else { AVAIL_NO_INTERRUPT });
        fence(Ordering::SeqCst);
    }

    /// The next buffer that the device has used.
    pub fn take_used(&mut self) -> Option<Used> {
        if self.broken {
            return None;
        }
        let ready = self.load(self.layout.used + 2).wrapping_sub(self.next_used);
        if ready == 0 {
            return None;
        }
        if ready > self.layout.size {
            self.broken = true;
            return None;
        }
        // The entry is read after the index that announces it.
        fence(Ordering::Acquire);
        let slot = usize::from(self.next_used & (self.layout.size - 1));
        let entry = self.layout.used + 4 + 8 * slot;
        // SAFETY: the slot is within the used ring.
        let (id, len) = unsafe { (read_volatile(self.at(entry)), read_volatile(self.at(entry + 4))) };
        self.next_used = self.next_used.wrapping_add(1);
        Some(Used { id, len })
    }

    /// The device has broken the rules; nothing more comes out of this queue.
    pub fn is_broken(&self) -> bool {
        self.broken
    }
}
