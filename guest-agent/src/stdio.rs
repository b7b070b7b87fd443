//! The agent's ends of a job's standard files: a [`Sink`] for its input, a [`Source`] for each output.

use crate::Fatal;
use crate::connection::Connection;
use crate::poller::{Poller, Token};
use alloc::vec::Vec;
use ampoule_protocol::{Error, GuestMessage, JobId, MAX_DATA, ReceiveWindow, SendWindow, Stream};
use rustix::fd::OwnedFd;
use rustix::io::{Errno, read, write};

/// Ends the input of a program that reads a terminal line by line.
const END_OF_TRANSMISSION: u8 = 4;

/// Whether a stream is a pipe or a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A pipe: it ends when it is closed.
    Pipe,
    /// A terminal: its input ends with a control character, its output with an error.
    Terminal,
}

/// Input of a job. Holds what the job has not read, never more than the credit allows.
#[derive(Debug)]
pub struct Sink {
    job: JobId,
    fd: OwnedFd,
    kind: Kind,
    window: ReceiveWindow,
    /// `start..` is to be written.
    buffer: Vec<u8>,
    start: usize,
    /// What was written last, to know whether a terminal is at the start of a line.
    last: u8,
    ended: bool,
    polled: bool,
}

/// Whether a sink is of further use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkState {
    /// It is.
    Open,
    /// The host ended the input, and all of it was written.
    Finished,
    /// The job reads no more.
    Broken,
}

impl Sink {
    /// The sink over a non-blocking file.
    pub const fn new(job: JobId, fd: OwnedFd, kind: Kind) -> Self {
        let window = ReceiveWindow::new(Stream::Stdin(job));
        Self { job, fd, kind, window, buffer: Vec::new(), start: 0, last: b'\n', ended: false, polled: false }
    }

    /// Takes data from the host.
    pub fn data(&mut self, bytes: &[u8], poller: &Poller, host: &mut Connection) -> Result<SinkState, Fatal> {
        if self.ended {
            return Err(Error::InvalidValue { what: "standard input", problem: "data after its end" }.into());
        }
        self.window.receive(bytes.len())?;
        let written = if self.is_empty() { self.write_some(bytes) } else { Ok(0) };
        match written {
            Ok(written) => self.buffer.extend_from_slice(bytes.get(written..).unwrap_or_default()),
            Err(_closed) => return Ok(SinkState::Broken),
        }
        self.settle(poller, host)
    }

    /// The host ended the input.
    pub fn end(&mut self, poller: &Poller, host: &mut Connection) -> Result<SinkState, Fatal> {
        if !self.ended {
            self.ended = true;
            if self.kind == Kind::Terminal {
                // Within a line the first one only hands the line to the reader.
                let last = self.buffer.last().copied().unwrap_or(self.last);
                let count = if last == b'\n' { 1 } else { 2 };
                self.buffer.extend_from_slice(&[END_OF_TRANSMISSION; 2][..count]);
            }
        }
        self.writable(poller, host)
    }

    /// The job may take more.
    pub fn writable(&mut self, poller: &Poller, host: &mut Connection) -> Result<SinkState, Fatal> {
        let buffer = core::mem::take(&mut self.buffer);
        let written = self.write_some(buffer.get(self.start..).unwrap_or_default());
        self.buffer = buffer;
        match written {
            Ok(written) => self.start += written,
            Err(_closed) => return Ok(SinkState::Broken),
        }
        self.settle(poller, host)
    }

    fn is_empty(&self) -> bool {
        self.start == self.buffer.len()
    }

