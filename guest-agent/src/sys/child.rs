//! The start of a process: from the agent's `clone` to the command's `execve`.
//!
//! The child shares the agent's memory and the agent sleeps until the child has executed the command or given up
//! (`CLONE_VM | CLONE_VFORK`), so nothing is copied, and the child leaves the reason of a failure in the
//! [`Launch`] itself. In return the child may do nothing but system calls on what was prepared for it: it never
//! allocates, panics or returns.

use super::raw::{check, syscall};
use super::signal::SIGSET_LEN;
use crate::cstrings::{CPath, CStrings};
use ampoule_protocol::{Instruction, Rlimit, StartStep};
use core::arch::asm;
use linux_raw_sys::general::{
    __NR_chdir, __NR_clone, __NR_dup2, __NR_execve, __NR_exit, __NR_fchown, __NR_ioctl, __NR_mkdir,
    __NR_prctl, __NR_prlimit64, __NR_rt_sigprocmask, __NR_seccomp, __NR_setgroups, __NR_setresgid,
    __NR_setresuid, __NR_setsid, CLONE_VFORK, CLONE_VM, SIG_SETMASK, SIGCHLD,
};
use linux_raw_sys::ioctl::TIOCSCTTY;
use linux_raw_sys::prctl::PR_SET_NO_NEW_PRIVS;
use linux_raw_sys::ptrace::SECCOMP_SET_MODE_FILTER;
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;

/// What becomes a process.
#[derive(Debug)]
pub struct Launch<'a> {
    /// File descriptors 0, 1 and 2; none of them is below 3.
    pub stdio: [BorrowedFd<'a>; 3],
    /// Whether these are a terminal, which is to become the controlling one.
    pub terminal: Terminal,
    /// Resource limits to set.
    pub rlimits: &'a [Rlimit],
    /// Where to go, created if it is not there.
    pub cwd: Option<CPath>,
    /// Who to become.
    pub identity: Option<Ids<'a>>,
    /// The system calls that it may make.
    pub filter: Option<&'a [Instruction]>,
    /// Files to try to execute, in order.
    pub candidates: &'a CStrings,
    /// Arguments.
    pub argv: &'a CStrings,
    /// Environment.
    pub envp: &'a CStrings,
}

/// Whether a process gets a controlling terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// It has none.
    None,
    /// Its standard input is it.
    Stdin,
}

/// A user and its groups.
#[derive(Clone, Copy, Debug)]
pub struct Ids<'a> {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: &'a [u32],
}

/// Where and why a start failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The step.
    pub step: StartStep,
    /// The errno.
    pub errno: Errno,
}

struct Shared<'a, 'l> {
    launch: &'l mut Launch<'a>,
    failure: Option<Failure>,
}

