//! One mapping of an address space.

use alloc::sync::Arc;
use ampoule_kbase::File;

bitflags::bitflags! {
    /// `PROT_*` of `mmap(2)`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Protection: u32 {
        const READ = 1;
        const WRITE = 2;
        const EXECUTE = 4;
    }
}

/// Where an area's pages come from.
#[derive(Clone)]
pub enum Backing {
    /// Zeros.
    Anonymous,
    /// A file, from byte `offset` (a multiple of the page size) on.
    File {
        /// The file.
        file: Arc<dyn File>,
        /// The offset of the area's first byte.
        offset: u64,
    },
}

/// A range of addresses that were mapped together.
#[derive(Clone)]
pub struct Area {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// What the program may do with it.
    pub protection: Protection,
    /// Whether writes reach the backing (and other processes).
    pub shared: bool,
    /// Whether `mprotect` may add write permission: false for a shared mapping of a file that is open for reading only.
    pub may_write: bool,
    /// Where the pages come from.
    pub backing: Backing,
    /// What `/proc/PID/maps` shows for areas that are not of files.
    pub label: &'static str,
}

impl Area {
    /// The page number in the file that holds `address`, for file areas.
    pub fn file_page(&self, address: u64) -> Option<(&Arc<dyn File>, u64)> {
        match &self.backing {
            Backing::Anonymous => None,
            Backing::File { file, offset } => Some((file, (offset + (address - self.start)) / super::PAGE)),
        }
    }

    /// The same area cut to `start..end`, which lies in it.
    pub fn cut(&self, start: u64, end: u64) -> Self {
        let mut part = self.clone();
        part.start = start;
        part.end = end;
        if let Backing::File { offset, .. } = &mut part.backing {
            *offset += start - self.start;
        }
        part
    }

    /// Whether `next` begins where this ends and continues it, so that the two may become one.
    pub fn continues_into(&self, next: &Self) -> bool {
        let backing = match (&self.backing, &next.backing) {
            (Backing::Anonymous, Backing::Anonymous) => true,
            (Backing::File { file: a, offset: x }, Backing::File { file: b, offset: y }) => {
                Arc::ptr_eq(a, b) && x + (self.end - self.start) == *y
            }
            _ => false,
        };
        backing
            && self.end == next.start
            && self.protection == next.protection
            && self.shared == next.shared
            && self.may_write == next.may_write
            && self.label == next.label
    }

    /// Whether it counts as data: private, writable, and not the stack.
    pub fn is_data(&self) -> bool {
        !self.shared && self.protection.contains(Protection::WRITE) && self.label != "[stack]"
    }

    /// The length in bytes.
    pub fn length(&self) -> u64 {
        self.end - self.start
    }
}
