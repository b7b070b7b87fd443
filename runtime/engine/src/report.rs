//! What the VMM's process says: one status line, and what it writes to standard error when it breaks.

use crate::text::printable;
use ampoule_vmm_api::{MAX_STATUS_LEN, VmStatus};
use rustix::io::{Errno, read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Most bytes that are kept: a status line and some words before it.
const LIMIT: usize = MAX_STATUS_LEN + 4096;

/// Most lines of it that a message shows.
const SAID_LINES: usize = 8;

/// The reading end of the pipe that is the VMM's `status_fd` and its standard error.
#[derive(Debug)]
pub(crate) struct Report {
    pipe: OwnedFd,
    bytes: Vec<u8>,
    ended: bool,
}

impl Report {
    pub(crate) fn new(pipe: OwnedFd) -> Self {
        Self { pipe, bytes: Vec::new(), ended: false }
    }

    /// Reads what is there, in so many reads at most: a VMM that was taken over may write without end. Says whether the
    /// pipe ended just now: the process is gone or about to be.
    pub(crate) fn read(&mut self, times: usize) -> bool {
        let mut chunk = [0; 4096];
        for _ in 0..times {
            if self.ended {
                return false;
            }
            match read(&self.pipe, &mut chunk) {
                Ok(0) => {
                    self.ended = true;
                    return true;
                }
                Ok(len) => self.keep(chunk.get(..len).unwrap_or_default()),
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
        false
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let surplus = self.bytes.len().saturating_sub(LIMIT);
        self.bytes.drain(..surplus);
    }

    /// The status, if the VMM wrote one.
    pub(crate) fn status(&self) -> Option<VmStatus> {
        self.lines().find_map(|line| VmStatus::from_json(line).ok())
    }

    /// The last lines that the VMM wrote and that are no status, safe to print.
    pub(crate) fn said(&self) -> String {
        let mut lines: Vec<String> = self
            .bytes
            .rsplit(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty() && VmStatus::from_json(line).is_err())
            .take(SAID_LINES)
            .map(|line| printable(&String::from_utf8_lossy(line)))
            .collect();
        lines.reverse();
        lines.join("; ")
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.split(|&byte| byte == b'\n')
    }
}

impl AsFd for Report {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::write;
    use rustix::pipe::{PipeFlags, pipe_with};

    #[test]
    fn a_read_is_of_limited_length() {
        let (pipe, writer) = pipe_with(PipeFlags::NONBLOCK).unwrap();
        while write(&writer, &[b'x'; 4096]).is_ok() {}
        let mut report = Report::new(pipe);
        for chunks in 1..=4 {
            assert!(!report.read(1));
            assert_eq!(report.bytes.len(), chunks * 4096);
        }
        drop(writer);
        assert!(report.read(1000) && !report.read(1000));
        assert!(report.bytes.len() > 4 * 4096 && report.bytes.len() <= LIMIT);
    }
    #[test]
    fn only_the_last_lines_are_told() {
        let (pipe, writer) = pipe_with(PipeFlags::NONBLOCK).unwrap();
        let lines: String = (0..5000).map(|number| format!("{number}\n\n")).collect();
        write(&writer, lines.as_bytes()).unwrap();
        let mut report = Report::new(pipe);
        report.read(1000);
        assert_eq!(report.said(), "4992; 4993; 4994; 4995; 4996; 4997; 4998; 4999");
    }
}
