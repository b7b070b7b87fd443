//! Processes and threads: `clone(2)`, `execve(2)`, `wait4(2)`, groups and sessions.

use super::{Args, Call, call, frame_call, path};
use crate::arch::context;
use crate::arch::trap::TrapFrame;
use crate::mm::{USER_END, user};
use crate::oom;
use crate::task::exec::{self, MAX_ARGUMENTS, MAX_STRING};
use crate::task::process::{self, ExitStatus, Process, Usage};
use crate::task::wait::{self, ChildKind, Event, Selection};
use crate::task::{clone, current, exit};
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Result, frames};
use core::sync::atomic::Ordering;
use linux_raw_sys::general as linux;

/// The calls of this family.
pub const CALLS: &[Call] = &[
    frame_call(linux::__NR_fork, "fork", "", fork),
    frame_call(linux::__NR_vfork, "vfork", "", vfork),
    frame_call(linux::__NR_clone, "clone", "xxxxx", sys_clone),
    frame_call(linux::__NR_clone3, "clone3", "xu", clone3),
    frame_call(linux::__NR_execve, "execve", "sxx", execve),
    frame_call(linux::__NR_execveat, "execveat", "dsxxx", execveat),
    call(linux::__NR_exit, "exit", "i", sys_exit),
    call(linux::__NR_exit_group, "exit_group", "i", exit_group),
    call(linux::__NR_wait4, "wait4", "ixxx", wait4),
    call(linux::__NR_waitid, "waitid", "iixxx", waitid),
    call(linux::__NR_getpid, "getpid", "", |_| Ok(u64::from(current().process.pid))),
    call(linux::__NR_getppid, "getppid", "", |_| Ok(u64::from(current().process.parent_pid()))),
    call(linux::__NR_gettid, "gettid", "", |_| Ok(u64::from(current().tid()))),
    call(linux::__NR_getpgrp, "getpgrp", "", |_| {
        Ok(u64::from(current().process.pgid.load(Ordering::Relaxed)))
    }),
    call(linux::__NR_getpgid, "getpgid", "i", |args| {
        Ok(u64::from(target(args[0])?.pgid.load(Ordering::Relaxed)))
    }),
    call(linux::__NR_getsid, "getsid", "i", |args| {
        Ok(u64::from(target(args[0])?.sid.load(Ordering::Relaxed)))
    }),
    call(linux::__NR_setpgid, "setpgid", "ii", setpgid),
    call(linux::__NR_setsid, "setsid", "", setsid),
    call(linux::__NR_set_tid_address, "set_tid_address", "x", set_tid_address),
    call(linux::__NR_set_robust_list, "set_robust_list", "xu", set_robust_list),
    call(linux::__NR_get_robust_list, "get_robust_list", "ixx", get_robust_list),
    call(linux::__NR_arch_prctl, "arch_prctl", "xx", arch_prctl),
    call(linux::__NR_unshare, "unshare", "x", unshare),
];

fn finish(frame: &TrapFrame, request: &clone::Request) -> Result<u64> {
    oom::insist(|| clone::clone(frame, request)).map(u64::from)
}

fn plain(flags: u32) -> clone::Request {
    clone::Request {
        flags: u64::from(flags),
        stack: 0,
        exit_signal: linux::SIGCHLD,
        parent_tid: 0,
        child_tid: 0,
        tls: 0,
    }
}

fn fork(frame: &mut TrapFrame) -> Result<u64> {
    finish(frame, &plain(0))
}

fn vfork(frame: &mut TrapFrame) -> Result<u64> {
    finish(frame, &plain(linux::CLONE_VFORK | linux::CLONE_VM))
}

fn sys_clone(frame: &mut TrapFrame) -> Result<u64> {
    const SIGNAL: u64 = 0xff;
    let [flags, stack, parent_tid, child_tid, tls, _] = frame.arguments();
    let request = clone::Request {
        flags: flags & !SIGNAL & 0xffff_ffff,
        stack,
        exit_signal: (flags & SIGNAL) as u32,
        parent_tid,
        child_tid,
        tls,
    };
    if request.exit_signal > crate::signal::COUNT {
        return Err(Errno::EINVAL);
    }
    finish(frame, &request)
}

