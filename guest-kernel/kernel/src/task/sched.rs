//! The scheduler: a round-robin run queue, time slices while several threads want the CPU, and sleeping.

use super::cpu_limit;
use super::thread::{State, Thread};
use crate::arch::trap::TrapFrame;
use crate::arch::{context, cpu};
use crate::mm::AddressSpace;
use crate::time::{clock, timers};
use crate::{interrupts, oom, signal};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use ampoule_kbase::{Errno, Events, Mutex, Result, TimerId, TimerTarget, WaitQueue};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How long a thread runs while others wait.
const SLICE_NS: u64 = 4_000_000;

static RUN_QUEUE: Mutex<VecDeque<Arc<Thread>>> = Mutex::new(VecDeque::new());
static CURRENT: Mutex<Option<Arc<Thread>>> = Mutex::new(None);
/// The thread that was left last, kept until its stack is no longer in use.
static PREVIOUS: Mutex<Option<Arc<Thread>>> = Mutex::new(None);
/// The address space in CR3, kept alive while it is.
static ACTIVE: Mutex<Option<Arc<Mutex<AddressSpace>>>> = Mutex::new(None);
static ACTIVE_ROOT: AtomicU64 = AtomicU64::new(0);
static RESCHEDULE: AtomicBool = AtomicBool::new(false);
static SLICE_END: AtomicU64 = AtomicU64::new(u64::MAX);
/// When the current thread got the CPU.
static RUN_SINCE: AtomicU64 = AtomicU64::new(0);
static IDLE_NS: AtomicU64 = AtomicU64::new(0);

/// The running thread. The reference must not be kept anywhere but on this thread's own kernel stack.
///
/// # Panics
/// Before the first thread runs.
pub fn current() -> &'static Thread {
    try_current().expect("a thread runs")
}

/// The running thread, if start-up is over.
pub fn try_current() -> Option<&'static Thread> {
    // SAFETY: CURRENT (then PREVIOUS) holds the thread until another one has arrived on its own stack, so code that runs on
    // this thread's stack never sees it dropped.
    CURRENT.lock().as_ref().map(|thread| unsafe { &*Arc::as_ptr(thread) })
}

/// The root page table in use.
pub fn active_root() -> u64 {
    ACTIVE_ROOT.load(Ordering::Relaxed)
}

/// Nanoseconds in which no thread ran.
pub fn idle_ns() -> u64 {
    IDLE_NS.load(Ordering::Relaxed)
}

/// Threads that want the CPU, the running one included.
pub fn runnable() -> usize {
    RUN_QUEUE.lock().len() + 1
}

/// Puts a new thread in the run queue.
pub fn enqueue(thread: Arc<Thread>) {
    RUN_QUEUE.lock().push_back(thread);
}

/// Makes a blocked thread runnable; for one that is about to block, the block returns at once.
pub(super) fn wake(thread: &Thread) {
    thread.woken.store(true, Ordering::Relaxed);
    if thread.state() == State::Blocked {
        thread.set_state(State::Runnable);
        enqueue(thread.handle());
    }
}

/// Lets a stopped thread go on.
pub fn resume(thread: &Thread) {
    if thread.state() == State::Stopped {
        thread.set_state(State::Runnable);
        enqueue(thread.handle());
    }
}

/// Runs the first thread. Never returns.
pub fn start(first: Arc<Thread>) -> ! {
    let mut boot_stack = 0;
    activate(&first);
    let stack = first.saved_stack();
    *CURRENT.lock() = Some(first);
    // SAFETY: a new thread's stack was prepared by `Thread::new`; the boot stack is left for good.
    unsafe { context::switch(&mut boot_stack, *stack) };
    unreachable!("the boot stack is never switched to");
}

/// What every thread does after it got the CPU.
fn arrived() {
    let previous = PREVIOUS.lock().take();
    drop(previous);
}

/// The first steps of a new thread, on its own stack: then it leaves for its program.
pub fn first_run() {
    arrived();
    let thread = current();
    // SAFETY: the thread's own frame, at the top of the stack that it runs on.
    before_user(unsafe { &mut *thread.frame() });
}

