//! Signals: `sigaction(2)`, masks, sending, waiting.

use super::{Args, Call, call, frame_call, time};
use crate::arch::trap::TrapFrame;
use crate::mm::user;
use crate::signal::{self, Action, AlternateStack, COUNT, SignalInfo, SignalSet, UNBLOCKABLE};
use crate::task::process::{self, Process};
use crate::task::thread::Thread;
use crate::task::{credentials::capability, current, sched};
use crate::time::clock;
use alloc::sync::Arc;
use ampoule_kbase::{Errno, Result};
use core::sync::atomic::Ordering;
use linux_raw_sys::general as linux;

/// The calls of this family.
pub const CALLS: &[Call] = &[
    call(linux::__NR_rt_sigaction, "rt_sigaction", "ixxu", sigaction),
    call(linux::__NR_rt_sigprocmask, "rt_sigprocmask", "ixxu", sigprocmask),
    call(linux::__NR_rt_sigpending, "rt_sigpending", "xu", sigpending),
    call(linux::__NR_rt_sigsuspend, "rt_sigsuspend", "xu", sigsuspend),
    call(linux::__NR_rt_sigtimedwait, "rt_sigtimedwait", "xxxu", sigtimedwait),
    call(linux::__NR_rt_sigqueueinfo, "rt_sigqueueinfo", "iix", sigqueueinfo),
    call(linux::__NR_rt_tgsigqueueinfo, "rt_tgsigqueueinfo", "iiix", tgsigqueueinfo),
    frame_call(linux::__NR_rt_sigreturn, "rt_sigreturn", "", sigreturn),
    call(linux::__NR_sigaltstack, "sigaltstack", "xx", sigaltstack),
    call(linux::__NR_kill, "kill", "ii", kill),
    call(linux::__NR_tkill, "tkill", "ii", tkill),
    call(linux::__NR_tgkill, "tgkill", "iii", tgkill),
    call(linux::__NR_pause, "pause", "", pause),
];

const SET_SIZE: u64 = 8;

fn check_size(size: u64) -> Result<()> {
    if size == SET_SIZE { Ok(()) } else { Err(Errno::EINVAL) }
}

/// A signal number, from 1 on.
fn number(signo: u64) -> Result<u32> {
    match signo as u32 {
        signo @ 1..=COUNT => Ok(signo),
        _ => Err(Errno::EINVAL),
    }
}

fn sigaction(args: &Args) -> Result<u64> {
    let [signo, new, old, size, ..] = *args;
    let signo = number(signo)?;
    check_size(size)?;
    let unchangeable = signal::bit(signo) & UNBLOCKABLE != 0;
    if new != 0 && unchangeable {
        return Err(Errno::EINVAL);
    }
    let this = current();
    let actions = this.process.actions.lock().clone();
    let before = actions.lock().get(signo);
    if new != 0 {
        let [handler, flags, restorer, mask] = user::read::<[u64; 4]>(new)?;
        let action = Action { handler, flags, restorer, mask: mask & !UNBLOCKABLE };
        actions.lock().set(signo, action);
        if action.ignores(signo) {
            this.process.pending.lock().discard(signal::bit(signo));
            for thread in this.process.threads.lock().iter() {
                thread.signals.lock().pending.discard(signal::bit(signo));
            }
        }
    }
    user::write_if(old, [before.handler, before.flags, before.restorer, before.mask])?;
    Ok(0)
}

fn sigprocmask(args: &Args) -> Result<u64> {
    let [how, new, old, size, ..] = *args;
    check_size(size)?;
    let this = current();
    let before = this.signals.lock().mask;
    if new != 0 {
        let set = user::read::<u64>(new)?;
        let mask = match how as u32 {
            linux::SIG_BLOCK => before | set,
            linux::SIG_UNBLOCK => before & !set,
            linux::SIG_SETMASK => set,
            _ => return Err(Errno::EINVAL),
        };
        this.signals.lock().mask = mask & !UNBLOCKABLE;
        if before & !mask != 0 && signal::interrupts(this) {
            signal::wake_for(this);
        }
    }
    user::write_if(old, before)?;
    Ok(0)
}

fn pending_set(this: &Thread) -> SignalSet {
    this.signals.lock().pending.set() | this.process.pending.lock().set()
}

