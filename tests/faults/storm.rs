//! SIGKILL at random moments, under load.

use crate::census::{Census, shared_memory_kib};
use crate::chamber;
use crate::jobs::Job;
use ampoule_tests::Ended;
use fastrand::Rng;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Sandboxes that are struck.
const SANDBOXES: usize = 400;
/// At a time: more than there are processors on most machines that run this.
const AT_ONCE: usize = 4;
/// When a blow falls, after the start, at the latest.
const LATEST: Duration = Duration::from_millis(60);
/// What the machine's other users may do to the amount of shared memory meanwhile. As many VMs that leave a tenth of
/// their memory behind would be far beyond.
const SHARED_MEMORY_SLACK_KIB: u64 = 256 << 10;

/// Who is killed.
#[derive(Clone, Copy, Debug)]
enum Victim {
    CommandLine,
    Vmm,
}

#[test]
fn random_kills_leave_nothing() {
    let _alone = crate::alone();
    if !chamber::enter("storm::random_kills_leave_nothing") {
        return;
    }
    let seed = std::env::var("AMPOULE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    println!("AMPOULE_SEED={seed}");
    // Whatever the first run makes for later ones is there.
    Job::Brief.start("first").finish(|_| false);
    let before = Census::take();
    let memory = shared_memory_kib();
    let (next, struck) = (AtomicUsize::new(0), [AtomicUsize::new(0), AtomicUsize::new(0)]);
    thread::scope(|scope| {
        for worker in 0..AT_ONCE {
            let (next, struck) = (&next, &struck);
            scope.spawn(move || {
                let mut rng = Rng::with_seed(seed.wrapping_add(worker as u64));
                while next.fetch_add(1, Ordering::Relaxed) < SANDBOXES {
                    if let Some(victim) = strike(&mut rng, worker) {
                        struck[victim as usize].fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    before.await_same();
    let grown = shared_memory_kib().saturating_sub(memory);
    assert!(grown < SHARED_MEMORY_SLACK_KIB, "{grown} KiB of shared memory more than before");
    let [cli, vmm] = struck.map(AtomicUsize::into_inner);
    println!("killed: {cli} times the command line, {vmm} times the VMM, of {SANDBOXES} sandboxes");
    assert!(cli >= SANDBOXES / 5 && vmm >= SANDBOXES / 5, "too few blows hit: {cli} and {vmm}");
}

/// Starts a job, and kills somebody at some moment. Says whom, if he was still there.
fn strike(rng: &mut Rng, worker: usize) -> Option<Victim> {
    let job = Job::any(rng);
    let victim = if rng.bool() { Victim::CommandLine } else { Victim::Vmm };
    let started = job.start(&worker.to_string());
    thread::sleep(LATEST.mul_f64(rng.f64().powi(2)));
    let pid = match victim {
        Victim::CommandLine => Some(started.running.pid()),
        Victim::Vmm => child_of(started.running.pid()),
    };
    let hit = pid.is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok());
    started.finish(|ended| hit && is_told(victim, ended));
    hit.then_some(victim)
}

/// The VMM of a command line, if it has one at the moment.
fn child_of(parent: Pid) -> Option<Pid> {
    let parent = parent.as_raw_nonzero();
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
}

fn is_told(victim: Victim, ended: &Ended) -> bool {
    match victim {
        Victim::CommandLine => ended.code() == 128 + 9,
        Victim::Vmm => {
            let whether = |sentence| ended.err().contains(sentence);
            ended.code() == 125
                && (whether("the VMM process was killed by signal 9")
                    || whether("the new process was killed before it could execute the program"))
        }
    }
}
