//! A buffer: a chain of descriptors.

use virtio_queue::DescriptorChain;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// Most descriptors of a buffer that are looked at. Linux uses at most 18 for a packet.
pub const MAX_PARTS: usize = 64;

/// A piece of guest memory. Not checked against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it starts.
    pub address: GuestAddress,
    /// Its length in bytes.
    pub len: u32,
}

/// A buffer that the driver offers, as it was when it was taken: later changes of the descriptors do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Its number, to return it.
    pub head: u16,
    /// What the device may read.
    pub readable: Vec<Part>,
    /// What the device may write.
    pub writable: Vec<Part>,
    /// Whether it breaks no rule.
    pub is_sound: bool,
}

impl Chain {
    /// Follows a chain to its end, or as far as it makes sense.
    pub fn new(descriptors: DescriptorChain<&GuestMemoryMmap>) -> Self {
        let mut chain = Self { head: descriptors.head_index(), ..Self::default() };
        for (count, descriptor) in descriptors.enumerate() {
            let part = Part { address: descriptor.addr(), len: descriptor.len() };
            if count == MAX_PARTS {
                return chain;
            }
            match descriptor.is_write_only() {
                true => chain.writable.push(part),
                // "The driver MUST place any device-writable descriptors after any device-readable ones."
                false if !chain.writable.is_empty() => return chain,
                false => chain.readable.push(part),
            }
            chain.is_sound = !descriptor.has_next();
        }
        chain
    }

    /// Reads from the beginning of the readable parts. False if there is too little, or it is not in memory.
    pub fn read(&self, memory: &GuestMemoryMmap, buffer: &mut [u8]) -> bool {
        let mut rest = buffer;
        for part in &self.readable {
            let here = rest.len().min(usize::try_from(part.len).unwrap_or(0));
            let (now, later) = rest.split_at_mut(here);
            if memory.read_slice(now, part.address).is_err() {
                return false;
            }
            rest = later;
        }
        rest.is_empty()
    }

    /// Writes to the beginning of the writable parts. False if there is too little room, or it is not in memory.
    pub fn write(&self, memory: &GuestMemoryMmap, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        for part in &self.writable {
            let here = rest.len().min(usize::try_from(part.len).unwrap_or(0));
            let (now, later) = rest.split_at(here);
            if memory.write_slice(now, part.address).is_err() {
                return false;
            }
            rest = later;
        }
        rest.is_empty()
    }
}

/// How many bytes these parts have together.
pub fn total(parts: &[Part]) -> usize {
    parts.iter().map(|part| usize::try_from(part.len).unwrap_or(0)).fold(0, usize::saturating_add)
}
