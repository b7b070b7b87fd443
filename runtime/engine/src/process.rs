//! The VMM as a process: started without copying this one, watched and ended without racing for its pid.

use crate::error::Error;
use crate::program::VmmProgram;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::{SigSet, Signal};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, WaitId, WaitIdOptions, WaitIdStatus, pidfd_open, pidfd_send_signal, waitid,
};
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// A child process. Dropping it kills and reaps it.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    pidfd: OwnedFd,
    gone: Option<Gone>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    Exited(i32),
    Killed(i32),
}

/// The file descriptors of a new process: standard error, and those that it inherits under their own numbers.
pub(crate) struct Descriptors<'a> {
    pub(crate) stderr: BorrowedFd<'a>,
    pub(crate) inherited: &'a [RawFd],
}

impl Process {
    /// Starts a program, in a process group of its own so that a terminal's Ctrl-C does not reach it, with no
    /// environment and no signal blocked or ignored.
    ///
    /// `posix_spawn` shares memory with the child until it executes the program, so a large process pays nothing
    /// for being large. All descriptors of this process must be close-on-exec (see [`crate::close_on_exec`]).
    pub(crate) fn start(program: &VmmProgram, argument: &str, fds: &Descriptors<'_>) -> Result<Self, Error> {
        let path = program.path()?;
        let failed = |errno: nix::Error| Error::Spawn { errno: Errno::from_raw_os_error(errno as i32) };
        let argument = CString::new(argument).map_err(|_| failed(nix::Error::EINVAL))?;
        let actions = file_actions(fds).map_err(failed)?;
        let attributes = attributes().map_err(failed)?;
        let arguments = [c"ampoule-vmm", argument.as_c_str()];
        let pid = posix_spawn(path.as_c_str(), &actions, &attributes, &arguments, no_environment()).map_err(
            |errno| match (errno, program) {
                (nix::Error::EACCES, VmmProgram::Memory(_)) => Error::MemfdNoexec,
                (errno, _) => failed(errno),
            },
        )?;
        let pid = Pid::from_raw(pid.as_raw()).ok_or(Error::Spawn { errno: Errno::CHILD })?;
        // The pid cannot be another process's: only we reap the child.
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(Error::system("open a pidfd"))?;
        Ok(Self { pid, pidfd, gone: None })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    /// Ends it.
    pub(crate) fn kill(&self) {
        self.signal(rustix::process::Signal::KILL);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        if self.gone.is_none() {
            // It fails only for a process that is gone already.
            let _ = pidfd_send_signal(&self.pidfd, signal);
        }
    }

    /// How it ended, if it did.
    pub(crate) fn poll_gone(&mut self) -> Option<Gone> {
        self.reap(WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> Option<Gone> {
        self.reap(WaitIdOptions::EXITED)
    }

    fn reap(&mut self, options: WaitIdOptions) -> Option<Gone> {
        if self.gone.is_none() {
            self.gone = loop {
                match waitid(WaitId::PidFd(self.pidfd.as_fd()), options) {
                    Err(Errno::INTR) => {}
                    Ok(status) => break status.as_ref().map(Gone::from_status),
                    // Somebody else reaped it; how it ended is not to be known.
                    Err(_) => break Some(Gone::Exited(-1)),
                }
            };
        }
        self.gone
    }
}

impl Gone {
    fn from_status(status: &WaitIdStatus) -> Self {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Self::Exited(code),
            (None, signal) => Self::Killed(signal.unwrap_or_default()),
        }
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.poll_gone().is_none() {
            self.kill();
            self.wait();
        }
    }
}

fn file_actions(fds: &Descriptors<'_>) -> nix::Result<PosixSpawnFileActions> {
    let mut actions = PosixSpawnFileActions::init()?;
    actions.add_dup2(fds.stderr.as_raw_fd(), 2)?;
    let null = |actions: &mut PosixSpawnFileActions, fd| {
        actions.add_open(fd, c"/dev/null", nix::fcntl::OFlag::O_RDWR, nix::sys::stat::Mode::empty())
    };
    null(&mut actions, 0)?;
    null(&mut actions, 1)?;
    for &fd in fds.inherited {
        // On itself: clears close-on-exec, in the child alone.
        actions.add_dup2(fd, fd)?;
    }
    Ok(actions)
}

fn attributes() -> nix::Result<PosixSpawnAttr> {
    let mut attributes = PosixSpawnAttr::init()?;
    attributes.set_flags(
        PosixSpawnFlags::POSIX_SPAWN_SETPGROUP
            | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK
            | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF,
    )?;
    attributes.set_pgroup(nix::unistd::Pid::from_raw(0))?;
    attributes.set_sigmask(&SigSet::empty())?;
    let mut default = SigSet::empty();
    for signal in [Signal::SIGPIPE, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP, Signal::SIGTERM] {
        default.add(signal);
    }
    attributes.set_sigdefault(&default)?;
    Ok(attributes)
}

fn no_environment() -> &'static [&'static std::ffi::CStr] {
    &[]
}
