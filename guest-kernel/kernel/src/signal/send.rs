//! Sending signals.

use super::{SignalInfo, SignalSet, UNBLOCKABLE, bit};
use crate::task::exit;
use crate::task::process::{self, ExitStatus, JobEvent, Process};
use crate::task::sched;
use crate::task::thread::Thread;
use alloc::sync::Arc;
use ampoule_kbase::Events;
use core::sync::atomic::Ordering;
use linux_raw_sys::general::{SIGCONT, SIGKILL, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU};

const STOPS: SignalSet = bit(SIGSTOP) | bit(SIGTSTP) | bit(SIGTTIN) | bit(SIGTTOU);

/// Sends to a process as a whole. A signal that it ignores is dropped.
pub fn send_to_process(process: &Arc<Process>, info: SignalInfo) {
    if process.ended() || !prepare(process, &info) {
        return;
    }
    process.pending.lock().add(info);
    process.signal_queue.wake(Events::IN);
    let threads = process.threads.lock().clone();
    let willing = threads.iter().find(|thread| takes(thread, info.signo));
    if let Some(thread) = willing {
        sched::nudge(thread);
    }
}

/// Sends to one thread.
pub fn send_to_thread(thread: &Thread, info: SignalInfo) {
    if !prepare(&thread.process, &info) {
        return;
    }
    thread.signals.lock().pending.add(info);
    thread.process.signal_queue.wake(Events::IN);
    if takes(thread, info.signo) {
        sched::nudge(thread);
    }
}

/// Sends to every member of a process group; says whether there is one.
pub fn send_to_group(pgid: u32, info: SignalInfo) -> bool {
    let members = process::group(pgid);
    members.iter().for_each(|member| send_to_process(member, info));
    !members.is_empty()
}

/// Raises a fault in the current thread: if it is blocked or ignored, the process ends by it.
pub fn force(info: SignalInfo) {
    let this = crate::task::current();
    let mut signals = this.signals.lock();
    let actions = this.process.actions.lock().clone();
    let mut actions = actions.lock();
    let mut action = actions.get(info.signo);
    if signals.mask & bit(info.signo) != 0 || action.is_ignore() {
        action = super::Action::default();
        actions.set(info.signo, action);
        signals.mask &= !bit(info.signo);
    }
    signals.pending.discard(bit(info.signo));
    signals.pending.add(info);
    this.attention.store(true, Ordering::Relaxed);
}

/// Whether a thread would take a signal now.
fn takes(thread: &Thread, signo: u32) -> bool {
    let signals = thread.signals.lock();
    signals.mask & bit(signo) == 0 || signals.waited_for & bit(signo) != 0 || UNBLOCKABLE & bit(signo) != 0
}

/// Lets threads look again after a mask has changed.
pub fn wake_for(thread: &Thread) {
    thread.attention.store(true, Ordering::Relaxed);
}

/// The immediate effects of a signal. Says whether it is to be queued.
fn prepare(process: &Arc<Process>, info: &SignalInfo) -> bool {
    let signo = info.signo;
    // The first process gets only what it has handlers for.
    if process.pid == 1 && !info.forced && bit(signo) & UNBLOCKABLE != 0 {
        return false;
    }
    if signo == SIGKILL {
        exit::kill_process(process, ExitStatus::Signal(SIGKILL as u8));
        return false;
    }
    if signo == SIGCONT {
        discard_everywhere(process, STOPS);
        go_on(process);
    } else if bit(signo) & STOPS != 0 {
        discard_everywhere(process, bit(SIGCONT));
    }
    let actions = process.actions.lock().clone();
    let action = actions.lock().get(signo);
    if action.ignores(signo) || (signo == SIGCONT && !action.has_handler()) {
        // A blocked signal stays pending even if it is ignored now; `sigwait` may want it.
        let blocked = process.threads.lock().iter().any(|thread| {
            let signals = thread.signals.lock();
            (signals.mask | signals.waited_for) & bit(signo) != 0
        });
        return blocked;
    }
    process.pid != 1 || action.has_handler() || info.forced
}

fn discard_everywhere(process: &Process, set: SignalSet) {
    process.pending.lock().discard(set);
    for thread in process.threads.lock().iter() {
        thread.signals.lock().pending.discard(set);
    }
}

/// `SIGCONT`: a stopped process goes on.
fn go_on(process: &Arc<Process>) {
    if process.stopped.swap(false, Ordering::Relaxed) {
        let threads = process.threads.lock().clone();
        threads.iter().for_each(|thread| sched::resume(thread));
        exit::job_changed(process, JobEvent::Continued);
    }
}