/// Prepares the processor for `next`: address space, stack, extended state, bases.
fn activate(next: &Arc<Thread>) {
    use_space(next.memory());
    cpu::set_kernel_stack(next.stack_top());
    // SAFETY: the area at the top of the thread's stack is valid state: initial, saved, or sanitized.
    unsafe { context::load_extended(next.extended()) };
    let (fs, gs) = next.bases();
    context::set_fs_base(fs);
    context::set_gs_base(gs);
    let now = clock::monotonic_ns();
    RUN_SINCE.store(now, Ordering::Relaxed);
    cpu_limit::begin(&next.process, now);
}

/// Switches to an address space, unless it is in use.
pub fn use_space(memory: Arc<Mutex<AddressSpace>>) {
    let root = memory.lock().root();
    if root != active_root() {
        // SAFETY: the root of a live address space, kept alive by ACTIVE.
        unsafe { cpu::load_page_table(root) };
        ACTIVE_ROOT.store(root, Ordering::Relaxed);
        let old = ACTIVE.lock().replace(memory);
        drop(old);
    }
}

fn account(thread: &Thread) {
    let now = clock::monotonic_ns();
    let since = RUN_SINCE.swap(now, Ordering::Relaxed);
    let spent = now.saturating_sub(since);
    thread.cpu_ns.fetch_add(spent, Ordering::Relaxed);
    thread.process.cpu_ns.fetch_add(spent, Ordering::Relaxed);
}

/// Brings the CPU time of the running thread up to date.
pub fn account_current() {
    if let Some(thread) = try_current() {
        account(thread);
    }
}

/// Gives the CPU to the next thread that wants it. Returns when it is this one's turn again.
pub fn schedule() {
    let this = current();
    account(this);
    assert!(this.stack_intact(), "kernel stack overflow in thread {}", this.tid());
    let next = pick();
    if core::ptr::eq(this, &*next) {
        RUN_SINCE.store(clock::monotonic_ns(), Ordering::Relaxed);
        return;
    }
    if this.state() != State::Dead {
        // SAFETY: the area at the top of this thread's stack is for this.
        unsafe { context::save_extended(this.extended()) };
        this.set_bases((context::fs_base(), context::gs_base()));
    }
    activate(&next);
    let (save, load) = (this.saved_stack(), next.saved_stack());
    let this = CURRENT.lock().replace(next);
    *PREVIOUS.lock() = this;
    // SAFETY: `load` was noted when the next thread was left, or prepared when it was made; PREVIOUS keeps this
    // thread's stack until somebody else has arrived on another one.
    unsafe { context::switch(save, *load) };
    arrived();
}

/// The next thread to run; sleeps until there is one.
fn pick() -> Arc<Thread> {
    loop {
        interrupts::handle_pending();
        let next = RUN_QUEUE.lock().pop_front();
        if let Some(next) = next {
            if next.state() == State::Runnable {
                return next;
            }
            continue;
        }
        timers::arm_for_idle();
        let from = clock::monotonic_ns();
        cpu::halt();
        IDLE_NS.fetch_add(clock::monotonic_ns() - from, Ordering::Relaxed);
    }
}

/// Lets others run, if there are any.
pub fn yield_now() {
    interrupts::handle_pending();
    if RUN_QUEUE.lock().is_empty() {
        return;
    }
    enqueue(current().handle());
    schedule();
}

/// Called when a time slice may be over.
pub fn tick(now: u64) {
    if now >= cpu_limit::due() {
        RESCHEDULE.store(true, Ordering::Relaxed);
    }
    if now >= SLICE_END.load(Ordering::Relaxed) {
        SLICE_END.store(u64::MAX, Ordering::Relaxed);
        RESCHEDULE.store(true, Ordering::Relaxed);
    }
}

/// When the running thread has to be interrupted at the latest, for the timer.
pub fn run_end() -> u64 {
    SLICE_END.load(Ordering::Relaxed).min(cpu_limit::due())
}

