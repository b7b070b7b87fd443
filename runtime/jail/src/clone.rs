//! Making the new process.

use crate::child::{self, Orders};
use crate::stack::Stack;
use rustix::io::Errno;
use rustix::process::Pid;
use std::arch::asm;
use std::ffi::{c_int, c_void};
use std::mem::zeroed;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::ptr::null_mut;
use std::sync::atomic::Ordering;

/// Of linux/sched.h. The C library's does not fit its type.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Starts the child in these namespaces, and in its control group of version 2 if the kernel does that.
///
/// # Safety
/// The stack and the orders, and what they refer to, have to live until the child has cleared [`child::Reply::tid`].
pub(crate) unsafe fn clone(
    orders: &Orders<'_>,
    stack: &Stack,
    namespaces: c_int,
) -> Result<(Pid, OwnedFd), Errno> {
    let flags = namespaces | libc::CLONE_VM | libc::CLONE_PIDFD | libc::CLONE_CHILD_CLEARTID;
    orders.reply.tid.store(1, Ordering::Relaxed);
    let _blocked = BlockedSignals::new();
    if let Some(group) = orders.unified {
        orders.is_in_unified.store(true, Ordering::Relaxed);
        // SAFETY: as the caller promises, and signals are blocked.
        let cloned = unsafe { clone_into(group.directory, orders, stack, flags) };
        match cloned {
            Ok(child) => return Ok(child),
            // An older kernel, or a container's filter; else the same comes of the other call.
            Err(_) => orders.is_in_unified.store(false, Ordering::Relaxed),
        }
    }
    // SAFETY: as the caller promises, and signals are blocked.
    unsafe { clone_here(orders, stack, flags) }
}

/// Starts the child in the control group that this process is in.
///
/// # Safety
/// As for [`clone`]; signals are blocked, so that no handler of this process runs in the child.
unsafe fn clone_here(orders: &Orders<'_>, stack: &Stack, flags: c_int) -> Result<(Pid, OwnedFd), Errno> {
    let mut pidfd: RawFd = -1;
    // SAFETY: the child runs `child::main` on a stack of its own. It uses `orders` as long as the caller says. The kernel
    // writes the pidfd before the call returns, and the tid while the orders live.
    let pid = unsafe {
        libc::clone(
            child::main,
            stack.top(),
            flags | libc::SIGCHLD,
            (&raw const *orders).cast_mut().cast(),
            &raw mut pidfd,
            null_mut::<c_void>(),
            orders.reply.tid.as_ptr(),
        )
    };
    let pid = child_pid(pid).ok_or_else(child::last_error)?;
    // SAFETY: the kernel has just opened it for us.
    Ok((pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

/// Starts the child in a control group of version 2. A process that moves, if only itself, takes a lock of the whole
/// host there, and waits for all processors; one that is made in its place does not.
///
/// # Safety
/// As for [`clone_here`].
unsafe fn clone_into(
    directory: RawFd,
    orders: &Orders<'_>,
    stack: &Stack,
    flags: c_int,
) -> Result<(Pid, OwnedFd), Errno> {
    let mut pidfd: RawFd = -1;
    // SAFETY: all zeroes are valid arguments.
    let mut arguments: libc::clone_args = unsafe { zeroed() };
    arguments.flags = u64::from(flags.cast_unsigned()) | CLONE_INTO_CGROUP;
    arguments.pidfd = (&raw mut pidfd).expose_provenance() as u64;
    arguments.child_tid = orders.reply.tid.as_ptr().expose_provenance() as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    arguments.stack = stack.bottom().expose_provenance() as u64;
    arguments.stack_size = Stack::SIZE as u64;
    arguments.cgroup = u64::try_from(directory).map_err(|_| Errno::BADF)?;
    let result: isize;
    // SAFETY: the kernel reads the arguments, writes the pidfd before the call returns, and the tid while the orders live.
    // The parent comes back with the result, and with the registers that a system call leaves. The child begins with its
    // parent's registers on a stack of its own, whose end is aligned as a function wants it; it calls `child::main`, from
    // which it ends or executes a program, and never comes to what is behind the block.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r8",
            "call r9",
            "mov edi, eax",
            "mov eax, {exit}",
            "syscall",
            "ud2",
            "2:",
            exit = const libc::SYS_exit,
            inlateout("rax") libc::SYS_clone3 as isize => result,
            in("rdi") &raw const arguments,
            in("rsi") size_of::<libc::clone_args>(),
            in("r8") &raw const *orders,
            in("r9") child::main as extern "C" fn(*mut c_void) -> c_int,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    let Ok(value) = c_int::try_from(result) else { return Err(Errno::RANGE) };
    let pid = child_pid(value).ok_or_else(|| Errno::from_raw_os_error(value.wrapping_neg()))?;
    // SAFETY: the kernel has just opened it for us.
    Ok((pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

/// What `clone` gave, if it was a process.
pub(crate) fn child_pid(pid: c_int) -> Option<Pid> {
    if pid > 0 { Pid::from_raw(pid) } else { None }
}

/// Blocks this thread's signals while it lives.
pub(crate) struct BlockedSignals(libc::sigset_t);

impl BlockedSignals {
    pub(crate) fn new() -> Self {
        // SAFETY: sets are plain bits, and the calls get valid pointers to them.
        unsafe {
            let mut all: libc::sigset_t = zeroed();
            let mut before: libc::sigset_t = zeroed();
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
            Self(before)
        }
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        // SAFETY: the set is the one that was in force before.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, null_mut()) };
    }
}
