//! Signals to this process, as something to poll.

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::{AsFd, BorrowedFd};

/// Signals that are passed on to the job; those of [`ENDING`] end the sandbox when they come a second time.
const FORWARDED: [Signal; 6] =
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2];
const ENDING: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// The signals that this process got since it began to block them.
#[derive(Debug)]
pub struct Signals(SignalFd);

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// End, politely at first.
    End(u8),
    /// Pass it on.
    Pass(u8),
    /// Look at the terminal's size.
    Resize,
}

impl Signals {
    /// Blocks the signals for the calling thread, and so for threads and for nothing else that it starts later: a
    /// sandbox's process is started with none blocked.
    pub fn block() -> std::io::Result<Self> {
        let mut set = SigSet::empty();
        for signal in FORWARDED.into_iter().chain([Signal::SIGWINCH]) {
            set.add(signal);
        }
        set.thread_block()?;
        Ok(Self(SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?))
    }

    /// The next signal, if one came.
    pub(super) fn next(&mut self) -> Option<Wish> {
        let info = self.0.read_signal().ok().flatten()?;
        let signal = Signal::try_from(i32::try_from(info.ssi_signo).ok()?).ok()?;
        let signo = u8::try_from(info.ssi_signo).ok()?;
        Some(match signal {
            Signal::SIGWINCH => Wish::Resize,
            signal if ENDING.contains(&signal) => Wish::End(signo),
            _ => Wish::Pass(signo),
        })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
