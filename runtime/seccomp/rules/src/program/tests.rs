//! Runs programs as the kernel does, and compares with what the rules say.

use super::*;
use crate::condition::Call;
use crate::filter::Filters;
use proptest::prelude::*;

const ALLOW: u32 = 0x7fff_0000;
const KILL_PROCESS: u32 = 0x8000_0000;
const X86_64: u32 = 0xc000_003e;
const PID: u64 = 4321;

/// What the kernel gives a filter: number, architecture, instruction pointer, arguments.
fn data(number: u32, architecture: u32, arguments: [u64; 6]) -> Vec<u32> {
    let halves = arguments.iter().flat_map(|argument| [*argument as u32, (argument >> 32) as u32]);
    [number, architecture, 0, 0].into_iter().chain(halves).collect()
}

/// Runs a program; gives what it returns and how many steps that took.
fn run(program: &Program, data: &[u32]) -> (u32, usize) {
    let (mut at, mut accumulator, mut steps) = (0, 0, 0);
    loop {
        let (operation, yes, no, mut operand) = program.code[at];
        if program.own_pid.contains(&at) {
            operand = PID as u32;
        }
        steps += 1;
        at += 1;
        let jump = |condition| usize::from(if condition { yes } else { no });
        match operation {
            0x20 => accumulator = data[operand as usize / 4],
            0x54 => accumulator &= operand,
            0x05 => at += operand as usize,
            0x15 => at += jump(accumulator == operand),
            0x35 => at += jump(accumulator >= operand),
            0x06 => return (operand, steps),
            other => panic!("the test does not know operation {other:#x}"),
        }
    }
}

fn filters() -> Filters {
    Filters::read(&crate::directory()).unwrap()
}

/// Number of each call that some filter knows.
fn numbers(filters: &Filters) -> BTreeMap<String, u32> {
    let mut numbers = BTreeMap::new();
    for (name, _) in filters.iter() {
        for rule in filters.rules(name) {
            let program = Program::compile(&[rule]).unwrap();
            numbers.insert(rule.call.clone(), program.code[PROLOGUE].3);
        }
    }
    numbers
}

#[test]
fn numbers_are_those_of_linux() {
    let numbers = numbers(&filters());
    for (call, number) in [("read", 0), ("ioctl", 16), ("tgkill", 234), ("accept4", 288)] {
        assert_eq!(numbers[call], number);
    }
}

/// Arguments that come close to what rules ask for: each one's value, alone and with a bit turned over.
fn arguments(rules: &[&Rule]) -> impl Strategy<Value = [u64; 6]> + use<> {
    let mut values: Vec<u64> = rules.iter().flat_map(|rule| &rule.conditions).map(|one| one.value).collect();
    values.extend([0, PID]);
    let close = (prop::sample::select(values), 0..128u32).prop_map(|(value, bit)| match bit {
        0..64 => value ^ 1 << bit,
        _ => value,
    });
    prop::array::uniform6(close)
}

#[test]
fn programs_do_what_the_rules_say() {
    let filters = filters();
    let numbers = numbers(&filters);
    for (name, _) in filters.iter() {
        let rules = filters.rules(name);
        let program = Program::compile(&rules).unwrap();
        let calls: Vec<(String, u32)> = numbers.clone().into_iter().collect();
        proptest!(ProptestConfig::with_cases(20_000), |(call in prop::sample::select(calls), arguments in arguments(&rules))| {
            let made = Call { name: &call.0, arguments, pid: PID };
            let allowed = rules.iter().any(|rule| rule.allows(&made));
            let (returned, _) = run(&program, &data(call.1, X86_64, arguments));
            prop_assert_eq!(returned, if allowed { ALLOW } else { KILL_PROCESS }, "{}: {:?}", name, made);
        });
    }
}

#[test]
fn every_call_that_no_rule_names_kills() {
    let filters = filters();
    let numbers = numbers(&filters);
    for (name, _) in filters.iter() {
        let rules = filters.rules(name);
        let program = Program::compile(&rules).unwrap();
        let named: Vec<u32> = rules.iter().map(|rule| numbers[&rule.call]).collect();
        for number in
            (0..1024).chain([0x4000_0000, 0x4000_0010, u32::MAX]).filter(|number| !named.contains(number))
        {
            assert_eq!(run(&program, &data(number, X86_64, [0; 6])).0, KILL_PROCESS, "{name}: call {number}");
        }
    }
}

#[test]
fn other_architectures_kill() {
    for (name, _) in filters().iter() {
        let program = Program::compile(&filters().rules(name)).unwrap();
        for number in 0..512 {
            // i386.
            assert_eq!(run(&program, &data(number, 0x4000_0003, [0; 6])).0, KILL_PROCESS);
        }
    }
}

#[test]
fn no_thread_gets_executable_memory() {
    let filters = filters();
    let numbers = numbers(&filters);
    for (name, _) in filters.iter() {
        let program = Program::compile(&filters.rules(name)).unwrap();
        for (protection, flags) in
            (0..16).flat_map(|protection| (0..64).map(move |flags| (protection, flags)))
        {
            let made = data(numbers["mmap"], X86_64, [0, 4096, protection, flags, 0, 0]);
            let is_allowed = run(&program, &made).0 == ALLOW;
            assert!(!is_allowed || protection & 4 == 0, "{name}: protection {protection}, flags {flags}");
        }
    }
}

#[test]
fn a_call_is_found_in_a_few_steps() {
    for (name, _) in filters().iter() {
        let program = Program::compile(&filters().rules(name)).unwrap();
        let most = (0..512).map(|number| run(&program, &data(number, X86_64, [0; 6])).1).max().unwrap();
        println!("{name}: {} instructions, at most {most} steps", program.code.len());
        assert!(program.code.len() < 4096);
    }
}

#[test]
fn what_seccompiler_does_not_know_is_refused() {
    let rule: Rule = toml::from_str("call = \"frobnicate\"\nreason = \"\"").unwrap();
    let error = Program::compile(&[&rule]).unwrap_err().to_string();
    assert!(error.contains("frobnicate"), "{error}");
    assert!(matches!(Program::compile(&[]), Err(Error::Empty)));
}
