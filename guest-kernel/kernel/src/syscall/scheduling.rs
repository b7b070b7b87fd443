//! Scheduling, futexes and resource use.

use super::{Args, Call, call, process::write_usage, time};
use crate::mm::user;
use crate::task::limits::{self, resource};
use crate::task::process::{self, Process, Usage};
use crate::task::{credentials::capability, current, futex, sched};
use crate::time::clock;
use alloc::sync::Arc;
use ampoule_kbase::{Errno, Result};
use core::sync::atomic::Ordering;
use linux_raw_sys::general as linux;

/// The calls of this family.
pub const CALLS: &[Call] = &[
    call(linux::__NR_sched_yield, "sched_yield", "", sched_yield),
    call(linux::__NR_sched_getaffinity, "sched_getaffinity", "iux", getaffinity),
    call(linux::__NR_sched_setaffinity, "sched_setaffinity", "iux", setaffinity),
    call(linux::__NR_sched_getscheduler, "sched_getscheduler", "i", |args| exists(args[0]).map(|()| 0)),
    call(linux::__NR_sched_setscheduler, "sched_setscheduler", "iix", setscheduler),
    call(linux::__NR_sched_getparam, "sched_getparam", "ix", getparam),
    call(linux::__NR_sched_setparam, "sched_setparam", "ix", |args| exists(args[0]).map(|()| 0)),
    call(linux::__NR_sched_get_priority_max, "sched_get_priority_max", "i", |args| priority(args[0], 99)),
    call(linux::__NR_sched_get_priority_min, "sched_get_priority_min", "i", |args| priority(args[0], 1)),
    call(linux::__NR_sched_rr_get_interval, "sched_rr_get_interval", "ix", rr_interval),
    call(linux::__NR_ioprio_get, "ioprio_get", "ii", |_| Ok(0)),
    call(linux::__NR_ioprio_set, "ioprio_set", "iii", |_| Ok(0)),
    call(linux::__NR_futex, "futex", "xiuxxu", sys_futex),
    call(linux::__NR_getrusage, "getrusage", "ix", getrusage),
    call(linux::__NR_times, "times", "x", times),
    call(linux::__NR_getrlimit, "getrlimit", "ix", getrlimit),
    call(linux::__NR_setrlimit, "setrlimit", "ix", setrlimit),
    call(linux::__NR_prlimit64, "prlimit64", "iixx", prlimit64),
    call(linux::__NR_getcpu, "getcpu", "xx", getcpu),
    call(linux::__NR_membarrier, "membarrier", "iui", membarrier),
    call(linux::__NR_rseq, "rseq", "xuxx", |_| Err(Errno::ENOSYS)),
];

fn sched_yield(_args: &Args) -> Result<u64> {
    sched::yield_now();
    Ok(0)
}

fn exists(pid: u64) -> Result<()> {
    match pid as i32 {
        0 => Ok(()),
        pid if pid < 0 => Err(Errno::EINVAL),
        pid => process::find_thread(pid as u32).map(|_| ()).ok_or(Errno::ESRCH),
    }
}

/// Other than those about policies, calls about processors look for a thread with a negative id, and find none.
fn has_affinity(pid: u64) -> Result<()> {
    if (pid as i32) < 0 { Err(Errno::ESRCH) } else { exists(pid) }
}

/// One CPU, number 0.
fn getaffinity(args: &Args) -> Result<u64> {
    let [pid, length, mask, ..] = *args;
    if length < 8 || length % 8 != 0 {
        return Err(Errno::EINVAL);
    }
    has_affinity(pid)?;
    user::write(mask, 1u64)?;
    Ok(8)
}

fn setaffinity(args: &Args) -> Result<u64> {
    let [pid, length, mask, ..] = *args;
    has_affinity(pid)?;
    let first = if length == 0 { 0 } else { user::read::<u8>(mask)? };
    if first & 1 == 1 { Ok(0) } else { Err(Errno::EINVAL) }
}

fn setscheduler(args: &Args) -> Result<u64> {
    exists(args[0])?;
    match args[1] as u32 {
        linux::SCHED_NORMAL | linux::SCHED_BATCH | linux::SCHED_IDLE => Ok(0),
        linux::SCHED_FIFO | linux::SCHED_RR => Err(Errno::EPERM),
        _ => Err(Errno::EINVAL),
    }
}

fn getparam(args: &Args) -> Result<u64> {
    exists(args[0])?;
    user::write(args[1], 0u32)?;
    Ok(0)
}