    /// Writes what the file takes, and counts it as consumed later, in `settle`.
    fn write_some(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match write(&self.fd, rest) {
                Ok(len) => written += len,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error),
            }
        }
        if let Some(&last) = written.checked_sub(1).and_then(|at| bytes.get(at)) {
            self.last = last;
        }
        Ok(written)
    }

    /// Grants the credit of what was written, and waits for the file if there is more.
    fn settle(&mut self, poller: &Poller, host: &mut Connection) -> Result<SinkState, Fatal> {
        let waiting = self.buffer.len() - self.start;
        if waiting == 0 {
            self.buffer.clear();
            self.start = 0;
        } else if self.start > waiting {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        if let Some(bytes) = self.window.consume(self.window.buffered().saturating_sub(waiting)) {
            let stream = Stream::Stdin(self.job);
            host.say(&GuestMessage::Credit { stream, bytes: bytes.get() })?;
        }
        let polled = match (waiting > 0, self.polled) {
            (true, false) => poller.add_writer(&self.fd, Token::Stdin(self.job)).map(|()| true),
            (false, true) => poller.remove(&self.fd).map(|()| false),
            (_, polled) => Ok(polled),
        };
        self.polled = polled.map_err(Fatal::system("epoll_ctl on an input"))?;
        Ok(if waiting == 0 && self.ended { SinkState::Finished } else { SinkState::Open })
    }
}

/// An output of a job.
#[derive(Debug)]
pub struct Source {
    token: Token,
    stream: Stream,
    fd: OwnedFd,
    window: SendWindow,
    polled: bool,
    /// Once the job is over: how much more is taken from what others may still be writing.
    quota: Option<usize>,
}

/// What a read of a source came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceState {
    /// There may be more to read now.
    More,
    /// Nothing to read now, or the host has to grant credit or take what there is.
    Waiting,
    /// The stream is over; the host was told.
    Ended,
}

impl Source {
    /// The source over a non-blocking file.
    pub fn new(token: Token, stream: Stream, fd: OwnedFd, poller: &Poller) -> Result<Self, Errno> {
        poller.add_reader(&fd, token)?;
        Ok(Self { token, stream, fd, window: SendWindow::new(stream), polled: true, quota: None })
    }

    /// The file.
    pub const fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// The host grants credit.
    pub fn grant(&mut self, bytes: u32, poller: &Poller) -> Result<(), Fatal> {
        self.window.grant(bytes)?;
        if !self.polled && self.window.available() > 0 {
            poller.add_reader(&self.fd, self.token).map_err(Fatal::system("epoll_ctl on an output"))?;
            self.polled = true;
        }
        Ok(())
    }

    /// From now on takes at most `bytes` more, and takes "nothing to read" for the end.
    pub fn limit(&mut self, bytes: usize) {
        self.quota.get_or_insert(bytes);
    }

    /// Reads once and passes it on.
    pub fn pump(
        &mut self,
        scratch: &mut [u8],
        poller: &Poller,
        host: &mut Connection,
    ) -> Result<SourceState, Fatal> {
        if self.window.available() == 0 {
            return self.pause(poller);
        }
        if host.is_blocked() {
            return Ok(SourceState::Waiting);
        }
        let room =
            self.window.available().min(MAX_DATA).min(self.quota.unwrap_or(MAX_DATA)).min(scratch.len());
        let bytes = match read(&self.fd, scratch.get_mut(..room).unwrap_or_default()) {
            Ok(len) => scratch.get(..len).unwrap_or_default(),
            Err(Errno::INTR) => return Ok(SourceState::More),
            Err(Errno::AGAIN) if self.quota.is_none() => return Ok(SourceState::Waiting),
            // A terminal that nobody has open any more says EIO.
            Err(_over) => &[],
        };
        if bytes.is_empty() {
            host.say(&GuestMessage::Eof(self.stream))?;
            return Ok(SourceState::Ended);
        }
        self.window.spend(bytes.len())?;
        self.quota = self.quota.map(|quota| quota.saturating_sub(bytes.len()));
        host.data(self.stream, bytes)?;
        Ok(SourceState::More)
    }

    /// Waits for credit instead of for the file.
    fn pause(&mut self, poller: &Poller) -> Result<SourceState, Fatal> {
        if self.polled {
            poller.remove(&self.fd).map_err(Fatal::system("epoll_ctl on an output"))?;
            self.polled = false;
        }
        Ok(SourceState::Waiting)
    }
}
