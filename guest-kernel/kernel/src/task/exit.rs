//! How threads and processes end.

use super::process::{self, ExitStatus, JobEvent, Process};
use super::sched;
use super::thread::Thread;
use super::{current, futex};
use crate::mm::user;
use crate::signal::{self, SignalInfo};
use alloc::collections::BTreeSet;
use alloc::sync::{Arc, Weak};
use core::sync::atomic::Ordering;
use linux_raw_sys::general::{SIGCHLD, SIGCONT, SIGHUP};

/// Asks for the end of the whole current process; it happens on the way back to the program.
pub fn request_group_exit(status: ExitStatus) {
    kill_process(&current().process, status);
}

/// Asks for the end of the current thread.
pub fn request_thread_exit(code: u8) {
    let this = current();
    if this.process.threads.lock().len() == 1 {
        this.process.exiting.lock().get_or_insert(ExitStatus::Code(code));
    }
    kill_thread(this);
}

/// Makes every thread of a process end.
pub fn kill_process(process: &Process, status: ExitStatus) {
    process.exiting.lock().get_or_insert(status);
    for thread in process.threads.lock().iter() {
        kill_thread(thread);
    }
}

/// Makes one thread end as soon as it would go back to its program.
pub fn kill_thread(thread: &Thread) {
    thread.killed.store(true, Ordering::Relaxed);
    sched::nudge(thread);
    sched::resume(thread);
}

/// The end of the current thread. Nothing that needs dropping may be on its stack.
pub fn end_current_thread() -> ! {
    {
        let this = current();
        sched::account_current();
        release_thread(this);
        let process = &this.process;
        let last = {
            let mut threads = process.threads.lock();
            threads.retain(|thread| thread.tid() != this.tid());
            threads.is_empty()
        };
        process::unregister_thread(this.tid());
        if last {
            end_process(process);
        }
        process.released.wake(sched::ANY);
    }
    sched::leave()
}

/// What a thread leaves behind in its program's memory: a cleared id, released locks.
fn release_thread(this: &Thread) {
    futex::release_robust_list(this);
    let address = this.clear_child_tid.swap(0, Ordering::Relaxed);
    // If nobody else uses the memory there is nobody to tell.
    let shared = Arc::strong_count(&this.process.memory.lock()) > 1 || this.process.threads.lock().len() > 1;
    if address != 0 && shared && user::write(address, 0u32).is_ok() {
        futex::wake_at(address, 1);
    }
}

fn end_process(process: &Arc<Process>) {
    let status = process.exiting.lock().unwrap_or(ExitStatus::Code(0));
    if process.pid == 1 {
        crate::power::init_ended(status);
    }
    process.timers.lock().cancel_all();
    release_memory(process);
    let program = {
        let mut program = process.program.lock();
        (program.file.take(), program.writers.take())
    };
    drop(program);
    close_files(process);
    hand_over_children(process);
    leave_session(process);
    process.set_ended(status);
    process.vfork_done.store(true, Ordering::Relaxed);
    process.released.wake(sched::ANY);
    tell_parent(process, status);
}

fn release_memory(process: &Process) {
    process.final_peak_pages.store(process.usage().peak_pages, Ordering::Relaxed);
    if let Some(nothing) = process::no_memory() {
        let old = core::mem::replace(&mut *process.memory.lock(), nothing);
        drop(old);
    }
}

/// Record locks go with the process, whoever else holds the descriptions.
fn close_files(process: &Process) {
    let files = core::mem::take(&mut *process.files.lock());
    crate::syscall::locks::process_ended(process.pid, &files);
}

/// Children go to the nearest subreaper, or to the first process.
fn hand_over_children(process: &Arc<Process>) {
    let children = core::mem::take(&mut *process.children.lock());
    if children.is_empty() {
        return;
    }
    let heir = heir_of(process);
    let tied = children.iter().filter(|child| super::is_tied(child, process));
    let groups: BTreeSet<u32> = tied.map(|child| child.pgid.load(Ordering::Relaxed)).collect();
    for child in children {
        *child.parent.lock() = heir.as_ref().map_or_else(Weak::new, Arc::downgrade);
        let signo = child.parent_death_signal.load(Ordering::Relaxed);
        if signo != 0 {
            signal::send_to_process(&child, SignalInfo::kernel(signo));
        }
        child.exit_signal.store(SIGCHLD, Ordering::Relaxed);
        let ended = child.ended();
        if let Some(heir) = &heir {
            heir.children.lock().push(child);
            if ended {
                signal::send_to_process(heir, SignalInfo::kernel(SIGCHLD));
                heir.child_news.wake(sched::ANY);
            }
        }
    }
    for pgid in groups {
        hang_up_if_orphaned(pgid, process.pid);
    }
}

