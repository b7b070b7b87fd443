//! `clone(2)` and its relatives `fork`, `vfork` and `clone3`.

use super::credentials::{Credentials, capability};
use super::limits::{Limits, resource};
use super::process::{self, JobEvent, Process, Program, Usage};
use super::sched;
use super::thread::Thread;
use super::{cpu_limit, current};
use crate::arch::context::{self, ExtendedState};
use crate::arch::trap::TrapFrame;
use crate::mm::{AddressSpace, USER_END, user};
use crate::signal::Pending;
use crate::time::{clock, interval::ProcessTimers};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Mutex, Result, WaitQueue, frames};
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use linux_raw_sys::general as linux;

/// The most threads and processes at a time, however much memory there is.
const MAX_THREADS: u64 = 8192;
/// Memory for each of them: as on Linux, there may be as many as take an eighth of it with 16 KiB each.
const PAGES_PER_THREAD: u64 = 32;

/// A checked request.
pub struct Request {
    /// `CLONE_*`.
    pub flags: u64,
    /// The new stack pointer, or 0 to keep it.
    pub stack: u64,
    /// The signal that the parent gets at the end.
    pub exit_signal: u32,
    /// `CLONE_PARENT_SETTID`.
    pub parent_tid: u64,
    /// `CLONE_CHILD_SETTID` and `CLONE_CHILD_CLEARTID`.
    pub child_tid: u64,
    /// `CLONE_SETTLS`.
    pub tls: u64,
}

/// `clone3(2)`: handlers go back to the default.
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;

const NAMESPACES: u64 = (linux::CLONE_NEWNS
    | linux::CLONE_NEWUTS
    | linux::CLONE_NEWIPC
    | linux::CLONE_NEWUSER
    | linux::CLONE_NEWPID
    | linux::CLONE_NEWNET
    | linux::CLONE_NEWCGROUP) as u64;

impl Request {
    fn has(&self, flag: u32) -> bool {
        self.flags & u64::from(flag) != 0
    }

    fn check(&self) -> Result<()> {
        let thread = self.has(linux::CLONE_THREAD);
        let shares_signals = self.has(linux::CLONE_SIGHAND);
        if thread && !shares_signals || shares_signals && !self.has(linux::CLONE_VM) {
            return Err(Errno::EINVAL);
        }
        if self.flags & NAMESPACES != 0 || self.has(linux::CLONE_PIDFD) {
            return Err(Errno::EINVAL);
        }
        if self.has(linux::CLONE_SETTLS) && self.tls >= USER_END || self.stack >= USER_END {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }
}

/// What the command line allows (`ampoule.max_processes`), the first process included.
static MOST: AtomicU64 = AtomicU64::new(u64::MAX);

/// From now on there are at most `count` processes and threads beside the first process.
pub fn set_most(count: u64) {
    MOST.store(count.saturating_add(1), Ordering::Relaxed);
}

/// Whether there may be one more process or thread.
fn check_count(this: &Thread) -> Result<()> {
    let (total, _) = frames::usage();
    let most = (total / PAGES_PER_THREAD).min(MAX_THREADS).min(MOST.load(Ordering::Relaxed));
    if process::task_count() as u64 >= most {
        return Err(Errno::EAGAIN);
    }
    let limit = this.process.limits.lock().soft(resource::NPROC);
    let (uid, free) = {
        let own = this.process.credentials.lock();
        (own.uid, own.uid == 0 || own.has(capability::SYS_RESOURCE) || own.has(capability::SYS_ADMIN))
    };
    if !free && process::task_count_of(uid) as u64 >= limit {
        return Err(Errno::EAGAIN);
    }
    Ok(())
}

/// Makes a thread or a process, as the flags say; returns its id.
pub fn clone(frame: &TrapFrame, request: &Request) -> Result<u32> {
    request.check()?;
    let this = current();
    check_count(this)?;
    if frames::is_low() {
        return Err(Errno::ENOMEM);
    }
    let tid = process::allocate_id().ok_or(Errno::EAGAIN)?;
    let as_thread = request.has(linux::CLONE_THREAD);
    let process = if as_thread { this.process.clone() } else { new_process(tid, this, request)? };
    let thread = new_thread(tid, &process, this, frame, request)?;
    if request.has(linux::CLONE_PARENT_SETTID) {
        user::write(request.parent_tid, tid)?;
    }
    if request.has(linux::CLONE_CHILD_CLEARTID) {
        thread.clear_child_tid.store(request.child_tid, Ordering::Relaxed);
    }
    if request.has(linux::CLONE_CHILD_SETTID) {
        let memory = process.memory.lock().clone();
        write_in(&memory, request.child_tid, tid);
    }
    process.threads.lock().push(thread.clone());
    process::register_thread(&thread);
    if !as_thread {
        this.process.children_of(request.has(linux::CLONE_PARENT)).lock().push(process.clone());
        process::register(process.clone());
    }
    sched::enqueue(thread);
    if request.has(linux::CLONE_VFORK) {
        wait_for_vfork(&process);
    }
    Ok(tid)
}

impl Process {
    /// Where a new sibling (`CLONE_PARENT`) or child is entered.
    fn children_of(self: &Arc<Self>, of_parent: bool) -> ChildList {
        let parent = if of_parent { self.parent.lock().upgrade() } else { None };
        ChildList(parent.unwrap_or_else(|| self.clone()))
    }
}

struct ChildList(Arc<Process>);

impl ChildList {
    fn lock(&self) -> ampoule_kbase::sync::MutexGuard<'_, Vec<Arc<Process>>> {
        self.0.children.lock()
    }
}

