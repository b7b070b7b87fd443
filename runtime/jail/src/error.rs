//! Why a program could not be started, or not behind every layer.

use crate::layer::Layer;
use rustix::io::Errno;
use thiserror::Error;

/// A program that could not be started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// All layers were asked for, and this host does not give one.
    #[error("{missing}; {}", missing.layer.mend())]
    Layer {
        /// The layer.
        missing: Missing,
    },
    /// A system call that prepares the process failed.
    #[error("cannot {what}: {errno}")]
    Prepare {
        /// What was being done.
        what: &'static str,
        /// What the system says.
        errno: Errno,
    },
    /// The caller's part in preparing the process failed.
    #[error("cannot prepare the process: {0}")]
    Caller(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The process cannot join its control group.
    #[error("cannot join the control group: {0}")]
    Join(Errno),
    /// The descriptors cannot be handed over.
    #[error("cannot hand over the descriptors: {0}")]
    Descriptors(Errno),
    /// The program cannot be executed.
    #[error("cannot execute the program: {0}")]
    Execute(Errno),
    /// The new process was killed before it could execute the program.
    #[error("the new process was killed before it could execute the program")]
    Killed,
}

/// A layer that this host does not give.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("this host does not give the layer `{}` ({errno})", layer.name())]
pub struct Missing {
    /// The layer.
    pub layer: Layer,
    /// What the system said when it was to be entered.
    pub errno: Errno,
}

impl Error {
    /// For `map_err` on a system call that prepares the process.
    pub(crate) fn prepare(what: &'static str) -> impl Fn(Errno) -> Self {
        move |errno| Self::Prepare { what, errno }
    }
}
