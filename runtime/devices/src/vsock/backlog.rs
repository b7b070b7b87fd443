//! What the guest has sent and the host has not taken yet.

use crate::queue::Part;
use rustix::io::{Errno, IoSlice, writev};
use std::os::fd::BorrowedFd;
use vm_memory::{Address, Bytes, GuestMemoryMmap};

/// A ring of bytes of fixed size. Its memory is only touched as far as it was ever filled.
#[derive(Debug)]
pub struct Backlog {
    bytes: Vec<u8>,
    size: usize,
    start: usize,
    len: usize,
}

impl Backlog {
    /// An empty one that takes `size` bytes. Allocates nothing yet.
    pub fn new(size: usize) -> Self {
        Self { bytes: Vec::new(), size, start: 0, len: 0 }
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none wait.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets what waits.
    pub fn clear(&mut self) {
        (self.start, self.len) = (0, 0);
    }

    /// Appends `len` bytes of guest memory: those of `parts` from `skip` on. False, and nothing appended, if they do
    /// not fit or are not there.
    #[must_use]
    pub fn append(&mut self, memory: &GuestMemoryMmap, parts: &[Part], skip: usize, len: usize) -> bool {
        if len > self.size - self.len {
            return false;
        }
        if self.bytes.is_empty() {
            self.bytes = vec![0; self.size];
        }
        let (mut skip, mut added) = (skip, 0);
        for part in parts {
            let part_len = usize::try_from(part.len).unwrap_or(0);
            let here = skip.min(part_len);
            skip -= here;
            let take = (part_len - here).min(len - added);
            let Some(address) = part.address.checked_add(here as u64) else { return false };
            for (offset, piece) in self.room(self.len + added, take) {
                let Some(address) = address.checked_add(offset as u64) else { return false };
                if memory.read_slice(piece, address).is_err() {
                    return false;
                }
            }
            added += take;
        }
        if added == len {
            self.len += len;
        }
        added == len
    }

    /// The room for `len` bytes behind the first `used` ones, in one or two pieces: offset and bytes. There has to be
    /// that much.
    fn room(&mut self, used: usize, len: usize) -> impl Iterator<Item = (usize, &mut [u8])> {
        let begin = (self.start + used) % self.size;
        let first = len.min(self.size - begin);
        let (front, back) = self.bytes.split_at_mut(begin);
        let first_piece = back.get_mut(..first).unwrap_or_default();
        let second_piece = front.get_mut(..len - first).unwrap_or_default();
        [(0, first_piece), (first, second_piece)].into_iter()
    }

    /// Sends as much as the non-blocking socket takes at once. Says how much that was.
    pub fn send(&mut self, socket: BorrowedFd<'_>) -> Result<usize, Errno> {
        let end = self.start + self.len;
        let first = self.bytes.get(self.start..end.min(self.size)).unwrap_or_default();
        let second = self.bytes.get(..end.saturating_sub(self.size)).unwrap_or_default();
        let pieces = [IoSlice::new(first), IoSlice::new(second)];
        let sent = writev(socket, &pieces)?;
        self.start = (self.start + sent) % self.size;
        self.len -= sent;
        if self.len == 0 {
            self.start = 0;
        }
        Ok(sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use std::os::fd::AsFd;
    use vm_memory::GuestAddress;

    fn memory() -> GuestMemoryMmap {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 4096)]).unwrap();
        for address in 0..4096u64 {
            memory.write_obj((address % 251) as u8, GuestAddress(address)).unwrap();
        }
        memory
    }

    fn part(address: u64, len: u32) -> Part {
        Part { address: GuestAddress(address), len }
    }

    proptest! {
        /// What goes in comes out, in order, whatever the pieces.
        #[test]
        fn it_is_a_queue(steps in prop::collection::vec((0u64..4000, 0u32..60, 0usize..40, any::<bool>()), 1..60)) {
            let memory = memory();
            let flags = SocketFlags::NONBLOCK;
            let (sender, receiver) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
            let mut backlog = Backlog::new(100);
            let mut expected = Vec::new();
            for (address, len, skip, drain) in steps {
                let parts = [part(address, len / 3), part(address + u64::from(len / 3), len - len / 3)];
                let skip = skip.min(len as usize);
                let wanted = len as usize - skip;
                let fits = wanted <= 100 - backlog.len();
                prop_assert_eq!(backlog.append(&memory, &parts, skip, wanted), fits);
                if fits {
                    let start = address + skip as u64;
                    expected.extend((start..start + wanted as u64).map(|address| (address % 251) as u8));
                }
                if drain {
                    backlog.send(sender.as_fd()).unwrap();
                    prop_assert!(backlog.is_empty());
                }
            }
            backlog.send(sender.as_fd()).unwrap();
            let mut received = vec![0; expected.len() + 1];
            let len = rustix::io::read(&receiver, &mut received).unwrap_or(0);
            received.truncate(len);
            prop_assert_eq!(received, expected);
        }
    }

    #[test]
    fn memory_that_is_not_there_is_not_appended() {
        let mut backlog = Backlog::new(100);
        assert!(!backlog.append(&memory(), &[part(4090, 20)], 0, 20));
        assert!(!backlog.append(&memory(), &[part(u64::MAX - 3, 20)], 10, 10));
        assert!(backlog.is_empty());
    }
}
