//! Timers of a process that end in signals: `setitimer(2)`, `alarm(2)` and POSIX timers (`timer_create(2)`).
//!
//! The CPU-time clocks of `setitimer` (`ITIMER_VIRTUAL`, `ITIMER_PROF`) run on wall time here.

use super::{clock, timers};
use crate::signal::{self, SignalInfo};
use crate::task::process;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use ampoule_kbase::{Errno, Result, TimerId, TimerTarget};

/// Timers a process may have.
const MAX_TIMERS: usize = 256;
/// The ids of `setitimer`'s three timers lie behind those of POSIX timers.
pub const ITIMER_BASE: u32 = 0x1000_0000;

/// What a timer does when it expires.
#[derive(Clone, Copy)]
pub struct Notification {
    /// The signal; 0 for none (`SIGEV_NONE`).
    pub signo: u32,
    /// `sigev_value`.
    pub value: u64,
    /// The thread that gets it (`SIGEV_THREAD_ID`), or 0 for the process.
    pub tid: u32,
    /// Whether the signal says that it is of a POSIX timer.
    pub posix: bool,
}

#[derive(Clone, Copy)]
struct Setting {
    notification: Notification,
    armed: Option<TimerId>,
    deadline: u64,
    interval: u64,
    overrun: u32,
    /// What the signal that the process took last said: this is what it is told again.
    delivered: u32,
}

/// The timers of one process.
#[derive(Default)]
pub struct ProcessTimers {
    timers: BTreeMap<u32, Setting>,
    next: u32,
}

struct Expiry {
    pid: u32,
    id: u32,
}

impl TimerTarget for Expiry {
    fn expired(&self, fired: TimerId) {
        let Some(process) = process::find(self.pid) else { return };
        let info = {
            let mut timers = process.timers.lock();
            let Some(setting) = timers.timers.get_mut(&self.id) else { return };
            if setting.armed != Some(fired) {
                return;
            }
            setting.armed = None;
            setting.advance(self.pid, self.id);
            setting.notification.signal(self.id, setting.overrun).map(|info| (info, setting.notification.tid))
        };
        match info {
            Some((info, 0)) => signal::send_to_process(&process, info),
            Some((info, tid)) => {
                if let Some(thread) = process::find_thread(tid) {
                    signal::send_to_thread(&thread, info);
                }
            }
            None => {}
        }
    }
}

impl Notification {
    fn signal(&self, id: u32, overrun: u32) -> Option<SignalInfo> {
        match self.signo {
            0 => None,
            signo if self.posix => Some(SignalInfo::timer(signo, id, overrun, self.value)),
            signo => Some(SignalInfo::kernel(signo)),
        }
    }
}

impl Setting {
    /// The next period, if there is one.
    fn advance(&mut self, pid: u32, id: u32) {
        if self.interval == 0 {
            self.deadline = 0;
            return;
        }
        let now = clock::monotonic_ns();
        let missed = now.saturating_sub(self.deadline) / self.interval;
        self.overrun = u32::try_from(missed).unwrap_or(u32::MAX);
        self.deadline += self.interval * (missed + 1);
        self.armed = Some(timers::arm(self.deadline, Arc::new(Expiry { pid, id })));
    }

    fn disarm(&mut self) {
        if let Some(timer) = self.armed.take() {
            timers::cancel(timer);
        }
        self.deadline = 0;
    }
}

impl ProcessTimers {
    /// A new POSIX timer.
    pub fn create(&mut self, notification: Option<Notification>, default_signal: u32) -> Result<u32> {
        if self.timers.len() >= MAX_TIMERS {
            return Err(Errno::EAGAIN);
        }
        while self.timers.contains_key(&self.next) {
            self.next = (self.next + 1) % ITIMER_BASE;
        }
        let id = self.next;
        self.next = (self.next + 1) % ITIMER_BASE;
        let notification = notification.unwrap_or(Notification {
            signo: default_signal,
            value: u64::from(id),
            tid: 0,
            posix: true,
        });
        self.timers.insert(
            id,
            Setting { notification, armed: None, deadline: 0, interval: 0, overrun: 0, delivered: 0 },
        );
        Ok(id)
    }

    /// Makes sure that one of `setitimer`'s timers exists.
    pub fn ensure(&mut self, id: u32, signo: u32) {
        let notification = Notification { signo, value: 0, tid: 0, posix: false };
        let setting =
            Setting { notification, armed: None, deadline: 0, interval: 0, overrun: 0, delivered: 0 };
        self.timers.entry(id).or_insert(setting);
    }

    /// Arms for a monotonic `deadline` (0 disarms), then each `interval`.
    pub fn set(&mut self, pid: u32, id: u32, deadline: u64, interval: u64) -> Result<()> {
        let setting = self.timers.get_mut(&id).ok_or(Errno::EINVAL)?;
        setting.disarm();
        setting.interval = interval;
        (setting.overrun, setting.delivered) = (0, 0);
        if deadline != 0 {
            setting.deadline = deadline;
            setting.armed = Some(timers::arm(deadline, Arc::new(Expiry { pid, id })));
        }
        Ok(())
    }

    /// Nanoseconds to the next expiry (0: disarmed), and the interval.
    pub fn get(&self, id: u32) -> Result<(u64, u64)> {
        let setting = self.timers.get(&id).ok_or(Errno::EINVAL)?;
        let left = match setting.deadline {
            0 => 0,
            deadline => deadline.saturating_sub(clock::monotonic_ns()).max(1),
        };
        Ok((left, setting.interval))
    }

    /// Expiries that were missed before the signal that was taken last.
    pub fn overrun(&self, id: u32) -> Result<u32> {
        self.timers.get(&id).map(|setting| setting.delivered).ok_or(Errno::EINVAL)
    }

    /// The process has taken a signal of a timer. Others may be pending already.
    pub fn taken(&mut self, id: u32, overrun: u32) {
        if let Some(setting) = self.timers.get_mut(&id) {
            setting.delivered = overrun;
        }
    }

    /// Deletes a POSIX timer.
    pub fn delete(&mut self, id: u32) -> Result<()> {
        let mut setting = self.timers.remove(&id).ok_or(Errno::EINVAL)?;
        setting.disarm();
        Ok(())
    }

    /// Deletes all, at the end of the process; POSIX timers at `execve`.
    pub fn cancel_all(&mut self) {
        self.timers.values_mut().for_each(Setting::disarm);
        self.timers.clear();
    }
}
