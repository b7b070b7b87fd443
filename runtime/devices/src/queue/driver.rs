//! The driver's side of a queue, for tests. It knows how to be right, and how to be wrong.

use crate::mmio::QueueLayout;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// Flags of a descriptor.
pub const NEXT: u16 = 1;
pub const WRITE: u16 = 2;
/// Flag of the available ring: no interrupts, please.
pub const NO_INTERRUPT: u16 = 1;

/// A queue in guest memory: descriptors at `base`, the rings behind.
pub struct DriverQueue {
    memory: GuestMemoryMmap,
    base: u64,
    size: u16,
    available: u16,
    seen: u16,
    free: Vec<u16>,
}

impl DriverQueue {
    /// An empty queue. It takes less than 32 bytes for each descriptor.
    pub fn new(memory: &GuestMemoryMmap, base: u64, size: u16) -> Self {
        Self { memory: memory.clone(), base, size, available: 0, seen: 0, free: (0..size).rev().collect() }
    }

    pub fn layout(&self) -> QueueLayout {
        QueueLayout {
            size: self.size,
            descriptors: self.base,
            available: self.avail_ring(),
            used: self.used_ring(),
        }
    }

    fn avail_ring(&self) -> u64 {
        self.base + 16 * u64::from(self.size)
    }

    fn used_ring(&self) -> u64 {
        (self.avail_ring() + 6 + 2 * u64::from(self.size)).next_multiple_of(4)
    }

    /// How many descriptors are free.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    pub fn describe(&self, index: u16, address: u64, len: u32, flags: u16, next: u16) {
        let at = self.base + 16 * u64::from(index);
        self.memory.write_obj(address, GuestAddress(at)).unwrap();
        self.memory.write_obj(len, GuestAddress(at + 8)).unwrap();
        self.memory.write_obj(flags, GuestAddress(at + 12)).unwrap();
        self.memory.write_obj(next, GuestAddress(at + 14)).unwrap();
    }

    /// Offers a chain of these parts. There have to be enough descriptors.
    pub fn offer(&mut self, parts: &[(u64, u32)], flags: u16) -> u16 {
        let indices = self.free.split_off(self.free.len() - parts.len());
        for (number, (address, len)) in parts.iter().enumerate() {
            let next = indices.get(number + 1);
            let more = if next.is_some() { NEXT } else { 0 };
            self.describe(indices[number], *address, *len, flags | more, next.copied().unwrap_or(0));
        }
        self.offer_head(indices[0]);
        indices[0]
    }

    /// Offers whatever is there.
    pub fn offer_head(&mut self, head: u16) {
        let slot = u64::from(self.available % self.size);
        self.memory.write_obj(head, GuestAddress(self.avail_ring() + 4 + 2 * slot)).unwrap();
        self.set_available(self.available.wrapping_add(1));
    }

    pub fn set_available(&mut self, index: u16) {
        self.available = index;
        self.memory.write_obj(index, GuestAddress(self.avail_ring() + 2)).unwrap();
    }

    pub fn set_flags(&self, flags: u16) {
        self.memory.write_obj(flags, GuestAddress(self.avail_ring())).unwrap();
    }

    /// Whether the device wants to be notified.
    pub fn wants_notification(&self) -> bool {
        self.memory.read_obj::<u16>(GuestAddress(self.used_ring())).unwrap() & 1 == 0
    }

    /// Takes what the device has returned: the head, and how much it has written.
    pub fn take_used(&mut self) -> Option<(u16, u32)> {
        let index: u16 = self.memory.read_obj(GuestAddress(self.used_ring() + 2)).unwrap();
        if index == self.seen {
            return None;
        }
        let at = self.used_ring() + 4 + 8 * u64::from(self.seen % self.size);
        self.seen = self.seen.wrapping_add(1);
        let [head, len]: [u32; 2] = self.memory.read_obj(GuestAddress(at)).unwrap();
        Some((head as u16, len))
    }

    /// Frees the descriptors of a chain.
    pub fn release(&mut self, head: u16) {
        let mut index = head;
        loop {
            self.free.push(index);
            let at = self.base + 16 * u64::from(index);
            let [flags, next]: [u16; 2] = self.memory.read_obj(GuestAddress(at + 12)).unwrap();
            if flags & NEXT == 0 {
                return;
            }
            index = next;
        }
    }
}
