//! What the host's messages make the agent do.

use crate::Fatal;
use crate::agent::{Agent, Role};
use crate::job::Output;
use crate::launch::{failure, launch};
use crate::stdio::Kind;
use crate::sys::{clock, process};
use crate::transfer::{Failure, Get, Put, Transfer};
use ampoule_protocol::{
    Error, FileId, Frame, GetFile, GuestMessage, HostMessage, JobId, LogLevel, PutFile, StartFailed,
    StartJob, StartStep, Stream, Text,
};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

/// Most jobs at a time: each takes three descriptors, of the 1024 that a process gets by default.
pub const MAX_JOBS: usize = 256;
/// Most transfers at a time.
pub const MAX_TRANSFERS: usize = 64;

impl Agent {
    /// Acts on a frame of the host. An error ends the agent.
    pub(crate) fn dispatch(&mut self, frame: Frame<'_, HostMessage>) -> Result<(), Fatal> {
        match frame {
            Frame::Data { stream: Stream::File(file), bytes } => self.file_data(file, bytes),
            Frame::Data { stream, bytes } => self.input(stream, bytes),
            Frame::Message(message) => self.message(message),
        }
    }

    fn message(&mut self, message: HostMessage) -> Result<(), Fatal> {
        match message {
            HostMessage::Start(start) => self.start(&start),
            HostMessage::Eof(stream) => self.end(stream),
            HostMessage::Credit { stream, bytes } => self.credit(stream, bytes),
            HostMessage::Close(stream) => self.close(stream),
            HostMessage::Signal { job, signo, target } => match self.jobs.get(&job) {
                Some(job) => job.signal(signo, target, &mut self.host),
                None => Ok(()),
            },
            HostMessage::Resize { job, size } => {
                self.jobs.get(&job).into_iter().for_each(|job| job.resize(size));
                Ok(())
            }
            HostMessage::PutFile(put) => self.put_file(&put),
            HostMessage::GetFile(get) => self.get_file(&get),
            HostMessage::SetTime { unix_ns } => self.set_time(unix_ns),
            HostMessage::AddEntropy(seed) => self.add_entropy(&seed),
            HostMessage::Ping { token } => self.host.say(&GuestMessage::Pong { token }),
            HostMessage::Shutdown { grace_ms } => {
                self.stop(grace_ms);
                Ok(())
            }
        }
    }

    fn start(&mut self, start: &StartJob) -> Result<(), Fatal> {
        let refusal = match () {
            () if self.stopping.is_some() => Some("shutting down"),
            () if self.jobs.contains_key(&start.job) => Some("the id is in use"),
            () if self.jobs.len() >= MAX_JOBS => Some("too many jobs"),
            () => None,
        };
        let result = match refusal {
            Some(reason) => {
                Err(StartFailed { errno: 0, ..failure(start.job, StartStep::Accept, Errno::INVAL, reason) })
            }
            None => launch(start, &self.poller, self.oom),
        };
        match result {
            Ok(job) => {
                self.host.say(&GuestMessage::Started { job: job.id, pid: job.pid })?;
                self.jobs.insert(job.id, job);
                Ok(())
            }
            Err(failed) => self.host.say(&GuestMessage::StartFailed(failed)),
        }
    }

    /// Data for a job that is over, or reads no more, may have been under way: it is dropped.
    fn input(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), Fatal> {
        let Stream::Stdin(job) = stream else { return Err(wrong_way("data")) };
        let poller = &self.poller;
        match self.jobs.get_mut(&job) {
            Some(job) => job.with_stdin(&mut self.host, |stdin, host| stdin.data(bytes, poller, host)),
            None => Ok(()),
        }
    }

    fn end(&mut self, stream: Stream) -> Result<(), Fatal> {
        match stream {
            Stream::Stdin(job) => {
                let poller = &self.poller;
                match self.jobs.get_mut(&job) {
                    Some(job) => job.with_stdin(&mut self.host, |stdin, host| stdin.end(poller, host)),
                    None => Ok(()),
                }
            }
            Stream::File(file) => self.file_end(file),
            Stream::Stdout(_) | Stream::Stderr(_) => Err(wrong_way("end of data")),
        }
    }

    #[cold]
    fn credit(&mut self, stream: Stream, bytes: u32) -> Result<(), Fatal> {
        match stream {
            Stream::Stdout(job) => self.job_credit(job, Output::Stdout, bytes),
            Stream::Stderr(job) => self.job_credit(job, Output::Stderr, bytes),
            Stream::File(file) => match self.transfers.get_mut(&file) {
                Some(Transfer::Get(get)) => get.grant(bytes),
                Some(Transfer::Put(_)) => Err(wrong_way("credit")),
                None => Ok(()),
            },
            Stream::Stdin(_) => Err(wrong_way("credit")),
        }
    }

