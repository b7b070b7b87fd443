//! The policy's system calls, compiled to the classic BPF program that the guest's kernel takes.

use ampoule_policies::{FilterAction, FilterMode, SystemCalls};
use ampoule_protocol::{Filter, Instruction, List};
use anyhow::{Context, Result};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

/// What the agent does between installing the filter and the command: without it, no filter would let a command start.
const EXECVE: u32 = 59;
/// What `exit` of a process that could not be executed needs.
const EXIT_GROUP: u32 = 231;
const EPERM: u32 = 1;

/// Numbers from here on are the x32 calls: the same calls under other numbers, which a list of numbers does not have.
const X32: u32 = 0x4000_0000;
/// Loads the number of the system call; skips the next instruction if it is less than X32; kills the process.
const REFUSE_X32: [Instruction; 3] = [
    Instruction { code: 0x20, jt: 0, jf: 0, k: 0 },
    Instruction { code: 0x35, jt: 0, jf: 1, k: X32 },
    Instruction { code: 0x06, jt: 0, jf: 0, k: 0x8000_0000 },
];

/// Compiles the filter; `None` if all calls may be made.
pub fn compile(calls: &SystemCalls) -> Result<Option<Filter>> {
    let refused = match calls.action {
        FilterAction::Errno => SeccompAction::Errno(EPERM),
        FilterAction::Kill => SeccompAction::KillProcess,
    };
    let (named, others) = match calls.mode {
        FilterMode::All => return Ok(None),
        FilterMode::Allow => (SeccompAction::Allow, refused),
        FilterMode::Deny => (refused, SeccompAction::Allow),
    };
    let mut numbers = calls.numbers.clone();
    match calls.mode {
        FilterMode::Allow => numbers.extend([EXECVE, EXIT_GROUP]),
        FilterMode::Deny | FilterMode::All => {}
    }
    let rules = numbers.into_iter().map(|number| (i64::from(number), Vec::new())).collect();
    let filter = SeccompFilter::new(rules, others, named, TargetArch::x86_64);
    let program: BpfProgram =
        filter.and_then(TryInto::try_into).context("cannot compile the policy's filter of system calls")?;
    let program = program.iter().map(|op| Instruction { code: op.code, jt: op.jt, jf: op.jf, k: op.k });
    let program = REFUSE_X32.into_iter().chain(program).collect();
    List::new(program).map(Some).context("the policy's filter of system calls")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ampoule_policies::Policy;

    fn compiled(text: &str) -> Option<Filter> {
        compile(&Policy::parse(text).unwrap().system_calls).unwrap()
    }

    #[test]
    fn there_is_a_filter_only_where_calls_are_named() {
        assert_eq!(compiled(""), None);
        let program = compiled("[system_calls]\nmode = \"deny\"\nnames = [\"ptrace\"]\n").unwrap();
        assert_eq!(program.get(..3), Some(&REFUSE_X32[..]));
        assert!(program.iter().any(|op| op.k == 101), "ptrace is 101: {program:?}");
    }

    #[test]
    fn an_allowed_list_lets_the_command_start() {
        let program = compiled("[system_calls]\nmode = \"allow\"\nnames = [\"read\"]\n").unwrap();
        assert!(program.iter().any(|op| op.k == EXECVE));
    }
}
