//! Signals (`signal(7)`): sending, what is pending, what is done about it, and the frames that handlers run on.

mod actions;
mod deliver;
mod frame;
mod info;
mod send;

pub use actions::{Action, Actions, ignores_children, wants_child_stops};
pub use deliver::{deliver, interrupts, take_shared};
pub use frame::return_from_handler;
pub use info::{SI_TIMER, SignalInfo};
pub use send::{force, send_to_group, send_to_process, send_to_thread, wake_for};

use alloc::vec::Vec;
use ampoule_kbase::frames;

/// Signals are numbered from 1 to 64.
pub const COUNT: u32 = 64;
/// From here on signals queue instead of merging.
pub const FIRST_REALTIME: u32 = 32;
/// Queued signals of a process or thread, at most.
pub const QUEUE_LIMIT: usize = 1024;

/// A set of signals: bit n - 1 is signal n, as in `sigset_t`.
pub type SignalSet = u64;

/// The set with one signal.
pub const fn bit(signo: u32) -> SignalSet {
    1 << (signo - 1)
}

/// Signals that can be neither blocked, caught nor ignored.
pub const UNBLOCKABLE: SignalSet =
    bit(linux_raw_sys::general::SIGKILL) | bit(linux_raw_sys::general::SIGSTOP);

/// Signals that wait to be delivered.
#[derive(Default)]
pub struct Pending {
    set: SignalSet,
    queue: Vec<SignalInfo>,
}

impl Pending {
    /// The set.
    pub fn set(&self) -> SignalSet {
        self.set
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Adds a signal; standard ones merge with one that is pending already. False: the queue is full, or there is no memory for
    /// a longer one. Real-time signals leave room for each standard one, so that those are not lost.
    pub fn add(&mut self, info: SignalInfo) -> bool {
        if self.set & bit(info.signo) != 0 && info.signo < FIRST_REALTIME {
            return true;
        }
        let is_standard = info.signo < FIRST_REALTIME;
        let needed = if is_standard { 1 } else { FIRST_REALTIME as usize };
        let full = !is_standard && self.queue.len() >= QUEUE_LIMIT;
        if full || frames::make_room(&mut self.queue, needed).is_err() {
            return false;
        }
        self.set |= bit(info.signo);
        self.queue.push(info);
        true
    }

    /// Takes the first signal of `wanted`: synchronous faults first, then the lowest number.
    pub fn take(&mut self, wanted: SignalSet) -> Option<SignalInfo> {
        use linux_raw_sys::general::{SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP};
        const FAULTS: SignalSet =
            bit(SIGSEGV) | bit(SIGBUS) | bit(SIGILL) | bit(SIGTRAP) | bit(SIGFPE) | bit(SIGSYS);
        let ready = self.set & wanted;
        if ready == 0 {
            return None;
        }
        let first = if ready & FAULTS != 0 { ready & FAULTS } else { ready };
        let signo = first.trailing_zeros() + 1;
        let at = self.queue.iter().position(|info| info.signo == signo)?;
        let info = self.queue.remove(at);
        if !self.queue.iter().any(|info| info.signo == signo) {
            self.set &= !bit(signo);
        }
        Some(info)
    }

    /// Drops all signals of a set.
    pub fn discard(&mut self, set: SignalSet) {
        if self.set & set != 0 {
            self.set &= !set;
            self.queue.retain(|info| set & bit(info.signo) == 0);
        }
    }
}

/// The alternate signal stack (`sigaltstack(2)`).
#[derive(Clone, Copy, Default)]
pub struct AlternateStack {
    /// Lowest address.
    pub base: u64,
    /// Bytes; 0 is none.
    pub size: u64,
    /// `SS_AUTODISARM`, if set.
    pub flags: u32,
}

impl AlternateStack {
    /// Whether a stack pointer is on it.
    pub fn holds(&self, stack_pointer: u64) -> bool {
        self.size > 0 && stack_pointer > self.base && stack_pointer - self.base <= self.size
    }
}

/// The signal state of a thread.
#[derive(Default)]
pub struct ThreadSignals {
    /// Blocked signals.
    pub mask: SignalSet,
    /// The mask to go back to after `sigsuspend`, `ppoll` and the like, once the handler's frame has been built.
    pub restore_mask: Option<SignalSet>,
    /// Signals to this thread.
    pub pending: Pending,
    /// The alternate stack.
    pub alternate: AlternateStack,
    /// Signals that `sigtimedwait` waits for, although they are blocked.
    pub waited_for: SignalSet,
}

impl ThreadSignals {
    /// What a new thread of the same program starts with.
    pub fn for_new_thread(&self, keep_stack: bool) -> Self {
        let alternate = if keep_stack { self.alternate } else { AlternateStack::default() };
        Self { mask: self.mask, alternate, ..Self::default() }
    }
}
