//! With its filters, as it is always built.

use crate::{Nobody, attack, end_of, start_with};
use ampoule_engine::{Console, End, Isolation, Manner, Outcome};
use ampoule_tests::Program;
use std::fs;
use std::time::{Duration, Instant};

#[test]
fn a_stopped_vmm_is_told_as_that() {
    for thread in ["main", "vcpu", "loader", "devices"] {
        for what in
            ["exec,/bin/sh", "open,/etc/passwd", "connect,/run/x", "connect,22", "processes,2", "peek,1,0"]
        {
            let outcome = Outcome::Sandbox(attack(&format!("attack={thread},{what}")));
            let sentence = outcome.sentence().unwrap_or_default();
            assert_eq!(
                (outcome.name(), outcome.exit_code()),
                ("vmm_filtered", 125),
                "{thread}: {what}: {sentence}"
            );
            assert!(sentence.starts_with("the VMM was stopped by its seccomp filter: "), "{sentence}");
        }
    }
}

/// Of a VMM: its threads' names, how their calls are filtered, and by how many filters.
fn threads(pid: u32) -> Vec<(String, u32, u32)> {
    let field = |status: &str, name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.unwrap_or_default().trim().to_owned()
    };
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let statuses = tasks.filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
    let number = |text: String| text.parse().unwrap();
    let mut threads: Vec<_> = statuses
        .map(|status| {
            let read = |name| field(&status, name);
            (read("Name"), number(read("Seccomp")), number(read("Seccomp_filters")))
        })
        .collect();
    threads.sort();
    threads
}

/// The VMM that this process has started, or one of its children.
fn vmm_of(ampoule: u32) -> Option<u32> {
    let children = |pid: u32| {
        let lists = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let lists = lists.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        lists
            .collect::<Vec<_>>()
            .join(" ")
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect::<Vec<u32>>()
    };
    let is_vmm = |pid: &u32| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|cmdline| cmdline.starts_with(b"ampoule-vmm\0"))
    };
    let mut generation = children(ampoule);
    for _ in 0..3 {
        if let Some(vmm) = generation.iter().copied().find(is_vmm) {
            return Some(vmm);
        }
        generation = generation.into_iter().flat_map(children).collect();
    }
    None
}

#[test]
fn each_thread_of_a_real_vmm_has_its_filter() {
    let mut running = Program::sandbox(["--", "sh", "-c", "echo up; sleep 30"]).start();
    running.wait_for_output("up\n");
    let vmm = vmm_of(running.child.id()).expect("there is a VMM");
    let seen = threads(vmm);
    // Mode 2 is a filter. KVM may have a thread of its own in the process, which got the first thread's filters.
    assert!(seen.iter().all(|(_, mode, _)| *mode == 2), "{seen:?}");
    let filters: Vec<_> = seen.iter().filter(|(name, ..)| !name.starts_with("kvm-")).collect();
    // The first thread has a filter from when it put the VM together, the second from when it loaded the kernel, and each one since.
    let [(first, _, 2), (second, _, 2)] = filters.as_slice() else { panic!("{seen:?}") };
    assert_eq!((first.as_str(), second.as_str()), ("ampoule-vmm", "devices"), "{seen:?}");
}

/// The pipes that a VMM is given are its to write to, behind its filters as well. Whoever reads them has to have time for
/// everything else.
#[test]
fn a_vmm_that_never_stops_writing_is_ended_when_asked() {
    // Standard error is the pipe of the report; the log's comes after the kernel and two images.
    for (thread, pipes) in [("vcpu", "2"), ("devices", "2,6")] {
        let mut sandbox =
            start_with(&format!("attack={thread},flood,{pipes}"), Isolation::Strict, Console::Stream);
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(500) {
            sandbox.service(&mut Nobody);
        }
        assert!(!sandbox.is_ending(), "{thread}: {:?}", sandbox.end());
        sandbox.stop(End::Stopped, Manner::Terminate);
        assert_eq!(end_of(sandbox, thread), End::Stopped);
    }
}
