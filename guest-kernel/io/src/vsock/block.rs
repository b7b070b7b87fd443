//! Contiguous memory for packets.

use ampoule_kbase::frames::{allocate_block, direct, free_block};
use ampoule_kbase::{PAGE_SIZE, Result};

/// A block of `2^order` pages that the device may access.
pub struct Block {
    physical: u64,
    order: usize,
}

impl Block {
    /// A block of `2^order` pages with arbitrary contents.
    pub fn exactly(order: usize) -> Result<Self> {
        Ok(Self { physical: allocate_block(order, false)?, order })
    }

    /// A block of `2^order` pages with arbitrary contents, or a single page where that is not to be had.
    pub fn new(order: usize) -> Result<Self> {
        Self::exactly(order).or_else(|_| Self::exactly(0))
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        PAGE_SIZE << self.order
    }

    /// Where the device finds it.
    pub fn physical(&self) -> u64 {
        self.physical
    }

    /// The first `len` bytes, at most all.
    ///
    /// # Safety
    /// The device has given the block back, or never had it. (A host that writes to it all the same could write
    /// to any memory; what is read from here is copied, and bounds never depend on reading twice.)
    pub unsafe fn bytes(&self, len: usize) -> &[u8] {
        // SAFETY: in bounds of the block, which is live while `self` is; the caller promises that nobody writes.
        unsafe { core::slice::from_raw_parts(direct(self.physical), len.min(self.len())) }
    }

    /// As [`bytes`](Self::bytes), to write.
    ///
    /// # Safety
    /// As for [`bytes`](Self::bytes).
    pub unsafe fn bytes_mut(&mut self, len: usize) -> &mut [u8] {
        // SAFETY: as in `bytes`, and the block is borrowed mutably.
        unsafe { core::slice::from_raw_parts_mut(direct(self.physical), len.min(self.len())) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: it came from `allocate_block` with this order, and its owner is gone.
        unsafe { free_block(self.physical, self.order) }
    }
}