/// `struct clone_args`: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size,
/// cgroup.
fn clone3(frame: &mut TrapFrame) -> Result<u64> {
    const SMALLEST: u64 = 64;
    const KNOWN: usize = 11;
    let [address, size, ..] = frame.arguments();
    if size < SMALLEST {
        return Err(Errno::EINVAL);
    }
    if size > crate::mm::PAGE {
        return Err(Errno::E2BIG);
    }
    let mut words = [0u64; KNOWN];
    for (i, word) in words.iter_mut().enumerate().take((size / 8) as usize) {
        *word = user::read(address + i as u64 * 8)?;
    }
    for at in (KNOWN as u64 * 8..size).step_by(8) {
        if user::read::<u64>(address + at)? != 0 {
            return Err(Errno::E2BIG);
        }
    }
    let [
        flags,
        _pidfd,
        child_tid,
        parent_tid,
        exit_signal,
        stack,
        stack_size,
        tls,
        _set_tid,
        set_tid_size,
        _,
    ] = words;
    if set_tid_size != 0 || exit_signal > u64::from(crate::signal::COUNT) || (stack == 0) != (stack_size == 0)
    {
        return Err(Errno::EINVAL);
    }
    let stack = stack.checked_add(stack_size).filter(|end| *end <= USER_END).ok_or(Errno::EINVAL)?;
    finish(
        frame,
        &clone::Request { flags, stack, exit_signal: exit_signal as u32, parent_tid, child_tid, tls },
    )
}

/// A null-terminated array of strings. `total` counts down what may still be passed.
fn string_array(mut address: u64, total: &mut usize) -> Result<Vec<Vec<u8>>> {
    let mut list = Vec::new();
    if address == 0 {
        return Ok(list);
    }
    loop {
        let pointer = user::read::<u64>(address)?;
        if pointer == 0 {
            return Ok(list);
        }
        let text = user::read_string(pointer, MAX_STRING).map_err(|errno| match errno {
            Errno::ENAMETOOLONG => Errno::E2BIG,
            other => other,
        })?;
        *total = total.checked_sub(text.len() + 9).ok_or(Errno::E2BIG)?;
        frames::check_room(text.len())?;
        list.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        list.push(text);
        address += 8;
    }
}

fn execve(frame: &mut TrapFrame) -> Result<u64> {
    let [name, argv, envp, ..] = frame.arguments();
    let name = user::read_path(name)?;
    let file = path::open_program(&name)?;
    start_program(frame, &file, &name, argv, envp)
}

fn execveat(frame: &mut TrapFrame) -> Result<u64> {
    let [fd, name, argv, envp, flags, _] = frame.arguments();
    let name = user::read_path(name)?;
    let file = path::open_program_at(fd, &name, flags as u32)?;
    let shown = if name.is_empty() { alloc::format!("/dev/fd/{}", fd as i32).into_bytes() } else { name };
    start_program(frame, &file, &shown, argv, envp)
}

fn start_program(
    frame: &mut TrapFrame,
    file: &Arc<ampoule_kbase::OpenFile>,
    path: &[u8],
    argv: u64,
    envp: u64,
) -> Result<u64> {
    oom::insist(|| {
        let mut total = MAX_ARGUMENTS;
        let mut argv = string_array(argv, &mut total)?;
        let envp = string_array(envp, &mut total)?;
        if argv.is_empty() {
            // As Linux does since 5.18: a program always has a name.
            argv.push(Vec::new());
        }
        exec::execute(frame, exec::Request { file: Arc::clone(file), path: path.to_vec(), argv, envp })
    })?;
    // The new program's registers are all in the frame; what is returned becomes its RAX.
    Ok(0)
}

fn sys_exit(args: &Args) -> Result<u64> {
    exit::request_thread_exit(args[0] as u8);
    Ok(0)
}

fn exit_group(args: &Args) -> Result<u64> {
    exit::request_group_exit(ExitStatus::Code(args[0] as u8));
    Ok(0)
}

