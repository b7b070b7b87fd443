//! `timerfd_create(2)`: a timer to wait for.

use crate::anon::{self, Device};
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, File, Result, Stat};
use core::any::Any;

/// What `struct itimerspec` says, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimerSetting {
    /// Time between expirations; 0: only once.
    pub interval_ns: u64,
    /// Time to (or, with `TFD_TIMER_ABSTIME`, of) the first one; 0: disarmed.
    pub value_ns: u64,
}

/// A timerfd.
pub struct TimerFd {
    ino: u64,
}

impl TimerFd {
    /// A disarmed timer on `clock` (`CLOCK_*`); `EINVAL` for a clock that timers cannot have.
    pub fn new(_clock: u32) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { ino: anon::next_ino() }))
    }

    /// `timerfd_settime`: flags are `TFD_TIMER_*`; returns what was set before, as `get` would.
    pub fn set(&self, _flags: u32, _setting: TimerSetting) -> Result<TimerSetting> {
        Err(Errno::ENOSYS)
    }

    /// `timerfd_gettime`: the time that is left, relative.
    pub fn get(&self) -> TimerSetting {
        TimerSetting::default()
    }
}

impl File for TimerFd {
    fn stat(&self) -> Result<Stat> {
        Ok(anon::stat(Device::Anonymous, self.ino, None, 0o600))
    }

    fn proc_name(&self) -> Vec<u8> {
        b"anon_inode:[timerfd]".to_vec()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