/// Starts the process. On success its command was executed (or it was killed before that), and it leads a new session.
pub fn start(launch: &mut Launch<'_>) -> Result<u32, Failure> {
    let mut shared = Shared { launch, failure: None };
    let result: isize;
    // SAFETY: the child runs `child` on the part of this stack below the red zone, which nobody uses while this
    // function is suspended, and never returns. The parent goes on only once the child no longer uses its memory, and
    // finds its registers as they were. `shared` is passed as a pointer, so that the compiler expects it changed.
    unsafe {
        asm!(
            "lea rsi, [rsp - 512]",
            "and rsi, -16",
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") __NR_clone as usize => result,
            in("rdi") (CLONE_VM | CLONE_VFORK | SIGCHLD) as usize,
            out("rsi") _,
            in("rdx") 0usize, in("r10") 0usize, in("r8") 0usize,
            in("r12") &raw mut shared,
            in("r13") child as *const () as usize,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    let pid = check(result).map_err(|errno| Failure { step: StartStep::Spawn, errno })?;
    match shared.failure {
        // The dead child is reaped like any other that nobody knows.
        Some(failure) => Err(failure),
        None => Ok(u32::try_from(pid).unwrap_or_default()),
    }
}

/// The child. Lives on borrowed memory: see the module's text.
extern "C" fn child(shared: &mut Shared<'_, '_>) -> ! {
    shared.failure = Some(run(shared.launch));
    // SAFETY: exit takes no pointers. It returns only if the job's filter is in place and refuses it; then an invalid
    // instruction is what ends this process, and the agent need not wait for ever.
    unsafe {
        let _refused = syscall(__NR_exit, [127, 0, 0, 0, 0, 0]);
        asm!("ud2", options(noreturn))
    }
}

/// Does all steps; returns only if one fails.
fn run(launch: &mut Launch<'_>) -> Failure {
    let steps = [
        (StartStep::Session, session as fn(&mut Launch<'_>) -> Result<(), Errno>),
        (StartStep::Rlimits, rlimits),
        (StartStep::Cwd, enter_cwd),
        (StartStep::SetUser, become_user),
        (StartStep::Filter, filter_calls),
    ];
    for (step, action) in steps {
        if let Err(errno) = action(launch) {
            return Failure { step, errno };
        }
    }
    Failure { step: StartStep::Exec, errno: execute(launch) }
}

/// A system call on prepared memory.
///
/// # Safety
///
/// As for [`syscall`].
unsafe fn call(number: u32, a: usize, b: usize, c: usize, d: usize) -> Result<usize, Errno> {
    // SAFETY: the caller's promise.
    unsafe { syscall(number, [a, b, c, d, 0, 0]) }
}

fn session(launch: &mut Launch<'_>) -> Result<(), Errno> {
    // SAFETY: none of these calls takes a pointer. The descriptors are open in this process's own table, which is a
    // copy of the agent's.
    unsafe {
        call(__NR_setsid, 0, 0, 0, 0)?;
        for (target, fd) in launch.stdio.into_iter().enumerate() {
            call(__NR_dup2, fd.as_raw_fd() as usize, target, 0, 0)?;
            if let Some(ids) = launch.identity {
                // So that the job can open /dev/stdout and its own terminal. Some files refuse it; so be it.
                let _refused = call(__NR_fchown, target, ids.uid as usize, usize::MAX, 0);
            }
        }
        if launch.terminal == Terminal::Stdin {
            call(__NR_ioctl, 0, TIOCSCTTY as usize, 0, 0)?;
        }
    }
    Ok(())
}

fn rlimits(launch: &mut Launch<'_>) -> Result<(), Errno> {
    for limit in launch.rlimits {
        let value = [limit.soft, limit.hard];
        let resource = limit.resource.number().into();
        // SAFETY: the kernel reads two u64, the layout of struct rlimit64.
        unsafe { call(__NR_prlimit64, 0, resource, value.as_ptr() as usize, 0) }?;
    }
    Ok(())
}

fn enter_cwd(launch: &mut Launch<'_>) -> Result<(), Errno> {
    let Some(cwd) = &mut launch.cwd else { return Ok(()) };
    // SAFETY: a CPath ends with a NUL.
    match unsafe { call(__NR_chdir, cwd.as_ptr() as usize, 0, 0, 0) } {
        Err(Errno::NOENT) => {}
        done => return done.map(drop),
    }
    // SAFETY: likewise, for the path cut short at each of its parents.
    cwd.for_each_parent_and_self(|path| unsafe {
        let _exists = call(__NR_mkdir, path as usize, 0o755, 0, 0);
    });
    // SAFETY: likewise.
    unsafe { call(__NR_chdir, cwd.as_ptr() as usize, 0, 0, 0) }?;
    Ok(())
}

fn become_user(launch: &mut Launch<'_>) -> Result<(), Errno> {
    let Some(ids) = launch.identity else { return Ok(()) };
    let (uid, gid) = (ids.uid as usize, ids.gid as usize);
    // SAFETY: the kernel reads `groups.len()` group ids; the other calls take no pointers.
    unsafe {
        call(__NR_setgroups, ids.groups.len(), ids.groups.as_ptr() as usize, 0, 0)?;
        call(__NR_setresgid, gid, gid, gid, 0)?;
        call(__NR_setresuid, uid, uid, uid, 0)?;
    }
    Ok(())
}

/// Unblocks all signals and, from then on, filters system calls.
fn filter_calls(launch: &mut Launch<'_>) -> Result<(), Errno> {
    let none = 0u64;
    // SAFETY: the kernel reads one signal set.
    unsafe { call(__NR_rt_sigprocmask, SIG_SETMASK as usize, &raw const none as usize, 0, SIGSET_LEN) }?;
    let Some(filter) = launch.filter else { return Ok(()) };
    let program =
        SockFprog { len: u16::try_from(filter.len()).map_err(|_| Errno::INVAL)?, filter: filter.as_ptr() };
    // SAFETY: the kernel reads a `struct sock_fprog` and the `len` instructions that it points to.
    unsafe {
        call(__NR_prctl, PR_SET_NO_NEW_PRIVS as usize, 1, 0, 0)?;
        call(__NR_seccomp, SECCOMP_SET_MODE_FILTER as usize, 0, &raw const program as usize, 0)?;
    }
    Ok(())
}

/// `struct sock_fprog`.
#[repr(C)]
struct SockFprog {
    len: u16,
    filter: *const Instruction,
}

/// Tries the candidates as `execvp` does: one that is not there, or not to be reached, does not end the search.
fn execute(launch: &mut Launch<'_>) -> Errno {
    let mut verdict = Errno::NOENT;
    for path in launch.candidates.pointers() {
        let (argv, envp) = (launch.argv.as_ptr() as usize, launch.envp.as_ptr() as usize);
        // SAFETY: a string that ends with a NUL, and two arrays of such that end with a null pointer.
        match unsafe { call(__NR_execve, path as usize, argv, envp, 0) } {
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(Errno::ACCESS) => verdict = Errno::ACCESS,
            Err(errno) => return errno,
            Ok(_) => {}
        }
    }
    verdict
}