fn new_thread(
    tid: u32,
    process: &Arc<Process>,
    this: &Thread,
    frame: &TrapFrame,
    request: &Request,
) -> Result<Arc<Thread>> {
    let mut child_frame = frame.clone();
    child_frame.rax = 0;
    child_frame.leave_syscall();
    if request.stack != 0 {
        child_frame.rsp = request.stack;
    }
    let fs = if request.has(linux::CLONE_SETTLS) { request.tls } else { context::fs_base() };
    let mut state = ExtendedState::zeroed();
    // SAFETY: the box is aligned and large enough.
    unsafe { context::save_extended(&mut *state) };
    let shares_stack = !request.has(linux::CLONE_VM) || request.has(linux::CLONE_VFORK);
    let signals = this.signals.lock().for_new_thread(shares_stack);
    let bases = (fs, context::gs_base());
    let thread = Thread::new(tid, process.clone(), &child_frame, Some(&state), bases, signals)?;
    *thread.seccomp.lock() = this.seccomp.lock().clone();
    Ok(thread)
}

fn new_process(pid: u32, this: &Thread, request: &Request) -> Result<Arc<Process>> {
    let parent = &this.process;
    let memory = if request.has(linux::CLONE_VM) {
        parent.memory.lock().clone()
    } else {
        let space = parent.memory.lock().clone();
        let copy = space.lock().fork()?;
        Arc::new(Mutex::new(copy))
    };
    let files = parent.files();
    let files =
        if request.has(linux::CLONE_FILES) { files } else { Arc::new(Mutex::new(files.lock().copy()?)) };
    let fs = parent.fs.lock().clone();
    let fs = if request.has(linux::CLONE_FS) { fs } else { Arc::new(Mutex::new(fs.lock().clone())) };
    let actions = parent.actions.lock().clone();
    let actions = if request.has(linux::CLONE_SIGHAND) {
        actions
    } else {
        let mut copy = actions.lock().clone();
        if request.flags & CLONE_CLEAR_SIGHAND != 0 {
            copy.executed();
        }
        Arc::new(Mutex::new(copy))
    };
    let limits = *parent.limits.lock();
    let real_parent =
        if request.has(linux::CLONE_PARENT) { parent.parent.lock().clone() } else { Arc::downgrade(parent) };
    Ok(Arc::new(Process {
        pid,
        pgid: AtomicU32::new(parent.pgid.load(Ordering::Relaxed)),
        sid: AtomicU32::new(parent.sid.load(Ordering::Relaxed)),
        parent: Mutex::new(real_parent),
        exit_signal: AtomicU32::new(request.exit_signal),
        memory: Mutex::new(memory),
        files: Mutex::new(files),
        fs: Mutex::new(fs),
        actions: Mutex::new(actions),
        credentials: Mutex::new(parent.credentials.lock().clone()),
        limits: Mutex::new(limits),
        cpu_alarm_ns: AtomicU64::new(cpu_limit::alarm(&limits)),
        nice: AtomicI32::new(parent.nice.load(Ordering::Relaxed)),
        program: Mutex::new(parent.program.lock().clone()),
        no_new_privileges: AtomicBool::new(parent.no_new_privileges.load(Ordering::Relaxed)),
        ..Process::empty(pid)
    }))
}

