//! Memory has run out: somebody has to go.

use crate::log::{self, Exit};
use crate::mm::heap;
use crate::task::process::{self, ExitStatus, Process};
use crate::task::{current, exit, sched};
use alloc::sync::Arc;
use ampoule_kbase::{Errno, PAGE_SIZE, Result, frames};
use core::ops::ControlFlow;
use core::sync::atomic::{AtomicU64, Ordering};
use linux_raw_sys::general::SIGKILL;

static KILLS: AtomicU64 = AtomicU64::new(0);

/// Pages of a thread: its kernel stack, and what the heap holds for it.
const THREAD_PAGES: u64 = 5;
/// Bytes of the heap for an open descriptor and what it names, an area, a signal that waits: roughly.
const SMALL_THING: u64 = 256;
/// Processes that hold as much as the largest, but for this part of it (an eighth), count as equal to it.
const EQUAL_SHIFT: u32 = 3;
/// How often others get the CPU so that one of them can end.
const PATIENCE: usize = 256;
/// How many have to go at one gate, at most.
const ROUNDS: usize = 64;

/// How often somebody had to go, for `/proc/vmstat`.
pub fn kills() -> u64 {
    KILLS.load(Ordering::Relaxed)
}

/// Pages that are held because of a process.
fn holds(process: &Process) -> u64 {
    let memory = process.memory.lock().clone();
    let (pages, areas) = {
        let space = memory.lock();
        (space.freeable_pages(), space.areas().count())
    };
    let things = areas + process.files().lock().capacity() + process.pending.lock().len();
    pages
        + process.threads.lock().len() as u64 * THREAD_PAGES
        + things as u64 * SMALL_THING / PAGE_SIZE as u64
}

/// Who has to go: the youngest of the largest, since that loses the least. One that is already on its way out is given time
/// instead of choosing another. The first process is spared.
fn choose() -> Option<(u64, Arc<Process>)> {
    process::with_all(|all| {
        let mut largest = 0;
        for process in all.clone().filter(|process| process.pid != 1 && !process.ended()) {
            if process.exiting.lock().is_some() {
                return Some((0, process.clone()));
            }
            largest = largest.max(holds(process));
        }
        let least = largest - (largest >> EQUAL_SHIFT);
        let candidates = all.filter(|process| process.pid != 1 && !process.ended());
        let candidates = candidates.map(|process| (holds(process), process));
        let candidates = candidates.filter(|(pages, _)| *pages >= least);
        candidates
            .max_by_key(|(_, process)| (process.started_ns, process.pid))
            .map(|(pages, process)| (pages, process.clone()))
    })
}

fn kill(pages: u64, victim: &Arc<Process>) {
    if victim.exiting.lock().is_none() {
        KILLS.fetch_add(1, Ordering::Relaxed);
        let name = victim.program.lock().name.clone();
        let name = alloc::string::String::from_utf8_lossy(&name);
        crate::log!("out of memory: killed process {} ({name}) with {} KiB", victim.pid, pages * 4);
        exit::kill_process(victim, ExitStatus::Signal(SIGKILL as u8));
    }
}

/// A page of a program could not be had. Kills, so that the current process can go on or is gone itself; when nobody but
/// the first process is left, the VM ends.
pub fn kill_for_memory() {
    match choose() {
        Some((pages, victim)) => {
            kill(pages, &victim);
            if victim.pid != current().process.pid {
                sched::yield_now();
            }
        }
        None => {
            crate::log!("out of memory: nothing is left to kill");
            log::exit(Exit::OutOfMemory)
        }
    }
}

/// The gate that programs pass on every way into the kernel, and when they go on after a wait in it: while the kernel has eaten
/// into its reserve, somebody has to go first. So each program has most of the reserve for the allocations of its call that
/// cannot fail. Called where no lock is held. `Break`: the current thread has to end itself now.
#[inline]
pub fn gate() -> ControlFlow<()> {
    if frames::reserve_is_eaten() {
        relieve(frames::reserve_is_eaten);
        if is_killed() {
            return ControlFlow::Break(());
        }
    }
    ControlFlow::Continue(())
}

/// A call has failed for want of memory: if programs get none, somebody has to go, so that others do not fail the same way
/// while the one that took it all sits on it. Called where no lock is held.
#[cold]
pub fn call_failed() {
    if frames::is_low() {
        relieve(frames::is_low);
    }
}

/// Does what has to succeed if killing somebody helps: new processes and new programs. `attempt` has undone what it began when
/// it fails for want of memory. Called where no lock is held.
pub fn insist<R>(mut attempt: impl FnMut() -> Result<R>) -> Result<R> {
    for _ in 0..ROUNDS {
        let result = attempt();
        let helps = matches!(result, Err(Errno::ENOMEM)) && frames::is_scarce() && !is_killed();
        if !helps || !make_somebody_go(is_killed) {
            return result;
        }
    }
    Err(Errno::ENOMEM)
}

fn is_killed() -> bool {
    current().killed.load(Ordering::Relaxed)
}

/// Kills until memory is no longer `scarce`, or nobody can be killed for it.
#[cold]
fn relieve(scarce: fn() -> bool) {
    let done = || !scarce() || is_killed();
    for _ in 0..ROUNDS {
        if done() || !make_somebody_go(done) {
            break;
        }
    }
    heap::set_aside();
}

/// Kills, and lets others run until the victim is gone, the wait is `done`, or patience is at its end. False: nobody can be
/// killed.
fn make_somebody_go(done: impl Fn() -> bool) -> bool {
    let Some((pages, victim)) = choose() else { return false };
    kill(pages, &victim);
    for _ in 0..PATIENCE {
        if victim.ended() || done() {
            break;
        }
        sched::yield_now();
    }
    true
}
