//! What a process does about each signal (`sigaction(2)`).

use super::{COUNT, SignalSet, bit};
use crate::task::Process;
use linux_raw_sys::general::{SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH};

const SIG_DFL: u64 = 0;
const SIG_IGN: u64 = 1;
const SA_NOCLDSTOP: u64 = 1;
const SA_NOCLDWAIT: u64 = 2;

/// `struct kernel_sigaction`: handler, flags, restorer, mask.
#[derive(Clone, Copy, Default)]
pub struct Action {
    /// Address of the handler, or `SIG_DFL`, `SIG_IGN`.
    pub handler: u64,
    /// `SA_*`.
    pub flags: u64,
    /// Where handlers return to.
    pub restorer: u64,
    /// Signals blocked while the handler runs.
    pub mask: SignalSet,
}

/// What a signal does where no handler is set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DefaultAction {
    /// Nothing.
    Ignore,
    /// Ends the process.
    Terminate,
    /// Ends the process; a core dump is noted, but none is written.
    Core,
    /// Stops the process.
    Stop,
    /// Lets it go on.
    Continue,
}

/// The default action of a signal: `signal(7)`.
pub fn default_action(signo: u32) -> DefaultAction {
    const CORE: SignalSet =
        bit(3) | bit(4) | bit(5) | bit(6) | bit(7) | bit(8) | bit(11) | bit(24) | bit(25) | bit(31);
    const IGNORE: SignalSet = bit(SIGCHLD) | bit(SIGURG) | bit(SIGWINCH);
    const STOP: SignalSet = bit(SIGSTOP) | bit(SIGTSTP) | bit(SIGTTIN) | bit(SIGTTOU);
    match bit(signo) {
        set if set & CORE != 0 => DefaultAction::Core,
        set if set & IGNORE != 0 => DefaultAction::Ignore,
        set if set & STOP != 0 => DefaultAction::Stop,
        _ if signo == SIGCONT => DefaultAction::Continue,
        _ => DefaultAction::Terminate,
    }
}

impl Action {
    /// Whether the signal is dropped.
    pub fn ignores(&self, signo: u32) -> bool {
        self.handler == SIG_IGN || (self.handler == SIG_DFL && default_action(signo) == DefaultAction::Ignore)
    }

    /// Whether a handler is to run.
    pub fn has_handler(&self) -> bool {
        self.handler > SIG_IGN
    }

    /// Whether it is set to be ignored explicitly.
    pub fn is_ignore(&self) -> bool {
        self.handler == SIG_IGN
    }
}

/// The actions of a process.
#[derive(Clone)]
pub struct Actions([Action; COUNT as usize]);

impl Default for Actions {
    fn default() -> Self {
        Self([Action::default(); COUNT as usize])
    }
}

impl Actions {
    /// The action of a signal (1 to 64).
    pub fn get(&self, signo: u32) -> Action {
        self.0[signo as usize - 1]
    }

    /// Sets it.
    pub fn set(&mut self, signo: u32, action: Action) {
        self.0[signo as usize - 1] = action;
    }

    /// After `execve` only what is ignored stays.
    pub fn executed(&mut self) {
        for action in &mut self.0 {
            let handler = if action.handler == SIG_IGN { SIG_IGN } else { SIG_DFL };
            *action = Action { handler, ..Action::default() };
        }
    }

    /// The signals that are ignored, and those that have handlers, for `/proc/PID/status`.
    pub fn sets(&self) -> (SignalSet, SignalSet) {
        let mut sets = (0, 0);
        for signo in 1..=COUNT {
            let action = self.get(signo);
            if action.handler == SIG_IGN {
                sets.0 |= bit(signo);
            } else if action.has_handler() {
                sets.1 |= bit(signo);
            }
        }
        sets
    }
}

/// Whether ended children of a process vanish without being waited for.
pub fn ignores_children(parent: &Process) -> bool {
    let actions = parent.actions.lock().clone();
    let action = actions.lock().get(SIGCHLD);
    action.is_ignore() || action.flags & SA_NOCLDWAIT != 0
}

/// Whether a process wants `SIGCHLD` when a child stops or goes on.
pub fn wants_child_stops(parent: &Process) -> bool {
    let actions = parent.actions.lock().clone();
    let action = actions.lock().get(SIGCHLD);
    action.flags & SA_NOCLDSTOP == 0
}
