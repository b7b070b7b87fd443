//! Signals that end the VM, as a descriptor.

use crate::error::Error;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::io::Errno;

/// Blocks SIGTERM, SIGINT and SIGHUP in this thread and those it starts; the descriptor becomes readable instead.
pub fn catch() -> Result<SignalFd, Error> {
    let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect();
    let failed = |error: nix::Error| Error::Host {
        what: "catch signals",
        errno: Errno::from_raw_os_error(error as i32),
    };
    signals.thread_block().map_err(failed)?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map_err(failed)
}