fn sigpending(args: &Args) -> Result<u64> {
    if args[1] > SET_SIZE {
        return Err(Errno::EINVAL);
    }
    let this = current();
    let set = pending_set(this) & this.signals.lock().mask;
    user::write_bytes(args[0], &set.to_le_bytes()[..args[1] as usize])?;
    Ok(0)
}

/// Replaces the mask until the call is over and a handler's frame, if one runs, has been built.
pub fn use_mask(mask: SignalSet) {
    let this = current();
    let mut signals = this.signals.lock();
    let before = signals.mask;
    signals.restore_mask = Some(before);
    signals.mask = mask & !UNBLOCKABLE;
    drop(signals);
    signal::wake_for(this);
}

fn sigsuspend(args: &Args) -> Result<u64> {
    check_size(args[1])?;
    use_mask(user::read::<u64>(args[0])?);
    pause(args)
}

fn pause(_args: &Args) -> Result<u64> {
    match sched::block_on::<()>(&[], None, || None) {
        Ok(()) => Ok(0),
        Err(_) => Err(Errno::ERESTARTNOHAND),
    }
}

fn sigtimedwait(args: &Args) -> Result<u64> {
    let [set, info, timeout, size, ..] = *args;
    check_size(size)?;
    let wanted = user::read::<u64>(set)? & !UNBLOCKABLE;
    let deadline = match timeout {
        0 => None,
        at => Some(clock::monotonic_ns().saturating_add(time::read_timespec(at)?)),
    };
    let this = current();
    this.signals.lock().waited_for = wanted;
    let take = || {
        let own = this.signals.lock().pending.take(wanted);
        signal::take_shared(this, own, wanted)
    };
    let result = sched::block_on(&[&this.process.signal_queue], deadline, take);
    this.signals.lock().waited_for = 0;
    match result {
        Ok(found) => {
            if info != 0 {
                user::write_bytes(info, &found.to_bytes())?;
            }
            Ok(u64::from(found.signo))
        }
        Err(sched::Interruption::Timeout) => Err(Errno::EAGAIN),
        Err(sched::Interruption::Signal) => Err(Errno::EINTR),
    }
}

fn sigreturn(frame: &mut TrapFrame) -> Result<u64> {
    match signal::return_from_handler(frame) {
        Ok(rax) => Ok(rax),
        Err(_) => {
            signal::force(SignalInfo { forced: true, ..SignalInfo::kernel(linux::SIGSEGV) });
            Ok(frame.rax)
        }
    }
}

fn sigaltstack(args: &Args) -> Result<u64> {
    const SS_DISABLE: u32 = 2;
    const SS_ONSTACK: u32 = 1;
    const SS_AUTODISARM: u32 = 1 << 31;
    const MINSIGSTKSZ: u64 = 2048;
    let [new, old, ..] = *args;
    let this = current();
    // SAFETY: the frame of the running thread, which is in a system call.
    let stack_pointer = unsafe { (*this.frame()).rsp };
    let before = this.signals.lock().alternate;
    let on_stack = before.holds(stack_pointer) && before.flags & SS_AUTODISARM == 0;
    let state = match (before.size, on_stack) {
        (0, _) => SS_DISABLE,
        (_, true) => SS_ONSTACK,
        _ => 0,
    };
    if new != 0 {
        let [base, flags, size] = user::read::<[u64; 3]>(new)?;
        let flags = flags as u32;
        if on_stack {
            return Err(Errno::EPERM);
        }
        let mode = flags & !SS_AUTODISARM;
        if mode != 0 && mode != SS_DISABLE && mode != SS_ONSTACK {
            return Err(Errno::EINVAL);
        }
        let stack = if mode == SS_DISABLE {
            AlternateStack::default()
        } else if size < MINSIGSTKSZ {
            return Err(Errno::ENOMEM);
        } else {
            AlternateStack { base, size, flags: flags & SS_AUTODISARM }
        };
        this.signals.lock().alternate = stack;
    }
    if old != 0 {
        user::write(old, [before.base, u64::from(state | before.flags), before.size])?;
    }
    Ok(0)
}

/// Whether the caller may signal a process (`kill(2)`).
fn may_signal(target: &Process, signo: u32) -> bool {
    let this = &current().process;
    let own = this.credentials.lock().clone();
    if own.has(capability::KILL) {
        return true;
    }
    let other = target.credentials.lock().clone();
    let same_session = this.sid.load(Ordering::Relaxed) == target.sid.load(Ordering::Relaxed);
    [own.uid, own.euid].iter().any(|uid| *uid == other.uid || *uid == other.suid)
        || signo == linux::SIGCONT && same_session
}

