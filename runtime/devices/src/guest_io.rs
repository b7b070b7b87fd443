//! Socket I/O straight from and to guest memory, without a copy and without ever blocking.

use crate::queue::Part;
use libc::{MSG_DONTWAIT, MSG_NOSIGNAL, c_void, iovec, msghdr};
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

    /// Sends them, as far as the socket takes them at once.
    pub fn send(&mut self, socket: BorrowedFd<'_>) -> Result<usize, Errno> {
        let message = self.message();
        // SAFETY: the message points to memory of the guest, which stays mapped as long as `'m`.
        check(unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, MSG_DONTWAIT | MSG_NOSIGNAL) })
    }

    /// Fills them, as far as the socket has something at once. 0 is the end of the stream. Descriptors that come along
    /// are closed by the kernel, as there is no room for them.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> Result<usize, Errno> {
        let mut message = self.message();
        // SAFETY: as in `send`; guest memory is writable.
        check(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, MSG_DONTWAIT) })
    }

    fn message(&mut self) -> msghdr {
        // SAFETY: all zeroes are an empty message.
        let mut message: msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = self.pieces.as_mut_ptr();
        message.msg_iovlen = self.pieces.len();
        message
    }
}

fn check(result: isize) -> Result<usize, Errno> {
    usize::try_from(result)
        .map_err(|_| Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
}
