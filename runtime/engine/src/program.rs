//! The VMM's program, ready to be started.

use crate::artifact::Artifact;
use crate::error::Error;
use ampoule_jail::Program;
use rustix::fs::{MemfdFlags, Mode, OFlags, memfd_create, open};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::OnceLock;

/// A program that can be started any number of times. It has to be linked statically: it starts in an empty root.
#[derive(Debug)]
pub enum VmmProgram {
    /// A file.
    File(PathBuf),
    /// A copy in memory: its pages are shared by all VMMs that are started from it.
    Memory(MemoryProgram),
}

/// A sealed copy of a program in memory. It is made when it is first needed: while the first process that is to execute
/// it enters its jail, which takes about as long.
#[derive(Debug)]
pub struct MemoryProgram {
    memory: OwnedFd,
    source: Artifact,
    copied: OnceLock<Result<(), Errno>>,
}

/// A program that is open.
pub(crate) enum OpenProgram<'a> {
    File(OwnedFd),
    Memory(&'a MemoryProgram),
}

impl VmmProgram {
    /// A copy, in memory, of a program that is a part of some file.
    pub fn load(program: &Artifact) -> Result<Self, Error> {
        let memory = create_executable_memfd().map_err(|errno| Error::LoadVmm { errno })?;
        Ok(Self::Memory(MemoryProgram { memory, source: program.clone(), copied: OnceLock::new() }))
    }

    /// Opens it.
    pub(crate) fn open(&self) -> Result<OpenProgram<'_>, Error> {
        match self {
            Self::File(path) => open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .map(OpenProgram::File)
                .map_err(|errno| Error::Spawn { errno }),
            Self::Memory(program) => Ok(OpenProgram::Memory(program)),
        }
    }
}

impl OpenProgram<'_> {
    /// As the jail wants it.
    pub(crate) fn as_program(&self) -> Program<'_> {
        match self {
            Self::File(fd) => Program::File(fd.as_fd()),
            Self::Memory(program) => Program::Memory(program.memory.as_fd()),
        }
    }

    /// Makes sure that it can be executed: what takes time about that.
    pub(crate) fn complete(&self) -> Result<(), Error> {
        match self {
            Self::File(_) => Ok(()),
            Self::Memory(program) => {
                let copied = program.copied.get_or_init(|| program.source.copy_to(&program.memory));
                copied.map_err(|errno| Error::LoadVmm { errno })
            }
        }
    }
}

fn create_executable_memfd() -> rustix::io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Since Linux 6.3 a memfd says whether it may be executed, and some systems insist on being told.
    match memfd_create("ampoule-vmm", flags | MemfdFlags::EXEC) {
        Err(Errno::INVAL) => memfd_create("ampoule-vmm", flags),
        result => result,
    }
}
