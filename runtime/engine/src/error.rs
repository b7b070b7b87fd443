//! Why a sandbox could not be started at all.

use crate::kvm::KvmProblem;
use crate::layer::Missing;
use crate::program::VmmProgram;
use rustix::io::Errno;
use thiserror::Error;

/// A sandbox that could not be started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// `/dev/kvm` cannot be used.
    #[error(transparent)]
    Kvm(#[from] KvmProblem),
    /// The VMM's program cannot be brought into memory.
    #[error("cannot load the VMM into memory: {errno}")]
    LoadVmm {
        /// What the system says.
        errno: Errno,
    },
    /// The system forbids to execute from memory.
    #[error(
        "this system forbids to execute files in memory (sysctl vm.memfd_noexec is 2), which is how the built-in VMM \
         is started; set it to 0 or 1, or name a VMM with AMPOULE_VMM"
    )]
    MemfdNoexec,
    /// The VMM's process cannot be started.
    #[error("cannot start the VMM process: {errno}")]
    Spawn {
        /// What the system says.
        errno: Errno,
    },
    /// The VMM's program needs a dynamic loader, which it would not find in its jail.
    #[error(
        "cannot start the VMM: its program is missing something; in its empty root it must be linked statically"
    )]
    VmmNotStatic,
    /// The VMM cannot be jailed, or not as it was asked for.
    #[error(transparent)]
    Jail(ampoule_jail::Error),
    /// A layer of isolation that there has to be is missing.
    #[error("{missing}; {}", missing.layer.mend())]
    Layer {
        /// The layer.
        missing: Missing,
    },
    /// A system call that prepares the sandbox failed.
    #[error("cannot {what}: {errno}")]
    System {
        /// What was being done.
        what: &'static str,
        /// What the system says.
        errno: Errno,
    },
    /// The host does not give what a limit needs.
    #[error("the limit {limit} cannot be enforced on this host: {why}; `ampoule doctor` says more")]
    NoControlGroup {
        /// The limit, as in a policy.
        limit: &'static str,
        /// Why not.
        why: ampoule_cgroup::Absent,
    },
    /// The sandbox's control group cannot be made.
    #[error(transparent)]
    ControlGroup(#[from] ampoule_cgroup::Error),
    /// A value that the protocol cannot carry.
    #[error(transparent)]
    Protocol(#[from] ampoule_protocol::Error),
}

impl Error {
    /// Why a VMM could not be started.
    pub(crate) fn starting(error: ampoule_jail::Error, program: &VmmProgram) -> Self {
        use ampoule_jail::Error::{Caller, Execute};
        match (error, program) {
            (Execute(Errno::ACCESS), VmmProgram::Memory(_)) => Self::MemfdNoexec,
            (Execute(Errno::NOENT), _) => Self::VmmNotStatic,
            (Execute(errno), _) => Self::Spawn { errno },
            // What we do meanwhile fails with an error of ours.
            (Caller(error), _) => match error.downcast() {
                Ok(own) => *own,
                Err(other) => Self::Jail(Caller(other)),
            },
            (error, _) => Self::Jail(error),
        }
    }

    /// For `map_err` on a system call that prepares the sandbox.
    pub(crate) fn system(what: &'static str) -> impl Fn(Errno) -> Self {
        move |errno| Self::System { what, errno }
    }
}
