//! BPF programs.
//!
//! `seccompiler` makes one program of each call's rules. Those are put behind each other, below a binary tree of
//! comparisons of the call's number: when a filter is installed, the kernel walks it for every number that there is, and
//! with one long chain of comparisons, as in a program of `seccompiler` for all calls, that is most of the cost.

use crate::condition::OWN_PID;
use crate::error::Error;
use crate::filter::Rule;
use seccompiler::{BpfProgram, TargetArch, compile_from_json, sock_filter};
use serde_json::json;
use std::collections::BTreeMap;

/// Loads the architecture and refuses others, then loads the call's number: the same in every program.
const PROLOGUE: usize = 4;

/// Jump if the number is at least `k`.
const JUMP_IF_AT_LEAST: u16 = 0x35;
/// Jump if it is `k`.
const JUMP_IF_EQUAL: u16 = 0x15;
/// Jump by `k`.
const JUMP: u16 = 0x05;

/// An instruction of a program: operation, two jumps, an operand.
pub type Instruction = (u16, u8, u8, u32);

/// A filter as the kernel takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The instructions.
    pub code: Vec<Instruction>,
    /// Which of them have to get the process's id as their operand.
    pub own_pid: Vec<usize>,
}

impl Program {
    /// Compiles rules: whatever none of them allows kills the process.
    pub fn compile(rules: &[&Rule]) -> Result<Self, Error> {
        let mut calls: BTreeMap<&str, Vec<&Rule>> = BTreeMap::new();
        for &rule in rules {
            calls.entry(&rule.call).or_default().push(rule);
        }
        let mut code = Vec::new();
        let mut leaves = BTreeMap::new();
        for (call, rules) in calls {
            let program = compile_call(call, &rules)?;
            let (prologue, leaf) = program.split_at_checked(PROLOGUE).ok_or(Error::Empty)?;
            let number = leaf.first().ok_or(Error::Empty)?.3;
            code = prologue.to_vec();
            leaves.insert(number, leaf.to_vec());
        }
        let leaves: Vec<_> = leaves.into_iter().collect();
        code.extend(tree(&leaves)?);
        let own_pid = |(index, instruction): (usize, &Instruction)| {
            let is = instruction.0 == JUMP_IF_EQUAL && u64::from(instruction.3) == OWN_PID;
            is.then_some(index)
        };
        let own_pid = code.iter().enumerate().filter_map(own_pid).collect();
        Ok(Self { code, own_pid })
    }
}

/// The program for one call alone.
fn compile_call(call: &str, rules: &[&Rule]) -> Result<Vec<Instruction>, Error> {
    // A rule without conditions says it all; for `seccompiler`, it must be the only one.
    let entry = |rule: &&Rule| match rule.conditions.is_empty() {
        true => json!({ "syscall": call }),
        false => {
            let conditions: Vec<_> = rule.conditions.iter().map(|condition| condition.to_json()).collect();
            json!({ "syscall": call, "args": conditions })
        }
    };
    let entries: Vec<_> = match rules.iter().find(|rule| rule.conditions.is_empty()) {
        Some(rule) => vec![entry(rule)],
        None => rules.iter().map(entry).collect(),
    };
    let filter =
        json!({ "": { "mismatch_action": "kill_process", "match_action": "allow", "filter": entries } });
    let failed = |error: String| Error::Compile { call: call.into(), error };
    let programs = compile_from_json(filter.to_string().as_bytes(), TargetArch::x86_64);
    let program: BpfProgram =
        programs.map_err(|error| failed(error.to_string()))?.remove("").unwrap_or_default();
    Ok(program.iter().map(|&sock_filter { code, jt, jf, k }| (code, jt, jf, k)).collect())
}

/// Chooses the leaf with the call's number, and runs it. Each leaf kills if the number is another.
fn tree(leaves: &[(u32, Vec<Instruction>)]) -> Result<Vec<Instruction>, Error> {
    match leaves {
        [] => Err(Error::Empty),
        [(_, leaf)] => Ok(leaf.clone()),
        _ => {
            let (low, high) = leaves.split_at(leaves.len() / 2);
            let first = high.first().ok_or(Error::Empty)?.0;
            let (low, high) = (tree(low)?, tree(high)?);
            let mut code = match u8::try_from(low.len()) {
                Ok(len) => vec![(JUMP_IF_AT_LEAST, len, 0, first)],
                // Conditional jumps reach 255 instructions far.
                Err(_) => {
                    let len = u32::try_from(low.len()).unwrap_or(u32::MAX);
                    vec![(JUMP_IF_AT_LEAST, 0, 1, first), (JUMP, 0, 0, len)]
                }
            };
            code.extend(low);
            code.extend(high);
            Ok(code)
        }
    }
}

#[cfg(test)]
mod tests;
