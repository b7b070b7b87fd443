//! Streams the kernel log to whoever wants it, as it comes.

use crate::output::{CHUNK, is_ready, write_until};
use crate::shared::Shared;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// How often the log is looked at: KVM may hold back some stores.
const INTERVAL: Duration = Duration::from_millis(50);

/// The other end of the kernel log, if there is one.
pub struct Console {
    fd: Option<BorrowedFd<'static>>,
}

impl Console {
    /// A console on this descriptor.
    pub fn new(fd: Option<BorrowedFd<'static>>, shared: &Shared) -> Self {
        if fd.is_some() {
            shared.bus().log().watch();
        }
        Self { fd }
    }

    /// How often to call [`Console::stream`], besides whenever something happens.
    pub fn interval(&self) -> Option<Duration> {
        self.fd.map(|_| INTERVAL)
    }

    /// Writes what there is, as far as it is taken at once. A reader that is too slow misses some.
    pub fn stream(&mut self, shared: &Shared) {
        let Some(fd) = self.fd else { return };
        let mut buffer = [0; CHUNK];
        while shared.bus().log().has_unsent() && is_ready(fd, Duration::ZERO) {
            let len = shared.bus().log().copy_unsent(&mut buffer);
            write_until(fd, buffer.get(..len).unwrap_or_default(), Instant::now());
        }
    }

    /// Writes the rest, as far as it is taken until the deadline.
    pub fn finish(&mut self, shared: &Shared, deadline: Instant) {
        let Some(fd) = self.fd else { return };
        let mut buffer = [0; CHUNK];
        while shared.bus().log().has_unsent() && Instant::now() < deadline {
            let len = shared.bus().log().copy_unsent(&mut buffer);
            write_until(fd, buffer.get(..len).unwrap_or_default(), deadline);
        }
    }
}
