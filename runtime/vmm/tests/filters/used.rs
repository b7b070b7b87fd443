//! No rule that nothing uses: real VMs run under strace, and whatever their threads call after they have got their
//! filters is held against the rules.

use crate::attacker;
use crate::common::{TIMEOUT, Vm};
use ampoule_seccomp_rules::{Call, FILTERS, Filters, Rule, directory};
use ampoule_vmm_api::CONTROL_PORT;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// How often races are run until every side has won.
const MOST_RACES: usize = 40;

/// What was called with a filter on: the filter's name, the call, its arguments, the process.
type Made = (&'static str, String, [u64; 6], u64);

/// Runs VMs under strace.
struct Traced {
    directory: tempfile::TempDir,
    traces: Vec<PathBuf>,
}

impl Traced {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), traces: Vec::new() }
    }

    /// A VM of the test guest, to be traced.
    fn vm(&mut self, test: &str) -> Vm {
        self.trace(Vm::new(test))
    }

    fn trace(&mut self, mut vm: Vm) -> Vm {
        let trace = self.directory.path().join(self.traces.len().to_string());
        // As a grandchild, so that the VMM is the process that this one has started.
        let strace = ["strace", "-D", "-f", "-qq", "--raw=all", "-o"].map(OsString::from);
        vm.command = strace.into_iter().chain([trace.clone().into()]).chain(vm.command).collect();
        self.traces.push(trace);
        vm
    }

    /// What all of them have called.
    fn made(&self) -> Vec<Made> {
        // The tracers write until their VMM is gone, and a little longer.
        thread::sleep(Duration::from_millis(500));
        self.traces.iter().flat_map(|trace| made(&std::fs::read_to_string(trace).unwrap())).collect()
    }
}

/// Reads a trace: lines of a thread's number and a call, its arguments in hexadecimal.
fn made(trace: &str) -> Vec<Made> {
    let mut filters: BTreeMap<u64, usize> = BTreeMap::new();
    let (mut first, mut made) = (None, Vec::new());
    for line in trace.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let thread: u64 = thread.parse().unwrap();
        let first = *first.get_or_insert(thread);
        let Some((call, arguments)) = rest.trim().split_once('(') else { continue };
        if !call.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        let installed = filters.entry(thread).or_default();
        let filter = match (thread == first, *installed) {
            (_, 0) => None,
            (true, 1) => Some("main"),
            (true, _) => Some("vcpu"),
            (false, 1) => Some("loader"),
            (false, _) => Some("devices"),
        };
        made.extend(filter.map(|filter| (filter, call.to_owned(), numbers(arguments), first)));
        *installed += usize::from(call == "seccomp");
    }
    made
}

fn numbers(text: &str) -> [u64; 6] {
    let mut numbers = [0; 6];
    let words = text.split([')', '<']).next().unwrap_or_default().split(',');
    for (number, word) in numbers.iter_mut().zip(words) {
        let word = word.trim();
        *number = word.strip_prefix("0x").map_or(0, |digits| u64::from_str_radix(digits, 16).unwrap());
    }
    numbers
}

/// Boots a VM that uses each of the things that there are rules for.
fn run_everything(traced: &mut Traced) {
    for test in ["panic", "crash", "emulate"] {
        traced.vm(test).run();
    }
    echo(traced.vm("echo"), 200_000);
    accept(traced.vm("accept"), traced.directory.path());
    slow_reader(traced.vm("sink"));
    end_of_parent(traced.vm("spin"));
    no_kernel(traced);
    for thread in ["main", "vcpu", "loader", "devices"] {
        bug(traced, thread);
    }
}

/// Has the threads share a processor: what one asks of the other, it has to wait for.
fn on_one_processor(mut vm: Vm) -> Vm {
    vm.command.splice(0..0, ["taskset", "-c", "0"].map(OsString::from));
    vm
}

