//! `seccomp(2)`, and what filters of system calls do to a call before it is made.

use super::{Args, Call, call};
use crate::arch::trap::TrapFrame;
use crate::mm::user;
use crate::signal::{self, SignalInfo};
use crate::task::credentials::capability;
use crate::task::process::ExitStatus;
use crate::task::seccomp::{self, Filter, Judgement, Seccomp, Verdict};
use crate::task::thread::Thread;
use crate::task::{current, exit};
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Result};
use ampoule_kbpf::{Error, Instruction, MAX_INSTRUCTIONS, Program, SeccompData};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use linux_raw_sys::general as linux;
use linux_raw_sys::ptrace::{
    SECCOMP_FILTER_FLAG_LOG, SECCOMP_FILTER_FLAG_SPEC_ALLOW, SECCOMP_FILTER_FLAG_TSYNC,
    SECCOMP_FILTER_FLAG_TSYNC_ESRCH, SECCOMP_GET_ACTION_AVAIL, SECCOMP_MODE_FILTER, SECCOMP_MODE_STRICT,
    SECCOMP_SET_MODE_FILTER, SECCOMP_SET_MODE_STRICT,
};

/// The calls of this family.
pub const CALLS: &[Call] = &[call(linux::__NR_seccomp, "seccomp", "uxx", sys_seccomp)];

/// `AUDIT_ARCH_X86_64`.
const ARCHITECTURE: u32 = 0xc000_003e;
/// Lines in the log about refused calls, in the life of the machine.
const MOST_LINES: u32 = 32;

/// Whether any thread ever had a filter: as long as none has, calls are not held up for a look.
static USED: AtomicBool = AtomicBool::new(false);
static LINES: AtomicU32 = AtomicU32::new(0);

fn sys_seccomp(args: &Args) -> Result<u64> {
    let [operation, flags, address, ..] = *args;
    match operation as u32 {
        SECCOMP_SET_MODE_STRICT if flags as u32 == 0 && address == 0 => set_strict(),
        SECCOMP_SET_MODE_FILTER => set_filter(flags as u32, address),
        SECCOMP_GET_ACTION_AVAIL if flags as u32 == 0 => match seccomp::is_available(user::read(address)?) {
            true => Ok(0),
            false => Err(Errno::EOPNOTSUPP),
        },
        _ => Err(Errno::EINVAL),
    }
}

/// `PR_SET_SECCOMP`.
pub fn set_mode(mode: u64, address: u64) -> Result<u64> {
    match u32::try_from(mode) {
        Ok(SECCOMP_MODE_STRICT) => set_strict(),
        Ok(SECCOMP_MODE_FILTER) => set_filter(0, address),
        _ => Err(Errno::EINVAL),
    }
}

fn set_strict() -> Result<u64> {
    let mut own = current().seccomp.lock();
    if own.mode() == SECCOMP_MODE_FILTER {
        return Err(Errno::EINVAL);
    }
    *own = Seccomp::Strict;
    USED.store(true, Ordering::Relaxed);
    Ok(0)
}

fn set_filter(flags: u32, address: u64) -> Result<u64> {
    const KNOWN: u32 = SECCOMP_FILTER_FLAG_TSYNC
        | SECCOMP_FILTER_FLAG_LOG
        | SECCOMP_FILTER_FLAG_SPEC_ALLOW
        | SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
    if flags & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    let this = current();
    let program = read_program(this, address)?;
    if flags & SECCOMP_FILTER_FLAG_TSYNC != 0
        && let Some(tid) = seccomp::out_of_step(this)
    {
        return if flags & SECCOMP_FILTER_FLAG_TSYNC_ESRCH != 0 { Err(Errno::ESRCH) } else { Ok(tid.into()) };
    }
    let filter = Filter::new(program, flags & SECCOMP_FILTER_FLAG_LOG != 0);
    let new = this.seccomp.lock().with(filter)?;
    *this.seccomp.lock() = new.clone();
    if flags & SECCOMP_FILTER_FLAG_TSYNC != 0 {
        this.process.threads.lock().iter().for_each(|thread| *thread.seccomp.lock() = new.clone());
    }
    USED.store(true, Ordering::Relaxed);
    Ok(0)
}

