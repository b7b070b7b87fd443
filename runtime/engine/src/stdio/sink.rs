//! Where a job's output goes.

use super::kind::Kind;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, IoSlice, ReadWriteFlags, pwritev2, write};
use rustix::net::{SendFlags, send};
use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Most bytes written at once to a file that might block: what POSIX guarantees to fit into a pipe that is ready.
const PIPE_BUF: usize = 4096;

/// Whether a sink takes data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkState {
    /// It does.
    Open,
    /// Its reader is gone, as with `| head`. Not an error.
    ReaderGone,
    /// It cannot be written: a full disk, say.
    Failed(Errno),
}

/// A file to write to, or a bounded buffer that keeps the beginning of what is written.
#[derive(Debug)]
pub struct Sink {
    target: Target,
    /// What the file did not take yet.
    waiting: VecDeque<u8>,
    state: SinkState,
}

#[derive(Debug)]
enum Target {
    File { fd: OwnedFd, how: How },
    Memory { kept: Vec<u8>, limit: usize, truncated: bool },
}

/// How to write without blocking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// It does not block, or is a file description of our own that was made not to.
    Plain,
    NoWait,
    Small,
    Socket,
}

impl Sink {
    /// A sink that writes to this file.
    pub fn file(fd: OwnedFd) -> rustix::io::Result<Self> {
        let (fd, how) = match Kind::of(&fd)? {
            Kind::Regular => (fd, How::Plain),
            Kind::Pipe => (fd, How::NoWait),
            Kind::Socket => (fd, How::Socket),
            Kind::Device => match reopen(&fd) {
                Ok(own) => (own, How::Plain),
                Err(_) => (fd, How::Small),
            },
        };
        Ok(Self::new(Target::File { fd, how }))
    }

    /// A sink that keeps the first `limit` bytes.
    pub fn memory(limit: usize) -> Self {
        Self::new(Target::Memory { kept: Vec::new(), limit, truncated: false })
    }

    fn new(target: Target) -> Self {
        Self { target, waiting: VecDeque::new(), state: SinkState::Open }
    }

    /// Whether it takes data.
    pub fn state(&self) -> SinkState {
        self.state
    }

    /// Bytes that wait to be written.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The file to poll for room, if there is something to write to it.
    pub fn wants_room(&self) -> Option<BorrowedFd<'_>> {
        match &self.target {
            Target::File { fd, .. } if !self.waiting.is_empty() => Some(fd.as_fd()),
            _ => None,
        }
    }

    /// Takes bytes. Says how many of them were passed on (or dropped, once the sink takes no more); the rest waits.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        let passed_on = match self.waiting.is_empty() {
            true => self.try_write(bytes),
            false => 0,
        };
        if self.state != SinkState::Open {
            return bytes.len();
        }
        self.waiting.extend(bytes.get(passed_on..).unwrap_or_default());
        passed_on
    }

    /// Writes what waits, as far as the file takes it. Says how many bytes were passed on or dropped.
    pub fn flush(&mut self) -> usize {
        let mut waiting = std::mem::take(&mut self.waiting);
        let before = waiting.len();
        while !waiting.is_empty() {
            let passed_on = self.try_write(waiting.as_slices().0);
            if self.state != SinkState::Open {
                return before;
            }
            if passed_on == 0 {
                break;
            }
            waiting.drain(..passed_on);
        }
        let after = waiting.len();
        self.waiting = waiting;
        before - after
    }

    /// What a memory sink kept, and whether there was more.
    pub fn into_kept(self) -> (Vec<u8>, bool) {
        match self.target {
            Target::Memory { kept, truncated, .. } => (kept, truncated),
            Target::File { .. } => (Vec::new(), false),
        }
    }

    /// Writes until the file takes no more. Says how much that was; a failure goes to `self.state`.
    fn try_write(&mut self, bytes: &[u8]) -> usize {
        let (fd, how) = match &mut self.target {
            Target::File { fd, how } => (&*fd, how),
            Target::Memory { kept, limit, truncated } => {
                let room = limit.saturating_sub(kept.len()).min(bytes.len());
                kept.extend_from_slice(bytes.get(..room).unwrap_or_default());
                *truncated |= room < bytes.len();
                return bytes.len();
            }
        };
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match write_now(fd, how, rest) {
                Ok(0) | Err(Errno::AGAIN) => break,
                Ok(len) => written += len,
                Err(Errno::INTR) => {}
                Err(Errno::PIPE) => {
                    self.state = SinkState::ReaderGone;
                    break;
                }
                Err(error) => {
                    self.state = SinkState::Failed(error);
                    break;
                }
            }
            if *how == How::Small {
                // Only poll knows whether it would take more.
                break;
            }
        }
        written
    }
}

fn write_now(fd: &OwnedFd, how: &mut How, bytes: &[u8]) -> rustix::io::Result<usize> {
    match how {
        How::Plain => write(fd, bytes),
        How::Socket => send(fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
        How::NoWait => match pwritev2(fd, &[IoSlice::new(bytes)], u64::MAX, ReadWriteFlags::NOWAIT) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                *how = How::Small;
                Err(Errno::AGAIN)
            }
            result => result,
        },
        How::Small => write(fd, bytes.get(..PIPE_BUF).unwrap_or(bytes)),
    }
}

/// A non-blocking file description of our own for the same device.
fn reopen(fd: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    open(path, OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};
    use std::io::Read;

    #[test]
    fn a_pipe_that_nobody_reads_does_not_block_and_loses_nothing() {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let mut sink = Sink::file(writer).unwrap();
        let data: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
        let mut passed_on = sink.write(&data);
        assert!(passed_on < data.len(), "a pipe cannot hold all of it");
        let reading = std::thread::spawn(move || {
            let mut all = Vec::new();
            std::fs::File::from(reader).read_to_end(&mut all).unwrap();
            all
        });
        while let Some(fd) = sink.wants_room() {
            let mut poll = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::OUT)];
            rustix::event::poll(&mut poll, None).unwrap();
            passed_on += sink.flush();
        }
        assert_eq!(passed_on, data.len());
        drop(sink);
        assert!(reading.join().unwrap() == data);
    }

    #[test]
    fn a_gone_reader_is_told_and_data_is_dropped() {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        drop(reader);
        let mut sink = Sink::file(writer).unwrap();
        assert_eq!(sink.write(b"hello"), 5);
        assert_eq!(sink.state(), SinkState::ReaderGone);
        assert!(sink.wants_room().is_none());
    }

    #[test]
    fn a_full_disk_is_a_failure() {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut sink = Sink::file(full.into()).unwrap();
        sink.write(b"hello");
        assert_eq!(sink.state(), SinkState::Failed(Errno::NOSPC));
    }

    #[test]
    fn memory_keeps_the_beginning() {
        let mut sink = Sink::memory(7);
        assert_eq!(sink.write(b"hello "), 6);
        assert_eq!(sink.write(b"world"), 5);
        assert_eq!(sink.into_kept(), (b"hello w".to_vec(), true));
    }
}
