//! The memory that an image is in.

use ampoule_kbase::{Errno, Frame, PAGE_SIZE, Result};
use core::slice;

/// An image in memory: read-only, page-aligned, never freed.
#[derive(Debug)]
pub struct Image {
    physical: u64,
    base: *const u8,
    length: usize,
}

// SAFETY: the memory is never written to and lives for ever, as `new` was promised.
unsafe impl Send for Image {}
// SAFETY: as above.
unsafe impl Sync for Image {}

impl Image {
    /// An image of `length` bytes at physical address `physical`, which the kernel sees at `base`.
    ///
    /// # Safety
    /// The bytes, up to the next page boundary, must stay mapped at `base` and unchanged for as long as the kernel runs;
    /// the address must be page-aligned and outside of the RAM that the frame allocator knows.
    pub unsafe fn new(physical: u64, base: *const u8, length: usize) -> Self {
        Self { physical, base, length }
    }

    /// Its size in bytes.
    pub fn len(&self) -> u64 {
        self.length as u64
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// `length` bytes from `offset` on; `EIO` if they are not all there.
    pub fn bytes(&self, offset: u64, length: u64) -> Result<&[u8]> {
        // SAFETY: `new` was promised that much memory, unchanging, for ever.
        let all = unsafe { slice::from_raw_parts(self.base, self.length) };
        let start = usize::try_from(offset).map_err(|_| Errno::EIO)?;
        let length = usize::try_from(length).map_err(|_| Errno::EIO)?;
        let end = start.checked_add(length).ok_or(Errno::EIO)?;
        all.get(start..end).ok_or(Errno::EIO)
    }

    /// `N` bytes from `offset` on.
    pub(super) fn array<const N: usize>(&self, offset: u64) -> Result<[u8; N]> {
        let bytes = self.bytes(offset, N as u64)?;
        bytes.try_into().map_err(|_| Errno::EIO)
    }

    /// The page frame at `offset`, if that is a page boundary and the page is part of the image.
    pub fn frame(&self, offset: u64) -> Option<Frame> {
        let page = PAGE_SIZE as u64;
        let inside = offset.checked_add(page)? <= self.len().next_multiple_of(page);
        (offset.is_multiple_of(page) && inside).then(|| Frame::device(self.physical + offset))
    }
}
