//! What `poll`, `select` and `epoll_wait` have in common: deadlines, waiting for several files, the signal mask that
//! counts meanwhile.

use crate::mm::user;
use crate::signal::{self, UNBLOCKABLE};
use crate::task::sched::Interruption;
use crate::task::{current, sched};
use crate::time::{SECOND, clock};
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Result, WaitQueue};

/// How long a call waits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Not at all.
    None,
    /// Until a monotonic time.
    Until(u64),
    /// For ever.
    Endless,
}

impl Patience {
    /// For some nanoseconds.
    pub fn for_ns(ns: u64) -> Self {
        if ns == 0 { Self::None } else { Self::Until(clock::monotonic_ns().saturating_add(ns)) }
    }

    /// From an `int` of milliseconds, negative for ever.
    pub fn for_ms(ms: u64) -> Self {
        match u32::try_from(ms as i32) {
            Ok(ms) => Self::for_ns(u64::from(ms) * 1_000_000),
            Err(_) => Self::Endless,
        }
    }

    /// From a `struct timespec`; null for ever.
    pub fn from_timespec(address: u64) -> Result<Self> {
        if address == 0 { Ok(Self::Endless) } else { super::time::read_timespec(address).map(Self::for_ns) }
    }

    /// From a `struct timeval`, where microseconds may exceed a second; null for ever.
    pub fn from_timeval(address: u64) -> Result<Self> {
        if address == 0 {
            return Ok(Self::Endless);
        }
        let [seconds, micros] = user::read::<[i64; 2]>(address)?;
        let (seconds, micros) = (u64::try_from(seconds), u64::try_from(micros));
        let (seconds, micros) = seconds.ok().zip(micros.ok()).ok_or(Errno::EINVAL)?;
        Ok(Self::for_ns(seconds.saturating_mul(SECOND).saturating_add(micros.saturating_mul(1000))))
    }

    /// What is left of it in nanoseconds, where it had a limit.
    pub fn left(self) -> Option<u64> {
        match self {
            Self::Until(deadline) => Some(deadline.saturating_sub(clock::monotonic_ns())),
            Self::None | Self::Endless => None,
        }
    }

    /// Tells the program how much of its `struct timespec` is left. As on Linux, one that is in read-only memory stays
    /// as it is.
    pub fn write_timespec(self, address: u64) {
        if let Some(left) = self.left() {
            let _ = user::write_if(address, [left / SECOND, left % SECOND]);
        }
    }

    /// The same for a `struct timeval`.
    pub fn write_timeval(self, address: u64) {
        if let Some(left) = self.left() {
            let _ = user::write_if(address, [left / SECOND, left % SECOND / 1000]);
        }
    }
}

/// Waits until `count` counts something, and returns it; 0 when patience is at its end. `queues` are asked for only if
/// there is something to wait for.
pub fn wait<'a>(
    patience: Patience,
    queues: impl FnOnce() -> Vec<&'a WaitQueue>,
    mut count: impl FnMut() -> usize,
) -> Result<usize> {
    let ready = count();
    if ready > 0 {
        return Ok(ready);
    }
    let deadline = match patience {
        Patience::None if signal::interrupts(current()) => return Err(Errno::ERESTARTNOHAND),
        Patience::None => return Ok(0),
        Patience::Until(deadline) => Some(deadline),
        Patience::Endless => None,
    };
    match sched::block_on(&queues(), deadline, || Some(count()).filter(|ready| *ready > 0)) {
        Ok(ready) => Ok(ready),
        Err(Interruption::Timeout) => Ok(0),
        Err(Interruption::Signal) => Err(Errno::ERESTARTNOHAND),
    }
}

/// Carries out a waiting call under the signal mask at `address`, if that is not null. When a signal ends the wait, the
/// mask from before comes back only after its handler was entered.
pub fn under_mask<R>(address: u64, size: u64, wait: impl FnOnce() -> Result<R>) -> Result<R> {
    if address == 0 {
        return wait();
    }
    if size != 8 {
        return Err(Errno::EINVAL);
    }
    let mask = user::read::<u64>(address)? & !UNBLOCKABLE;
    let this = current();
    let before = core::mem::replace(&mut this.signals.lock().mask, mask);
    let result = wait();
    let mut signals = this.signals.lock();
    match result {
        Err(Errno::ERESTARTNOHAND | Errno::EINTR) => signals.restore_mask = Some(before),
        _ => signals.mask = before,
    }
    drop(signals);
    signal::wake_for(this);
    result
}
