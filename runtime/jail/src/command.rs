//! What to start, and behind what.

use std::ffi::CString;
use std::os::fd::{BorrowedFd, RawFd};

/// The first of a [`Command`]'s descriptors has this number in the new process.
pub const FIRST_DESCRIPTOR: RawFd = 3;

/// How much of the jail there has to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// No layer at all: for finding errors, and for measuring what the layers cost. Never for programs that are not trusted.
    None,
    /// All layers that the host has.
    #[default]
    BestEffort,
    /// All layers, or no process.
    Strict,
}

/// A program, linked statically.
#[derive(Clone, Copy, Debug)]
pub enum Program<'a> {
    /// In a file system.
    File(BorrowedFd<'a>),
    /// In a memfd.
    Memory(BorrowedFd<'a>),
}

/// A process to start. It has an empty environment, a session of its own, default signal actions and no signal blocked.
#[derive(Clone, Debug)]
pub struct Command<'a> {
    /// The program.
    pub program: Program<'a>,
    /// Its arguments, from its own name on.
    pub arguments: Vec<CString>,
    /// Its standard error. Standard input and output are closed.
    pub stderr: BorrowedFd<'a>,
    /// Its further descriptors, which are [`FIRST_DESCRIPTOR`] and up there. It has no others.
    pub descriptors: Vec<BorrowedFd<'a>>,
    /// Control groups that it is in before it does anything else. It does not get their descriptors.
    pub groups: Vec<Group<'a>>,
    /// Whether one more descriptor, the last, is its own `/proc/self/status`.
    pub own_status: bool,
    /// Its limits.
    pub limits: Limits,
}

/// A control group that a process is to be in.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    /// A file: a process that writes `0` there, alone in it, has joined.
    pub join: BorrowedFd<'a>,
    /// The group's directory, if it is one of version 2: where the kernel can, the process is made in it, and writes nothing.
    /// At most one group of a command has this.
    pub directory: Option<BorrowedFd<'a>>,
}

/// Resource limits that cannot be raised again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of address space.
    pub address_space: u64,
    /// Bytes of private memory that can be written: heap, data, stacks of threads. What is shared counts only as address space.
    pub private_memory: u64,
    /// Bytes of any file that it writes.
    pub file_size: u64,
    /// Descriptors that it may open beyond those it is given.
    pub open_files: u64,
    /// Threads, the first included. Not set where they cannot be told from the user's other ones.
    pub threads: u64,
}

impl<'a> Program<'a> {
    /// The file that is executed.
    pub(crate) fn file(self) -> BorrowedFd<'a> {
        match self {
            Self::File(fd) | Self::Memory(fd) => fd,
        }
    }
}
