//! Nice values: `getpriority(2)` and `setpriority(2)`. They are kept, and shown in `/proc`, without an effect on the scheduler.

use super::{Args, Call, call};
use crate::task::credentials::capability;
use crate::task::current;
use crate::task::limits::resource;
use crate::task::process::{self, Process};
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Result};
use core::sync::atomic::Ordering;
use linux_raw_sys::general as linux;

/// The calls of this family.
pub const CALLS: &[Call] = &[
    call(linux::__NR_getpriority, "getpriority", "ii", getpriority),
    call(linux::__NR_setpriority, "setpriority", "iii", setpriority),
];

/// What the call gives for a nice value of 0: so that no result is negative.
const BASE: i32 = 20;

/// The processes that are meant; never none.
fn targets(which: u64, who: u64) -> Result<Vec<Arc<Process>>> {
    const PROCESS: u32 = 0;
    const GROUP: u32 = 1;
    const USER: u32 = 2;
    let this = &current().process;
    let who = who as u32;
    let found = match (which as u32, who) {
        (PROCESS, 0) => alloc::vec![this.clone()],
        (PROCESS, pid) => process::find(pid).into_iter().collect(),
        (GROUP, 0) => process::group(this.pgid.load(Ordering::Relaxed)),
        (GROUP, pgid) => process::group(pgid),
        (USER, uid) => {
            let uid = if uid == 0 { this.credentials.lock().uid } else { uid };
            process::with_all(|all| {
                all.filter(|process| process.credentials.lock().uid == uid).cloned().collect()
            })
        }
        _ => return Err(Errno::EINVAL),
    };
    if found.is_empty() { Err(Errno::ESRCH) } else { Ok(found) }
}

fn getpriority(args: &Args) -> Result<u64> {
    let lowest = targets(args[0], args[1])?.iter().map(|process| process.nice.load(Ordering::Relaxed)).min();
    u64::try_from(BASE - lowest.unwrap_or_default()).map_err(|_| Errno::EINVAL)
}

fn setpriority(args: &Args) -> Result<u64> {
    let nice = (args[2] as i32).clamp(-BASE, BASE - 1);
    let mut result = Ok(0);
    for process in targets(args[0], args[1])? {
        match check(&process, nice) {
            Ok(()) => process.nice.store(nice, Ordering::Relaxed),
            refused => result = refused.map(|()| 0),
        }
    }
    result
}

fn check(process: &Process, nice: i32) -> Result<()> {
    let own = current().process.credentials.lock().clone();
    if own.has(capability::SYS_NICE) {
        return Ok(());
    }
    let theirs = process.credentials.lock().clone();
    if own.euid != theirs.uid && own.euid != theirs.euid {
        return Err(Errno::EPERM);
    }
    let most = process.limits.lock().soft(resource::NICE);
    let lowers = nice < process.nice.load(Ordering::Relaxed);
    if lowers && u64::try_from(BASE - nice).is_ok_and(|level| level > most) {
        Err(Errno::EACCES)
    } else {
        Ok(())
    }
}
