//! How a VM is ended from outside, and what it leaves behind.

mod common;

use ampoule_vmm_api::{CONTROL_PORT, Reason};
use common::{Running, Vm};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::time::{Duration, Instant};

/// Ends must come within this, however busy the machine.
const BOUND: Duration = Duration::from_secs(3);

fn send_signal(running: &Running, signal: Signal) {
    kill_process(Pid::from_child(&running.process), signal).unwrap();
}

#[test]
fn a_signal_ends_a_guest_that_spins_or_sleeps() {
    for (test, line) in [("spin", "spinning"), ("halt", "halting")] {
        for signal in [Signal::TERM, Signal::INT] {
            let mut running = Vm::new(test).start();
            running.wait_for_line(line);
            let start = Instant::now();
            send_signal(&running, signal);
            let outcome = running.wait();
            outcome.expect(Reason::Terminated);
            assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
            assert_eq!(outcome.status.console_tail, format!("{line}\n"));
        }
    }
}

#[test]
fn a_signal_ends_the_wait_for_a_host_that_does_not_read() {
    let mut vm = Vm::new("sink");
    let _host = vm.port(CONTROL_PORT);
    let mut running = vm.start();
    running.wait_for_line("sent");
    std::thread::sleep(Duration::from_millis(100));
    assert!(running.process.try_wait().unwrap().is_none(), "it waits for the host to read");
    let start = Instant::now();
    send_signal(&running, Signal::TERM);
    running.wait().expect(Reason::PowerOff);
    assert!(start.elapsed() < Duration::from_millis(800), "{:?}", start.elapsed());
}

#[test]
fn the_end_of_the_parent_is_the_end() {
    let mut vm = Vm::new("spin");
    let mut lifeline = vm.lifeline();
    let mut running = vm.start();
    running.wait_for_line("spinning");
    lifeline.write_all(b"still here").unwrap();
    std::thread::sleep(Duration::from_millis(50));
    assert!(running.process.try_wait().unwrap().is_none());
    let start = Instant::now();
    drop(lifeline);
    running.wait().expect(Reason::ParentGone);
    assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
}

#[test]
fn a_killed_vmm_leaves_no_status_and_closes_its_sockets() {
    let mut vm = Vm::new("echo");
    let mut host = vm.port(CONTROL_PORT);
    let mut running = vm.start();
    host.write_all(b"x").unwrap();
    host.read_exact(&mut [0]).unwrap();
    send_signal(&running, Signal::KILL);
    assert_eq!(running.wait_for_exit(), None);
    assert_eq!(host.read(&mut [0]).unwrap_or(0), 0);
}

#[test]
fn a_console_that_nobody_reads_does_not_keep_the_vm() {
    let mut vm = Vm::new("panic");
    let (reader, writer) = std::io::pipe().unwrap();
    fill(&writer);
    vm.config.console_fd = Some(vm.pass(writer));
    let start = Instant::now();
    vm.start_without_console().wait().expect(Reason::KernelPanic);
    assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
    drop(reader);
}

/// Fills a pipe up.
fn fill(pipe: &std::io::PipeWriter) {
    rustix::io::ioctl_fionbio(pipe, true).unwrap();
    while rustix::io::write(pipe, &[b'x'; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(pipe, false).unwrap();
}

#[test]
fn idle_memory_is_small() {
    // The child starts as a copy of this process.
    let ballast = vec![1u8; 32 << 20];
    let mut running = Vm::new("halt").start();
    running.wait_for_line("halting");
    assert_eq!(ballast.iter().step_by(4096).map(|&byte| u64::from(byte)).sum::<u64>(), 8192);
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.process.id())).unwrap();
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = rss.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 6 * 1024, "{kib} KiB");
    send_signal(&running, Signal::TERM);
    // However much memory the process took before it became the VMM.
    let peak = running.wait().status.peak_rss_kib;
    assert!((kib..6 * 1024).contains(&peak), "{peak} KiB");
}

#[test]
fn vms_run_side_by_side_and_one_after_another() {
    let threads: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(|| {
                for _ in 0..5 {
                    Vm::new("panic").run().expect(Reason::KernelPanic);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn the_vmm_does_not_depend_on_standard_streams() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ampoule-vmm"));
    // SAFETY: the closure only makes system calls.
    unsafe {
        command.pre_exec(|| {
            for fd in 0..3 {
                rustix::io::close(fd);
            }
            Ok(())
        });
    }
    assert_eq!(command.status().unwrap().code(), Some(2));
}