fn priority(policy: u64, realtime: u64) -> Result<u64> {
    match policy as u32 {
        linux::SCHED_FIFO | linux::SCHED_RR => Ok(realtime),
        linux::SCHED_NORMAL | linux::SCHED_BATCH | linux::SCHED_IDLE => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

fn rr_interval(args: &Args) -> Result<u64> {
    exists(args[0])?;
    user::write(args[1], [0i64, 4_000_000])?;
    Ok(0)
}

fn sys_futex(args: &Args) -> Result<u64> {
    let [address, operation, value, fourth, second, sixth] = *args;
    const REALTIME: u32 = linux::FUTEX_CLOCK_REALTIME;
    let operation = operation as u32;
    let (value, value3) = (value as u32, sixth as u32);
    let all = linux::FUTEX_BITSET_MATCH_ANY;
    match operation & linux::FUTEX_CMD_MASK as u32 {
        linux::FUTEX_WAIT => {
            let deadline = match fourth {
                0 => None,
                at => Some(clock::monotonic_ns().saturating_add(time::read_timespec(at)?)),
            };
            futex::wait(address, value, all, deadline).map(|()| 0)
        }
        linux::FUTEX_WAIT_BITSET => {
            let deadline = match fourth {
                0 => None,
                at => Some(time::to_monotonic(time::read_timespec(at)?, operation & REALTIME != 0)),
            };
            futex::wait(address, value, value3, deadline).map(|()| 0)
        }
        linux::FUTEX_WAKE => futex::wake(address, value as usize, all).map(|n| n as u64),
        linux::FUTEX_WAKE_BITSET => futex::wake(address, value as usize, value3).map(|n| n as u64),
        linux::FUTEX_REQUEUE => futex::requeue(address, second, value as usize, fourth as u32 as usize, None)
            .map(|(w, m)| (w + m) as u64),
        linux::FUTEX_CMP_REQUEUE => {
            futex::requeue(address, second, value as usize, fourth as u32 as usize, Some(value3))
                .map(|(w, m)| (w + m) as u64)
        }
        linux::FUTEX_WAKE_OP => {
            futex::wake_operation(address, second, value as usize, fourth as u32 as usize, value3)
                .map(|n| n as u64)
        }
        _ => Err(Errno::ENOSYS),
    }
}

fn getrusage(args: &Args) -> Result<u64> {
    sched::account_current();
    let this = current();
    let usage = match args[0] as i32 {
        0 => this.process.usage(),
        -1 => *this.process.children_usage.lock(),
        1 => Usage { cpu_ns: this.cpu_ns.load(Ordering::Relaxed), ..this.process.usage() },
        _ => return Err(Errno::EINVAL),
    };
    if args[1] == 0 {
        return Err(Errno::EFAULT);
    }
    write_usage(args[1], usage)?;
    Ok(0)
}

/// Clock ticks are hundredths of a second.
fn times(args: &Args) -> Result<u64> {
    const TICK_NS: u64 = 10_000_000;
    sched::account_current();
    let process = &current().process;
    let children = process.children_usage.lock().cpu_ns / TICK_NS;
    user::write_if(args[0], [process.cpu_ns.load(Ordering::Relaxed) / TICK_NS, 0, children, 0])?;
    Ok(clock::monotonic_ns() / TICK_NS)
}

fn index(resource: u64) -> Result<usize> {
    usize::try_from(resource as u32).ok().filter(|r| *r < limits::COUNT).ok_or(Errno::EINVAL)
}

fn getrlimit(args: &Args) -> Result<u64> {
    let (soft, hard) = current().process.limits.lock().0[index(args[0])?];
    user::write(args[1], [soft, hard])?;
    Ok(0)
}

fn setrlimit(args: &Args) -> Result<u64> {
    let [soft, hard] = user::read::<[u64; 2]>(args[1])?;
    change(&current().process.clone(), index(args[0])?, soft, hard)?;
    Ok(0)
}

fn prlimit64(args: &Args) -> Result<u64> {
    let [pid, resource, new, old, ..] = *args;
    let process = match pid as u32 {
        0 => current().process.clone(),
        pid => process::find(pid).ok_or(Errno::ESRCH)?,
    };
    let resource = index(resource)?;
    let own = current().process.credentials.lock().clone();
    if process.pid != current().process.pid && !own.has(capability::SYS_RESOURCE) {
        let other = process.credentials.lock().clone();
        if own.uid != other.uid || own.uid != other.euid || own.uid != other.suid {
            return Err(Errno::EPERM);
        }
    }
    let (soft, hard) = process.limits.lock().0[resource];
    if new != 0 {
        let [soft, hard] = user::read::<[u64; 2]>(new)?;
        change(&process, resource, soft, hard)?;
    }
    user::write_if(old, [soft, hard])?;
    Ok(0)
}

fn change(process: &Arc<Process>, resource: usize, soft: u64, hard: u64) -> Result<()> {
    if soft > hard {
        return Err(Errno::EINVAL);
    }
    let privileged = current().process.credentials.lock().has(capability::SYS_RESOURCE);
    let mut limits = process.limits.lock();
    if hard > limits.0[resource].1 && !privileged {
        return Err(Errno::EPERM);
    }
    const MAX_FILES: u64 = 1 << 20;
    if resource == resource::NOFILE && hard > MAX_FILES {
        return Err(Errno::EPERM);
    }
    limits.0[resource] = (soft, hard);
    drop(limits);
    let memory = process.memory.lock().clone();
    match resource {
        resource::CPU => crate::task::cpu_limit::changed(process),
        resource::AS => memory.lock().size_limit = soft,
        resource::DATA => memory.lock().data_limit = soft,
        _ => {}
    }
    Ok(())
}

fn getcpu(args: &Args) -> Result<u64> {
    user::write_if(args[0], 0u32)?;
    user::write_if(args[1], 0u32)?;
    Ok(0)
}

/// On one CPU every switch of threads is a barrier.
fn membarrier(args: &Args) -> Result<u64> {
    const QUERY: u64 = 0;
    const PRIVATE_EXPEDITED: u64 = 8;
    const REGISTER_PRIVATE_EXPEDITED: u64 = 16;
    const GLOBAL: u64 = 1;
    match args[0] {
        QUERY => Ok(GLOBAL | PRIVATE_EXPEDITED | REGISTER_PRIVATE_EXPEDITED),
        GLOBAL | PRIVATE_EXPEDITED | REGISTER_PRIVATE_EXPEDITED => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}
