//! The interpreter.

use crate::{Instruction, SCRATCH_WORDS, op};

/// Words of [`SeccompData`].
pub const SECCOMP_DATA_WORDS: usize = 16;
/// What a program gets that reaches a place it cannot: `SECCOMP_RET_KILL_THREAD`.
const KILL: u32 = 0;

/// What a filter sees of a system call: `struct seccomp_data`, as words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeccompData(pub [u32; SECCOMP_DATA_WORDS]);

impl SeccompData {
    /// The description of a call: its number, the architecture (`AUDIT_ARCH_*`), the address of the instruction behind the
    /// call, and the arguments.
    pub fn new(number: u32, architecture: u32, address: u64, arguments: [u64; 6]) -> Self {
        let halves = |value: u64| [value as u32, (value >> 32) as u32];
        let mut words = [0; SECCOMP_DATA_WORDS];
        let values = [number, architecture].into_iter().chain(halves(address));
        let values = values.chain(arguments.into_iter().flat_map(halves));
        words.iter_mut().zip(values).for_each(|(word, value)| *word = value);
        Self(words)
    }

    fn load(&self, offset: u32) -> Option<u32> {
        self.0.get(usize::try_from(offset / 4).ok()?).copied()
    }
}

/// The registers of a program.
#[derive(Default)]
struct Machine {
    a: u32,
    x: u32,
    scratch: [u32; SCRATCH_WORDS],
}

/// What comes after an instruction.
enum Next {
    /// The one that is this far behind the following one.
    Skip(u32),
    /// Nothing.
    Return(u32),
}

/// Runs a checked program. (Of an unchecked one, what cannot be done is a [`KILL`].)
pub fn run(program: &[Instruction], data: &SeccompData) -> u32 {
    let mut machine = Machine::default();
    let mut rest = program.iter();
    while let Some(instruction) = rest.next() {
        match machine.step(instruction, data) {
            Some(Next::Skip(0)) => {}
            // Jumps only go forward.
            Some(Next::Skip(count)) => match usize::try_from(count - 1) {
                Ok(last) => drop(rest.nth(last)),
                Err(_) => return KILL,
            },
            Some(Next::Return(value)) => return value,
            None => return KILL,
        }
    }
    KILL
}

impl Machine {
    fn step(&mut self, instruction: &Instruction, data: &SeccompData) -> Option<Next> {
        let k = instruction.k;
        let size = u32::try_from(SECCOMP_DATA_WORDS * 4).ok()?;
        match instruction.code {
            op::LD_ABS => self.a = data.load(k)?,
            op::LD_LEN => self.a = size,
            op::LDX_LEN => self.x = size,
            op::LD_IMM => self.a = k,
            op::LDX_IMM => self.x = k,
            op::LD_MEM => self.a = *self.word(k)?,
            op::LDX_MEM => self.x = *self.word(k)?,
            op::ST => *self.word(k)? = self.a,
            op::STX => *self.word(k)? = self.x,
            op::TAX => self.x = self.a,
            op::TXA => self.a = self.x,
            op::NEG => self.a = self.a.wrapping_neg(),
            op::RET_K => return Some(Next::Return(k)),
            op::RET_A => return Some(Next::Return(self.a)),
            op::JA => return Some(Next::Skip(k)),
            code => {
                let operand = if code & op::X != 0 { self.x } else { k };
                return match self.holds(code & !op::X, operand) {
                    Some(true) => Some(Next::Skip(instruction.jt.into())),
                    Some(false) => Some(Next::Skip(instruction.jf.into())),
                    None => self.calculate(code & !op::X, operand),
                };
            }
        }
        Some(Next::Skip(0))
    }

    fn word(&mut self, k: u32) -> Option<&mut u32> {
        self.scratch.get_mut(usize::try_from(k).ok()?)
    }

    fn holds(&self, comparison: u16, operand: u32) -> Option<bool> {
        match comparison {
            op::JEQ => Some(self.a == operand),
            op::JGT => Some(self.a > operand),
            op::JGE => Some(self.a >= operand),
            op::JSET => Some(self.a & operand != 0),
            _ => None,
        }
    }

    fn calculate(&mut self, operation: u16, operand: u32) -> Option<Next> {
        self.a = match operation {
            op::ADD => self.a.wrapping_add(operand),
            op::SUB => self.a.wrapping_sub(operand),
            op::MUL => self.a.wrapping_mul(operand),
            // As Linux: a division by zero ends the program, and its result is zero.
            op::DIV => match self.a.checked_div(operand) {
                Some(quotient) => quotient,
                None => return Some(Next::Return(0)),
            },
            op::OR => self.a | operand,
            op::AND => self.a & operand,
            // As the processor: by the lowest five bits.
            op::LSH => self.a.wrapping_shl(operand),
            op::RSH => self.a.wrapping_shr(operand),
            op::XOR => self.a ^ operand,
            _ => return None,
        };
        Some(Next::Skip(0))
    }
}
