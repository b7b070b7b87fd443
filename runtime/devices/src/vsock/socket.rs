//! The host's sockets, as the device wants them.

use rustix::io::ioctl_fionbio;
use std::os::fd::OwnedFd;

/// A connected Unix stream socket that never blocks.
///
/// The device reads and writes it as a file (`readv`, `writev`): the calls of sockets could take flags instead, but they
/// also pass descriptors, which a process that serves a hostile guest is better not able to do.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    /// Makes a connected stream socket, and whatever shares it, non-blocking.
    ///
    /// Who writes to it when its reader is gone gets `SIGPIPE`: the process has to block or to ignore that.
    pub fn new(socket: OwnedFd) -> rustix::io::Result<Self> {
        ioctl_fionbio(&socket, true)?;
        Ok(Self(socket))
    }

    /// The socket itself.
    pub(super) fn into_fd(self) -> OwnedFd {
        self.0
    }
}
