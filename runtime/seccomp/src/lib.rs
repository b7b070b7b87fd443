//! The system-call filters of the VMM's threads. `docs/seccomp.md` has what each may do, and why.
//!
//! - [`Thread::install`]: from then on, the calling thread makes only the calls of its filter; any other kills the
//!   process. Nothing can take a filter off again.
//! - [`availability`]: whether the host's kernel has such filters.
//!
//! The filters are data (`policies/seccomp/*.toml`), compiled when this crate is built: at run time there is one system
//! call to make. They are the same in debug and release builds.

use libc::{sock_filter, sock_fprog};
use rustix::io::Errno;
use rustix::process::getpid;
use rustix::thread::set_no_new_privs;
use thiserror::Error;

include!(concat!(env!("OUT_DIR"), "/programs.rs"));

/// A kind of thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thread {
    /// The first one, while it puts the VM together.
    Main,
    /// The same, when it is about to enter the guest. Has the filter of [`Thread::Main`], too.
    Vcpu,
    /// The one that serves the devices, while it loads the kernel.
    Loader,
    /// The same, when that is done. Has the filter of [`Thread::Loader`], too.
    Devices,
}

/// Whether the host's kernel has filters that kill a process. It is not changed by asking.
pub fn availability() -> Result<(), Errno> {
    let action: u32 = libc::SECCOMP_RET_KILL_PROCESS;
    // SAFETY: the operation reads one `u32`, which is there.
    match unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Why there is no filter.
#[derive(Debug, Error)]
#[error(
    "cannot install the system-call filter of the {thread:?} thread: {errno} (the host's kernel needs CONFIG_SECCOMP_FILTER)"
)]
pub struct Error {
    /// Whose filter.
    pub thread: Thread,
    /// What the kernel says.
    pub errno: Errno,
}

/// A filter as the kernel takes it.
struct Program<const LEN: usize> {
    code: [sock_filter; LEN],
    /// Instructions that get the process's id as their operand.
    own_pid: &'static [usize],
}

impl Thread {
    /// Installs the filter of this kind of thread for the calling thread. It cannot gain privileges by executing
    /// programs from then on, either.
    pub fn install(self) -> Result<(), Error> {
        // Filters need it. Whoever has one already may not ask again.
        let prepared = match self {
            Self::Main | Self::Loader => set_no_new_privs(true),
            Self::Vcpu | Self::Devices => Ok(()),
        };
        prepared
            .and_then(|()| match self {
                Self::Main => MAIN.install(),
                Self::Vcpu => VCPU.install(),
                Self::Loader => LOADER.install(),
                Self::Devices => DEVICES.install(),
            })
            .map_err(|errno| Error { thread: self, errno })
    }
}

impl<const LEN: usize> Program<LEN> {
    fn install(&self) -> Result<(), Errno> {
        let mut code = self.code;
        let pid = getpid().as_raw_nonzero().get().cast_unsigned();
        for &index in self.own_pid {
            if let Some(instruction) = code.get_mut(index) {
                instruction.k = pid;
            }
        }
        let program =
            sock_fprog { len: u16::try_from(LEN).map_err(|_| Errno::TOOBIG)?, filter: code.as_mut_ptr() };
        // SAFETY: `program` describes `code`, which the kernel copies. What the filter forbids kills the process: no
        // memory is at stake.
        let result =
            unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
        match result {
            0 => Ok(()),
            _ => Err(last_errno()),
        }
    }
}
