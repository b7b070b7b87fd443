//! The status at the end of the process.

use crate::clock::monotonic_ns;
use crate::descriptors::borrow;
use crate::ending::Ending;
use crate::error::Error;
use crate::output::write_until;
use crate::shared::Shared;
use ampoule_vmm_api::{Timings, VmStatus};
use nix::sys::resource::{UsageWho, getrusage};
use std::io::Write;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the reader of the status may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Collects what the status needs.
pub struct Report {
    status_fd: Option<BorrowedFd<'static>>,
    shared: Option<Arc<Shared>>,
    timings: Timings,
    max_rss_at_start: u64,
}

impl Report {
    /// For a process that has just started.
    pub fn new(timings: Timings) -> Self {
        Self { status_fd: None, shared: None, timings, max_rss_at_start: max_rss_kib() }
    }

    /// Where the status goes. Without it, a failure goes to stderr.
    pub fn set_status_fd(&mut self, fd: Option<RawFd>) -> Result<(), Error> {
        self.status_fd = fd.map(|fd| borrow("status_fd", fd)).transpose()?;
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
            peak_rss_kib: peak_rss_kib(self.max_rss_at_start),
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
}

/// The greatest resident set of this process. Linux counts what the process was before `exec`, too: where that was more,
/// `at_start` says so, and /proc knows better, if it is there.
fn peak_rss_kib(at_start: u64) -> u64 {
    let peak = max_rss_kib();
    match peak > at_start {
        true => peak,
        false => high_water_mark_kib().unwrap_or(peak),
    }
}

fn max_rss_kib() -> u64 {
    getrusage(UsageWho::RUSAGE_SELF).ok().and_then(|usage| u64::try_from(usage.max_rss()).ok()).unwrap_or(0)
}

fn high_water_mark_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
