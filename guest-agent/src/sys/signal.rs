//! Signals: SIGCHLD interrupts the wait for events and nothing else; SIGPIPE is never delivered.

use super::raw::syscall;
use core::arch::naked_asm;
use core::mem::MaybeUninit;
use linux_raw_sys::general::{
    __NR_epoll_pwait, __NR_kill, __NR_rt_sigaction, __NR_rt_sigprocmask, __NR_rt_sigreturn, SA_RESTORER,
    SIG_BLOCK, SIGCHLD, SIGPIPE,
};
use rustix::event::epoll::Event;
use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Errno;

/// Size of the kernel's signal set in bytes.
pub(super) const SIGSET_LEN: usize = 8;

const fn set_of(signals: &[u32]) -> u64 {
    let mut set = 0;
    let mut at = 0;
    while at < signals.len() {
        set |= 1 << (signals[at] - 1);
        at += 1;
    }
    set
}

/// `struct sigaction` as the kernel has it on x86-64.
#[repr(C)]
struct Action {
    handler: extern "C" fn(i32),
    flags: u64,
    restorer: unsafe extern "C" fn(),
    mask: u64,
}

extern "C" fn nothing(_signal: i32) {}

/// What a handler returns to.
#[unsafe(naked)]
unsafe extern "C" fn restore() {
    naked_asm!("mov eax, {number}", "syscall", number = const __NR_rt_sigreturn)
}

/// Lets SIGCHLD interrupt [`wait`], and only that; blocks SIGPIPE.
pub fn set_up() -> Result<(), Errno> {
    let action = Action { handler: nothing, flags: SA_RESTORER.into(), restorer: restore, mask: 0 };
    let blocked = set_of(&[SIGCHLD, SIGPIPE]);
    // SAFETY: the kernel reads one Action, whose handler touches nothing and whose restorer is the system call that
    // ends a handler; then it reads one signal set.
    unsafe {
        syscall(__NR_rt_sigaction, [SIGCHLD as usize, &raw const action as usize, 0, SIGSET_LEN, 0, 0])?;
        let set = &raw const blocked as usize;
        syscall(__NR_rt_sigprocmask, [SIG_BLOCK as usize, set, 0, SIGSET_LEN, 0, 0])?;
    }
    Ok(())
}

/// Waits for events of an epoll instance, at most `timeout_ms` (for ever, if negative). Fails with `INTR` when a
/// child ended, at once if one did since the last call and there are no events.
pub fn wait(epoll: impl AsFd, events: &mut [MaybeUninit<Event>], timeout_ms: i32) -> Result<&[Event], Errno> {
    let unblocked = set_of(&[SIGPIPE]);
    let args = [
        epoll.as_fd().as_raw_fd() as usize,
        events.as_mut_ptr() as usize,
        events.len(),
        timeout_ms as usize,
        &raw const unblocked as usize,
        SIGSET_LEN,
    ];
    // SAFETY: the kernel writes at most `events.len()` events, whose layout rustix's type has, and reads one set.
    let count = unsafe { syscall(__NR_epoll_pwait, args) }?.min(events.len());
    // SAFETY: the kernel initialized the first `count` events.
    Ok(unsafe { core::slice::from_raw_parts(events.as_ptr().cast(), count) })
}

/// Who gets a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// One process.
    Process(u32),
    /// A process group.
    Group(u32),
    /// Every process but this one. Only for PID 1, whose every process is part of a job.
    Everybody,
}

/// Sends a signal. Ids below 2 name no job and are refused.
pub fn kill(target: Target, signo: u8) -> Result<(), Errno> {
    let pid = match target {
        Target::Process(pid @ 2..) => i64::from(pid),
        Target::Group(pid @ 2..) => -i64::from(pid),
        Target::Everybody if rustix::process::getpid().is_init() => -1,
        _ => return Err(Errno::SRCH),
    };
    // SAFETY: kill takes no pointers.
    unsafe { syscall(__NR_kill, [pid as usize, signo.into(), 0, 0, 0, 0]) }?;
    Ok(())
}
