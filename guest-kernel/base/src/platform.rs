//! What the lower crates ask of the kernel proper.

use crate::{Once, WaitQueue};
use alloc::sync::Arc;
use core::ops::Range;

/// Names an armed timer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TimerId(pub u64);

/// What happens when a timer's time has come.
pub trait TimerTarget: Send + Sync {
    /// Called once, at or after the deadline, outside of any lock. Must not block.
    fn expired(&self, id: TimerId);
}

/// What becomes of a program's own copies of a file's pages when the pages are gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Copies {
    /// They stay: the file has got a hole.
    Stay,
    /// They are gone, too: the file ends before them.
    Too,
}

/// Identity and rights of the calling thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "credentials(7)")]
pub struct Caller {
    pub pid: u32,
    pub tid: u32,
    pub pgid: u32,
    pub sid: u32,
    pub uid: u32,
    pub gid: u32,
    pub fsuid: u32,
    pub fsgid: u32,
}

/// The kernel, as the file systems, sockets and drivers see it.
pub trait Platform: Sync {
    /// `CLOCK_MONOTONIC` in nanoseconds.
    fn monotonic_ns(&self) -> u64;
    /// `CLOCK_REALTIME` in nanoseconds since 1970.
    fn realtime_ns(&self) -> u64;
    /// Arms a timer at a monotonic time.
    fn timer_arm(&self, deadline_ns: u64, target: Arc<dyn TimerTarget>) -> TimerId;
    /// Disarms a timer; one that has expired is ignored.
    fn timer_cancel(&self, id: TimerId);
    /// Who is calling.
    fn caller(&self) -> Caller;
    /// Whether the caller is in (supplementary or own) group `gid`.
    fn caller_in_group(&self, gid: u32) -> bool;
    /// Sends a signal to every process of a group (a terminal's `SIGINT`, `SIGWINCH`, `SIGTTIN` ...).
    fn signal_group(&self, pgid: u32, signo: u32);
    /// Sends a signal to one process (a terminal that hangs up, to its session's leader). Without this method the leader's
    /// group gets it, which has the same number.
    fn signal_process(&self, pid: u32, signo: u32) {
        self.signal_group(pid, signo);
    }
    /// The session of a process group; none if there is no such group. (For `tcsetpgrp`; without this method, every group
    /// is of the caller's session.)
    fn group_session(&self, pgid: u32) -> Option<u32> {
        let _ = pgid;
        Some(self.caller().sid)
    }
    /// Sends a signal to the caller (`SIGPIPE`).
    fn signal_caller(&self, signo: u32);
    /// Whether the caller blocks or ignores a signal (decides `EIO` or a stop for background terminal I/O).
    fn caller_ignores(&self, signo: u32) -> bool;
    /// Whether a process group has a member whose parent is in the same session but in another group.
    fn group_is_orphaned(&self, pgid: u32) -> bool;
    /// The caller's signals, for `signalfd` and interruptible waits: woken whenever one becomes pending.
    fn caller_signals(&self) -> Option<Arc<WaitQueue>>;
    /// Fills a buffer from the kernel's random generator.
    fn random(&self, buffer: &mut [u8]);
    /// Pages of a file are no longer what they were: the file was cut off before them, or has a hole there. Programs that
    /// have mapped them must find out at their next access.
    fn pages_gone(&self, device: u64, inode: u64, pages: Range<u64>, copies: Copies) {
        let _ = (device, inode, pages, copies);
    }
    /// The number of pages of RAM: total, free.
    fn pages(&self) -> (u64, u64);
    /// Appends bytes to the kernel log as they are (`/dev/console`).
    fn log_bytes(&self, bytes: &[u8]);
    /// Appends a line to the kernel log.
    fn log(&self, text: core::fmt::Arguments<'_>);
}

static PLATFORM: Once<&'static dyn Platform> = Once::new();

/// Installs the kernel; the first call wins.
pub fn install(platform: &'static dyn Platform) -> bool {
    PLATFORM.set(platform)
}

/// The kernel.
///
/// # Panics
/// Before [`install`]: an error in the order of start-up.
#[inline]
pub fn platform() -> &'static dyn Platform {
    *PLATFORM.get().expect("the platform is installed first")
}