impl Process {
    /// A process that nothing is known of yet.
    fn empty(pid: u32) -> Self {
        let nothing = process::no_memory().expect("made when the first process started");
        Self {
            pid,
            pgid: AtomicU32::new(pid),
            sid: AtomicU32::new(pid),
            parent: Mutex::new(Weak::new()),
            exit_signal: AtomicU32::new(linux::SIGCHLD),
            children: Mutex::new(Vec::new()),
            threads: Mutex::new(Vec::new()),
            memory: Mutex::new(nothing),
            files: Mutex::default(),
            fs: Mutex::new(crate::boot::first_context()),
            actions: Mutex::default(),
            pending: Mutex::new(Pending::default()),
            signal_queue: Arc::new(WaitQueue::new()),
            credentials: Mutex::new(Credentials::root()),
            limits: Mutex::new(Limits::new()),
            program: Mutex::new(Program::default()),
            exit_status: Mutex::new(None),
            exiting: Mutex::new(None),
            job_event: Mutex::new(JobEvent::None),
            stopped: AtomicBool::new(false),
            child_news: WaitQueue::new(),
            released: WaitQueue::new(),
            has_executed: AtomicBool::new(false),
            vfork_done: AtomicBool::new(false),
            parent_death_signal: AtomicU32::new(0),
            subreaper: AtomicBool::new(false),
            no_new_privileges: AtomicBool::new(false),
            dumpable: AtomicBool::new(true),
            nice: AtomicI32::new(0),
            cpu_ns: AtomicU64::new(0),
            cpu_alarm_ns: AtomicU64::new(u64::MAX),
            faults: AtomicU64::new(0),
            final_peak_pages: AtomicU64::new(0),
            children_usage: Mutex::new(Usage::default()),
            started_ns: clock::monotonic_ns(),
            timers: Mutex::new(ProcessTimers::default()),
        }
    }

    /// The first process, with memory of its own that `execve` replaces.
    pub fn first() -> Result<Arc<Self>> {
        let _ = process::no_memory().ok_or(Errno::ENOMEM)?;
        let process = Arc::new(Self::empty(1));
        *process.memory.lock() = Arc::new(Mutex::new(AddressSpace::new()?));
        Ok(process)
    }
}

/// The parent of a `vfork` waits until the child no longer uses its memory; only its own death ends the wait early.
fn wait_for_vfork(child: &Arc<Process>) {
    while !child.vfork_done.load(Ordering::Relaxed) && !current().killed.load(Ordering::Relaxed) {
        sched::sleep_on(&child.released);
    }
}

/// Writes to memory that may not be the current one. An address that cannot be written is left alone, as Linux does.
fn write_in(memory: &Arc<Mutex<AddressSpace>>, address: u64, value: u32) {
    let bytes = value.to_ne_bytes();
    let mut space = memory.lock();
    if let Some(frame) = space.writable_frame(address, bytes.len()) {
        frame.write((address % crate::mm::PAGE) as usize, &bytes);
    }
}