fn heir_of(process: &Arc<Process>) -> Option<Arc<Process>> {
    let mut ancestor = process.parent.lock().upgrade();
    while let Some(candidate) = ancestor {
        if candidate.subreaper.load(Ordering::Relaxed) && !candidate.ended() {
            return Some(candidate);
        }
        ancestor = candidate.parent.lock().upgrade();
    }
    process::find(1)
}

/// The end of a session leader hangs its terminal up.
fn leave_session(process: &Arc<Process>) {
    let pgid = process.pgid.load(Ordering::Relaxed);
    if process.sid.load(Ordering::Relaxed) == process.pid {
        ampoule_kio::tty::session_ended(process.pid);
    }
    let parent = process.parent.lock().upgrade();
    if parent.is_some_and(|parent| super::is_tied(process, &parent)) {
        hang_up_if_orphaned(pgid, process.pid);
    }
}

/// A group that lost a tie to the session by the end of `ending` (a member or the parent of one), has none left and has stopped
/// members is told to go on (POSIX, `_exit`). One that had none before is left alone.
fn hang_up_if_orphaned(pgid: u32, ending: u32) {
    let is_stopped = |member: &Process| member.pid != ending && member.stopped.load(Ordering::Relaxed);
    if process::group_has(pgid, is_stopped) && super::process_group_is_orphaned(pgid, ending) {
        for member in process::group(pgid).into_iter().filter(|member| member.pid != ending) {
            signal::send_to_process(&member, SignalInfo::kernel(SIGHUP));
            signal::send_to_process(&member, SignalInfo::kernel(SIGCONT));
        }
    }
}

fn tell_parent(process: &Arc<Process>, status: ExitStatus) {
    let Some(parent) = process.parent.lock().upgrade() else {
        process::unregister(process.pid);
        return;
    };
    let signo = process.exit_signal.load(Ordering::Relaxed);
    let reap = signo == SIGCHLD && signal::ignores_children(&parent);
    if reap {
        parent.children.lock().retain(|child| child.pid != process.pid);
        process::unregister(process.pid);
    }
    if signo != 0 {
        signal::send_to_process(&parent, child_info(process, status, signo));
    }
    parent.child_news.wake(sched::ANY);
}

/// The `siginfo` of a child's end.
pub fn child_info(process: &Process, status: ExitStatus, signo: u32) -> SignalInfo {
    const CLD_EXITED: i32 = 1;
    const CLD_KILLED: i32 = 2;
    let (code, value) = match status {
        ExitStatus::Code(code) => (CLD_EXITED, i32::from(code)),
        ExitStatus::Signal(signo) => (CLD_KILLED, i32::from(signo)),
    };
    let uid = process.credentials.lock().uid;
    SignalInfo::child(signo, code, process.pid, uid, value, process.cpu_ns.load(Ordering::Relaxed))
}

/// Job control has stopped a process, or let it go on: its parent is told.
pub fn job_changed(process: &Arc<Process>, event: JobEvent) {
    const CLD_STOPPED: i32 = 5;
    const CLD_CONTINUED: i32 = 6;
    *process.job_event.lock() = event;
    let Some(parent) = process.parent.lock().upgrade() else { return };
    let (code, value) = match event {
        JobEvent::Stopped(signo) => (CLD_STOPPED, i32::from(signo)),
        _ => (CLD_CONTINUED, SIGCONT as i32),
    };
    if signal::wants_child_stops(&parent) {
        let uid = process.credentials.lock().uid;
        let info =
            SignalInfo::child(SIGCHLD, code, process.pid, uid, value, process.cpu_ns.load(Ordering::Relaxed));
        signal::send_to_process(&parent, info);
    }
    parent.child_news.wake(sched::ANY);
}
