//! The VMM as a process: started in its jail, watched and ended without racing for its pid.

use crate::config::VmmSpec;
use crate::error::Error;
pub(crate) use crate::layer::Jail;
use crate::program::VmmProgram;
use ampoule_cgroup::Cgroup;
use ampoule_jail::{Command, Group, Isolation};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitIdStatus, pidfd_send_signal, waitid};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

/// A child process. Dropping it kills and reaps it.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    pidfd: OwnedFd,
    jail: Jail,
    gone: Option<Gone>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    Exited(i32),
    Killed(i32),
}

impl Process {
    /// Starts a VMM in a session of its own, so that a terminal's Ctrl-C does not reach it, with nothing but the
    /// descriptors of its specification. It joins its control group before anything else.
    pub(crate) fn start(
        program: &VmmProgram,
        spec: &VmmSpec<'_>,
        stderr: BorrowedFd<'_>,
        group: &Cgroup,
        isolation: Isolation,
    ) -> Result<Self, Error> {
        let file = program.open()?;
        let argument =
            CString::new(spec.config.to_json()).map_err(|_| Error::Spawn { errno: Errno::INVAL })?;
        let command = Command {
            program: file.as_program(),
            arguments: vec![c"ampoule-vmm".to_owned(), argument],
            stderr,
            descriptors: spec.descriptors.clone(),
            groups: group.joins().map(|join| Group { join: join.file, directory: join.directory }).collect(),
            own_status: true,
            limits: spec.limits,
        };
        let child = ampoule_jail::spawn(&command, isolation, &mut |_| Ok(file.complete()?))
            .map_err(|error| Error::starting(error, program))?;
        let jail = Jail::around(&child, group);
        Ok(Self { pid: child.pid, pidfd: child.pidfd, jail, gone: None })
    }

    /// Its process id, for the system's calls.
    pub(crate) fn id(&self) -> Option<Pid> {
        Some(self.pid)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// What it is locked up in.
    pub(crate) fn jail(&self) -> &Jail {
        &self.jail
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

    /// Waits for its end, and not for longer than until then.
    pub(crate) fn wait_until(&self, until: Instant) {
        let left = until.saturating_duration_since(Instant::now());
        // It fails with a signal: the caller looks whether it is time.
        let _ = poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], Timespec::try_from(left).ok().as_ref());
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
