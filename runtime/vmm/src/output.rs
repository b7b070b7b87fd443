//! Writing to a descriptor of somebody else, which may be slow, full or gone: never for longer than allowed.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, write};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// What a pipe that is ready takes without blocking (`PIPE_BUF`).
pub const CHUNK: usize = 4096;

/// Whether a write of [`CHUNK`] bytes would not block within `patience`.
pub fn is_ready(fd: BorrowedFd<'_>, patience: Duration) -> bool {
    let mut fds = [PollFd::new(&fd, PollFlags::OUT)];
    let timeout = Timespec::try_from(patience).ok();
    matches!(poll(&mut fds, timeout.as_ref()), Ok(ready) if ready > 0)
}

/// Writes all bytes, or as many as the reader takes until the deadline.
pub fn write_until(fd: BorrowedFd<'_>, mut bytes: &[u8], deadline: Instant) {
    while !bytes.is_empty() {
        if !is_ready(fd, deadline.saturating_duration_since(Instant::now())) {
            return;
        }
        match write(fd, bytes.get(..CHUNK).unwrap_or(bytes)) {
            Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => return,
        }
        if Instant::now() > deadline {
            return;
        }
    }
}
