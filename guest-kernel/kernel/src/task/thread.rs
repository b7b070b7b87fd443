//! A thread of a program: its kernel stack, its place in the scheduler, its own signal state.

use super::Process;
use super::seccomp::Seccomp;
use crate::arch::context::{self, ExtendedState, XSAVE_ROOM};
use crate::arch::trap::{self, TrapFrame};
use crate::mm::AddressSpace;
use crate::signal::ThreadSignals;
use alloc::sync::{Arc, Weak};
use ampoule_kbase::{Events, Mutex, PAGE_SIZE, Result, Waiter, frames};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

/// Kernel stacks are blocks of 2^2 pages. The extended state lies at their top, the trap frame below it.
///
/// ```text
///   block + 16 KiB  | extended state | trap frame | ... the stack grows down ... | canary
/// ```
const STACK_ORDER: usize = 2;
const STACK_SIZE: usize = PAGE_SIZE << STACK_ORDER;
/// At the bottom of each stack: a stack that grew over it is found out at the next switch.
const CANARY: u64 = 0x616d_706f_756c_6521;

/// What a thread is doing, for the scheduler and `/proc`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum State {
    /// On the CPU or in the run queue.
    Runnable = 0,
    /// Waits for something.
    Blocked = 1,
    /// Stopped by a signal.
    Stopped = 2,
    /// Has ended.
    Dead = 3,
}

/// A thread.
pub struct Thread {
    /// Thread id: changes when a thread other than the first executes a program.
    tid: AtomicU32,
    /// The process it belongs to.
    pub process: Arc<Process>,
    /// Signal mask, pending signals, alternate stack.
    pub signals: Mutex<ThreadSignals>,
    /// Which system calls it may make.
    pub seccomp: Mutex<Seccomp>,
    /// Quick check: a signal may have to be delivered, or the thread has to end.
    pub attention: AtomicBool,
    /// The thread has to end: set by `exit_group` or a fatal signal in another thread.
    pub killed: AtomicBool,
    /// Where `CLONE_CHILD_CLEARTID` wants a zero at the end.
    pub clear_child_tid: AtomicU64,
    /// `set_robust_list`: head and length.
    pub robust_list: AtomicU64,
    /// CPU time used, in nanoseconds.
    pub cpu_ns: AtomicU64,
    /// When a sleep ends that was interrupted and begins again without a handler in between; 0: there is none.
    pub sleep_deadline: AtomicU64,
    /// Whether the last wait ended by a wake-up.
    pub(super) woken: AtomicBool,
    state: AtomicU8,
    stack: u64,
    saved_stack: UnsafeCell<u64>,
    saved_bases: Mutex<(u64, u64)>,
    this: Weak<Thread>,
}

// SAFETY: `saved_stack` is touched only by the scheduler, when it switches to or from this thread.
unsafe impl Sync for Thread {}
// SAFETY: as above; the stack is owned.
unsafe impl Send for Thread {}

impl Thread {
    /// A new thread that will start as `frame` says, with the given extended state (or that of a fresh program).
    pub fn new(
        tid: u32,
        process: Arc<Process>,
        frame: &TrapFrame,
        extended: Option<&ExtendedState>,
        bases: (u64, u64),
        signals: ThreadSignals,
    ) -> Result<Arc<Self>> {
        let block = frames::allocate_block_for_program(STACK_ORDER)?;
        let bottom = frames::direct(block) as u64;
        let top = bottom + STACK_SIZE as u64 - XSAVE_ROOM as u64;
        // SAFETY: the block was just allocated, is aligned to its size, and all three places lie in it.
        let saved = unsafe {
            (bottom as *mut u64).write(CANARY);
            let area = &mut *(top as *mut ExtendedState);
            match extended {
                Some(state) => area.0.copy_from_slice(&state.0),
                None => context::initial_extended(area),
            }
            let at = trap::frame_address(top);
            (at as *mut TrapFrame).write(frame.clone());
            context::prepare_stack(at)
        };
        Ok(Arc::new_cyclic(|this| Self {
            tid: AtomicU32::new(tid),
            process,
            signals: Mutex::new(signals),
            seccomp: Mutex::default(),
            attention: AtomicBool::new(false),
            killed: AtomicBool::new(false),
            clear_child_tid: AtomicU64::new(0),
            robust_list: AtomicU64::new(0),
            cpu_ns: AtomicU64::new(0),
            sleep_deadline: AtomicU64::new(0),
            woken: AtomicBool::new(false),
            state: AtomicU8::new(State::Runnable as u8),
            stack: bottom,
            saved_stack: UnsafeCell::new(saved),
            saved_bases: Mutex::new(bases),
            this: this.clone(),
        }))
    }

    /// Thread id.
    #[inline]
    pub fn tid(&self) -> u32 {
        self.tid.load(Ordering::Relaxed)
    }

    /// Makes it the first thread of its process, whose others have ended.
    pub fn become_first(self: &Arc<Self>) {
        super::process::unregister_thread(self.tid());
        self.tid.store(self.process.pid, Ordering::Relaxed);
        super::process::register_thread(self);
    }

    /// The memory of its program.
    pub fn memory(&self) -> Arc<Mutex<AddressSpace>> {
        self.process.memory.lock().clone()
    }

    /// What it is doing.
    pub fn state(&self) -> State {
        match self.state.load(Ordering::Relaxed) {
            0 => State::Runnable,
            1 => State::Blocked,
            2 => State::Stopped,
            _ => State::Dead,
        }
    }

    pub(super) fn set_state(&self, state: State) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    /// A counted handle to itself.
    pub fn handle(&self) -> Arc<Thread> {
        self.this.upgrade().expect("a thread that is used is referenced")
    }

    /// The top of the kernel stack, where the ways in start.
    pub(super) fn stack_top(&self) -> u64 {
        self.stack + STACK_SIZE as u64 - XSAVE_ROOM as u64
    }

    pub(super) fn extended(&self) -> *mut ExtendedState {
        self.stack_top() as *mut ExtendedState
    }

    /// The program's registers, for a thread that is not running or the current one inside a system call.
    pub fn frame(&self) -> *mut TrapFrame {
        trap::frame_address(self.stack_top()) as *mut TrapFrame
    }

    pub(super) fn saved_stack(&self) -> *mut u64 {
        self.saved_stack.get()
    }

    /// FS and GS base while it does not run.
    pub(super) fn bases(&self) -> (u64, u64) {
        *self.saved_bases.lock()
    }

    pub(super) fn set_bases(&self, bases: (u64, u64)) {
        *self.saved_bases.lock() = bases;
    }

    /// Whether the stack stayed in its bounds.
    pub(super) fn stack_intact(&self) -> bool {
        // SAFETY: the canary is the lowest word of the stack block, which lives as long as the thread.
        unsafe { (self.stack as *const u64).read() == CANARY }
    }
}

impl Waiter for Thread {
    fn wake(&self, _events: Events) {
        super::sched::wake(self);
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // SAFETY: the block came from `allocate_block` in `new`; a dropped thread is neither running nor queued.
        unsafe { frames::free_block(self.stack - crate::mm::DIRECT_MAP, STACK_ORDER) };
    }
}
