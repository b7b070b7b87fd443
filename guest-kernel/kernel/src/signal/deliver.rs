//! Delivery, on the way back to a program.

use super::actions::{DefaultAction, default_action};
use super::{Action, SignalInfo, SignalSet, UNBLOCKABLE, bit, frame};
use crate::arch::trap::TrapFrame;
use crate::oom;
use crate::task::exit;
use crate::task::process::{ExitStatus, JobEvent};
use crate::task::sched;
use crate::task::thread::Thread;
use ampoule_kbase::Errno;
use core::sync::atomic::Ordering;
use linux_raw_sys::general::SIGSTOP;

const SA_RESTART: u64 = 0x1000_0000;
const SA_RESETHAND: u64 = 0x8000_0000;
const SA_NODEFER: u64 = 0x4000_0000;

/// Whether a blocking call of this thread has to give way to a signal.
pub fn interrupts(thread: &Thread) -> bool {
    if thread.killed.load(Ordering::Relaxed) {
        return true;
    }
    let signals = thread.signals.lock();
    let deliverable = !signals.mask | UNBLOCKABLE;
    let wanted = deliverable | signals.waited_for;
    (signals.pending.set() | thread.process.pending.lock().set()) & wanted != 0
}

/// Delivers what is pending: builds handler frames, stops, or marks the thread to end.
pub fn deliver(thread: &Thread, frame: &mut TrapFrame) {
    loop {
        if thread.killed.load(Ordering::Relaxed) {
            return;
        }
        let Some(info) = next_signal(thread) else { break };
        let actions = thread.process.actions.lock().clone();
        let action = actions.lock().get(info.signo);
        if action.has_handler() {
            if action.flags & SA_RESETHAND != 0 {
                actions.lock().set(info.signo, Action { flags: action.flags, ..Action::default() });
            }
            run_handler(thread, frame, &info, &action);
        } else if !action.ignores(info.signo) {
            default(thread, &info);
        }
    }
    restart(frame, None);
    let mut signals = thread.signals.lock();
    if let Some(mask) = signals.restore_mask.take() {
        signals.mask = mask;
        drop(signals);
        if interrupts(thread) {
            thread.attention.store(true, Ordering::Relaxed);
        }
    }
}

fn next_signal(thread: &Thread) -> Option<SignalInfo> {
    let mut signals = thread.signals.lock();
    let wanted: SignalSet = !signals.mask | UNBLOCKABLE;
    let own = signals.pending.take(wanted);
    drop(signals);
    take_shared(thread, own, wanted)
}

/// A signal that was taken from the thread's own, or else one of the process's.
pub fn take_shared(thread: &Thread, own: Option<SignalInfo>, wanted: SignalSet) -> Option<SignalInfo> {
    let info = own.or_else(|| thread.process.pending.lock().take(wanted))?;
    if let Some((timer, overrun)) = info.overrun() {
        thread.process.timers.lock().taken(timer, overrun);
    }
    Some(info)
}

fn run_handler(thread: &Thread, frame: &mut TrapFrame, info: &SignalInfo, action: &Action) {
    restart(frame, Some(action));
    thread.sleep_deadline.store(0, Ordering::Relaxed);
    let mut signals = thread.signals.lock();
    let saved = signals.restore_mask.take().unwrap_or(signals.mask);
    let alternate = signals.alternate;
    drop(signals);
    // The frame may need pages that nobody has: then somebody goes for them, as for those of any other access.
    match oom::insist(|| frame::push(frame, info, action, saved, alternate)) {
        Ok(()) => {
            let mut signals = thread.signals.lock();
            let own = if action.flags & SA_NODEFER != 0 { 0 } else { bit(info.signo) };
            signals.mask = (signals.mask | action.mask | own) & !UNBLOCKABLE;
        }
        Err(_) if thread.killed.load(Ordering::Relaxed) => {}
        // No room for the frame: as Linux, the process ends with SIGSEGV.
        Err(_) => end(thread, linux_raw_sys::general::SIGSEGV),
    }
}

/// A system call that was interrupted begins again or fails with `EINTR`: by its error, and by the handler if one runs.
fn restart(frame: &mut TrapFrame, handler: Option<&Action>) {
    const SYSCALL_LENGTH: u64 = 2;
    if !frame.is_syscall() {
        return;
    }
    let error = (frame.rax as i64).checked_neg().and_then(|e| u16::try_from(e).ok()).map(Errno);
    let again = match error {
        Some(Errno::ERESTARTNOINTR) => true,
        Some(Errno::ERESTARTSYS) => handler.is_none_or(|action| action.flags & SA_RESTART != 0),
        Some(Errno::ERESTARTNOHAND) => handler.is_none(),
        _ => return,
    };
    if again {
        frame.rax = frame.vector;
        frame.rip -= SYSCALL_LENGTH;
    } else {
        frame.rax = -i64::from(Errno::EINTR.0) as u64;
    }
    frame.leave_syscall();
}

fn default(thread: &Thread, info: &SignalInfo) {
    match default_action(info.signo) {
        DefaultAction::Ignore | DefaultAction::Continue => {}
        // There are no core dumps, so none is reported.
        DefaultAction::Terminate | DefaultAction::Core => end(thread, info.signo),
        DefaultAction::Stop => stop(thread, info.signo),
    }
}

fn end(thread: &Thread, signo: u32) {
    exit::kill_process(&thread.process, ExitStatus::Signal(signo as u8));
}

/// Job control: all threads of the process stop, and this one waits here to go on.
fn stop(thread: &Thread, signo: u32) {
    let process = &thread.process;
    if signo != SIGSTOP && crate::task::process_group_is_orphaned(process.pgid.load(Ordering::Relaxed), 0) {
        return;
    }
    process.stopped.store(true, Ordering::Relaxed);
    for other in process.threads.lock().iter() {
        other.attention.store(true, Ordering::Relaxed);
    }
    exit::job_changed(process, JobEvent::Stopped(signo as u8));
    while process.stopped.load(Ordering::Relaxed) && !thread.killed.load(Ordering::Relaxed) {
        sched::stop_current();
    }
}
