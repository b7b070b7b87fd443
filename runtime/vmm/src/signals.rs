//! Signals that end the VM, as a descriptor.

use crate::error::Error;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::io::Errno;

/// Signals that do nothing by themselves any more.
pub struct Blocked(SigSet);

/// Blocks SIGTERM, SIGINT and SIGHUP in this thread and those it starts. SIGPIPE, too: who writes to a reader that is
/// gone gets an error.
pub fn block() -> Result<Blocked, Error> {
    let ending: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect();
    let mut all = ending;
    all.add(Signal::SIGPIPE);
    all.thread_block().map_err(failed)?;
    Ok(Blocked(ending))
}

impl Blocked {
    /// A descriptor that is readable when one of the signals that end the VM has come.
    pub fn catch(&self) -> Result<SignalFd, Error> {
        SignalFd::with_flags(&self.0, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map_err(failed)
    }
}

fn failed(error: nix::Error) -> Error {
    Error::Host { what: "catch signals", errno: Errno::from_raw_os_error(error as i32) }
}
