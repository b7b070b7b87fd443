//! Everything a file descriptor can name that is not a file of a file system: pipes, event files, sockets, terminals;
//! and the one device driver that the kernel needs, virtio-vsock.
//!
//! | module | what it makes |
//! |---|---|
//! | [`pipe`] | pipes and FIFOs |
//! | [`event`] | eventfd, timerfd, signalfd, epoll |
//! | [`socket`] | `socket(2)` and `socketpair(2)` over [`unix`], [`inet`] (loopback alone) and [`vsock`] |
//! | [`tty`] | pseudo-terminals with a line discipline, `/dev/tty` |
//! | [`console`] | `/dev/console`: the kernel log |
//!
//! Nothing here blocks: operations return `EAGAIN` and the system-call layer waits on the file's wait queue. Functions
//! are to be called from thread context, or from an interrupt that did not interrupt the kernel itself: the locks are not
//! safe against interrupt handlers that run in the middle of kernel code.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod anon;
mod bytes;
pub mod console;
pub mod event;
pub mod inet;
mod options;
pub mod pipe;
pub mod socket;
mod socket_file;
#[cfg(test)]
mod testing;
pub mod tty;
pub mod unix;
pub mod vsock;