fn wait4(args: &Args) -> Result<u64> {
    let [pid, status, options, usage, ..] = *args;
    const KNOWN: u32 = linux::WNOHANG
        | linux::WUNTRACED
        | linux::WCONTINUED
        | linux::__WALL
        | linux::__WCLONE
        | linux::__WNOTHREAD;
    let options = options as u32;
    if options & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    let selection = match pid as i32 {
        -1 => Selection::Any,
        0 => Selection::Group(current().process.pgid.load(Ordering::Relaxed)),
        i32::MIN => return Err(Errno::ESRCH),
        pid if pid < 0 => Selection::Group(pid.unsigned_abs()),
        pid => Selection::Pid(pid as u32),
    };
    let news = wait::wait(wait::Options {
        selection,
        kind: child_kind(options),
        exited: true,
        stopped: options & linux::WUNTRACED != 0,
        continued: options & linux::WCONTINUED != 0,
        no_hang: options & linux::WNOHANG != 0,
        keep: false,
    })?;
    let Some(news) = news else { return Ok(0) };
    user::write_if(status, news.status())?;
    write_usage(usage, news.usage)?;
    Ok(u64::from(news.pid))
}

fn child_kind(options: u32) -> ChildKind {
    match options {
        options if options & linux::__WALL != 0 => ChildKind::All,
        options if options & linux::__WCLONE != 0 => ChildKind::Clone,
        _ => ChildKind::Ordinary,
    }
}

fn waitid(args: &Args) -> Result<u64> {
    let [kind, id, info, options, usage, _] = *args;
    let options = options as u32;
    const STATES: u32 = linux::WEXITED | linux::WSTOPPED | linux::WCONTINUED;
    const KNOWN: u32 =
        STATES | linux::WNOHANG | linux::WNOWAIT | linux::__WALL | linux::__WCLONE | linux::__WNOTHREAD;
    if options & !KNOWN != 0 || options & STATES == 0 {
        return Err(Errno::EINVAL);
    }
    let selection = match (kind as u32, id as u32) {
        (0, _) => Selection::Any,
        (1, pid) if pid as i32 > 0 => Selection::Pid(pid),
        (2, 0) => Selection::Group(current().process.pgid.load(Ordering::Relaxed)),
        (2, pgid) if pgid as i32 > 0 => Selection::Group(pgid),
        _ => return Err(Errno::EINVAL),
    };
    let news = wait::wait(wait::Options {
        selection,
        kind: child_kind(options),
        exited: options & linux::WEXITED != 0,
        stopped: options & linux::WSTOPPED != 0,
        continued: options & linux::WCONTINUED != 0,
        no_hang: options & linux::WNOHANG != 0,
        keep: options & linux::WNOWAIT != 0,
    })?;
    if info != 0 {
        user::write_bytes(info, &news.map_or([0; 128], |news| describe(&news)))?;
    }
    if let Some(news) = news {
        write_usage(usage, news.usage)?;
    }
    Ok(0)
}

fn describe(news: &wait::News) -> [u8; 128] {
    let (code, status) = match news.event {
        Event::Exited(ExitStatus::Code(code)) => (1, i32::from(code)),
        Event::Exited(ExitStatus::Signal(signo)) => (2, i32::from(signo)),
        Event::Stopped(signo) => (5, i32::from(signo)),
        Event::Continued => (6, linux::SIGCONT as i32),
    };
    crate::signal::SignalInfo::child(linux::SIGCHLD, code, news.pid, news.uid, status, 0).to_bytes()
}

/// Writes a `struct rusage`, if the program wants one.
pub fn write_usage(address: u64, usage: Usage) -> Result<()> {
    if address == 0 {
        return Ok(());
    }
    let mut words = [0u64; 18];
    words[0] = usage.cpu_ns / 1_000_000_000;
    words[1] = usage.cpu_ns % 1_000_000_000 / 1000;
    words[4] = usage.peak_pages * 4;
    words[8] = usage.faults;
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    user::write_bytes(address, &bytes)
}

/// The process that a pid argument names; 0 is the caller.
fn target(pid: u64) -> Result<Arc<Process>> {
    match pid as u32 {
        0 => Ok(current().process.clone()),
        pid => process::find(pid).ok_or(Errno::ESRCH),
    }
}

