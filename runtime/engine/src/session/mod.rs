//! The protocol from the host's side, without I/O: what may be said when, and whether the agent keeps to it.
//!
//! [`Session`] holds the state of every job and transfer. The caller asks for something (each method queues a
//! message), writes [`outgoing`](Session::outgoing) to the connection, and passes each received frame to
//! [`handle`](Session::handle), which checks it against that state and gives an [`Event`] or a [`Violation`].
//! After a violation the session is of no more use. Nothing here grows with what the agent sends: it can name only
//! jobs and transfers that the host began.

mod event;
mod incoming;
mod job;
mod transfer;
mod violation;

pub use event::Event;
pub use violation::Violation;

use ampoule_protocol::{
    Encoder, Error, FileId, GetFile, HostMessage, JobId, MAX_DATA, PutFile, SendWindow, SignalTarget,
    StartJob, Stream, TtySize,
};
use job::{Job, Stdin};
use std::collections::BTreeMap;
use transfer::Transfer;

#[cfg(test)]
mod tests;

/// No more stream data is queued while more than this waits to be written, in bytes.
const QUEUE_LIMIT: usize = 4 * MAX_DATA;

const EXHAUSTED: &str = "all were used";

/// The host's side of one control connection.
#[derive(Debug)]
pub struct Session {
    phase: Phase,
    jobs: BTreeMap<JobId, Job>,
    transfers: BTreeMap<FileId, Transfer>,
    next_id: u32,
    next_ping: u32,
    ping: Option<u32>,
    outgoing: Encoder<HostMessage>,
    progress: Progress,
}

/// How far the agent has come with what it owes. It only ever grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Starts and transfers that it was done with, well or not.
    pub turns: u64,
    /// Bytes of files that went in or out.
    pub bytes: u64,
}

impl Progress {
    fn turn(&mut self) {
        self.turns = self.turns.saturating_add(1);
    }

    fn moved(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The agent has not said hello. The host may speak all the same.
    Expecting,
    Open,
    /// The host asked the agent to power off.
    ShuttingDown,
    /// The agent said goodbye.
    Over,
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

impl Session {
    /// The session before anything was said.
    pub const fn new() -> Self {
        Self {
            phase: Phase::Expecting,
            jobs: BTreeMap::new(),
            transfers: BTreeMap::new(),
            next_id: 1,
            next_ping: 1,
            ping: None,
            outgoing: Encoder::new(),
            progress: Progress { turns: 0, bytes: 0 },
        }
    }

    /// What is to be written to the connection.
    pub fn outgoing(&mut self) -> &mut Encoder<HostMessage> {
        &mut self.outgoing
    }

    /// Whether the agent said hello and not yet goodbye.
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::ShuttingDown)
    }

    /// An id for the next job. Ids are never used twice, so that nothing late can be taken for something new.
    pub fn new_job(&mut self) -> Result<JobId, Error> {
        self.take_id().and_then(JobId::new).ok_or(Error::InvalidValue { what: "job id", problem: EXHAUSTED })
    }

    /// An id for the next transfer.
    pub fn new_file(&mut self) -> Result<FileId, Error> {
        self.take_id()
            .and_then(FileId::new)
            .ok_or(Error::InvalidValue { what: "file id", problem: EXHAUSTED })
    }

    fn take_id(&mut self) -> Option<u32> {
        let id = self.next_id;
        self.next_id = id.checked_add(1)?;
        Some(id)
    }

    /// Starts a job, whose id must be from [`new_job`](Self::new_job).
    pub fn start(&mut self, start: StartJob) -> Result<(), Error> {
        let job = Job::new(&start);
        let id = start.job;
        self.outgoing.message(&HostMessage::Start(start))?;
        self.jobs.insert(id, job);
        Ok(())
    }

    /// Bytes of input that [`input`](Self::input) takes now; `None` if the job wants no more, ever.
    pub fn input_room(&self, job: JobId) -> Option<usize> {
        let room = self.jobs.get(&job)?.stdin.room()?;
        Some(room.min(self.queue_room()))
    }

    /// Sends input to a job: as much of `bytes` as there is room for. Says how much that was.
    pub fn input(&mut self, job: JobId, bytes: &[u8]) -> Result<usize, Error> {
        let room = self.queue_room();
        match self.jobs.get_mut(&job).map(|job| &mut job.stdin) {
            Some(Stdin::Open(window)) => send(&mut self.outgoing, Stream::Stdin(job), window, bytes, room),
            _ => Ok(0),
        }
    }

    /// Ends the input of a job.
    pub fn end_input(&mut self, job: JobId) -> Result<(), Error> {
        match self.jobs.get_mut(&job).map(|job| &mut job.stdin) {
            Some(stdin @ Stdin::Open(_)) => {
                *stdin = Stdin::Ended;
                self.outgoing.message(&HostMessage::Eof(Stream::Stdin(job)))
            }
            _ => Ok(()),
        }
    }

    /// Says that output was passed on, so that the guest may send more.
    pub fn consumed(&mut self, stream: Stream, len: usize) -> Result<(), Error> {
        let grant = match stream {
            Stream::Stdout(job) | Stream::Stderr(job) => {
                self.jobs.get_mut(&job).and_then(|job| job.consumed(stream, len))
            }
            Stream::File(file) => match self.transfers.get_mut(&file) {
                Some(Transfer::Receiving { window, closed: false, .. }) => {
                    window.consume(len).map(|grant| grant.get())
                }
                _ => None,
            },
            Stream::Stdin(_) => None,
        };
        match grant {
            Some(bytes) => self.outgoing.message(&HostMessage::Credit { stream, bytes }),
            None => Ok(()),
        }
    }

