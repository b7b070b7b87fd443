//! A process, and the table of all of them.

use super::credentials::Credentials;
use super::files::FileTable;
use super::limits::Limits;
use super::thread::Thread;
use crate::mm::AddressSpace;
use crate::signal::{Actions, Pending};
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Values;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use ampoule_kbase::{Mutex, Once, OpenFile, WaitQueue};
use ampoule_kfs::Context;
use ampoule_kfs::vfs::WritersDenied;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Ids run up to this one, then start again (`kernel.pid_max`).
pub const PID_MAX: u32 = 32768;

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExitStatus {
    /// `exit(2)` with this code.
    Code(u8),
    /// Killed by this signal. There are no core dumps.
    Signal(u8),
}

impl ExitStatus {
    /// The encoding of `wait(2)`.
    pub fn wait_status(self) -> u32 {
        match self {
            ExitStatus::Code(code) => u32::from(code) << 8,
            ExitStatus::Signal(signo) => u32::from(signo),
        }
    }
}

/// Changes that `wait(2)` reports once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum JobEvent {
    /// Nothing new.
    #[default]
    None,
    /// Stopped by this signal.
    Stopped(u8),
    /// Went on.
    Continued,
}

/// What `execve` leaves for `/proc`.
#[derive(Clone, Default)]
pub struct Program {
    /// At most 15 bytes.
    pub name: Vec<u8>,
    /// The executable.
    pub file: Option<Arc<OpenFile>>,
    /// While it runs nobody may open the file for writing.
    pub writers: Option<Arc<WritersDenied>>,
    /// The auxiliary vector as the program sees it.
    pub auxiliary: Vec<u8>,
}

/// Resource use, as `getrusage(2)` reports it.
#[derive(Clone, Copy, Default)]
pub struct Usage {
    /// CPU time in nanoseconds.
    pub cpu_ns: u64,
    /// The largest resident set, in pages.
    pub peak_pages: u64,
    /// Page faults that trapped.
    pub faults: u64,
}

impl Usage {
    /// Adds what a child used.
    pub fn add(&mut self, child: Usage) {
        self.cpu_ns += child.cpu_ns;
        self.peak_pages = self.peak_pages.max(child.peak_pages);
        self.faults += child.faults;
    }
}

/// A process.
pub struct Process {
    /// Process id: the tid of its first thread.
    pub pid: u32,
    /// Process group.
    pub pgid: AtomicU32,
    /// Session.
    pub sid: AtomicU32,
    /// The parent, and who is told of the end.
    pub parent: Mutex<Weak<Process>>,
    /// The signal that the parent gets at the end (`SIGCHLD`, or what `clone` named; 0 for none).
    pub exit_signal: AtomicU32,
    /// Children, ended ones included until they are waited for.
    pub children: Mutex<Vec<Arc<Process>>>,
    /// Threads that have not ended.
    pub threads: Mutex<Vec<Arc<Thread>>>,
    /// Memory; shared with the parent after `vfork`.
    pub memory: Mutex<Arc<Mutex<AddressSpace>>>,
    /// Descriptors; shared with another process after `clone(CLONE_FILES)`.
    pub files: Mutex<Arc<Mutex<FileTable>>>,
    /// Root, working directory, umask.
    pub fs: Mutex<Arc<Mutex<Context>>>,
    /// Signal actions.
    pub actions: Mutex<Arc<Mutex<Actions>>>,
    /// Signals to the process as a whole.
    pub pending: Mutex<Pending>,
    /// Woken when a signal becomes pending.
    pub signal_queue: Arc<WaitQueue>,
    /// Users and groups.
    pub credentials: Mutex<Credentials>,
    /// Resource limits.
    pub limits: Mutex<Limits>,
    /// What it runs.
    pub program: Mutex<Program>,
    /// Set when the last thread has ended.
    pub exit_status: Mutex<Option<ExitStatus>>,
    /// Set as soon as the process has to end; the first reason counts.
    pub exiting: Mutex<Option<ExitStatus>>,
    /// News for `wait(2)`.
    pub job_event: Mutex<JobEvent>,
    /// Whether job control has stopped it.
    pub stopped: AtomicBool,
    /// Woken when a child has news.
    pub child_news: WaitQueue,
    /// Woken when the process no longer uses its parent's memory (`vfork`), or has one thread less.
    pub released: WaitQueue,
    /// Whether `execve` has been called since the fork (`setpgid` of a parent is refused then).
    pub has_executed: AtomicBool,
    /// Ends a `vfork`: set at `execve` and at the end.
    pub vfork_done: AtomicBool,
    /// `PR_SET_PDEATHSIG`.
    pub parent_death_signal: AtomicU32,
    /// `PR_SET_CHILD_SUBREAPER`.
    pub subreaper: AtomicBool,
    /// `PR_SET_NO_NEW_PRIVS`.
    pub no_new_privileges: AtomicBool,
    /// `PR_SET_DUMPABLE`.
    pub dumpable: AtomicBool,
    /// The nice value: -20 to 19.
    pub nice: AtomicI32,
    /// CPU time of all threads, in nanoseconds.
    pub cpu_ns: AtomicU64,
    /// The CPU time at which a limit of it has to be looked at; `u64::MAX`: never.
    pub cpu_alarm_ns: AtomicU64,
    /// Page faults.
    pub faults: AtomicU64,
    /// The largest resident set at the end, in pages.
    pub final_peak_pages: AtomicU64,
    /// What waited-for children used.
    pub children_usage: Mutex<Usage>,
    /// `CLOCK_MONOTONIC` at the start.
    pub started_ns: u64,
    /// Interval timers and `alarm`.
    pub timers: Mutex<crate::time::interval::ProcessTimers>,
}

