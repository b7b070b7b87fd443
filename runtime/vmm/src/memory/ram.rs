//! Guest RAM: one memfd, mapped shared, in one or two ranges of guest addresses.

use crate::error::Error;
use crate::layout::{ABOVE_4G, MMIO_BASE};
use rustix::fs::{MemfdFlags, SeekFrom, ftruncate, memfd_create, seek, sendfile};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use vm_memory::mmap::FromRangesError;
use vm_memory::{FileOffset, GuestAddress, GuestMemoryMmap};

/// Guest RAM. Fresh pages read as zero.
#[derive(Clone, Debug)]
pub struct Ram {
    memory: GuestMemoryMmap,
    file: Arc<File>,
    low_end: u64,
    end: u64,
}

impl Ram {
    /// RAM of this many bytes, none of which is touched yet.
    pub fn new(bytes: u64) -> Result<Self, Error> {
        let fd =
            memfd_create("guest-ram", MemfdFlags::CLOEXEC).map_err(Error::host("create guest memory"))?;
        ftruncate(&fd, bytes).map_err(Error::host("size guest memory"))?;
        let file = Arc::new(File::from(fd));
        let low = bytes.min(MMIO_BASE);
        let mut ranges = vec![(0, low, 0)];
        if bytes > low {
            ranges.push((ABOVE_4G, bytes - low, low));
        }
        let end = ranges.last().map_or(0, |(start, len, _)| start + len);
        let memory = map(&file, &ranges).map_err(|error| Error::MapMemory(error.to_string()))?;
        Ok(Self { memory, file, low_end: low, end })
    }

    /// The memory itself.
    pub fn memory(&self) -> &GuestMemoryMmap {
        &self.memory
    }

    /// End of the RAM that starts at 0.
    pub fn low_end(&self) -> u64 {
        self.low_end
    }

    /// End of all RAM.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Copies from a file into low RAM, without mapping either: half the price of reading into fresh pages.
    /// False if the file ends before `len` bytes.
    pub fn load(&self, address: u64, file: BorrowedFd<'_>, offset: u64, len: u64) -> Result<bool, Errno> {
        // The memfd is the guest's address space up to the end of low RAM.
        let fits = address.checked_add(len).is_some_and(|end| end <= self.low_end);
        if !fits {
            return Err(Errno::FAULT);
        }
        seek(&self.file, SeekFrom::Start(address))?;
        let (mut offset, mut left) = (offset, usize::try_from(len).map_err(|_| Errno::FBIG)?);
        while left > 0 {
            match sendfile(&self.file, file, Some(&mut offset), left) {
                Ok(0) => return Ok(false),
                Ok(copied) => left = left.saturating_sub(copied),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

fn map(file: &Arc<File>, ranges: &[(u64, u64, u64)]) -> Result<GuestMemoryMmap, FromRangesError> {
    GuestMemoryMmap::from_ranges_with_files(ranges.iter().map(|&(start, len, offset)| {
        // A usize has 64 bits on every target that has KVM for x86-64.
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        (GuestAddress(start), len, Some(FileOffset::from_arc(Arc::clone(file), offset)))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, Write};
    use std::os::fd::AsFd;
    use vm_memory::{Bytes, GuestMemoryBackend};

    #[test]
    fn large_ram_is_split_around_the_hole() {
        let ram = Ram::new(4 << 30).unwrap();
        assert_eq!(ram.memory().num_regions(), 2);
        assert_eq!((ram.low_end(), ram.end()), (0xd000_0000, (4 << 30) + (4 << 30) - 0xd000_0000));
        ram.memory().write_obj(7u8, GuestAddress(ram.end() - 1)).unwrap();
        ram.memory().write_obj(7u8, GuestAddress(ram.low_end())).unwrap_err();
    }

    #[test]
    fn files_are_loaded_at_their_place() {
        let ram = Ram::new(2 << 20).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        assert!(ram.load(0x1003, file.as_fd(), 2, 5).unwrap());
        assert_eq!(ram.memory().read_obj::<[u8; 7]>(GuestAddress(0x1002)).unwrap(), *b"\x0023456\0");
        assert_eq!(file.stream_position().unwrap(), 10, "others may share the file's position");
        assert!(!ram.load(0x1003, file.as_fd(), 8, 5).unwrap());
        assert_eq!(ram.load((2 << 20) - 1, file.as_fd(), 0, 2), Err(Errno::FAULT));
    }
}
