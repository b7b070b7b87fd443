//! A filter of system calls for a job: a classic BPF program, as `seccomp(2)` takes it.

use crate::bounded::List;
use serde::{Deserialize, Serialize};

/// Most instructions of a [`Filter`]: `BPF_MAXINSNS` of Linux.
pub const MAX_FILTER: usize = 4096;

/// A program of 1 to [`MAX_FILTER`] instructions. What they mean is for the guest's kernel to check; it refuses what is
/// no valid filter, and the job then fails at [`crate::StartStep::Filter`].
pub type Filter = List<Instruction, 1, MAX_FILTER>;

/// An instruction, in the layout of `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(C)]
pub struct Instruction {
    /// Operation code.
    pub code: u16,
    /// Instructions to skip if a comparison holds.
    pub jt: u8,
    /// Instructions to skip if it does not.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

const _: () = assert!(size_of::<Instruction>() == 8 && align_of::<Instruction>() == 4);
