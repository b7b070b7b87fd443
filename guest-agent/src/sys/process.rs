//! Waiting for children, and the end of the machine.

use super::raw::syscall;
use ampoule_protocol::{Status, Usage};
use core::ffi::CStr;
use core::mem::MaybeUninit;
use linux_raw_sys::general::{
    __NR_dup2, __NR_execveat, __NR_exit_group, __NR_wait4, AT_EMPTY_PATH, WNOHANG, rusage,
};
use linux_raw_sys::ioctl::RNDADDENTROPY;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::Errno;

/// What [`reap`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaped {
    /// This child ended. The usage has no wall time.
    Child(u32, Status, Usage),
    /// There are children, and all of them live.
    AllAlive,
    /// There are no children.
    None,
}

/// Takes the status of one child that ended, whichever it is.
pub fn reap() -> Reaped {
    let mut status = 0i32;
    let mut usage = MaybeUninit::<rusage>::zeroed();
    let args = [usize::MAX, &raw mut status as usize, WNOHANG as usize, usage.as_mut_ptr() as usize, 0, 0];
    // SAFETY: the kernel writes one int and one rusage through the pointers.
    let pid = match unsafe { syscall(__NR_wait4, args) } {
        Ok(0) => return Reaped::AllAlive,
        Ok(pid) => u32::try_from(pid).unwrap_or_default(),
        Err(_no_children) => return Reaped::None,
    };
    // SAFETY: plain integers, zeroed, and then written by the kernel.
    let usage = unsafe { usage.assume_init() };
    Reaped::Child(pid, status_of(status), usage_of(&usage))
}

fn status_of(status: i32) -> Status {
    let [low, high, ..] = status.to_le_bytes();
    match low & 0x7f {
        0 => Status::Code(high),
        signo => Status::Signal { signo, core: low & 0x80 != 0 },
    }
}

fn usage_of(usage: &rusage) -> Usage {
    let number = |value: i64| u64::try_from(value).unwrap_or_default();
    let us = |s: i64, us: i64| number(s).saturating_mul(1_000_000).saturating_add(number(us));
    Usage {
        wall_us: 0,
        user_us: us(usage.ru_utime.tv_sec, usage.ru_utime.tv_usec),
        system_us: us(usage.ru_stime.tv_sec, usage.ru_stime.tv_usec),
        max_rss_kib: number(usage.ru_maxrss),
        minor_faults: number(usage.ru_minflt),
        major_faults: number(usage.ru_majflt),
        voluntary_switches: number(usage.ru_nvcsw),
        involuntary_switches: number(usage.ru_nivcsw),
    }
}

/// Writes to standard error, if there is one.
pub fn write_stderr(bytes: &[u8]) {
    // SAFETY: the agent never closes descriptor 2, and a write to whatever it is does no harm to memory.
    let stderr = unsafe { BorrowedFd::borrow_raw(2) };
    let _lost = rustix::io::write(stderr, bytes);
}

/// Takes over a descriptor that the agent was started with, and keeps it from its children.
pub fn inherit(fd: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: only the caller, who read its number on the command line, knows of the descriptor; if it is not open,
    // the next call fails.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    match rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC) {
        Ok(()) => Ok(fd),
        Err(errno) => {
            // It is not open, so there is nothing to close.
            core::mem::forget(fd);
            Err(errno)
        }
    }
}

/// Becomes the program of this file, as `name`. Its standard files are `log`, if there is one.
pub fn replace(program: &OwnedFd, name: &CStr, log: Option<OwnedFd>) -> Result<(), Errno> {
    if let Some(log) = log {
        for target in 0..=2 {
            // SAFETY: dup2 takes no pointers, and nobody in this process owns the standard descriptors.
            let _refused = unsafe { syscall(__NR_dup2, [log.as_raw_fd() as usize, target, 0, 0, 0, 0]) };
        }
        if log.as_raw_fd() <= 2 {
            core::mem::forget(log);
        }
    }
    let argv = [name.as_ptr(), core::ptr::null()];
    let envp = [c"HOME=/".as_ptr(), c"TERM=linux".as_ptr(), core::ptr::null()];
    let fd = program.as_raw_fd() as usize;
    let path = c"".as_ptr() as usize;
    let args = [fd, path, argv.as_ptr() as usize, envp.as_ptr() as usize, AT_EMPTY_PATH as usize, 0];
    // SAFETY: the kernel reads the strings and the two lists, which end with a null pointer. It returns only on failure.
    unsafe { syscall(__NR_execveat, args) }.map(|_never| ())
}

/// Ends this process.
pub fn exit(code: u8) -> ! {
    loop {
        // SAFETY: exit_group takes no pointers. It does not return.
        let _never = unsafe { syscall(__NR_exit_group, [code.into(), 0, 0, 0, 0, 0]) };
    }
}

/// Mixes random bytes into the kernel's generator and has it count them, through an open `/dev/urandom`.
pub fn add_entropy(urandom: impl AsFd, seed: &[u8; 32]) -> Result<(), Errno> {
    /// `struct rand_pool_info` with its bytes.
    #[repr(C)]
    struct Pool {
        entropy_bits: i32,
        len: i32,
        bytes: [u8; 32],
    }
    let pool = Pool { entropy_bits: 256, len: 32, bytes: *seed };
    let fd = urandom.as_fd().as_raw_fd() as usize;
    let args = [fd, RNDADDENTROPY as usize, &raw const pool as usize, 0, 0, 0];
    // SAFETY: the kernel reads one rand_pool_info and the `len` bytes behind it.
    unsafe { syscall(linux_raw_sys::general::__NR_ioctl, args) }?;
    Ok(())
}
