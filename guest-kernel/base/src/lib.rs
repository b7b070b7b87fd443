//! What every part of the guest kernel stands on: error numbers, locks, physical page frames, user I/O buffers,
//! wait queues, the [`File`] trait of everything that a file descriptor can name, and the [`Platform`] through
//! which the lower crates ask the kernel proper for time, timers, signals and entropy.
//!
//! ```text
//!   kernel (binary: boot, traps, memory, processes, system calls)
//!     |            |
//!     v            v
//!    fs           io           file systems | pipes, sockets, ttys, epoll, drivers
//!     |            |
//!     +-----v------+
//!         base                 this crate
//! ```
//!
//! The crate also runs on the host, where `fs` and `io` have their unit tests: see [`testing`].
#![no_std]

extern crate alloc;
#[cfg(any(test, feature = "host"))]
extern crate std;

pub mod errno;
pub mod file;
pub mod frames;
pub mod heap;
pub mod platform;
pub mod sync;
#[cfg(any(test, feature = "host"))]
pub mod testing;
pub mod uio;
pub mod wait;

pub use errno::{Errno, Result};
pub use file::{Ancillary, DirEntry, File, FileType, OpenFile, Received, Socket, SocketAddress, Stat};
pub use frames::{Frame, PAGE_SIZE};
pub use platform::{Copies, Platform, TimerId, TimerTarget, platform};
pub use sync::{Mutex, Once};
pub use uio::{Sink, SliceSink, SliceSource, Source, UserMemory};
pub use wait::{Events, WaitId, WaitQueue, Waiter};