    fn job_credit(&mut self, job: JobId, which: Output, bytes: u32) -> Result<(), Fatal> {
        match self.jobs.get_mut(&job).and_then(|job| job.output(which).as_mut()) {
            Some(source) => source.grant(bytes, &self.poller),
            None => Ok(()),
        }
    }

    #[cold]
    fn close(&mut self, stream: Stream) -> Result<(), Fatal> {
        match stream {
            Stream::Stdout(job) => self.close_output(job, Output::Stdout),
            Stream::Stderr(job) => self.close_output(job, Output::Stderr),
            Stream::File(file) => match self.transfers.remove(&file) {
                Some(_) => self.host.say(&Failure::closed().report(file)),
                None => Ok(()),
            },
            Stream::Stdin(_) => Err(wrong_way("close")),
        }
    }

    fn close_output(&mut self, job: JobId, which: Output) -> Result<(), Fatal> {
        let Some(job) = self.jobs.get_mut(&job) else { return Ok(()) };
        *job.output(which) = None;
        // A terminal hangs up when both of its sides are closed; left half open, it would hold up the job for ever.
        match job.stdin.take_if(|_| job.kind == Kind::Terminal && which == Output::Stdout) {
            Some(_) => self.host.say(&GuestMessage::Close(Stream::Stdin(job.id))),
            None => Ok(()),
        }
    }

    #[cold]
    fn put_file(&mut self, put: &PutFile) -> Result<(), Fatal> {
        let transfer = self.may_transfer(put.file).and_then(|()| Put::begin(put)).map(Transfer::Put);
        self.begin_transfer(put.file, transfer)
    }

    #[cold]
    fn get_file(&mut self, get: &GetFile) -> Result<(), Fatal> {
        let transfer = self.may_transfer(get.file).and_then(|()| Get::begin(get)).map(Transfer::Get);
        self.begin_transfer(get.file, transfer)
    }

    #[cold]
    fn may_transfer(&self, file: FileId) -> Result<(), Failure> {
        if self.transfers.contains_key(&file) {
            return Err(Failure::refused("the id is in use"));
        }
        match self.transfers.len() < MAX_TRANSFERS {
            true => Ok(()),
            false => Err(Failure::refused("too many transfers")),
        }
    }

    #[cold]
    fn begin_transfer(&mut self, file: FileId, transfer: Result<Transfer, Failure>) -> Result<(), Fatal> {
        match transfer {
            Ok(transfer) => {
                self.transfers.insert(file, transfer);
                Ok(())
            }
            Err(failure) => self.host.say(&failure.report(file)),
        }
    }

    /// Data for a transfer that failed may have been under way: it is dropped.
    #[cold]
    fn file_data(&mut self, file: FileId, bytes: &[u8]) -> Result<(), Fatal> {
        let failure = match self.transfers.get_mut(&file) {
            Some(Transfer::Put(put)) => match put.data(file, bytes, &mut self.host)? {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            },
            Some(Transfer::Get(_)) => return Err(wrong_way("data")),
            None => return Ok(()),
        };
        self.transfers.remove(&file);
        self.host.say(&failure.report(file))
    }

    #[cold]
    fn file_end(&mut self, file: FileId) -> Result<(), Fatal> {
        let result = match self.transfers.remove(&file) {
            Some(Transfer::Put(put)) => put.finish(file),
            Some(Transfer::Get(_)) => return Err(wrong_way("end of data")),
            None => return Ok(()),
        };
        match result {
            Ok(done) => self.host.say(&GuestMessage::FileDone(done)),
            Err(failure) => self.host.say(&failure.report(file)),
        }
    }

    #[cold]
    fn set_time(&mut self, unix_ns: u64) -> Result<(), Fatal> {
        if self.role == Role::Ordinary {
            return self.warn("the clock is not set by an agent that is not PID 1");
        }
        match clock::set_realtime(unix_ns) {
            Ok(()) => Ok(()),
            Err(errno) => self.warn(&alloc::format!("cannot set the clock: {errno}")),
        }
    }

    #[cold]
    fn add_entropy(&mut self, seed: &[u8; 32]) -> Result<(), Fatal> {
        let urandom = openat(CWD, c"/dev/urandom", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
        // A kernel that does not count entropy takes the bytes as ordinary data.
        let added = urandom.and_then(|urandom| {
            process::add_entropy(&urandom, seed).or_else(|_| rustix::io::write(&urandom, seed).map(drop))
        });
        match added {
            Ok(()) => Ok(()),
            Err(errno) => self.warn(&alloc::format!("cannot add entropy: {errno}")),
        }
    }

    #[cold]
    fn warn(&mut self, text: &str) -> Result<(), Fatal> {
        self.host.say(&GuestMessage::Log { level: LogLevel::Warning, text: Text::new(text) })
    }
}

#[cold]
fn wrong_way(what: &'static str) -> Fatal {
    Error::InvalidValue { what, problem: "for a stream that flows the other way" }.into()
}
