//! `RLIMIT_CPU`: `SIGXCPU` at the soft limit and each second after it, `SIGKILL` at the hard one.
//!
//! The kernel is tickless, so a limited process has its moment noted when one of its threads gets the CPU: the hardware
//! timer is armed no later than that.

use super::limits::{INFINITY, Limits, resource};
use super::process::{ExitStatus, Process};
use super::{exit, sched};
use crate::signal::{self, SignalInfo};
use crate::time::{SECOND, clock};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use linux_raw_sys::general::{SIGKILL, SIGXCPU};

/// When the running process reaches its limit if it keeps the CPU: monotonic time.
static DUE: AtomicU64 = AtomicU64::new(u64::MAX);

/// The moment for the hardware timer.
pub fn due() -> u64 {
    DUE.load(Ordering::Relaxed)
}

/// The CPU time in nanoseconds at which a process with these limits has to be looked at.
pub fn alarm(limits: &Limits) -> u64 {
    let (soft, hard) = limits.0[resource::CPU];
    match soft.min(hard) {
        INFINITY => u64::MAX,
        // As Linux: a limit of zero is one second.
        seconds => seconds.max(1).saturating_mul(SECOND),
    }
}

/// A thread of `process` gets the CPU at `now`.
pub fn begin(process: &Process, now: u64) {
    let due = match process.cpu_alarm_ns.load(Ordering::Relaxed) {
        u64::MAX => u64::MAX,
        alarm => now.saturating_add(alarm.saturating_sub(process.cpu_ns.load(Ordering::Relaxed))),
    };
    DUE.store(due, Ordering::Relaxed);
}

/// The limits of a process have changed.
pub fn changed(process: &Arc<Process>) {
    process.cpu_alarm_ns.store(alarm(&process.limits.lock()), Ordering::Relaxed);
    if sched::current().process.pid == process.pid {
        sched::account_current();
        begin(process, clock::monotonic_ns());
    }
}

/// Looks at the running process, whose time may be up.
pub fn check(process: &Arc<Process>) {
    sched::account_current();
    let used = process.cpu_ns.load(Ordering::Relaxed);
    if used >= process.cpu_alarm_ns.load(Ordering::Relaxed) {
        let (soft, hard) = process.limits.lock().0[resource::CPU];
        if used >= hard.max(1).saturating_mul(SECOND) {
            exit::kill_process(process, ExitStatus::Signal(SIGKILL as u8));
        } else {
            // As Linux, the soft limit itself moves on, where the program sees it.
            process.limits.lock().0[resource::CPU].0 = soft.max(1).saturating_add(1);
            signal::send_to_process(process, SignalInfo::kernel(SIGXCPU));
        }
        process.cpu_alarm_ns.store(alarm(&process.limits.lock()), Ordering::Relaxed);
    }
    begin(process, clock::monotonic_ns());
}