fn setpgid(args: &Args) -> Result<u64> {
    let (pid, pgid) = (args[0] as i32, args[1] as i32);
    // A group that is named by the process takes its number, also one that no group can have.
    if pgid < 0 || pgid == 0 && pid < 0 {
        return Err(Errno::EINVAL);
    }
    let this = &current().process;
    let process = target(pid as u64)?;
    let is_child = process.parent_pid() == this.pid;
    if process.pid != this.pid && !is_child {
        return Err(Errno::ESRCH);
    }
    if is_child && process.pid != this.pid && process.has_executed.load(Ordering::Relaxed) {
        return Err(Errno::EACCES);
    }
    let session = this.sid.load(Ordering::Relaxed);
    let same_session = process.sid.load(Ordering::Relaxed) == session;
    let is_leader = process.sid.load(Ordering::Relaxed) == process.pid;
    let pgid = if pgid == 0 { process.pid } else { pgid as u32 };
    let group_exists = || process::group_has(pgid, |member| member.sid.load(Ordering::Relaxed) == session);
    if !same_session || is_leader || pgid != process.pid && !group_exists() {
        return Err(Errno::EPERM);
    }
    process.pgid.store(pgid, Ordering::Relaxed);
    Ok(0)
}

fn setsid(_args: &Args) -> Result<u64> {
    let process = &current().process;
    if process::group_has(process.pid, |_| true) {
        return Err(Errno::EPERM);
    }
    process.sid.store(process.pid, Ordering::Relaxed);
    process.pgid.store(process.pid, Ordering::Relaxed);
    Ok(u64::from(process.pid))
}

fn set_tid_address(args: &Args) -> Result<u64> {
    let this = current();
    this.clear_child_tid.store(args[0], Ordering::Relaxed);
    Ok(u64::from(this.tid()))
}

const ROBUST_LIST_HEAD: u64 = 24;

fn set_robust_list(args: &Args) -> Result<u64> {
    if args[1] != ROBUST_LIST_HEAD {
        return Err(Errno::EINVAL);
    }
    current().robust_list.store(args[0], Ordering::Relaxed);
    Ok(0)
}

fn get_robust_list(args: &Args) -> Result<u64> {
    let head = match args[0] as u32 {
        0 => current().robust_list.load(Ordering::Relaxed),
        tid => process::find_thread(tid).ok_or(Errno::ESRCH)?.robust_list.load(Ordering::Relaxed),
    };
    user::write(args[1], head)?;
    user::write(args[2], ROBUST_LIST_HEAD)?;
    Ok(0)
}

fn arch_prctl(args: &Args) -> Result<u64> {
    const ARCH_SET_GS: u64 = 0x1001;
    const ARCH_SET_FS: u64 = 0x1002;
    const ARCH_GET_FS: u64 = 0x1003;
    const ARCH_GET_GS: u64 = 0x1004;
    let [command, address, ..] = *args;
    match command {
        ARCH_SET_FS | ARCH_SET_GS if address >= USER_END => return Err(Errno::EPERM),
        ARCH_SET_FS => context::set_fs_base(address),
        ARCH_SET_GS => context::set_gs_base(address),
        ARCH_GET_FS => user::write(address, context::fs_base())?,
        ARCH_GET_GS => user::write(address, context::gs_base())?,
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// Namespaces are not offered inside the sandbox; what is shared between threads can be unshared.
fn unshare(args: &Args) -> Result<u64> {
    const KNOWN: u64 = (linux::CLONE_FILES | linux::CLONE_FS | linux::CLONE_SYSVSEM) as u64;
    if args[0] & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    let process = &current().process;
    if args[0] & u64::from(linux::CLONE_FILES) != 0 {
        let copy = process.files().lock().copy()?;
        *process.files.lock() = Arc::new(ampoule_kbase::Mutex::new(copy));
    }
    if args[0] & u64::from(linux::CLONE_FS) != 0 {
        let shared = process.fs.lock().clone();
        let copy = shared.lock().clone();
        *process.fs.lock() = Arc::new(ampoule_kbase::Mutex::new(copy));
    }
    Ok(0)
}
