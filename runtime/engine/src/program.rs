//! The VMM's program, ready to be started.

use crate::artifact::Artifact;
use crate::error::Error;
use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// A program that can be started any number of times.
#[derive(Debug)]
pub enum VmmProgram {
    /// A file.
    File(PathBuf),
    /// A sealed copy in memory: its pages are shared by all VMMs that are started from it.
    Memory(OwnedFd),
}

impl VmmProgram {
    /// Copies a program that is a part of some file into memory of its own.
    pub fn load(program: &Artifact) -> Result<Self, Error> {
        program.to_executable().map(Self::Memory)
    }

    /// The path to execute.
    pub(crate) fn path(&self) -> Result<CString, Error> {
        let path = match self {
            Self::File(path) => path.clone().into_os_string().into_vec(),
            Self::Memory(fd) => format!("/proc/self/fd/{}", fd.as_raw_fd()).into_bytes(),
        };
        CString::new(path).map_err(|_| Error::Spawn { errno: rustix::io::Errno::INVAL })
    }
}
