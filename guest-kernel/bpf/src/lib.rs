//! Classic BPF as `seccomp(2)` uses it: programs that look at one system call and say what becomes of it.
//!
//! [`Program::new`] takes a program from a hostile caller and admits what Linux admits, no more: known operations, jumps
//! that stay inside and go forward, scratch words that were written before they are read, loads of aligned words of the
//! call's description, a return at the end. So each run ends, after at most as many steps as there are instructions.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod check;
mod run;
#[cfg(test)]
mod tests;

pub use run::{SECCOMP_DATA_WORDS, SeccompData};

use alloc::boxed::Box;
use alloc::vec::Vec;
use thiserror::Error;

/// Most instructions of a program (`BPF_MAXINSNS`).
pub const MAX_INSTRUCTIONS: usize = 4096;

/// An instruction, laid out as `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions to skip if a comparison holds.
    pub jt: u8,
    /// Instructions to skip if it does not.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

impl Instruction {
    /// From the eight bytes that a program passes.
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        let [c0, c1, jt, jf, k0, k1, k2, k3] = bytes;
        Self { code: u16::from_ne_bytes([c0, c1]), jt, jf, k: u32::from_ne_bytes([k0, k1, k2, k3]) }
    }
}

/// Why a program is refused; the number is that of the instruction.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// It is empty or too long.
    #[error("{0} instructions, where 1 to {MAX_INSTRUCTIONS} may be")]
    Length(usize),
    /// An operation that does not exist, or that filters of system calls may not use.
    #[error("instruction {0}: unknown operation")]
    Operation(usize),
    /// A division by the constant zero, a shift by more than 31, a scratch word that does not exist.
    #[error("instruction {0}: operand out of range")]
    Operand(usize),
    /// A load from outside of the call's description, or not of a whole word of it.
    #[error("instruction {0}: load from outside of the data")]
    Load(usize),
    /// A jump behind the program's end.
    #[error("instruction {0}: jump to outside of the program")]
    Jump(usize),
    /// A scratch word is read that was not written on every way there.
    #[error("instruction {0}: scratch word read before it was written")]
    Uninitialized(usize),
    /// The last instruction is not a return.
    #[error("the last instruction does not return")]
    NoReturn,
    /// There is no memory to check it.
    #[error("out of memory")]
    Memory,
}

/// A program that was checked.
#[derive(Debug)]
pub struct Program(Box<[Instruction]>);

impl Program {
    /// Checks and takes a program.
    pub fn new(instructions: Vec<Instruction>) -> Result<Self, Error> {
        check::check(&instructions)?;
        Ok(Self(instructions.into_boxed_slice()))
    }

    /// How many instructions it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never: an empty program is refused.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Runs it; what it returns.
    pub fn run(&self, data: &SeccompData) -> u32 {
        run::run(&self.0, data)
    }
}

/// The operations that filters of system calls may use (`linux/bpf_common.h`), as whole codes.
mod op {
    pub const LD_ABS: u16 = 0x20;
    pub const LD_LEN: u16 = 0x80;
    pub const LDX_LEN: u16 = 0x81;
    pub const LD_IMM: u16 = 0x00;
    pub const LDX_IMM: u16 = 0x01;
    pub const LD_MEM: u16 = 0x60;
    pub const LDX_MEM: u16 = 0x61;
    pub const ST: u16 = 0x02;
    pub const STX: u16 = 0x03;
    pub const TAX: u16 = 0x07;
    pub const TXA: u16 = 0x87;
    pub const RET_K: u16 = 0x06;
    pub const RET_A: u16 = 0x16;
    pub const JA: u16 = 0x05;
    pub const NEG: u16 = 0x84;

    /// Of an arithmetic operation or a comparison: the operand is X, not the constant.
    pub const X: u16 = 0x08;
    pub const ADD: u16 = 0x04;
    pub const SUB: u16 = 0x14;
    pub const MUL: u16 = 0x24;
    pub const DIV: u16 = 0x34;
    pub const OR: u16 = 0x44;
    pub const AND: u16 = 0x54;
    pub const LSH: u16 = 0x64;
    pub const RSH: u16 = 0x74;
    pub const XOR: u16 = 0xa4;
    pub const JEQ: u16 = 0x15;
    pub const JGT: u16 = 0x25;
    pub const JGE: u16 = 0x35;
    pub const JSET: u16 = 0x45;
}

/// Words of scratch memory (`BPF_MEMWORDS`).
const SCRATCH_WORDS: usize = 16;
