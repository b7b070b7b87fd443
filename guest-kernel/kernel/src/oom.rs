//! Memory has run out: somebody has to go.

use crate::log::{self, Exit};
use crate::task::process::{self, ExitStatus, Process};
use crate::task::{current, exit};
use core::sync::atomic::{AtomicU64, Ordering};
use linux_raw_sys::general::SIGKILL;

static KILLS: AtomicU64 = AtomicU64::new(0);

/// How often somebody had to go, for `/proc/vmstat`.
pub fn kills() -> u64 {
    KILLS.load(Ordering::Relaxed)
}

fn resident(process: &Process) -> u64 {
    let memory = process.memory.lock().clone();
    let (now, _) = memory.lock().resident();
    now
}

/// Kills the process with the most memory, so that the current one can go on or is gone itself. The first process is
/// spared; when it is alone, the VM ends.
pub fn kill_for_memory() {
    // One that is already on its way out is given time instead of choosing another.
    let largest = process::with_all(|all| {
        let candidates = all.filter(|p| p.pid != 1 && !p.ended());
        candidates.map(|p| (resident(p), p.clone())).max_by_key(|(pages, _)| *pages)
    });
    match largest {
        Some((pages, victim)) => {
            if victim.exiting.lock().is_none() {
                KILLS.fetch_add(1, Ordering::Relaxed);
                let name = victim.program.lock().name.clone();
                let name = alloc::string::String::from_utf8_lossy(&name);
                crate::log!("out of memory: killed process {} ({name}) with {} KiB", victim.pid, pages * 4);
                exit::kill_process(&victim, ExitStatus::Signal(SIGKILL as u8));
            }
            if victim.pid != current().process.pid {
                crate::task::sched::yield_now();
            }
        }
        None => {
            crate::log!("out of memory: nothing is left to kill");
            log::exit(Exit::OutOfMemory)
        }
    }
}
