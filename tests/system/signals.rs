//! Interrupted runs: each ends in bounded time, with its own exit code.

use ampoule_tests::{Program, Turn};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::Read;
use std::time::{Duration, Instant};

/// Far longer than any of these ends takes.
const SOON: Duration = Duration::from_secs(15);

fn sandbox(script: &str) -> ampoule_tests::Running {
    let mut running = Program::script(script).limit(SOON).start();
    running.wait_for_output("ready\n");
    running
}

#[test]
fn the_first_signal_goes_to_the_command() {
    for (signal, name) in
        [(Signal::INT, "INT"), (Signal::TERM, "TERM"), (Signal::HUP, "HUP"), (Signal::USR1, "USR1")]
    {
        let mut running =
            sandbox(&format!("trap 'echo got it; exit 6' {name}; echo ready; while :; do sleep 0.01; done"));
        running.signal(signal);
        let ended = running.finish();
        assert_eq!((ended.code(), ended.out().as_str()), (6, "got it\n"));
    }
}

#[test]
fn a_signal_that_the_command_does_not_catch_ends_it() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut running = sandbox("echo ready; sleep 60");
        running.signal(signal);
        assert_eq!(running.finish().code(), code);
    }
}

#[test]
fn the_second_signal_ends_the_sandbox() {
    let mut running = sandbox("trap 'echo once' INT; echo ready; while :; do sleep 0.01; done");
    running.signal(Signal::INT);
    running.wait_for_output("once\n");
    // Within 50 ms, a second one counts as an echo of the first.
    std::thread::sleep(Duration::from_millis(60));
    running.signal(Signal::INT);
    let ended = running.finish();
    ended.failed(130, &["interrupted by signal 2 (SIGINT)"]);
}

#[test]
fn a_killed_vmm_is_told_and_output_is_kept() {
    let mut running = sandbox("echo before; echo ready; sleep 60");
    kill_process(vmm_of(running.child.id()), Signal::KILL).unwrap();
    running.finish().failed(125, &["the VMM process was killed by signal 9"]);
}

#[test]
fn a_vmm_that_stands_still_is_no_hang() {
    let mut running =
        Program::sandbox(["--timeout", "1s", "--", "sh", "-c", "echo ready; sleep 60"]).limit(SOON).start();
    running.wait_for_output("ready\n");
    kill_process(vmm_of(running.child.id()), Signal::STOP).unwrap();
    running.finish().failed(124, &["the time was up"]);
}

#[test]
fn a_killed_cli_takes_its_vmm_along() {
    let _turn = Turn::take();
    let mut running = sandbox("echo ready; sleep 60");
    let vmm = vmm_of(running.child.id());
    running.signal(Signal::KILL);
    // The VMM has standard error: its end is the end of that.
    let mut rest = Vec::new();
    running.child.stderr.take().unwrap().read_to_end(&mut rest).unwrap();
    assert_eq!(running.finish().code(), 128 + 9);
    let since = Instant::now();
    while fs::exists(format!("/proc/{}", vmm.as_raw_nonzero())).unwrap() {
        assert!(since.elapsed() < SOON, "the VMM is still there");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_killed_cli_takes_a_spinning_guest_along() {
    let _turn = Turn::take();
    let mut running = sandbox("echo ready; while :; do :; done");
    let vmm = vmm_of(running.child.id());
    running.signal(Signal::KILL);
    assert_eq!(running.finish().code(), 128 + 9);
    let since = Instant::now();
    while fs::exists(format!("/proc/{}", vmm.as_raw_nonzero())).unwrap() {
        assert!(since.elapsed() < SOON, "the VMM is still there");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn vmm_of(cli: u32) -> Pid {
    let list = fs::read_to_string(format!("/proc/{cli}/task/{cli}/children")).unwrap();
    let pid = list.trim().parse().unwrap_or_else(|_| panic!("not one child: {list:?}"));
    Pid::from_raw(pid).unwrap()
}