    /// Says that nobody wants more of an output stream: the job's next write to it fails with `EPIPE`.
    pub fn close_output(&mut self, stream: Stream) -> Result<(), Error> {
        let (Stream::Stdout(job) | Stream::Stderr(job)) = stream else { return Ok(()) };
        match self.jobs.get_mut(&job).is_some_and(|job| job.close(stream)) {
            true => self.outgoing.message(&HostMessage::Close(stream)),
            false => Ok(()),
        }
    }

    /// Sends a signal to a job, if it is not over.
    pub fn signal(&mut self, job: JobId, signo: u8, target: SignalTarget) -> Result<(), Error> {
        match self.jobs.contains_key(&job) {
            true => self.outgoing.message(&HostMessage::Signal { job, signo, target }),
            false => Ok(()),
        }
    }

    /// Gives a job's terminal a new size.
    pub fn resize(&mut self, job: JobId, size: TtySize) -> Result<(), Error> {
        match self.jobs.contains_key(&job) {
            true => self.outgoing.message(&HostMessage::Resize { job, size }),
            false => Ok(()),
        }
    }

    /// Begins to write a file in the guest, whose id must be from [`new_file`](Self::new_file).
    pub fn put_file(&mut self, put: PutFile) -> Result<(), Error> {
        let file = put.file;
        self.outgoing.message(&HostMessage::PutFile(put))?;
        self.transfers.insert(file, Transfer::put(file));
        Ok(())
    }

    /// Bytes that [`file_data`](Self::file_data) takes now; `None` if the transfer takes no more, ever.
    pub fn file_room(&self, file: FileId) -> Option<usize> {
        match self.transfers.get(&file)? {
            Transfer::Sending { window, .. } => Some(window.available().min(self.queue_room())),
            Transfer::Sent { .. } | Transfer::Receiving { .. } => None,
        }
    }

    /// Sends content of a file: as much of `bytes` as there is room for. Says how much that was.
    pub fn file_data(&mut self, file: FileId, bytes: &[u8]) -> Result<usize, Error> {
        let room = self.queue_room();
        match self.transfers.get_mut(&file) {
            Some(Transfer::Sending { window, sent }) => {
                let len = send(&mut self.outgoing, Stream::File(file), window, bytes, room)?;
                *sent = sent.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
                self.progress.moved(len);
                Ok(len)
            }
            _ => Ok(0),
        }
    }

    /// Ends the content of a file that is being written.
    pub fn end_file(&mut self, file: FileId) -> Result<(), Error> {
        match self.transfers.get_mut(&file) {
            Some(transfer @ Transfer::Sending { .. }) => {
                if let Transfer::Sending { sent, .. } = *transfer {
                    *transfer = Transfer::Sent { sent };
                }
                self.outgoing.message(&HostMessage::Eof(Stream::File(file)))
            }
            _ => Ok(()),
        }
    }

    /// Begins to read a file of the guest, whose id must be from [`new_file`](Self::new_file).
    pub fn get_file(&mut self, get: GetFile) -> Result<(), Error> {
        let file = get.file;
        self.outgoing.message(&HostMessage::GetFile(get))?;
        self.transfers.insert(file, Transfer::get(file));
        Ok(())
    }

    /// Gives up reading a file. Its end is still reported.
    pub fn close_file(&mut self, file: FileId) -> Result<(), Error> {
        match self.transfers.get_mut(&file) {
            Some(Transfer::Receiving { closed, .. }) if !*closed => {
                *closed = true;
                self.outgoing.message(&HostMessage::Close(Stream::File(file)))
            }
            _ => Ok(()),
        }
    }

    /// Asks the agent for a sign of life, unless a question is still open.
    pub fn ping(&mut self) -> Result<(), Error> {
        if self.ping.is_some() {
            return Ok(());
        }
        let token = self.next_ping;
        self.next_ping = token.wrapping_add(1);
        self.outgoing.message(&HostMessage::Ping { token })?;
        self.ping = Some(token);
        Ok(())
    }

    /// Asks the agent to end all jobs and power off.
    pub fn shutdown(&mut self, grace_ms: u32) -> Result<(), Error> {
        if self.phase != Phase::Over {
            self.phase = Phase::ShuttingDown;
        }
        self.outgoing.message(&HostMessage::Shutdown { grace_ms })
    }

    /// Whether the agent has not answered the last ping.
    pub fn ping_is_open(&self) -> bool {
        self.ping.is_some()
    }

    /// Whether it is the agent's turn: it owes a start, a step of a transfer or a goodbye. The end of a job is not owed:
    /// that takes as long as it takes.
    pub fn is_owed(&self) -> bool {
        self.phase == Phase::ShuttingDown
            || self.transfers.values().any(Transfer::is_owed)
            || self.jobs.values().any(Job::is_starting)
    }

    /// How far the agent has come with what it owes.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    fn queue_room(&self) -> usize {
        QUEUE_LIMIT.saturating_sub(self.outgoing.len())
    }
}

/// Queues as much of `bytes` as credit and `room` allow, in frames of valid size. Says how much that was.
fn send(
    outgoing: &mut Encoder<HostMessage>,
    stream: Stream,
    window: &mut SendWindow,
    bytes: &[u8],
    room: usize,
) -> Result<usize, Error> {
    let len = bytes.len().min(window.available()).min(room);
    for piece in bytes.get(..len).unwrap_or_default().chunks(MAX_DATA) {
        outgoing.data(stream, piece)?;
        window.spend(piece.len())?;
    }
    Ok(len)
}