/// A checked program from a `struct sock_fprog`.
fn read_program(this: &Thread, address: u64) -> Result<Program> {
    let [length, instructions] = user::read::<[u64; 2]>(address)?;
    let length = usize::from(length as u16);
    if length == 0 || length > MAX_INSTRUCTIONS {
        return Err(Errno::EINVAL);
    }
    let privileged = this.process.credentials.lock().has(capability::SYS_ADMIN);
    if !privileged && !this.process.no_new_privileges.load(Ordering::Relaxed) {
        return Err(Errno::EACCES);
    }
    if instructions == 0 {
        return Err(Errno::EINVAL);
    }
    let mut list = Vec::new();
    list.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
    for at in 0..length as u64 {
        let place = instructions.checked_add(at * 8).ok_or(Errno::EFAULT)?;
        list.push(Instruction::from_bytes(user::read::<u64>(place)?.to_ne_bytes()));
    }
    Program::new(list).map_err(|error| match error {
        Error::Memory => Errno::ENOMEM,
        _ => Errno::EINVAL,
    })
}

/// Whether the call in the registers may be made. If not, all that is to be done instead was done.
#[inline]
pub fn admits(frame: &mut TrapFrame) -> bool {
    !USED.load(Ordering::Relaxed) || judge(frame)
}

#[cold]
fn judge(frame: &mut TrapFrame) -> bool {
    let this = current();
    let filters = match &*this.seccomp.lock() {
        Seccomp::Disabled => return true,
        Seccomp::Strict => return is_strictly_allowed(this, frame.rax as u32),
        Seccomp::Filter(filters) => filters.clone(),
    };
    // Linux takes the number's low half.
    let number = frame.rax as u32;
    let data = SeccompData::new(number, ARCHITECTURE, frame.rip, frame.arguments());
    let judgement = seccomp::judge(&filters, &data);
    report(this, number, frame, judgement);
    act(this, frame, number, judgement.verdict)
}

/// In strict mode everything else kills the thread.
fn is_strictly_allowed(this: &Thread, number: u32) -> bool {
    match number {
        linux::__NR_read | linux::__NR_write | linux::__NR_exit | linux::__NR_rt_sigreturn => true,
        _ => {
            end_thread(this, linux::SIGKILL as u8);
            false
        }
    }
}

fn act(this: &Thread, frame: &mut TrapFrame, number: u32, verdict: Verdict) -> bool {
    match verdict {
        Verdict::Allow | Verdict::Log => return true,
        Verdict::Errno(errno) => frame.rax = (-i64::from(errno)) as u64,
        Verdict::Trap(data) => {
            // The handler finds the registers as they were, and may put a result there.
            let address = frame.rip;
            frame.leave_syscall();
            signal::force(SignalInfo::system_call(data, address, number, ARCHITECTURE));
        }
        Verdict::KillThread => end_thread(this, linux::SIGSYS as u8),
        Verdict::KillProcess => {
            exit::kill_process(&this.process, ExitStatus::Signal(linux::SIGSYS as u8));
        }
    }
    false
}

/// Ends this thread; the last one takes the process along, by a signal.
fn end_thread(this: &Thread, signo: u8) {
    let alone = this.process.threads.lock().len() == 1;
    if alone {
        exit::kill_process(&this.process, ExitStatus::Signal(signo));
    } else {
        exit::kill_thread(this);
    }
}

/// Deaths are logged as Linux does, other refusals where a filter asks for it; the first few of them.
fn report(this: &Thread, number: u32, frame: &TrapFrame, Judgement { verdict, log }: Judgement) {
    let wanted = match verdict {
        Verdict::Allow => false,
        Verdict::Log | Verdict::KillThread | Verdict::KillProcess => true,
        Verdict::Errno(_) | Verdict::Trap(_) => log,
    };
    if wanted && LINES.fetch_add(1, Ordering::Relaxed) < MOST_LINES {
        crate::log!("seccomp: thread {}: system call {number} at {:#x}: {verdict:?}", this.tid(), frame.rip);
    }
}