fn echo(mut vm: Vm, len: usize) {
    let mut host = vm.port(CONTROL_PORT);
    let running = vm.start();
    let mut writer = host.try_clone().unwrap();
    let writing = thread::spawn(move || {
        writer.write_all(&vec![b'x'; len]).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    host.read_to_end(&mut received).unwrap();
    writing.join().unwrap();
    assert_eq!(received.len(), len);
    running.wait();
}

fn accept(mut vm: Vm, directory: &Path) {
    let path = directory.join("vsock");
    vm.listen(&path);
    let mut running = vm.start();
    running.wait_for_line("listening");
    drop(UnixStream::connect(&path).unwrap());
    let mut client = UnixStream::connect(&path).unwrap();
    client.set_read_timeout(Some(TIMEOUT)).unwrap();
    client.write_all(b"CONNECT 80\nhello").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("OK ") && answer.ends_with("hello"), "{answer:?}");
    running.wait();
}

fn reset(mut vm: Vm) {
    let mut host = vm.port(CONTROL_PORT);
    let running = vm.start();
    host.read_to_end(&mut Vec::new()).unwrap();
    running.wait();
}

/// The guest sends more than the host takes.
fn slow_reader(mut vm: Vm) {
    let mut host = vm.port(CONTROL_PORT);
    let mut running = vm.start();
    running.wait_for_line("sent");
    thread::sleep(Duration::from_millis(100));
    host.read_to_end(&mut Vec::new()).unwrap();
    running.wait();
}

fn end_of_parent(mut vm: Vm) {
    // So the process was larger before it became the VMM, and `getrusage` says no more.
    let ballast = vec![1u8; 64 << 20];
    let lifeline = vm.lifeline();
    let mut running = vm.start();
    running.wait_for_line("spinning");
    kill_process(Pid::from_child(&running.process), Signal::HUP).unwrap();
    drop(lifeline);
    running.wait();
    assert!(ballast.iter().step_by(4096).all(|&byte| byte == 1));
}

fn no_kernel(traced: &mut Traced) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"no kernel").unwrap();
    traced.trace(Vm::with_kernel(file)).run();
}

/// A bug of the VMM's own: a panic.
fn bug(traced: &mut Traced, thread: &str) {
    let mut vm = Vm::new("halt");
    vm.command = vec![attacker().into()];
    vm.config.cmdline = format!("test=halt attack={thread},panic");
    let mut process = traced.trace(vm).start_silently();
    process.wait().unwrap();
}

fn describe(rule: &Rule) -> String {
    let conditions: Vec<&str> = rule.conditions.iter().map(|condition| condition.text()).collect();
    format!("{} {}", rule.call, conditions.join(", "))
}

/// What is used only if one thread happens to be ahead of the other.
fn race(traced: &mut Traced) {
    echo(on_one_processor(traced.vm("echo")), 10);
    reset(on_one_processor(traced.vm("reset-device")));
    reset(traced.vm("reset-device"));
}

/// The rules without a call, of those that are not marked as rare.
fn unused(filters: &Filters, made: &[Made]) -> BTreeSet<String> {
    let is_used = |filter: &str, rule: &Rule| {
        made.iter().any(|(name, call, arguments, pid)| {
            *name == filter && rule.allows(&Call { name: call, arguments: *arguments, pid: *pid })
        })
    };
    let rules = filters.iter().flat_map(|(name, filter)| filter.rules.iter().map(move |rule| (name, rule)));
    let unused = rules.filter(|(name, rule)| rule.rare.is_none() && !is_used(name, rule));
    unused.map(|(name, rule)| format!("{name}: {}", describe(rule))).collect()
}

#[test]
fn every_rule_is_used_and_everything_used_has_a_rule() {
    let filters = Filters::read(&directory()).unwrap();
    let mut traced = Traced::new();
    run_everything(&mut traced);
    for _ in 0..MOST_RACES {
        race(&mut traced);
        if unused(&filters, &traced.made()).is_empty() {
            break;
        }
    }
    let made = traced.made();
    for name in FILTERS {
        let calls = made.iter().filter(|(filter, ..)| *filter == name).count();
        assert!(calls > 20, "{name}: {calls} calls were seen");
    }
    for (filter, name, arguments, pid) in &made {
        let call = Call { name, arguments: *arguments, pid: *pid };
        assert!(
            filters.rules(filter).iter().any(|rule| rule.allows(&call)),
            "{filter}: no rule for {call:x?}"
        );
    }
    let unused = unused(&filters, &made);
    assert!(unused.is_empty(), "rules that nothing uses: {unused:#?}");
}
