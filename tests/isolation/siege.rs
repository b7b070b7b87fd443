//! An attack, and what the host looks like meanwhile.

use ampoule_tests::{Ended, Program, Running};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs;
use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

/// How long a sibling may take for an answer. Far more than it does: a host that hangs takes for ever.
const PATIENCE: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };
/// What the CLI may need. It needs 8 MiB at rest.
const CLI_LIMIT_KB: u64 = 32 << 10;
/// What a VMM may need besides guest memory: its program, and the images that are mapped into the guest.
const VMM_LIMIT_KB: u64 = 24 << 10;
/// Runs an attack on a sandbox with so many MiB while a sibling has to answer. Checks the memory of the CLI and of all
/// processes below it, and that the sibling ends as if nothing had been.
pub fn under_siege(attack: Program, guest_mib: u64) -> Ended {
    let mut sibling = Sibling::start();
    let mut running = attack.limit(Duration::from_secs(100)).start();
    drop(running.child.stdin.take());
    let cli = running.pid().as_raw_nonzero().get();
    let attack = thread::spawn(move || running.finish());
    let (mut peaks, mut slowest) = (Peaks::default(), Duration::ZERO);
    while !attack.is_finished() {
        slowest = slowest.max(sibling.ask());
        peaks.look(cli);
        thread::sleep(Duration::from_millis(2));
    }
    let ended = attack.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    sibling.end();
    println!("attack took {:?}, slowest answer of the sibling {slowest:?}, peaks {peaks:?}", ended.took);
    assert!(peaks.cli_kb < CLI_LIMIT_KB, "the CLI took {} KiB", peaks.cli_kb);
    assert!(peaks.vmm_kb < VMM_LIMIT_KB + (guest_mib << 10), "the VMM took {} KiB", peaks.vmm_kb);
    ended
}

/// The most memory that was resident at once, in KiB.
#[derive(Debug, Default)]
struct Peaks {
    cli_kb: u64,
    vmm_kb: u64,
}

impl Peaks {
    fn look(&mut self, cli: i32) {
        self.cli_kb = self.cli_kb.max(peak_kb(cli));
        for child in descendants(cli) {
            self.vmm_kb = self.vmm_kb.max(peak_kb(child));
        }
    }
}

/// The kernel's own high-water mark; 0 for a process that is gone.
fn peak_kb(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn descendants(pid: i32) -> Vec<i32> {
    let mut found = Vec::new();
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    for task in tasks {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|word| word.parse().ok()) {
            found.push(child);
            found.extend(descendants(child));
        }
    }
    found
}

/// A sandbox that has nothing to do with the attack, and repeats what it is told.
struct Sibling(Running);

impl Sibling {
    fn start() -> Self {
        let running =
            Program::sandbox(["--timeout", "200s", "--", "cat"]).limit(Duration::from_secs(200)).start();
        let mut sibling = Self(running);
        sibling.ask();
        sibling
    }

    /// Asks, and gives how long the answer took.
    fn ask(&mut self) -> Duration {
        const WORD: &[u8] = b"are you there?\n";
        let asked = Instant::now();
        let child = &mut self.0.child;
        let stdin = child.stdin.as_mut().expect("standard input is piped");
        stdin.write_all(WORD).expect("the sibling reads");
        let stdout = child.stdout.as_mut().expect("standard output is piped");
        let (mut answer, mut len) = ([0; WORD.len()], 0);
        while len < WORD.len() {
            let ready = poll(&mut [PollFd::new(stdout, PollFlags::IN)], Some(&PATIENCE)).expect("poll");
            assert!(ready > 0, "the sibling does not answer any more");
            let more = stdout.read(&mut answer[len..]).expect("a pipe can be read");
            assert!(more > 0, "the sibling has ended");
            len += more;
        }
        assert_eq!(answer, WORD);
        asked.elapsed()
    }

    fn end(mut self) {
        self.ask();
        drop(self.0.child.stdin.take());
        let ended = self.0.finish();
        assert_eq!((ended.code(), ended.err().as_str()), (0, ""));
    }
}
