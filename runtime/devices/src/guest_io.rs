//! Socket I/O straight from and to guest memory, without a copy and without ever blocking.

use crate::queue::Part;
use libc::{c_int, c_void, iovec};
use rustix::io::Errno;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd};
use vm_memory::{Address, GuestMemory, GuestMemoryMmap, Permissions};

/// Pieces of guest memory, checked to be there.
///
/// The guest may change them at any time. Only the kernel reads or writes through the pointers, so that is no more than
/// a race between two processes.
pub struct GuestBuffers<'m> {
    pieces: Vec<iovec>,
    len: usize,
    memory: PhantomData<&'m GuestMemoryMmap>,
}

impl<'m> GuestBuffers<'m> {
    /// The bytes of `parts` from `skip` on, at most `limit`. `None` if one of them is not in memory.
    pub fn new(memory: &'m GuestMemoryMmap, parts: &[Part], skip: usize, limit: usize) -> Option<Self> {
        let mut buffers = Self { pieces: Vec::with_capacity(parts.len()), len: 0, memory: PhantomData };
        let mut skip = skip;
        for part in parts {
            let part_len = usize::try_from(part.len).ok()?;
            let here = skip.min(part_len);
            skip -= here;
            let len = (part_len - here).min(limit - buffers.len);
            if len == 0 {
                continue;
            }
            let start = part.address.checked_add(here as u64)?;
            for slice in memory.get_slices(start, len, Permissions::ReadWrite).ok()? {
                let slice = slice.ok()?;
                let base = slice.ptr_guard_mut().as_ptr().cast::<c_void>();
                buffers.pieces.push(iovec { iov_base: base, iov_len: slice.len() });
                buffers.len += slice.len();
            }
        }
        Some(buffers)
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Sends them, as far as the non-blocking socket takes them at once.
    pub fn send(&self, socket: BorrowedFd<'_>) -> Result<usize, Errno> {
        let (pieces, count) = self.pieces();
        // SAFETY: the pieces are memory of the guest, which stays mapped as long as `'m`.
        check(unsafe { libc::writev(socket.as_raw_fd(), pieces, count) })
    }

    /// Fills them, as far as the non-blocking socket has something at once. 0 is the end of the stream. Descriptors that come
    /// along are closed by the kernel, as there is no room for them.
    pub fn receive(&self, socket: BorrowedFd<'_>) -> Result<usize, Errno> {
        let (pieces, count) = self.pieces();
        // SAFETY: as in `send`; guest memory is writable.
        check(unsafe { libc::readv(socket.as_raw_fd(), pieces, count) })
    }

    /// As the kernel takes them. It refuses more than 1024, and a queue's chain has fewer.
    fn pieces(&self) -> (*const iovec, c_int) {
        (self.pieces.as_ptr(), c_int::try_from(self.pieces.len()).unwrap_or(c_int::MAX))
    }
}

fn check(result: isize) -> Result<usize, Errno> {
    usize::try_from(result)
        .map_err(|_| Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
}