/// 0 only asks whether the signal could be sent.
fn optional_number(signo: u64) -> Result<u32> {
    if signo as u32 == 0 { Ok(0) } else { number(signo) }
}

fn kill(args: &Args) -> Result<u64> {
    let signo = optional_number(args[1])?;
    let this = &current().process;
    let targets = match args[0] as i32 {
        0 => process::group(this.pgid.load(Ordering::Relaxed)),
        -1 => process::all().into_iter().filter(|p| p.pid != 1 && p.pid != this.pid && !p.ended()).collect(),
        i32::MIN => return Err(Errno::ESRCH),
        pid if pid < 0 => process::group(pid.unsigned_abs()),
        pid => process::find(pid as u32).into_iter().collect(),
    };
    send_to_all(&targets, signo, &SignalInfo::user(signo.max(1), 0))
}

fn send_to_all(targets: &[Arc<Process>], signo: u32, info: &SignalInfo) -> Result<u64> {
    if targets.is_empty() {
        return Err(Errno::ESRCH);
    }
    let allowed: alloc::vec::Vec<_> = targets.iter().filter(|target| may_signal(target, signo)).collect();
    if allowed.is_empty() {
        return Err(Errno::EPERM);
    }
    if signo != 0 {
        allowed.into_iter().for_each(|target| signal::send_to_process(target, *info));
    }
    Ok(0)
}

fn thread_of(tgid: Option<u64>, tid: u64) -> Result<Arc<Thread>> {
    if tid as i32 <= 0 || tgid.is_some_and(|tgid| tgid as i32 <= 0) {
        return Err(Errno::EINVAL);
    }
    let thread = process::find_thread(tid as u32).ok_or(Errno::ESRCH)?;
    match tgid {
        Some(tgid) if thread.process.pid != tgid as u32 => Err(Errno::ESRCH),
        _ => Ok(thread),
    }
}

fn send_to_one(thread: &Thread, signo: u32, info: SignalInfo) -> Result<u64> {
    if !may_signal(&thread.process, signo) {
        return Err(Errno::EPERM);
    }
    if signo != 0 {
        signal::send_to_thread(thread, info);
    }
    Ok(0)
}

fn tkill(args: &Args) -> Result<u64> {
    let signo = optional_number(args[1])?;
    send_to_one(&*thread_of(None, args[0])?, signo, SignalInfo::user(signo.max(1), -6))
}

fn tgkill(args: &Args) -> Result<u64> {
    let signo = optional_number(args[2])?;
    send_to_one(&*thread_of(Some(args[0]), args[1])?, signo, SignalInfo::user(signo.max(1), -6))
}

/// The `siginfo_t` that a program made up; it must not pretend to come from the kernel.
fn read_info(signo: u32, address: u64, own: bool) -> Result<SignalInfo> {
    let mut bytes = [0; 48];
    user::read_bytes(address, &mut bytes)?;
    let info = SignalInfo::from_bytes(signo.max(1), &bytes);
    if (info.code >= 0 || info.code == -6) && !own { Err(Errno::EPERM) } else { Ok(info) }
}

/// Whether a signal that queues finds room where so many wait.
fn check_queue(signo: u32, waiting: usize) -> Result<()> {
    let full = (waiting >= crate::signal::QUEUE_LIMIT || ampoule_kbase::frames::is_low())
        && signo >= crate::signal::FIRST_REALTIME;
    if full { Err(Errno::EAGAIN) } else { Ok(()) }
}

fn sigqueueinfo(args: &Args) -> Result<u64> {
    let signo = optional_number(args[1])?;
    let target = process::find(args[0] as u32).ok_or(Errno::ESRCH)?;
    let info = read_info(signo, args[2], target.pid == current().process.pid)?;
    check_queue(signo, target.pending.lock().len())?;
    send_to_all(&[target], signo, &info)
}

fn tgsigqueueinfo(args: &Args) -> Result<u64> {
    let signo = optional_number(args[2])?;
    let thread = thread_of(Some(args[0]), args[1])?;
    let info = read_info(signo, args[3], thread.process.pid == current().process.pid)?;
    check_queue(signo, thread.signals.lock().pending.len())?;
    send_to_one(&thread, signo, info)
}
