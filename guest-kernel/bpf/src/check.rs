//! What a program has to be, before it is ever run.

use crate::run::SECCOMP_DATA_WORDS;
use crate::{Error, Instruction, MAX_INSTRUCTIONS, SCRATCH_WORDS, op};
use alloc::vec::Vec;

pub fn check(program: &[Instruction]) -> Result<(), Error> {
    if program.is_empty() || program.len() > MAX_INSTRUCTIONS {
        return Err(Error::Length(program.len()));
    }
    for (at, instruction) in program.iter().enumerate() {
        check_instruction(at, instruction, program.len())?;
    }
    if !matches!(program.last(), Some(Instruction { code: op::RET_K | op::RET_A, .. })) {
        return Err(Error::NoReturn);
    }
    check_scratch(program)
}

fn check_instruction(at: usize, instruction: &Instruction, length: usize) -> Result<(), Error> {
    let k = instruction.k;
    match instruction.code {
        op::LD_ABS if k.is_multiple_of(4) && is_below(k / 4, SECCOMP_DATA_WORDS) => Ok(()),
        op::LD_ABS => Err(Error::Load(at)),
        op::LD_MEM | op::LDX_MEM | op::ST | op::STX if is_below(k, SCRATCH_WORDS) => Ok(()),
        op::LD_MEM | op::LDX_MEM | op::ST | op::STX => Err(Error::Operand(at)),
        op::LD_LEN | op::LDX_LEN | op::LD_IMM | op::LDX_IMM => Ok(()),
        op::TAX | op::TXA | op::RET_K | op::RET_A | op::NEG => Ok(()),
        op::JA => check_jump(at, k, length),
        code => check_binary(at, code, instruction, length),
    }
}

/// The operations that exist with a constant and with X.
fn check_binary(at: usize, code: u16, instruction: &Instruction, length: usize) -> Result<(), Error> {
    let constant = code & op::X == 0;
    match code & !op::X {
        op::DIV if constant && instruction.k == 0 => Err(Error::Operand(at)),
        op::LSH | op::RSH if constant && instruction.k >= u32::BITS => Err(Error::Operand(at)),
        op::ADD | op::SUB | op::MUL | op::DIV | op::OR | op::AND | op::LSH | op::RSH | op::XOR => Ok(()),
        op::JEQ | op::JGT | op::JGE | op::JSET => {
            check_jump(at, instruction.jt.into(), length)?;
            check_jump(at, instruction.jf.into(), length)
        }
        _ => Err(Error::Operation(at)),
    }
}

fn check_jump(at: usize, skip: u32, length: usize) -> Result<(), Error> {
    if target(at, skip).is_some_and(|target| target < length) { Ok(()) } else { Err(Error::Jump(at)) }
}

fn is_below(value: u32, limit: usize) -> bool {
    usize::try_from(value).is_ok_and(|value| value < limit)
}

fn target(at: usize, skip: u32) -> Option<usize> {
    at.checked_add(1)?.checked_add(usize::try_from(skip).ok()?)
}

/// Scratch words have to be written before they are read, on every way. As jumps only go forward, one pass will do: what is
/// known to be written at an instruction is what is known at all places that lead to it.
fn check_scratch(program: &[Instruction]) -> Result<(), Error> {
    let mut known: Vec<u16> = Vec::new();
    known.try_reserve_exact(program.len()).map_err(|_| Error::Memory)?;
    known.resize(program.len(), u16::MAX);
    let mut written = 0u16;
    let leads = |known: &mut Vec<u16>, at, skip, written: u16| {
        if let Some(place) = target(at, skip).and_then(|target| known.get_mut(target)) {
            *place &= written;
        }
    };
    for (at, instruction) in program.iter().enumerate() {
        written &= known.get(at).copied().unwrap_or_default();
        let bit = 1u16.checked_shl(instruction.k).unwrap_or_default();
        match instruction.code {
            op::ST | op::STX => written |= bit,
            op::LD_MEM | op::LDX_MEM if written & bit == 0 => return Err(Error::Uninitialized(at)),
            op::JA => {
                leads(&mut known, at, instruction.k, written);
                written = u16::MAX;
            }
            code if matches!(code & !op::X, op::JEQ | op::JGT | op::JGE | op::JSET) => {
                leads(&mut known, at, instruction.jt.into(), written);
                leads(&mut known, at, instruction.jf.into(), written);
                written = u16::MAX;
            }
            _ => {}
        }
    }
    Ok(())
}
