//! Loads the initramfs of a Linux kernel: its parts one behind the other, at the end of low RAM.

use crate::descriptors::Slice;
use crate::error::KernelError;
use crate::layout::PAGE;
use crate::memory::Ram;

/// Where each part starts: the kernel reads archives with zeroes up to a multiple of this between them.
const ALIGN: u64 = 512;

/// A loaded initramfs. One without bytes is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Initrd {
    /// Physical address.
    pub start: u64,
    /// Length in bytes.
    pub len: u64,
}

impl Initrd {
    /// Loads the parts above the kernel, which ends at `kernel_end`.
    pub fn load(parts: &[Slice], kernel_end: u64, ram: &Ram) -> Result<Self, KernelError> {
        if parts.is_empty() {
            return Ok(Self::default());
        }
        let len = (parts.iter())
            .try_fold(0u64, |len, part| part.len.checked_next_multiple_of(ALIGN)?.checked_add(len));
        let too_large = || KernelError::InitrdDoesNotFit { len: len.unwrap_or(u64::MAX) };
        let len = len.ok_or_else(too_large)?;
        let start = ram.low_end().checked_sub(len).ok_or_else(too_large)? / PAGE * PAGE;
        if start < kernel_end {
            return Err(too_large());
        }
        let mut next = start;
        for part in parts {
            match ram.load(next, part.file, part.offset, part.len) {
                Ok(true) => next += part.len.next_multiple_of(ALIGN),
                Ok(false) => return Err(KernelError::InitrdTruncated),
                Err(errno) => return Err(KernelError::Read(errno)),
            }
        }
        Ok(Self { start, len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptors::borrow;
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use vm_memory::{Bytes, GuestAddress};

    #[test]
    fn parts_follow_each_other_at_the_end_of_ram() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let slice = |offset, len| Slice { file: borrow("test", file.as_raw_fd()).unwrap(), offset, len };
        let ram = Ram::new(2 << 20).unwrap();
        assert_eq!(Initrd::load(&[], 0, &ram), Ok(Initrd::default()));
        let initrd = Initrd::load(&[slice(0, 4), slice(6, 3)], 1 << 20, &ram).unwrap();
        assert_eq!(initrd, Initrd { start: (2 << 20) - 4096, len: 1024 });
        let read = |at| ram.memory().read_obj::<[u8; 5]>(GuestAddress(initrd.start + at)).unwrap();
        assert_eq!([read(0), read(512)], [*b"0123\0", *b"678\0\0"]);
        assert_eq!(Initrd::load(&[slice(0, 11)], 1 << 20, &ram), Err(KernelError::InitrdTruncated));
        for (len, kernel_end) in [(1, (2 << 20) - 1), (2 << 20, 4096), (3 << 20, 0), (u64::MAX, 0)] {
            let error = Initrd::load(&[slice(0, len)], kernel_end, &ram).unwrap_err();
            assert!(matches!(error, KernelError::InitrdDoesNotFit { .. }), "{error}");
        }
    }
}
