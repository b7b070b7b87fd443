//! Which system calls a thread may make (`seccomp(2)`): its mode, its filters, and what they say of a call.

use super::thread::Thread;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Result};
use ampoule_kbpf::{Program, SeccompData};
use linux_raw_sys::ptrace::{
    SECCOMP_RET_ACTION_FULL, SECCOMP_RET_ALLOW, SECCOMP_RET_DATA, SECCOMP_RET_ERRNO,
    SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_LOG, SECCOMP_RET_TRACE, SECCOMP_RET_TRAP,
};

/// Instructions of all filters of a thread together; each filter counts four more (as Linux has it).
const MAX_TOTAL: usize = 32_768;
const PER_FILTER: usize = 4;

/// A filter, and whether what it refuses is logged.
pub struct Filter {
    program: Program,
    log: bool,
}

/// What a thread may do. New threads and processes inherit it, and `execve` keeps it.
#[derive(Clone, Default)]
pub enum Seccomp {
    /// Everything.
    #[default]
    Disabled,
    /// `read`, `write`, `exit` and `rt_sigreturn`.
    Strict,
    /// What all of the filters allow; the newest is the last one.
    Filter(Arc<Vec<Arc<Filter>>>),
}

/// What becomes of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is made.
    Allow,
    /// It is made, and logged.
    Log,
    /// It fails with this error; 0 is a success that did nothing.
    Errno(u16),
    /// `SIGSYS`, with these 16 bits.
    Trap(u16),
    /// The thread ends.
    KillThread,
    /// The process ends.
    KillProcess,
}

/// A verdict, and whether the filter that gave it asks for a line in the log.
#[derive(Clone, Copy)]
pub struct Judgement {
    /// What becomes of the call.
    pub verdict: Verdict,
    /// `SECCOMP_FILTER_FLAG_LOG`.
    pub log: bool,
}

impl Filter {
    /// A filter.
    pub fn new(program: Program, log: bool) -> Self {
        Self { program, log }
    }
}

impl Seccomp {
    /// `SECCOMP_MODE_*`.
    pub fn mode(&self) -> u32 {
        match self {
            Seccomp::Disabled => 0,
            Seccomp::Strict => 1,
            Seccomp::Filter(_) => 2,
        }
    }

    /// How many filters there are.
    pub fn filters(&self) -> usize {
        match self {
            Seccomp::Filter(filters) => filters.len(),
            _ => 0,
        }
    }

    /// This with one more filter.
    pub fn with(&self, filter: Filter) -> Result<Self> {
        let old = match self {
            Seccomp::Disabled => &[][..],
            Seccomp::Strict => return Err(Errno::EINVAL),
            Seccomp::Filter(filters) => filters.as_slice(),
        };
        let total: usize = old.iter().map(|old| old.program.len() + PER_FILTER).sum();
        if total + filter.program.len() > MAX_TOTAL {
            return Err(Errno::ENOMEM);
        }
        let mut filters = Vec::new();
        filters.try_reserve_exact(old.len() + 1).map_err(|_| Errno::ENOMEM)?;
        filters.extend(old.iter().cloned());
        filters.push(Arc::new(filter));
        Ok(Seccomp::Filter(Arc::new(filters)))
    }

    /// Whether `other` can be replaced by what grows from this: it has no filters but those that this has, too.
    pub fn extends(&self, other: &Seccomp) -> bool {
        match (other, self) {
            (Seccomp::Disabled, _) => true,
            (Seccomp::Filter(theirs), Seccomp::Filter(own)) => {
                theirs.len() <= own.len() && theirs.iter().zip(own.iter()).all(|(a, b)| Arc::ptr_eq(a, b))
            }
            _ => false,
        }
    }
}

/// What the filters say: the strictest of their answers, and of equal ones the newest.
pub fn judge(filters: &[Arc<Filter>], data: &SeccompData) -> Judgement {
    let mut strictest = (SECCOMP_RET_ALLOW, false);
    for filter in filters.iter().rev() {
        let answer = filter.program.run(data);
        if rank(answer) < rank(strictest.0) {
            strictest = (answer, filter.log);
        }
    }
    Judgement { verdict: verdict(strictest.0), log: strictest.1 }
}

/// The lower, the stricter: actions count as signed numbers, so that `KILL_PROCESS` is below zero.
fn rank(answer: u32) -> i32 {
    (answer & SECCOMP_RET_ACTION_FULL).cast_signed()
}

fn verdict(answer: u32) -> Verdict {
    const MAX_ERRNO: u16 = 4095;
    let data = (answer & SECCOMP_RET_DATA) as u16;
    match answer & SECCOMP_RET_ACTION_FULL {
        SECCOMP_RET_ALLOW => Verdict::Allow,
        SECCOMP_RET_LOG => Verdict::Log,
        SECCOMP_RET_ERRNO => Verdict::Errno(data.min(MAX_ERRNO)),
        SECCOMP_RET_TRAP => Verdict::Trap(data),
        // There is no tracer that could be asked.
        SECCOMP_RET_TRACE => Verdict::Errno(Errno::ENOSYS.0),
        SECCOMP_RET_KILL_THREAD => Verdict::KillThread,
        _ => Verdict::KillProcess,
    }
}

/// Whether programs may use an action (`SECCOMP_GET_ACTION_AVAIL`). `USER_NOTIF` is not offered.
pub fn is_available(action: u32) -> bool {
    matches!(
        action,
        SECCOMP_RET_KILL_PROCESS
            | SECCOMP_RET_KILL_THREAD
            | SECCOMP_RET_TRAP
            | SECCOMP_RET_ERRNO
            | SECCOMP_RET_TRACE
            | SECCOMP_RET_LOG
            | SECCOMP_RET_ALLOW
    )
}

/// The first thread of the same process, beside this one, that cannot take over this one's filters.
pub fn out_of_step(this: &Thread) -> Option<u32> {
    let own = this.seccomp.lock().clone();
    let threads = this.process.threads.lock();
    let mut others = threads.iter().filter(|thread| thread.tid() != this.tid());
    others.find(|other| !own.extends(&other.seccomp.lock())).map(|other| other.tid())
}