/// The last stop on the way back to the program: signals, ends, and the turn of others.
pub fn before_user(frame: &mut TrapFrame) {
    loop {
        let this = current();
        if this.attention.load(Ordering::Relaxed) {
            this.attention.store(false, Ordering::Relaxed);
            signal::deliver(this, frame);
            if this.killed.load(Ordering::Relaxed) {
                super::exit::end_current_thread();
            }
        }
        if RESCHEDULE.load(Ordering::Relaxed) {
            RESCHEDULE.store(false, Ordering::Relaxed);
            if clock::monotonic_ns() >= cpu_limit::due() {
                cpu_limit::check(&this.process);
            }
            yield_now();
            continue;
        }
        if !this.attention.load(Ordering::Relaxed) {
            break;
        }
    }
    if SLICE_END.load(Ordering::Relaxed) == u64::MAX && !RUN_QUEUE.lock().is_empty() {
        SLICE_END.store(clock::monotonic_ns() + SLICE_NS, Ordering::Relaxed);
    }
    timers::arm_for_run();
}

/// Why a wait ended without what was waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interruption {
    /// A signal has to be handled first.
    Signal,
    /// The deadline has passed.
    Timeout,
}

impl Interruption {
    /// The error of most system calls: restart after a signal, `timeout` at the deadline.
    pub fn errno(self, timeout: Errno) -> Errno {
        match self {
            Interruption::Signal => Errno::ERESTARTSYS,
            Interruption::Timeout => timeout,
        }
    }
}

struct Deadline(Arc<Thread>);

impl TimerTarget for Deadline {
    fn expired(&self, _id: TimerId) {
        wake(&self.0);
    }
}

/// Blocks until `attempt` gives a result, a signal is pending, or the monotonic `deadline` has passed. `attempt` runs
/// at first, and again after each wake-up of one of the queues.
pub fn block_on<R>(
    queues: &[&WaitQueue],
    deadline: Option<u64>,
    mut attempt: impl FnMut() -> Option<R>,
) -> core::result::Result<R, Interruption> {
    let this = current();
    this.woken.store(false, Ordering::Relaxed);
    if let Some(result) = attempt() {
        return Ok(result);
    }
    let ids: alloc::vec::Vec<_> = queues.iter().map(|queue| queue.add(this.handle())).collect();
    let timer = deadline.map(|at| timers::arm(at, Arc::new(Deadline(this.handle()))));
    let result = loop {
        if let Some(result) = attempt() {
            break Ok(result);
        }
        if signal::interrupts(this) {
            break Err(Interruption::Signal);
        }
        if deadline.is_some_and(|at| clock::monotonic_ns() >= at) {
            break Err(Interruption::Timeout);
        }
        wait(this);
        if oom::gate().is_break() {
            break Err(Interruption::Signal);
        }
    };
    for (queue, id) in queues.iter().zip(ids) {
        queue.remove(id);
    }
    if let Some(timer) = timer {
        timers::cancel(timer);
    }
    result
}

/// Sleeps until woken, by anybody.
fn wait(this: &Thread) {
    if this.woken.swap(false, Ordering::Relaxed) {
        return;
    }
    this.set_state(State::Blocked);
    schedule();
    this.woken.store(false, Ordering::Relaxed);
}

/// Blocks for one wake-up of `queue` or any other reason to look again: for waits whose condition the caller checks.
pub fn sleep_on(queue: &WaitQueue) {
    let this = current();
    let id = queue.add(this.handle());
    wait(this);
    queue.remove(id);
}

/// Stops the current thread (job control) until [`resume`].
pub fn stop_current() {
    let this = current();
    this.set_state(State::Stopped);
    schedule();
}

/// Wakes a thread that waits, so that it looks at its signals.
pub fn nudge(thread: &Thread) {
    thread.attention.store(true, Ordering::Relaxed);
    if thread.state() == State::Blocked {
        wake(thread);
    }
}

/// Ends the current thread's life on the CPU: its stack goes once another thread has arrived.
pub fn leave() -> ! {
    current().set_state(State::Dead);
    schedule();
    unreachable!("a dead thread does not run");
}

/// Repeats a non-blocking operation until it does something else than ask to come again.
pub fn retry<R>(
    queue: Option<&WaitQueue>,
    deadline: Option<u64>,
    timeout: Errno,
    mut operation: impl FnMut() -> Result<R>,
) -> Result<R> {
    let Some(queue) = queue else { return operation() };
    let attempt = || match operation() {
        Err(Errno::EAGAIN) => None,
        other => Some(other),
    };
    match block_on(&[queue], deadline, attempt) {
        Ok(result) => result,
        Err(interruption) => Err(interruption.errno(timeout)),
    }
}

/// The events that all waits are interested in.
pub const ANY: Events = Events::all();