static PROCESSES: Mutex<BTreeMap<u32, Arc<Process>>> = Mutex::new(BTreeMap::new());
static THREADS: Mutex<BTreeMap<u32, Weak<Thread>>> = Mutex::new(BTreeMap::new());
static NEXT_ID: Mutex<u32> = Mutex::new(1);
static NO_MEMORY: Once<Arc<Mutex<AddressSpace>>> = Once::new();
static FORKS: AtomicU64 = AtomicU64::new(0);
/// Processes that have ended and were not waited for.
static ZOMBIES: AtomicUsize = AtomicUsize::new(0);

/// The space of processes that have ended: nothing is mapped in it.
pub fn no_memory() -> Option<Arc<Mutex<AddressSpace>>> {
    if NO_MEMORY.get().is_none() {
        NO_MEMORY.set(Arc::new(Mutex::new(AddressSpace::new().ok()?)));
    }
    NO_MEMORY.get().cloned()
}

/// A free process or thread id.
pub fn allocate_id() -> Option<u32> {
    let processes = PROCESSES.lock();
    let threads = THREADS.lock();
    let mut next = NEXT_ID.lock();
    for _ in 0..PID_MAX {
        let id = *next;
        *next = if id + 1 >= PID_MAX { 300 } else { id + 1 };
        let group_in_use = || {
            processes
                .values()
                .any(|p| p.pgid.load(Ordering::Relaxed) == id || p.sid.load(Ordering::Relaxed) == id)
        };
        if !processes.contains_key(&id) && !threads.contains_key(&id) && (id < 300 || !group_in_use()) {
            return Some(id);
        }
    }
    None
}

/// Enters a process into the table.
pub fn register(process: Arc<Process>) {
    FORKS.fetch_add(1, Ordering::Relaxed);
    PROCESSES.lock().insert(process.pid, process);
}

/// Takes a process out of the table, after it was waited for.
pub fn unregister(pid: u32) {
    let removed = PROCESSES.lock().remove(&pid);
    if removed.is_some_and(|process| process.ended()) {
        ZOMBIES.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Enters a thread into the table.
pub fn register_thread(thread: &Arc<Thread>) {
    THREADS.lock().insert(thread.tid(), Arc::downgrade(thread));
}

/// Takes a thread out of the table.
pub fn unregister_thread(tid: u32) {
    THREADS.lock().remove(&tid);
}

/// The process with this id; ended ones that were not waited for included.
pub fn find(pid: u32) -> Option<Arc<Process>> {
    PROCESSES.lock().get(&pid).cloned()
}

/// The live thread with this id.
pub fn find_thread(tid: u32) -> Option<Arc<Thread>> {
    THREADS.lock().get(&tid).and_then(Weak::upgrade)
}

/// Looks at all processes without a list of them, which there may be no memory for. `look` must not find, make or end
/// processes, nor signal them.
pub fn with_all<R>(look: impl FnOnce(Values<'_, u32, Arc<Process>>) -> R) -> R {
    look(PROCESSES.lock().values())
}

/// A list of all processes.
pub fn all() -> Vec<Arc<Process>> {
    with_all(|all| all.cloned().collect())
}

/// A list of the members of a process group that have not ended.
pub fn group(pgid: u32) -> Vec<Arc<Process>> {
    with_all(|all| all.filter(|process| process.is_member(pgid)).cloned().collect())
}

/// Whether a process group has a member, not ended, of which `holds` is true; as in [`with_all`].
pub fn group_has(pgid: u32, mut holds: impl FnMut(&Process) -> bool) -> bool {
    with_all(|mut all| all.any(|process| process.is_member(pgid) && holds(process)))
}

/// How many processes and threads were ever made.
pub fn forks() -> u64 {
    FORKS.load(Ordering::Relaxed)
}

/// Live threads.
pub fn thread_count() -> usize {
    THREADS.lock().len()
}

/// Threads, and processes that have ended but were not waited for.
pub fn task_count() -> usize {
    thread_count() + ZOMBIES.load(Ordering::Relaxed)
}

/// The same of one user.
pub fn task_count_of(uid: u32) -> usize {
    with_all(|all| {
        let own = all.filter(|process| process.credentials.lock().uid == uid);
        own.map(|process| process.threads.lock().len().max(1)).sum()
    })
}

impl Process {
    /// Notes how it ended.
    pub fn set_ended(&self, status: ExitStatus) {
        if self.exit_status.lock().replace(status).is_none() {
            ZOMBIES.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The parent's id, 0 for the first process.
    pub fn parent_pid(&self) -> u32 {
        self.parent.lock().upgrade().map_or(0, |parent| parent.pid)
    }

    /// Whether it is in a process group, and has not ended.
    fn is_member(&self, pgid: u32) -> bool {
        self.pgid.load(Ordering::Relaxed) == pgid && !self.ended()
    }

    /// Whether it has ended and waits to be waited for.
    pub fn ended(&self) -> bool {
        self.exit_status.lock().is_some()
    }

    /// CPU time and memory so far.
    pub fn usage(&self) -> Usage {
        let (_, peak) = self.memory.lock().lock().resident();
        let peak_pages = peak.max(self.final_peak_pages.load(Ordering::Relaxed));
        Usage {
            cpu_ns: self.cpu_ns.load(Ordering::Relaxed),
            peak_pages,
            faults: self.faults.load(Ordering::Relaxed),
        }
    }

    /// A handle to its descriptors.
    pub fn files(&self) -> Arc<Mutex<FileTable>> {
        self.files.lock().clone()
    }
}
