//! The status at the end of the process.

use crate::clock::monotonic_ns;
use crate::descriptors::borrow;
use crate::ending::Ending;
use crate::error::Error;
use crate::output::write_until;
use crate::shared::Shared;
use ampoule_vmm_api::{Timings, VmStatus};
use nix::sys::resource::{UsageWho, getrusage};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::pread;
use std::io::Write;
use std::os::fd::{BorrowedFd, IntoRawFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the reader of the status may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Collects what the status needs.
pub struct Report {
    status_fd: Option<BorrowedFd<'static>>,
    own_status: Option<BorrowedFd<'static>>,
    shared: Option<Arc<Shared>>,
    timings: Timings,
    max_rss_at_start: u64,
}

impl Report {
    /// For a process that has just started.
    pub fn new(timings: Timings) -> Self {
        Self { status_fd: None, own_status: None, shared: None, timings, max_rss_at_start: max_rss_kib() }
    }

    /// Where the status goes. Without it, a failure goes to stderr.
    pub fn set_status_fd(&mut self, fd: Option<RawFd>) -> Result<(), Error> {
        self.status_fd = fd.map(|fd| borrow("status_fd", fd)).transpose()?;
        Ok(())
    }

    /// Where this process's `/proc/self/status` is open, if it is.
    pub fn set_own_status_fd(&mut self, fd: Option<RawFd>) -> Result<(), Error> {
        self.own_status = match fd {
            Some(fd) => Some(borrow("own_status_fd", fd)?),
            // Without a jail, it can be opened; it stays open.
            None => match open("/proc/self/status", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
                Ok(file) => Some(borrow("own status", file.into_raw_fd())?),
                Err(_) => None,
            },
        };
        Ok(())
    }

    /// The report of a VM that is about to run, for the thread that sees its end.
    pub fn hand_over(&self, shared: &Arc<Shared>) -> Self {
        Self { shared: Some(Arc::clone(shared)), ..*self }
    }

    /// The times up to now.
    pub fn timings(&self) -> Timings {
        self.shared.as_ref().map_or(self.timings, |shared| shared.timings())
    }

    /// Writes the status. Gives the exit code.
    pub fn write(&self, ending: &Ending) -> i32 {
        let console_tail = self.shared.as_ref().map(|shared| shared.bus().log().tail()).unwrap_or_default();
        let status = VmStatus {
            reason: ending.reason,
            message: ending.message.clone(),
            console_tail,
            timings: Timings { end: Some(monotonic_ns()), ..self.timings() },
            peak_rss_kib: self.peak_rss_kib(),
        };
        match self.status_fd {
            Some(fd) => write_until(fd, &status.to_json(), Instant::now() + PATIENCE),
            None if ending.reason.exit_code() != 0 => {
                // Nobody may be there to read it.
                let _ = writeln!(std::io::stderr(), "ampoule-vmm: {}", ending.message);
            }
            None => {}
        }
        ending.reason.exit_code()
    }

    /// The greatest resident set of this process. Linux counts what the process was before `exec`, too: where that was
    /// more, `max_rss_at_start` says so, and /proc knows better.
    fn peak_rss_kib(&self) -> u64 {
        let peak = max_rss_kib();
        match peak > self.max_rss_at_start {
            true => peak,
            false => self.own_status.and_then(high_water_mark_kib).unwrap_or(peak),
        }
    }
}

fn max_rss_kib() -> u64 {
    getrusage(UsageWho::RUSAGE_SELF).ok().and_then(|usage| u64::try_from(usage.max_rss()).ok()).unwrap_or(0)
}

/// Reads the high-water mark out of a `/proc/self/status`.
fn high_water_mark_kib(status: BorrowedFd<'_>) -> Option<u64> {
    let mut text = [0; 4096];
    let len = pread(status, &mut text, 0).ok()?;
    let text = std::str::from_utf8(text.get(..len)?).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
