//! What the VMM's process says: one status line, and what it writes to standard error when it breaks.

use crate::text::printable;
use ampoule_vmm_api::{MAX_STATUS_LEN, VmStatus};
use rustix::io::{Errno, read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Most bytes that are kept: a status line and some words before it.
const LIMIT: usize = MAX_STATUS_LEN + 4096;

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

    /// Reads what is there. Says whether the pipe ended just now: the process is gone or about to be.
    pub(crate) fn read(&mut self) -> bool {
        let mut chunk = [0; 4096];
        while !self.ended {
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

    /// What the VMM wrote that is no status, safe to print.
    pub(crate) fn said(&self) -> String {
        let text: Vec<String> = self
            .lines()
            .filter(|line| !line.is_empty() && VmStatus::from_json(line).is_err())
            .map(|line| printable(&String::from_utf8_lossy(line)))
            .collect();
        text.join("; ")
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
