//! The VMM's program, ready to be started.

use crate::artifact::Artifact;
use crate::error::Error;
use ampoule_jail::Program;
use rustix::fs::{Mode, OFlags, open};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// A program that can be started any number of times. It has to be linked statically: it starts in an empty root.
#[derive(Debug)]
pub enum VmmProgram {
    /// A file.
    File(PathBuf),
    /// A sealed copy in memory: its pages are shared by all VMMs that are started from it.
    Memory(OwnedFd),
}

/// A program that is open.
pub(crate) enum OpenProgram<'a> {
    File(OwnedFd),
    Memory(BorrowedFd<'a>),
}

impl VmmProgram {
    /// Copies a program that is a part of some file into memory of its own.
    pub fn load(program: &Artifact) -> Result<Self, Error> {
        program.to_executable().map(Self::Memory)
    }

    /// Opens it.
    pub(crate) fn open(&self) -> Result<OpenProgram<'_>, Error> {
        match self {
            Self::File(path) => open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .map(OpenProgram::File)
                .map_err(|errno| Error::Spawn { errno }),
            Self::Memory(fd) => Ok(OpenProgram::Memory(fd.as_fd())),
        }
    }
}

impl OpenProgram<'_> {
    /// As the jail wants it.
    pub(crate) fn as_program(&self) -> Program<'_> {
        match self {
            Self::File(fd) => Program::File(fd.as_fd()),
            Self::Memory(fd) => Program::Memory(*fd),
        }
    }
}
