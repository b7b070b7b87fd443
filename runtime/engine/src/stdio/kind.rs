//! What kind of file a descriptor is, and how to use it without blocking.

use rustix::fs::{FileType, fstat};
use rustix::io;
use std::os::fd::AsFd;

/// Kinds of files, by how they are used without blocking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file or block device: never blocks for long, and is always ready.
    Regular,
    /// `preadv2`/`pwritev2` with `RWF_NOWAIT`; on kernels that cannot, at most `PIPE_BUF` bytes when it is ready.
    Pipe,
    /// `MSG_DONTWAIT`.
    Socket,
    /// A terminal or another device: reads when it is ready; writes through a file description of our own.
    Device,
}

impl Kind {
    /// Finds out the kind of `fd`.
    pub fn of(fd: impl AsFd) -> io::Result<Self> {
        Ok(match FileType::from_raw_mode(fstat(fd)?.st_mode) {
            FileType::Fifo => Self::Pipe,
            FileType::Socket => Self::Socket,
            FileType::CharacterDevice => Self::Device,
            _ => Self::Regular,
        })
    }
}
