//! `unix(7)`: sockets between processes of this machine.

use alloc::sync::Arc;
use ampoule_kbase::{Errno, File, Once, Result};

/// What a socket inode holds: the way to the socket that is bound to it. Outlives the socket.
pub struct Binding {
    _private: (),
}

/// Path names of sockets, which the kernel looks up and makes in its file systems, for the calling process.
pub trait Names: Sync {
    /// Makes a socket inode at `path` that holds `binding`; `EADDRINUSE` where something exists.
    fn bind(&self, path: &[u8], binding: Arc<Binding>) -> Result<()>;
    /// What the inode at `path` holds: `ECONNREFUSED` if it is no socket, `EACCES` if the caller may not write to it.
    fn find(&self, path: &[u8]) -> Result<Arc<Binding>>;
}

static NAMES: Once<&'static dyn Names> = Once::new();

/// Gives sockets their path names, once, at start-up; the first call wins.
pub fn install_names(names: &'static dyn Names) -> bool {
    NAMES.set(names)
}

/// `socket(AF_UNIX, kind, protocol)`.
pub fn socket(_kind: u32, _protocol: u32) -> Result<Arc<dyn File>> {
    Err(Errno::ENOSYS)
}

/// `socketpair(AF_UNIX, kind, protocol)`.
pub fn socketpair(_kind: u32, _protocol: u32) -> Result<(Arc<dyn File>, Arc<dyn File>)> {
    Err(Errno::ENOSYS)
}
