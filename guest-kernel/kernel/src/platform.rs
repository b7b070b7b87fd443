//! The kernel as the file systems, sockets and drivers see it.

use crate::signal::{self, SignalInfo, bit};
use crate::task::{self, process, sched};
use crate::time::{clock, timers};
use crate::{log, random};
use alloc::sync::Arc;
use ampoule_kbase::{Copies, Platform, TimerId, TimerTarget, WaitQueue, frames, platform::Caller};
use core::ops::Range;
use core::sync::atomic::Ordering;

/// The one kernel.
pub struct Kernel;

impl Platform for Kernel {
    fn monotonic_ns(&self) -> u64 {
        clock::monotonic_ns()
    }

    fn realtime_ns(&self) -> u64 {
        clock::realtime_ns()
    }

    fn timer_arm(&self, deadline_ns: u64, target: Arc<dyn TimerTarget>) -> TimerId {
        timers::arm(deadline_ns, target)
    }

    fn timer_cancel(&self, id: TimerId) {
        timers::cancel(id);
    }

    fn caller(&self) -> Caller {
        let Some(this) = sched::try_current() else {
            return Caller { pid: 1, tid: 1, pgid: 1, sid: 1, ..Caller::default() };
        };
        let process = &this.process;
        let credentials = process.credentials.lock();
        Caller {
            pid: process.pid,
            tid: this.tid(),
            pgid: process.pgid.load(Ordering::Relaxed),
            sid: process.sid.load(Ordering::Relaxed),
            uid: credentials.uid,
            gid: credentials.gid,
            fsuid: credentials.fsuid,
            fsgid: credentials.fsgid,
        }
    }

    fn caller_in_group(&self, gid: u32) -> bool {
        sched::try_current().is_none_or(|this| this.process.credentials.lock().in_group(gid))
    }

    fn signal_group(&self, pgid: u32, signo: u32) {
        signal::send_to_group(pgid, SignalInfo::kernel(signo));
    }

    fn signal_process(&self, pid: u32, signo: u32) {
        if let Some(process) = process::find(pid) {
            signal::send_to_process(&process, SignalInfo::kernel(signo));
        }
    }

    fn group_session(&self, pgid: u32) -> Option<u32> {
        // As Linux: the number of a process that leads no group will do.
        let member = process::group(pgid).first().cloned().or_else(|| process::find(pgid))?;
        Some(member.sid.load(Ordering::Relaxed))
    }

    fn signal_caller(&self, signo: u32) {
        signal::send_to_thread(task::current(), SignalInfo::user(signo, 0));
    }

    fn caller_ignores(&self, signo: u32) -> bool {
        let this = task::current();
        let blocked = this.signals.lock().mask & bit(signo) != 0;
        let actions = this.process.actions.lock().clone();
        blocked || actions.lock().get(signo).is_ignore()
    }

    fn group_is_orphaned(&self, pgid: u32) -> bool {
        task::process_group_is_orphaned(pgid, 0)
    }

    fn caller_signals(&self) -> Option<Arc<WaitQueue>> {
        sched::try_current().map(|this| this.process.signal_queue.clone())
    }

    fn pages_gone(&self, device: u64, inode: u64, pages: Range<u64>, copies: Copies) {
        for process in process::all() {
            let memory = process.memory.lock().clone();
            memory.lock().forget_file_pages(device, inode, &pages, copies);
        }
    }

    fn random(&self, buffer: &mut [u8]) {
        random::fill(buffer);
    }

    fn pages(&self) -> (u64, u64) {
        frames::usage()
    }

    fn log_bytes(&self, bytes: &[u8]) {
        log::write_bytes(bytes);
    }

    fn log(&self, text: core::fmt::Arguments<'_>) {
        log::line(text);
    }
}
