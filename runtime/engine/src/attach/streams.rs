//! The caller's ends of a job's streams.

use crate::session::Session;
use crate::stdio::{LineEnd, Log, Piece, Sink, SinkState, Source};
use ampoule_protocol::{Error, JobId, Stream};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// Most bytes of input read at once.
const PIECE: usize = 64 * 1024;

/// Where a job's input comes from and its output goes.
#[derive(Debug)]
pub struct Streams {
    /// Standard input. `None`: the job has none, or it has ended.
    pub stdin: Option<Source>,
    /// Standard output.
    pub stdout: Sink,
    /// Standard error.
    pub stderr: Sink,
    /// The guest kernel's log.
    pub log: Option<Log>,
    /// The terminal whose size the job's terminal follows.
    pub terminal: Option<OwnedFd>,
}

/// A stream that was ended because its sink cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) stream: &'static str,
    pub(super) errno: Errno,
}

impl Streams {
    /// Output of the job.
    pub(super) fn output(
        &mut self,
        session: &mut Session,
        stream: Stream,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let passed_on = self.sink(stream).write(bytes);
        self.settle(session, stream, passed_on)
    }

    /// Writes on what waits.
    pub(super) fn flush(&mut self, session: &mut Session, job: Option<JobId>) -> Result<(), Error> {
        for stream in job.into_iter().flat_map(|job| [Stream::Stdout(job), Stream::Stderr(job)]) {
            let passed_on = self.sink(stream).flush();
            self.settle(session, stream, passed_on)?;
        }
        if let Some(log) = &mut self.log {
            log.flush();
        }
        Ok(())
    }

    /// Tells the guest what became of its output.
    fn settle(&mut self, session: &mut Session, stream: Stream, passed_on: usize) -> Result<(), Error> {
        match self.sink(stream).state() {
            SinkState::Open => session.consumed(stream, passed_on),
            SinkState::ReaderGone | SinkState::Failed(_) => session.close_output(stream),
        }
    }

    /// The guest kernel wrote to its log.
    pub(super) fn log(&mut self, bytes: &[u8]) {
        let end = match self.terminal {
            Some(_) => LineEnd::RawTerminal,
            None => LineEnd::Plain,
        };
        if let Some(log) = &mut self.log {
            log.write(bytes, end);
        }
    }

    /// Passes on what input there is. To be called when the source is readable.
    pub(super) fn input(&mut self, session: &mut Session, job: JobId) -> Result<(), Error> {
        let Some(source) = &mut self.stdin else { return Ok(()) };
        let Some(room) = session.input_room(job) else {
            self.stdin = None;
            return Ok(());
        };
        let mut piece = vec![0; room.min(PIECE)];
        if piece.is_empty() {
            return Ok(());
        }
        match source.read(&mut piece) {
            // It was read no more than there is room for.
            Ok(Piece::Data(len)) => session.input(job, piece.get(..len).unwrap_or_default()).map(drop),
            Ok(Piece::NotYet) => Ok(()),
            // What cannot be read has no more to give.
            Ok(Piece::End) | Err(_) => {
                self.stdin = None;
                session.end_input(job)
            }
        }
    }

    /// The first stream that could not be written, and why.
    pub(super) fn lost(&self) -> Option<Lost> {
        [("stdout", &self.stdout), ("stderr", &self.stderr)].into_iter().find_map(|(stream, sink)| match sink
            .state()
        {
            SinkState::Failed(errno) => Some(Lost { stream, errno }),
            SinkState::Open | SinkState::ReaderGone => None,
        })
    }

    /// Whether output waits to be written.
    pub(super) fn is_waiting(&self) -> bool {
        self.stdout.waiting() > 0 || self.stderr.waiting() > 0
    }

    fn sink(&mut self, stream: Stream) -> &mut Sink {
        match stream {
            Stream::Stderr(_) => &mut self.stderr,
            Stream::Stdout(_) | Stream::Stdin(_) | Stream::File(_) => &mut self.stdout,
        }
    }
}
