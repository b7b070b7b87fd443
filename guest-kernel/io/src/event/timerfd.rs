//! `timerfd_create(2)`: a timer to wait for.
//!
//! An expired periodic timer is not armed again before somebody looks at it; the expirations in between are computed
//! then. So a timer that nobody reads costs nothing.

use crate::anon::{self, Device};
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{
    Errno, Events, File, Mutex, Result, Sink, Stat, TimerId, TimerTarget, WaitQueue, platform,
};
use core::any::Any;
use linux_raw_sys::general::{
    CLOCK_BOOTTIME, CLOCK_BOOTTIME_ALARM, CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_REALTIME_ALARM,
    TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET,
};

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
    /// Its clock is the time of day, not the time since boot.
    realtime: bool,
    timer: Arc<Timer>,
}

/// What the platform's timer wakes.
struct Timer {
    state: Mutex<State>,
    queue: WaitQueue,
}

#[derive(Default)]
struct State {
    interval: u64,
    /// The monotonic time of the next expiration; none: disarmed, or expired for good. Before boot: negative.
    next: Option<i64>,
    /// `next` has passed and was counted.
    expired: bool,
    /// Expirations that nobody has read.
    ticks: u64,
    armed: Option<TimerId>,
}

fn now() -> i64 {
    i64::try_from(platform().monotonic_ns()).unwrap_or(i64::MAX)
}

impl State {
    /// Counts the expiration if its time has come; true if so.
    fn expire(&mut self) -> bool {
        let due = !self.expired && self.next.is_some_and(|next| next <= now());
        if due {
            self.expired = true;
            self.ticks = self.ticks.saturating_add(1);
        }
        due
    }

    /// Counts what a periodic timer has missed since it expired, and sets its next time.
    fn catch_up(&mut self) {
        let (Some(next), true) = (self.next, self.expired) else { return };
        let late = now().saturating_sub(next).max(0) as u64;
        self.next = late.checked_div(self.interval).map(|missed| {
            self.ticks = self.ticks.saturating_add(missed);
            let step = self.interval.saturating_mul(missed + 1);
            next.saturating_add_unsigned(step)
        });
        self.expired = false;
    }

    /// The time that is left, and the interval.
    fn setting(&self) -> TimerSetting {
        let left = self.next.map_or(0, |next| next.saturating_sub(now()).max(1) as u64);
        TimerSetting { interval_ns: self.interval, value_ns: left }
    }
}

impl Timer {
    /// Makes the platform's timer agree with the state.
    fn rearm(self: &Arc<Self>, state: &mut State) {
        if let Some(id) = state.armed.take() {
            platform().timer_cancel(id);
        }
        if let (Some(next), false) = (state.next, state.expired) {
            state.armed = Some(platform().timer_arm(next.max(0) as u64, self.clone()));
        }
    }
}

impl TimerTarget for Timer {
    fn expired(&self, id: TimerId) {
        let woke = {
            let mut state = self.state.lock();
            if state.armed != Some(id) {
                return;
            }
            state.armed = None;
            state.expire() || state.ticks > 0
        };
        if woke {
            self.queue.wake(Events::IN | Events::RDNORM);
        }
    }
}

impl TimerFd {
    /// A disarmed timer on `clock` (`CLOCK_*`); `EINVAL` for a clock that timers cannot have. The clocks that wake a
    /// suspended machine are like those that do not, since this one is never suspended.
    pub fn new(clock: u32) -> Result<Arc<Self>> {
        let realtime = match clock {
            CLOCK_REALTIME | CLOCK_REALTIME_ALARM => true,
            CLOCK_MONOTONIC | CLOCK_BOOTTIME | CLOCK_BOOTTIME_ALARM => false,
            _ => return Err(Errno::EINVAL),
        };
        let timer = Arc::new(Timer { state: Mutex::new(State::default()), queue: WaitQueue::new() });
        Ok(Arc::new(Self { ino: anon::next_ino(), realtime, timer }))
    }

    /// `timerfd_settime`: flags are `TFD_TIMER_*`; returns what was set before, as [`get`](Self::get) would.
    /// `TFD_TIMER_CANCEL_ON_SET` has no effect, since the time of day is never set back here.
    pub fn set(&self, flags: u32, setting: TimerSetting) -> Result<TimerSetting> {
        if flags & !(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET) != 0 {
            return Err(Errno::EINVAL);
        }
        let value = i64::try_from(setting.value_ns).unwrap_or(i64::MAX);
        let next = match (value, flags & TFD_TIMER_ABSTIME != 0) {
            (0, _) => None,
            (value, false) => Some(now().saturating_add(value)),
            (value, true) => Some(value.saturating_sub(self.clock_offset())),
        };
        let old = self.get();
        let mut state = self.timer.state.lock();
        let armed = state.armed.take();
        *state = State { interval: setting.interval_ns, next, armed, ..State::default() };
        self.timer.rearm(&mut state);
        Ok(old)
    }

    /// How far this timer's clock is ahead of the monotonic one.
    fn clock_offset(&self) -> i64 {
        if !self.realtime {
            return 0;
        }
        i64::try_from(platform().realtime_ns()).unwrap_or(i64::MAX).saturating_sub(now())
    }

    /// `timerfd_gettime`: the time that is left, relative.
    pub fn get(&self) -> TimerSetting {
        let mut state = self.timer.state.lock();
        state.expire();
        if state.expired {
            state.catch_up();
            self.timer.rearm(&mut state);
        }
        state.setting()
    }
}

impl File for TimerFd {
    fn read(&self, _offset: u64, sink: &mut dyn Sink) -> Result<usize> {
        if sink.remaining() < 8 {
            return Err(Errno::EINVAL);
        }
        let ticks = {
            let mut state = self.timer.state.lock();
            state.expire();
            if state.expired {
                state.catch_up();
                self.timer.rearm(&mut state);
            }
            core::mem::take(&mut state.ticks)
        };
        if ticks == 0 {
            return Err(Errno::EAGAIN);
        }
        sink.put(&ticks.to_ne_bytes())?;
        Ok(8)
    }

    fn poll(&self) -> Events {
        let mut state = self.timer.state.lock();
        state.expire();
        if state.ticks > 0 { Events::IN } else { Events::empty() }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.timer.queue)
    }

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

impl Drop for TimerFd {
    fn drop(&mut self) {
        let armed = self.timer.state.lock().armed.take();
        armed.into_iter().for_each(|id| platform().timer_cancel(id));
    }
}
